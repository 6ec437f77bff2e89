"""Tables of the command line: `d2lrnn runs`, the runs below a folder, and `d2lrnn models`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from d2lrnn import checkpoints
from d2lrnn.errors import UserError
from d2lrnn.run import Row, Run

COLUMNS = ("Run", "State", "Backend", "Model", "Epochs", "Training", "Validation", "Lowest")
DEPTH = 2  # of folders below the one that is asked for: `nox -s compare` makes folders of runs


WIDTH = 110  # of a table that goes to no terminal
SLACK = 4  # columns that rich may waste when it shares out the width


def show(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table or, where it would cut words, a paragraph for each row."""
    from rich.console import Console
    from rich.table import Column, Table

    rows = list(rows)
    width = None if sys.stdout.isatty() else WIDTH
    console = Console(width=width, markup=False, highlight=False)
    # A word is never cut: columns are at least as wide as their longest.
    words = ([word for row in [heads, *rows] for word in row[i].split()] for i in range(len(heads)))
    widths = [max(map(len, of_column), default=0) for of_column in words]
    columns = zip(heads, widths, strict=True)
    table = Table(*(Column(head, min_width=w, overflow="fold") for head, w in columns))
    if sum(widths) + 3 * len(widths) + 1 + SLACK > console.width:
        for first, second, *others in rows:
            told = [f"{h.lower()} {v}" for h, v in zip(heads[2:], others, strict=True) if v]
            console.print(f"{first}: {second}; {', '.join(told)}")
        return
    for row in rows:
        table.add_row(*row)
    if rows:
        console.print(table)


def overview(folder: Path) -> Iterator[tuple[str, ...]]:
    """A row of `COLUMNS` for each run below `folder`, the oldest first; perplexities are those at its end."""
    found = {
        path.parent for n in range(DEPTH + 1) for path in folder.glob("*/" * n + "config.json")
    }
    rows = [_row(path) for path in found]
    yield from (row for _, row in sorted(rows))


def _row(path: Path) -> tuple[str, tuple[str, ...]]:
    """When it was started, and what the table has of it."""
    try:
        run = Run.open(path, unfinished=True)
        history = history_of(run)
    except UserError:  # which says why to whoever opens it
        return "", (str(path), "damaged", *[""] * (len(COLUMNS) - 2))
    options, last = run.config["options"], history[-1] if history else {}
    lowest = min((float(row["val_ppl"]) for row in history if "val_ppl" in row), default=None)
    figures = (last.get("train_ppl"), last.get("val_ppl"), lowest)
    of = options.get("max_epochs")
    epochs = f"{len(history)} of {of}" if of else str(len(history))
    told = (str(path), state_of(run), run.backend, options["model"], epochs)
    return run.config.get("started", ""), (*told, *map(_number, figures))


def state_of(run: Run) -> str:
    """How a run is, in a word or two."""
    if run.diverged:
        return "diverged"
    if run.config["status"] == "running":
        return "in training" if run.is_in_training else "broken off"
    return str(run.config["status"])


def history_of(run: Run) -> list[Row]:
    """The epochs of a run in any state: of one that has not ended those up to its last checkpoint."""
    if (run.path / "history.json").is_file():
        return run.history
    if run.checkpoint.is_file():
        history: list[Row] = checkpoints.read_state(run.checkpoint)["history"]
        return history
    return []


def _number(value: float | None) -> str:
    return "" if value is None else f"{float(value):.2f}" if float(value) < 1e4 else f"{value:.1e}"
