"""The comparison in a terminal: its tables of figures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from d2lrnn.comparison.content import Table
from d2lrnn.comparison.report import Report

WIDTH = 110  # of a text that goes to no terminal


def to_text(report: Report) -> str:
    """The tables as plain text."""
    from rich.console import Console

    file = io.StringIO()
    # In a notebook rich would display what it is to write, and write it in colours.
    plain: dict[str, Any] = {"force_jupyter": False, "force_terminal": False, "color_system": None}
    show(report, Console(file=file, width=WIDTH, **plain))
    return file.getvalue().rstrip("\n")


def show(report: Report, console: Any) -> None:
    """Print the findings and the tables to a `rich` console."""
    say = {"highlight": False, "markup": False, "soft_wrap": False}
    for failure in report.failures:
        console.print(f"{failure.label} failed: {failure.error}\n", style="bold", **say)
    for warning in report.warnings:
        console.print(f"Note: {warning}\n", **say)
    for section in report.sections:
        for table in section.figures:
            for part in _fitting(table, f"{section.title}: {table.caption}", console):
                console.print(part)
                console.print()
    for section in report.sections:
        if section.findings:
            console.print(f"{section.title}. {section.findings}", **say)


def _fitting(table: Table, title: str, console: Any) -> Iterator[Any]:
    """The table, or as many as its columns need: figures are never cut, heads stand in all of them."""
    unbounded = console.options.update(width=10_000)
    left = range(len(table.columns) - 1)
    while left:
        for end in range(len(left), 0, -1):
            part = _table(table.only(left[:end]), title, console.width)
            if console.measure(part, options=unbounded).maximum <= console.width:
                break
        yield part
        left = left[end:]


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
    shown.add_column(Text(table.columns[0]), overflow="fold", max_width=width // 2)
    for column in table.columns[1:]:
        shown.add_column(Text(column.replace(" ", "\n")), justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.head), *(Text(str(cell)) for cell in row.cells))
    return shown
