"""A run: the folder that keeps everything about one training.

config.json          status, backend, all options, data (its source and SHA-1), size of the vocabulary
vocab.json           the tokens by index; of a model that translates, those of both languages
versions.json        d2lrnn, Python, NumPy, the framework, its devices, the platform
initial.safetensors  the weights before training
sources.json         the source of the model's classes, as installed
checkpoint.safetensors   what decides the rest of the training, after each epoch
history.json         a row an epoch: losses in nats per token, perplexities, seconds
samples.json         the continuation of each prefix, or the translation of each sentence, before and after
weights.safetensors  the weights under their canonical names, readable by any backend
perplexity.svg .png  the history, drawn

The folder is made, and so its name taken, when training starts, and `config.json` is its first file, of
status `running`. It is replaced last of all, by one of status `finished`, `interrupted` (Ctrl-C; all
files are there) or `failed` (with the error, and whether the training diverged; no weights and samples).
A folder that is `running` and that no process holds was left by one that was ended by force. From
`config.json` and, if there is one, the checkpoint it can be finished, at any time: the rest follows from
them. A folder without `config.json` was left before that; it can be used again. Numbers that JSON lacks
are the strings Infinity, -Infinity, NaN.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np

from d2lrnn import __version__, atomic, backend, checkpoints, decoding, models, schema, shell
from d2lrnn.data import MTFraEng, Tokenizer, Vocab
from d2lrnn.errors import ArgumentError, DataError, RunError, TrainingDiverged, WeightsError
from d2lrnn.weights import (
    Weights,
    check_shapes,
    check_weights,
    model_weights,
    read_shapes,
    read_weights,
    write_weights,
)

FORMAT = "d2lrnn run 1"

Status = Literal["running", "finished", "interrupted", "failed"]
Row = dict[str, float]


_OF_THE_END = ("ended", "error", "diverged", "ended_early", "peak_memory", "scores")
_FILES = (
    "vocab.json",
    "versions.json",
    "history.json",
    "samples.json",
    "weights.safetensors",
)


class Run:
    """The folder of a training; `create` and `start` make one, `open` reads one, whichever backend wrote it.

    Attributes:
        path: the folder.
        config: `status`, `backend`, `started`, `options` (those of `d2lrnn train`), `vocab_size`,
            `device`, `interrupted`, `peak_memory` (bytes), and `data`: `source`, `num_tokens`, and
            `sha1`, of the tokens' indices (int32, little-endian), so that equal ones mean equal
            data, and `letters`, see `Tokenizer`; of a failed run also `error` and `diverged`.
        best: whether `weights`, `model` and `stepper` are those of the lowest validation loss.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        self.best = False
        self._held = ExitStack()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        options: Mapping[str, Any],
        data: Any,
        device: Any = "cpu",
    ) -> Run:
        """The run of a training that begins now; nothing is written before `start`.

        Args:
            path: a folder that does not exist yet, or in which no run was begun.
            options: those of `d2lrnn train`.
            data: the data module that is trained on.
            device: where the model is trained.
        """
        return cls(
            Path(path),
            {
                "format": FORMAT,
                "status": "running",
                "backend": backend.name(),
                "started": datetime.now().astimezone().isoformat(timespec="seconds"),
                "options": dict(options),
                "data": {
                    "source": data.source,
                    "num_tokens": data.num_tokens,
                    "sha1": sha1_of(data),
                    "letters": getattr(data, "letters", None),
                },
                "vocab_size": len(data.vocabs[-1]),
                "device": str(device),
                "interrupted": False,
            },
        )

    def start(self, data: Any) -> None:
        """Make the folder, and hold it until `release`.

        Raises:
            RunError: it exists already.
            WriteError: it cannot be written.
        """
        check_free(self.path)
        atomic.make_folder(self.path)
        with self._taken():
            check_free(self.path)  # again, now that nobody else can begin one there
            self._write("config.json", self.config)
            self._write_missing(data)

    def resume(self, options: Mapping[str, Any], data: Any, device: Any = "cpu") -> None:
        """Take the run up again where it stands, and hold it until `release`; see `create`.

        Raises:
            RunError: it is in training.
        """
        kept = {key: v for key, v in self.config.items() if key not in _OF_THE_END}
        news = {"status": "running", "options": dict(options), "device": str(device)}
        with self._taken():
            self.config = {**kept, **news, "interrupted": False}
            self._write("config.json", self.config)
            self._write_missing(data)

    def _write_missing(self, data: Any) -> None:
        lists = [vocab.to_list() for vocab in data.vocabs]
        vocab = lists[0] if len(lists) == 1 else dict(zip(SIDES, lists, strict=True))
        for name, value in ("vocab.json", vocab), ("versions.json", versions()):
            if not (self.path / name).is_file():
                self._write(name, value)

    @contextmanager
    def _taken(self) -> Iterator[None]:
        """Hold the folder from here on, or, if what is done in this block fails, no longer."""
        with ExitStack() as held:
            try:
                held.enter_context(atomic.hold(self.path))
            except BlockingIOError:
                raise RunError(
                    f"The run {self.path} is in training, in another process: wait for that, or end it."
                ) from None
            yield
            self._held = held.pop_all()

    def release(self) -> None:
        """Hold the folder no longer, as when the process ends."""
        self._held.close()

    def begin(self, model: Any) -> None:
        """Write what is known of `model` before training, unless it is there: its weights and its source."""
        if not self.initial.is_file():
            write_weights(self.initial, model.get_weights())
        if not (self.path / "sources.json").is_file():
            self._write("sources.json", sources_of(model))

    def finish(
        self,
        model: Any,
        history: Sequence[Row],
        samples: Sequence[Mapping[str, Any]],
        interrupted: bool = False,
        ended_early: bool = False,
        **scores: float,
    ) -> None:
        """Write what the training gave: the weights first, then what follows from them.

        Args:
            model: the trained model.
            history: a row an epoch, as in `Trainer.history`.
            samples: dicts of `prefix`, `before`, `after` and `num_preds`.
            interrupted: whether Ctrl-C ended the training.
            ended_early: whether `patience` ended it.
            scores: of translations, kept in `config["scores"]`.
        """
        model.save(str(self.path / "weights.safetensors"))
        self._write("history.json", history)
        self._write("samples.json", samples)
        draw_perplexity(history, self.path, self.bound)
        self._end(
            "interrupted" if interrupted else "finished",
            interrupted=interrupted,
            ended_early=ended_early,
            peak_memory=peak_memory(),
            **({"scores": scores} if scores else {}),
        )

    def fail(self, error: BaseException, history: Sequence[Row]) -> None:
        """Mark the run as failed by `error`, after the epochs of `history`."""
        self._write("history.json", history)
        self._end(
            "failed",
            error=str(error) or type(error).__name__,
            diverged=isinstance(error, TrainingDiverged),
        )

    def _end(self, status: Status, **news: Any) -> None:
        ended = datetime.now().astimezone().isoformat(timespec="seconds")
        self.config = {**self.config, "status": status, "ended": ended, **news}
        self._write("config.json", self.config)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], unfinished: bool = False, diverged: bool = False
    ) -> Run:
        """The run in the folder `path`, whichever backend has written it.

        Args:
            path: a folder that `d2lrnn train` wrote.
            unfinished: accept one in any state: that still runs, was ended by force, or failed.
            diverged: accept one that failed because its training diverged: it has a history, but
                neither weights nor samples.

        Raises:
            RunError: the folder is no run, has not finished, failed, or lacks a file.
        """
        run = cls(Path(path), {})
        if not run.path.is_dir():
            raise RunError(
                f"There is no folder {run.path}. `{shell.d2lrnn()} train` makes runs, in runs/."
            )
        if not run.is_begun:
            message = f"The folder {run.path} is no run of d2lrnn: it has no config.json."
            if is_free(run.path):
                message += (
                    " If its training was ended before that, begin it again by the same command."
                )
            raise RunError(message)
        run.config = run._read_config()
        if unfinished:
            return run
        if run.config["status"] == "running":
            raise RunError(
                f"The run {run.path} has not finished: it is still in training."
                if run.is_in_training
                else f"The run {run.path} has not finished: it was ended by force. {run.how_to_go_on}"
            )
        if run.config["status"] == "failed" and not (diverged and run.diverged):
            raise RunError(
                f"The run {run.path} failed: {run.config.get('error', 'no reason given')}"
            )
        needed = _FILES[:3] if run.diverged else _FILES
        missing = [name for name in needed if not (run.path / name).is_file()]
        if missing:
            raise RunError(f"The run {run.path} is not whole: it lacks {', '.join(missing)}.")
        return run

    def _read_config(self) -> dict[str, Any]:
        path = self.path / "config.json"
        config: dict[str, Any] = schema.read(path, schema.Header)
        if config.get("format") != FORMAT:
            raise RunError(
                f"The folder {self.path} is no run that this d2lrnn {__version__} can read: its "
                f"config.json has format={config.get('format')!r}, expected {FORMAT!r}."
            )
        schema.check(path, config, schema.Config)
        model = models.MODELS.get(config["options"]["model"])
        needed = model.options if model and model.translates else ()
        schema.check_options(path, config["options"], needed)
        return config

    @property
    def backend(self) -> str:
        """The name of the backend that trained it."""
        return str(self.config["backend"])

    @property
    def diverged(self) -> bool:
        """Whether it failed because its training diverged."""
        return self.config["status"] == "failed" and bool(self.config.get("diverged"))

    @property
    def bound(self) -> float:
        """The perplexity above which its training has diverged."""
        return models.FAR * float(self.config["vocab_size"])

    @property
    def has_ended(self) -> bool:
        """Whether all its files are there: it finished, or Ctrl-C ended it."""
        return self.config["status"] in ("finished", "interrupted")

    @property
    def is_in_training(self) -> bool:
        """Whether a process holds it."""
        return atomic.is_held(self.path)

    @property
    def is_begun(self) -> bool:
        """Whether its first file is there, from which it can be finished."""
        return (self.path / "config.json").is_file()

    @property
    def how_to_go_on(self) -> str:
        """What to type to finish it."""
        return (
            f"To go on with it, type:\n  {shell.d2lrnn()} train --resume {shell.quoted(self.path)}"
        )

    @property
    def checkpoint(self) -> Path:
        """The state after the last whole epoch, which `Trainer.fit(resume=...)` goes on from."""
        return self.path / "checkpoint.safetensors"

    @property
    def initial(self) -> Path:
        """The weights that training began from."""
        return self.path / "initial.safetensors"

    @property
    def trained(self) -> Path:
        """Where its weights are: those at its end, of its last checkpoint, or, if `best`, of its best.

        Raises:
            RunError: it was ended before its first checkpoint, or has none that is the best.
        """
        if self.best:
            path = checkpoints.best(self.checkpoint)
            if not path.is_file():
                raise RunError(
                    f"The run {self.path} has no best checkpoint: that is one of the lowest validation loss."
                )
            return path
        if self.has_ended:
            return self.path / "weights.safetensors"
        if not self.checkpoint.is_file():
            raise RunError(
                f"The run {self.path} has no weights yet: it was ended before its first checkpoint. "
                f"{self.how_to_go_on}"
            )
        return self.checkpoint

    @property
    def translates(self) -> bool:
        """Whether its model makes a sentence of another, and does not continue a text."""
        model = models.MODELS.get(self.config["options"]["model"])
        return model is not None and model.translates

    @cached_property
    def vocab(self) -> Vocab:
        """The vocabulary that the model was trained with; of one that translates, that of the target."""
        return self.vocabs[-1]

    @cached_property
    def vocabs(self) -> tuple[Vocab, ...]:
        """As `vocab`, of one that translates those of source and target."""
        lists = self._read("vocab.json", schema.Sides if self.translates else schema.Words)
        try:
            of_both = [lists[side] for side in SIDES] if self.translates else [lists]
            vocabs = tuple(Vocab.from_list(tokens, self._tokenizer()) for tokens in of_both)
        except (DataError, ArgumentError) as error:
            raise RunError(f"{self.path / 'vocab.json'} is damaged: {error}") from error
        vocab = vocabs[-1]
        if len(vocab) != self.config["vocab_size"]:
            raise RunError(
                f"{self.path / 'vocab.json'} has {len(vocab)} tokens, but config.json says "
                f"{self.config['vocab_size']}: they are not of the same run."
            )
        return vocabs

    def _tokenizer(self) -> Tokenizer:
        """How the text was read, and a prompt is; runs of d2lrnn 0.1 do not tell which letters."""
        options = self.config["options"]
        of_text = "any" if options.get("text") else "a-z"
        letters = self.config["data"].get("letters", of_text)
        keep_case = bool(options.get("keep_case"))
        return Tokenizer(options.get("tokens") or "char", letters, keep_case=keep_case)

    @cached_property
    def history(self) -> list[Row]:
        """A row an epoch: `epoch` (from 1), `train_loss`, `val_loss`, `train_ppl`, `val_ppl`, `seconds`."""
        rows = self._read("history.json", list[schema.Epoch], schema.Rows)
        try:
            schema.check_epochs(rows)
        except ValueError as error:
            raise RunError(f"{self.path / 'history.json'} is damaged: {error}.") from error
        return [
            {key: float(v) if isinstance(v, str) else v for key, v in row.items()} for row in rows
        ]

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """For each prefix: `prefix`, `before`, `after`, `num_preds`."""
        samples: list[dict[str, Any]] = self._read("samples.json", list[schema.Sample])
        return samples

    @cached_property
    def versions(self) -> dict[str, Any]:
        """What it was trained with: `d2lrnn`, `python`, `numpy`, `platform`, `framework`, `devices`."""
        versions: dict[str, Any] = self._read("versions.json", schema.Versions)
        return versions

    @cached_property
    def weights(self) -> Weights:
        """The trained weights, by canonical name; see `trained`."""
        return model_weights(self.trained)

    @cached_property
    def initial_weights(self) -> Weights:
        """The weights that training began from, by canonical name."""
        return read_weights(self.initial)

    @cached_property
    def sources(self) -> dict[str, dict[str, str]]:
        """By name of the model's classes: `module` and `source`, the code as it was installed."""
        sources: dict[str, dict[str, str]] = self._read("sources.json", dict[str, schema.Source])
        return sources

    def model(self) -> Any:
        """The trained model, on the active backend.

        Raises:
            WeightsError: the weights do not fit the options in the configuration.
        """
        self.check_sizes(self.trained)
        try:
            model = models.build_for(self.config["options"], self.vocabs)
        except ArgumentError as error:
            raise RunError(f"{self.path / 'config.json'} is damaged: {error}") from error
        model.load(str(self.trained))
        return model

    def check_before_resuming(self) -> None:
        """As `check_sizes`, of the weights that a training begins with and of those it goes on from."""
        for file in (self.initial, self.checkpoint):
            # The vocabulary is written before them.
            if file.is_file() and (self.path / "vocab.json").is_file():
                self.check_sizes(file)

    def check_sizes(self, file: Path) -> None:
        """Raise a RunError unless the weights in `file`, of a checkpoint too, are those of the run's model.

        The header of the file alone is read, and no model is made, whatever the configuration says. The
        error lists what is missing, what is unknown and which shapes differ.
        """
        options = self.config["options"]
        if options["model"] not in models.MODELS:
            raise RunError(
                f"The run {self.path} is of --model {options['model']}, which this d2lrnn {__version__} does "
                f"not know. It knows {', '.join(models.MODELS)}."
            )
        found = checkpoints.of_model(read_shapes(file))
        layers = options.get("num_layers") or 1
        if layers > len(found):  # so that no list of a billion layers is made
            raise RunError(
                f"{file} has {len(found)} weights, and the model of {layers} layers that config.json asks "
                "for has more: they are not of the same run."
            )
        try:
            check_shapes(found, models.shapes(options, *map(len, self.vocabs)))
        except WeightsError as error:
            raise RunError(f"{file} and config.json are not of the same run. {error}") from error

    def pairs(self) -> Any:
        """Data without sentences, by which a translator reads those that it is given."""
        data = MTFraEng(num_steps=self.config["options"]["num_steps"])
        data.src_vocab, data.tgt_vocab = self.vocabs
        return data

    def expect(self, translates: bool) -> Run:
        """The run; a RunError that names the command to type unless its model translates, or does not."""
        if self.translates == translates:
            return self
        folder = shell.quoted(self.path)
        what, way_out = (
            ("continues a text, and translates nothing", f'generate {folder} --prefix "it has"')
            if translates
            else (
                "translates sentences, and continues no text",
                f'translate --run {folder} "SENTENCE"',
            )
        )
        raise RunError(f"The model of {self.path} {what}. Type: {shell.d2lrnn()} {way_out}")

    def stepper(self) -> decoding.Step:
        """The step of the trained model in NumPy: to continue a text no framework is needed.

        Raises:
            WeightsError: the weights do not fit the options in the configuration.
        """
        self.check_sizes(self.trained)
        options = self.config["options"]
        weights = check_weights(self.weights, models.shapes(options, len(self.vocab)))
        return decoding.stepper(weights, options.get("activation") or "tanh")

    def epochs_of(self, checkpoint: Path) -> int:
        """How many epochs were done when a checkpoint was written; 0 if there is none."""
        if not checkpoint.is_file():
            return 0
        return int(checkpoints.read_state(checkpoint)["epoch"])

    # Files -----------------------------------------------------------------------------------------

    def _write(self, name: str, value: Any) -> None:
        text = json.dumps(_to_json(value), indent=2, ensure_ascii=False, allow_nan=False)
        atomic.write(self.path / name, (text + "\n").encode())

    def _read(self, name: str, *kinds: Any) -> Any:
        return schema.read(self.path / name, *kinds)


