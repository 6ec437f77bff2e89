"""Linear regression, from scratch and on Flax's own layer (book, sections 3.3 to 3.5)."""

from dataclasses import field

import jax
import optax
from flax import linen as nn
from jax import numpy as jnp

from d2lrnn.arguments import check
from d2lrnn.data import DataModule
from d2lrnn.hyperparameters import HyperParameters, check_labels, check_numbers
from d2lrnn.weights import draw

from .module import Module
from .ops import from_numpy, matmul, reduce_mean, reshape
from .parameters import seeded


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
        self.y = matmul(self.X, reshape(jnp.asarray(w), (-1, 1))) + b + noise  # (n, 1)

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
        seed: of the initial weights, which are the same on every backend; see `seeded`.
    """

    num_inputs: int
    lr: float
    sigma: float = 0.01
    seed: int | None = field(default=0, kw_only=True)

    def setup(self):
        self.w = self.param("w", seeded(self, "w", self.sigma), (self.num_inputs, 1))
        self.b = self.param("b", nn.initializers.zeros, (1,))

    def forward(self, X):
        """Outputs (batch_size, 1) of the examples X (batch_size, num_inputs)."""
        return matmul(X, self.w) + self.b

    def loss(self, params, X, y, state):
        """Mean of (y_hat - y)^2 / 2; both have the same shape. `X` is a tuple of inputs."""
        y_hat = state.apply_fn({"params": params}, *X)
        check_labels(y_hat, y)
        return reduce_mean((y_hat - y) ** 2 / 2)

    def configure_optimizers(self):
        return SGD(self.lr)


class SGD(HyperParameters):
    """Stochastic gradient descent on minibatches: w <- w - lr * dl/dw (book, section 3.4.3).

    As Optax's own, it makes updates of gradients, which the training adds to the parameters.

    Args:
        lr: the learning rate.
    """

    def __init__(self, lr):
        self.save_hyperparameters()

    def init(self, params):
        """The state before the first update: nothing."""
        return optax.EmptyState()

    def update(self, updates, state, params=None):
        """-lr times the gradients `updates`, and the state."""
        return jax.tree.map(lambda gradient: -self.lr * gradient, updates), state

    def __call__(self):
        return optax.GradientTransformation(self.init, self.update)


class LinearRegression(Module):
    """y = X w + b under the squared error, with Flax's layer (book, section 3.5).

    Args:
        lr: learning rate of SGD.
    """

    lr: float

    def setup(self):
        self.net = nn.Dense(1)

    def loss(self, params, X, Y, state):
        """Mean of (Y_hat - Y)^2 / 2; both have the same shape. `X` is a tuple of inputs."""
        Y_hat = state.apply_fn({"params": params}, *X)
        check_labels(Y_hat, Y)
        return reduce_mean(optax.l2_loss(Y_hat, Y))

    def get_w_b(self, state=None):
        """The weights (num_inputs, 1) and the bias (1,); those of `state`, if one is given."""
        net = (self.params if state is None else state.params)["net"]
        return net["kernel"], net["bias"]
