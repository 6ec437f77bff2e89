"""Where Flax's parameters hold the canonical weights (names and orientation: d2lrnn/weights.py)."""

import re
from collections.abc import Mapping

import jax
import numpy as np
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict

from d2lrnn.module import is_library_code
from d2lrnn.weights import OUTPUT_LAYERS, Piece, prefix_of, unambiguous

BY_HAND = {"W_hq": "linear.W_hq", "b_q": "linear.b_q"}  # of a model from scratch, as of `linear`
DENSE = {"kernel": "W_hq", "bias": "b_q"}
# What linen's cells hold whose equations are the book's: its `SimpleCell` and its LSTM cells. The
# further bias of its `GRUCell` is none of the book's, so that one keeps linen's names.
SIMPLE = {"i.kernel": "W_xh", "h.kernel": "W_hh", "i.bias": "b_h"}
LSTM = {
    f"{own[0]}{gate}.{own[2:]}": letters + name
    for gate, name in zip("ifgo", "ifco", strict=True)
    for own, letters in (("i.kernel", "W_x"), ("h.kernel", "W_h"), ("h.bias", "b_"))
}


def layout(model):
    """The canonical weights in each parameter of `model`. Flax's are (in, out), as the book's."""
    return unambiguous(pieces_of((), model.params))


def pieces_of(path, params):
    """The pieces of the tree `params`, which stands at `path` in the model's."""
    own = flatten_dict(params, sep=".").keys()
    names = next((cell for cell in (SIMPLE, LSTM) if cell.keys() == own), BY_HAND)
    if path and path[-1] in OUTPUT_LAYERS and own <= DENSE.keys():
        names = DENSE
    for name in own if names is not BY_HAND else params:
        if isinstance(params.get(name), Mapping):
            yield from pieces_of((*path, name), params[name])
        else:
            canonical = below(path) + names.get(name, name) if path else names.get(name, name)
            yield Piece(".".join((*path, name)), (canonical,))


def below(path):
    """What stands before a weight's letters in the module at `path`, a tuple of names.

    Flax names the parts of a list `rnns_0`, `rnns_1`. The cell that a layer runs over time is not named
    again: `rnn.cell` and `rnn.ScanSimpleCell_0` are `rnn`.
    """
    parts = [re.sub(r"^(\w*s)_(\d+)$", r"\1.\2", name) for name in path]
    parts = [re.sub(r"^(for|back)ward_rnn$", lambda m: f"{m[1][0]}_rnn", name) for name in parts]
    return prefix_of(".".join(n for n in parts if not re.fullmatch(r"(\w*C|c)ell(_\d+)?", n)))


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
    """Parameters that are asked for are drawn, so their sizes are known."""
    return True


def has_hooks(model):
    """Flax has no hooks in a module."""
    return False


def layers(model):
    """No layers to draw anew: here each weight is drawn where its path is known."""
    return ()
