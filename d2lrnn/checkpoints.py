"""Checkpoints: all that decides the rest of a training in a file, what it belongs to, and which are kept.

Beside `checkpoint.safetensors`, the last, lie `checkpoint-best.safetensors`, that of the lowest validation
loss, and, where more than the last is kept, `checkpoint-000007.safetensors` after epoch 7 and so on.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from d2lrnn import atomic, backend, schema
from d2lrnn.data.minibatches import Minibatches, windows_of
from d2lrnn.errors import ArgumentError, WeightsError, WriteError
from d2lrnn.weights import (
    Weights,
    check_shapes,
    folded,
    read_header,
    read_weights,
    shapes_of,
    write_weights,
)

Row = dict[str, float]
Plain = bool | int | float | str
T = TypeVar("T")

# The first two decide what a training begins with and what it draws, which the checkpoint has; the others
# what is drawn of it, and, of modules that are dataclasses, what is no argument of the model's.
_NOT_A_SETTING = {
    *("seed", "sigma"),
    *("plot_train_per_epoch", "plot_valid_per_epoch", "training", "name", "parent"),
}


class Checkpoint(NamedTuple):
    """What a file holds: the weights, the optimiser's state, biases that were added up, and `state`."""

    weights: Weights
    optimizer: Weights
    biases: Weights
    state: dict[str, Any]


def read(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint, whichever backend has written it.

    Raises:
        WeightsError: there is none, it holds weights alone, or not the arrays and the epochs that it was
            written with.
    """
    state, arrays = read_state(path), read_weights(path)
    changed = set(state.get("arrays", arrays)) ^ set(arrays)
    if changed:
        raise _damaged(path, f"it should have {', '.join(sorted(changed))}, or not have")
    if state.get("crc32", crc := crc32(arrays)) != crc:
        raise _damaged(path, "its arrays are not those that were written")
    parts: dict[str, Weights] = {"model": {}, "optimizer": {}, "bias": {}}
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        if part not in parts:
            raise _damaged(path, f"it has an array {name}")
        parts[part][rest] = array
    return Checkpoint(parts["model"], parts["optimizer"], parts["bias"], state)


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the header of a checkpoint says, see `schema.State`.

    Raises:
        WeightsError: there is no checkpoint, or its epochs are not those of its history.
    """
    header = read_header(path)
    if "checkpoint" not in header:
        raise WeightsError(
            f"resume={os.fspath(path)!r} holds weights but is no checkpoint. `trainer.save_checkpoint` "
            "writes one; to start from these weights use `model.load`."
        )
    state: dict[str, Any] = header["checkpoint"]
    try:
        schema.expect(state, schema.State)
        schema.check_epochs(state["history"])
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if state["epoch"] != len(state["history"]):
        epochs = len(state["history"])
        raise _damaged(path, f"it tells {state['epoch']} epochs, and a history of {epochs}")
    return state


def _damaged(path: str | os.PathLike[str], reason: str) -> WeightsError:
    return WeightsError(
        f"The checkpoint {os.fspath(path)} is damaged: {schema.plain(reason)}. Nothing was loaded; go on "
        "from another checkpoint, or train anew."
    )


def of_model(named: Mapping[str, T]) -> dict[str, T]:
    """Of what is named as in a file, what is of the model: all, or, in a checkpoint, its weights."""
    of_checkpoint = {
        n.removeprefix("model/"): v for n, v in named.items() if n.startswith("model/")
    }
    return of_checkpoint or dict(named)


def crc32(arrays: Mapping[str, np.ndarray[Any, Any]]) -> int:
    """A sum over the names, types, shapes and numbers of `arrays`, in whichever order they come."""
    crc = 0
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.tobytes(), crc)
    return crc


# One of a training ----------------------------------------------------------------------------------


def write(trainer: Any, path: str, also: Sequence[Any] = ()) -> None:
    """Write the checkpoint of a training at the end of an epoch, under the names `also`, too.

    Raises:
        ArgumentError: the training was interrupted in the middle of an epoch.
        WriteError: the disk is full, or the folder cannot be written to.
    """
    if not trainer.is_between_epochs:
        raise ArgumentError(
            f"Epoch {trainer.epoch + 1} was interrupted, so the weights belong to no end of an epoch. "
            "`fit(..., checkpoint=path)` writes a checkpoint after each epoch; `model.save` keeps "
            "these weights."
        )
    model, own = trainer.model, backend.active().weights
    arrays = {f"model/{name}": array for name, array in model.get_weights().items()}
    arrays |= {f"optimizer/{name}": a for name, a in trainer.optimizer_state().items()}
    apart = folded(own.layout(model), own.arrays(model))
    arrays |= {f"bias/{place}": array for place, array in apart.items()}
    state = {
        "epoch": len(trainer.history),
        "history": trainer.history,
        "seed": getattr(trainer.data, "seed", None),
        "model_seed": trainer.seed,
        "minibatches": [trainer.train_batch_idx, trainer.val_batch_idx],
        "backend": backend.name(),
        "arrays": sorted(arrays),
        "crc32": crc32(arrays),
        "belongs_to": trainer.belongs_to,
    }
    write_weights(path, arrays, also=also, checkpoint=state)


