"""`%%tab`: cells of a notebook that belong to some frameworks only.

After `%load_ext d2lrnn.tab`, a cell that begins with `%%tab torch, mxnet` runs where one of these is
the active backend, and elsewhere is skipped with one line that says so; `%%tab all` runs everywhere,
as does a cell without the magic.

A cell that runs is an ordinary cell of which the first line has become a comment: its last
expression is shown, its own magics work, and a traceback has the cell's line numbers. So the work is
done by an input transformer; the magic itself sees only cells to skip, and names to refuse.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from d2lrnn import backend
from d2lrnn.errors import ArgumentError, UserError

ALL = "all"


def load_ipython_extension(shell: Any) -> None:
    """Called by `%load_ext d2lrnn.tab`."""
    if run_on_active not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(run_on_active)
    shell.register_magic_function(tab, "cell")


def unload_ipython_extension(shell: Any) -> None:
    """Called by `%unload_ext d2lrnn.tab`."""
    shell.input_transformers_cleanup.remove(run_on_active)
    del shell.magics_manager.magics["cell"]["tab"]


def frameworks(line: str) -> tuple[str, ...]:
    """The names that stand after `%%tab`, with commas, spaces or both between them.

    Raises:
        BackendError: one of them is not `all` and names no backend; the message lists those that
            there are, and suggests the nearest.
        ArgumentError: there are none.
    """
    names = tuple(re.split(r"[,\s]+", line.strip(" ,\t\n")))
    if names == ("",):
        raise ArgumentError(
            f"%%tab needs names after it: of {', '.join(backend.found())}, or {ALL}."
        )
    for name in names:
        if name != ALL:
            backend.entry_point(name)
    return names


def run_on_active(lines: list[str]) -> list[str]:
    """Input transformer: take the magic off a cell that is to run, and leave every other alone."""
    magic = re.match(r"%%tab\b(.*)", lines[0]) if lines else None
    if magic is None:
        return lines
    try:
        names = frameworks(magic[1])
        if ALL not in names and backend.name() not in names:
            return lines
    except UserError:
        return lines  # the magic will say what is wrong
    if lines[1:] and lines[1].startswith("%%"):
        return lines[1:]  # another cell magic, which must come first
    return ["# " + lines[0], *lines[1:]]


run_on_active.has_side_effects = True  # type: ignore[attr-defined]  # loads the backend


def tab(line: str, cell: str) -> None:
    """Run the cell on the frameworks named, and on others skip it.

    `%%tab torch, mxnet`, or `%%tab all`.
    """
    try:
        names = frameworks(line)
        active = backend.name()
    except UserError as error:
        usage_error: type[Exception] = importlib.import_module("IPython.core.error").UsageError
        raise usage_error(str(error)) from None
    said = f"Skipped: this cell is for {' and '.join(names)}; the kernel runs {active}."
    importlib.import_module("IPython.display").display(
        {"text/plain": said, "text/html": f'<small style="opacity: 0.6">{said}</small>'}, raw=True
    )
