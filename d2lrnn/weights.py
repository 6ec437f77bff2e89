"""Weights under their canonical names, to and from safetensors files.

The names and the orientation are the book's (sections 9.4 to 9.6), on every backend alike.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2lrnn.errors import WeightsError

Weights = dict[str, np.ndarray[Any, Any]]

# Of the language models of sections 9.5 and 9.6, on every backend.
CANONICAL = ("rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q")


def write_weights(
    path: str | os.PathLike[str], weights: Mapping[str, Any], **metadata: str
) -> None:
    """Write `weights` to `path` atomically; `metadata` goes into the file's header."""
    from safetensors.numpy import save

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: np.asarray(array, order="C") for name, array in weights.items()}
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(save(tensors, metadata={"format": "d2lrnn", **metadata}))
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read all arrays of the safetensors file `path`.

    Raises:
        WeightsError: there is no such file, or it is not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not Path(path).is_file():
        raise WeightsError(f"path={str(path)!r}: there is no such weights file.")
    try:
        weights: Weights = load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(
            f"path={str(path)!r} is not a safetensors file that can be read ({error}). "
            "Weights are written by `model.save(path)`."
        ) from error
    return weights


def check_weights(weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Weights:
    """The arrays of `weights` as float32, after checking that they fit a model of these `shapes`.

    Raises:
        WeightsError: lists every missing, unknown and wrongly shaped weight.
    """
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    faults = [f"missing: {name} {shape}" for name, shape in shapes.items() if name not in arrays]
    faults += [f"unknown: {name} {a.shape}" for name, a in arrays.items() if name not in shapes]
    faults += [
        f"wrong shape: {name} is {arrays[name].shape}, the model needs {shape}"
        for name, shape in shapes.items()
        if name in arrays and arrays[name].shape != tuple(shape)
    ]
    faults += [
        f"not numbers: {name} is of dtype {a.dtype}"
        for name, a in arrays.items()
        if a.dtype.kind not in "fiu"
    ]
    if faults:
        raise WeightsError(
            "The weights do not fit this model; nothing was loaded.\n  " + "\n  ".join(faults)
        )
    return {name: arrays[name].astype(np.float32) for name in shapes}


def draw(name: str, shape: tuple[int, ...], sigma: float, seed: int) -> np.ndarray[Any, Any]:
    """Initial weights from N(0, sigma^2) in float32, decided by `name` and `seed` alone."""
    random = np.random.RandomState([seed, zlib.crc32(name.encode())])
    return (sigma * random.standard_normal(shape)).astype(np.float32)
