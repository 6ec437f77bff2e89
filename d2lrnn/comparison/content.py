"""What the report says, in sections, tables and plots that know nothing of HTML or Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from d2lrnn import backend
from d2lrnn.comparison import differences
from d2lrnn.comparison.differences import Continuations, WeightDifference
from d2lrnn.comparison.groups import Group, differing_settings
from d2lrnn.comparison.measures import Best, bound, diverged, measure, out_of_bounds
from d2lrnn.comparison.plots import Curve, Plot
from d2lrnn.comparison.reading import Entry, Failure

NONE = "–"  # noqa: RUF001  (a dash, as tables have it)
SPLITS = {"train_ppl": "training", "val_ppl": "validation"}
TOGETHER = f"{100 * differences.TOGETHER:g} %"
ROUNDING = 1e-5  # relative; what a first epoch in float32 may leave of other orders of summation
MANY = 6  # runs whose times can be told in a sentence


@dataclass(frozen=True)
class Marked:
    """A text in which the place after its first `same` characters is marked, unless that is None."""

    text: str
    same: int | None

    @property
    def parts(self) -> tuple[str, str, str]:
        """What is the same in all texts, the first character that is not, and the rest."""
        if self.same is None:
            return self.text, "", ""
        return self.text[: self.same], self.text[self.same], self.text[self.same + 1 :]


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


@dataclass(frozen=True)
class Section:
    """A part of the report: of each of these what there is, in this order."""

    id: str
    title: str
    paragraphs: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    figures: tuple[Table, ...] = ()  # what a terminal and a notebook show, too
    details: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a group of runs shows, in sentences."""

    title: str
    text: str


@dataclass(frozen=True)
class Source:
    """A class as some backend has it installed."""

    label: str
    backend: str
    module: str
    code: str


@dataclass(frozen=True)
class Content:
    """The whole report.

    Attributes:
        title: its title.
        summary: what it finds, for each group.
        warnings: what must be known before figures are compared.
        failures: the runs that failed.
        sections: one a group of runs, then what concerns all.
        sources: the source of each class, by its name.
        backends: the backends that occur, each with its own colour, in order.
    """

    title: str
    summary: tuple[Finding, ...]
    warnings: tuple[str, ...]
    failures: tuple[Failure, ...]
    sections: tuple[Section, ...]
    sources: dict[str, list[Source]] = field(default_factory=dict)
    backends: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, entries: Sequence[Entry], failures: Sequence[Failure], groups: Sequence[Group]
    ) -> Content:
        """Say what is to be said of these runs."""
        backends = _in_order([*(e.backend for e in entries), *(f.backend for f in failures)])
        return cls(
            title="Backends side by side" if len(backends) > 1 else "Runs side by side",
            summary=tuple(
                Finding(group.title, " ".join(found))
                for group in groups
                if (found := _found(group))
            ),
            warnings=tuple(_warnings(entries, groups)),
            failures=tuple(failures),
            sections=(
                *(_section(group) for group in groups),
                *_settings(entries),
                *([_versions(entries)] if entries else []),
            ),
            sources=_sources(entries),
            backends=backends,
        )

    @property
    def plots(self) -> list[Plot]:
        """The plots of all sections."""
        return [plot for section in self.sections for plot in section.plots]


def _in_order(backends: Iterable[str]) -> tuple[str, ...]:
    known = {name: place for place, name in enumerate(backend.DEFAULT_ORDER)}
    return tuple(sorted(set(backends), key=lambda name: (known.get(name, len(known)), name)))


# Sentences ----------------------------------------------------------------------------------------


