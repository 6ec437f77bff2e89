"""The sentences of a report: what it finds, what it warns of, what a plot tells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from d2lrnn.comparison import differences
from d2lrnn.comparison.groups import Group, by_value, differing_settings
from d2lrnn.comparison.measures import PERPLEXITIES
from d2lrnn.comparison.reading import Entry
from d2lrnn.comparison.wording import NONE, listed, percent

TOGETHER = f"{100 * differences.TOGETHER:g} %"
ROUNDING = 1e-5  # relative; what a first epoch in float32 may leave of other orders of summation
OF_THE_MODEL = ("model", "num_layers", "num_hiddens", "activation")  # options told with its name
MANY = 6  # runs whose times can be told in a sentence


def findings(group: Group) -> Iterator[str]:
    """How long the runs of a group stay together, how they end, what they write and how fast."""
    epochs = len(differences.spread(group, "train_ppl"))
    together = differences.epochs_together(group)
    if group.same_start and epochs:
        since = (
            f"In all {epochs} epochs"
            if together == epochs
            else f"Up to epoch {together} of {epochs}"
        )
        if together:
            yield f"{since} their perplexities are within {TOGETHER} of one another."
        else:
            yield f"Their perplexities are more than {TOGETHER} apart from the first epoch on."
    key = "val_ppl" if group.data.num_val else "train_ppl"
    last = sorted(curve[-1] for e, curve in group.curves(key).items() if not e.measures.diverged)
    if len(last) > 1:
        apart = last[-1] / last[0] - 1
        form = ".2f" if apart > 0.005 else ".4f"
        lowest, highest = format(last[0], form), format(last[-1], form)
        ends = f"are {lowest} to {highest}" if lowest != highest else f"are {lowest}"
        ends = f"{ends}, {percent(apart)} apart" if apart else f"are the same, {lowest}"
        yield f"Their final {PERPLEXITIES[key]} perplexities {ends}."
    for entry in group.entries:
        if epoch := entry.measures.diverged:
            yield f"{entry.name} diverged in epoch {epoch}."
    texts = [t for t in differences.of_texts(group) if t.when == "after" and len(t.texts) > 1]
    if texts:
        alike = sum(not text.differ for text in texts)
        yield f"They continue {alike or 'none'} of {len(texts)} prefixes alike after training."
    times = sorted((e.measures.seconds, e.name) for e in group.entries if e.measures.seconds)
    if len(times) > 1:
        told = [f"{name} {seconds:.3f}" for seconds, name in times]
        some = told if len(told) <= MANY else [told[0], "…", told[-1]]
        yield f"Seconds an epoch: {', '.join(some)}."


def warnings(entries: Sequence[Entry], groups: Sequence[Group]) -> Iterator[str]:
    """What must be known before figures are compared."""
    data = dict.fromkeys(group.data for group in groups)
    if len(data) > 1:
        yield (
            "The runs were trained on different data, and perplexities on different data cannot be "
            "compared. Each data has its own plots and tables."
        )
        yield from (f"{each.name}: {each}." for each in data)
    models = _models(entries)
    if len(models) > 1:
        same = (
            "The equations of all are the same."
            if len({e.architecture for e in entries}) == 1
            else ""
        )
        yield f"The runs are of different models: {'; '.join(models)}. {same}".rstrip()
    differing = differing_settings(entries)
    settings = [name for name in differing if name not in OF_THE_MODEL]
    if settings:
        yield f"The runs differ in {listed(settings)}: see Settings."
    devices = {e.label: e.device for e in entries}
    platforms = {e.label: str(e.run.versions.get("platform", NONE)) for e in entries}
    for kind, of_runs in (("devices", devices), ("platforms", platforms)):
        labels = by_value(of_runs)
        if len(labels) > 1:
            lines = [f"{listed(of_one)} on {where}" for where, of_one in labels.items()]
            yield (
                f"The runs were trained on different {kind}, {listed(lines)}: their times and memory "
                "tell of these as much as of the backends."
            )
    for entry in entries:
        yield from _divergence(entry)
    interrupted = [e.label for e in entries if e.run.config["status"] == "interrupted"]
    if interrupted:
        yield f"Ended early, by Ctrl-C: {listed(interrupted)}."


def _models(entries: Sequence[Entry]) -> list[str]:
    """Which runs are of which model; the model alone where all are of one."""
    names = by_value({entry.name: str(entry.architecture) for entry in entries})
    if len(names) == 1:
        return list(names)
    return [
        f"{listed(of_one)} {'is' if len(of_one) == 1 else 'are'} {m}" for m, of_one in names.items()
    ]


def _divergence(entry: Entry) -> Iterator[str]:
    """That and where a run's perplexity is out of bounds."""
    run, broken, epoch = entry.run, entry.measures.out_of_bounds, entry.measures.diverged
    drawn = "is drawn up to there" if epoch != 1 else "nothing of it is drawn"
    if run.diverged:
        yield f"{entry.label} diverged in epoch {epoch}, and {drawn}: {run.config['error']}"
    elif broken:
        rows = [row for row in run.history if row["epoch"] in broken]
        is_finite = any(all(math.isfinite(row.get(k, 0)) for k in PERPLEXITIES) for row in rows)
        above = f" or above {run.bound:,.0f}" if is_finite else ""
        end = f": it diverged in epoch {epoch}, and {drawn}." if epoch else "."
        yield (
            f"The perplexity of {entry.label} is not finite{above} in {len(broken)} of "
            f"{len(run.history)} epochs, first in epoch {broken[0]}{end}"
        )


