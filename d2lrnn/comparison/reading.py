"""Opening the runs that are to be compared, and refusing what cannot be."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from d2lrnn import schema
from d2lrnn.comparison.architecture import Architecture, architecture, complete
from d2lrnn.comparison.measures import Measures, measure
from d2lrnn.errors import ArgumentError, RunError, UserError
from d2lrnn.run import Run
from d2lrnn.weights import shapes_of

FAILED = "failed.json"  # {"backend": ..., "error": ...}: what is left where a training never began


@dataclass(frozen=True)
class Entry:
    """A run that finished or diverged.

    Attributes:
        label: tells it from the other runs of the comparison.
        run: the run.
        name: the same; inside a group, tells it from the runs of that.
    """

    label: str
    run: Run
    name: str

    @property
    def backend(self) -> str:
        return self.run.backend

    @cached_property
    def options(self) -> dict[str, Any]:
        return complete(self.run.config["options"])

    @cached_property
    def architecture(self) -> Architecture:
        return architecture(self.options)

    @property
    def device(self) -> str:
        return str(self.run.config.get("device", "unknown"))

    @cached_property
    def measures(self) -> Measures:
        return measure(self.run)


@dataclass(frozen=True)
class Failure:
    """A training that failed, and its error."""

    label: str
    backend: str
    error: str
    path: Path


def read(
    runs: Iterable[str | os.PathLike[str] | Run],
) -> tuple[list[Entry], list[Failure]]:
    """Open all runs; those that failed come apart, unless they diverged.

    Raises:
        ArgumentError: fewer than two runs are given, or one twice.
        RunError: names every folder that is no run, is broken or has not finished.
    """
    paths = [run.path if isinstance(run, Run) else Path(run) for run in runs]
    if len(paths) < 2:
        raise ArgumentError(f"Expected at least two runs to compare. Received: {len(paths)}.")
    for path, times in Counter(path.resolve() for path in paths).items():
        if times > 1:
            raise ArgumentError(f"Expected each run once. Received: {path} {times} times.")

    opened: list[Run | Failure] = []
    faults: list[str] = []
    for path in paths:
        try:
            opened.append(_failure(path) or _whole(Run.open(path, diverged=True)))
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise RunError("\n".join(["Not every folder can be compared.", *faults]))

    labelled = list(zip(_labels(opened), opened, strict=True))
    return (
        [Entry(label, run, label) for label, run in labelled if isinstance(run, Run)],
        [replace(told, label=label) for label, told in labelled if isinstance(told, Failure)],
    )


def named(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """`entries` with the names by which they are called among themselves alone.

    That is the backend, where no other run is of it and the folder's name begins so: `torch-common` is
    `torch` among runs from common weights. A folder's name that tells something else is kept.
    """
    alone = _labels([entry.run for entry in entries]) if len(entries) > 1 else [entries[0].label]
    return tuple(
        replace(entry, name=name)
        if entry.run.path.resolve().name.startswith(f"{entry.backend}-")
        else entry
        for entry, name in zip(entries, alone, strict=True)
    )


def _labels(runs: Sequence[Run | Failure]) -> list[str]:
    """Of backend, folder's name and path the first that no other run has."""
    paths = [(run.path.resolve().name, str(run.path)) for run in runs]
    words = [(first, *others) for first, others in zip(_by_backend(runs), paths, strict=True)]
    times = Counter(word for of_run in words for word in set(of_run))
    return [next((w for w in of_run if times[w] == 1), of_run[-1]) for of_run in words]


def _by_backend(runs: Sequence[Run | Failure]) -> list[str]:
    """The backend of each run and, where they are of different models, what `--model` calls its own."""
    models = [run.config["options"]["model"] if isinstance(run, Run) else "" for run in runs]
    several = len({*models} - {""}) > 1
    return [
        f"{run.backend} {model}" if several and model else run.backend
        for run, model in zip(runs, models, strict=True)
    ]


def _failure(path: Path) -> Failure | None:
    """The failure that the folder `path` tells of, if it tells of one."""
    told = schema.read(path / FAILED, schema.Failed) if (path / FAILED).is_file() else None
    if told is None and (path / "config.json").is_file():
        config = schema.read(path / "config.json", schema.Header)
        if config.get("status") == "failed" and not config.get("diverged"):
            schema.check(path / "config.json", config, schema.Failed)
            told = config
    if told is None:
        return None
    return Failure("", told["backend"], told.get("error", "").strip() or "it gave no reason", path)


def _whole(run: Run) -> Run:
    """`run`, after reading all of its files."""
    _ = run.history, run.versions, run.sources, run.vocab, run.diverged or run.samples
    try:
        initial = run.initial_weights
        final = initial if run.diverged else run.weights
    except UserError as error:
        raise RunError(f"The run {run.path} is damaged: {error}") from error
    if shapes_of(initial) != shapes_of(final):
        raise RunError(
            f"The run {run.path} is damaged: its initial and final weights differ in name or shape."
        )
    return run