def _found(group: Group) -> list[str]:
    """How long the runs of a group stay together, how they end, what they write and how fast."""
    lines = []
    epochs = len(differences.spread(group, "train_ppl"))
    if group.same_start and epochs:
        together = differences.epochs_together(group)
        lines.append(
            f"In all {epochs} epochs their perplexities are within {TOGETHER} of one another."
            if together == epochs
            else f"Up to epoch {together} of {epochs} their perplexities are within {TOGETHER} of "
            "one another."
            if together
            else f"Their perplexities are more than {TOGETHER} apart from the first epoch on."
        )
    split, key = ("validation", "val_ppl") if group.data.num_val else ("training", "train_ppl")
    ends_at = {label: curve[-1] for label, curve in group.curves(key).items()}
    last = {label: value for label, value in ends_at.items() if math.isfinite(value)}
    if len(last) > 1:
        low, high = min(last.values()), max(last.values())
        apart = high / low - 1
        form = ".2f" if apart > 0.005 else ".4f"
        lowest, highest = format(low, form), format(high, form)
        ends = f"are {lowest} to {highest}" if lowest != highest else f"are {lowest}"
        ends = f"{ends}, {_percent(apart)} apart" if apart else f"are the same, {lowest}"
        lines.append(f"Their final {split} perplexities {ends}.")
    lines += [
        f"{group.labels[e.label]} diverged in epoch {epoch}."
        for e in group.entries
        if (epoch := diverged(e.run))
    ]
    texts = [t for t in differences.of_texts(group) if t.when == "after" and len(t.texts) > 1]
    if texts:
        alike = sum(not text.differ for text in texts)
        lines.append(
            f"They continue {alike or 'none'} of {len(texts)} prefixes alike after training."
        )
    seconds = {e.label: measure(e.run).seconds for e in group.entries}
    known = sorted((value, label) for label, value in seconds.items() if value is not None)
    if len(known) > 1:
        said = [f"{group.labels[label]} {value:.3f}" for value, label in known]
        some = said if len(said) <= MANY else [said[0], "…", said[-1]]
        lines.append(f"Seconds an epoch: {', '.join(some)}.")
    return lines


def _warnings(entries: Sequence[Entry], groups: Sequence[Group]) -> list[str]:
    warnings = []
    data = dict.fromkeys(group.data for group in groups)
    if len(data) > 1:
        warnings.append(
            "The runs were trained on different data, and perplexities on different data cannot be "
            "compared. Each data has its own plots and tables."
        )
        warnings += [f"{each.name}: {each}." for each in data]
    differing = differing_settings(entries)
    if differing:
        warnings.append(f"The runs differ in {_list(differing)}: see Settings.")
    devices = _by_value({e.label: _device(e) for e in entries})
    if len(devices) > 1:
        lines = [f"{_list(labels)} on {device}" for device, labels in devices.items()]
        warnings.append(
            f"The runs were trained on different devices, {_list(lines)}: their times and memory "
            "tell of these as much as of the backends."
        )
    machines = {str(e.run.versions.get("platform", NONE)) for e in entries}
    if len(machines) > 1:
        warnings.append(
            "The runs were trained on different platforms, see Versions and devices: their times "
            "and memory tell of these as much as of the backends."
        )
    for entry in entries:
        warnings += _divergence(entry)
    interrupted = [e.label for e in entries if e.run.config["status"] == "interrupted"]
    if interrupted:
        warnings.append(f"Ended early, by Ctrl-C: {_list(interrupted)}.")
    return warnings


def _divergence(entry: Entry) -> list[str]:
    """What is to be said of a run whose perplexity is out of bounds."""
    broken, epoch = out_of_bounds(entry.run), diverged(entry.run)
    if entry.run.diverged:
        return [
            f"{entry.label} diverged in epoch {epoch}, and is drawn up to there: "
            f"{entry.run.config['error']}"
        ]
    if not broken:
        return []
    rows = [row for row in entry.run.history if row["epoch"] in broken]
    is_infinite = all(any(not math.isfinite(row.get(key, 0)) for key in SPLITS) for row in rows)
    told = "not finite" if is_infinite else f"not finite or above {bound(entry.run):,.0f}"
    where = f"in {len(broken)} of {len(entry.run.history)} epochs, first in epoch {broken[0]}"
    end = f": it diverged in epoch {epoch}, and is drawn up to there." if epoch else "."
    return [f"The perplexity of {entry.label} is {told} {where}{end}"]


def _paragraphs(group: Group) -> tuple[str, ...]:
    lines = [f"{group.data}." if group.data.name else f"Data: {group.data}."]
    if len(group.entries) == 1:
        lines.append("Only one run began like this, so there is nothing to compare it with.")
    elif group.same_start:
        lines.append(
            "All runs began from the very same weights and saw the same minibatches in the same order."
            if group.same_minibatches
            else "All runs began from the very same weights, but saw different minibatches: their "
            "batch_size or seed differ."
        )
    else:
        lines.append("Each run began from weights of its own, so its course is its own, too.")
    differing = differing_settings(group.entries)
    if differing:
        lines.append(f"These runs differ in {_list(differing)}.")
    return tuple(lines)


