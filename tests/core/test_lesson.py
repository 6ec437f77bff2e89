"""A notebook for one framework."""

import json
from pathlib import Path

import pytest

from d2lrnn import backend
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