def go_on(trainer: Any, checkpoint: Checkpoint) -> None:
    """Put model, optimiser and history where `checkpoint` has them; nothing, if they do not fit."""
    state, model, own = checkpoint.state, trainer.model, backend.active().weights
    model.check_weights(checkpoint.weights)
    arrays, biases = own.arrays(model), checkpoint.biases
    same_backend = state.get("backend", backend.name()) == backend.name()
    if same_backend:
        check_shapes(shapes_of({**arrays, **biases}), shapes_of(arrays))
        trainer.set_optimizer_state(checkpoint.optimizer)
    else:
        warnings.warn(
            f"The checkpoint was written by another backend, {state['backend']}: the training goes on "
            "from its weights, and the state of the optimiser starts anew.",
            stacklevel=5,
        )
    model.set_weights(checkpoint.weights)
    if same_backend:
        own.assign(model, {**own.arrays(model), **biases})
    trainer.history = state["history"]
    trainer.seed = state.get("model_seed", trainer.seed)
    # Checkpoints of d2lrnn 0.1 do not tell how many minibatches there were.
    numbers = trainer.num_train_batches, trainer.num_val_batches
    done = [state["epoch"] * (number or 0) for number in numbers]
    trainer.train_batch_idx, trainer.val_batch_idx = state.get("minibatches", done)


# What a checkpoint belongs to -----------------------------------------------------------------------


def of_training(trainer: Any, model: Any) -> dict[str, Any]:
    """What a checkpoint of this training belongs to; another is not to be continued from it."""
    loaders = {"training": trainer.train_dataloader, "validation": trainer.val_dataloader}
    lengths = {"training": trainer.num_train_batches, "validation": trainer.num_val_batches}
    schedule = trainer.lr_schedule
    if schedule != "constant":
        schedule += f" over {trainer.max_epochs} epochs"
    return {
        "model": {"model": type(model).__name__, **settings(model)},
        "data": of_data(loaders, lengths),
        "trainer": {"gradient_clip_val": trainer.gradient_clip_val, "lr_schedule": schedule},
    }


def of_optimizer(trainer: Any) -> dict[str, Any]:
    """The class of the optimiser, and the numbers that it begins with: its learning rate, and so on."""
    # Of what applies one, as gluon's Trainer does, the optimiser inside.
    inner = getattr(trainer.optim, "optimizer", trainer.optim)
    numbers = {n: a.item() for n, a in trainer.optimizer_state().items() if a.size == 1}
    return {"optimizer": type(inner).__name__, **numbers}


def refuse_others(trainer: Any, path: str, state: Mapping[str, Any]) -> None:
    """Raise a WeightsError if the checkpoint `path`, with this `state`, is not one of this training."""
    seed = getattr(trainer.data, "seed", None)
    if state["seed"] != seed:
        raise WeightsError(
            f"resume={path!r} was trained on data of seed={state['seed']}, this data has "
            f"seed={seed}: its minibatches would come in another order."
        )
    here = dict(trainer.belongs_to)
    if state.get("backend", backend.name()) != backend.name():
        here.pop("optimizer", None)  # each framework's has numbers of its own
    if found := differences(state.get("belongs_to", {}), here):
        raise WeightsError(
            f"resume={path!r} belongs to another training than this one; nothing was loaded.\n  "
            + "\n  ".join(found)
            + "\nMake the model, the data and the trainer as they were there. To begin another training "
            "with its weights, use `model.load`."
        )


def settings(part: Any, path: str = "") -> dict[str, Plain]:
    """The arguments of a model, of a layer and of what is in them, by dotted name, as they are now."""
    found: dict[str, Plain] = {}
    for name in _arguments(part):
        value = getattr(part, name, None)
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, Plain):
            found[path + name] = value
        else:
            found |= settings(value, f"{path}{name}.")
    return found


def _arguments(part: Any) -> set[str]:
    """The names of the saved arguments of `part`; of a class made by `dataclass`, its fields."""
    names = set(getattr(part, "hparams", None) or ())
    if not names and dataclasses.is_dataclass(part):
        names = {field.name for field in dataclasses.fields(part) if field.init}
    return names - _NOT_A_SETTING