# Sections -----------------------------------------------------------------------------------------


def _section(group: Group) -> Section:
    return Section(
        id=group.name,
        title=group.title,
        paragraphs=_paragraphs(group),
        plots=tuple(_plots(group)),
        figures=(_perplexities(group), _costs(group)),
        details=(
            *(_texts(group, found) for found in differences.of_texts(group)),
            *_weights(group),
        ),
    )


def _plots(group: Group) -> list[Plot]:
    names = _list(group.labels.values())
    found = []
    curves = [
        Curve(group.labels[e.label], e.backend, split, tuple(group.curves(key)[e.label]))
        for e in group.entries
        for key, split in SPLITS.items()
        if e.label in group.curves(key)
    ]
    if curves:
        ends = "; ".join(f"{c.label} {c.split} {_end(c)}" for c in curves)
        found.append(
            Plot(
                name=f"perplexity-{group.name}",
                caption="Perplexity in training and validation",
                alt=f"Line plot of perplexity over epochs for {names}. At the end: {ends}.",
                ylabel="perplexity",
                curves=tuple(curves),
            )
        )
    if group.same_start:
        found += _spread(group, names)
    return found


def _end(curve: Curve) -> str:
    return f"{curve.values[-1]:.2f}" if math.isfinite(curve.values[-1]) else "diverged"


def _largest_finite(curves: Iterable[Curve]) -> float:
    magnitudes = (abs(value) for curve in curves for value in curve.values)
    return max(filter(math.isfinite, magnitudes), default=0.0)


def _spread(group: Group, names: str) -> list[Plot]:
    """How the distance of runs from the same weights grows, if there is any."""
    spreads = {split: differences.spread(group, key) for key, split in SPLITS.items()}
    curves = [
        Curve("", None, split, tuple(values))
        for split, values in spreads.items()
        if any(value > 0 for value in values)
    ]
    if not curves:
        return []
    largest = _largest_finite(curves)
    return [
        Plot(
            name=f"spread-{group.name}",
            caption="How far apart the runs are",
            alt=f"Line plot on a logarithmic scale over epochs of the relative distance between the "
            f"largest and the smallest perplexity of {names}: {_percent(curves[0].values[0])} in "
            f"the first epoch, at most {_percent(largest)}.",
            ylabel="(largest − smallest) / mean",  # noqa: RUF001
            curves=tuple(curves),
            level=differences.TOGETHER,
            notes=_what_the_spread_tells(group),
        )
    ]


def _what_the_spread_tells(group: Group) -> tuple[str, ...]:
    """What sets the runs of a group from the same weights apart, as far as the figures tell."""
    notes = [
        "The distance between the largest and the smallest perplexity of each epoch, in relation to "
        f"their mean, on a logarithmic scale; the dotted line is {TOGETHER}. A float32 number is "
        "rounded by up to 0.000006 % (6e-08) of its size. Where a line is broken, the runs agree to the "
        "last digit."
    ]
    settings = differing_settings(group.entries).keys() - {"max_epochs", "num_gpus"}
    if settings or not group.same_minibatches:
        return *notes, "The runs differ in their settings, which sets them apart."
    values = {split: differences.spread(group, key) for key, split in SPLITS.items()}
    first = max(found[0] for found in values.values() if found)
    together, epochs = differences.epochs_together(group), len(values["training"])
    begin = f"In the first epoch these runs are at most {_percent(first)} apart"
    if first > differences.TOGETHER:
        notes.append(
            f"{begin}. That is more than rounding does in one epoch: they do not compute the same."
        )
    elif together == epochs:
        notes.append(f"{begin}, and never more than {TOGETHER}: they compute the same.")
    elif first < ROUNDING:
        notes.append(
            f"{begin}, as rounding leaves them, yet more than {TOGETHER} after epoch {together}. "
            "Weights, minibatches and settings are the same: it is this training that makes much of "
            "small differences, so what is different after that epoch says little about the "
            "frameworks. Whether they stay together at a smaller learning rate would tell more."
        )
    else:
        notes.append(f"{begin}, and more than {TOGETHER} after epoch {together}.")
    return tuple(notes)


