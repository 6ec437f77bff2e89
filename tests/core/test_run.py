"""The folder of a run: what is written, what is read back, what is refused (d2lrnn/run.py)."""

import json
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from d2lrnn import backend
from d2lrnn.data import TextData, Vocab
from d2lrnn.errors import RunError, TrainingDiverged, WriteError
from d2lrnn.models import shapes
from d2lrnn.run import Run, default_path, draw_perplexity
from d2lrnn.weights import read_weights, write_weights

OPTIONS = {
    "model": "rnn",
    "num_hiddens": 3,
    "activation": "tanh",
    "sigma": None,
    "lr": 1.0,
    "seed": 0,
    "tokens": "char",
    "num_steps": 2,
    "batch_size": 2,
    "num_train": 1,
    "num_val": 1,
}
HISTORY = [
    {"epoch": 1, "train_loss": 900.0, "train_ppl": math.inf, "val_ppl": math.nan, "seconds": 0.1},
    {"epoch": 2, "train_loss": 2.0, "train_ppl": 7.4, "val_ppl": 9.0, "seconds": 0.1},
]
SAMPLES = [{"prefix": "é", "before": "éb", "after": "éc", "num_preds": 1}]


class Model:
    """Stands for a backend's model: weights that are saved and loaded."""

    def __init__(self, **settings):
        self.settings = settings
        self.weights = {n: np.zeros(s, np.float32) for n, s in shapes(OPTIONS, 5).items()}

    def save(self, path):
        write_weights(path, self.weights)

    def load(self, path):
        self.weights = read_weights(path)


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """A backend whose models are `Model`s."""
    package = SimpleNamespace(
        versions=lambda: {"framework": "fake 1.0", "devices": ["CPU"]},
        RNN=lambda **settings: settings,
        RNNScratch=lambda **settings: settings,
        RNNLM=lambda rnn, **settings: Model(rnn=rnn, **settings),
        RNNLMScratch=lambda rnn, **settings: Model(rnn=rnn, scratch=True, **settings),
    )
    monkeypatch.setattr(backend, "_active", ("fake", package))
    monkeypatch.delenv("D2LRNN_BACKEND", raising=False)


@pytest.fixture
def data():
    corpus = np.array([1, 2, 1, 0], np.int32)
    data = TextData()
    data.source, data.corpus, data.vocab, data.letters = "a test", corpus, Vocab("abcé"), None
    return data


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "one"


def created(path, options, data):
    run = Run.create(path, options, data)
    run.start(data)
    return run


def finished(path, data, options=OPTIONS, **settings):
    run = created(path, options, data)
    model = Model()
    model.weights["rnn.b_h"][:] = [1, 2, 3]
    run.finish(model, HISTORY, SAMPLES, **settings)
    return path


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


# What is written -----------------------------------------------------------------------------------


def test_a_finished_run_is_read_back(path, data):
    run = Run.open(finished(path, data))
    assert run.backend == "fake"
    assert run.config["status"] == "finished"
    assert run.config["interrupted"] is False
    assert run.config["options"] == OPTIONS
    assert run.config["data"]["source"] == "a test"
    assert run.config["data"]["num_tokens"] == 4
    assert run.config["vocab_size"] == 5
    assert run.vocab == data.vocab
    assert run.samples == SAMPLES
    assert run.versions.keys() >= {"d2lrnn", "python", "numpy", "platform", "framework", "devices"}
    np.testing.assert_equal(run.history, HISTORY)  # infinity and NaN as well
    assert isinstance(run.history[0]["epoch"], int)


def test_every_file_is_strict_json_or_a_picture(path, data):
    finished(path, data)
    names = {file.name for file in path.iterdir()}
    assert names == {
        "config.json",
        "history.json",
        "perplexity.png",
        "perplexity.svg",
        "samples.json",
        "versions.json",
        "vocab.json",
        "weights.safetensors",
    }
    for name in names:
        if name.endswith(".json"):
            json.loads((path / name).read_text(encoding="utf-8"), parse_constant=refuse)
    assert "é" in (path / "samples.json").read_text(encoding="utf-8")
    assert (path / "perplexity.png").read_bytes().startswith(b"\x89PNG")


def test_the_plot_has_names_and_is_the_same_each_time(tmp_path):
    pictures = []
    for name in "ab":
        (tmp_path / name).mkdir()
        draw_perplexity(HISTORY, tmp_path / name)
        pictures.append((tmp_path / name / "perplexity.svg").read_bytes())
    assert pictures[0] == pictures[1]
    for word in (b">epoch<", b">perplexity<", b">train_ppl<", b">val_ppl<"):
        assert word in pictures[0]
    draw_perplexity([], tmp_path)  # Ctrl-C in the first epoch


