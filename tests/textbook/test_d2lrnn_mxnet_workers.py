"""Several processes that train together in MXNet, by a kvstore of servers: as one, and that one dies."""

import json
import os
import socket
import subprocess
import sys

import pytest

from d2lrnn.checkpoints import read_state

pytestmark = pytest.mark.timeout(120)

OPTIONS = (
    "--text text.txt --num-hiddens 9 --batch-size 13 --num-train 40 --num-val 13 --max-epochs 3"
)
TRAIN = ["-m", "d2lrnn", "train", *OPTIONS.split()]
# A worker whose process is ended in epoch 2, or which waits for it.
MORTAL = """
import os, sys
from d2lrnn import mxnet as d2l
from d2lrnn_mxnet import replicas
replicas.SILENCE = 3

class Mortal(d2l.Trainer):
    def set_epoch(self, epoch):
        if epoch == 1 and self.rank == 1:
            os._exit(9)
        super().set_epoch(epoch)

data = d2l.TextFile("text.txt", 13, 5, num_train=40, num_val=13)
model = d2l.RNNLM(d2l.RNN(9), len(data.vocab), lr=0.5)
Mortal(3, progress=False).fit(model, data, checkpoint=f"{sys.argv[1]}.safetensors")
"""


@pytest.fixture
def start(tmp_path):
    """Starts two workers, their server and the scheduler; returns what each worker said, and its code."""
    (tmp_path / "text.txt").write_text("the clock on the quay has told the tides " * 9, "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = {"DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": str(port)}
    meeting |= {"DMLC_NUM_WORKER": "2", "DMLC_NUM_SERVER": "1", "DMLC_INTERFACE": "lo"}
    begun = []

    def one(role, command):
        begun.append(
            subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **meeting, "DMLC_ROLE": role},
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return begun[-1]

    def start(*command):
        others = [one(role, [*command, role]) for role in ("scheduler", "server")]
        workers = [one("worker", [*command, name]) for name in "ab"]
        said = [(worker.communicate()[0], worker.returncode) for worker in workers]
        return said, others

    yield start
    for process in begun:
        process.kill()
        process.wait()


def test_two_workers_are_one_and_the_first_writes(start, tmp_path):
    said, others = start(*TRAIN, "--run")
    assert [code for _, code in said] == [0, 0], said
    assert [other.wait(60) for other in others] == [0, 0]
    assert sum(text.count("After:") for text, _ in said) == 1
    (run,) = [tmp_path / name for name in "ab" if (tmp_path / name).exists()]
    alone = [sys.executable, *TRAIN, "--run", "alone"]
    subprocess.run(alone, cwd=tmp_path, check=True, capture_output=True)
    ours, of_one = (json.loads((p / "history.json").read_text()) for p in (run, tmp_path / "alone"))
    for row, other in zip(ours, of_one, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], abs=1e-5)
        assert row["val_loss"] == pytest.approx(other["val_loss"], abs=1e-5)


def test_a_worker_that_dies_ends_the_others(start, tmp_path):
    said, _ = start("-c", MORTAL)
    assert sorted(code for _, code in said) == [1, 9], said
    (text,) = [text for text, code in said if code == 1]
    assert "Worker 0 has had no answer for 3 seconds: one of the 2 workers" in text
    (path,) = tmp_path.glob("?.safetensors")
    assert read_state(path)["epoch"] == 1
