"""Files from strangers: whatever they hold, a reader takes them or says what is wrong, and outlives them.

10,000 files are read, each a good one that was damaged (see `mutations`), and those that once broke a reader,
in tables. The memory of the process is bounded meanwhile, and so is the time for each.
"""

import io
import json
import re
import shutil
import tarfile
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import damaged, json_texts, replaced, safetensors
from safetensors.numpy import save_file

from d2lrnn import checkpoints
from d2lrnn.comparison import compare, markdown, page, plots
from d2lrnn.data import MTFraEng, PairFile, TextFile, extract
from d2lrnn.decoding import continuation
from d2lrnn.errors import RunError, UserError, WeightsError
from d2lrnn.run import Run
from d2lrnn.schema import CONTROL
from d2lrnn.weights import check_weights, read_header, read_shapes, read_weights, write_weights

MEMORY = 300 << 20  # bytes beyond what the process has before
SECONDS = 10  # for a file

TEXT = ("The sea is low, and the boat is on its side. " * 5).encode()
PAIRS = ("Go on.\tVa.\nRun!\tCours !\n" * 20).encode()


@pytest.fixture(scope="module", autouse=True)
def little_memory():
    resource = pytest.importorskip("resource")
    pages = Path("/proc/self/statm")
    if not pages.exists():  # where the size of a process is not told, it is not bounded
        yield
        return
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(pages.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (before, hard))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("strangers")


@pytest.fixture(scope="module")
def good(folder, write_run):
    return write_run(folder / "good")


@pytest.fixture(scope="module")
def run(folder, write_run):
    """A run with a checkpoint, whose files are damaged and mended again."""
    path = write_run(folder / "run", "jax")
    history = json.loads((path / "history.json").read_text())
    arrays = {f"model/{n}": a for n, a in read_weights(path / "initial.safetensors").items()}
    arrays |= {"optimizer/0/momentum_buffer": np.zeros((5, 3)), "optimizer/group 0/lr": np.ones(())}
    arrays |= {"bias/rnn.rnn.bias": np.zeros(3, np.float32)}
    state = {"epoch": 3, "seed": 0, "history": history, "model_seed": 0, "minibatches": [9, 6]}
    state |= {"backend": "jax", "arrays": sorted(arrays), "crc32": checkpoints.crc32(arrays)}
    state["belongs_to"] = {"model": {"num_hiddens": 3}, "optimizer": {"lr": 1.0}}
    write_weights(path / "checkpoint.safetensors", arrays, checkpoint=state)
    return path


