"""What a report is made of: sections, tables and plots that know nothing of HTML or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from d2lrnn.comparison.plots import Plot


class Marked(NamedTuple):
    """A text in which the first character that is not the same in others is marked, if there is one."""

    same: str
    first: str = ""
    rest: str = ""


@dataclass(frozen=True)
class Row:
    """A row of a table; `backend` gives its head the colour of that backend."""

    head: str
    cells: tuple[str | Marked, ...]
    backend: str | None = None


@dataclass(frozen=True)
class Table:
    """A table; `columns` name the head of its rows first, and `numeric` says that its cells are."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    numeric: bool = True

    def only(self, places: Sequence[int]) -> Table:
        """The table with these columns alone, numbered without the head of its rows."""
        columns = (self.columns[0], *(self.columns[1 + place] for place in places))
        rows = [replace(row, cells=tuple(row.cells[i] for i in places)) for row in self.rows]
        return replace(self, columns=columns, rows=tuple(rows))


@dataclass(frozen=True)
class Section:
    """A part of the report: of each of these what there is.

    Attributes:
        id: its address inside the page.
        title: its title.
        findings: what it shows, in sentences that stand at the head of the report.
        paragraphs: what its runs have in common.
        plots: its plots.
        figures: tables that a terminal and a notebook show, too.
        details: other tables.
    """

    id: str
    title: str
    findings: str = ""
    paragraphs: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    figures: tuple[Table, ...] = ()
    details: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Source:
    """A class as some runs had it installed."""

    label: str
    backend: str
    module: str
    code: str
