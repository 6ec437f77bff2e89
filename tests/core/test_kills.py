"""A run can always be finished: ended at any operation on a file, it comes to the same (d2lrnn/training.py).

What the core decides is tested on a backend in NumPy, at every operation; the four frameworks, and real
signals, in tests/contract/test_kills.py.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FULL, READ_ONLY, Killed

from d2lrnn import atomic, cli, run
from d2lrnn.run import Run

TEXT = "the gulls on the quay and the lamp on the breakwater, the tide and the clock, over and over"
SIZES = (
    "--num-hiddens 2 --num-steps 3 --num-train 9 --num-val 5 --batch-size 4 --num-gpus 0".split()
)
TRAIN = ["train", *SIZES, *"--text text.txt --max-epochs 3 --keep 2 --run run".split()]
RESUME = ["train", "--resume", "run"]


@pytest.fixture
def folder(tmp_path, monkeypatch, numpy_library):
    """A folder to work in, on the backend in NumPy; plots are written but not drawn."""
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "draw_perplexity", write_plots)
    return tmp_path


def write_plots(history, folder, bound):
    for kind in ("svg", "png"):
        atomic.write(folder / f"perplexity.{kind}", b"drawn")


def outcome(name="run"):
    """History, weights and samples of a finished run, without what differs between two equal ones."""
    found = Run.open(name)
    assert found.config["status"] == "finished"
    assert not [path for path in found.path.iterdir() if atomic.is_part(path)]
    history = [{key: v for key, v in row.items() if key != "seconds"} for row in found.history]
    files = [found.path / f"{part}.safetensors" for part in ("weights", "initial")]
    checkpoints = sorted(path.name for path in found.path.glob("checkpoint*"))
    return history, [file.read_bytes() for file in files], found.samples, checkpoints


def begin(folder, monkeypatch, name):
    """Go to a new folder, in which no run was begun."""
    place = folder / name
    place.mkdir()
    (place / "text.txt").write_text(TEXT)
    monkeypatch.chdir(place)


def status():
    """Of the run in the folder `run`; None if it was not begun."""
    return None if run.is_free("run") else Run.open("run", unfinished=True).config["status"]


def finish():
    """As a user does: by --resume or, if the run was not begun, as before."""
    if status() != "finished":
        assert cli.main(RESUME if status() else TRAIN) == 0


def operations(inject):
    """The operations of an undisturbed training, and what comes out of it."""
    count = inject()
    assert cli.main(TRAIN) == 0
    return count.done, outcome()


def test_a_run_killed_at_any_operation_can_be_finished(folder, monkeypatch, inject):
    done, expected = operations(inject)
    assert len(done) > 100
    assert expected[-1] == [
        *("checkpoint-000002.safetensors", "checkpoint-000003.safetensors"),
        *("checkpoint-best.safetensors", "checkpoint.safetensors"),
    ]
    for at, operation in enumerate(done, 1):
        begin(folder, monkeypatch, f"kill-{at}")
        inject("kill", at)
        with pytest.raises(Killed):
            cli.main(TRAIN)
        inject()
        assert status() in (None, "running", "finished")
        finish()
        assert outcome() == expected, f"operation {at}, {operation}"


@pytest.mark.parametrize("kind", ["ctrl-c", "ctrl-c twice"])
def test_ctrl_c_at_any_operation(folder, monkeypatch, inject, kind, capfd):
    """It is no failure, and what is printed tells how to go on."""
    done, expected = operations(inject)
    for at in range(1, len(done) + 1, 3 if kind == "ctrl-c" else 7):
        begin(folder, monkeypatch, f"{kind}-{at}")
        inject(kind, at)
        capfd.readouterr()
        assert cli.main(TRAIN) == cli.INTERRUPTED, f"operation {at}, {done[at - 1]}"
        printed = "".join(capfd.readouterr())
        inject()
        assert ("train --resume run" if status() else "nothing was written") in printed
        assert "failed" not in printed
        assert status() in (None, "running", "interrupted", "finished")
        finish()
        assert outcome() == expected, f"operation {at}, {done[at - 1]}"


def test_the_disk_is_full_from_any_operation_on(folder, monkeypatch, inject, capfd):
    """The error names the place and the room, and once there is room the run can be finished."""
    done, expected = operations(inject)
    for at in range(1, len(done) + 1, 5):
        begin(folder, monkeypatch, f"full-{at}")
        inject(FULL, at)
        capfd.readouterr()
        code, err = cli.main(TRAIN), capfd.readouterr().err
        inject()
        if code or status() != "finished":  # after the last file nothing needs room
            assert (code, status()) in [(1, None), (1, "running")]
            assert "Error: run" in err
            assert "No space left on device. On the disk of " in err and "MB are free" in err
            assert ("train --resume run" in err) == (status() == "running")
        finish()
        assert outcome() == expected, f"operation {at}, {done[at - 1]}"


def test_a_folder_that_may_not_be_written_to_is_named_at_once(folder, inject, capfd):
    inject(READ_ONLY, 1)
    assert cli.main(TRAIN) == 1
    err = capfd.readouterr().err
    assert "Error: run cannot be written: Read-only file system." in err
    assert not (folder / "run").exists()


SMALL_DISK = """
import shutil, subprocess, sys
sys.path.insert(0, sys.argv[1])
import numpy_backend
from d2lrnn import atomic, backend, cli

def mount(*options):
    subprocess.run(["mount", *options], check=True)

mount("-t", "tmpfs", "-o", "size=48k", "tmpfs", "disk")
backend._active = ("numpy", numpy_backend.make())
backend.twin = lambda model: None
assert cli.main([*sys.argv[2:], "--run", "disk/run"]) == 1
mount("-o", "remount,size=2m,ro", "disk")
assert cli.main(["train", "--resume", "disk/run"]) == 1
mount("-o", "remount,rw", "disk")
assert cli.main(["train", "--resume", "disk/run"]) == 0
shutil.copy("disk/run/weights.safetensors", "weights")
assert not any(map(atomic.is_part, (atomic.Path("disk/run").iterdir())))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk, which only Linux lets do")
def test_a_run_on_a_disk_that_is_full_and_then_may_not_be_written_to(folder):
    """A real one, mounted where the test alone sees it; what is injected above is what it does."""
    if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "x", folder]).returncode:
        pytest.skip("this system lets no user mount a disk of their own (unshare -rm)")
    (folder / "disk").mkdir()
    here = str(Path(__file__).parent)
    command = ["unshare", "-rm", sys.executable, "-c", SMALL_DISK, here, *TRAIN[:-2]]
    child = subprocess.run(command, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    full, read_only = re.findall("^Error: .*$", child.stderr, re.M)
    assert "No space left on device. On the disk of " in full and "0.0 MB are free" in full
    assert "Read-only file system" in read_only
    assert cli.main(TRAIN) == 0
    assert (folder / "weights").read_bytes() == Path("run/weights.safetensors").read_bytes()
