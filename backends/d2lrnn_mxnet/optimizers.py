"""Optimisers by name, their learning rate and state (book, 12.4, 12.6, 12.10 and 12.11), in MXNet."""

import mxnet
import numpy as onp
from mxnet import gluon

from d2lrnn import optimizers as core
from d2lrnn.errors import ArgumentError
from d2lrnn.weights import shapes_of

from .linear_regression import SGD
from .ops import numpy
from .weights import places

OPTIMIZERS = {
    "sgd": ("sgd", {}),
    "momentum": ("sgd", {"momentum": core.MOMENTUM}),
    "adam": ("adam", {}),
}


def make(model):
    """The optimiser that the model names; SGD of arrays made by hand is that of section 3.4."""
    params, (name, settings) = model.parameters(), OPTIMIZERS[model.optimizer_name]
    if not isinstance(params, list):
        return gluon.Trainer(params, name, {"learning_rate": model.lr, **settings})
    if model.optimizer_name == "sgd":
        return SGD(params, model.lr)
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


def state(trainer):
    """All that decides the next steps, as arrays by name."""
    optim = trainer.optim
    if isinstance(optim, OfArrays):
        return optim.arrays()
    if not isinstance(optim, gluon.Trainer):
        return core.numbers_of(optim)
    (updater,) = optim._updaters
    optimizer, found = updater.optimizer, {}
    for part, owner in owners_of_numbers(optimizer).items():
        found |= {f"{part}/{name}": array for name, array in core.numbers_of(owner).items()}
    for path, index in indices(trainer).items():
        parameter = optim._params[index]
        found[f"{path}/lr_mult"] = onp.asarray(parameter.lr_mult)
        found[f"{path}/wd_mult"] = onp.asarray(parameter.wd_mult)
        if index in updater.states:
            found[f"{path}/count"] = onp.asarray(optimizer._index_update_count[index])
            own = arrays_in(updater.states[index])
            found |= {f"{path}/{name}": numpy(array) for name, array in own}
    return found


def set_state(trainer, found):
    """Go on from what `state` returned; a WeightsError if it is another optimiser's."""
    optim = trainer.optim
    if isinstance(optim, OfArrays):
        return optim.set_arrays(found)
    if not isinstance(optim, gluon.Trainer):
        return core.set_numbers(optim, found)
    (updater,) = optim._updaters
    optimizer, numbers = updater.optimizer, indices(trainer)
    weights = {path: (index, optim._params[index].data()) for path, index in numbers.items()}
    states, shapes = memory(optimizer, weights, found)
    core.check_state(found, shapes_of(state(trainer)) | shapes)
    for part, owner in owners_of_numbers(optimizer).items():
        own = {n.partition("/")[2]: a for n, a in found.items() if n.startswith(f"{part}/")}
        core.set_numbers(owner, own)
    for path, index in numbers.items():
        parameter = optim._params[index]
        parameter.lr_mult = found[f"{path}/lr_mult"].item()
        parameter.wd_mult = found[f"{path}/wd_mult"].item()
        if path in states:
            optimizer._index_update_count[index] = found[f"{path}/count"].item()
            updater.states[index], updater.states_synced[index] = states[path], True
            for name, array in arrays_in(states[path]):
                array[:] = found[f"{path}/{name}"]


def owners_of_numbers(optimizer):
    """What has the numbers of an optimiser of MXNet's: itself and its schedule, if it has one."""
    schedule = optimizer.lr_scheduler
    return {"all": optimizer, **({} if schedule is None else {"schedule": schedule})}


def indices(trainer):
    """Under which number gluon's trainer knows each parameter, which follows from names that it makes."""
    paths = {id(getattr(*place)): path for path, place in places(trainer.model).items()}
    return {paths.get(id(p), p.name): index for index, p in enumerate(trainer.optim._params)}


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
