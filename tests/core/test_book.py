"""The site of the book: how executed notebooks become one, and that the API is all there."""

import importlib.util
import json
import re
import sys
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
    sys.path.insert(0, str(BOOK))  # as for a script that lies there
    spec = importlib.util.spec_from_file_location("merge", BOOK / "merge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(BOOK))
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


def test_what_they_printed_differently_stands_below(merge):
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


def test_cells_of_single_frameworks_become_one_set(merge):
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


TITLE = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# 9.1 Text\n", "More"]}


@pytest.fixture
def command(merge, tmp_path, monkeypatch):
    """Runs the command on one notebook, `9.1-text.ipynb`, executed by PyTorch alone."""
    source = notebook(TITLE, code("a", "print(1)"), code("j", "%%tab jax\n2"))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "9.1-text.ipynb").write_text(json.dumps(source))

    def run(*options, about=None):
        if about is not None:
            copy = executed(source, a=[stream("1")])
            copy["metadata"]["d2lrnn"] = about
            (tmp_path / "executed" / "torch").mkdir(parents=True, exist_ok=True)
            (tmp_path / "executed" / "torch" / "9.1-text.ipynb").write_text(json.dumps(copy))
        paths = [str(tmp_path / name) for name in ("notebooks", "executed", "output")]
        monkeypatch.setattr("sys.argv", ["merge.py", *paths, "--backends", "torch", *options])
        return merge.main()

    return run


def test_the_command(command, tmp_path, capsys):
    output = tmp_path / "output"
    assert command() == 1
    assert "torch has not executed 9.1-text.ipynb" in capsys.readouterr().err
    assert command("--check", about={"seconds": 117}) == 0
    assert not output.exists()
    assert command() == 0
    links = json.loads((output / "chapter-9" / "9.1-text.ipynb").read_text())["cells"][0]["source"]
    assert "Runs in 2 minutes on PyTorch" in links and "on JAX" not in links
    for folder in ("", "torch/", "jax/", "mxnet/", "tensorflow/"):
        file = f"downloads/{folder}9.1-text.ipynb"
        assert f"<{file}>" in links
        written = json.loads((output / "chapter-9" / file).read_text())
        ids = [cell["id"] for cell in written["cells"]]
        assert ("j" in ids) == (folder in ("", "jax/"))
    matrix = (output / "matrix.html").read_text()
    assert '<a href="chapter-9/9.1-text.html">9.1 Text</a>' in matrix
    assert '<a href="chapter-9/9.1-text.html?framework=torch" ' in matrix and "2 minutes" in matrix
    assert matrix.count("not executed") == 3
    assert not (output / "short.txt").exists()


def test_short_runs_are_told_to_the_whole_site(command, tmp_path):
    assert command(about={"quick": True, "seconds": 117}) == 0
    assert "short runs" in (tmp_path / "output" / "short.txt").read_text()
    assert "short run" in (tmp_path / "output" / "matrix.html").read_text()
    page = (tmp_path / "output" / "chapter-9" / "9.1-text.ipynb").read_text()
    assert "Runs in" not in page


def test_cells_left_out_of_a_short_run_do_not_count_as_missing(merge):
    check = code("c", "assert x == 1", tags=["remove-cell", "in-full"])
    source = notebook(TITLE, code("a", "x = 1"), check)
    copies = on_all(merge, source)
    copies["jax"]["cells"][2]["execution_count"] = None
    with pytest.raises(merge.CopyError, match="jax executed ends before the cell c"):
        merge.merge(source, copies)
    copies["jax"]["metadata"]["d2lrnn"] = {"quick": True}
    assert len(merge.merge(source, copies)["cells"]) == 2


def test_the_projects_address_gives_links(command, merge, tmp_path, monkeypatch):
    def links(**urls):
        monkeypatch.setattr(merge, "project_urls", lambda: urls)
        assert command(about={}) == 0
        page = tmp_path / "output" / "chapter-9" / "9.1-text.ipynb"
        return json.loads(page.read_text())["cells"][0]["source"]

    on_github = links(Source="https://github.com/someone/d2lrnn")
    file = "someone/d2lrnn/blob/main/notebooks/9.1-text.ipynb"
    assert f"[Open in Colab](https://colab.research.google.com/github/{file})" in on_github
    assert f"[Source](https://github.com/{file})" in on_github
    elsewhere = links(Source="https://codeberg.org/someone/d2lrnn")
    assert "[Source](https://codeberg.org/" in elsewhere and "Colab" not in elsewhere
    assert "Source" not in links()


@pytest.mark.parametrize(
    "seconds, words",
    [(8, "a few seconds"), (30, "half a minute"), (61, "a minute"), (110, "2 minutes")],
)
def test_times_are_told_as_one_says_them(merge, seconds, words):
    assert merge.spoken(seconds) == words


def test_the_tabs_are_those_of_the_backends(merge):
    assert set(merge.FRAMEWORKS) == set(backend.DEFAULT_ORDER)


def test_every_public_name_stands_in_the_api():
    pages = " ".join(path.read_text(encoding="utf-8") for path in (BOOK / "api").glob("*.rst"))
    words = set(pages.replace(".", " ").replace("``", " ").split())
    assert {*_CORE, *backend.REQUIRED} - words == set()


def test_every_equation_that_a_notebook_names_is_there():
    named, there = {}, []
    for path in sorted((BOOK.parent / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                named |= dict.fromkeys(re.findall(r"\((\d+\.\d+\.\d+)\)", text), cell["id"])
                there += re.findall(r"\\tag\{([\d.]+)\}", text)
    assert {number: cell for number, cell in named.items() if number not in there} == {}
    assert len(there) == len(set(there)) > 50
