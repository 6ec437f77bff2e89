"""Where PyTorch's parameters hold the canonical weights (names and orientation: d2lrnn/weights.py)."""

import torch
from torch import nn

from d2lrnn import weights as core
from d2lrnn.weights import OUTPUT_LAYERS, Piece, prefix_of

from .ops import numpy

GATES = {nn.RNN: "h", nn.LSTM: "ifco", nn.GRU: "rzn"}  # side by side in a parameter


def layout(model):
    """The canonical weights in each parameter of `model`; a tied one comes once."""
    pieces = [piece for path, module in model.named_modules() for piece in pieces_of(path, module)]
    own = dict(model.named_parameters())
    return core.unambiguous(piece for piece in pieces if piece.path in own)


def pieces_of(path, module):
    """The pieces of the parameters of `module` itself; `path` is where it stands in the model."""
    start, prefix = f"{path}." if path else "", prefix_of(path)
    if type(module) in GATES and has_equations(module):
        yield from recurrent_pieces(start, prefix, module)
    elif type(module) is nn.Linear and path.split(".")[-1] in OUTPUT_LAYERS:
        yield Piece(f"{start}weight", (f"{prefix}W_hq",), transposed=True)
        yield Piece(f"{start}bias", (f"{prefix}b_q",))
    else:
        for name, _ in module.named_parameters(recurse=False):
            yield Piece(start + name, (core.name_by_hand(path, name),))


def has_equations(layer):
    """Whether the book's names tell all that a recurrent layer of PyTorch computes."""
    second = [p for name, p in layer.named_parameters() if name.startswith("bias_hh")]
    held = not any(bias.requires_grad or bias.any() for bias in second)
    plain = layer.bias and not layer.batch_first and not layer.proj_size
    # Of a GRU the second bias is no addend of the first.
    return plain and (held or type(layer) is not nn.GRU)


def recurrent_pieces(start, prefix, layer):
    parts = core.recurrent_parts(prefix, layer.num_layers, layer.bidirectional)
    for index, backward, names in parts:
        end = f"l{index}{'_reverse' * backward}"
        for array, letter in ("weight_ih", "W_x"), ("weight_hh", "W_h"), ("bias_ih", "b_"):
            gates = core.gates_of(names, letter, GATES[type(layer)])
            yield Piece(f"{start}{array}_{end}", gates, transposed=letter != "b_")
        yield Piece(f"{start}bias_hh_{end}", ())


def arrays(model):
    """The parameters as NumPy arrays, by PyTorch's own paths."""
    return {path: numpy(parameter) for path, parameter in model.named_parameters()}


@torch.no_grad()
def assign(model, arrays):
    """Replace the parameters by `arrays`, named as by the function of that name."""
    for path, parameter in model.named_parameters():
        parameter.copy_(torch.as_tensor(arrays[path]))


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layers, if they have one."""
    kinds = {m.nonlinearity for m in model.modules() if type(m) is nn.RNN}
    kinds |= {
        m.activation for m in model.modules() if hasattr(m, "W_xh") and hasattr(m, "activation")
    }
    return {"activation": kinds.pop()} if len(kinds) == 1 else {}


def has_sizes(model):
    """Whether the sizes of all layers are known; those of a `nn.LazyLinear` follow from its first input."""
    return not any(nn.parameter.is_lazy(parameter) for parameter in model.parameters())


def has_hooks(model):
    """Whether a reader has hooked something into the forward pass of `model` or of a module in it."""
    return any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def layers(model):
    """The modules of `model` by their path."""
    return model.named_modules()
