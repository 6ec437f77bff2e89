"""A notebook of the book for one framework: without the cells of the others, and without the checks.

A notebook is what its file holds, a dict as `json` reads it; it is neither executed nor checked.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

Cell = dict[str, Any]
Notebook = dict[str, Any]

MAGIC = re.compile(r"%%tab\b(.*)\n?")
CHOICE = 'import os\n\nos.environ["D2LRNN_BACKEND"] = "{}"'


def lesson(notebook: Notebook, framework: str) -> Notebook:
    """The cells of `notebook` that are for `framework`, after one that chooses it.

    Cells with the tag `remove-cell`, which check what the text says, are left out.
    """
    kept = []
    for cell in notebook["cells"]:
        names = frameworks_of(cell)
        if "remove-cell" not in tags(cell) and (names is None or framework in names):
            kept.append({**copy.deepcopy(cell), "source": without_magic(cell)})
    first = next((i for i, cell in enumerate(kept) if cell["cell_type"] == "code"), len(kept))
    kept.insert(first, code(f"choose-{framework}", CHOICE.format(framework)))
    return {**notebook, "cells": kept}


def text(cell: Cell) -> str:
    """The source of a cell, which may be stored as a list of lines."""
    return "".join(cell["source"])


def tags(cell: Cell) -> Sequence[str]:
    found: Sequence[str] = cell["metadata"].get("tags", [])
    return found


def frameworks_of(cell: Cell) -> frozenset[str] | None:
    """For which frameworks a cell is, by what follows its `%%tab`; None for all."""
    magic = MAGIC.match(text(cell)) if cell["cell_type"] == "code" else None
    names = frozenset(re.split(r"[,\s]+", magic[1].strip(" ,"))) if magic else {"all"}
    return None if "all" in names else frozenset(names)


def without_magic(cell: Cell) -> str:
    source = text(cell)
    return MAGIC.sub("", source, count=1) if MAGIC.match(source) else source


def code(id: str, source: str) -> Cell:
    """A code cell that has not been run."""
    cell = {"cell_type": "code", "id": id, "metadata": {}, "source": source}
    return {**cell, "outputs": [], "execution_count": None}