def fuzz(examples, read, files):
    """Let `read` read `examples` of `files`; library errors are right, any other is not."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=SECONDS),
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(files)
    def read_one(file):
        try:
            read(file)
        except UserError as error:
            assert not CONTROL.search(str(error))  # it would steer the terminal

    read_one()


# The readers -----------------------------------------------------------------------------------------


def generated(path, _):
    """As `d2lrnn generate`."""
    run = Run.open(path, unfinished=True).expect(translates=False)
    step = run.stepper()
    return continuation(step, "a b", 8, run.vocab)


def resumed(path, _):
    """As `d2lrnn train --resume`, before a model is made."""
    run = Run.open(path, unfinished=True)
    run.check_before_resuming()
    return run.epochs_of(run.checkpoint), checkpoints.read(run.checkpoint)


def compared(path, good):
    """As `d2lrnn compare`, but for the pictures."""
    found = compare([good, path])
    return found.to_dict(), markdown.render(found), page.render(found), repr(found)


@pytest.fixture
def undrawn(monkeypatch):
    """Plots without a picture, which take longer to draw than all else."""
    for name in ("svg", "dark_svg", "png"):
        monkeypatch.setattr(plots.Plot, name, b"")


@pytest.mark.parametrize(
    ("read", "name", "examples"),
    [
        (generated, "config.json", 1300),
        (generated, "vocab.json", 500),
        (generated, "weights.safetensors", 700),
        (resumed, "config.json", 300),
        (resumed, "checkpoint.safetensors", 1500),
        (compared, "config.json", 400),
        (compared, "history.json", 400),
        (compared, "samples.json", 100),
        (compared, "sources.json", 100),
        (compared, "versions.json", 100),
        (compared, "vocab.json", 100),
        (compared, "initial.safetensors", 100),
        (compared, "weights.safetensors", 100),
    ],
)
def test_runs(run, good, undrawn, read, name, examples):
    file = run / name
    content = file.read_bytes()

    def read_run(content):
        file.write_bytes(content)
        read(run, good)

    if name.endswith(".json"):
        texts = json_texts(json.loads(content))
        files = st.one_of(texts, texts, texts, damaged(content))
    else:
        files = safetensors(content)
    try:
        fuzz(examples, read_run, files)
    finally:
        file.write_bytes(content)


def test_weights(folder, good):
    file = folder / "weights"
    write_weights(file, read_weights(good / "weights.safetensors"), activation="tanh")
    content, shapes = file.read_bytes(), read_shapes(file)

    def read(content):
        file.write_bytes(content)
        read_header(file)
        check_weights(read_weights(file), shapes)

    fuzz(1200, read, safetensors(content))


@pytest.mark.parametrize(("content", "kind"), [(TEXT, TextFile), (PAIRS, PairFile)])
def test_texts(folder, content, kind):
    def read(content):
        (folder / "text").write_bytes(content)
        kind(folder / "text", 4, 4, num_train=5, num_val=2)

    fuzz(350, read, damaged(content))


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fra-eng/fra.txt", PAIRS)
        archive.writestr("a/b.txt", TEXT)
    return file.getvalue()


def tarred(form):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{form}") as archive:
        member = tarfile.TarInfo("a/b.txt")
        member.size, member.mtime = len(TEXT), 0
        archive.addfile(member, io.BytesIO(TEXT))
    return file.getvalue()


@pytest.mark.parametrize(
    "content", [zipped(), tarred(""), tarred("xz"), tarred("bz2")], ids=["zip", "tar", "xz", "bz2"]
)
def test_archives(folder, content):
    def read(content):
        (folder / "archive").write_bytes(content)
        try:
            extract(folder / "archive", folder / "out")
        finally:
            shutil.rmtree(folder / "out", ignore_errors=True)

    fuzz(500, read, damaged(content))


def test_the_books_archive(folder, monkeypatch):
    monkeypatch.delenv("D2LRNN_DATA", raising=False)
    root = folder / "root"
    root.mkdir()

    def read(content):
        (root / "fra-eng.zip").write_bytes(content)
        MTFraEng(4, 4, 5, 2, root=root)

    fuzz(400, read, damaged(zipped()))


# What once broke a reader ------------------------------------------------------------------------------

CORPUS = [
    # An option that is of another type, out of its range, of no model, or larger than its weights.
    (generated, "config.json", ("options", "num_hiddens"), "60000", "wrong shape: rnn.W_xh is"),
    (resumed, "config.json", ("options", "num_hiddens"), "60000", "wrong shape: rnn.W_xh is"),
    (generated, "config.json", ("options", "num_layers"), "1000000000", "of 1000000000 layers"),
    (
        generated,
        "config.json",
        ("options", "num_hiddens"),
        '"3"',
        "`options.num_hiddens`|num_hiddens",
    ),
    (generated, "config.json", ("options", "lr"), "-1", "Received: lr=-1"),
    (generated, "config.json", ("options", "model"), '"NaN"', "--model NaN, which this d2lrnn"),
    (generated, "config.json", ("options", "model"), "{}", "`str`.*options.model"),
    (
        generated,
        "config.json",
        ("options", "model"),
        '"seq2seq"',
        "lacks attention, dropout, embed_size",
    ),
    (generated, "config.json", ("options",), "1.5", "`object`.*options"),
    (generated, "config.json", ("data",), '"x"', "`object`.*data"),
    (generated, "config.json", ("data", "letters"), '"x"', "vocab.json.*letters"),
    (generated, "config.json", ("options",), "[" * 50_000, "nested too deeply|truncated|malformed"),
    (generated, "config.json", ("options",), "[" * 50_000 + "]" * 50_000, "nested too deeply"),
    (generated, "vocab.json", (0,), r'"\ud800"', "vocab.json is damaged"),
    (compared, "config.json", ("options", "num_train"), '"x"', "num_train"),
    (compared, "config.json", ("peak_memory",), "9" * 400, "config.json is damaged"),
    (compared, "history.json", (1, "train_ppl"), "{}", "history.json is damaged.*train_ppl"),
    (compared, "history.json", (1, "val_ppl"), "0", "history.json is damaged.*val_ppl"),
    (compared, "history.json", (1, "epoch"), "7", "Expected epoch 2, got 7"),
    (compared, "samples.json", (0, "after"), "1", "samples.json is damaged.*after"),
    (compared, "sources.json", ("RNN", "source"), "1", "sources.json is damaged.*source"),
    # What is taken as it is.
    (compared, "config.json", ("options", "x"), "[1]", None),
    (compared, "config.json", ("options", "model"), '"../../x"', None),
    (compared, "history.json", (1, "train_ppl"), '"NaN"', None),
    (compared, "history.json", (2, "val_ppl"), '"Infinity"', None),
    (compared, "history.json", (1, "seconds"), "0", None),
    (compared, "history.json", (), "[]", None),
]


@pytest.mark.parametrize(("read", "name", "where", "new", "error"), CORPUS)
def test_a_file_of_a_run_that_broke_a_reader(
    write_run, run, good, tmp_path, read, name, where, new, error
):
    path = shutil.copytree(run, tmp_path / "run")
    value = json.loads((path / name).read_text(encoding="utf-8"))
    text = json.dumps(replaced(value, where, lambda _: "@@")) if where else '"@@"'
    (path / name).write_text(text.replace('"@@"', new), encoding="utf-8")
    if error is None:
        read(path, good)
        return
    with pytest.raises(UserError, match=error) as caught:
        read(path, good)
    assert str(path) in str(caught.value)


def put(state, where, new):
    return replaced(state, where, lambda _: new)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            lambda state, arrays: (put(state, ("epoch",), 10**6), arrays),
            "tells 1000000 epochs, and a history of 3",
        ),
        (
            lambda state, arrays: (put(state, ("history",), []), arrays),
            "3 epochs, and a history of 0",
        ),
        (lambda state, arrays: (put(state, ("epoch",), None), arrays), "`int`, got `null`.*epoch"),
        (
            lambda state, arrays: (put(state, ("history", 0, "epoch"), 2), arrays),
            "Expected epoch 1, got 2",
        ),
        (lambda state, arrays: (put(state, ("history", 0), 1), arrays), r"`object`.*history\[0\]"),
        (lambda state, arrays: (put(state, ("model_seed",), -1), arrays), "model_seed"),
        (lambda state, arrays: (put(state, ("minibatches",), [1]), arrays), "minibatches"),
        (lambda state, arrays: ([], arrays), "`object`, got `array`"),
        (
            lambda state, arrays: (state, {**arrays, "x": np.zeros(1)}),
            "it should have x, or not have",
        ),
        (
            lambda state, arrays: (state, {n: a for n, a in arrays.items() if "momentum" not in n}),
            "it should have optimizer/0/momentum_buffer",
        ),
        (
            lambda state, arrays: (
                state,
                {n: a + 1e-6 * (n == "model/rnn.W_hh") for n, a in arrays.items()},
            ),
            "its arrays are not those that were written",
        ),
        (
            lambda state, arrays: (
                {n: v for n, v in state.items() if n not in ("crc32", "arrays")},
                {**arrays, "other/x": np.zeros(1)},
            ),
            "it has an array other/x",
        ),
    ],
)
def test_a_checkpoint_that_is_not_whole(run, tmp_path, change, error):
    file = run / "checkpoint.safetensors"
    state, arrays = change(read_header(file)["checkpoint"], read_weights(file))
    write_weights(tmp_path / "damaged", arrays, checkpoint=state)
    with pytest.raises(WeightsError, match=rf"(?s)The checkpoint .*damaged is damaged: .*{error}"):
        checkpoints.read(tmp_path / "damaged")


def test_a_checkpoint_comes_back_whole(run):
    checkpoint = checkpoints.read(run / "checkpoint.safetensors")
    assert checkpoint.optimizer.keys() == {"0/momentum_buffer", "group 0/lr"}
    assert checkpoint.biases.keys() == {"rnn.rnn.bias"}
    assert checkpoint.weights.keys() == read_weights(run / "initial.safetensors").keys()
    assert checkpoint.state["epoch"] == len(checkpoint.state["history"]) == 3


def test_no_model_is_made_that_is_not_of_the_weights(run, tmp_path, monkeypatch):
    path = shutil.copytree(run, tmp_path / "run")
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config["options"]["num_hiddens"] = 60_000
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr("d2lrnn.models.build_for", lambda *_: pytest.fail("a model was made"))
    with pytest.raises(RunError, match=r"wrong shape: rnn\.W_hh is \(3, 3\), the model"):
        Run.open(path).model()


def test_a_header_that_is_no_object(tmp_path):
    for header in ("[]", "1", "[" * 50_000 + "]" * 50_000, "{"):
        save_file({"b": np.zeros(1)}, tmp_path / "w", metadata={"d2lrnn": header})
        with pytest.raises(WeightsError, match="not a safetensors file that can be read"):
            read_header(tmp_path / "w")


EVIL = "\x1b[31m<script>alert(1)</script> & `x` | $x^{$ _a_ [b](c)\r\n# d\x00"


def test_a_report_escapes_what_runs_say(write_run, tmp_path):
    said = {"config": {"device": EVIL, "data": {"source": EVIL, "sha1": EVIL}}, "after": EVIL}
    runs = [
        write_run(tmp_path / "one", EVIL, source=EVIL, options={"model": f"../../{EVIL}"}, **said),
        write_run(tmp_path / "two", f"_{EVIL}", initial=4, options={"model": "../../y"}, **said),
        write_run(tmp_path / "three", EVIL, initial=5, **said),
        write_run(tmp_path / "four", EVIL, initial=5, **said),
        write_run(tmp_path / "five", EVIL, config={"status": "failed", "error": EVIL}),
    ]
    sources = json.loads((runs[0] / "sources.json").read_text())
    sources[f"RNN{EVIL}"] = {"module": EVIL, "source": EVIL}
    (runs[0] / "sources.json").write_text(json.dumps(sources))
    found = compare(runs)
    folder = found.write(tmp_path / "reports" / "one").parent
    for file in (*folder.glob("report.*"), *folder.glob("*.svg")):
        text = file.read_text(encoding="utf-8")
        assert not CONTROL.search(text.replace("\\u", ""))
        if file.suffix == ".html":
            assert "<script" not in text
    outside_of_code = re.sub(
        r"(`+)(?!`).*?(?<!`)\1(?!`)", "", (folder / "report.md").read_text(), flags=re.S
    )
    assert "\\<script\\>" in outside_of_code
    for mark in ("<", "[", "&", "|x", "$", "_a"):
        assert not re.search(rf"(?<!\\){re.escape(mark)}", outside_of_code.replace("![", "")), mark
    assert not CONTROL.search(repr(found))
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["one"]
    assert all(re.fullmatch(r"[a-z0-9-]+\.[a-z]+", path.name) for path in folder.iterdir())
