"""Optimisers by name, and their learning rate (book, sections 12.4, 12.6, 12.10 and 12.11), in PyTorch."""

from functools import partial

import torch

from d2lrnn.errors import ArgumentError
from d2lrnn.trainer import MOMENTUM

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=MOMENTUM),
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