def is_free(path: str | os.PathLike[str]) -> bool:
    """Whether a run can begin in the folder `path`: there is none, or nothing but part files in it."""
    if not os.path.lexists(path):
        return True
    return Path(path).is_dir() and all(map(atomic.is_part, Path(path).iterdir()))


def check_free(path: str | os.PathLike[str]) -> None:
    """Raise a RunError unless a run can begin in the folder `path`."""
    if is_free(path):
        return
    message = f"{os.fspath(path)} exists already, and a run is never overwritten."
    try:
        run = Run.open(path, unfinished=True)
    except RunError:
        pass
    else:
        if run.config["status"] != "finished" and not run.is_in_training:
            message += f" It has not finished. {run.how_to_go_on}\n"
    raise RunError(f"{message} Choose another folder with --run.")


def default_path(backend_name: str) -> Path:
    """`runs/<backend>-<date>-<time>` in the current folder; a number is added where that exists."""
    first = Path("runs") / f"{backend_name}-{datetime.now():%Y-%m-%d-%H%M%S}"
    path, numbers = first, count(2)
    while path.exists():
        path = first.with_name(f"{first.name}-{next(numbers)}")
    return path


SIDES = ("src", "tgt")  # of a vocab.json of two languages


def sha1_of(data: Any) -> str:
    """The SHA-1 of the tokens' indices (int32, little-endian): equal ones mean equal data."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    for array in data.indices:
        sha1.update(np.ascontiguousarray(array, "<i4").reshape(-1).data)  # of a text no copy
    return sha1.hexdigest()


def versions() -> dict[str, Any]:
    """The versions that decide the numbers, and the devices."""
    return {
        "d2lrnn": __version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "platform": platform.platform(),
        **backend.active().versions(),
    }


def sources_of(model: Any) -> dict[str, dict[str, str]]:
    """The source of the class of `model` and of that of its recurrent layer, by their names.

    Other classes of the same file that such a class names, a cell for instance, come before it.
    """
    parts = [model] if hasattr(model, "rnn") else [model.encoder, model.decoder]
    # A framework whose layers are made when they run has none to look at in an encoder.
    inner = [parts[0].rnn] if hasattr(parts[0], "rnn") else []
    kinds = tuple(dict.fromkeys(map(type, [*inner, *parts, model])))
    sources = {}
    for kind in kinds:
        source = inspect.getsource(kind)
        words = set(re.findall(r"\w+", source))
        beside = inspect.getmembers(sys.modules[kind.__module__], inspect.isclass)
        named = [
            inspect.getsource(other)
            for name, other in beside
            if name in words and other.__module__ == kind.__module__ and other not in kinds
        ]
        sources[kind.__name__] = {
            "module": kind.__module__,
            "source": "\n\n".join([*named, source]),
        }
    return sources


def peak_memory() -> int | None:
    """The largest resident memory of this process so far, in bytes; None on Windows."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, where `ru_maxrss` begins at what the parent process had
        peak = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii", errors="ignore"))
        if peak:
            return 1024 * int(peak[1])
    try:
        import resource
    except ImportError:
        return None
    maxrss: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maxrss if sys.platform == "darwin" else maxrss * 1024


def draw_perplexity(history: Sequence[Row], folder: Path, bound: float = math.inf) -> None:
    """Draw the perplexities of `history` over the epochs, into perplexity.svg and perplexity.png.

    A line is broken where a perplexity is not finite, or above `bound`: no axis holds 1e308.
    """
    from matplotlib.figure import Figure  # not pyplot: it would look for a display
    from matplotlib.ticker import MaxNLocator

    from d2lrnn.figures import picture, set_axes

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in history]
    lines = [key for key in ("train_ppl", "val_ppl") if history and key in history[0]]
    for key, style in zip(lines, ("-", "--"), strict=False):
        values = [row[key] for row in history]
        perplexities = [p if math.isfinite(p) and p <= bound else math.nan for p in values]
        axes.plot(epochs, perplexities, style, marker="." if len(history) < 10 else "")
    set_axes(axes, "epoch", "perplexity", None, None, "linear", "linear", lines)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    atomic.write(folder / "perplexity.svg", picture(figure, "svg"))
    atomic.write(folder / "perplexity.png", picture(figure, "png"))


_NOT_IN_JSON = {math.inf: "Infinity", -math.inf: "-Infinity"}


def _to_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_IN_JSON.get(value, "NaN")
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    return value
