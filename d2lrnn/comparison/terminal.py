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
    show(content, Console(file=file, width=WIDTH))
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
            console.print(_table(table, f"{section.title}: {table.caption}"))
            console.print()
    for finding in content.summary:
        console.print(f"{finding.title}. {finding.text}", **say)


def _table(table: Table, title: str) -> Any:
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
    for number, column in enumerate(table.columns):
        head = Text(column.replace(" ", "\n"))
        shown.add_column(head, justify="right" if number else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(Text(row.head), *(Text(str(cell)) for cell in row.cells))
    return shown
