"""What stands in the JSON that is read, declared once, and checked before anything is made of it.

Runs, checkpoints and weights are read from anywhere, so nothing is taken for granted: neither a type nor a
size. The types stand here; what an option may be beyond its type stands in `arguments`. Keys that are not
named are let through: a newer d2lrnn may write more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta

from d2lrnn import arguments
from d2lrnn.errors import ArgumentError, RunError

MOST = 1 << 26  # bytes of a JSON file; a history of 100,000 epochs has a quarter of that

Exact = 2**53  # up to here every integer is a float as well
Count = Annotated[int, Meta(ge=0, le=Exact)]
NotFinite = Literal[
    "Infinity", "-Infinity", "NaN"
]  # as JSON, which has no such numbers, keeps them
Number = Annotated[int, Meta(ge=-Exact, le=Exact)] | float | NotFinite
Seconds = Annotated[float, Meta(ge=0)] | NotFinite
MinibatchCount = Annotated[int, Meta(ge=0, lt=2**31)]
Perplexity = Annotated[float, Meta(gt=0)] | NotFinite


class Options(TypedDict):
    """Those of `d2lrnn train`; runs of d2lrnn 0.1 lack some, and a model may not take a number at all."""

    model: str
    num_hiddens: int
    activation: str | None
    sigma: float | None
    lr: float
    seed: int
    tokens: str
    num_steps: int
    batch_size: int
    num_train: int
    num_val: int
    num_layers: NotRequired[int | None]
    dropout: NotRequired[float | None]
    embed_size: NotRequired[int | None]
    attention: NotRequired[bool | None]
    min_freq: NotRequired[int | None]
    keep_case: NotRequired[bool | None]
    keep_punctuation: NotRequired[bool | None]
    max_epochs: NotRequired[int]
    gradient_clip_val: NotRequired[float]
    num_gpus: NotRequired[int]
    devices: NotRequired[int]
    num_preds: NotRequired[int]
    prefix: NotRequired[list[str]]
    text: NotRequired[str | None]
    pairs: NotRequired[str | None]
    weights: NotRequired[str | None]
    resume: NotRequired[str | None]
    optimizer: NotRequired[str | None]
    lr_schedule: NotRequired[str | None]
    log: NotRequired[Literal["csv", "tensorboard"] | None]


class Data(TypedDict):
    """What a run was trained on."""

    source: str
    sha1: str
    num_tokens: NotRequired[Count]
    letters: NotRequired[str | None]


class Config(TypedDict):
    """config.json."""

    status: Literal["running", "finished", "interrupted", "failed"]
    backend: str
    options: Options
    data: Data
    vocab_size: Annotated[int, Meta(ge=1, le=Exact)]
    started: NotRequired[str]
    ended: NotRequired[str]
    device: NotRequired[str]
    interrupted: NotRequired[bool]
    error: NotRequired[str]
    diverged: NotRequired[bool]
    ended_early: NotRequired[bool]
    peak_memory: NotRequired[Count | None]
    scores: NotRequired[dict[str, float]]


class Failed(TypedDict):
    """failed.json, which is left where a training never began."""

    backend: str
    error: NotRequired[str]


class Epoch(TypedDict):
    """A row of history.json; whatever else was plotted are numbers, too."""

    epoch: Count
    seconds: Seconds
    train_ppl: Perplexity
    val_ppl: NotRequired[Perplexity]


class Sample(TypedDict):
    """An entry of samples.json."""

    prefix: str
    before: str
    after: str


class Versions(TypedDict):
    """versions.json."""

    framework: str
    devices: NotRequired[list[str]]
    d2lrnn: NotRequired[str]
    python: NotRequired[str]
    numpy: NotRequired[str]
    platform: NotRequired[str]


class Source(TypedDict):
    """An entry of sources.json."""

    module: str
    source: str


class Sides(TypedDict):
    """vocab.json of a run that translates."""

    src: list[str]
    tgt: list[str]


class State(TypedDict):
    """What the header of a checkpoint says; those of d2lrnn 0.1 end with the history."""

    epoch: Count
    seed: Any  # of the data, whatever a reader's own is
    history: list[dict[str, Number]]
    model_seed: NotRequired[Annotated[int, Meta(ge=0, lt=2**32)]]
    minibatches: NotRequired[tuple[MinibatchCount, MinibatchCount]]
    backend: NotRequired[str]
    arrays: NotRequired[list[str]]
    crc32: NotRequired[int]
    belongs_to: NotRequired[dict[str, dict[str, bool | int | float | str]]]


Rows = list[dict[str, Number]]
Words = list[str]
Header = dict[str, Any]


def read(path: Path, *kinds: Any) -> Any:
    """The JSON value in the file `path`, if it is of all of `kinds`.

    Raises:
        RunError: there is no such file, or it holds something else; it is named, and the place in it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST + 1)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MOST:
        raise RunError(f"{path} is damaged: it has more than {MOST:,} bytes.")
    try:
        value = plain(msgspec.json.decode(content))
    except RecursionError:
        raise RunError(f"{path} is damaged: it is nested too deeply.") from None
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}.") from error
    check(path, value, *kinds)
    return value


def check(path: Path, value: Any, *kinds: Any) -> None:
    """Raise a RunError that names the file `path` and the place in it unless `value` is of all of `kinds`."""
    try:
        for kind in kinds:
            expect(value, kind)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}.") from error


def expect(value: Any, kind: Any) -> None:
    """Raise a ValueError that tells the place unless `value` is of `kind`."""
    msgspec.convert(value, kind)


PLAIN = (arguments.Integer, arguments.Number, arguments.Share, arguments.OneOf)


def check_options(path: Path, options: Mapping[str, Any], needed: Iterable[str]) -> None:
    """Raise a RunError unless all options are what their arguments may be, and those `needed` are there."""
    missing = sorted(name for name in needed if options.get(name) is None)
    if missing:
        raise RunError(f"{path} is damaged: it lacks {', '.join(missing)} - at `$.options`.")
    try:
        for name, value in options.items():
            # The table has a model and weights as well, which are objects there and names here.
            argument = arguments.ARGUMENTS.get(name)
            if argument and isinstance(argument.rule, PLAIN) and value is not None:
                arguments.check(**{name: value})
    except ArgumentError as error:
        raise RunError(f"{path} is damaged: {error}") from error


def check_epochs(rows: Rows) -> None:
    """Raise a ValueError unless `rows` are those of the epochs 1, 2, 3, ..."""
    for number, row in enumerate(rows, 1):
        if row.get("epoch") != number:
            raise ValueError(
                f"Expected epoch {number}, got {row.get('epoch')} - at `$[{number - 1}]`"
            )


# Shown as they are, they would steer a terminal: control characters but tab and line feed.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(value: Any) -> Any:
    """`value` with a replacement character for each control character in its texts."""
    if isinstance(value, str):
        return CONTROL.sub("\ufffd", value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value
