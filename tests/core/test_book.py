"""The site of the book: how executed notebooks become one, and that the API is all there."""

import importlib.util
import json
from pathlib import Path

import pytest

from d2lrnn import _CORE, backend

BOOK = Path(__file__).parents[2] / "book"
SVG = (
    '<svg><dc:date>{0}</dc:date><path id="m{0}"/><use href="#m{0}"/>'
    "<!-- time --><!-- \N{MINUS SIGN}0.5 --></svg>"
)


@pytest.fixture(scope="module")
def merge():
    spec = importlib.util.spec_from_file_location("merge", BOOK / "merge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code(id, source, **metadata):
    cell = {"cell_type": "code", "id": id, "source": source, "metadata": metadata}
    return {**cell, "outputs": [], "execution_count": None}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def plot(date):
    data = {"image/svg+xml": SVG.format(date), "text/plain": "<Figure>"}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def notebook(*cells):
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def executed(source, **outputs):
    """A copy of `source` whose cells (their ids with _ for -) had these outputs."""
    copy = json.loads(json.dumps(source))
    for cell in copy["cells"]:
        if cell["cell_type"] == "code":
            cell["execution_count"] = 7
            cell["outputs"] = outputs.get(cell["id"].replace("-", "_"), [])
    return copy


def on_all(merge, source, **outputs):
    """`source` as all frameworks executed it, each with its own outputs or with the same."""
    return {
        name: executed(
            source, **{i: o[name] if isinstance(o, dict) else o for i, o in outputs.items()}
        )
        for name in merge.FRAMEWORKS
    }


def tabs(cells):
    """(set, framework, source, what it printed) of the cells that lie in tabs."""
    return [
        (
            *cell["metadata"]["tab"].values(),
            cell["source"],
            "".join(o.get("text") or o["data"]["text/plain"] for o in cell["outputs"]),
        )
        for cell in cells
        if "tab" in cell["metadata"]
    ]


def test_what_all_printed_alike_is_shown_once(merge):
    source = notebook(code("a", "print(1)"), code("b", "x = 1"))
    cells = merge.merge(source, on_all(merge, source, a=[stream("1\n")]))["cells"]
    assert [cell["id"] for cell in cells] == ["a", "b"]
    assert cells[0]["outputs"] == [stream("1\n")]
    assert tabs(cells) == []


def test_what_a_kernel_sent_in_pieces_is_one_output(merge):
    source = notebook(code("a", "print(1); x; print(2)"))
    copies = on_all(merge, source, a=[stream("1\n"), plot("0aaaaaaaaa"), stream("2\n3\n")])
    copies["jax"] = executed(source, a=[stream("1\n"), plot("0aaaaaaaaa"), stream("2\n")])
    copies["jax"]["cells"][0]["outputs"] += [stream("warning", "stderr"), stream(["3\n"])]
    (cell,) = merge.merge(source, copies)["cells"]
    assert [o.get("text") for o in cell["outputs"]] == ["1\n", None, "2\n3\n"]


def test_what_they_printed_differently_stands_in_tabs_below(merge):
    source = notebook(code("a", "print(x)"))
    printed = {name: [stream(name)] for name in merge.FRAMEWORKS} | {"jax": []}
    first, *others = merge.merge(source, on_all(merge, source, a=printed))["cells"]
    assert first["source"] == "print(x)" and first["outputs"] == []
    assert tabs(others) == [
        (0, "torch", "print(x)", "torch"),
        (0, "jax", "print(x)", "No output."),
        (0, "mxnet", "print(x)", "mxnet"),
        (0, "tensorflow", "print(x)", "tensorflow"),
    ]
    assert all("remove-input" in cell["metadata"]["tags"] for cell in others)
    assert len({cell["id"] for cell in others}) == 4


def test_cells_of_single_frameworks_become_tabs(merge):
    source = notebook(
        code("t1", "%%tab torch\nt = 1"),
        code("tj", "%%tab torch, jax\nboth"),
        code("m", "%%tab mxnet\nm = 1"),
        {"cell_type": "markdown", "id": "text", "metadata": {}, "source": "Text"},
        code("t2", "%%tab tensorflow\n1 + 1"),
        code("all", "%%tab all\nx"),
    )
    copies = on_all(merge, source, t1=[stream("Skipped")], tj={n: [stream(n)] for n in merge.ALL})
    copies["torch"]["cells"][0]["outputs"] = [stream("one")]
    cells = merge.merge(source, copies)["cells"]
    assert tabs(cells) == [
        (0, "torch", "t = 1", "one"),
        (0, "torch", "both", "torch"),
        (0, "jax", "both", "jax"),
        (0, "mxnet", "m = 1", ""),
        (0, "tensorflow", "", "TensorFlow needs no cell of its own."),
        (1, "torch", "", "PyTorch needs no cell of its own."),
        (1, "jax", "", "JAX needs no cell of its own."),
        (1, "mxnet", "", "MXNet needs no cell of its own."),
        (1, "tensorflow", "1 + 1", ""),
    ]
    assert cells[-1]["source"] == "x" and "tab" not in cells[-1]["metadata"]
    assert len({cell["id"] for cell in cells}) == len(cells)


def test_a_framework_that_was_left_out_is_marked(merge):
    source = notebook(code("a", "print(1)"), code("j", "%%tab jax\n1"), code("b", "x"))
    copies = {"torch": executed(source, a=[stream("1")])}
    cells = merge.merge(source, copies)["cells"]
    said = "Not executed when this site was built."
    assert [tab[1:] for tab in tabs(cells)] == [
        ("torch", "print(1)", "1"),
        *((name, "print(1)", said) for name in ("jax", "mxnet", "tensorflow")),
        ("torch", "", "PyTorch needs no cell of its own."),
        ("jax", "1", said),
        ("mxnet", "", "MXNet needs no cell of its own."),
        ("tensorflow", "", "TensorFlow needs no cell of its own."),
    ]


def test_plots_are_compared_without_dates_and_described_by_their_words(merge):
    source = notebook(code("a", "plot"))
    drawn = {name: [plot(f"{i}aaaaaaaaa")] for i, name in enumerate(merge.FRAMEWORKS)}
    (cell,) = merge.merge(source, on_all(merge, source, a=drawn))["cells"]
    assert len(cell["outputs"]) == 1
    assert cell["metadata"]["mystnb"]["image"]["alt"] == "Plot: time"

    drawn["jax"] = [plot("1aaaaaaaaa"), stream("other")]
    _, _, jax, *_ = merge.merge(source, on_all(merge, source, a=drawn))["cells"]
    assert jax["metadata"]["mystnb"]["image"]["alt"] == "Plot on JAX: time"


def test_warnings_are_left_out_and_the_set_up_is_folded(merge):
    source = notebook(code("s", "%load_ext d2lrnn.tab"), code("a", "x"))
    copies = on_all(merge, source, s=[stream("pip")], a=[stream("/some/path", "stderr")])
    setup, cell = merge.merge(source, copies)["cells"]
    assert setup["metadata"]["tags"] == ["hide-input"] and setup["outputs"] == []
    assert cell["outputs"] == []


def test_copies_that_cannot_be_used_are_refused(merge):
    source = notebook(code("a", "x"), code("b", "y"))
    with pytest.raises(merge.CopyError, match=r"that jax executed is of another version"):
        merge.merge(source, {"jax": executed(notebook(code("a", "x"), code("b", "z")))})
    unfinished = executed(source)
    unfinished["cells"][1]["execution_count"] = None
    with pytest.raises(merge.CopyError, match=r"ends before the cell b"):
        merge.merge(source, {"jax": unfinished})
    error = {"output_type": "error", "ename": "KeyError", "evalue": "z", "traceback": []}
    with pytest.raises(merge.CopyError, match=r"stops at the cell a with KeyError: z"):
        merge.merge(source, {"jax": executed(source, a=[error])})
    wanted = notebook(code("a", "x", tags=["raises-exception"]))
    assert merge.merge(wanted, {"jax": executed(wanted, a=[error])})


def test_cells_that_check_what_the_page_says_are_not_seen(merge):
    check = code("c", "assert x == 1", tags=["remove-cell"])
    source = notebook(code("a", "%%tab torch\nx = 1"), check, code("b", "x"))
    cells = merge.merge(source, on_all(merge, source, b=[stream("1")]))["cells"]
    assert all("assert" not in cell["source"] for cell in cells)
    copies = on_all(merge, source)
    copies["jax"]["cells"][1]["execution_count"] = None  # it must have been executed nevertheless
    with pytest.raises(merge.CopyError, match="ends before the cell c"):
        merge.merge(source, copies)


def test_a_page_of_a_short_run_says_so(merge):
    text = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# 9.1"}
    check = code("c", "assert x == 1", tags=["remove-cell", "in-full"])
    source = notebook(text, code("a", "x = 1"), check)
    copies = on_all(merge, source)
    copies["jax"]["metadata"]["d2lrnn"] = {"quick": True}
    copies["jax"]["cells"][2]["execution_count"] = None  # left out of a short run
    title, warning, _ = merge.merge(source, copies)["cells"]
    assert title["source"] == "# 9.1" and "short run" in warning["source"]
    assert len(merge.merge(source, on_all(merge, source))["cells"]) == 2


def test_the_command(merge, tmp_path, monkeypatch, capsys):
    def run(*options):
        names = ("notebooks", "executed", "output")
        paths = [str(tmp_path / name) for name in names]
        monkeypatch.setattr("sys.argv", ["merge.py", *paths, "--backends", "torch", *options])
        return merge.main()

    text = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# 9.1\n", "Text"]}
    source = notebook(text, code("a", "print(1)"))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "9.1.ipynb").write_text(json.dumps(source))
    assert run() == 1
    assert "torch has not executed 9.1.ipynb" in capsys.readouterr().err

    (tmp_path / "executed" / "torch").mkdir(parents=True)
    copy = json.dumps(executed(source, a=[stream("1")]))
    (tmp_path / "executed" / "torch" / "9.1.ipynb").write_text(copy)
    assert run("--check") == 0
    assert not (tmp_path / "output").exists()
    assert run() == 0
    chapter = tmp_path / "output" / "chapter-9"
    page = json.loads((chapter / "9.1.ipynb").read_text())
    assert "{download}`Download the notebook <downloads/9.1.ipynb>`" in page["cells"][0]["source"]
    assert json.loads((chapter / "downloads" / "9.1.ipynb").read_text()) == source


def test_the_tabs_are_those_of_the_backends(merge):
    assert set(merge.FRAMEWORKS) == set(backend.DEFAULT_ORDER)


def test_every_public_name_stands_in_the_api():
    pages = " ".join(path.read_text(encoding="utf-8") for path in (BOOK / "api").glob("*.rst"))
    words = set(pages.replace(".", " ").replace("``", " ").split())
    assert {*_CORE, *backend.REQUIRED} - words == set()
