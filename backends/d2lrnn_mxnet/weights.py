"""Canonical weights of MXNet models (the names and orientation of d2lrnn/weights.py)."""

from __future__ import annotations

from dataclasses import dataclass

from mxnet import gluon, np
from mxnet.gluon import nn, rnn

from d2lrnn.weights import check_weights

from .ops import numpy


@dataclass
class Weight:
    """A canonical weight: the parameter that holds it, transposed or not, and a bias held beside it."""

    parameter: gluon.Parameter | np.ndarray
    transposed: bool = False
    second_bias: gluon.Parameter | None = None

    @property
    def array(self):
        return (
            self.parameter.data() if isinstance(self.parameter, gluon.Parameter) else self.parameter
        )

    def read(self):
        array = self.array if self.second_bias is None else self.array + self.second_bias.data()
        return numpy(array.T if self.transposed else array)

    def read_gradient(self):
        return numpy(self.array.grad.T if self.transposed else self.array.grad)

    def write(self, array):
        self.array[:] = array.T if self.transposed else array
        if self.second_bias is not None:
            self.second_bias.data()[:] = 0


def canonical(model):
    """The weights of `model` by canonical name; of a model unlike the book's, by its attributes' names."""
    weights = {**_recurrent(getattr(model, "rnn", None)), **_output(model)}
    everything = {
        **model._collect_params_with_prefix(),  # gluon's names for files, free of its counters
        **{path: getattr(*place) for path, place in scratch_arrays(model).items()},
    }
    covered = {id(w.parameter) for w in weights.values()}
    covered |= {id(w.second_bias) for w in weights.values()}
    if len(weights) == 5 and all(id(p) in covered for p in everything.values()):
        return weights
    return {name: Weight(parameter) for name, parameter in everything.items()}


def _recurrent(module):
    if hasattr(module, "W_xh"):
        return {f"rnn.{name}": Weight(getattr(module, name)) for name in ("W_xh", "W_hh", "b_h")}
    layers = []
    if isinstance(module, nn.Block):
        module.apply(lambda block: layers.append(block) if isinstance(block, rnn.RNN) else None)
    if len(layers) != 1 or layers[0]._num_layers != 1 or layers[0]._dir != 1:
        return {}
    (layer,) = layers
    return {
        "rnn.W_xh": Weight(layer.l0_i2h_weight, transposed=True),
        "rnn.W_hh": Weight(layer.l0_h2h_weight, transposed=True),
        "rnn.b_h": Weight(layer.l0_i2h_bias, second_bias=layer.l0_h2h_bias),
    }


def _output(model):
    if hasattr(model, "W_hq"):
        return {"linear.W_hq": Weight(model.W_hq), "linear.b_q": Weight(model.b_q)}
    if isinstance(getattr(model, "linear", None), nn.Dense):
        return {
            "linear.W_hq": Weight(model.linear.weight, transposed=True),
            "linear.b_q": Weight(model.linear.bias),
        }
    return {}


def scratch_arrays(block, prefix=""):
    """Where the arrays made by hand are, each once: (owner, attribute) by dotted path.

    They are attributes of a block, or of one inside it; also inside a plain list, where gluon does
    not look.
    """
    places = {}
    for name, value in {**vars(block), **block._children}.items():
        if isinstance(value, np.ndarray):
            places[prefix + name] = (block, name)
        elif isinstance(value, nn.Block):
            places |= scratch_arrays(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            for index, member in enumerate(value):
                if isinstance(member, nn.Block):
                    places |= scratch_arrays(member, f"{prefix}{name}.{index}.")
    once = {id(getattr(*place)): path for path, place in reversed(places.items())}
    return {path: place for path, place in places.items() if path in once.values()}


def get_weights(model):
    """The weights as float32 NumPy arrays by canonical name; a second bias is added to the first."""
    materialise(model)
    return {name: weight.read() for name, weight in canonical(model).items()}


def set_weights(model, weights):
    """Replace the weights; see `d2lrnn.module.Module.set_weights`."""
    materialise(model)
    own = canonical(model)
    arrays = check_weights(weights, {name: weight.read().shape for name, weight in own.items()})
    for name, weight in own.items():
        weight.write(arrays[name])


def get_gradients(model):
    """The gradients by canonical name, of the parameters that are trained."""
    trained = {n: w for n, w in canonical(model).items() if w.array.grad is not None}
    return {name: weight.read_gradient() for name, weight in trained.items()}


def materialise(model):
    """Give layers that wait for their first input their sizes, by one step of decoding."""
    if not has_sizes(model) and hasattr(model, "step"):
        model.step(0, None)


def has_sizes(*blocks):
    """Whether the shapes of all parameters are known: gluon takes them from the first input."""
    parameters = [p for block in blocks for p in block.collect_params().values()]
    return all(gluon.utils.shape_is_known(p.shape) for p in parameters)
