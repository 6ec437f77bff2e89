"""A notebook for one framework."""

import ast
import json
import re
from pathlib import Path

import pytest

from d2lrnn import backend, cli
from d2lrnn.lesson import frameworks_of, lesson, text

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("framework", backend.DEFAULT_ORDER)
def test_it_has_the_cells_of_one_and_chooses_it(framework):
    for path in NOTEBOOKS:
        source = json.loads(path.read_text(encoding="utf-8"))
        cells = lesson(source, framework)["cells"]
        mine = [
            cell["id"]
            for cell in source["cells"]
            if framework in (frameworks_of(cell) or {framework})
            if "remove-cell" not in cell["metadata"].get("tags", [])
        ]
        assert [cell["id"] for cell in cells if cell["id"] != f"choose-{framework}"] == mine
        assert not any("%%tab" in text(cell) for cell in cells if cell["cell_type"] == "code")
        first = next(cell for cell in cells if cell["cell_type"] == "code")
        assert f'os.environ["D2LRNN_BACKEND"] = "{framework}"' in first["source"]
    assert mine  # there were notebooks


def test_the_source_is_left_as_it_is():
    source = json.loads(NOTEBOOKS[0].read_text(encoding="utf-8"))
    before = json.dumps(source)
    lesson(source, "jax")
    assert json.dumps(source) == before


def test_the_command_writes_them_and_overwrites_nothing(tmp_path, capsys):
    folder = tmp_path / "lessons"
    assert cli.main(["notebooks", "--backend", "jax", str(folder)]) == 0
    assert f"{len(NOTEBOOKS)} notebooks are in {folder}." in capsys.readouterr().out
    assert sorted(path.name for path in folder.glob("*.ipynb")) == [p.name for p in NOTEBOOKS]
    assert any((folder / "figures").iterdir())
    for path in folder.glob("*.ipynb"):
        for figure in re.findall(r"\]\((figures/[^)]+)\)", path.read_text(encoding="utf-8")):
            assert (folder / figure).is_file()
    mine = folder / NOTEBOOKS[0].name
    mine.write_text("my work")
    assert cli.main(["notebooks", str(folder)]) == 1
    assert "exists already" in capsys.readouterr().err and mine.read_text() == "my work"
    assert cli.main(["notebooks", "--backend", "jacks", str(tmp_path / "other")]) == 2
    assert "jax" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_without_a_framework_they_are_as_they_are(tmp_path):
    assert cli.main(["notebooks", str(tmp_path)]) == 0
    for path in NOTEBOOKS:
        assert json.loads((tmp_path / path.name).read_text()) == json.loads(path.read_text())


def names(cell, context):
    """The names that a cell stores, or those that it loads."""
    lines = [line for line in text(cell).splitlines() if not line.lstrip().startswith("%")]
    found = set()
    for node in ast.walk(ast.parse("\n".join(line.rstrip(";") for line in lines))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            found.add(node.id)
        elif context is ast.Store and isinstance(node, ast.arg):
            found.add(node.arg)
        elif context is ast.Store and isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif context is ast.Store and isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_needs_what_only_a_check_defines(path):
    source = json.loads(path.read_text(encoding="utf-8"))
    seen, checks = set(), set()
    for cell in source["cells"]:
        if cell["cell_type"] != "code":
            continue
        if "remove-cell" in cell["metadata"].get("tags", []):
            checks |= names(cell, ast.Store)
        else:
            assert names(cell, ast.Load) & (checks - seen - names(cell, ast.Store)) == set()
            seen |= names(cell, ast.Store)
