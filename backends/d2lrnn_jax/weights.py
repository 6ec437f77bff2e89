"""Where Flax's parameters hold the canonical weights (names and orientation: d2lrnn/weights.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import jax
import numpy as np
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict

from d2lrnn.module import is_library_code
from d2lrnn.weights import OUTPUT_LAYERS, Piece, canonical_path, unambiguous

BY_HAND = {"W_hq": "linear.W_hq", "b_q": "linear.b_q"}  # of a model from scratch, as of `linear`
DENSE = {"kernel": "W_hq", "bias": "b_q"}
# What linen's cells hold whose equations are the book's: its `SimpleCell` and its LSTM cells. The
# third bias of its `GRUCell` is none of the book's, so that one keeps linen's names.
SIMPLE = {"i.kernel": "W_xh", "h.kernel": "W_hh", "i.bias": "b_h"}
LSTM = {
    f"{own[0]}{gate}.{own[2:]}": name + letter
    for gate, letter in zip("ifgo", "ifco", strict=True)
    for own, name in (("i.kernel", "W_x"), ("h.kernel", "W_h"), ("h.bias", "b_"))
}


def layout(model):
    """The canonical weights in each parameter of `model`. Flax's are (in, out), as the book's."""
    return unambiguous(pieces_of((), model.params))


def pieces_of(path, params):
    """The pieces of the tree `params`, which stands at `path` in the model's."""
    inside = flatten_dict(params, sep=".")
    names = next((cell for cell in (SIMPLE, LSTM) if cell.keys() == inside.keys()), None)
    if path and path[-1] in OUTPUT_LAYERS and inside.keys() <= DENSE.keys():
        names = DENSE
    if names is not None:
        start, prefix = ".".join(path), below(path)
        for name in names.keys() & inside.keys():
            yield Piece(f"{start}.{name}", (prefix + names[name],))
        return
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from pieces_of((*path, name), value)
        else:
            own = below(path) + name if path else BY_HAND.get(name, name)
            yield Piece(".".join((*path, name)), (own,))


def below(path):
    """What stands before a weight's letters in the module at `path`, a tuple of names.

    Flax names the parts of a list `rnns_0`, `rnns_1`. The cell that a layer runs over time is not named
    again: `rnn.cell` and `rnn.ScanSimpleCell_0` are `rnn`.
    """
    parts = [re.sub(r"^(\w*s)_(\d+)$", r"\1.\2", name) for name in path]
    parts = [re.sub(r"^(\w*C|c)ell(_\d+)?$", "", name) for name in parts]
    name = canonical_path(".".join(filter(None, parts)))
    return f"{name}." if name else ""


def arrays(model):
    """The parameters as NumPy arrays, by their dotted paths."""
    return arrays_of(model.params)


def arrays_of(params):
    """A tree of parameters, or of their gradients, as NumPy arrays by their dotted paths."""
    return {path: np.asarray(a) for path, a in flatten_dict(unfreeze(params), sep=".").items()}


def assign(model, arrays):
    """Replace the parameters by `arrays`, named as by the function of that name."""
    model.params = jax.device_put(unflatten_dict(arrays, sep="."), model.device)


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layer, if it has one."""
    layer = getattr(model, "rnn", model)
    told = is_library_code(getattr(layer, "forward", None)) and hasattr(layer, "activation")
    return {"activation": layer.activation} if told else {}


def has_sizes(model):
    """Whether the sizes of all layers are known: parameters that are asked for are drawn with theirs."""
    return True


def has_hooks(model):
    """Whether a reader has hooked something into the forward pass: Flax has no hooks in a module."""
    return False


def layers(model):
    """No layers to draw anew: here each weight is drawn where its path is known."""
    return ()
