"""How far the runs of a group are apart: in their curves, their weights, their texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np

from d2lrnn.comparison.groups import Group
from d2lrnn.comparison.measures import PERPLEXITIES

TOGETHER = 1e-3  # relative; far above the rounding of float32, far below what a reader would notice


def spread(group: Group, key: str) -> list[float]:
    """How far apart the curves of `key` are, epoch by epoch: (largest - smallest) / mean.

    It goes as far as all curves go, and is empty where fewer than two runs have one.
    """
    curves = group.curves(key).values()
    if len(curves) < 2:
        return []
    values = np.array([*zip(*curves, strict=False)])  # (epochs, num_runs)
    with np.errstate(invalid="ignore"):
        spreads: list[float] = (np.ptp(values, axis=1) / values.mean(axis=1)).tolist()
    return spreads


def epochs_together(group: Group) -> int:
    """How many epochs from the first on all curves stay within `TOGETHER` of one another."""
    spreads = [of_key for key in PERPLEXITIES if (of_key := spread(group, key))]
    epochs = zip(*spreads, strict=False)
    return len([*takewhile(lambda epoch: all(value <= TOGETHER for value in epoch), epochs)])


@dataclass(frozen=True)
class WeightDifference:
    """How far a weight is apart after trainings that began from the same one."""

    name: str
    shape: tuple[int, ...]
    difference: float  # the largest of any entry between any two runs
    between: tuple[str, str]  # the labels of these two
    largest: float  # the largest magnitude of any entry, for scale


def of_weights(group: Group) -> list[WeightDifference]:
    """The largest difference of each weight, of runs from the same weights of the same equations.

    Others have none: hidden units have no order, and may have learned the same in other places.
    """
    if not (group.same_start and group.same_equations and len(group.trained) > 1):
        return []
    found = []
    for name, weight in group.trained[0].run.weights.items():
        if not weight.size:
            continue
        of_runs = [entry.run.weights[name].ravel() for entry in group.trained]
        values = np.array(of_runs, np.float64)  # (num_runs, weight.size)
        column = values[:, np.ptp(values, axis=0).argmax()]
        first, second = sorted((int(column.argmin()), int(column.argmax())))
        found.append(
            WeightDifference(
                name,
                weight.shape,
                float(np.ptp(column)),
                (group.trained[first].label, group.trained[second].label),
                float(np.abs(values).max()),
            )
        )
    return found


@dataclass(frozen=True)
class Continuations:
    """What the runs of a group made of one prefix."""

    prefix: str
    when: Literal["before", "after"]  # training
    texts: Mapping[str, str]  # the prefix and what follows, by label
    same: int  # how many characters from the start are the same in all texts
    differ: bool  # whether that is less than the shortest has


def of_texts(group: Group) -> list[Continuations]:
    """The continuations of each prefix, first those after training, then those before."""
    continuations = []
    samples = [(entry.label, sample) for entry in group.trained for sample in entry.run.samples]
    whens: tuple[Literal["after", "before"], ...] = ("after", "before")
    for when in whens:
        for prefix in dict.fromkeys(sample["prefix"] for _, sample in samples):
            texts = {label: sample[when] for label, sample in samples if sample["prefix"] == prefix}
            places = zip(*texts.values(), strict=False)  # the characters at each
            same = len([*takewhile(lambda characters: len(set(characters)) == 1, places)])
            differ = same < min(map(len, texts.values()))
            continuations.append(Continuations(prefix, when, texts, same, differ))
    return continuations