def _perplexities(group: Group) -> Table:
    rows = []
    for entry in group.entries:
        found = measure(entry.run)
        cells = (
            f"{found.epochs}",
            _perplexity(found.train_ppl),
            _perplexity(found.val_ppl),
            _best(found.best_train),
            _best(found.best_val),
        )
        rows.append(Row(group.labels[entry.label], cells, entry.backend))
    return Table(
        "Perplexity",
        (
            "Run",
            "Epochs",
            "Training, final",
            "Validation, final",
            "Training, best",
            "Validation, best",
        ),
        tuple(rows),
        "exp(mean loss in nats per token) over the whole split; in training it is taken while the "
        "weights change. In brackets: the epoch of the best.",
    )


def _costs(group: Group) -> Table:
    rows = []
    for entry in group.entries:
        found = measure(entry.run)
        cells = (
            _number(found.compile_seconds, ".2f"),
            _number(found.seconds, ".3f"),
            NONE.join(f"{q:.3f}" for q in found.quartiles) if found.quartiles else NONE,
            NONE
            if found.tokens_per_second is None
            else f"{float(f'{found.tokens_per_second:.3g}'):,.0f}",
            NONE if found.peak_memory is None else f"{found.peak_memory / 1e6:,.0f} MB",
            f"{found.num_parameters:,}",
        )
        rows.append(Row(group.labels[entry.label], cells, entry.backend))
    return Table(
        "Time and memory",
        (
            "Run",
            "Compiling (s)",
            "Epoch (s)",
            "Quartiles (s)",
            "Tokens/s",
            "Peak memory",
            "Parameters",
        ),
        tuple(rows),
        "An epoch is one of training and one of validation: the median of all but the first, and the "
        "first and third quartile. Compiling is what the first took beyond it. Tokens count both "
        "splits. Memory is the most that the process held on the host, the framework included"
        f"{_not_counted(group)}.",
    )


def _not_counted(group: Group) -> str:
    """What the peak memory leaves out: what a run held on a GPU."""
    on_gpu = {group.labels[e.label]: _device(e) for e in group.entries if _device(e) != "cpu"}
    held = [f"{_list(labels)} held on {device}" for device, labels in _by_value(on_gpu).items()]
    return f"; what {_list(held)} is not counted" if held else ""


def _settings(entries: Sequence[Entry]) -> list[Section]:
    """The settings that are not the same in all runs."""
    differing = differing_settings(entries)
    if not differing:
        return []
    rows = tuple(
        Row(e.label, tuple(_setting(by[e.label]) for by in differing.values()), e.backend)
        for e in entries
    )
    table = Table("Settings that differ", ("Run", *differing), rows)
    return [Section("settings", "Settings", figures=(table,))]


def _texts(group: Group, found: Continuations) -> Table:
    when = {"after": "after training", "before": "before training"}[found.when]
    caption = f"“{found.prefix}”, continued {when}"
    note = ""
    if len(found.texts) > 1:
        note = (
            f"The first difference is character {found.same + 1}; it is marked."
            if found.differ
            else "All texts are the same."
            if len(set(found.texts.values())) == 1
            else "The texts are the same as far as the shortest goes."
        )
    if len(found.texts) > 1 and len(set(found.texts.values())) == 1:
        (text,) = set(found.texts.values())
        return Table(caption, ("Run", "Text"), (Row("all", (Marked(text, None),)),), note, False)
    rows = tuple(
        Row(
            group.labels[entry.label],
            (Marked(found.texts[entry.label], found.same if found.differ else None),),
            entry.backend,
        )
        for entry in group.entries
        if entry.label in found.texts
    )
    return Table(caption, ("Run", "Text"), rows, note, numeric=False)


def _weights(group: Group) -> list[Table]:
    rows = tuple(_weight(group, found) for found in differences.of_weights(group))
    if not rows:
        return []
    return [
        Table(
            "Largest difference of each weight between any two runs",
            ("Weight", "Shape", "Before training", "After training", "Between", "Largest weight"),
            rows,
            "The largest weight is the largest magnitude after training, for scale.",
        )
    ]


