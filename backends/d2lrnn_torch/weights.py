"""Canonical weights of PyTorch models (the names and orientation of d2lrnn/weights.py)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from d2lrnn.weights import check_weights

from .ops import numpy


@dataclass
class Weight:
    """A canonical weight: the parameter that holds it, transposed or not, and a bias held beside it."""

    parameter: nn.Parameter
    transposed: bool = False
    second_bias: nn.Parameter | None = None

    def read(self, tensor):
        return numpy(tensor.T if self.transposed else tensor)

    def write(self, array):
        tensor = torch.as_tensor(array)
        self.parameter.copy_(tensor.T if self.transposed else tensor)
        if self.second_bias is not None:
            self.second_bias.zero_()


def canonical(model):
    """The weights of `model` by canonical name; of a model unlike the book's, by PyTorch's names."""
    weights = {**_recurrent(getattr(model, "rnn", None)), **_output(model)}
    covered = {id(w.parameter) for w in weights.values()}
    covered |= {id(w.second_bias) for w in weights.values()}
    if len(weights) == 5 and all(id(p) in covered for p in model.parameters()):
        return weights
    return {name: Weight(parameter) for name, parameter in model.named_parameters()}


def _recurrent(rnn):
    if hasattr(rnn, "W_xh"):
        return {f"rnn.{name}": Weight(getattr(rnn, name)) for name in ("W_xh", "W_hh", "b_h")}
    layers = [m for m in rnn.modules() if isinstance(m, nn.RNN)] if rnn is not None else []
    if len(layers) != 1 or layers[0].num_layers != 1 or layers[0].bidirectional:
        return {}
    layer = layers[0]
    return {
        "rnn.W_xh": Weight(layer.weight_ih_l0, transposed=True),
        "rnn.W_hh": Weight(layer.weight_hh_l0, transposed=True),
        "rnn.b_h": Weight(layer.bias_ih_l0, second_bias=layer.bias_hh_l0),
    }


def _output(model):
    if hasattr(model, "W_hq"):
        return {"linear.W_hq": Weight(model.W_hq), "linear.b_q": Weight(model.b_q)}
    if isinstance(getattr(model, "linear", None), nn.Linear):
        return {
            "linear.W_hq": Weight(model.linear.weight, transposed=True),
            "linear.b_q": Weight(model.linear.bias),
        }
    return {}


def get_weights(model):
    """The weights as float32 NumPy arrays by canonical name; a second bias is added to the first."""
    _materialise(model)
    return {
        name: w.read(w.parameter if w.second_bias is None else w.parameter + w.second_bias).copy()
        for name, w in canonical(model).items()
    }


@torch.no_grad()
def set_weights(model, weights):
    """Replace the weights; see `d2lrnn.module.Module.set_weights`."""
    _materialise(model)
    own = canonical(model)
    arrays = check_weights(weights, {n: w.read(w.parameter).shape for n, w in own.items()})
    for name, weight in own.items():
        weight.write(arrays[name])


def get_gradients(model):
    """The gradients by canonical name, of the parameters that are trained."""
    trained = {n: w for n, w in canonical(model).items() if w.parameter.requires_grad}
    return {name: w.read(w.parameter.grad).copy() for name, w in trained.items()}


def _materialise(model):
    """Give lazy layers (a reader's `nn.LazyLinear`) their sizes, by one step of decoding."""
    lazy = any(nn.parameter.is_lazy(p) for p in model.parameters())
    if lazy and hasattr(model, "step"):
        model.step(0, None)
