"""Optimisers by name, their learning rate and state (book, 12.4, 12.6, 12.10 and 12.11), in PyTorch."""

from functools import partial

import numpy as np
import torch

from d2lrnn import optimizers as core
from d2lrnn.errors import ArgumentError
from d2lrnn.weights import shapes_of

from .ops import numpy

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=core.MOMENTUM),
    "adam": torch.optim.Adam,
}


def make(model):
    """The optimiser that the model names, of its trained parameters."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return OPTIMIZERS[model.optimizer_name](trained, lr=model.lr)


def set_learning_rate(trainer, lr):
    """Let the next updates take this learning rate."""
    if not isinstance(trainer.optim, torch.optim.Optimizer):
        raise ArgumentError(trainer.cannot_follow)
    for group in trainer.optim.param_groups:
        group["lr"] = lr


def state(trainer):
    """All that decides its next steps, as arrays by name; what has no number is left out."""
    optim = trainer.optim
    if not isinstance(optim, torch.optim.Optimizer):
        return core.numbers_of(optim)
    everything = optim.state_dict()
    groups = {f"group {i}": group for i, group in enumerate(everything["param_groups"])}
    arrays = {
        f"{part}/{key}": numpy(value) if isinstance(value, torch.Tensor) else np.asarray(value)
        for part, values in {**everything["state"], **groups}.items()
        for key, value in values.items()
        if key != "params"
    }
    return {name: array for name, array in arrays.items() if array.dtype.kind in "biuf"}


def set_state(trainer, arrays):
    """Go on from what `state` returned; a WeightsError if it is another optimiser's."""
    optim = trainer.optim
    if not isinstance(optim, torch.optim.Optimizer):
        return core.set_numbers(optim, arrays)
    parameters = [p for group in optim.param_groups for p in group["params"]]
    shapes = shapes_of(state(trainer)) | core.shapes_of_memory(arrays, parameters)
    core.check_state(arrays, shapes)
    everything = optim.state_dict()
    for name, array in arrays.items():
        part, key = name.split("/")
        if part.startswith("group"):
            group = everything["param_groups"][int(part.split()[1])]
            is_tensor = isinstance(group.get(key), torch.Tensor)
            group[key] = torch.as_tensor(array) if is_tensor else array.tolist()
        else:
            everything["state"].setdefault(int(part), {})[key] = torch.as_tensor(array)
    optim.load_state_dict(everything)
