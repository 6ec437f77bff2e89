"""Where MXNet's arrays hold the canonical weights (names and orientation: d2lrnn/weights.py)."""

import zlib

import numpy as onp
from mxnet import gluon, init, np
from mxnet.gluon import nn, rnn

from d2lrnn import weights as core
from d2lrnn.weights import ATTENTION, OUTPUT_LAYERS, Piece, prefix_of, seed_at

from .ops import numpy

GATES = {rnn.RNN: "h", rnn.LSTM: "ifco", rnn.GRU: "rzn"}  # side by side in a parameter
SCALE = 0.07  # of gluon's own initial weights, Uniform(-0.07, 0.07)


def layers(block, path="", seen=None):
    """The blocks in `block` by their path, each once; also in lists and dicts, where gluon does not look."""
    seen = set() if seen is None else seen
    if id(block) in seen:
        return
    seen.add(id(block))
    yield path, block
    start = f"{path}." if path else ""
    for name, value in {**vars(block), **block._children}.items():
        if isinstance(value, nn.Block):
            yield from layers(value, start + name, seen)
        elif isinstance(value, (list, tuple, dict)) and name != "hparams" and name[0] != "_":
            for key, part in (value if isinstance(value, dict) else dict(enumerate(value))).items():
                if isinstance(part, nn.Block):
                    yield from layers(part, f"{start}{name}.{key}", seen)


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
    pieces = [piece for path, block in layers(model) for piece in pieces_of(path, block)]
    found = places(model)
    return core.unambiguous(piece for piece in pieces if piece.path in found)


def pieces_of(path, block):
    """The pieces of the arrays of `block` itself; `path` is where it stands in the model."""
    start, prefix = f"{path}." if path else "", prefix_of(path)
    last = path.split(".")[-1] if type(block) is nn.Dense and block.act is None else ""
    if type(block) in GATES and has_equations(block):
        yield from recurrent_pieces(start, prefix, block)
    elif last in OUTPUT_LAYERS:
        yield Piece(f"{start}weight", (f"{prefix}W_hq",), transposed=True)
        yield Piece(f"{start}bias", (f"{prefix}b_q",))
    elif type(block) is nn.Embedding:
        yield Piece(f"{start}weight", (f"{prefix}W",))
    elif last in ATTENTION and block.bias is None:
        yield Piece(f"{start}weight", (path,), transposed=True)
    else:
        for name, value in vars(block).items():
            if isinstance(value, np.ndarray | gluon.Parameter):
                yield Piece(start + name, (core.name_by_hand(path, name),))


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
    kinds |= {getattr(block, "activation", None) for block in blocks if hasattr(block, "W_xh")}
    (kind,) = kinds if len(kinds) == 1 else (None,)
    return {"activation": kind} if isinstance(kind, str) else {}  # a reader's may be a function


def has_sizes(model):
    """Whether the sizes of all layers are known; gluon takes them from the first input."""
    parameters = model.collect_params().values()
    return all(gluon.utils.shape_is_known(parameter.shape) for parameter in parameters)


def has_hooks(model):
    """Whether a reader has hooked something into a pass of `model` or of a block in it, or replaced one."""
    parts = [block for _, block in layers(model)]
    replaced = any({"forward", "hybrid_forward"} & vars(block).keys() for block in parts)
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
