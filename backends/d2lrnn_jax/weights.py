"""Canonical weights of Flax models (the names and orientation of d2lrnn/weights.py)."""

from __future__ import annotations

import jax
import numpy as np
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict

from d2lrnn.weights import check_weights

from .ops import cpu

# How the last parts of a parameter's path name the weight: this library's layers and the book's own
# scratch layers first, then linen's `SimpleCell` and `Dense` of a reader's hand-typed model.
RECURRENT = (
    {"rnn.W_xh": ("W_xh",), "rnn.W_hh": ("W_hh",), "rnn.b_h": ("b_h",)},
    {"rnn.W_xh": ("i", "kernel"), "rnn.W_hh": ("h", "kernel"), "rnn.b_h": ("i", "bias")},
)
OUTPUT = (
    {"linear.W_hq": ("W_hq",), "linear.b_q": ("b_q",)},
    {"linear.W_hq": ("kernel",), "linear.b_q": ("bias",)},
)


def canonical(params):
    """The paths in `params` by canonical name; of a model unlike the book's, by those paths.

    Flax's orientation is the book's, (in, out), so no weight is transposed.
    """
    paths = list(flatten_dict(unfreeze(params)))
    for recurrent in RECURRENT:
        for output in OUTPUT:
            names = _match(paths, recurrent | output)
            if names is not None:
                return names
    return {".".join(path): path for path in paths}


def _match(paths, ends):
    """For each name the one path that ends so, if all paths are taken."""
    left, names = list(paths), {}
    for name, end in ends.items():
        found = [path for path in left if path[-len(end) :] == end]
        if len(found) != 1:
            return None
        names[name] = found[0]
        left.remove(found[0])
    return None if left else names


def by_canonical_name(params):
    """A tree of parameters, or of their gradients, as NumPy arrays by canonical name."""
    leaves = flatten_dict(unfreeze(params))
    return {name: np.array(leaves[path]) for name, path in canonical(params).items()}


def get_weights(model):
    """The weights as float32 NumPy arrays by canonical name."""
    return by_canonical_name(model.params)


def set_weights(model, weights):
    """Replace the weights; see `d2lrnn.module.Module.set_weights`."""
    leaves = flatten_dict(unfreeze(model.param_shapes()))
    names = canonical(model.param_shapes())
    arrays = check_weights(weights, {name: leaves[path].shape for name, path in names.items()})
    device = model.device if model.has_params else cpu()
    model.params = unflatten_dict(
        {path: jax.device_put(arrays[name], device) for name, path in names.items()}
    )
