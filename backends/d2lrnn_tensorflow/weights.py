"""Where Keras's variables hold the canonical weights (names and orientation: d2lrnn/weights.py).

Keras stores matrices as the book does, (in, out). The bias of its GRU is (2, 3 * num_hiddens); a
layer that holds the second row at zero marks the variable by an attribute `held`.
"""

import numpy as np
import tensorflow as tf
from tensorflow.keras import layers as kl
from tensorflow.keras.activations import linear, sigmoid, tanh
from tensorflow.keras.initializers import GlorotUniform, Orthogonal

from d2lrnn import weights as core
from d2lrnn.weights import Piece, gates_of, prefix_of

from .ops import numpy

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
    name, prefix = path.split(".")[-1], prefix_of(path)
    cells, two_way = cells_of(layer), len(directions(layer)) - 1
    parts = core.recurrent_parts(prefix, len(cells) // (1 + two_way), two_way)
    for cell, (_, _, names) in zip(cells, parts, strict=False):
        gates = "zrn" if getattr(cell, "reset_after", False) else GATES[type(cell)]
        for array, letter in ("kernel", "W_x"), ("recurrent_kernel", "W_h"), ("bias", "b_"):
            yield getattr(cell, array), gates_of(names, letter, gates)
    plain = type(layer) is kl.Dense and layer.built and layer.activation is linear
    if plain and name in core.OUTPUT_LAYERS:
        yield from ((layer.kernel, (f"{prefix}W_hq",)), (layer.bias, (f"{prefix}b_q",)))
    elif plain and name in core.ATTENTION and not layer.use_bias:
        yield layer.kernel, (path,)
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


def is_held(variable):
    """Whether the second row of `variable` is held at zero."""
    return getattr(variable, "held", False)


def variables(model, deep=True):
    """The variables of `model`, each once, by path: the attributes that lead to it; or its own alone."""
    found = {}  # by identity: several attributes may name one
    for path, layer in layers(model) if deep else [("", model)]:
        for name, variable in own_variables(layer):
            found.setdefault(id(variable), (f"{path}.{name}" if path else name, variable))
    return dict(found.values())


def own_variables(layer):
    """The variables, by name, that are attributes of `layer`, or stand in a list that is one."""
    return [
        (name.removeprefix("_"), value)  # `_kernel`, as some layers of Keras's call it
        for name, value in attributes(layer)
        if hasattr(type(value), "assign") and isinstance(value, tf.Variable | tf.keras.Variable)
    ]


def attributes(layer):
    """Names and values of the attributes, Keras's records last; a list or dict is given item by item."""

    def rank(item):
        return item[0].startswith("_"), isinstance(item[1], list | dict)

    for name, value in sorted(vars(layer).items(), key=rank):
        if isinstance(value, dict) and name != "hparams":
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))
        else:
            yield name, value


def layers(model, path="", known=None):
    """`model` and the layers inside it, each once, by path."""
    known = set() if known is None else known
    known.add(id(model))
    yield path, model
    for name, item in attributes(model):
        if isinstance(item, kl.Layer) and id(item) not in known:
            name = name.removeprefix("_layers.")  # of a Sequential
            yield from layers(item, f"{path}.{name}" if path else name, known)


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
    scratch = [one for one in inside if hasattr(one, "W_xh") and not hasattr(one, "W_xz")]
    kinds |= {one.activation for one in scratch if hasattr(one, "activation")}
    return {"activation": kinds.pop()} if len(kinds) == 1 else {}


def has_sizes(model):
    """Whether every layer has its variables; those of Keras's may wait for their first input."""
    return all(layer.built for _, layer in layers(model))


def has_hooks(model):
    """Whether a reader has put another `call` into `model`, or into a layer inside it."""
    return any("call" in vars(layer) for _, layer in layers(model))


def stream(seed, index):
    """The seed of one of several independent initialisers; None stays None."""
    return None if seed is None else 3 * int(seed) + index


def drawn(name, shape, sigma, seed):
    """A variable drawn from N(0, sigma^2) by its `name` and `seed`."""
    return tf.Variable(core.draw(name, shape, sigma, seed))


def recurrent_options(seed, start):
    """Of a recurrent layer of Keras's: what it draws from at `start`, its place, and that it returns all."""
    seed = core.seed_at(seed, start)
    return {
        "kernel_initializer": GlorotUniform(seed=stream(seed, 0)),
        "recurrent_initializer": Orthogonal(seed=stream(seed, 1)),
        "seed": stream(seed, 0),  # of dropout inside, which is off
        "return_sequences": True,
        "return_state": True,
    }
