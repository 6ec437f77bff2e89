"""Which runs belong into one plot: those of the same data and, together, those of the same start.

Perplexities of different data are of different scales, so their runs never share a group. Runs that
began from the very same weights make a group each; the others of the same data make one together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf
from string import ascii_uppercase
from typing import Any, TypeVar

from d2lrnn.comparison.reading import Entry, labels_within
from d2lrnn.weights import Weights

Key = TypeVar("Key")
Value = TypeVar("Value")

# Options that make no difference to be told, or that are told in another way.
_NOT_A_SETTING = {"weights", "resume", "text", "prefix", "num_preds"}


@dataclass(frozen=True)
class Data:
    """What runs were trained and validated on."""

    name: str  # 'Data A' and so on; empty where there is only one
    source: str
    sha1: str
    num_train: int
    num_val: int
    num_steps: int
    vocab_size: int
    tokens: str

    def __str__(self) -> str:
        kind = {"char": "characters", "word": "words"}.get(self.tokens, self.tokens)
        windows = f"{self.num_train:,} windows of {self.num_steps} {kind} for training"
        validation = f", {self.num_val:,} for validation" if self.num_val else ", no validation"
        return f"{self.source}; {windows}{validation}; a vocabulary of {self.vocab_size:,}"


@dataclass(frozen=True)
class Group:
    """Runs whose curves are drawn into one plot.

    Attributes:
        entries: the runs.
        data: what all of them were trained on.
        same_start: whether all began from the very same weights; if not, all from different ones.
        number: tells groups of the same data and kind apart; 0 where there is one.
    """

    entries: tuple[Entry, ...]
    data: Data
    same_start: bool
    number: int

    @property
    def title(self) -> str:
        title = "From the same initial weights" if self.same_start else "Each from its own weights"
        if len(self.entries) == 1:
            title = f"{self.entries[0].label} alone"
            return f"{self.data.name}: {title}" if self.data.name else title
        title += f" ({self.number})" if self.number else ""
        return f"{self.data.name}: {title[0].lower()}{title[1:]}" if self.data.name else title

    @property
    def name(self) -> str:
        """The title as a word for file names and addresses."""
        parts = (
            self.data.name.lower().replace(" ", "-"),
            "same-weights" if self.same_start else "own-weights",
            str(self.number or ""),
        )
        return "-".join(part for part in parts if part)

    @cached_property
    def labels(self) -> dict[str, str]:
        """How each run is called inside the group, by its label in the whole comparison."""
        return labels_within(self.entries)

    @property
    def trained(self) -> list[Entry]:
        """The runs that have weights and samples: all but those that failed because they diverged."""
        return [entry for entry in self.entries if not entry.run.diverged]

    @property
    def same_minibatches(self) -> bool:
        """Whether all saw the same minibatches in the same order."""
        return len({(e.options["batch_size"], e.options["seed"]) for e in self.entries}) == 1

    def curves(self, key: str) -> dict[str, list[float]]:
        """Of each run that has it, the column `key` of the history, by label; one value an epoch.

        A perplexity out of bounds is infinite.
        """
        curves = {}
        for entry in self.entries:
            values = [float(row[key]) for row in entry.run.history if key in row]
            if values:
                bound = entry.run.bound
                curves[entry.label] = [value if value <= bound else inf for value in values]
        return curves


def group(entries: Sequence[Entry]) -> list[Group]:
    """Sort `entries` into groups, in the order in which they are given."""
    groups = []
    by_data = by_value({entry: _data_key(entry) for entry in entries})
    for index, same_data in enumerate(by_data.values()):
        data = _data(same_data[0], f"Data {_letters(index)}" if len(by_data) > 1 else "")
        starts = by_value({e: _digest(e.run.initial_weights) for e in same_data}).values()
        same = [start for start in starts if len(start) > 1]
        own = [start[0] for start in starts if len(start) == 1]
        numbers = range(1, len(same) + 1) if len(same) > 1 else [0]
        groups += [
            Group(tuple(start), data, True, n) for n, start in zip(numbers, same, strict=False)
        ]
        if own:
            groups.append(Group(tuple(own), data, False, 0))
    return groups


def differing_settings(entries: Iterable[Entry]) -> dict[str, dict[str, Any]]:
    """The options that are not the same in all of `entries`: by name, the value by label."""
    options = {entry.label: entry.options for entry in entries}
    names = dict.fromkeys(name for of_run in options.values() for name in of_run)
    values = {
        name: {label: of_run.get(name) for label, of_run in options.items()}
        for name in names
        if name not in _NOT_A_SETTING
    }
    return {name: by_run for name, by_run in values.items() if len(set(by_run.values())) > 1}


def by_value(values: Mapping[Key, Value]) -> dict[Value, list[Key]]:
    """The keys of each value, in order."""
    keys: dict[Value, list[Key]] = {}
    for key, value in values.items():
        keys.setdefault(value, []).append(key)
    return keys


def _data_key(entry: Entry) -> tuple[Any, ...]:
    options = entry.options
    vocab = "\n".join(entry.run.vocab.to_list())
    return (
        entry.run.config["data"]["sha1"],
        hashlib.sha1(vocab.encode(), usedforsecurity=False).hexdigest(),
        *(options[name] for name in ("num_train", "num_val", "num_steps")),
    )


def _data(entry: Entry, name: str) -> Data:
    options, data = entry.options, entry.run.config["data"]
    return Data(
        name,
        str(data["source"]),
        str(data["sha1"]),
        options["num_train"],
        options["num_val"],
        options["num_steps"],
        len(entry.run.vocab),
        options["tokens"],
    )


def _digest(weights: Weights) -> str:
    sha1 = hashlib.sha1(usedforsecurity=False)
    for name in sorted(weights):
        sha1.update(f"{name} {weights[name].shape} {weights[name].dtype} ".encode())
        sha1.update((weights[name] + 0.0).tobytes())  # -0.0 counts as 0.0
    return sha1.hexdigest()


def _letters(index: int) -> str:
    return ascii_uppercase[index] if index < len(ascii_uppercase) else str(index + 1)
