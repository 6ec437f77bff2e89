"""The figures of one run: perplexity, time, memory, size."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np

from d2lrnn.run import Run

PERPLEXITIES = {"train_ppl": "training", "val_ppl": "validation"}


class Best(NamedTuple):
    perplexity: float
    epoch: int


@dataclass(frozen=True)
class Measures:
    """The figures of a run; None where it has none."""

    epochs: int  # that it finished
    out_of_bounds: list[int]  # the epochs in which a perplexity was not finite or above its bound
    diverged: int | None  # the epoch from which on it was so, to the end
    train_ppl: float | None  # of the last epoch, taken while the weights change
    val_ppl: float | None  # after the last epoch
    best_train: Best | None  # the lowest of all epochs
    best_val: Best | None
    seconds: float | None  # of an epoch with its validation: the median of all but the first
    quartiles: tuple[float, float] | None  # the first and the third of the same
    compile_seconds: float | None  # how much longer than that median the first epoch took
    tokens_per_second: float | None  # those of training and validation over the median
    peak_memory: int | None  # the largest resident memory of the process, in bytes
    num_parameters: int
    bleu_2: float | None = None  # of one that translates: the mean over the validation sentences


def measure(run: Run) -> Measures:
    """The figures of `run`."""
    options, history = run.config["options"], run.history
    bounded = {
        int(row["epoch"])
        for row in history
        if all(row[key] <= run.bound for key in PERPLEXITIES if key in row)
    }
    end = max(bounded, default=0) + 1
    last = history[-1] if history else {}
    first, *others = [row["seconds"] for row in history] or [nan]
    seconds = float(np.median(others)) if others else None
    low, high = np.quantile(others, (0.25, 0.75)).tolist() if others else (nan, nan)
    tokens = (options["num_train"] + options["num_val"]) * options["num_steps"]
    return Measures(
        epochs=len(history),
        out_of_bounds=[epoch for row in history if (epoch := int(row["epoch"])) not in bounded],
        # The epoch in which a training ends because it diverges is in no history.
        diverged=end if end <= len(history) + run.diverged else None,
        train_ppl=last.get("train_ppl"),
        val_ppl=last.get("val_ppl"),
        best_train=_best(run, "train_ppl"),
        best_val=_best(run, "val_ppl"),
        seconds=seconds,
        quartiles=(low, high) if others else None,
        compile_seconds=None if seconds is None else max(first - seconds, 0.0),
        tokens_per_second=tokens / seconds if seconds else None,
        peak_memory=run.config.get("peak_memory"),
        num_parameters=sum(array.size for array in run.initial_weights.values()),
        bleu_2=run.config.get("scores", {}).get("bleu_2"),
    )


def _best(run: Run, key: str) -> Best | None:
    # Not NaN, which min would take for the lowest where it comes first.
    rows = [Best(p, int(row["epoch"])) for row in run.history if (p := row.get(key, nan)) == p]
    return min(rows, default=None)