def of_data(loaders: Mapping[str, Any], lengths: Mapping[str, int | None]) -> dict[str, Plain]:
    """The data and its split: sizes, and a checksum of the examples of the library's own loaders.

    `loaders` are those of training and validation, `lengths` their numbers of minibatches, if known.
    """
    found: dict[str, Plain] = {}
    for split, loader in loaders.items():
        if isinstance(loader, Minibatches):
            found["batch_size"] = loader.batch_size
            found[f"examples of {split}"] = loader.num_examples
            shapes = [array.shape[1:] for array in loader.arrays]
            found[f"shapes of an example of {split}"] = ", ".join(map(str, shapes))
            found[f"checksum of {split}"] = _checksum(loader.arrays)
        elif (length := lengths[split]) is not None:
            found[f"minibatches of {split}"] = length
    return found


def _checksum(arrays: Sequence[np.ndarray[Any, Any]]) -> int:
    crc = 0
    for array in arrays:
        windows = windows_of(array)
        crc = zlib.crc32(np.ascontiguousarray(windows.sequence if windows else array).data, crc)
    return crc


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs of the parts that both tell, such as 'lr: 0.5 there, 0.1 here'."""
    found = []
    for part in there.keys() & here.keys():
        one, other = there[part], here[part]
        if not isinstance(one, Mapping):
            one, other = {part: one}, {part: other}
        found += [
            f"{name}: {one[name]!r} there, {other[name]!r} here"
            for name in one.keys() & other.keys()
            if one[name] != other[name]
        ]
    # Where sizes differ, checksums do; and the model's lr is the optimiser's.
    sizes = [line for line in found if not line.startswith("checksum")]
    return sorted(sizes or found)


# Which are kept -------------------------------------------------------------------------------------


class Keeper:
    """Writes the checkpoints of a training to `path` and beside it, and removes those not kept any more.

    Args:
        trainer: whose `checkpoint_every` and `keep` tell when, and how many.
        path: of the last one.
        resumed: the file from which the training goes on, or None.

    Where the first cannot be written, that is an error; where a later one cannot, a warning.
    """

    def __init__(self, trainer: Any, path: str, resumed: str | None) -> None:
        self.trainer, self.path = trainer, path
        self.last: int | None = None  # the epochs of the last one that is on the disk
        self.lowest = math.inf  # the validation loss of the best one there
        if resumed == path:
            self.last = len(trainer.history)
            prune(path, self.last, trainer.keep)
        if resumed is not None and best(path).is_file():
            self.lowest = lowest(trainer.history)

    def is_due(self) -> bool:
        """Whether one is to be written after the epoch that has just ended."""
        trainer = self.trainer
        epochs = len(trainer.history)
        is_last: bool = epochs == trainer.max_epochs or trainer.ended_early
        return is_last or epochs % trainer.checkpoint_every == 0

    def write(self) -> None:
        """Write one, under its further names too."""
        history, keep = self.trainer.history, self.trainer.keep
        epochs, loss = len(history), history[-1].get("val_loss", math.inf)
        also = [best(self.path)] if loss < self.lowest else []
        also += [numbered(self.path, epochs)] if keep > 1 else []
        try:
            write(self.trainer, self.path, also)
            prune(self.path, epochs, keep)
        except WriteError as error:
            if self.last is None:
                raise
            warnings.warn(
                f"{error} The checkpoint after epoch {self.last} stays, and the training goes on.",
                stacklevel=3,
            )
            return
        self.last, self.lowest = epochs, min(loss, self.lowest)


def best(path: str | os.PathLike[str]) -> Path:
    """Where the checkpoint of the lowest validation loss lies beside the last one, `path`."""
    path = Path(path)
    return path.with_name(f"{path.stem}-best{path.suffix}")


def numbered(path: str | os.PathLike[str], epoch: int) -> Path:
    """Where the checkpoint after `epoch` epochs lies beside the last one, `path`."""
    path = Path(path)
    return path.with_name(f"{path.stem}-{epoch:06}{path.suffix}")


def prune(path: str | os.PathLike[str], epoch: int, keep: int) -> None:
    """Remove the numbered checkpoints beside `path` but the last `keep` up to `epoch`."""
    kept = dict(_all_numbered(Path(path)))
    before = sorted(number for number in kept if number <= epoch)
    for number in kept.keys() - set(before[-keep:] if keep > 1 else ()):
        atomic.remove(kept[number])


def _all_numbered(path: Path) -> Iterator[tuple[int, Path]]:
    pattern = re.compile(rf"{re.escape(path.stem)}-(\d{{6,}}){re.escape(path.suffix)}")
    for name in os.listdir(path.parent):
        if match := pattern.fullmatch(name):
            yield int(match[1]), path.with_name(name)


def lowest(history: Sequence[Row]) -> float:
    """The lowest validation loss of `history`; infinite where there is none."""
    return min((row["val_loss"] for row in history if "val_loss" in row), default=math.inf)


def best_epoch(history: Sequence[Row]) -> int:
    """The first epoch of `history` that has the lowest validation loss; 0 where none has one."""
    bound = lowest(history)
    return next((i for i, row in enumerate(history, 1) if row.get("val_loss") == bound), 0)
