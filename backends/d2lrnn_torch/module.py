"""`Module` and `Classifier`, in PyTorch (book, chapters 3 and 4)."""

import contextlib
import threading

import torch
from torch import nn
from torch.nn import functional as F

from d2lrnn import module as core
from d2lrnn.errors import WeightsError

from .ops import from_numpy, indices, numpy, reshape, swapaxes
from .weights import plain_tensors


class Module(core.Module, nn.Module):
    """A `torch.nn.Module` with the book's hooks (section 3.2.2)."""

    def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
        super().__init__()
        self.save_hyperparameters()
        self.register_state_dict_pre_hook(check_state_dict)

    @property
    def device(self):
        """Where the parameters are."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def is_on(self, device):
        return torch.device(device).type == self.device.type

    def evaluator(self, function):
        modules, tensors = list(self.modules()), self.tensors

        @torch.no_grad()
        def run(*arrays):
            with evaluating(modules):
                return core.nested(numpy, function(self, *tensors(arrays)))

        return run

    def tensors(self, arrays):
        """Arrays, nested or None, on the device of the model."""
        return core.nested(lambda array: from_numpy(array, self.device), arrays)

    def gradients_of(self, *batch):
        own = {path: p for path, p in self.named_parameters() if p.requires_grad}
        # cuDNN's layers go backward in training mode alone.
        with evaluating(self.modules()), torch.backends.cudnn.flags(enabled=False):
            loss = self.batch_loss(self.tensors(batch))
            gradients = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
        pairs = zip(own, gradients, strict=True)
        return loss.item(), {path: numpy(grad) for path, grad in pairs if grad is not None}


def check_state_dict(module, prefix, keep_vars):
    """Refuse to save what PyTorch would leave out without a word."""
    if names := ", ".join(prefix + name for name in plain_tensors(module)):
        raise WeightsError(
            f"state_dict() leaves out {names}: PyTorch saves parameters and buffers alone. Make each an "
            "nn.Parameter, or write the weights with model.save(path), which knows them."
        )


class Classifier(core.Classifier, Module):
    """A model with the cross-entropy as its loss (book, section 4.3)."""

    def loss(self, Y_hat, Y, averaged=True):
        """Mean cross-entropy in nats of the logits `Y_hat` (..., num_classes) to the classes `Y` (...)."""
        if averaged and Y_hat.ndim == 3 and swapaxes(Y_hat, 0, 1).is_contiguous():
            # As a recurrent layer computed them, in which order no copy is made; a mean has none.
            Y_hat, Y = swapaxes(Y_hat, 0, 1), swapaxes(reshape(Y, Y_hat.shape[:2]), 0, 1)
        logits = reshape(Y_hat, (-1, Y_hat.shape[-1]))  # (tokens, num_classes)
        classes = indices(reshape(Y, (-1,)))
        return F.cross_entropy(logits, classes, reduction="mean" if averaged else "none")


@contextlib.contextmanager
def evaluating(modules):
    """Take `modules` out of training mode (no dropout) inside the block, and leave each as it was."""
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


drawing = threading.RLock()  # PyTorch's global stream is one for all threads


@contextlib.contextmanager
def seeded(seed, stream=0, devices=()):
    """Draw from `seed` inside the block and leave PyTorch's global stream as it was."""
    if seed is None:
        yield
        return
    with drawing, torch.random.fork_rng(devices):
        torch.manual_seed(2 * seed + stream)
        yield
