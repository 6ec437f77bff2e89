"""A run is finished after a kill at any moment, to the same history and weights, bit for bit.

All that outlives SIGKILL is what lies on the disk, and that changes with operations on files alone. So one
training is watched, the folder before each operation and in the middle of each that writes is what a kill
there leaves, and each that differs from the others is finished. Then come real signals at random times.
tests/core/test_kills.py has Ctrl-C and the full disk at each operation.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from d2lrnn import atomic, run
from d2lrnn.cli import INTERRUPTED, main
from d2lrnn.run import Run

TEXT = """The lamp on the breakwater was lit at dusk and put out at dawn, and in between it turned.
It has turned through forty winters, said the keeper, and it has not missed a night."""
SIZES = (
    "--num-train 8 --num-val 4 --batch-size 4 --num-steps 3 --num-hiddens 2 --num-gpus 0".split()
)
SHORT = ["train", *SIZES, *"--text text.txt --max-epochs 4 --run".split()]
LONG = ["train", *SIZES, *"--text text.txt --max-epochs 14 --run".split()]
KILLS, OF_EACH_SIGNAL = 200, 2

pytestmark = pytest.mark.timeout(400)  # a minute, where nothing else runs


class Watched:
    """`os`, as `d2lrnn.atomic` uses it; `states` has the files of `folder` at each kill that counts."""

    def __init__(self, folder):
        self.folder, self.number, self.states = folder, 0, {}

    def __getattr__(self, name):
        function = getattr(os, name)
        if name not in ("open", "write", "fsync", "replace", "link", "mkdir", "unlink"):
            return function

        def operation(*args, **settings):
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return function(*args, **settings)
            self.killed()
            if name == "write":
                half = len(args[1]) // 2
                os.write(args[0], args[1][:half])
                self.killed()
                return half + os.write(args[0], args[1][half:])
            return None if name == "fsync" else function(*args, **settings)

        return operation

    def killed(self):
        self.number += 1
        files = {path.name: path.read_bytes() for path in self.folder.glob("*")}
        whole = {name: content for name, content in files.items() if not name.endswith(".part")}
        self.states.setdefault((self.folder.exists(), *sorted(whole.items())), files)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outcome(folder):
    """What is the same in two equal runs: the history but for its seconds, the weights, the samples."""
    found = Run.open(folder)
    assert found.config["status"] == "finished"
    assert not [path for path in found.path.iterdir() if atomic.is_part(path)]
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in found.history]
    return json.dumps(rows), (found.path / "weights.safetensors").read_bytes(), found.samples


def how_to_finish(folder, train):
    """What to type, `train` if it was not begun; None for a run that is finished."""
    if run.is_free(folder):
        return [*train, str(folder)]
    finished = Run.open(folder, unfinished=True).config["status"] == "finished"
    return None if finished else ["train", "--resume", str(folder)]


def test_a_run_killed_at_any_operation_on_a_file_is_finished(folder, monkeypatch):
    def write_plots(history, folder, bound):  # drawing takes longer than all the rest
        for kind in ("svg", "png"):
            atomic.write(folder / f"perplexity.{kind}", b"drawn")

    monkeypatch.setattr(run, "draw_perplexity", write_plots)
    watched = Watched(folder / "run")
    monkeypatch.setattr(atomic, "os", watched)
    assert main([*LONG, "run"]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run, "draw_perplexity", write_plots)
    expected = outcome("run")
    for number, ((exists, *_), files) in enumerate(watched.states.items()):
        place = folder / f"run-{number}"
        if exists:
            place.mkdir()
        for name, content in files.items():
            (place / name).write_bytes(content)
        command = how_to_finish(place, LONG)
        assert command is None or main(command) == 0
        assert outcome(place) == expected, sorted(files)
    assert watched.number >= KILLS - 3 * OF_EACH_SIGNAL
    assert len(watched.states) > 20


# The framework is loaded once, and then what the first training imports besides; a process that is forked off
# trains, and is sent a signal, or finishes.
WORKER = """
import contextlib, importlib, json, os, signal, sys, time, traceback
from d2lrnn import backend
from d2lrnn.cli import main
backend.active()

def child(command, log):
    pid = os.fork()
    if pid:
        return pid
    code = 130
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1), os.dup2(file, 2)
        code = main(command)
        sys.stdout.flush()
        if not os.path.exists("modules"):
            with open("modules", "w") as file:
                json.dump(list(sys.modules), file)
    except KeyboardInterrupt:
        pass
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)

for line in sys.stdin:
    command, log, number, after = json.loads(line)
    started = time.monotonic()
    pid = child(command, log)
    if number:
        time.sleep(after)
        os.kill(pid, number)
    _, status = os.waitpid(pid, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - started]), flush=True)
    if not number:
        for name in json.load(open("modules")):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, which Windows cannot")
def test_a_run_ended_by_a_signal_at_any_time_is_finished(folder):
    import signal

    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WORKER],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def work(command, log, number=0, after=0.0):
        worker.stdin.write(json.dumps([command, log, number, after]) + "\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline())

    try:
        for name in ("first", "run"):
            code, seconds = work([*SHORT, name], "run.log")
            assert code == 0, Path("run.log").read_text()
        expected, moments = outcome("run"), random.Random(0)
        for i in range(OF_EACH_SIGNAL):
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
                # The moments lie in all of the training, one in each part of it.
                after = seconds * (i + moments.random()) / OF_EACH_SIGNAL
                name = f"{number.name}-{i}"
                log = f"{name}.log"
                code, _ = work([*SHORT, name], log, int(number), after)
                said = Path(log).read_text() if Path(log).exists() else ""
                assert code in (0, -number, INTERRUPTED), said
                assert "Traceback" not in said and "failed" not in said, said
                if code == INTERRUPTED and not run.is_free(name):
                    assert re.search(rf"train --resume {name}$", said, re.M), said
                if command := how_to_finish(name, SHORT):
                    code, _ = work(command, log)
                    assert code == 0, Path(log).read_text()
                assert outcome(name) == expected, (name, after, said)
    finally:
        worker.stdin.close()
        worker.wait(30)