@pytest.mark.filterwarnings("error")
def test_a_perplexity_that_no_axis_holds_ends_no_training(path, data):
    run = created(path, OPTIONS, data)
    huge = [
        {"epoch": i, "train_ppl": p, "val_ppl": p, "seconds": 0.1}
        for i, p in enumerate((1.7e308, 3.0, 2.0), 1)
    ]
    run.finish(Model(), huge, SAMPLES)
    assert Run.open(path).history[0]["train_ppl"] == 1.7e308


def test_the_sha1_tells_data_apart(tmp_path, data):
    runs = []
    for name in ("a", "b"):
        runs.append(created(tmp_path / name, OPTIONS, data))
    data.corpus = data.corpus[:-1]
    runs.append(created(tmp_path / "c", OPTIONS, data))
    first, second, other = [run.config["data"]["sha1"] for run in runs]
    assert first == second != other
    assert len(first) == 40


def test_the_model_is_made_by_the_active_backend(path, data):
    run = Run.open(finished(path, data))
    model = run.model()
    rnn = {"num_hiddens": 3, "activation": "tanh", "num_layers": 1, "dropout": 0, "seed": 0}
    assert model.settings == {"rnn": rnn, "vocab_size": 5, "lr": 1.0, "seed": 0}
    assert model.weights["rnn.b_h"].tolist() == [1, 2, 3]


def test_the_scratch_model(path, data):
    options = {**OPTIONS, "model": "scratch", "sigma": 0.5, "activation": "relu", "seed": 7}
    model = Run.open(finished(path, data, options)).model()
    assert model.settings["scratch"]
    assert model.settings["seed"] == 7
    rnn = {"num_inputs": 5, "num_hiddens": 3, "sigma": 0.5, "activation": "relu", "seed": 7}
    assert model.settings["rnn"] == rnn


def test_a_run_of_a_backend_that_is_not_here_is_read(path, data, monkeypatch):
    finished(path, data)
    monkeypatch.setattr(backend, "_active", ("other", backend.active()))
    run = Run.open(path)
    assert run.backend == "fake"
    assert run.model().weights["rnn.b_h"].tolist() == [1, 2, 3]


def test_an_interrupted_run_can_be_used(path, data):
    run = Run.open(finished(path, data, interrupted=True))
    assert run.config["status"] == "interrupted"
    assert run.config["interrupted"] is True
    run.model()


# Names ---------------------------------------------------------------------------------------------


def test_a_run_is_never_overwritten(path, data):
    finished(path, data)
    with pytest.raises(RunError, match=r"one exists already.*--run"):
        created(path, OPTIONS, data)
    assert Run.open(path).config["status"] == "finished"


def test_the_name_is_taken_at_the_start(path, data):
    created(path, OPTIONS, data)
    with pytest.raises(RunError, match="exists already"):
        created(path, OPTIONS, data)


def test_a_file_in_the_way(path, data):
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        created(path, OPTIONS, data)
    with pytest.raises(WriteError, match="below cannot be written"):
        created(path / "below", OPTIONS, data)
    assert path.read_text() == "mine"


def test_default_names_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = set()
    for _ in range(3):
        path = default_path("fake")
        assert path.parts[0] == "runs"
        assert path.name.startswith("fake-20")
        path.mkdir(parents=True)
        names.add(path)
    assert len(names) == 3


# What is refused -----------------------------------------------------------------------------------


def test_a_run_that_has_not_finished(path, data):
    run = created(path, OPTIONS, data)
    with pytest.raises(RunError, match="has not finished: it is still in training"):
        Run.open(path)
    run.release()  # as when its process ends
    with pytest.raises(RunError, match=r"ended by force. To go on.*\n.* train --resume .*one"):
        Run.open(path)
    with pytest.raises(RunError, match=r"has no weights yet.*\n.* train --resume .*one"):
        _ = Run.open(path, unfinished=True).weights


def test_an_unfinished_run_has_the_weights_of_its_checkpoint(path, data):
    run = created(path, OPTIONS, data)
    assert run.epochs_of(run.checkpoint) == 0
    weights = {name: np.ones(shape, np.float32) for name, shape in shapes(OPTIONS, 5).items()}
    arrays = {f"model/{n}": a for n, a in weights.items()} | {"optimizer/0/m": np.ones(2)}
    state = {"epoch": 2, "seed": 0, "history": HISTORY}
    write_weights(run.checkpoint, arrays, checkpoint=state)
    run = Run.open(path, unfinished=True)
    assert run.weights.keys() == weights.keys()
    assert run.epochs_of(run.checkpoint) == 2
    run.best = True
    with pytest.raises(RunError, match="has no best checkpoint"):
        _ = run.trained


