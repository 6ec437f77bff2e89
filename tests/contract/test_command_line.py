"""The command line as a user types it, on whichever backend this environment has."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import d2lrnn as d2l
from d2lrnn.cli import main
from d2lrnn.models import MODELS
from d2lrnn.run import Run

TEXT = """The lamp on the breakwater was lit at dusk and put out at dawn, and in between it turned.
It has turned through forty winters, said the keeper, and it has not missed a night. He oiled the
wheel, trimmed the wick, wrote the weather down and slept while the gulls quarrelled on the roof."""

# All minibatches of one size: another would be compiled by itself.
SIZES = ["--num-train", "64", "--num-val", "32", "--batch-size", "16", "--num-steps", "6"]
SMALL = [*SIZES, "--num-hiddens", "9", "--text", "text.txt"]
TRAIN = ["train", *SMALL, "--max-epochs", "2", "--num-preds", "12", "--num-gpus", "0"]


def environment():
    """Where `d2lrnn` is found also when it is not installed, and no texts but those given."""
    here = str(Path(d2l.__file__).parents[1])
    paths = [here, os.environ.get("PYTHONPATH", "")]
    unset = ("D2LRNN_DATA", "D2LRNN_CACHE")
    kept = {key: value for key, value in os.environ.items() if key not in unset}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def start(folder, *arguments, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", "d2lrnn", *arguments],
        cwd=folder,
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c():
    """Undo what a shell does to jobs in the background, such as CI: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(folder, *arguments, **variables):
    """The exit code, and what was printed on standard output and standard error."""
    child = start(folder, *arguments, **variables)
    out, err = child.communicate(timeout=110)
    assert "Traceback" not in err, err
    return child.returncode, out, err


def type_in_a_shell(folder, command):
    """As `run`, but for a line of shell, such as `d2lrnn` prints."""
    child = subprocess.run(
        command, shell=True, cwd=folder, env=environment(), capture_output=True, text=True
    )
    return child.returncode, child.stdout, child.stderr


