"""Canonical weights of TensorFlow models (the names and orientation of d2lrnn/weights.py).

Keras stores them in the canonical orientation (in, out), and its recurrent layer has one bias.
"""

from __future__ import annotations

import tensorflow as tf

from d2lrnn.weights import check_weights

from .ops import numpy


def canonical(model):
    """The variables of `model` by canonical name; of a model unlike the book's, by attribute."""
    variables = {**_recurrent(getattr(model, "rnn", None)), **_output(model)}
    covered = {id(variable) for variable in variables.values()}
    if len(variables) == 5 and all(id(variable) in covered for variable in model.weights):
        return variables
    return _by_attribute(model)


def _recurrent(rnn):
    if hasattr(rnn, "W_xh"):
        return {f"rnn.{name}": getattr(rnn, name) for name in ("W_xh", "W_hh", "b_h")}
    layers = [layer for layer in layers_of(rnn) if isinstance(layer, tf.keras.layers.SimpleRNN)]
    if len(layers) != 1 or not layers[0].built or not layers[0].use_bias:
        return {}
    cell = layers[0].cell
    return {"rnn.W_xh": cell.kernel, "rnn.W_hh": cell.recurrent_kernel, "rnn.b_h": cell.bias}


def _output(model):
    if hasattr(model, "W_hq"):
        return {"linear.W_hq": model.W_hq, "linear.b_q": model.b_q}
    linear = getattr(model, "linear", None)
    if isinstance(linear, tf.keras.layers.Dense) and linear.built and linear.use_bias:
        return {"linear.W_hq": linear.kernel, "linear.b_q": linear.bias}
    return {}


def _by_attribute(module, prefix=""):
    """Keras's own names count the layers of the process, so they would not be found again."""
    variables = {}
    for name, item in attributes(module):
        if isinstance(item, tf.Variable | tf.keras.Variable):
            found = {prefix + name: item}
        elif hasattr(item, "batch_loss"):  # a Module
            found = _by_attribute(item, f"{prefix}{name}.")
        elif isinstance(item, tf.keras.layers.Layer):
            found = {f"{prefix}{name}.{i}.{v.name}": v for i, v in enumerate(item.weights)}
        else:
            continue
        known = {id(variable) for variable in variables.values()}
        variables |= {name: v for name, v in found.items() if id(v) not in known}
    return variables


def attributes(module):
    """Names and values of the attributes, those of Keras last; a list is given item by item."""
    for name, value in sorted(vars(module).items(), key=lambda item: item[0].startswith("_")):
        if isinstance(value, list | tuple):
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))
        else:
            yield name, value


def own_variables(module):
    """The `tf.Variable`s that are attributes of `module`, or stand in a list that is one."""
    return [value for _, value in attributes(module) if isinstance(value, tf.Variable)]


def distinct(variables):
    """Each variable once, where several attributes name it."""
    return list({id(variable): variable for variable in variables}.values())


def layers_of(layer):
    """`layer` and all layers inside it."""
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from layers_of(inner)


def storage(variable):
    """The `tf.Variable` that holds the numbers of a variable, Keras's or TensorFlow's own."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def get_weights(model):
    """The weights as float32 NumPy arrays by canonical name."""
    _materialise(model)
    return {name: numpy(variable) for name, variable in canonical(model).items()}


def set_weights(model, weights):
    """Replace the weights; see `d2lrnn.module.Module.set_weights`."""
    _materialise(model)
    own = canonical(model)
    arrays = check_weights(weights, {name: tuple(v.shape) for name, v in own.items()})
    for name, variable in own.items():
        variable.assign(arrays[name])


def is_built(model):
    """Whether every layer has its variables."""
    return all(layer.built for layer in layers_of(model))


def _materialise(model):
    """Give layers that have seen no input yet their sizes, by one step of decoding."""
    if not is_built(model) and hasattr(model, "step"):
        model.step(0, None)
