"""Where Keras's variables hold the canonical weights (names and orientation: d2lrnn/weights.py).

Keras stores matrices in the canonical orientation (in, out). A GRU's bias is (2, 3 num_hiddens); the
library's own layers hold its second row at zero, and say so by an attribute `held` of the variable.
"""

from __future__ import annotations

import tensorflow as tf
from tensorflow import keras

from d2lrnn.weights import OUTPUT_LAYERS, Piece, prefix_of, unambiguous

from .ops import numpy

L = keras.layers
GATES = {L.SimpleRNNCell: "h", L.LSTMCell: "ifco", L.GRUCell: "zrh"}  # side by side in a variable
BY_HAND = {"W_hq": "linear.W_hq", "b_q": "linear.b_q"}  # of a model from scratch, as of `linear`


def layout(model):
    """The canonical weights in each variable of `model`; a tied one comes once."""
    paths = {id(variable): path for path, variable in variables(model).items()}
    pieces = [
        Piece(paths.pop(id(variable)), names)
        for path, layer in layers(model)
        for variable, names in named(path, layer)
        if id(variable) in paths
    ]
    return unambiguous(pieces + [Piece(path, (path,)) for path in paths.values()])


def named(path, layer):
    """Variables of `layer` itself and the canonical names in each; `path` is where it is in the model."""
    prefix = prefix_of(path)
    for part, cell in cells_of(layer):
        gates = "zrn" if getattr(cell, "reset_after", False) else GATES[type(cell)]
        for variable, letter in (cell.kernel, "W_x"), (cell.recurrent_kernel, "W_h"), (cell.bias, "b_"):
            yield variable, tuple(f"{prefix}{part}{letter}{gate}" for gate in gates)
    if type(layer) is L.Dense and path.split(".")[-1] in OUTPUT_LAYERS and layer.built:
        if layer.activation is keras.activations.linear:
            yield layer.kernel, (f"{prefix}W_hq",)
            yield layer.bias, (f"{prefix}b_q",)
    for name, variable in own_variables(layer):
        yield variable, (BY_HAND.get(name, name) if not path else prefix + name,)


def cells_of(layer):
    """The cells in a recurrent layer of Keras's, by their canonical part: `0.` of several, `f.` and `b.`.

    None where the book's names do not tell all that the layer computes.
    """
    if type(layer) is L.Bidirectional and layer.merge_mode == "concat":
        both = {"f.": layer.forward_layer, "b.": layer.backward_layer}
    elif getattr(layer, "go_backwards", True):
        return []
    else:
        both = {"": layer}
    cells = []
    for part, one in both.items():
        if type(one) not in (L.SimpleRNN, L.LSTM, L.GRU, L.RNN) or one.stateful:
            return []
        stacked = type(one.cell) is L.StackedRNNCells
        inside = enumerate(one.cell.cells) if stacked else [("", one.cell)]
        cells += [(f"{part}{index}." if stacked else part, cell) for index, cell in inside]
    mixed = len(both) == 2 and len(cells) > 2  # layers in each direction, which do not see the other
    return cells if not mixed and all(has_equations(cell) for _, cell in cells) else []


def has_equations(cell):
    """Whether the book's names tell all that a cell of Keras's computes."""
    if type(cell) not in GATES or not cell.built or not cell.use_bias:
        return False
    if type(cell) is L.SimpleRNNCell:
        return True
    act, gates = cell.activation, cell.recurrent_activation
    held = not getattr(cell, "reset_after", False) or is_held(cell.bias)
    return act is keras.activations.tanh and gates is keras.activations.sigmoid and held


def is_held(variable):
    """Whether only the first row of `variable` is a weight, the second held at zero."""
    return getattr(variable, "held", False)


def variables(model, start=""):
    """The variables of `model` by path: attributes, but of a layer of Keras's its place in it.

    Keras's own names count the layers of the process, so they would not be found again.
    """
    found = {}
    for name, item in attributes(model):
        path = start + name
        if isinstance(item, tf.Variable | keras.Variable):
            found |= new({path: item}, found)
        elif isinstance(item, L.Layer) and hasattr(item, "batch_loss"):  # a Module
            found |= new(variables(item, f"{path}."), found)
        elif isinstance(item, L.Layer):
            inside = {f"{path}.{i}.{v.name}": v for i, v in enumerate(item.weights)}
            found |= new(inside, found)
    return found


def new(variables, known):
    """Those of `variables` that stand not in `known` under another name."""
    ids = {id(variable) for variable in known.values()}
    return {path: variable for path, variable in variables.items() if id(variable) not in ids}


def attributes(layer):
    """Names and values of the attributes, those of Keras last; a list or dict is given item by item."""
    for name, value in sorted(vars(layer).items(), key=lambda item: item[0].startswith("_")):
        if isinstance(value, dict) and name != "hparams":
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        elif isinstance(value, list | tuple):
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))
        else:
            yield name, value


def own_variables(layer):
    """The `tf.Variable`s, by name, that are attributes of `layer`, or stand in one."""
    return [(name, value) for name, value in attributes(layer) if isinstance(value, tf.Variable)]


def distinct(variables):
    """Each variable once, where several attributes name it."""
    return list({id(variable): variable for variable in variables}.values())


def layers(model, path="", known=None):
    """`model` and all layers inside it, each once, by the path of its attribute."""
    known = set() if known is None else known
    known.add(id(model))
    yield path, model
    for name, item in attributes(model):
        if isinstance(item, L.Layer) and id(item) not in known:
            name = name.removeprefix("_layers.")  # of a Sequential
            yield from layers(item, f"{path}.{name}" if path else name, known)


def arrays(model):
    """The variables as NumPy arrays, by path; of a bias whose second row is held, the first."""
    return {p: numpy(v)[0] if is_held(v) else numpy(v) for p, v in variables(model).items()}


def assign(model, arrays):
    """Replace the variables by `arrays`, named as by the function of that name."""
    for path, variable in variables(model).items():
        array = arrays[path]
        variable.assign(tf.stack([array, tf.zeros_like(array)]) if is_held(variable) else array)


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layers, if they have one."""
    kinds = set()
    for _, layer in layers(model):
        if type(layer) is L.SimpleRNNCell:
            kinds.add(getattr(layer.activation, "__name__", type(layer.activation).__name__))
        elif hasattr(layer, "W_xh") and hasattr(layer, "activation"):
            kinds.add(layer.activation)
    return {"activation": kinds.pop()} if len(kinds) == 1 else {}


def has_sizes(model):
    """Whether every layer has its variables; those of Keras's may wait for their first input."""
    return all(layer.built for _, layer in layers(model))


def has_hooks(model):
    """Whether a reader has put another `call` into `model` or into a layer in it."""
    return any("call" in vars(layer) for _, layer in layers(model))