@pytest.fixture
def call(folder, capsys, monkeypatch):
    """As `run`, but in this process, which has loaded the framework already."""
    monkeypatch.chdir(folder)

    def call(*arguments):
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command_line")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """A run in the folder `run`, and what `d2lrnn train` printed."""
    code, out, err = run(folder, *TRAIN, "--run", "run", "--prefix", "it has", "--prefix", "the l")
    assert code == 0, err
    return out


# Train ---------------------------------------------------------------------------------------------


def test_train_says_what_it_did(trained):
    assert trained.startswith(f"Backend: {d2l.backend.name()} (")
    assert "the file" in trained
    assert f"{len(re.sub('[^A-Za-z]+', ' ', TEXT))} tokens" in trained
    assert len(re.findall(r"^Before: (it has|the l).{12}$", trained, re.M)) == 2
    assert len(re.findall(r"^After:  (it has|the l).{12}$", trained, re.M)) == 2
    assert re.search(r"^epoch 2/2 ", trained, re.M)  # progress, in plain lines
    assert re.search(r"after 2 epochs: training \d+\.\d\d, validation \d+\.\d\d$", trained, re.M)
    assert "The run is in run." in trained


def test_what_train_says_to_type_can_be_typed(trained, folder):
    (line,) = re.findall(r"^  .* generate .*$", trained, re.M)
    assert line.endswith(" generate run --prefix 'it has' --num 200 --temperature 0.5 --seed 1")
    code, out, err = type_in_a_shell(folder, line)
    assert (code, len(out.rstrip("\n"))) == (0, len("it has") + 200), err


def test_a_run_holds_everything(trained, folder):
    found = Run.open(folder / "run")
    assert found.config["status"] == "finished"
    assert found.backend == d2l.backend.name()
    options = found.config["options"]
    assert options["num_hiddens"] == 9
    assert options["lr"] == 1
    assert options["prefix"] == ["it has", "the l"]
    assert [row["epoch"] for row in found.history] == [1, 2]
    assert found.history[-1].keys() >= {"train_loss", "val_loss", "train_ppl", "val_ppl", "seconds"}
    assert [sample["prefix"] for sample in found.samples] == ["it has", "the l"]
    assert found.versions["framework"] == d2l.versions()["framework"]
    for suffix in ("svg", "png"):
        assert (folder / "run" / f"perplexity.{suffix}").stat().st_size > 1000


def test_the_model_of_a_run_is_the_one_that_was_trained(trained, folder):
    found = Run.open(folder / "run")
    model = found.model()
    for sample in found.samples:
        text = model.predict(sample["prefix"], sample["num_preds"], found.vocab)
        assert text == sample["after"]
    data = d2l.TextFile(folder / "text.txt", 16, 6, num_train=64, num_val=32)
    val_loss = d2l.Trainer(max_epochs=1, progress=False).validate(model, data)["val_loss"]
    assert val_loss == pytest.approx(found.history[-1]["val_loss"], rel=1e-4)  # float32


def test_the_same_command_gives_the_same_run(trained, folder, call):
    code, _, err = call(*TRAIN, "--run", "again", "--prefix", "it has", "--seed", "0")
    assert code == 0, err
    first, again = Run.open(folder / "run"), Run.open(folder / "again")
    for row, same in zip(first.history, again.history, strict=True):
        assert row["val_loss"] == pytest.approx(same["val_loss"], rel=1e-6)
    assert first.config["data"] == again.config["data"]


def test_the_scratch_model_with_other_options(trained, folder, call):
    options = ["--model", "scratch", "--sigma", "0.3", "--activation", "relu", "--seed", "5"]
    more = ["--num-val", "0", "--tokens", "word", "--num-train", "20", "--min-freq", "2"]
    code, out, err = call(*TRAIN, *options, *more, "--run", "scratch")
    assert code == 0, err
    found = Run.open(folder / "scratch")
    assert found.config["options"]["sigma"] == 0.3
    assert "val_loss" not in found.history[0]
    assert "has" in found.vocab
    assert found.model().rnn.activation == "relu"
    assert re.search(r"after 2 epochs: training \d+\.\d\d$", out, re.M)


def test_start_from_weights(trained, folder, call):
    weights = ["--weights", str(Path("run", "weights.safetensors"))]
    code, out, err = call(*TRAIN, *weights, "--prefix", "it has", "--run", "further")
    assert code == 0, err
    assert f"Before: {Run.open(folder / 'run').samples[0]['after']}" in out
    code, _, err = call(*TRAIN, *weights, "--num-hiddens", "4", "--run", "unfit")
    assert code == 1
    assert "wrong shape: rnn.W_xh" in err
    assert not (folder / "unfit").exists()


def test_resuming_is_as_if_never_stopped(trained, folder, call):
    code, _, err = call("train", "--resume", "run", "--max-epochs", "4", "--run", "longer")
    assert code == 0, err
    code, _, err = call(*TRAIN, "--max-epochs", "4", "--run", "at_once")
    assert code == 0, err
    longer, at_once = Run.open(folder / "longer"), Run.open(folder / "at_once")
    losses = [[row["train_loss"] for row in found.history] for found in (longer, at_once)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert len(losses[0]) == 4
    assert longer.samples[0]["before"][:6] == "it has"
    assert longer.config["options"]["num_hiddens"] == 9


def test_ctrl_c_keeps_the_run_and_it_can_be_continued(folder):
    command = [*TRAIN, "--max-epochs", "1000000", "--run", "stopped"]
    child = start(folder, *command)
    while not (folder / "stopped" / "checkpoint.safetensors").exists():  # the first epoch is done
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    try:
        out, err = child.communicate(timeout=100)
    finally:
        child.kill()
    assert child.returncode == 130, err
    assert "Traceback" not in err
    assert "Interrupted" in out
    (line,) = re.findall(r"^  .* train --resume stopped$", out, re.M)
    found = Run.open(folder / "stopped")
    assert (found.config["status"], found.config["interrupted"]) == ("interrupted", True)
    assert len(found.history) >= 1
    found.model()

    code, _, err = type_in_a_shell(folder, f"{line} --max-epochs 1 --run no")
    assert code == 1
    assert "epochs already" in err


def test_divergence_is_an_error_and_marks_the_run(folder, call):
    wild = ["--lr", "1e25", "--gradient-clip-val", "0", "--activation", "relu"]
    code, _, err = call(*TRAIN, *wild, "--max-epochs", "30", "--run", "diverged")
    assert code == 1
    assert "Error: The training loss became" in err
    assert "smaller --lr" in err
    assert "marked as failed" in err
    config = json.loads((folder / "diverged" / "config.json").read_text(encoding="utf-8"))
    assert config["status"] == "failed"
    code, out, err = call("generate", "--run", "diverged")
    assert (code, out) == (1, "")
    assert "diverged failed: The training loss became" in err


def test_a_loss_that_exploded_to_a_number_ends_with_a_note_and_an_exit_code(folder, call):
    wild = ["--model", "scratch", "--sigma", "0.5", "--lr", "1e4", "--activation", "relu"]
    code, out, err = call(*TRAIN, *wild, "--max-epochs", "1", "--run", "far")
    assert code == 1
    assert re.search(
        r"Note: The training diverged: the perplexity is inf after epoch 1, .*smaller --lr", err
    )
    assert "The run is in far" in out and Run.open(folder / "far").config["status"] == "finished"


# Generate ------------------------------------------------------------------------------------------


def test_generate_prints_the_texts_alone(trained, folder, call):
    code, out, err = call(
        *"generate --run run --num 12 --prefix".split(), "it has", "--prefix", "the l"
    )
    assert (code, "Error" in err) == (0, False)
    assert out.splitlines() == [sample["after"] for sample in Run.open(folder / "run").samples]


def test_generate_by_chance(trained, folder, call):
    command = "generate --run run --num 40 --temperature 2 --seed".split()
    texts = [call(*command, seed)[1] for seed in ("1", "1", "2")]
    assert texts[0] == texts[1] != texts[2]
    assert all(len(text.rstrip("\n")) == 46 for text in texts)


def test_generate_from_a_run_of_a_backend_that_is_not_here(trained, folder, call):
    path = folder / "run" / "config.json"
    config = path.read_text(encoding="utf-8")
    foreign = {**json.loads(config), "backend": "no_such_backend"}
    path.write_text(json.dumps(foreign), encoding="utf-8")
    try:
        code, out, err = call("generate", "--run", "run", "--num", "12")
    finally:
        path.write_text(config, encoding="utf-8")
    assert code == 0, err
    assert out.strip("\n") == Run.open(folder / "run").samples[0]["after"]


def test_generate_notes_what_the_vocabulary_lacks(trained, folder, call):
    code, out, err = call("generate", "--run", "run", "--prefix", "It has Zx", "--num", "0")
    assert (code, out) == (0, "It has Zx\n")
    assert err.count("Note: ") == 1
    assert "'x', 'z'" in err and "'I'" not in err  # read as the text was, in lower case


# Mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["train", "--sigma", "1"], 2, "--model scratch"),
        (["train", "--lr", "0"], 2, "--lr"),
        (["train", "--num-stepps", "3"], 2, "--num-steps"),
        (["train", "--backend", "no_such_backend"], 2, "expected one of"),
        (["train", "--text", "none.txt"], 1, "none.txt"),
        (["train", "--text", "latin.txt"], 1, "not UTF-8"),
        ([*TRAIN, "--num-train", "100000"], 1, "Too few windows"),
        ([*TRAIN, "--prefix", ""], 1, "--prefix ''"),
        ([*TRAIN, "--num-gpus", "7"], 1, "--num-gpus 7: there are"),
        ([*TRAIN, "--run", "text.txt"], 1, "never overwritten"),
        ([*TRAIN, "--run", "text.txt/below"], 1, "cannot be written"),
        (["train", "--resume", "nowhere"], 1, "no folder nowhere"),
        (["train", "--resume", "run", "--lr", "3"], 2, "--lr from the run"),
        (["generate"], 2, "Name one RUN"),
        (["generate", "--run", "nowhere"], 1, "no folder nowhere"),
        (["generate", "--run", "."], 1, "no config.json"),
        (["generate", "--run", "run", "--prefix", ""], 1, "--prefix ''"),
        (["generate", "--run", "run", "--temperature", "-1"], 2, "--temperature"),
        (["generate", "--run", "run", "--temperature", "0", "--seed", "1"], 1, "--temperature 0"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else "",
)
def test_a_mistake_is_named_without_a_traceback(trained, folder, arguments, code, said, call):
    (folder / "latin.txt").write_bytes("café".encode("latin-1"))
    before = sorted(path.name for path in folder.iterdir())
    found, out, err = call(*arguments)
    assert found == code
    assert "Error: " in err
    assert said in err
    assert "epoch" not in out
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_existing_run_is_left_alone(trained, folder, call):
    files = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    code, _, err = call(*TRAIN, "--run", "run")
    assert code == 1
    assert "run exists already" in err
    assert {path.name: path.read_bytes() for path in (folder / "run").iterdir()} == files


def test_an_unknown_backend_in_the_environment(folder):
    code, _, err = run(folder, "train", D2LRNN_BACKEND="no_such_backend")
    assert code == 1
    assert "Unknown backend 'no_such_backend'" in err


# Notes, pipes, doctor -------------------------------------------------------------------------------


def test_what_is_used_instead_is_said_once(folder, tmp_path):
    """No text to be had, and no network to get it from."""
    variables = {"D2LRNN_CACHE": str(tmp_path), "http_proxy": "http://127.0.0.1:9"}
    command = ["train", *SIZES, "--max-epochs", "1", "--num-gpus", "0", "--run", "bundled"]
    code, out, err = run(folder, *command, **variables)
    assert code == 0, err
    assert "Text: The Tide Clock, bundled with d2lrnn" in out
    assert err.count("Note: Using another text, The Tide Clock") == 1


def test_the_default_folder_is_named_by_backend_and_time(call, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*TRAIN)
    assert code == 0, err
    (path,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(rf"{d2l.backend.name()}-\d{{4}}-\d\d-\d\d-\d{{6}}", path.name)
    assert f"The run is in {Path('runs', path.name)}." in out


def test_a_reader_that_goes_away(trained, folder):
    child = start(folder, "generate", "--run", "run", *["--prefix", "it has"] * 3)
    child.stdout.close()
    err = child.stderr.read()
    child.wait(timeout=60)
    assert child.returncode != 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_the_doctor(call):
    code, out, _ = call("doctor")
    assert code == 0
    assert d2l.versions()["framework"] in out
    assert f"Active: {d2l.backend.name()} (" in out


def test_version_and_help(folder):
    assert run(folder, "--version") == (0, f"d2lrnn, version {d2l.__version__}\n", "")
    code, out, _ = run(folder, "train", "--help")
    assert code == 0
    for word in ("section 9.6", "32", "1024", "scratch", "learning rate", "nats"):
        assert word in out


# The models of chapter 10 ---------------------------------------------------------------------------


# Those of chapter 9 are what the rest of this file runs.
@pytest.mark.parametrize("model", ["lstm", "gru-scratch", "deep-scratch"])
def test_a_model_of_chapter_10_trains_writes_and_is_resumed(model, call):
    deep = ["--num-layers", "2"] if "num_layers" in MODELS[model].options else []
    options = ["--model", model, *deep, "--lr", "1", "--run", f"model-{model}"]
    code, out, err = call(*TRAIN, *options)
    assert code == 0, err
    (written,) = re.findall(r"^After:  (the lamp.{12})$", out, re.M)
    for backend in [], ["--backend", d2l.backend.name()]:
        code, out, err = call("generate", "--run", f"model-{model}", "--num", "12", *backend)
        assert (code, out) == (0, f"{written}\n"), err
    more = ["--resume", f"model-{model}", "--max-epochs", "3", "--run", f"model-{model}-more"]
    code, _, err = call("train", *more)
    assert code == 0, err
    config = json.loads(Path(f"model-{model}-more", "config.json").read_text(encoding="utf-8"))
    assert config["options"]["model"] == model
    if deep:
        assert config["options"]["num_layers"] == 2


def test_dropout_is_an_option(call):
    deep = ["--model", "lstm", "--num-layers", "2", "--lr", "1"]
    for name, options in ("without", []), ("with", ["--dropout", "0.5"]):
        assert call(*TRAIN, *deep, *options, "--run", f"dropout-{name}")[0] == 0
    losses = [Run.open(f"dropout-{n}").history[-1]["train_loss"] for n in ("with", "without")]
    assert losses[0] != losses[1]
    code, _, err = call(*TRAIN, "--model", "lstm", "--dropout", "0.5", "--run", "dropout-alone")
    assert code == 2 and "--num-layers 2 or more" in err and not Path("dropout-alone").exists()


@pytest.mark.parametrize(
    "options, named",
    [
        (["--model", "lstm", "--activation", "relu"], "--activation"),
        (["--model", "gru-scratch", "--num-layers", "2"], "--num-layers"),
        (["--model", "lstm", "--num-layers", "0"], "--num-layers"),
        (["--model", "gru", "--num-layers", "2", "--dropout", "1"], "--dropout"),
        (["--model", "transformer"], "--model"),
    ],
)
def test_options_that_a_model_does_not_take(options, named, call):
    code, _, err = call(*TRAIN, *options, "--run", "refused")
    assert code == 2 and named in err and not Path("refused").exists()


def test_the_models_are_listed(call):
    code, out, _ = call("models")
    assert code == 0
    for name, model in MODELS.items():
        (line,) = [row for row in out.splitlines() if re.search(rf"^[│|] {name} ", row)]
        assert model.section in line