def _weight(group: Group, found: WeightDifference) -> Row:
    between = NONE
    if found.final.difference:
        between = " and ".join(group.labels[label] for label in found.final.between)
    differ = (_short(found.initial.difference), _short(found.final.difference))
    shape = ", ".join(map(str, found.shape))
    return Row(found.name, (shape, *differ, between, f"{found.largest:.3g}"))


def _versions(entries: Sequence[Entry]) -> Section:
    """The versions and devices; runs of one backend that have the same ones share a row."""
    keys = {"d2lrnn": "d2lrnn", "python": "Python", "numpy": "NumPy"}
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for entry in entries:
        versions, device = entry.run.versions, _device(entry)
        cells = (
            str(versions["framework"]),
            *(str(versions.get(key, NONE)) for key in keys),
            device,
            ", ".join(map(str, versions.get("devices", []))),
            str(versions.get("platform", NONE)),
        )
        found.setdefault((entry.backend, cells), []).append(entry.label)
    times = [name for name, _ in found]
    rows = tuple(
        Row(name if times.count(name) == 1 else ", ".join(labels), cells, name)
        for (name, cells), labels in found.items()
    )
    columns = ("Run", "Framework", *keys.values(), "Trained on", "Devices", "Platform")
    table = _without_columns_of_one_value(
        Table("What the runs were made with", columns, rows, numeric=False),
        keep=("Framework", "Trained on"),
    )
    return Section("versions", "Versions and devices", details=(table,))


def _without_columns_of_one_value(table: Table, keep: Sequence[str]) -> Table:
    """The table with what is the same in all rows told once, in its note."""
    cells = {
        name: [row.cells[place] for row in table.rows]
        for place, name in enumerate(table.columns[1:])
    }
    same = {name for name, column in cells.items() if len(set(column)) == 1} - {*keep}
    if len(table.rows) < 2 or not same:
        return table
    places = [place for place, name in enumerate(cells) if name not in same]
    told = "; ".join(f"{name} {column[0]}" for name, column in cells.items() if name in same)
    return replace(
        table,
        columns=(table.columns[0], *(name for name in cells if name not in same)),
        rows=tuple(replace(row, cells=tuple(row.cells[i] for i in places)) for row in table.rows),
        note=f"The same for all: {told}.",
    )


def _sources(entries: Sequence[Entry]) -> dict[str, list[Source]]:
    """The source of each class, once for each backend, or for each run where they differ."""
    found: dict[str, dict[tuple[str, str], Source]] = {}
    for entry in entries:
        for name, told in entry.run.sources.items():
            source = Source(entry.label, entry.backend, told["module"], told["source"])
            found.setdefault(name, {}).setdefault((entry.backend, told["source"]), source)
    return {name: _relabelled(list(by_code.values())) for name, by_code in found.items()}


def _relabelled(sources: list[Source]) -> list[Source]:
    names = [source.backend for source in sources]
    return [
        Source(s.backend if names.count(s.backend) == 1 else s.label, s.backend, s.module, s.code)
        for s in sources
    ]


# Words and numbers --------------------------------------------------------------------------------


def _list(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _perplexity(value: float | None) -> str:
    return _number(value, ".4f" if value is None or value < 1e6 else ".2e")


def _best(best: Best | None) -> str:
    return NONE if best is None else f"{_perplexity(best.perplexity)} ({best.epoch})"


def _percent(ratio: float) -> str:
    """A ratio with two digits, or one where it is tiny: '0 %', '0.00002 %', '1.7 %'."""
    if not math.isfinite(ratio):
        return "infinitely far"
    percent = 100 * ratio
    digits = 2 if percent >= 0.01 else 1
    places = max(digits - 1 - math.floor(math.log10(percent)), 0) if percent > 0 else 0
    return f"{percent:.{places}f} %"


def _device(entry: Entry) -> str:
    return str(entry.run.config.get("device", NONE))


def _by_value(labels: Mapping[str, str]) -> dict[str, list[str]]:
    """The keys of each value."""
    found: dict[str, list[str]] = {}
    for label, value in labels.items():
        found.setdefault(value, []).append(label)
    return found


def _short(value: float) -> str:
    """Two digits: '0', '0.034', '1.2e-06'."""
    return "0" if value == 0 else f"{value:.2g}"


def _setting(value: Any) -> str:
    return NONE if value is None else str(value)
