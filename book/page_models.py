"""The models of the pages: out of executed notebooks, for `_static/model.js`.

A cell `9-6-model-weights`, whose last expression is a `PageModels` (d2lrnn/page_models.py), leaves weights
in the copies of its notebook. `merge.py` writes them as scripts, one for each framework, since a page that
is opened from a disk may load a script and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from d2lrnn.page_models import MIME

Notebook = dict[str, Any]

CELL = "-model-weights"
PICTURE = "This is a picture of the model on PyTorch."
NOT_RUN = f"not executed when this site was built. {PICTURE}"
LEFT_OUT = f"not trained in the short run that this site was built from. {PICTURE}"


def scripts(
    source: Notebook, executed: Mapping[str, Notebook], frameworks: list[str]
) -> Iterator[tuple[str, str]]:
    """The scripts of a notebook's models, by file name: of each model one for each of the frameworks.

    One without weights says why, and the page shows its picture.
    """
    for cell in source["cells"]:
        if not cell["id"].endswith(CELL):
            continue
        model = cell["id"].removesuffix(CELL)
        for framework in frameworks:
            data = {"model": model, "framework": framework}
            if framework not in executed:
                data["missing"] = NOT_RUN
            elif (kept := kept_by(executed[framework], cell["id"])) is None:
                data["missing"] = LEFT_OUT
            else:
                metadata = executed[framework]["metadata"]
                data |= kept | {"quick": bool(metadata.get("d2lrnn", {}).get("quick"))}
            yield f"{model}-{framework}.js", f"d2lrnnModels.take({json.dumps(data)});\n"


def kept_by(notebook: Notebook, cell: str) -> dict[str, Any] | None:
    """What `PageModels` left in the output of a cell; None if it was not executed."""
    for one in notebook["cells"]:
        for output in one.get("outputs", []) if one["id"] == cell else []:
            if MIME in output.get("data", {}):
                return output["data"][MIME]
    return None


def write(
    source: Notebook, executed: Mapping[str, Notebook], frameworks: list[str], folder: Path
) -> None:
    """Write the scripts of a notebook's models into `folder`, if it has any."""
    for name, text in scripts(source, executed, frameworks):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
