"""Optimisers by name, their learning rate and state (book, 12.4, 12.6, 12.10 and 12.11), in Keras."""

from functools import partial

import tensorflow as tf

from d2lrnn import optimizers as core
from d2lrnn.errors import ArgumentError
from d2lrnn.weights import shapes_of

from .ops import numpy
from .weights import has_sizes

OPTIMIZERS = {
    "sgd": tf.keras.optimizers.SGD,
    "momentum": partial(tf.keras.optimizers.SGD, momentum=core.MOMENTUM),
    # Keras's own epsilon, 1e-7, is ten times that of the other three, and of Adam's paper.
    "adam": partial(tf.keras.optimizers.Adam, epsilon=1e-8),
}


def make(model):
    """The optimiser that the model names."""
    lr = float(model.lr) if isinstance(model.lr, int) else model.lr  # Keras refuses lr=1
    return OPTIMIZERS[model.optimizer_name](lr)


def set_learning_rate(trainer, lr):
    """Let the next updates take this learning rate."""
    optim = trainer.optim
    if not isinstance(optim, tf.keras.optimizers.Optimizer):
        raise ArgumentError(trainer.cannot_follow)
    # Keras sums up steps, the others gradients, which they take times the rate of the moment.
    for velocity in getattr(optim, "momentums", ()) if getattr(optim, "momentum", 0) else ():
        velocity.assign(velocity * (lr / float(optim.learning_rate)))
    optim.learning_rate = lr


def build(trainer):
    """Make the variables of an optimiser of Keras's, once those of the model are there."""
    optim, model = trainer.optim, trainer.model
    keras = isinstance(optim, tf.keras.optimizers.Optimizer)  # or one of the reader's
    if keras and not optim.built and has_sizes(model):
        optim.build(model.trainable_variables)
    if keras and trainer.strategy is None:
        # One device has nothing to add up over devices, for which TensorFlow keeps every graph for good.
        optim._all_reduce_sum_gradients = list


def memory(optim):
    """The variables of an optimiser of Keras's: what it remembers, and the learning rate."""
    return {str(i): variable for i, variable in enumerate(getattr(optim, "variables", []))}


def state(trainer):
    """All that decides the next steps, as arrays by name."""
    variables = memory(trainer.optim).items()
    return {**core.numbers_of(trainer.optim), **{name: numpy(v) for name, v in variables}}


def set_state(trainer, arrays):
    """Go on from what `state` returned; a WeightsError if it is another optimiser's."""
    build(trainer)
    variables = memory(trainer.optim)
    if getattr(trainer.optim, "built", False):  # else more will come
        core.check_state(arrays, shapes_of(state(trainer)))
    numbers = {name: array for name, array in arrays.items() if name not in variables}
    core.set_numbers(trainer.optim, numbers)
    for name in arrays.keys() & variables.keys():
        variables[name].assign(arrays[name])
