"""The processes that train together in PyTorch: that one dies, and that torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import d2lrnn as d2l
from d2lrnn.checkpoints import read_state
from d2lrnn.errors import WorkerError

pytestmark = pytest.mark.timeout(300)


class Mortal(d2l.RNNLM):
    """A model whose second process is ended in epoch 2, or which raises an error there."""

    error = None

    def forward(self, *args):
        if self.training and self.trainer.epoch == 1:
            if self.error is not None:
                raise self.error
            if self.trainer.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(*args)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "clock.txt"
    path.write_text("the clock on the quay has told the tides since before " * 3, encoding="utf-8")
    return d2l.TextFile(path, 13, 5, num_train=40, num_val=13)


def mortal(data):
    rnn = d2l.RNN(num_inputs=len(data.vocab), num_hiddens=9)
    return Mortal(rnn, vocab_size=len(data.vocab), lr=0.5)


def test_a_process_that_dies_ends_the_training_which_says_which_it_was(data, tmp_path):
    path, began = str(tmp_path / "checkpoint.safetensors"), time.monotonic()
    model = mortal(data)
    trainer = d2l.Trainer(3, progress=False, devices=2)
    with pytest.raises(
        WorkerError, match=r"Process 1 \(pid \d+\), of 0 to 1, was ended by SIGKILL"
    ):
        trainer.fit(model, data, checkpoint=path)
    assert time.monotonic() - began < 60
    assert read_state(path)["epoch"] == len(trainer.history) == 1
    rest = mortal(data)
    d2l.Trainer(1, progress=False, devices=2).fit(rest, data, resume=path)
    assert rest.get_weights().keys() == model.get_weights().keys()


def test_what_goes_wrong_in_all_is_raised_as_it_is(data):
    model = mortal(data)
    model.error = RuntimeError("of the reader")
    with pytest.raises(RuntimeError, match=r"^of the reader$"):
        d2l.Trainer(3, progress=False, devices=2).fit(model, data)


def test_torchrun_trains_by_the_command_line_and_one_process_writes(tmp_path):
    (tmp_path / "text.txt").write_text(
        "the clock on the quay has told the tides " * 9, encoding="utf-8"
    )
    options = (
        "--text text.txt --num-hiddens 9 --batch-size 13 --num-train 40 --num-val 13 --max-epochs 2"
    )
    begin = [sys.executable, "-m"]
    by_torchrun = [
        *begin,
        *"torch.distributed.run --nproc-per-node 2 -m -- d2lrnn train --run a".split(),
    ]
    by_itself = [*begin, *"d2lrnn train --devices 2 --run b".split()]
    said = [
        subprocess.run([*command, *options.split()], cwd=tmp_path, capture_output=True, text=True)
        for command in (by_torchrun, by_itself)
    ]
    assert [one.returncode for one in said] == [0, 0], said[0].stderr + said[1].stderr
    assert said[0].stdout.count("After:") == said[1].stdout.count("After:") == 1
    one, other = (json.loads((tmp_path / name / "history.json").read_text()) for name in "ab")
    assert [row["train_loss"] for row in one] == [row["train_loss"] for row in other]
