"""The notebooks are kept clean, and each has its cells for every framework; running them is nox's."""

import ast
import importlib.util
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from d2lrnn import backend
from d2lrnn.tab import frameworks

FOLDER = Path(__file__).parents[2] / "notebooks"
SECTIONS = [*(f"9.{i}" for i in range(1, 8)), *(f"10.{i}" for i in range(1, 9)), "11.3", "11.4"]
PATHS = sorted(FOLDER.glob("*.ipynb"), key=lambda path: (path.name[0] == "1", path.name))

sys.path.insert(0, str(FOLDER))
from clean import cleaned  # noqa: E402

sys.path.remove(str(FOLDER))

each_notebook = pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def section(path):
    return path.name.partition("-")[0]


def test_there_is_one_notebook_a_section():
    assert [section(path) for path in PATHS] == SECTIONS


@each_notebook
def test_is_clean(path):
    text = path.read_text(encoding="utf-8")
    assert text == cleaned(text), f"run: python notebooks/clean.py notebooks/{path.name}"


@each_notebook
def test_its_cells_can_be_named(path):
    cells = nbformat.read(path, 4).cells
    ids = [cell.id for cell in cells]
    assert len(set(ids)) == len(ids)
    pattern = re.compile(section(path).replace(".", "-") + r"(-[a-z0-9]+)+")
    assert [name for name in ids if not pattern.fullmatch(name)] == []
    assert cells[0].source.startswith(f"# {section(path)} ")


@each_notebook
def test_begins_with_the_same_installation(path):
    first = code_cells(path)[0].source
    assert first == code_cells(PATHS[0])[0].source
    assert "%pip install" in first and "%load_ext d2lrnn.tab" in first


@each_notebook
def test_is_python(path):
    for cell in code_cells(path):
        source = re.sub(r"^%%tab .*", "", cell.source)
        ast.parse(TransformerManager().transform_cell(source), filename=cell.id)
        assert max(map(len, source.splitlines())) <= 100, cell.id


@each_notebook
def test_asserts_what_it_teaches(path):
    assert any("assert " in cell.source for cell in code_cells(path))


TAGS = re.compile(r"remove-cell|hide-cell|in-full|quick-\d+|raises-exception")


@each_notebook
def test_tags_are_known(path):
    for cell in nbformat.read(path, 4).cells:
        assert all(map(TAGS.fullmatch, cell.metadata.get("tags", []))), cell.id


@each_notebook
def test_shows_what_a_student_would_type(path):
    """What checks a page stands in cells that it does not show, what shortens a run in tags."""
    for cell in code_cells(path)[1:]:
        assert not re.search(r"os\.environ|\bquick\b", cell.source), cell.id
        if "remove-cell" not in cell.metadata.get("tags", []):
            assert "assert " not in cell.source, cell.id
        else:
            assert "assert " in cell.source, cell.id


@each_notebook
def test_its_figures_are_there_and_described(path):
    text = "\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    figures = re.findall(r"!\[([^\]]*)\]\((figures/[^)]+\.svg)\)", text)
    assert figures and all(len(alt.split()) >= 5 for alt, _ in figures)
    for _, file in figures:
        assert (FOLDER / file).is_file()


def test_the_figures_are_what_the_script_draws(tmp_path):
    path = FOLDER.parent / "book" / "figures.py"
    spec = importlib.util.spec_from_file_location("figures_of_the_book", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.FOLDER == FOLDER / "figures"
    script.FOLDER = tmp_path
    script.main()
    drawn, kept = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path, FOLDER / "figures")
    )
    assert drawn == kept, "run: python book/figures.py"
    for name, svg in kept.items():
        root = ElementTree.fromstring(svg)
        assert root.find("{http://www.w3.org/2000/svg}title").text, name