def test_a_run_is_taken_up_by_one_at_a_time(path, data):
    run = created(path, OPTIONS, data)
    other = Run.open(path, unfinished=True)
    with pytest.raises(RunError, match="is in training, in another process"):
        other.resume(OPTIONS, data)
    run.fail(RuntimeError("a fault"), HISTORY)
    run.release()
    other.resume({**OPTIONS, "max_epochs": 9}, data)
    found = Run.open(path, unfinished=True).config
    assert found["status"] == "running" and "error" not in found and "ended" not in found
    assert found["options"]["max_epochs"] == 9


def test_a_folder_in_which_no_run_was_begun_can_be_used(path, data):
    path.mkdir(parents=True)
    (path / ".config.json.0123456789abcdef.part").write_text("{")
    with pytest.raises(RunError, match="begin it again by the same command"):
        Run.open(path)
    created(path, OPTIONS, data)
    assert not list(path.glob(".*.part"))


def test_what_is_missing_is_written_when_a_run_is_taken_up(path, data):
    run = created(path, OPTIONS, data)
    run.release()
    for name in ("vocab.json", "versions.json"):
        (path / name).unlink()
    run.resume(OPTIONS, data)
    assert Run.open(path, unfinished=True).vocab == data.vocab
    assert run.versions["framework"] == "fake 1.0"


def test_a_failed_run_tells_its_error(path, data):
    run = created(path, OPTIONS, data)
    run.fail(ArithmeticError("the loss became nan"), HISTORY[:1])
    assert json.loads((path / "config.json").read_text())["status"] == "failed"
    assert len(json.loads((path / "history.json").read_text())) == 1
    assert not (path / "weights.safetensors").exists()
    with pytest.raises(RunError, match="failed: the loss became nan"):
        Run.open(path)


def test_a_run_that_diverged_can_be_opened_for_its_history(path, data):
    run = created(path, OPTIONS, data)
    run.fail(TrainingDiverged("the loss became nan"), HISTORY[:1])
    with pytest.raises(RunError, match="failed: the loss became nan"):
        Run.open(path)
    run = Run.open(path, diverged=True)
    assert run.diverged
    assert len(run.history) == 1


def test_no_folder_and_no_run(tmp_path):
    with pytest.raises(RunError, match="There is no folder"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"no run of d2lrnn: it has no config\.json"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    "name", ["vocab.json", "versions.json", "history.json", "samples.json", "weights.safetensors"]
)
def test_a_missing_file_is_named(path, data, name):
    finished(path, data)
    (path / name).unlink()
    with pytest.raises(RunError, match=f"lacks {name}"):
        Run.open(path)


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "damaged"),
        ("[]", "Expected `object`, got `array`"),
        ('{"architectures": ["GPT2"]}', "format=None, expected 'd2lrnn run 1'"),
        ('{"format": "d2lrnn run 2"}', "format='d2lrnn run 2'"),
        ('{"format": "d2lrnn run 1"}', "missing required field `status`"),
    ],
)
def test_a_foreign_or_damaged_configuration(path, data, content, message):
    finished(path, data)
    (path / "config.json").write_text(content)
    with pytest.raises(RunError, match=message):
        Run.open(path)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("vocab.json", '["a", "<unk>"]', "2 tokens, but config.json says 5"),
        ("vocab.json", '["a", "a"]', "distinct"),
        ("vocab.json", "\x00", "damaged"),
        ("history.json", "[1]", "damaged"),
        ("history.json", '[{"train_ppl": "much"}]', "damaged"),
        ("samples.json", "{}", "Expected `array`, got `object`"),
    ],
)
def test_a_damaged_file_is_named(path, data, name, content, message):
    finished(path, data)
    (path / name).write_text(content)
    run = Run.open(path)
    with pytest.raises(RunError, match=message) as caught:
        getattr(run, name.removesuffix(".json"))
    assert name in str(caught.value)


def test_the_weights_are_written_first_and_the_plots_last(path, data, inject):
    run = created(path, OPTIONS, data)
    written = []
    inject().told = written
    run.finish(Model(), HISTORY, SAMPLES)
    assert written == [
        *("weights.safetensors", "history.json", "samples.json"),
        *("perplexity.svg", "perplexity.png", "config.json"),
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell it")
def test_the_peak_memory_is_that_of_this_process():
    """Not of the parent, whose peak a child inherits in `ru_maxrss`, nor of what is free again."""
    code = "from d2lrnn.run import peak_memory\n{}\nprint(peak_memory())"

    def peak(work):
        command = [sys.executable, "-c", code.format(work)]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    ballast = np.ones(50_000_000)  # 400 MB in this process
    small, large = peak("pass"), peak("x = bytearray(100_000_000); del x")
    assert small < ballast.nbytes / 2
    assert 90e6 < large - small < 200e6
