"""Where PyTorch's parameters hold the canonical weights (names and orientation: d2lrnn/weights.py)."""

import torch
from torch import nn

from d2lrnn import weights as core
from d2lrnn.weights import Piece, prefix_of

from .ops import numpy

GATES = {nn.RNN: "h", nn.LSTM: "ifco", nn.GRU: "rzn"}  # side by side in a parameter
layers = nn.Module.named_modules  # of a model, by path


def layout(model):
    """The canonical weights in each tensor of `model`; a tied one comes once."""
    named = (piece for path, module in model.named_modules() for piece in pieces_of(path, module))
    return core.layout_of(named, dict(tensors(model)))


def pieces_of(path, module):
    """The pieces of a layer with the book's equations; `path` is where it stands in the model."""
    start, prefix = f"{path}." if path else "", prefix_of(path)
    if type(module) in GATES and has_equations(module):
        yield from recurrent_pieces(start, prefix, module)
    elif type(module) is nn.Linear:
        names = core.names_of_dense(path, module.bias is not None)
        for array, name in zip(("weight", "bias"), names, strict=False):
            yield Piece(start + array, (name,), transposed=array == "weight")
    elif type(module) is nn.Embedding:
        yield Piece(f"{start}weight", (f"{prefix}W",))


def has_equations(layer):
    """Whether the book's names tell all that a recurrent layer of PyTorch computes."""
    second = [p for name, p in layer.named_parameters() if name.startswith("bias_hh")]
    held = not any(bias.requires_grad or bias.any() for bias in second)
    plain = layer.bias and not layer.batch_first and not layer.proj_size
    # Of a GRU the second bias is no addend of the first.
    return plain and (held or type(layer) is not nn.GRU)


def hold_second_bias(layer):
    """PyTorch's recurrent `layer`, its second bias held at zero: trained, both would take every step."""
    for name, parameter in layer.named_parameters():
        if name.startswith("bias_hh"):
            nn.init.zeros_(parameter).requires_grad_(False)
    return layer


def recurrent_pieces(start, prefix, layer):
    parts = core.recurrent_parts(prefix, layer.num_layers, layer.bidirectional)
    for index, backward, names in parts:
        end = f"l{index}{'_reverse' * backward}"
        for array, letter in ("weight_ih", "W_x"), ("weight_hh", "W_h"), ("bias_ih", "b_"):
            gates = core.gates_of(names, letter, GATES[type(layer)])
            yield Piece(f"{start}{array}_{end}", gates, transposed=letter != "b_")
        yield Piece(f"{start}bias_hh_{end}", ())


def tensors(model):
    """By PyTorch's own paths: parameters, buffers (running statistics), other tensors to be trained."""
    yield from model.named_parameters()
    for path, module in model.named_modules():
        not_saved = module._non_persistent_buffers_set  # which follow from others
        buffers = {n: b for n, b in module.named_buffers(recurse=False) if n not in not_saved}
        for name, tensor in {**buffers, **plain_tensors(module)}.items():
            yield f"{path}.{name}" if path else name, tensor


def plain_tensors(module):
    """Attributes of `module` that are to be trained and no parameters, as in section 3.4."""
    tensors = {n: v for n, v in vars(module).items() if isinstance(v, torch.Tensor)}
    return {name: v for name, v in tensors.items() if v.requires_grad and v.is_leaf}


def arrays(model):
    """The tensors of `model` as NumPy arrays."""
    return {path: numpy(tensor) for path, tensor in tensors(model)}


@torch.no_grad()
def assign(model, arrays):
    """Replace the tensors by `arrays`, named as by the function of that name."""
    for path, tensor in tensors(model):
        tensor.copy_(torch.as_tensor(arrays[path]))


def settings(model):
    """What the weights of `model` do not tell: the activation of its recurrent layers, if they have one."""
    kinds = {m.nonlinearity for m in model.modules() if type(m) is nn.RNN}
    return core.activation_of(kinds, model.modules())


def has_sizes(model):
    """Whether the sizes of all layers are known; those of a `nn.LazyLinear` follow from its first input."""
    return not any(nn.parameter.is_lazy(tensor) for _, tensor in tensors(model))


def has_hooks(model):
    """Whether a reader has hooked something into a pass of `model` or of a module in it, or replaced one."""
    kinds = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return any("forward" in vars(m) or any(getattr(m, k) for k in kinds) for m in model.modules())
