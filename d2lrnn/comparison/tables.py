"""The tables of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from d2lrnn.comparison import differences
from d2lrnn.comparison.content import Marked, Row, Table
from d2lrnn.comparison.differences import Continuations
from d2lrnn.comparison.groups import Group, by_value, differing_settings
from d2lrnn.comparison.measures import Best, measure
from d2lrnn.comparison.reading import Entry
from d2lrnn.comparison.wording import NONE, listed, number, perplexity, short


def perplexities(group: Group) -> Table:
    """The final and the best perplexity of each run."""
    rows = []
    for entry in group.entries:
        of_run = measure(entry.run)
        cells = (
            f"{of_run.epochs}",
            perplexity(of_run.train_ppl),
            perplexity(of_run.val_ppl),
            _best(of_run.best_train),
            _best(of_run.best_val),
        )
        rows.append(Row(group.labels[entry.label], cells, entry.backend))
    splits = ("Training, final", "Validation, final", "Training, best", "Validation, best")
    return Table(
        "Perplexity",
        ("Run", "Epochs", *splits),
        tuple(rows),
        "exp(mean loss in nats per token) over the whole split; in training it is taken while the "
        "weights change. In brackets: the epoch of the best.",
    )


def _best(best: Best | None) -> str:
    return NONE if best is None else f"{perplexity(best.perplexity)} ({best.epoch})"


def costs(group: Group) -> Table:
    """The time and memory of each run."""
    rows = []
    for entry in group.entries:
        of_run = measure(entry.run)
        speed, memory = of_run.tokens_per_second, of_run.peak_memory
        cells = (
            number(of_run.compile_seconds, ".2f"),
            number(of_run.seconds, ".3f"),
            NONE.join(f"{q:.3f}" for q in of_run.quartiles) if of_run.quartiles else NONE,
            NONE if speed is None else f"{float(f'{speed:.3g}'):,.0f}",
            NONE if memory is None else f"{memory / 1e6:,.0f} MB",
            f"{of_run.num_parameters:,}",
        )
        rows.append(Row(group.labels[entry.label], cells, entry.backend))
    times = ("Compiling (s)", "Epoch (s)", "Quartiles (s)", "Tokens/s")
    return Table(
        "Time and memory",
        ("Run", *times, "Peak memory", "Parameters"),
        tuple(rows),
        "An epoch is one of training and one of validation: the median of all but the first, and the "
        "first and third quartile. Compiling is what the first took beyond it. Tokens count both "
        "splits. Memory is the most that the process held on the host, the framework included"
        f"{_not_counted(group)}.",
    )


def _not_counted(group: Group) -> str:
    """What the peak memory leaves out: what a run held on a GPU."""
    on_gpu = {group.labels[e.label]: e.device for e in group.entries if e.device != "cpu"}
    held = [f"{listed(labels)} held on {device}" for device, labels in by_value(on_gpu).items()]
    return f"; what {listed(held)} is not counted" if held else ""


def continuations(group: Group, continued: Continuations) -> Table:
    """What each run made of a prefix, with the first difference marked; one row if all are the same."""
    note = ""
    rows = [
        Row(
            group.labels[entry.label],
            (Marked(continued.texts[entry.label], continued.same if continued.differ else None),),
            entry.backend,
        )
        for entry in group.entries
        if entry.label in continued.texts
    ]
    if len(rows) > 1:
        note = "The texts are the same as far as the shortest goes."
        if continued.differ:
            note = f"The first difference is character {continued.same + 1}; it is marked."
        elif len(set(continued.texts.values())) == 1:
            note, rows = "All texts are the same.", [Row("all", rows[0].cells)]
    caption = f"“{continued.prefix}”, continued {continued.when} training"
    return Table(caption, ("Run", "Text"), tuple(rows), note, numeric=False)


def weights(group: Group) -> Table:
    """How far the runs are apart in each weight."""
    rows = []
    for weight in differences.of_weights(group):
        between = NONE
        if weight.final.difference:
            between = " and ".join(group.labels[label] for label in weight.final.between)
        cells = (
            ", ".join(map(str, weight.shape)),
            short(weight.initial.difference),
            short(weight.final.difference),
            between,
            f"{weight.largest:.3g}",
        )
        rows.append(Row(weight.name, cells))
    return Table(
        "Largest difference of each weight between any two runs",
        ("Weight", "Shape", "Before training", "After training", "Between", "Largest weight"),
        tuple(rows),
        "The largest weight is the largest magnitude after training, for scale.",
    )


def settings(entries: Iterable[Entry]) -> Table:
    """The settings that are not the same in all runs."""
    differing = differing_settings(entries)
    rows = [
        Row(e.label, tuple(number(by_run[e.label], "") for by_run in differing.values()), e.backend)
        for e in entries
    ]
    return Table("Settings that differ", ("Run", *differing), tuple(rows))


def versions(entries: Iterable[Entry]) -> Table:
    """The versions and devices; runs of one backend that have the same ones share a row."""
    labels: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for entry in entries:
        of_run = entry.run.versions
        cells = (
            str(of_run["framework"]),
            *(str(of_run.get(key, NONE)) for key in ("d2lrnn", "python", "numpy")),
            entry.device,
            ", ".join(map(str, of_run.get("devices", []))),
            str(of_run.get("platform", NONE)),
        )
        labels.setdefault((entry.backend, cells), []).append(entry.label)
    backends = [name for name, _ in labels]
    rows = [
        Row(name if backends.count(name) == 1 else ", ".join(of_row), cells, name)
        for (name, cells), of_row in labels.items()
    ]
    columns = ("Framework", "d2lrnn", "Python", "NumPy", "Trained on", "Devices", "Platform")
    table = Table("What the runs were made with", ("Run", *columns), tuple(rows), numeric=False)
    return _without_columns_of_one_value(table, keep=("Framework", "Trained on"))


def _without_columns_of_one_value(table: Table, keep: Sequence[str]) -> Table:
    """The table with what is the same in all rows told once, in its note."""
    cells = dict(enumerate(zip(*(row.cells for row in table.rows), strict=True)))
    same = [i for i in cells if len(set(cells[i])) == 1 and table.columns[1 + i] not in keep]
    if len(table.rows) < 2 or not same:
        return table
    told = "; ".join(f"{table.columns[1 + i]} {cells[i][0]}" for i in same)
    left = table.only([i for i in cells if i not in same])
    return replace(left, note=f"The same for all: {told}.")
