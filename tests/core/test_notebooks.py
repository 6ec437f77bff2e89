"""The notebooks are kept clean, and each has its cells for every framework; running them is nox's."""

import ast
import itertools
import re
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from d2lrnn import backend
from d2lrnn.tab import frameworks

FOLDER = Path(__file__).parents[2] / "notebooks"
SECTIONS = ["9.1", "9.2", "9.3", "9.4", "9.5", "9.6", "9.7"]
PATHS = sorted(FOLDER.glob("*.ipynb"))

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
def test_names_no_machine_and_no_registry(path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"/home/|/work/|/tmp/|index-url|pypi\.org|C:\\\\", text) == []
