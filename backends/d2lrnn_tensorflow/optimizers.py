"""Optimisers by name, and their learning rate (book, sections 12.4, 12.6, 12.10 and 12.11), in Keras."""

from functools import partial

import tensorflow as tf

from d2lrnn.errors import ArgumentError
from d2lrnn.trainer import MOMENTUM

OPTIMIZERS = {
    "sgd": tf.keras.optimizers.SGD,
    "momentum": partial(tf.keras.optimizers.SGD, momentum=MOMENTUM),
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
