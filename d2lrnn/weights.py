"""Weights under the book's names: how they lie in a framework's arrays, on disk, and at the beginning.

Names are the path of the book's attributes and the book's letters: `rnn.W_xh`, `linear.b_q`. They tell
the equations: `W_xi` is an LSTM, `W_hh` beside `W_xz` the book's GRU, `W_xn` the frameworks' GRU. A
part is named only where there are several: `rnn.0.W_xh` in layers, `rnn.f.W_xh` in directions.
Matrices are (in, out), as in the book, whatever the framework stores.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from d2lrnn import atomic
from d2lrnn.errors import WeightsError
from d2lrnn.schema import plain

Array = np.ndarray[Any, Any]
Weights = dict[str, Array]
T = TypeVar("T")

# Where a framework's fully connected layer is the book's output layer: the names of its attribute.
OUTPUT_LAYERS = ("linear", "dense")
# The matrices of additive attention (section 11.3), each a layer without a bias.
ATTENTION = ("W_q", "W_k", "w_v")


class Piece(NamedTuple):
    """An array of a framework's, and the canonical weights that lie in it side by side.

    Attributes:
        path: the framework's own name of the array, dotted.
        names: the weights in it, in their order along its last axis once it is (in, out). None: it
            is a second bias. It is held at zero, or, in a layer that a reader made, added to the bias
            of the piece before it, which is what the layer computes with.
        transposed: whether the framework stores it (out, in).
    """

    path: str
    names: tuple[str, ...]
    transposed: bool = False


Layout = Sequence[Piece]


def to_canonical(layout: Layout, arrays: Mapping[str, Array]) -> Weights:
    """The weights by canonical name, copies, of the framework's `arrays` by its own paths."""
    weights: Weights = {}
    names: tuple[str, ...] = ()
    for piece in layout:
        array = arrays[piece.path].T if piece.transposed else arrays[piece.path]
        if piece.names:
            names = piece.names
            parts = np.split(array, len(names), axis=-1) if len(names) > 1 else [array]
            weights |= {name: p.copy() for name, p in zip(names, parts, strict=True)}
        else:
            for name, part in zip(names, np.split(array, len(names), axis=-1), strict=True):
                weights[name] += part
    return weights


def from_canonical(layout: Layout, weights: Weights, arrays: Mapping[str, Array]) -> Weights:
    """The way back: the framework's arrays by its own paths; `arrays` has the shapes of all."""
    own = {}
    for piece in layout:
        if not piece.names:
            own[piece.path] = np.zeros_like(arrays[piece.path])
            continue
        parts = [weights[name] for name in piece.names]
        array = np.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        own[piece.path] = array.T if piece.transposed else array
    return own


def folded(layout: Layout, arrays: Mapping[str, Array]) -> Weights:
    """The arrays that canonical weights do not tell apart: a bias, and a second one that was added to it."""
    pairs = [
        (one, two) for one, two in pairwise(layout) if not two.names and arrays[two.path].any()
    ]
    return {piece.path: arrays[piece.path] for pair in pairs for piece in pair}