@each_notebook
def test_leaves_no_framework_out(path):
    """Neighbouring `%%tab` cells, with no text between them, name every framework once."""
    cells = [(cell, re.match(r"%%tab (.*)", cell.source)) for cell in nbformat.read(path, 4).cells]
    for is_tab, group in itertools.groupby(cells, key=lambda pair: pair[1] is not None):
        if is_tab:
            group = list(group)
            names = [name for _, tab in group for name in frameworks(tab[1])]
            assert sorted(names) == sorted(backend.DEFAULT_ORDER), [cell.id for cell, _ in group]


@each_notebook
def test_numbers_the_equations_of_its_section(path):
    tags = re.findall(r"\\tag\{(.*?)\}", path.read_text(encoding="utf-8"))
    assert all(tag.startswith(section(path) + ".") for tag in tags)
    assert len(set(tags)) == len(tags)


@each_notebook
def test_its_text_holds_no_control_characters(path):
    """One of a script that reflows text once stood where eight numbers had been."""
    cells = nbformat.read(path, as_version=4).cells
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", "".join(cell.source for cell in cells))


@each_notebook
def test_names_no_machine_and_no_registry(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"/home/|/work/|/tmp/|index-url|pypi\.org|C:\\\\", text) == []


@pytest.mark.timeout(300)  # two kernels, one after the other
def test_a_short_run_is_marked_and_keeps_what_is_written(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("max_epochs=100\nmax_epochs", metadata={"tags": ["quick-3"]}),
        nbformat.v4.new_code_cell("max_epochs=100\nmax_epochs"),
        nbformat.v4.new_code_cell("assert False", metadata={"tags": ["in-full", "remove-cell"]}),
    ]
    path = tmp_path / "short.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    command = [sys.executable, str(FOLDER / "execute.py"), str(tmp_path / "executed"), str(path)]
    env = {**os.environ, "D2LRNN_QUICK": "1"}
    assert subprocess.run(command, env=env, timeout=120).returncode == 0
    executed = nbformat.read(tmp_path / "executed" / "short.ipynb", 4)
    told = executed.metadata["d2lrnn"]
    assert told["quick"] is True and told["seconds"] > 0
    assert [cell.source for cell in executed.cells] == [cell.source for cell in cells]
    printed = [cell.outputs[0].data["text/plain"] for cell in executed.cells[:2]]
    assert printed == ["3", "100"] and executed.cells[2].execution_count is None
    env.pop("D2LRNN_QUICK")
    assert subprocess.run(command, env=env, timeout=120, capture_output=True).returncode == 1


def test_executing_fails_on_any_error_and_keeps_what_was_done(tmp_path):
    """Two at a time, in a kernel each; a cell that fails ends its notebook, and no other."""
    made = {"good": ["x = 6 * 7", "x"], "bad": ["x = 1", "assert x == 2, 'one is not two'", "x"]}
    made["dies"] = ["import os\nos._exit(3)"]
    for name, cells in made.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
    command = [sys.executable, str(FOLDER / "execute.py"), str(tmp_path / "executed")]

    def execute(*names):
        paths = [str(tmp_path / f"{name}.ipynb") for name in names]
        return subprocess.run([*command, *paths], capture_output=True, text=True, timeout=120)

    done = execute("bad", "dies", "good")
    assert done.returncode == 1
    assert re.search(r"^bad.ipynb: FAILED in", done.stdout, re.MULTILINE)
    assert re.search(r"^good.ipynb: ran in", done.stdout, re.MULTILINE)
    assert re.search(r"^dies.ipynb: FAILED in", done.stdout, re.MULTILINE)
    assert "one is not two" in done.stderr and "DeadKernelError" in done.stderr
    assert re.search(
        r"^failed: (bad.ipynb, dies.ipynb|dies.ipynb, bad.ipynb)$", done.stderr, re.MULTILINE
    )

    counts = {
        name: [c.execution_count for c in code_cells(tmp_path / "executed" / f"{name}.ipynb")]
        for name in ("good", "bad")
    }
    assert counts == {"good": [1, 2], "bad": [1, 2, None]}
    (printed,) = code_cells(tmp_path / "executed" / "good.ipynb")[1].outputs
    assert printed.data["text/plain"] == "42"
    assert execute("good").returncode == 0
