"""What the report says, in sections, tables and plots that know nothing of HTML or Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from d2lrnn import backend
from d2lrnn.comparison import differences
from d2lrnn.comparison.differences import Continuations, Largest, WeightDifference
from d2lrnn.comparison.groups import Group, differing_settings
from d2lrnn.comparison.measures import Best, measure
from d2lrnn.comparison.plots import Curve, Plot
from d2lrnn.comparison.reading import Entry, Failure

NONE = "–"  # noqa: RUF001  (a dash, as tables have it)


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
    """How near the runs of a group ended, whether they write the same, and which is fast."""
    lines = []
    split, key = ("validation", "val_ppl") if group.data.num_val else ("training", "train_ppl")
    last = {label: curve[-1] for label, curve in group.curves(key).items()}
    if len(last) > 1:
        low, high = min(last.values()), max(last.values())
        ends = f"{low:.4f} to {high:.4f}" if f"{low:.4f}" != f"{high:.4f}" else f"{low:.4f}"
        lines.append(
            f"The final {split} perplexities of {_list(group.labels[k] for k in last)} "
            f"are {ends}, at most {_short(100 * (high / low - 1))} % apart."
        )
    texts = [found for found in differences.of_texts(group) if found.when == "after"]
    if len(group.entries) > 1 and texts:
        alike = sum(not found.differ for found in texts)
        lines.append(
            f"They continue {alike or 'none'} of {len(texts)} prefixes alike after training."
        )
    seconds = {e.label: measure(e.run).seconds for e in group.entries}
    known = {label: value for label, value in seconds.items() if value is not None}
    if len(known) > 1:
        fast, slow = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        lines.append(
            f"The fastest epochs are those of {group.labels[fast]}, {known[fast]:.3f} seconds, "
            f"the slowest those of {group.labels[slow]}, {known[slow]:.3f} seconds."
        )
    return lines


def _warnings(entries: Sequence[Entry], groups: Sequence[Group]) -> list[str]:
    warnings = []
    data = dict.fromkeys(group.data for group in groups)
    if len(data) > 1:
        said = "; ".join(f"{each.name} is {each}" for each in data)
        warnings.append(
            "The runs were trained on different data, and perplexities on different data cannot be "
            f"compared. Each data has its own plots and tables. {said}."
        )
    differing = differing_settings(entries)
    if differing:
        warnings.append(f"The runs differ in {_list(differing)}: see Settings.")
    interrupted = [e.label for e in entries if e.run.config["status"] == "interrupted"]
    if interrupted:
        warnings.append(f"Ended early, by Ctrl-C: {_list(interrupted)}.")
    return warnings


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
    splits = {"train_ppl": "training", "val_ppl": "validation"}
    names = _list(group.labels.values())
    found = []
    curves = [
        Curve(group.labels[e.label], e.backend, split, tuple(group.curves(key)[e.label]))
        for e in group.entries
        for key, split in splits.items()
        if e.label in group.curves(key)
    ]
    if curves:
        ends = "; ".join(f"{c.label} {c.split} {c.values[-1]:.2f}" for c in curves)
        found.append(
            Plot(
                name=f"perplexity-{group.name}",
                caption="Perplexity in training and validation",
                alt=f"Line plot of perplexity over epochs for {names}. At the end: {ends}.",
                ylabel="perplexity",
                curves=tuple(curves),
            )
        )
    apart = {key: differences.from_mean(group, key) for key in splits}
    curves = [
        Curve(group.labels[e.label], e.backend, split, tuple(apart[key][e.label]))
        for e in group.entries
        for key, split in splits.items()
        if e.label in apart[key]
    ]
    if curves:
        largest = max(abs(value) for curve in curves for value in curve.values)
        found.append(
            Plot(
                name=f"difference-{group.name}",
                caption="Difference of each perplexity from the mean of all runs",
                alt=f"Line plot over epochs of how far the perplexities of {names} lie from their "
                f"mean; never more than {_short(largest)}.",
                ylabel="perplexity, less the mean of all",
                curves=tuple(curves),
                around_zero=True,
            )
        )
    return found


def _perplexities(group: Group) -> Table:
    rows = []
    for entry in group.entries:
        found = measure(entry.run)
        cells = (
            f"{found.epochs}",
            _number(found.train_ppl, ".4f"),
            _number(found.val_ppl, ".4f"),
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
        "splits. Memory is the most that the process held on the host, the framework included.",
    )


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
    shape = "differs" if found.shape is None else ", ".join(map(str, found.shape))
    between = NONE
    if found.final is not None and found.final.difference:
        between = " and ".join(group.labels[label] for label in found.final.between)
    differ = (_largest(found.initial), _largest(found.final))
    return Row(found.name, (shape, *differ, between, f"{found.largest:.3g}"))


def _versions(entries: Sequence[Entry]) -> Section:
    """The versions and devices; runs of one backend that have the same ones share a row."""
    keys = {"d2lrnn": "d2lrnn", "python": "Python", "numpy": "NumPy"}
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for entry in entries:
        versions, device = entry.run.versions, str(entry.run.config.get("device", NONE))
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
    table = Table("What the runs were made with", columns, rows, numeric=False)
    return Section("versions", "Versions and devices", details=(table,))


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


def _best(best: Best | None) -> str:
    return NONE if best is None else f"{best.perplexity:.4f} ({best.epoch})"


def _largest(largest: Largest | None) -> str:
    return NONE if largest is None else _short(largest.difference)


def _short(value: float) -> str:
    """Two digits: '0', '0.034', '1.2e-06'."""
    return "0" if value == 0 else f"{value:.2g}"


def _setting(value: Any) -> str:
    return NONE if value is None else str(value)
