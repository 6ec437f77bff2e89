"""Where Flax's parameters hold the canonical weights (names and orientation: d2lrnn/weights.py)."""

import re
from collections.abc import Mapping

import jax
import numpy as np
from flax.core import unfreeze
from flax.traverse_util import flatten_dict, unflatten_dict

from d2lrnn.module import is_library_code, methods_of
from d2lrnn.weights import ATTENTION, OUTPUT_LAYERS, Piece, name_by_hand, prefix_of, unambiguous

STATS = "batch_stats"  # Flax's name of the running statistics among a model's variables
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
    """The canonical weights in each parameter of `model`. Flax's are (in, out), as the book's.

    Running statistics come last, and keep Flax's names: `batch_stats.norm.mean`.
    """
    pieces = [Piece(own, (name,)) for own, name in named((), model.params)]
    # Flax has them by the alphabet; so they come in the book's order: rnn before linear, W_xh, W_hh, b_h.
    pieces.sort(key=lambda piece: piece.names[0].lower(), reverse=True)
    pieces += [Piece(path, (path,)) for path in flatten_dict({STATS: model.batch_stats}, sep=".")]
    return unambiguous(pieces)


def named(path, params):
    """Each parameter of the tree `params`, which stands at `path` in the model's: its own name, and ours."""
    inside = flatten_dict(params, sep=".").keys()
    names = next((cell for cell in (SIMPLE, LSTM) if cell.keys() == inside), {})
    if path and path[-1] in OUTPUT_LAYERS and inside <= DENSE.keys():
        names = DENSE
    elif path and inside == {"embedding"}:
        names = {"embedding": "W"}
    elif path and path[-1] in ATTENTION and inside == {"kernel"}:
        names = {"kernel": ""}  # the matrix is named as its layer
    for name in inside if names else params:
        own = ".".join((*path, name))
        if name in names:
            yield own, (prefix_of(book_path(path)) + names[name]).rstrip(".")
        elif isinstance(params[name], Mapping):
            yield from named((*path, name), params[name])
        else:
            by_hand = name.startswith(("W_", "b_"))
            yield own, name_by_hand(book_path(path), name) if by_hand else own


def book_path(path):
    """The dotted path, by the book's attributes, of the module at `path`, a tuple of Flax's names.

    Flax names the parts of a list `rnns_0`, `rnns_1`. The cell that a layer runs over time is not named
    again: `rnn.cell` and `rnn.ScanSimpleCell_0` are `rnn`.
    """
    parts = [re.sub(r"^(\w*s)_(\d+)$", r"\1.\2", name) for name in path]
    parts = [{"forward_rnn": "f_rnn", "backward_rnn": "b_rnn"}.get(name, name) for name in parts]
    return ".".join(name for name in parts if not re.fullmatch(r"(\w*C|c)ell(_\d+)?", name))


def arrays(model, tree=None):
    """Parameters and running statistics, or a tree such as gradients, as NumPy arrays by dotted paths."""
    own = {**model.params, STATS: model.batch_stats} if tree is None else tree
    leaves = flatten_dict(unfreeze(own), sep=".")
    return {path: np.asarray(leaf) for path, leaf in leaves.items()}


def assign(model, arrays):
    """Replace parameters and statistics by `arrays`, named as by the function of that name."""
    tree = jax.device_put(unflatten_dict(arrays, sep="."), model.device)
    model.batch_stats = tree.pop(STATS, {})
    model.params = tree


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layer, if it has one."""
    layer = getattr(model, "rnn", model)
    told = all(map(is_library_code, methods_of(layer))) and getattr(layer, "activation", None)
    return {"activation": told} if told else {}


def has_sizes(model):
    """Parameters that are asked for are drawn, so their sizes are known."""
    return True


def has_hooks(model):
    """Flax has no hooks in a module."""
    return False


def layers(model):
    """No layers to draw anew: here each weight is drawn where its path is known."""
    return ()
