"""The figures of one run: perplexity, time, memory, size."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np

from d2lrnn.run import Run

PERPLEXITIES = {"train_ppl": "training", "val_ppl": "validation"}


def out_of_bounds(run: Run) -> list[int]:
    """The epochs in which a perplexity of `run` is not finite or above its bound."""
    return [
        int(row["epoch"])
        for row in run.history
        if not all(row[key] <= run.bound for key in PERPLEXITIES if key in row)
    ]


def diverged(run: Run) -> int | None:
    """The epoch from which on `run` is out of bounds, to its end; None if it is not, or came back."""
    bounded = {int(row["epoch"]) for row in run.history} - {*out_of_bounds(run)}
    first = max(bounded, default=0) + 1
    begun = len(run.history) + run.diverged  # the epoch in which a training ends is in no history
    return first if first <= begun else None


class Best(NamedTuple):
    perplexity: float
    epoch: int


@dataclass(frozen=True)
class Measures:
    """The figures of a run; None where it has none.

    Attributes:
        epochs: how many it finished.
        diverged: the epoch from which on its perplexity was out of bounds, to the end.
        train_ppl: the perplexity of the last epoch, taken while the weights change; `val_ppl` that of
            the validation split after it.
        best_train: the lowest of all epochs; `best_val` likewise.
        seconds: the median of the epochs after the first, training and validation together.
        quartiles: the first and third quartile of the same.
        compile_seconds: how much longer than that median the first epoch took.
        tokens_per_second: those of training and validation over the median.
        peak_memory: the largest resident memory of the process, in bytes.
        num_parameters: how many numbers are trained.
    """

    epochs: int
    diverged: int | None
    train_ppl: float | None
    val_ppl: float | None
    best_train: Best | None
    best_val: Best | None
    seconds: float | None
    quartiles: tuple[float, float] | None
    compile_seconds: float | None
    tokens_per_second: float | None
    peak_memory: int | None
    num_parameters: int


def measure(run: Run) -> Measures:
    """The figures of `run`."""
    options = run.config["options"]
    others = [row["seconds"] for row in run.history[1:]]
    seconds = float(np.median(others)) if others else None
    low, high = np.quantile(others, (0.25, 0.75)) if others else (nan, nan)
    tokens = (options["num_train"] + options["num_val"]) * options["num_steps"]
    return Measures(
        epochs=len(run.history),
        diverged=diverged(run),
        train_ppl=_last(run, "train_ppl"),
        val_ppl=_last(run, "val_ppl"),
        best_train=_best(run, "train_ppl"),
        best_val=_best(run, "val_ppl"),
        seconds=seconds,
        quartiles=(float(low), float(high)) if others else None,
        compile_seconds=None if seconds is None else max(run.history[0]["seconds"] - seconds, 0.0),
        tokens_per_second=tokens / seconds if seconds else None,
        peak_memory=run.config.get("peak_memory"),
        num_parameters=sum(array.size for array in run.initial_weights.values()),
    )


def _last(run: Run, key: str) -> float | None:
    return run.history[-1].get(key) if run.history else None


def _best(run: Run, key: str) -> Best | None:
    # Not NaN, which min would take for the lowest where it comes first.
    rows = [Best(p, int(row["epoch"])) for row in run.history if (p := row.get(key, nan)) == p]
    return min(rows, default=None)
