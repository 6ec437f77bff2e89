"""The comparison in a terminal: its tables of figures."""

from __future__ import annotations

import io
from typing import Any

from d2lrnn.comparison.content import Content, Table

WIDTH = 110  # of a text that goes to no terminal


def to_text(content: Content) -> str:
    """The tables as plain text."""
    from rich.console import Console

    file = io.StringIO()
    # In a notebook rich would display what it is to write, and write it in colours.
    plain: dict[str, Any] = {"force_jupyter": False, "force_terminal": False, "color_system": None}
    show(content, Console(file=file, width=WIDTH, **plain))
    return file.getvalue().rstrip("\n")


def show(content: Content, console: Any) -> None:
    """Print the findings and the tables to a `rich` console."""
    say = {"highlight": False, "markup": False, "soft_wrap": False}
    for failure in content.failures:
        console.print(f"{failure.label} failed: {failure.error}\n", style="bold", **say)
    for warning in content.warnings:
        console.print(f"Note: {warning}\n", **say)
    for section in content.sections:
        for table in section.figures:
            title = f"{section.title}: {table.caption}"
            for part in _fitting(table, console.width):
                console.print(_table(part, title, console.width))
                console.print()
    for finding in content.summary:
        console.print(f"{finding.title}. {finding.text}", **say)


def _fitting(table: Table, width: int) -> list[Table]:
    """The table, or as many as its columns need: figures are never cut, heads stand in all of them."""
    room = width - 1 - _head_width(table, width)
    parts: list[list[int]] = [[]]
    left = room
    for place, name in enumerate(table.columns[1:]):
        cells = (str(row.cells[place]) for row in table.rows)
        needed = max(map(len, (*name.split(" "), *cells))) + 2
        if parts[-1] and needed > left:
            parts.append([])
            left = room
        parts[-1].append(place)
        left -= needed
    return [table.only(part) for part in parts]


def _head_width(table: Table, width: int) -> int:
    """The width of the first column, in which longer names are broken."""
    return min(max((len(row.head) for row in table.rows), default=0) + 2, width // 2)


def _table(table: Table, title: str, width: int) -> Any:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    shown.add_column(Text(table.columns[0]), overflow="fold", max_width=_head_width(table, width))
    for column in table.columns[1:]:
        shown.add_column(Text(column.replace(" ", "\n")), justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.head), *(Text(str(cell)) for cell in row.cells))
    return shown
