"""`report.md`: the comparison in GitHub's Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from d2lrnn.comparison.content import Marked, Section, Table
from d2lrnn.comparison.report import Report

MARK = "**▸**"  # stands before the first character that differs


def render(report: Report) -> str:
    """The report; its plots are files beside it."""
    blocks = [f"# {report.title}"]
    blocks += [f"**{_text(s.title)}.** {_text(s.findings)}" for s in report.sections if s.findings]
    if report.warnings:
        warnings = "\n".join(f"* {_text(line)}" for line in report.warnings)
        blocks += ["## Before you compare", warnings]
    if report.failures:
        blocks.append("## Failed")
    for failure in report.failures:
        blocks += [f"**{_text(failure.label)}** failed:", _fence(failure.error, "text")]
    for section in report.sections:
        blocks += _section(section)
    for name, sources in report.sources.items():
        blocks.append(f"## Source of {_code(name)}")
        for source in sources:
            blocks += [
                f"### {_text(source.label)}",
                _code(source.module),
                _fence(source.code, "python"),
            ]
    return "\n\n".join(blocks) + "\n"


def _section(section: Section) -> Iterator[str]:
    yield f"## {_text(section.title)}"
    for paragraph in section.paragraphs:
        yield _text(paragraph)
    for plot in section.plots:
        yield f"**{_text(plot.caption)}**"
        yield f"![{_text(plot.alt)}]({plot.name}.svg)"
        for note in plot.notes:
            yield _text(note)
    for table in (*section.figures, *section.details):
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield f"**{_text(table.caption)}.** {_text(table.note)}".rstrip()
    align = "--:" if table.numeric else "---"
    lines = [
        [_text(column) for column in table.columns],
        ["---"] + [align] * (len(table.columns) - 1),
        *([_text(row.head), *map(_cell, row.cells)] for row in table.rows),
    ]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: str | Marked) -> str:
    if isinstance(cell, str):
        return _text(cell)
    same, first, rest = cell
    return f"{_code(same)}{MARK if first else ''}{_code(first + rest)}"


def _code(text: str) -> str:
    """`text` as code inside a table, whatever it holds."""
    if not text:
        return ""
    ticks = _ticks(text, 1)
    pad = " " if text[0] == "`" or text[-1] == "`" or (text[0] == text[-1] == " ") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", r"\|").replace("\n", " ")


def _fence(text: str, language: str) -> str:
    ticks = _ticks(text, 3)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _ticks(text: str, least: int) -> str:
    """More of them in a row than there are in `text`."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def _text(text: str) -> str:
    """`text` with everything escaped that Markdown would read as its own."""
    return re.sub(r"([\\`*_\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))
