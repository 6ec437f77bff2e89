"""The tables of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from d2lrnn.comparison import differences
from d2lrnn.comparison.content import Marked, Row, Table
from d2lrnn.comparison.differences import Continuations
from d2lrnn.comparison.groups import Group, by_value, differing_settings, told_once
from d2lrnn.comparison.measures import Best, Measures
from d2lrnn.comparison.reading import Entry
from d2lrnn.comparison.wording import NONE, listed, number, perplexity

Columns = Mapping[str, Callable[[Measures], str]]


def _best(best: Best | None) -> str:
    return NONE if best is None else f"{perplexity(best.perplexity)} ({best.epoch})"


PERPLEXITY: Columns = {
    "Epochs": lambda of_run: f"{of_run.epochs}",
    "Training, final": lambda of_run: perplexity(of_run.train_ppl),
    "Validation, final": lambda of_run: perplexity(of_run.val_ppl),
    "Training, best": lambda of_run: _best(of_run.best_train),
    "Validation, best": lambda of_run: _best(of_run.best_val),
}


def perplexities(group: Group) -> Table:
    """The final and the best perplexity of each run."""
    note = (
        "exp(mean loss in nats per token) over the whole split; in training it is taken while the "
        "weights change. In brackets: the epoch of the best."
    )
    columns = PERPLEXITY
    if any(entry.measures.bleu_2 is not None for entry in group.entries):
        columns = {**PERPLEXITY, "BLEU, k=2": lambda of_run: number(of_run.bleu_2, ".3f")}
        note += " BLEU is the mean of the book's (section 10.7) over the validation sentences."
    return _of_measures("Perplexity", group, columns, note)


def _speed(tokens_per_second: float | None) -> str:
    """With three digits."""
    rounded = None if tokens_per_second is None else float(f"{tokens_per_second:.3g}")
    return number(rounded, ",.0f")


COSTS: Columns = {
    "Compiling (s)": lambda of_run: number(of_run.compile_seconds, ".2f"),
    "Epoch (s)": lambda of_run: number(of_run.seconds, ".3f"),
    "Quartiles (s)": lambda of_run: NONE.join(f"{q:.3f}" for q in of_run.quartiles or ()) or NONE,
    "Tokens/s": lambda of_run: _speed(of_run.tokens_per_second),
    "Peak memory": lambda of_run: (
        f"{of_run.peak_memory / 1e6:,.0f} MB" if of_run.peak_memory else NONE
    ),
    "Parameters": lambda of_run: f"{of_run.num_parameters:,}",
}


def costs(group: Group) -> Table:
    """The time and memory of each run."""
    devices = by_value({e.name: e.device for e in group.entries if e.device != "cpu"})
    held = [f"{listed(names)} held on {device}" for device, names in devices.items()]
    note = (
        "An epoch is one of training and one of validation: the median of all but the first, and the "
        "first and third quartile. Compiling is what the first took beyond it. Tokens count both "
        "splits. Memory is the most that the process held on the host, the framework included"
    )
    note += f"; what {listed(held)} is not counted." if held else "."
    return _of_measures("Time and memory", group, COSTS, note)


def _of_measures(caption: str, group: Group, columns: Columns, note: str) -> Table:
    rows = [
        Row(e.name, tuple(cell(e.measures) for cell in columns.values()), e.backend)
        for e in group.entries
    ]
    return Table(caption, ("Run", *columns), tuple(rows), note)


def continuations(group: Group, continued: Continuations) -> Table:
    """What each run made of a prefix, with the first difference marked; one row if all are the same."""
    texts = {e: continued.texts[e.label] for e in group.entries if e.label in continued.texts}
    at = continued.same
    rows = [
        Row(
            entry.name,
            (Marked(text[:at], text[at], text[at + 1 :]) if continued.differ else Marked(text),),
            entry.backend,
        )
        for entry, text in texts.items()
    ]
    note = ""
    if continued.differ:
        note = f"The first difference is character {continued.same + 1}; it is marked."
    elif len(set(texts.values())) > 1:
        note = "The texts are the same as far as the shortest goes."
    elif len(texts) > 1:
        note, rows = "All texts are the same.", [Row("all", rows[0].cells)]
    caption = f"“{continued.prefix}”, continued {continued.when} training"
    return Table(caption, ("Run", "Text"), tuple(rows), note, numeric=False)


def weights(group: Group) -> Table:
    """How far the runs are apart in each weight."""
    names = {entry.label: entry.name for entry in group.entries}
    rows = []
    for weight in differences.of_weights(group):
        between = " and ".join(names[label] for label in weight.between)
        cells = (
            ", ".join(map(str, weight.shape)),
            f"{weight.difference:.2g}",
            between if weight.difference else NONE,
            f"{weight.largest:.3g}",
        )
        rows.append(Row(weight.name, cells))
    return Table(
        "Largest difference of each weight between any two runs",
        ("Weight", "Shape", "After training", "Between", "Largest weight"),
        tuple(rows),
        "Before training all were the same. The largest weight is the largest magnitude after it, for "
        "scale.",
    )


def settings(entries: Sequence[Entry]) -> Table:
    """The settings that are not the same in all runs."""
    differing = differing_settings(entries)
    rows = [
        Row(e.label, tuple(number(by_run[e.label], "") for by_run in differing.values()), e.backend)
        for e in entries
    ]
    return Table("Settings that differ", ("Run", *differing), tuple(rows))


def versions(entries: Sequence[Entry]) -> Table:
    """The versions and devices; runs of one backend that have the same ones share a row."""
    columns = ("Framework", "d2lrnn", "Python", "NumPy", "Trained on", "Devices", "Platform")
    rows = [
        Row(whose, cells, backend)
        for whose, backend, cells in told_once({entry: _versions(entry) for entry in entries})
    ]
    table = Table("What the runs were made with", ("Run", *columns), tuple(rows), numeric=False)
    return _without_columns_of_one_value(table, keep=("Framework", "Trained on"))


def _versions(entry: Entry) -> tuple[str, ...]:
    of_run = entry.run.versions
    programs = (str(of_run.get(key, NONE)) for key in ("framework", "d2lrnn", "python", "numpy"))
    devices = ", ".join(map(str, of_run.get("devices", [])))
    return (*programs, entry.device, devices, str(of_run.get("platform", NONE)))


def _without_columns_of_one_value(table: Table, keep: Sequence[str]) -> Table:
    """The table with what is the same in all rows told once, in its note."""
    cells = dict(enumerate(zip(*(row.cells for row in table.rows), strict=True)))
    same = [i for i in cells if len(set(cells[i])) == 1 and table.columns[1 + i] not in keep]
    if len(table.rows) < 2 or not same:
        return table
    told = "; ".join(f"{table.columns[1 + i]} {cells[i][0]}" for i in same)
    left = table.only([i for i in cells if i not in same])
    return replace(left, note=f"The same for all: {told}.")
