"""Finished runs side by side: `d2l.compare(runs)`, `d2lrnn compare RUN RUN ...`, `nox -s compare`.

`reading` opens the runs and refuses what is none; `architecture` tells their models, `measures` their
figures. `groups` puts together those that can be drawn into one plot, `differences` tells how far these
are apart. `report` makes of all that sections of `sentences`, `tables` and `curves`, which `page`,
`markdown` and `terminal` show. No framework is imported: any core can compare runs of any backend.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from d2lrnn import atomic
from d2lrnn.arguments import File, expect, shown
from d2lrnn.comparison import markdown, page, plots, record, terminal
from d2lrnn.comparison.reading import read
from d2lrnn.comparison.report import Report
from d2lrnn.errors import ArgumentError, RunError
from d2lrnn.run import Run

__all__ = ["Comparison", "compare"]


def compare(runs: Iterable[str | os.PathLike[str] | Run]) -> Comparison:
    """Lay finished runs side by side, whichever backends wrote them.

    In a notebook the result shows the tables and plots; `write` makes a report of it::

        d2l.compare(["runs/first", "runs/second"]).write("report")

    Args:
        runs: at least two folders that `d2lrnn train` has written, or `Run` objects.

    Raises:
        ArgumentError: fewer than two runs are given, or one twice.
        RunError: a folder is no run, is broken or has not finished; each is named.
    """
    if isinstance(runs, str | os.PathLike):
        raise ArgumentError(
            f"Expected runs to be a list of runs. Received: runs={os.fspath(runs)!r}, only one."
        )
    given = list(runs) if isinstance(runs, Iterable) else [None]
    if not all(isinstance(run, str | os.PathLike | Run) for run in given):
        raise ArgumentError(f"Expected runs to be a list of runs. Received: runs={shown(runs)}.")
    return Comparison(*read(given))


class Comparison(Report):
    """What `compare` returns: a report, which can be shown and written."""

    def to_dict(self) -> dict[str, Any]:
        """All figures, as in `report.json`; numbers that JSON lacks are None."""
        return record.to_dict(self)

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write the report into `folder`, which must not exist yet; returns its `report.html`.

        Raises:
            RunError: the folder exists already, or cannot be written.
        """
        path = Path(expect("folder", folder, File()))
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        files = {
            **plots.files(self.plots),
            "report.json": (text + "\n").encode(),
            "report.md": markdown.render(self).encode(),
            "report.html": page.render(self).encode(),
        }
        try:
            with atomic.new_folder(path) as part:
                for name, content in files.items():
                    atomic.write(part / name, content)
        except OSError as error:
            raise RunError(
                f"The report cannot be written to {path}: {error.strerror or error}. Choose another "
                "folder with --output."
            ) from error
        return path / "report.html"

    def __repr__(self) -> str:
        return terminal.to_text(self)

    def _repr_html_(self) -> str:
        return page.fragment(self)