def canonical_shapes(layout: Layout, arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """The shape of each canonical weight."""
    return shapes_of(to_canonical(layout, arrays))


def canonical_path(path: str) -> str:
    """The canonical name of the part of a model at the dotted `path`.

    A layer's inner `rnn` and `rnns`, which hold what it is made of, are not named again:
    `rnn.rnn` is `rnn`, `rnn.rnns.1` is `rnn.1`, `rnn.f_rnn` is `rnn.f`, `encoder.rnn.rnn` `encoder.rnn`.
    """
    parts: list[str] = []
    for part in path.split(".") if path else []:
        if "rnn" in parts:
            part = "" if part in ("rnn", "rnns") else part.removesuffix("_rnn")
        if part:
            parts.append(part)
    return ".".join(parts)


def prefix_of(path: str) -> str:
    """What stands before a weight's letters: the canonical path and a dot, or nothing."""
    return f"{canonical_path(path)}." if path else ""


def name_by_hand(path: str, name: str) -> str:
    """The name of a parameter `name` that a module at `path` has made itself.

    The book's letters stand under the canonical path; the output layer's of a model from scratch, which
    has no module for it, under `linear`. Any other parameter keeps the framework's path.
    """
    if not path and name in ("W_hq", "b_q"):
        return f"linear.{name}"
    if name.startswith(("W_", "b_")):
        return prefix_of(path) + name
    return f"{path}.{name}" if path else name


def recurrent_parts(
    prefix: str, num_layers: int = 1, two_way: bool = False
) -> Iterator[tuple[int, int, str]]:
    """The parts of a framework's recurrent layer: index, direction (1 is backward), prefix of the names."""
    for index in range(num_layers):
        part = f"{prefix}{index}." if num_layers > 1 else prefix
        yield from (
            (index, i, f"{part}{d}") for i, d in enumerate(("f.", "b.") if two_way else ("",))
        )


def names_of_dense(path: str, has_bias: bool) -> tuple[str, ...]:
    """The book's names of the matrix and the bias of a fully connected layer at `path`; none if it has none.

    It is a model's output layer, or a matrix of additive attention (section 11.3), which has no bias.
    """
    prefix, name = prefix_of(path), path.split(".")[-1]
    if name in OUTPUT_LAYERS:
        return f"{prefix}W_hq", f"{prefix}b_q"
    return (path,) if name in ATTENTION and not has_bias else ()


def gates_of(prefix: str, letter: str, gates: str) -> tuple[str, ...]:
    """The names of `gates` side by side: `W_xi`, `W_xf`, ... for the letter 'W_x'."""
    return tuple(f"{prefix}{letter}{gate}" for gate in gates)


def layout_of(named: Iterable[Piece], paths: Iterable[str]) -> list[Piece]:
    """The layout of the arrays at `paths`: the pieces of these that `named` has, then the others.

    These are parameters that a module has made itself, see `name_by_hand`.
    """
    own = dict.fromkeys(paths)
    pieces = {piece.path: piece for piece in named if piece.path in own}
    for path in own:
        start, _, name = path.rpartition(".")
        pieces.setdefault(path, Piece(path, (name_by_hand(start, name),)))
    return unambiguous(pieces.values())


def activation_of(of_framework: Iterable[Any], layers: Iterable[Any]) -> dict[str, str]:
    """The activation of a model's recurrent layers, if they have one.

    Args:
        of_framework: the activations of the framework's own layers in the model.
        layers: all its layers, of which those from scratch have an attribute `activation`.
    """
    scratch = [one for one in layers if hasattr(one, "W_xh") and not hasattr(one, "W_xz")]
    kinds = {*of_framework, *(getattr(one, "activation", None) for one in scratch)}
    kinds = {kind for kind in kinds if isinstance(kind, str)}  # a reader's may be a function
    return {"activation": kinds.pop()} if len(kinds) == 1 else {}


def unambiguous(layout: Iterable[Piece]) -> list[Piece]:
    """`layout`, but with the framework's own names where canonical ones would come twice."""
    pieces = list(layout)
    names = [name for piece in pieces for name in piece.names]
    if len(set(names)) == len(names):
        return pieces
    return [Piece(piece.path, (piece.path,)) for piece in pieces]


# Where the parts of a model stand ------------------------------------------------------------------


def items_of(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values of `attributes`; a list, tuple or dict is given item by item: `blocks.0`."""
    for name, value in attributes.items():
        if isinstance(value, dict) and name != "hparams":
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))
        else:
            yield name, value


def layers_in(
    model: Any,
    kind: type,
    attributes: Callable[[Any], Iterable[tuple[str, Any]]],
    path: str = "",
    seen: set[int] | None = None,
) -> Iterator[tuple[str, Any]]:
    """`model` and the layers inside it, each once, by the dotted path of the attributes that lead there.

    Args:
        model: of a framework that does not tell by itself where all its layers are.
        kind: what a layer is: the framework's base class.
        attributes: of a layer, names and values.
    """
    seen = set() if seen is None else seen
    seen.add(id(model))
    yield path, model
    for name, value in attributes(model):
        if isinstance(value, kind) and id(value) not in seen:
            below = f"{path}.{name}" if path else name
            yield from layers_in(value, kind, attributes, below, seen)


# Files ------------------------------------------------------------------------------------------


def write_weights(
    path: str | os.PathLike[str],
    weights: Mapping[str, Any],
    also: Iterable[str | os.PathLike[str]] = (),
    **header: Any,
) -> None:
    """Write `weights` to `path` atomically; `header`, what the weights do not tell, goes before them.

    The files `also`, in the same folder, become the same.

    Equal weights and headers give equal files, byte for byte: safetensors orders the weights, and
    the header is one entry, for it does not order several.
    """
    from safetensors.numpy import save

    tensors = {name: np.asarray(array, order="C") for name, array in weights.items()}
    content = save(tensors, metadata={"d2lrnn": json.dumps(header, sort_keys=True)})
    atomic.write(path, content, also)


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read all arrays of the safetensors file `path`.

    Raises:
        WeightsError: there is no such file, or it is not a safetensors file.
    """
    from safetensors.numpy import load_file

    return _reading(path, load_file)


def model_weights(path: str | os.PathLike[str]) -> Weights:
    """The weights of a model in the file `path`, in which a checkpoint has the optimiser's state besides.

    Raises:
        WeightsError: see `read_weights`.
    """
    weights = read_weights(path)
    if "checkpoint" not in read_header(path):
        return weights
    of_model = {name.partition("/")[::2]: array for name, array in weights.items()}
    return {name: array for (part, name), array in of_model.items() if part == "model"}


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_weights` wrote before the weights of `path`; empty where it wrote nothing.

    Raises:
        WeightsError: see `read_weights`.
    """
    from safetensors import safe_open

    def read(path: str | os.PathLike[str]) -> dict[str, Any]:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        if "checkpoint" in metadata:  # as checkpoints were written by d2lrnn 0.1
            metadata = {"d2lrnn": f'{{"checkpoint": {metadata["checkpoint"]}}}'}
        header = json.loads(metadata.get("d2lrnn", "{}"))
        if not isinstance(header, dict):
            raise ValueError("what stands before its weights is no JSON object")
        return {**plain(header)}

    return _reading(path, read)


def read_shapes(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays in `path`, as its header says; none of the arrays is read.

    Raises:
        WeightsError: see `read_weights`.
    """
    from safetensors import safe_open

    def read(path: str | os.PathLike[str]) -> dict[str, tuple[int, ...]]:
        with safe_open(path, framework="numpy") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in [*file.keys()]}

    return _reading(path, read)


def _reading(path: str | os.PathLike[str], read: Callable[[Any], T]) -> T:
    from safetensors import SafetensorError

    if not Path(path).is_file():
        raise WeightsError(f"path={str(path)!r}: there is no such weights file.")
    try:
        return read(path)
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise WeightsError(
            f"path={str(path)!r} is not a safetensors file that can be read ({plain(str(error))}). "
            "Weights are written by `model.save(path)`."
        ) from error


def check_weights(
    weights: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    types: Mapping[str, np.dtype[Any]] | None = None,
) -> Weights:
    """The arrays of `weights`, after checking that they fit a model of these `shapes`.

    They are of the types `types`, by default all float32: a count or a mask of a reader's is none.

    Raises:
        WeightsError: lists every missing, unknown and wrongly shaped weight.
    """
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    faults = misfits(shapes_of(arrays), shapes)
    faults += [
        f"not numbers: {name} is of dtype {a.dtype}"
        for name, a in arrays.items()
        if a.dtype.kind not in "fiub"
    ]
    _refuse(faults)
    return {name: arrays[name].astype(types[name] if types else np.float32) for name in shapes}


def shapes_of(arrays: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """The shape of each of `arrays`."""
    return {name: array.shape for name, array in arrays.items()}


def check_shapes(
    found: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """As `check_weights`, of weights of which the shapes alone were read."""
    _refuse(misfits(found, shapes))


def misfits(
    found: Mapping[str, tuple[int, ...]], shapes: Mapping[str, tuple[int, ...]]
) -> list[str]:
    """In words, what of the shapes `found` is missing, unknown or other than `shapes` has it."""
    faults = [f"missing: {name} {shape}" for name, shape in shapes.items() if name not in found]
    faults += [f"unknown: {name} {shape}" for name, shape in found.items() if name not in shapes]
    faults += [
        f"wrong shape: {name} is {found[name]}, the model needs {tuple(shape)}"
        for name, shape in shapes.items()
        if name in found and found[name] != tuple(shape)
    ]
    return faults


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        lines = "\n  ".join(map(plain, faults))
        raise WeightsError(f"The weights do not fit this model; nothing was loaded.\n  {lines}")


def check_reset(found: Iterable[str], wanted: Iterable[str]) -> None:
    """Raise a WeightsError if the weights `found` are a GRU's that resets elsewhere than the one `wanted`.

    `W_hh` beside `W_xz` is the book's, R * H before the product with it; `W_hn` a framework's, after it.
    """
    where = {"h": "before the product with W_hh, as the book's (GRUScratch)"}
    where["n"] = "after the product with W_hn, as the frameworks' (GRU, BiGRU)"
    kinds = []
    for names in found, wanted:
        of_grus = {name[:-1] for name in names if name.endswith("W_xz")}
        kinds.append({gate for gate in "hn" if any(f"{start}{gate}" in names for start in of_grus)})
    if all(len(kind) == 1 for kind in kinds) and kinds[0] != kinds[1]:
        (theirs,), (ours,) = kinds
        raise WeightsError(
            f"The weights are those of a GRU whose reset gate acts {where[theirs]}; this model's acts "
            f"{where[ours]}. At equal weights the two compute different states (section 10.2), so nothing "
            "was loaded. Make the model with the other class, or train it anew."
        )


# Initial weights ----------------------------------------------------------------------------------


def path_below(name: str) -> str:
    """The name under which initial weights are drawn: that below the model, without `rnn.` or `linear.`.

    So `rnn.W_xh` is drawn as `W_xh`, `rnn.1.W_xh` as `1.W_xh`, and no two layers start as copies.
    """
    return re.sub(r"^(rnn|linear)(\.|$)", "", name)


def draw(name: str, shape: tuple[int, ...], sigma: float, seed: int | None) -> Array:
    """Initial weights from N(0, sigma^2) in float32, decided by `name` and `seed` alone.

    Without a seed, they are others each time.
    """
    random = np.random.RandomState(None if seed is None else [seed, zlib.crc32(name.encode())])
    return (sigma * random.standard_normal(shape)).astype(np.float32)


def initial(path: str, arrays: Mapping[str, Array], sigma: float, seed: int | None) -> Weights:
    """The initial weights of a layer from scratch at `path` below the model: matrices as `draw`, biases 0."""
    start = f"{path}." if path else ""
    return {
        name: draw(start + name, array.shape, sigma if array.ndim > 1 else 0, seed)
        for name, array in arrays.items()
    }


def seed_at(seed: int | None, path: str) -> int | None:
    """The seed of what is drawn at `path`: `seed` itself where the path is empty; None stays None."""
    return seed if seed is None or not path else zlib.crc32(f"{seed} {path}".encode())
