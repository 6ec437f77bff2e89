"""Optimisers by name, and their learning rate (book, sections 12.4, 12.6, 12.10 and 12.11), in Optax."""

import optax
from jax import numpy as jnp

from d2lrnn.errors import ArgumentError
from d2lrnn.trainer import MOMENTUM

# With what is no state of theirs: the learning rate alone is.
OPTIMIZERS = {
    "sgd": (optax.sgd, {}),
    "momentum": (optax.sgd, {"momentum": MOMENTUM}),
    "adam": (optax.adam, {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0}),
}


def make(model):
    """The optimiser that the model names; its learning rate can be changed, and stands in checkpoints."""
    function, settings = OPTIMIZERS[model.optimizer_name]
    return optax.inject_hyperparams(function, static_args=tuple(settings))(model.lr, **settings)


def set_learning_rate(trainer, lr):
    """Let the next updates take this learning rate."""
    opt_state = trainer.state.opt_state
    rates = getattr(opt_state, "hyperparams", {})
    if "learning_rate" not in rates:
        raise ArgumentError(trainer.cannot_follow)
    rates = {**rates, "learning_rate": jnp.full_like(rates["learning_rate"], lr)}
    opt_state = opt_state._replace(hyperparams=rates)
    trainer.state = trainer.state.replace(opt_state=opt_state)
