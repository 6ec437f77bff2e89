"""The plots of a group: its perplexities over the epochs, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Iterator

from d2lrnn.comparison import differences
from d2lrnn.comparison.groups import Group
from d2lrnn.comparison.measures import PERPLEXITIES
from d2lrnn.comparison.plots import Curve, Plot
from d2lrnn.comparison.sentences import about_the_spread
from d2lrnn.comparison.wording import listed, percent


def plots(group: Group) -> Iterator[Plot]:
    """The perplexities and, of runs from the same weights that differ, their distance."""
    names = listed(entry.name for entry in group.entries)
    curves = {split: group.curves(key) for key, split in PERPLEXITIES.items()}
    perplexities = tuple(
        Curve(entry.name, entry.backend, split, tuple(of_split[entry]))
        for entry in group.entries
        for split, of_split in curves.items()
        if entry in of_split
    )
    if any(math.isfinite(value) for curve in perplexities for value in curve.values):
        ends = "; ".join(f"{c.label} {c.split} {_end(c)}" for c in perplexities)
        yield Plot(
            name=f"perplexity-{group.name}",
            caption="Perplexity in training and validation",
            alt=f"Line plot of perplexity over epochs for {names}. At the end: {ends}.",
            ylabel="perplexity",
            curves=perplexities,
        )
    spreads = [
        Curve("", None, split, tuple(differences.spread(group, key)))
        for key, split in PERPLEXITIES.items()
    ]
    differing = tuple(c for c in spreads if any(value > 0 for value in c.values))
    if group.same_start and differing:
        largest = max(v for c in differing for v in c.values if math.isfinite(v))
        yield Plot(
            name=f"spread-{group.name}",
            caption="How far apart the runs are",
            alt="Line plot on a logarithmic scale over epochs of the relative distance between the "
            f"largest and the smallest perplexity of {names}: {percent(differing[0].values[0])} in "
            f"the first epoch, at most {percent(largest)}.",
            ylabel="(largest − smallest) / mean",  # noqa: RUF001
            curves=differing,
            level=differences.TOGETHER,
            notes=tuple(about_the_spread(group)),
        )


def _end(curve: Curve) -> str:
    last = curve.values[-1]
    return f"{last:.2f}" if math.isfinite(last) else "diverged"
