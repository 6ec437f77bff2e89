"""Optimisers by name, and their learning rate (book, sections 12.4, 12.6, 12.10 and 12.11), in MXNet."""

import mxnet
import numpy as onp
from mxnet import gluon

from d2lrnn import trainer as core
from d2lrnn.errors import ArgumentError
from d2lrnn.trainer import MOMENTUM

from .ops import numpy

OPTIMIZERS = {"sgd": ("sgd", {}), "momentum": ("sgd", {"momentum": MOMENTUM}), "adam": ("adam", {})}


def make(model, sgd):
    """The optimiser that the model names; `sgd` is that of arrays made by hand, as in section 3.4."""
    params, (name, settings) = model.parameters(), OPTIMIZERS[model.optimizer_name]
    if not isinstance(params, list):
        return gluon.Trainer(params, name, {"learning_rate": model.lr, **settings})
    if model.optimizer_name == "sgd":
        return sgd(params, model.lr)
    return OfArrays(params, mxnet.optimizer.create(name, learning_rate=model.lr, **settings))


def set_learning_rate(trainer, lr):
    """Let the next updates take this learning rate."""
    optim = trainer.optim
    if isinstance(optim, gluon.Trainer):
        (updater,) = optim._updaters
    elif isinstance(optim, OfArrays):
        updater = optim.updater
    elif hasattr(optim, "lr"):
        optim.lr = lr
        return
    else:
        raise ArgumentError(trainer.cannot_follow)
    # MXNet sums up steps, the others gradients, which they take times the rate of the moment.
    if getattr(updater.optimizer, "momentum", 0):
        for state in updater.states.values():
            for _, velocity in arrays_in(state):
                velocity *= lr / updater.optimizer.learning_rate
    updater.optimizer.set_learning_rate(lr)


class OfArrays:
    """As `gluon.Trainer`, an optimiser of MXNet's, but for arrays with gradients attached.

    Args:
        params: the arrays.
        optimizer: an `mxnet.optimizer.Optimizer`.
    """

    def __init__(self, params, optimizer):
        self.params, self.optimizer = params, optimizer
        self.updater = mxnet.optimizer.get_updater(optimizer)

    def step(self, batch_size=1):
        """Move each parameter by its gradient, that of a mean: it is not divided by `batch_size`."""
        for index, param in enumerate(self.params):
            self.updater(index, param.grad.as_nd_ndarray(), param.as_nd_ndarray())

    def arrays(self):
        """All that decides its next steps, by name."""
        found = {"lr": onp.asarray(self.optimizer.learning_rate)}
        for index, state in self.updater.states.items():
            found[f"{index}/count"] = onp.asarray(self.optimizer._index_update_count[index])
            found |= {f"{index}/{name}": numpy(array) for name, array in arrays_in(state)}
        return found

    def set_arrays(self, found):
        """Go on from what `arrays` returned; a WeightsError if they are of other parameters."""
        weights = {str(index): (index, param) for index, param in enumerate(self.params)}
        states, shapes = memory(self.optimizer, weights, found)
        core.check_state(found, {"lr": (), **shapes})
        self.optimizer.set_learning_rate(found["lr"].item())
        for name, state in states.items():
            index, _ = weights[name]
            self.optimizer._index_update_count[index] = found[f"{name}/count"].item()
            self.updater.states[index], self.updater.states_synced[index] = state, True
            for part, array in arrays_in(state):
                array[:] = found[f"{name}/{part}"]


def memory(optimizer, weights, found):
    """A new state of each of the weights (name: index, array) that `found` has, and the shapes there."""
    states, shapes = {}, {}
    for name, (index, weight) in weights.items():
        if f"{name}/count" in found:
            states[name] = optimizer.create_state_multi_precision(index, weight.as_nd_ndarray())
            shapes[f"{name}/count"] = ()
            shapes |= {f"{name}/{part}": array.shape for part, array in arrays_in(states[name])}
    return states, shapes


def arrays_in(state, name="state"):
    """The arrays of what an optimiser of MXNet's keeps for a parameter: one, none, or nested tuples."""
    if isinstance(state, tuple | list):
        for index, part in enumerate(state):
            yield from arrays_in(part, f"{name}.{index}")
    elif state is not None:
        yield name, state
