"""Where MXNet's arrays hold the canonical weights (names and orientation: d2lrnn/weights.py)."""

import zlib

import numpy as onp
from mxnet import gluon, init, np
from mxnet.gluon import nn, rnn

from d2lrnn import weights as core
from d2lrnn.weights import Piece, prefix_of, seed_at

from .ops import numpy

GATES = {rnn.RNN: "h", rnn.LSTM: "ifco", rnn.GRU: "rzn"}  # side by side in a parameter
SCALE = 0.07  # of gluon's own initial weights, Uniform(-0.07, 0.07)


def layers(model):
    """The blocks in `model` by their path, each once; also in lists and dicts, where gluon does not look."""

    def attributes(block):
        own = vars(block).items()
        public = {n: value for n, value in own if n[0] != "_" or isinstance(value, nn.Block)}
        return core.items_of({**public, **block._children})

    return core.layers_in(model, nn.Block, attributes)


def places(model):
    """Where the weights are, each once: by dotted path, the block and its attribute.

    They are the parameters that gluon finds, and arrays made by hand, which are attributes of a block.
    """
    found, seen = {}, set()
    parameters = set(map(id, model.collect_params().values()))
    for path, block in layers(model):
        for name, value in vars(block).items():
            is_weight = is_by_hand(name, value) or id(value) in parameters
            if is_weight and id(value) not in seen:
                seen.add(id(value))
                found[f"{path}.{name}" if path else name] = block, name
    return found


def is_by_hand(name, value):
    """Whether an attribute is a weight made by hand, and not what an attention's last call has left."""
    return isinstance(value, np.ndarray) and name != "attention_weights"


def own(model):
    """MXNet's arrays by their path, except those whose sizes follow from the first input."""
    values = {path: getattr(*place) for path, place in places(model).items()}
    return {
        path: value if isinstance(value, np.ndarray) else value.data()
        for path, value in values.items()
        if gluon.utils.shape_is_known(value.shape)
    }


def layout(model):
    """The canonical weights in each array of `model`; a tied one comes once."""
    named = (piece for path, block in layers(model) for piece in pieces_of(path, block))
    return core.layout_of(named, places(model))


def pieces_of(path, block):
    """The pieces of the arrays of `block` itself; `path` is where it stands in the model."""
    start, prefix = f"{path}." if path else "", prefix_of(path)
    if type(block) in GATES and has_equations(block):
        yield from recurrent_pieces(start, prefix, block)
    elif type(block) is nn.Dense and block.act is None:
        names = core.names_of_dense(path, block.bias is not None)
        for array, name in zip(("weight", "bias"), names, strict=False):
            yield Piece(start + array, (name,), transposed=array == "weight")
    elif type(block) is nn.Embedding:
        yield Piece(f"{start}weight", (f"{prefix}W",))


def has_equations(layer):
    """Whether the book's names tell all that a recurrent layer of gluon computes."""
    clips = (layer._lstm_state_clip_min, layer._lstm_state_clip_max)
    plain = layer._layout == "TNC" and not layer._projection_size and clips == (None, None)
    return plain and (type(layer) is not rnn.GRU or is_held(layer))


def is_held(layer):
    """Whether the second biases of a recurrent layer are zero and not trained; a GRU's is no addend."""
    second = layer.collect_params(".*h2h_bias").values()
    return all(bias.grad_req == "null" and not numpy(bias.data()).any() for bias in second)


def recurrent_pieces(start, prefix, layer):
    parts = core.recurrent_parts(prefix, layer._num_layers, layer._dir == 2)
    for index, backward, names in parts:
        end = f"{start}{'lr'[backward]}{index}"
        for array, letter in ("i2h_weight", "W_x"), ("h2h_weight", "W_h"), ("i2h_bias", "b_"):
            gates = core.gates_of(names, letter, GATES[type(layer)])
            yield Piece(f"{end}_{array}", gates, transposed=letter != "b_")
        yield Piece(f"{end}_h2h_bias", ())


def arrays(model):
    """The weights as NumPy arrays, by their path in MXNet."""
    return {path: numpy(array) for path, array in own(model).items()}


def assign(model, arrays):
    """Replace the weights by `arrays`, named as by the function of that name."""
    for path, array in own(model).items():
        array[:] = arrays[path]


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layers, if they have one."""
    blocks = [block for _, block in layers(model)]
    kinds = {block._mode.removeprefix("rnn_") for block in blocks if type(block) is rnn.RNN}
    return core.activation_of(kinds, blocks)


def has_sizes(model):
    """Whether the sizes of all layers are known; gluon takes them from the first input."""
    parameters = model.collect_params().values()
    return all(gluon.utils.shape_is_known(parameter.shape) for parameter in parameters)


def has_hooks(model):
    """Whether a reader has hooked something into a pass of `model` or of a block in it, or replaced one."""
    parts = [block for _, block in layers(model)]
    names = {"forward", "hybrid_forward"}
    # What `standing_in` has put there is none of the reader's: it is not copied.
    replaced = any(names & vars(b).keys() - {*vars(b).get("not_copied", ())} for b in parts)
    return replaced or any(b._forward_hooks or b._forward_pre_hooks for b in parts)


# Initial weights ----------------------------------------------------------------------------------


class SeededUniform(init.Initializer):
    """Uniform(-scale, scale), by default gluon's own; decided by a weight's name, its layer's seed and path.

    They come from NumPy, since MXNet's stream cannot be put back; gluon asks once it knows the shape.
    """

    def __init__(self, name, layer, scale=SCALE):
        super().__init__()
        self.name, self.layer, self.scale = name, layer, scale

    def _init_weight(self, _, array):
        array[:] = uniform(
            self.name, array.shape, seed_at(self.layer.seed, self.layer.path), self.scale
        )


def uniform(name, shape, seed, scale):
    """Weights from Uniform(-scale, scale)."""
    name = name.split(".")[-1].removeprefix("l0_")
    random = onp.random.RandomState([seed, zlib.crc32(name.encode())])
    return random.uniform(-scale, scale, shape).astype(onp.float32)


def initial(arrays, seed, scale):
    """The initial weights in place of `arrays` of a layer of gluon's; biases are zero."""
    return {
        name: uniform(name, a.shape, seed, scale) if name.endswith("weight") else onp.zeros_like(a)
        for name, a in arrays.items()
    }
