"""Linear regression, from scratch and on PyTorch's own layer (book, sections 3.3 to 3.5)."""

import torch
from torch import nn
from torch.nn import functional as F

from d2lrnn.arguments import check
from d2lrnn.data import DataModule
from d2lrnn.hyperparameters import HyperParameters, check_labels, check_numbers
from d2lrnn.weights import draw

from .module import Module
from .ops import float32, from_numpy, matmul, reduce_mean, reshape, zeros


class SyntheticRegressionData(DataModule):
    """y = X w + b + noise, with X from N(0, 1) (book, section 3.3).

    Args:
        w: the true weights (num_inputs,); `b` the true bias.
        noise: standard deviation of the noise.
        num_train: number of examples of training; `num_val` that of validation.
        batch_size: number of examples in a minibatch.
        seed: of the examples, which are the same on every backend, and of their order.
    """

    def __init__(self, w, b, noise=0.01, num_train=1000, num_val=1000, batch_size=32, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_numbers("w", w), check_numbers("b", b)
        n = num_train + num_val
        self.X = from_numpy(draw("X", (n, len(w)), 1, seed))  # (n, num_inputs)
        noise = from_numpy(draw("noise", (n, 1), noise, seed))
        w = reshape(torch.as_tensor(w, dtype=float32), (-1, 1))
        self.y = matmul(self.X, w) + b + noise  # (n, 1)

    def get_dataloader(self, train):
        """The minibatches (X, y) of a split; None for a validation of no examples."""
        check(train=train)
        if not train and self.num_val == 0:
            return None
        i = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, i)


class LinearRegressionScratch(Module):
    """y = X w + b under the squared error, written out (book, section 3.4).

    Args:
        num_inputs: size of an example.
        lr: learning rate of SGD.
        sigma: standard deviation of the initial weights.
        seed: of the initial weights, which are the same on every backend; see `draw`.
    """

    def __init__(self, num_inputs, lr, sigma=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        self.w = nn.Parameter(from_numpy(draw("w", (num_inputs, 1), sigma, seed)))
        self.b = nn.Parameter(zeros(1))

    def forward(self, X):
        """Outputs (batch_size, 1) of the examples X (batch_size, num_inputs)."""
        return matmul(X, self.w) + self.b

    def loss(self, y_hat, y):
        """Mean of (y_hat - y)^2 / 2; both have the same shape."""
        check_labels(y_hat, y)
        return reduce_mean((y_hat - y) ** 2 / 2)

    def configure_optimizers(self):
        return SGD([self.w, self.b], self.lr)


class SGD(HyperParameters):
    """Stochastic gradient descent on minibatches: w <- w - lr * dl/dw (book, section 3.4.3).

    Args:
        params: the parameters.
        lr: the learning rate.
    """

    def __init__(self, params, lr):
        params = list(params)
        self.save_hyperparameters()

    @torch.no_grad()
    def step(self):
        """Move each parameter against its gradient."""
        for param in self.params:
            if param.grad is not None:
                param -= self.lr * param.grad

    def zero_grad(self):
        """Forget the gradients of the last minibatch."""
        for param in self.params:
            param.grad = None


class LinearRegression(Module):
    """y = X w + b under the squared error, with PyTorch's layer (book, section 3.5).

    Args:
        lr: learning rate of SGD.
    """

    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.LazyLinear(1)

    def loss(self, Y_hat, Y):
        """Mean of (Y_hat - Y)^2 / 2; both have the same shape."""
        check_labels(Y_hat, Y)
        return F.mse_loss(Y_hat, Y) / 2

    def get_w_b(self):
        """The weights (num_inputs, 1) and the bias (1,)."""
        return self.net.weight.T, self.net.bias
