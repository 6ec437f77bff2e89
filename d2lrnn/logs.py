"""What another program reads of a training while it runs: `d2lrnn train --log csv` or `tensorboard`."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from d2lrnn import shell
from d2lrnn.errors import BackendError, WriteError

Row = Mapping[str, float]


class Log(Protocol):
    """Called after each epoch with the whole history, of which it writes the rows that are new."""

    def __call__(self, history: Sequence[Row]) -> None: ...


class Csv:
    """The file `history.csv` in the folder of a run: a line an epoch, with the names of the columns first."""

    def __init__(self, folder: Path) -> None:
        self.path, self.written = folder / "history.csv", 0

    def __call__(self, history: Sequence[Row]) -> None:
        try:
            with self.path.open("a" if self.written else "w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, history[0].keys(), extrasaction="ignore")
                if not self.written:
                    writer.writeheader()
                writer.writerows(history[self.written :])
        except OSError as error:
            raise WriteError(f"{self.path} cannot be written: {error.strerror}.") from error
        self.written = len(history)


class TensorBoard:
    """Event files in the folder of a run, which `tensorboard --logdir runs` shows; the step is the epoch."""

    def __init__(self, folder: Path) -> None:
        # Of an earlier part of a run that is gone on with, nothing stays: all is written again.
        self.writer = _tensorboard().SummaryWriter(str(folder), purge_step=0)
        self.written = 0

    def __call__(self, history: Sequence[Row]) -> None:
        for row in history[self.written :]:
            for name in row.keys() - {"epoch"}:
                self.writer.add_scalar(name, row[name], int(row["epoch"]))
        self.writer.flush()
        self.written = len(history)


LOGS = {"csv": Csv, "tensorboard": TensorBoard}


def check_log(name: str | None) -> None:
    """Raise a BackendError, before anything is trained, if what writes this log is not installed."""
    if name == "tensorboard":
        _tensorboard()


def _tensorboard() -> Any:
    try:
        return importlib.import_module("tensorboardX")
    except ModuleNotFoundError as error:
        raise BackendError(
            "--log tensorboard needs tensorboardX, which is not installed. Install it with: "
            f"{shell.python()} -m pip install tensorboardX. Without it there is --log csv."
        ) from error
