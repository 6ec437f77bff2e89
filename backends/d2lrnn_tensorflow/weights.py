"""Where Keras's variables hold the canonical weights (names and orientation: d2lrnn/weights.py).

Keras stores matrices as the book does, (in, out). The bias of its GRU is (2, 3 * num_hiddens); a
layer that holds the second row at zero marks the variable by an attribute `held`.
"""

import numpy as np
from tensorflow.keras import layers as kl
from tensorflow.keras.activations import linear, sigmoid, tanh

from d2lrnn import weights as core
from d2lrnn.weights import Piece, gates_of, prefix_of

from .ops import numpy
from .variables import has_hooks, has_sizes, is_held, layers, own_variables, variables  # noqa: F401

GATES = {kl.SimpleRNNCell: "h", kl.LSTMCell: "ifco", kl.GRUCell: "zrh"}  # side by side


def layout(model):
    """The canonical weights in each variable of `model`; a tied one comes once."""
    paths, inside = {id(v): path for path, v in variables(model).items()}, [*layers(model)]
    named = [pair for path, layer in inside for pair in of_the_book(path, layer)]
    for path, layer in inside:
        named += [(v, (core.name_by_hand(path, name),)) for name, v in own_variables(layer)]
    return core.unambiguous(
        Piece(paths.pop(id(variable)), names) for variable, names in named if id(variable) in paths
    )


def of_the_book(path, layer):
    """The variables inside `layer`, at `path` of the model, of which the book has names, and these."""
    prefix = prefix_of(path)
    cells, two_way = cells_of(layer), len(directions(layer)) - 1
    parts = core.recurrent_parts(prefix, len(cells) // (1 + two_way), two_way)
    for cell, (_, _, names) in zip(cells, parts, strict=False):
        gates = "zrn" if getattr(cell, "reset_after", False) else GATES[type(cell)]
        for array, letter in ("kernel", "W_x"), ("recurrent_kernel", "W_h"), ("bias", "b_"):
            yield getattr(cell, array), gates_of(names, letter, gates)
    if type(layer) is kl.Dense and layer.built and layer.activation is linear:
        names = core.names_of_dense(path, layer.use_bias)
        yield from zip((layer.kernel, layer.bias), ((name,) for name in names), strict=False)
    elif type(layer) is kl.Embedding and layer.built:
        yield layer.embeddings, (f"{prefix}W",)


def cells_of(layer):
    """The cells of a recurrent layer of Keras's; none if the book's names do not tell all it computes."""
    both = directions(layer)
    known = all(type(one) in (kl.SimpleRNN, kl.LSTM, kl.GRU, kl.RNN) for one in both)
    if not known or both[0].go_backwards or any(one.stateful for one in both):
        return []
    cells = [one.cell for one in both]
    if len(both) == 1:
        cells = getattr(layer.cell, "cells", cells)  # of a `StackedRNNCells`
    elif layer.merge_mode != "concat":
        return []
    return cells if all(map(has_equations, cells)) else []


def directions(layer):
    """The layer of Keras's itself or, of one in both directions, the two inside."""
    two_way = type(layer) is kl.Bidirectional
    return [layer.forward_layer, layer.backward_layer] if two_way else [layer]


def has_equations(cell):
    """Whether the book's names tell all that a cell of Keras's computes."""
    if type(cell) not in GATES or not cell.built or not cell.use_bias:
        return False
    held = not getattr(cell, "reset_after", False) or is_held(cell.bias)
    gated = type(cell) is not kl.SimpleRNNCell
    return held and not (gated and (cell.activation, cell.recurrent_activation) != (tanh, sigmoid))


def arrays(model):
    """The variables as NumPy arrays, by path; of a bias whose second row is held, the first."""
    return {p: numpy(v)[0] if is_held(v) else numpy(v) for p, v in variables(model).items()}


def assign(model, arrays):
    """Replace the variables by `arrays`, named as by the function of that name."""
    for path, variable in variables(model).items():
        array = arrays[path]
        one_of_two = np.ndim(array) < len(variable.shape)  # the second is held at zero
        variable.assign(np.stack([array, 0 * array]) if one_of_two else array)


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layers, if they have one."""
    inside = [layer for _, layer in layers(model)]
    functions = {one.activation for one in inside if type(one) is kl.SimpleRNN}
    kinds = {getattr(phi, "__name__", type(phi).__name__) for phi in functions}
    return core.activation_of(kinds, inside)
