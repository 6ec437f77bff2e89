"""`Module` and `Classifier`, in MXNet (book, chapters 3 and 4)."""

from mxnet import autograd, np, npx
from mxnet.gluon import nn

from d2lrnn import module as core

from .ops import from_numpy, numpy, reshape
from .parameters import Parameters
from .weights import own

nn_Module = nn.Block  # the book's name of what a model is made of


class Module(Parameters, core.Module, nn.Block):
    """A `mxnet.gluon.nn.Block` with the book's hooks (section 3.2.2)."""

    path = ""  # below the model, see `draw_by_path`

    def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
        super().__init__()
        self.save_hyperparameters()

    def evaluator(self, function):
        device = self.device

        def run(*arrays):
            with autograd.pause():  # and not in training mode
                return core.nested(numpy, function(self, *self.tensors(arrays, device)))

        return run

    def tensors(self, arrays, device=None):
        """Arrays, nested or None, on `device`, by default that of the model."""
        device = device or self.device
        return core.nested(lambda array: from_numpy(array, device), arrays)

    def gradients_of(self, *batch):
        trained = {path: array for path, array in own(self).items() if array.grad is not None}
        before = {path: array.grad.copy() for path, array in trained.items()}
        for array in trained.values():  # those that the loss does not reach too
            np.zeros_like(array).copyto(array.grad)  # sooner than `[:] = 0`
        with autograd.record(train_mode=False):
            loss = self.batch_loss(self.tensors(batch))
        loss.backward()
        gradients = {path: numpy(array.grad) for path, array in trained.items()}
        for path, array in trained.items():
            before[path].copyto(array.grad)
        return loss.item(), gradients


class Classifier(core.Classifier, Module):
    """A model with the cross-entropy as its loss (book, section 4.3)."""

    def loss(self, Y_hat, Y, averaged=True):
        """Mean cross-entropy in nats of the logits `Y_hat` (..., num_classes) to the classes `Y` (...)."""
        logits = reshape(Y_hat, (-1, Y_hat.shape[-1]))  # (tokens, num_classes)
        losses = cross_entropy(logits, reshape(Y, -1))  # (tokens,)
        return losses.mean() if averaged else losses


def cross_entropy(logits, classes):
    """-log p of `classes` (tokens,), p = softmax of `logits` (tokens, num_classes).

    MXNet's log_softmax on a CPU, which gluon's loss takes, is off by up to 4e-6; its softmax is not,
    but is zero where -log p is above 87. So the former is corrected by the latter where that can be.
    """
    log_p = npx.pick(npx.log_softmax(logits), classes)
    with autograd.pause():
        p = npx.pick(npx.softmax(logits), classes)
        correction = np.where(p > 1e-30, np.log(p) - log_p, np.zeros_like(p))
    return -(log_p + correction)
