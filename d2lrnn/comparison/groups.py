"""Which runs belong into one plot: those of the same data and, together, those of the same start.

Perplexities of different data are of different scales, so their runs never share a group. Runs that
began from the very same weights make a group each; the others of the same data make one together.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from string import ascii_uppercase
from typing import Any, TypeVar

from d2lrnn.comparison.reading import Entry, named
from d2lrnn.comparison.wording import listed

Key = TypeVar("Key")
Value = TypeVar("Value")

MOST = 80  # characters of a file's name

# Options that make no difference to be told, or that are told in another way.
_NOT_A_SETTING = {"weights", "resume", "text", "prefix", "num_preds", "checkpoint_every", "keep"}


@dataclass(frozen=True)
class Data:
    """What runs were trained and validated on; perplexities on equal data can be compared."""

    name: str = field(compare=False)  # 'Data A' and so on; empty where there is only one
    source: str = field(compare=False)
    sha1: str
    vocab_sha1: str
    vocab_size: int
    tokens: str = field(compare=False)
    num_train: int
    num_val: int
    num_steps: int
    is_pairs: bool = False

    def __str__(self) -> str:
        kind = {"char": "characters", "word": "words"}.get(self.tokens, self.tokens)
        what = "pairs of sentences of up to" if self.is_pairs else "windows of"
        windows = f"{self.num_train:,} {what} {self.num_steps} {kind} for training"
        validation = f", {self.num_val:,} for validation" if self.num_val else ", no validation"
        return f"{self.source}; {windows}{validation}; a vocabulary of {self.vocab_size:,}"


@dataclass(frozen=True)
class Group:
    """Runs whose curves are drawn into one plot.

    Attributes:
        entries: the runs, each with its name inside the group.
        data: what all of them were trained on.
        same_start: whether all began from the very same weights; if not, all from different ones.
        mark: tells groups of the same data and kind apart, by model or number; empty where there is one.
    """

    entries: tuple[Entry, ...]
    data: Data
    same_start: bool
    mark: str

    @property
    def title(self) -> str:
        title = "From the same initial weights" if self.same_start else "Each from its own weights"
        title += f" ({self.mark})" if self.mark else ""
        if len(self.entries) == 1:
            title = f"{self.entries[0].label} alone"
        elif self.data.name:
            title = title[0].lower() + title[1:]
        return f"{self.data.name}: {title}" if self.data.name else title

    @property
    def name(self) -> str:
        """The title as a word for file names and addresses."""
        start = "same-weights" if self.same_start else "own-weights"
        words = filter(None, [self.data.name, start, self.mark])
        return slug(" ".join(words))

    @property
    def trained(self) -> list[Entry]:
        """The runs that have weights and samples: all but those that failed because they diverged."""
        return [entry for entry in self.entries if not entry.run.diverged]

    @property
    def same_equations(self) -> bool:
        """Whether the weights of all mean the same."""
        return len({entry.architecture for entry in self.entries}) == 1

    @property
    def same_minibatches(self) -> bool:
        """Whether all saw the same minibatches in the same order."""
        return len({(e.options["batch_size"], e.options["seed"]) for e in self.entries}) == 1

    def curves(self, key: str) -> dict[Entry, list[float]]:
        """Of each run that has it, the column `key` of the history, one value an epoch.

        A perplexity out of bounds is infinite.
        """
        columns = {
            e: [float(row[key]) for row in e.run.history if key in row] for e in self.entries
        }
        return {
            entry: [value if value <= entry.run.bound else inf for value in values]
            for entry, values in columns.items()
            if values
        }


def group(entries: Sequence[Entry]) -> list[Group]:
    """Sort `entries` into groups, in the order in which they are given."""
    groups = []
    by_data = by_value({entry: _data(entry) for entry in entries})
    for index, (data, of_data) in enumerate(by_data.items()):
        if len(by_data) > 1:
            data = replace(data, name=f"Data {ascii_uppercase[index : index + 1] or index + 1}")
        starts = by_value({entry: _start(entry) for entry in of_data}).values()
        same = [start for start in starts if len(start) > 1]
        own = [entry for start in starts if len(start) == 1 for entry in start]
        for start, mark in zip(same, _marks(same), strict=True):
            groups.append(Group(named(start), data, True, mark))
        if own:
            groups.append(Group(named(own), data, False, ""))
    return groups


def differing_settings(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """The options that are not the same in all of `entries`: by name, the value by label."""
    names = dict.fromkeys(n for e in entries for n in e.options if n not in _NOT_A_SETTING)
    values = {name: {e.label: e.options.get(name) for e in entries} for name in names}
    # An option of a newer d2lrnn may be a list.
    return {n: by_run for n, by_run in values.items() if len({*map(repr, by_run.values())}) > 1}


def by_value(values: Mapping[Key, Value]) -> dict[Value, list[Key]]:
    """The keys of each value, in order."""
    keys: dict[Value, list[Key]] = {}
    for key, value in values.items():
        keys.setdefault(value, []).append(key)
    return keys


def told_once(values: Mapping[Entry, Value]) -> list[tuple[str, str, Value]]:
    """Each value of each backend once, after whose it is and the backend.

    It is called that of the backend where that has no other, else that of its runs.
    """
    runs = by_value({entry: (entry.backend, value) for entry, value in values.items()})
    times = Counter(backend for backend, _ in runs)
    return [
        (name if times[name] == 1 else ", ".join(entry.label for entry in of_value), name, value)
        for (name, value), of_value in runs.items()
    ]


def _marks(groups: Sequence[Sequence[Entry]]) -> list[str]:
    """What tells the groups apart, if there are several: the models of each, or else its number."""
    if len(groups) < 2:
        return [""] * len(groups)
    models = [listed(dict.fromkeys(e.options["model"] for e in group)) for group in groups]
    numbers = map(str, range(1, len(groups) + 1))
    return models if len({*map(slug, models)}) == len(groups) else list(numbers)


def slug(words: str) -> str:
    """`words` as a name of a file, whatever a run says: small letters and digits, and hyphens between."""
    return "-".join(re.findall("[a-z0-9]+", words.lower()))[:MOST]


def _data(entry: Entry) -> Data:
    data, vocab = entry.run.config["data"], entry.run.vocab.to_list()
    of_vocab = hashlib.sha1("\n".join(vocab).encode(), usedforsecurity=False).hexdigest()
    options = {key: entry.options[key] for key in ("tokens", "num_train", "num_val", "num_steps")}
    return Data(
        *("", str(data["source"]), str(data["sha1"]), of_vocab, len(vocab)),
        **options,
        is_pairs=entry.run.translates,
    )


def _start(entry: Entry) -> Hashable:
    """What is equal for equal initial weights; -0.0 counts as 0.0."""
    weights = sorted(entry.run.initial_weights.items())
    return tuple((name, w.shape, str(w.dtype), (w + 0.0).tobytes()) for name, w in weights)
