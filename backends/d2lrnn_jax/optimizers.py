"""Optimisers by name, their learning rate and state (book, 12.4, 12.6, 12.10 and 12.11), in Optax."""

import jax
import optax
from jax import numpy as jnp

from d2lrnn import optimizers as core
from d2lrnn.errors import ArgumentError
from d2lrnn.weights import shapes_of

from . import devices
from .ops import numpy

# With what is no state of theirs: the learning rate alone is.
OPTIMIZERS = {
    "sgd": (optax.sgd, {}),
    "momentum": (optax.sgd, {"momentum": core.MOMENTUM}),
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


def numbers_of(optim):
    """What a reader may change in an optimiser that is none of Optax's, such as section 3.4's SGD."""
    return core.numbers_of(optim) if hasattr(optim, "__dict__") else {}


def state(trainer):
    """All that decides the next steps, as arrays by name, with the key that the training began with."""
    if trainer.optim is not trainer.configured:
        raise ArgumentError(
            "The optimiser was replaced in training, and Optax does not tell its learning rate. Make it "
            "by optax.inject_hyperparams(optax.sgd)(lr), and set what opt_state.hyperparams holds."
        )
    leaves, _ = jax.tree_util.tree_flatten_with_path(trainer.state.opt_state)
    arrays = {jax.tree_util.keystr(path): numpy(leaf) for path, leaf in leaves}
    arrays |= numbers_of(trainer.optim)
    return arrays | ({} if trainer.root is None else {"key": numpy(trainer.root)})


def set_state(trainer, arrays):
    """Go on from what `state` returned; a WeightsError if it is another optimiser's."""
    trainer.root = jnp.asarray(arrays["key"]) if "key" in arrays else None
    own, numbers = state(trainer), numbers_of(trainer.optim).keys()
    if not arrays and own.keys() == {".count", ".hyperparams['learning_rate']"}:
        return  # written when the learning rate of SGD was no state
    shapes = shapes_of(own)
    if "key" in own:
        shapes["key"] = jax.random.PRNGKey(0).shape
    core.check_state(arrays, shapes)
    core.set_numbers(trainer.optim, {name: arrays[name] for name in numbers})
    leaves = [devices.put(arrays[n], trainer.device) for n in own if n not in {*numbers, "key"}]
    opt_state = jax.tree.structure(trainer.state.opt_state).unflatten(leaves)
    trainer.state = trainer.state.replace(opt_state=opt_state)
