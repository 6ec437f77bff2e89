"""`Module`, `Classifier`, `LinearRegression` and the data modules, in MXNet (book, chapters 3 and 4)."""

import warnings

import mxnet
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn

from d2lrnn import data as core_data
from d2lrnn import module as core

from .ops import astype, cpu, exp, from_numpy, numpy, reshape
from .weights import layers, own, places


class Module(core.Module, nn.Block):
    """A `mxnet.gluon.nn.Block` with the book's hooks (section 3.2.2).

    Its parameters are those of gluon layers, and the arrays that are its attributes (`W_xh`) and
    have a gradient attached.
    """

    path = ""  # below the model, see `draw_by_path`

    def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
        super().__init__()
        self.save_hyperparameters()

    def plot_loss(self, loss, train):
        with autograd.pause():
            loss = loss.detach()
            self.plot(self.metric, exp(loss) if self.metric == "ppl" else loss, train)

    def configure_optimizers(self):
        params = self.parameters()
        if isinstance(params, list):
            return SGD(params, self.lr)
        return gluon.Trainer(params, "sgd", {"learning_rate": self.lr})

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
        with autograd.record(train_mode=False):
            loss = self.batch_loss(self.tensors(batch))
        loss.backward()
        trained = {path: array for path, array in own(self).items() if array.grad is not None}
        return loss.item(), {path: numpy(array.grad) for path, array in trained.items()}

    # Parameters ------------------------------------------------------------------------------------

    def initialize(self, *args, **kwargs):
        """`Block.initialize`; layers that have their initial values already keep them, without a warning."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is already initialized")
            super().initialize(*args, **kwargs)

    def parameters(self):
        """The parameters that are trained: gluon's, or a list of arrays where some are made by hand."""
        params = gluon.ParameterDict()
        params.update({n: p for n, p in self.collect_params().items() if p.grad_req != "null"})
        arrays = [array for array in self.get_scratch_params() if array.grad is not None]
        if not arrays:
            return params
        if params.keys():
            self._sized()
        return [p.data() for p in params.values()] + arrays

    def get_scratch_params(self):
        """The arrays that are attributes of this module or of one inside it."""
        values = [value for _, block in layers(self) for value in vars(block).values()]
        return list({id(v): v for v in values if isinstance(v, np.ndarray)}.values())

    def reset_ctx(self, ctx):
        """Move all parameters to the device `ctx`."""
        self.collect_params().reset_ctx(ctx)
        for block, name in places(self).values():
            array = getattr(block, name)
            if isinstance(array, np.ndarray) and array.ctx != ctx:
                moved = array.as_in_ctx(ctx)
                if array.grad is not None:
                    moved.attach_grad()
                setattr(block, name, moved)

    @property
    def device(self):
        """Where the parameters are."""
        arrays = self.get_scratch_params()
        params = self.collect_params().values()
        return next((a.ctx for a in arrays), None) or next((p.list_ctx()[0] for p in params), cpu())

    def is_on(self, device):
        return mxnet.Context(device) == self.device


class SGD:
    """Stochastic gradient descent on arrays with gradients attached (book, section 3.4.3)."""

    def __init__(self, params, lr):
        self.params, self.lr = params, lr

    def step(self, batch_size=1):
        """Take a step down the gradients, those of a mean loss: they are not divided by `batch_size`."""
        for param in self.params:
            param -= self.lr * param.grad


class Classifier(Module):
    """A model with the cross-entropy as its loss (book, section 4.3)."""

    def loss(self, Y_hat, Y, averaged=True):
        """Mean cross-entropy in nats of the logits `Y_hat` (..., num_classes) to the classes `Y` (...)."""
        logits = reshape(Y_hat, (-1, Y_hat.shape[-1]))  # (tokens, num_classes)
        losses = cross_entropy(logits, reshape(Y, -1))  # (tokens,)
        return losses.mean() if averaged else losses

    def accuracy(self, Y_hat, Y, averaged=True):
        """How often the largest logit is the class, or for each example whether it is."""
        hits = astype(astype(Y_hat.argmax(-1), Y.dtype) == Y, np.float32)
        return hits.mean() if averaged else hits


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


class LinearRegression(Module):
    """y = X w + b under the squared error, with gluon's layer (book, section 3.5)."""

    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Dense(1)
        self.net.initialize(init.Normal(sigma=0.01))

    def loss(self, Y_hat, Y):
        """Mean of (Y_hat - Y)^2 / 2."""
        return gluon.loss.L2Loss()(Y_hat, Y).mean()

    def get_w_b(self):
        """The weights (num_inputs, 1) and the bias (1,)."""
        return self.net.weight.data().T, self.net.bias.data()


class DataModule(core_data.DataModule):
    """Minibatches as MXNet arrays."""

    def tensor(self, array, device=None):
        return from_numpy(array, device)

    def array(self, tensor):
        return numpy(tensor) if isinstance(tensor, np.ndarray) else super().array(tensor)


class TextFile(core_data.TextFile, DataModule):
    __doc__ = core_data.TextFile.__doc__


class TimeMachine(core_data.TimeMachine, DataModule):
    __doc__ = core_data.TimeMachine.__doc__
