"""Where Keras's variables hold the canonical weights (names and orientation: d2lrnn/weights.py).

Keras stores matrices as the book does, (in, out). The bias of its GRU is (2, 3 * num_hiddens); a
layer that holds the second row at zero marks the variable by an attribute `held`.
"""

import tensorflow as tf
from tensorflow.keras import layers as kl
from tensorflow.keras.activations import linear, sigmoid, tanh

from d2lrnn import weights as core
from d2lrnn.weights import Piece, gates_of, prefix_of

from .ops import numpy

GATES = {kl.SimpleRNNCell: "h", kl.LSTMCell: "ifco", kl.GRUCell: "zrh"}  # side by side
BY_HAND = {"W_hq": "linear.W_hq", "b_q": "linear.b_q"}  # of a model from scratch, as of `linear`


def layout(model):
    """The canonical weights in each variable of `model`; a tied one comes once."""
    paths = {id(variable): path for path, variable in variables(model).items()}
    pieces = [
        Piece(paths.pop(id(variable)), names)
        for path, layer in layers(model)
        for variable, names in weights_of(path, layer)
        if id(variable) in paths
    ]
    return core.unambiguous([*pieces, *(Piece(path, (path,)) for path in paths.values())])


def weights_of(path, layer):
    """The variables of `layer` itself and the weights in each; `path` is where it stands in the model."""
    prefix = prefix_of(path)
    cells = cells_of(layer)
    two_way = type(layer) is kl.Bidirectional
    parts = core.recurrent_parts(prefix, len(cells) // (1 + two_way), two_way)
    for cell, (_, _, names) in zip(cells, parts, strict=False):
        gates = "zrn" if getattr(cell, "reset_after", False) else GATES[type(cell)]
        for array, letter in ("kernel", "W_x"), ("recurrent_kernel", "W_h"), ("bias", "b_"):
            yield getattr(cell, array), gates_of(names, letter, gates)
    is_output = (
        type(layer) is kl.Dense and path.split(".")[-1] in core.OUTPUT_LAYERS and layer.built
    )
    if is_output and layer.activation is linear:
        yield from ((layer.kernel, (f"{prefix}W_hq",)), (layer.bias, (f"{prefix}b_q",)))
    for name, variable in own_variables(layer):
        yield variable, (prefix + name if path else BY_HAND.get(name, name),)


def cells_of(layer):
    """The cells of a recurrent layer of Keras's; none if the book's names do not tell all it computes."""
    two_way = type(layer) is kl.Bidirectional and layer.merge_mode == "concat"
    both = [layer.forward_layer, layer.backward_layer] if two_way else [layer]
    if any(
        type(one) not in (kl.SimpleRNN, kl.LSTM, kl.GRU, kl.RNN) or one.stateful for one in both
    ):
        return []
    if both[0].go_backwards:
        return []
    cells = [one.cell for one in both]
    if type(layer) is kl.RNN and type(layer.cell) is kl.StackedRNNCells:
        cells = layer.cell.cells
    return cells if all(map(has_equations, cells)) else []


def has_equations(cell):
    """Whether the book's names tell all that a cell of Keras's computes."""
    if type(cell) not in GATES or not cell.built or not cell.use_bias:
        return False
    held = not getattr(cell, "reset_after", False) or is_held(cell.bias)
    plain = type(cell) is kl.SimpleRNNCell or cell.recurrent_activation is sigmoid
    return held and plain and (cell.activation is tanh or type(cell) is kl.SimpleRNNCell)


def is_held(variable):
    """Whether the second row of `variable` is held at zero."""
    return getattr(variable, "held", False)


def variables(model, start=""):
    """The variables of `model` by path: attributes, but of a layer of Keras's their place in it.

    Keras's own names count the layers of the process, so they would not be found again.
    """
    found = {}  # by identity: several attributes may name one
    for name, item in attributes(model):
        path, inside = start + name, {}
        if isinstance(item, tf.Variable | tf.keras.Variable):
            inside = {path: item}
        elif isinstance(item, kl.Layer):
            is_module = hasattr(item, "batch_loss")
            inside = variables(item, f"{path}.") if is_module else places(item, path)
        for place, variable in inside.items():
            found.setdefault(id(variable), (place, variable))
    return dict(found.values())


def places(layer, path):
    """The variables of a layer of Keras's, by their place in it."""
    return {f"{path}.{i}.{variable.name}": variable for i, variable in enumerate(layer.weights)}


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
    """The `tf.Variable`s, by name, that are attributes of `layer`, or stand in a list that is one."""
    return [
        (name, value)
        for name, value in attributes(layer)
        if hasattr(type(value), "assign") and isinstance(value, tf.Variable)  # the first is faster
    ]


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
        variable.assign(tf.stack([array, 0 * array]) if is_held(variable) else array)


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layers, if they have one."""
    inside = [layer for _, layer in layers(model)]
    kinds = {
        one.activation for one in inside if hasattr(one, "W_xh") and hasattr(one, "activation")
    }
    functions = [one.activation for one in inside if type(one) is kl.SimpleRNNCell]
    kinds |= {getattr(phi, "__name__", type(phi).__name__) for phi in functions}
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