def paragraphs(group: Group) -> Iterator[str]:
    """What the runs of a group have in common."""
    yield f"{group.data}." if group.data.name else f"Data: {group.data}."
    yield f"Model: {'; '.join(_models(group.entries))}."
    if len(group.entries) == 1:
        yield "Only one run began like this, so there is nothing to compare it with."
    elif not group.same_start:
        yield "Each run began from weights of its own, so its course is its own, too."
    elif group.same_minibatches:
        yield "All runs began from the very same weights and saw the same minibatches in the same order."
    else:
        yield (
            "All runs began from the very same weights, but saw different minibatches: their "
            "batch_size or seed differ."
        )


def about_the_spread(group: Group) -> Iterator[str]:
    """What sets the runs of a group from the same weights apart, as far as the figures tell."""
    yield (
        "The distance between the largest and the smallest perplexity of each epoch, in relation to "
        f"their mean, on a logarithmic scale; the dotted line is {TOGETHER}. A float32 number is "
        "rounded by up to 0.000006 % (6e-08) of its size. Where a line is broken, the runs agree to the "
        "last digit."
    )
    differing = differing_settings(group.entries)
    without_effect = {
        "max_epochs",
        "num_gpus",
        "devices",
        "sigma",
        *(["model"] if group.same_equations else []),
    }
    settings = [name for name in differing if name not in without_effect]
    if settings:
        yield f"The runs differ in {listed(settings)}, which sets them apart."
        return
    spreads = [spread for key in PERPLEXITIES if (spread := differences.spread(group, key))]
    first = max(spread[0] for spread in spreads)
    together = differences.epochs_together(group)
    begin = f"In the first epoch these runs are at most {percent(first)} apart"
    if first > differences.TOGETHER:
        yield f"{begin}. That is more than rounding does in one epoch: they do not compute the same."
    elif together == len(spreads[0]):
        yield f"{begin}, and never more than {TOGETHER}: they compute the same."
    elif first < ROUNDING:
        yield (
            f"{begin}, as rounding leaves them, yet more than {TOGETHER} after epoch {together}. "
            "Weights, minibatches and settings are the same: it is this training that makes much of "
            "small differences, so what is different after that epoch says little about the "
            "frameworks. Whether they stay together at a smaller learning rate would tell more."
        )
    else:
        yield f"{begin}, and more than {TOGETHER} after epoch {together}."
