"""`d2lrnn train --resume`, and what is read of runs that have not finished (d2lrnn/training.py)."""

import contextlib
import os
import signal

import pytest
from faults import Killed

from d2lrnn import atomic, backend, checkpoints, cli, run
from d2lrnn.run import Run
from d2lrnn.weights import model_weights

TEXT = "the gulls on the quay and the lamp on the breakwater, the tide and the clock, over and over"
SIZES = (
    "--num-hiddens 2 --num-steps 3 --num-train 9 --num-val 5 --batch-size 4 --num-gpus 0".split()
)
TRAIN = [
    "train",
    *SIZES,
    *"--text text.txt --max-epochs 5 --prefix the --num-preds 3 --run run".split(),
]


@pytest.fixture
def call(tmp_path, monkeypatch, numpy_library, capfd):
    """Runs the command line in a folder with a text; returns the exit code and what it printed."""
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "draw_perplexity", write_plots)

    def call(*arguments):
        capfd.readouterr()
        return cli.main(arguments), "".join(capfd.readouterr())

    return call


def write_plots(history, folder, bound):
    for kind in ("svg", "png"):
        atomic.write(folder / f"perplexity.{kind}", b"drawn")


@pytest.fixture
def killed(call, numpy_library, monkeypatch):
    """A run killed in its third epoch."""

    class Dying(numpy_library.Trainer):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            if epoch == 2:
                raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(numpy_library, "Trainer", Dying)
        call(*TRAIN)
    return Run.open("run", unfinished=True)


def history(name="run"):
    return [row["val_loss"] for row in Run.open(name).history]


def test_a_run_is_gone_on_with_in_its_place_or_in_a_new_one(call, killed):
    files = {path: path.read_bytes() for path in killed.path.iterdir()}
    assert call("train", "--resume", "run", "--run", "new")[0] == 0
    assert {path: path.read_bytes() for path in killed.path.iterdir()} == files
    assert call("train", "--resume", "run")[0] == 0
    assert call(*TRAIN, "--run", "at_once")[0] == 0
    assert history() == history("new") == history("at_once")
    found, whole = Run.open("run"), Run.open("at_once")
    assert (
        found.samples == whole.samples == Run.open("new").samples
    )  # its prefix, from its first weights
    assert found.config["options"] == whole.config["options"]
    assert Run.open("new").config["options"]["resume"] == str(killed.path.absolute())


def test_a_finished_run_goes_on_for_more_epochs_only(call):
    assert call(*TRAIN)[0] == 0
    code, said = call("train", "--resume", "run")
    assert code == 1 and "has 5 epochs already" in said
    assert Run.open("run").config["status"] == "finished"
    assert call("train", "--resume", "run", "--max-epochs", "7")[0] == 0
    assert call(*TRAIN, "--run", "at_once", "--max-epochs", "7")[0] == 0
    assert history() == history("at_once")
    code, said = call("train", "--resume", "run", "--max-epochs", "6")
    assert code == 1 and "has 7 epochs already" in said


def test_generate_takes_the_last_checkpoint_and_says_so(call, killed):
    code, said = call("generate", "--run", "run", "--prefix", "the", "--num", "4")
    assert code == 0
    assert "Note: The run run has not finished. The weights are those after epoch 2." in said
    weights = model_weights(killed.checkpoint)
    assert all((killed.weights[name] == array).all() for name, array in weights.items())
    killed.checkpoint.unlink()
    code, said = call("generate", "--run", "run")
    assert (
        code == 1 and "ended before its first checkpoint" in said and "train --resume run" in said
    )


def test_generate_takes_the_best(call):
    assert call(*TRAIN)[0] == 0
    best = checkpoints.best_epoch(Run.open("run").history)
    assert best < 5
    texts = []
    for option in ([], ["--best"]):
        code, said = call("generate", "--run", "run", "--num", "30", "--seed", "1", *option)
        assert code == 0 and ("Note: " in said) == bool(option)
        texts.append(said.splitlines()[-1])
    assert f"Note: The weights are those after epoch {best}." in said
    assert texts[0] != texts[1]


def test_patience_on_the_command_line(call):
    code, said = call(*TRAIN, "--max-epochs", "40", "--patience", "2", "--keep", "2")
    assert code == 0 and "the validation loss has not fallen since epoch" in said
    found = Run.open("run")
    assert found.config["status"] == "finished" and found.config["ended_early"]
    epochs = len(found.history)
    assert epochs == checkpoints.best_epoch(found.history) + 2 < 40
    more = ["--patience", "0", "--max-epochs", str(epochs + 2)]
    assert call("train", "--resume", "run", *more)[0] == 0
    assert len(history()) == epochs + 2


def test_a_run_in_training_is_left_alone(call, killed):
    with atomic.hold("run"):
        code, said = call("train", "--resume", "run")
        assert code == 1 and "is in training, in another process" in said
        code, said = call(*TRAIN)
        assert code == 1 and "exists already" in said and "To go on" not in said
    code, said = call(*TRAIN)
    assert code == 1 and "has not finished" in said and "train --resume run" in said


def test_a_damaged_checkpoint_is_an_error_that_changes_no_status(call, killed):
    killed.checkpoint.write_bytes(b"damaged")
    code, said = call("train", "--resume", "run")
    assert code == 1 and "not a safetensors file" in said
    assert Run.open("run", unfinished=True).config["status"] == "running"


@pytest.mark.parametrize("options", [["--lr", "3"], ["--backend", "other"]], ids=lambda o: o[0])
def test_what_makes_the_training_cannot_be_changed(call, killed, options, monkeypatch):
    monkeypatch.setattr(backend, "entry_point", lambda name: None)
    code, said = call("train", "--resume", "run", *options)
    assert code == 2 and f"--resume takes {options[0]} from the run" in said


@pytest.mark.filterwarnings("default")
def test_another_backend_goes_on_in_a_new_run(call, killed, numpy_library, monkeypatch):
    monkeypatch.setattr(backend, "entry_point", lambda name: None)
    monkeypatch.setattr(backend, "_active", ("other", numpy_library))
    code, said = call("train", "--resume", "run", "--backend", "other", "--run", "new")
    assert code == 0 and said.count("state of the optimiser starts anew") == 1
    assert Run.open("new").backend == "other"
    assert history("new")[:2] == [
        row["val_loss"] for row in checkpoints.read(killed.checkpoint).state["history"]
    ]


def as_another_error():
    """As code of a framework may, which a KeyboardInterrupt breaks off in the middle."""
    with contextlib.suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    raise RuntimeError("error_already_set: KeyboardInterrupt")


def lost():
    """While an object is deleted, where Python drops what is raised."""

    class Deleted:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    Deleted()


@pytest.mark.parametrize(
    ("end", "epochs"),
    [(lambda: os.kill(os.getpid(), signal.SIGTERM), 3), (as_another_error, 3), (lost, 4)],
    ids=["itself", "as_another_error", "lost"],
)
def test_sigterm_ends_a_run_as_ctrl_c_does(call, numpy_library, monkeypatch, end, epochs):
    class Ended(numpy_library.Trainer):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            if epoch == 3:
                end()

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(numpy_library, "Trainer", Ended)
        code, said = call(*TRAIN)
    assert code == cli.INTERRUPTED and "train --resume run" in said and "Traceback" not in said
    assert Run.open("run").config["status"] == "interrupted"
    assert len(history()) == epochs
    assert signal.getsignal(signal.SIGTERM) is before
    assert call("train", "--resume", "run")[0] == 0
    assert len(history()) == 5
