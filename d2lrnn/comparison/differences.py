"""How far the runs of a group are apart: in their curves, their weights, their texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from d2lrnn.comparison.groups import Group
from d2lrnn.comparison.measures import PERPLEXITIES
from d2lrnn.weights import Weights

TOGETHER = 1e-3  # relative; far above the rounding of float32, far below what a reader would notice


def spread(group: Group, key: str) -> list[float]:
    """How far apart the curves of `key` are, epoch by epoch: (largest - smallest) / mean.

    It goes as far as all curves go, and is empty where fewer than two runs have one.
    """
    curves = group.curves(key)
    if len(curves) < 2:
        return []
    shortest = min(map(len, curves.values()))
    values = np.array([curve[:shortest] for curve in curves.values()])  # (num_runs, epochs)
    with np.errstate(invalid="ignore"):
        spreads: list[float] = (np.ptp(values, axis=0) / values.mean(axis=0)).tolist()
    return spreads


def epochs_together(group: Group) -> int:
    """How many epochs from the first on all curves stay within `TOGETHER` of one another."""
    spreads = [of_key for key in PERPLEXITIES if (of_key := spread(group, key))]
    apart = (
        epoch
        for epoch, at in enumerate(zip(*spreads, strict=False))
        if not all(value <= TOGETHER for value in at)
    )
    return next(apart, min(map(len, spreads), default=0))


@dataclass(frozen=True)
class Largest:
    """The largest difference of an entry of a weight between any two runs, and which two."""

    difference: float
    between: tuple[str, str]


@dataclass(frozen=True)
class WeightDifference:
    """How much a weight differs inside a group, before training and after."""

    name: str
    shape: tuple[int, ...]
    initial: Largest
    final: Largest
    largest: float  # the largest magnitude of any final entry


def of_weights(group: Group) -> list[WeightDifference]:
    """The largest difference of each weight, of runs from the same weights.

    Others have none: hidden units have no order, and may have learned the same in other places.
    """
    if not group.same_start or len(group.trained) < 2:
        return []
    initial = {entry.label: entry.run.initial_weights for entry in group.trained}
    final = {entry.label: entry.run.weights for entry in group.trained}
    return [
        WeightDifference(
            name,
            weight.shape,
            _largest(name, initial),
            _largest(name, final),
            max(float(np.abs(weights[name]).max(initial=0)) for weights in final.values()),
        )
        for name, weight in group.trained[0].run.weights.items()
    ]


def _largest(name: str, weights: Mapping[str, Weights]) -> Largest:
    labels = list(weights)
    values = np.array([w[name].ravel() for w in weights.values()], np.float64)  # (num_runs, size)
    entry = int(np.argmax(np.ptp(values, axis=0)))
    low, high = int(values[:, entry].argmin()), int(values[:, entry].argmax())
    return Largest(
        float(values[high, entry] - values[low, entry]),
        (labels[min(low, high)], labels[max(low, high)]),
    )


@dataclass(frozen=True)
class Continuations:
    """What the runs of a group made of one prefix.

    Attributes:
        prefix: the text that was continued.
        when: before or after training.
        texts: the whole text, by label.
        same: how many characters from the start are the same in all texts.
        differ: whether the texts differ at that place, or end there.
    """

    prefix: str
    when: Literal["before", "after"]
    texts: Mapping[str, str]
    same: int
    differ: bool


def of_texts(group: Group) -> list[Continuations]:
    """The continuations of each prefix, first those after training, then those before."""
    continuations = []
    samples = [(entry.label, sample) for entry in group.trained for sample in entry.run.samples]
    whens: tuple[Literal["after", "before"], ...] = ("after", "before")
    for when in whens:
        for prefix in dict.fromkeys(sample["prefix"] for _, sample in samples):
            texts = {label: sample[when] for label, sample in samples if sample["prefix"] == prefix}
            shortest = min(map(len, texts.values()))
            columns = zip(*texts.values(), strict=False)  # the characters at each place
            same = next((i for i, at in enumerate(columns) if len(set(at)) > 1), shortest)
            differ = same < shortest
            continuations.append(Continuations(prefix, when, texts, same, differ))
    return continuations
