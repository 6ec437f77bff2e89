"""`Module`, `Classifier`, `LinearRegression` and the data, in Flax (book, chapters 3 and 4)."""

from __future__ import annotations

import copy
import dataclasses
import zlib

import jax
import optax
from flax import linen as nn
from flax.core import unfreeze
from jax import numpy as jnp

from d2lrnn import data as core_data
from d2lrnn import module as core
from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_positive
from d2lrnn.module import library_step

from .ops import cpu, exp, from_numpy, get_key, reduce_mean, reduce_sum, reshape, swapaxes
from .weights import get_weights, set_weights

# The methods of a model, and of its recurrent layer, that compiled code is made of.
TRACED = ("__call__", "forward", "init_params", "one_hot", "output_layer", "setup")


class Module(nn.Module, core.Module):
    """A `flax.linen.Module` with the book's hooks (section 3.2.2).

    Flax keeps parameters outside the module: `model.apply({"params": params}, X)` is ordinary
    linen. So that the model can also be used by itself, `model.params` holds those that a trainer
    has left there or, before any training, new ones drawn from its seed.
    """

    @nn.nowrap
    def __setattr__(self, name, value):
        """Linen freezes its fields; what a training ties to the model is no field of it."""
        if name in ("batch_stats", "board", "params", "trainer", "training"):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def loss(self, params, X, Y, state):
        """The mean loss, or the loss and a dict, of the inputs `X` (a tuple) and the labels `Y`."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no loss(self, params, X, Y, state)."
        )

    def forward(self, X, *args, **kwargs):
        if not hasattr(self, "net"):
            raise ArgumentError(
                f"{type(self).__name__} needs self.net, or its own forward(self, X)."
            )
        return self.net(X, *args, **kwargs)

    @library_step
    def __call__(self, X, *args, **kwargs):
        return self.forward(X, *args, **kwargs)

    @library_step
    def training_step(self, params, batch, state):
        """The loss of a minibatch with what else `loss` returns, and the gradients by `params`."""
        (loss, aux), grads = self.loss_and_gradients(params, batch, state)
        self.plot_loss(loss, train=True)
        return (loss, aux), grads

    @library_step
    def validation_step(self, params, batch, state):
        loss, _ = with_aux(self.loss(params, batch[:-1], batch[-1], state))
        self.plot_loss(loss, train=False)
        return loss

    def loss_and_gradients(self, params, batch, state):
        """As `training_step`, but nothing is plotted: the compiled epoch runs this."""

        def loss(params):
            return with_aux(self.loss(params, batch[:-1], batch[-1], state))

        return jax.value_and_grad(loss, has_aux=True)(params)

    def plot_loss(self, loss, train):
        """Plot a mean loss as the model's metric: itself, or the perplexity."""
        self.plot(self.metric, exp(loss) if self.metric == "ppl" else loss, train)

    def configure_optimizers(self):
        return optax.sgd(self.lr)

    # The parameters of this model ----------------------------------------------------------------

    @property
    def params(self):
        """The parameters of this model, a dict of JAX arrays: drawn from its seed at first need."""
        if not self.has_params:
            self.params = self.draw_variables(self._known_input())["params"]
        return self.__dict__["_params"]

    @params.setter
    def params(self, params):
        self.__dict__["_params"] = params

    @property
    def has_params(self):
        return "_params" in self.__dict__

    def param_shapes(self):
        """What has the shapes of the parameters: themselves or, before they are drawn, no numbers."""
        if self.has_params:
            return self.params
        return jax.eval_shape(self.draw_variables, self._known_input())["params"]

    @property
    def device(self):
        """Where the parameters are."""
        return next((d for p in jax.tree.leaves(self.params) for d in p.devices()), cpu())

    def dummy_input(self):
        """Inputs, a tuple, from which the parameters' shapes follow; None if only data can tell."""
        return None

    def _known_input(self):
        dummy_input = self.dummy_input()
        if dummy_input is None:
            raise ArgumentError(
                f"{type(self).__name__} has no parameters yet: their shapes follow from the data. "
                "Train it with Trainer.fit, or set model.params = model.init(key, X)['params']."
            )
        return dummy_input

    def apply_init(self, dummy_input, key):
        """The variables of a new model, `{"params": ...}`, for inputs like the tuple `dummy_input`."""
        return self.init(key, *dummy_input)

    def draw_variables(self, dummy_input, key=None):
        """New variables, on the CPU: drawn from `key` or, without one, from the layers' seeds."""
        model = self if key is None else unseeded(self)
        if key is None:
            seed = getattr(self, "seed", 0)
            key = get_key() if seed is None else jax.random.key(seed)
        params_key, dropout_key = jax.random.split(key)
        keys = {"params": params_key, "dropout": dropout_key}
        dummy_input, keys = jax.device_put((tuple(dummy_input), keys), cpu())
        return unfreeze(jax.jit(model.apply_init)(dummy_input, keys))

    def with_params(self, params):
        """This model with other parameters; what is compiled for one of the two serves both."""
        self.__dict__.setdefault("_compiled", {})
        other = copy.copy(self)
        other.params = params
        return other

    @nn.nowrap
    def compiled(self, name, function):
        """`function` under `jax.jit`, traced once for this model and `name`.

        It is traced anew in the other mode, training or not, and after a method has been replaced.
        """
        layers = (type(self), type(getattr(self, "rnn", None)))
        methods = [getattr(layer, method, None) for layer in layers for method in TRACED]
        key = (name, getattr(self, "training", None), *methods)
        functions = self.__dict__.setdefault("_compiled", {})
        if key not in functions:
            functions[key] = jax.jit(function, inline=True)
        return functions[key]

    get_weights = get_weights
    set_weights = set_weights


def cross_entropy_of(logits, Y):
    """-log softmax(logits)_Y, in the shape of Y (...), of logits (..., num_classes).

    It is Optax's `softmax_cross_entropy_with_integer_labels`, whose gradient takes XLA three times as
    long to compile: half a second for each size of minibatch.
    """
    logits = logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))  # no exp overflows
    of_labels = jnp.take_along_axis(logits, jnp.expand_dims(Y, -1), -1)[..., 0]
    return jnp.log(reduce_sum(exp(logits), -1)) - of_labels


class Classifier(Module):
    """A model with the cross-entropy as its loss (book, section 4.3)."""

    def loss(self, params, X, Y, state, averaged=True):
        """Cross-entropy in nats of the logits of `X`, a tuple of inputs, to the classes `Y` (...).

        Returns its mean, or all of it (elements of Y,) if not `averaged`, and an empty dict: there
        models with variables besides their parameters return those.
        """
        apply_fn = state.apply_fn

        def cross_entropy(params, X, Y, batch_stats, dropout_rng):
            variables = {"params": params, "batch_stats": batch_stats}
            Y_hat = apply_fn(variables, *X, rngs={"dropout": dropout_rng})
            if averaged and Y.ndim == 2:
                # Time-major, as a recurrent layer's outputs are: XLA then leaves out the transposed copy.
                Y_hat, Y = swapaxes(Y_hat, 0, 1).reshape(Y.size, -1), Y.T.reshape(-1)
            losses = cross_entropy_of(Y_hat, Y)  # as Y
            return reduce_mean(losses) if averaged else reshape(losses, (-1,))

        compiled = self.compiled(("loss", averaged, apply_fn), cross_entropy)
        return compiled(params, X, Y, state.batch_stats, state.dropout_rng), {}

    def accuracy(self, params, X, Y, state, averaged=True):
        """How often the largest logit is the class, or for each example whether it is."""
        Y_hat = state.apply_fn({"params": params, "batch_stats": state.batch_stats}, *X)
        hits = (Y_hat.argmax(-1) == Y).astype(jnp.float32)
        return reduce_mean(hits) if averaged else hits


class LinearRegression(Module):
    """y = X w + b under the squared error, with Flax's layer (book, section 3.5)."""

    lr: float

    def __post_init__(self):
        check_positive(lr=self.lr)
        super().__post_init__()

    def setup(self):
        self.net = nn.Dense(1)

    def loss(self, params, X, Y, state):
        """Mean of (Y_hat - Y)^2 / 2."""
        return reduce_mean(optax.l2_loss(state.apply_fn({"params": params}, *X), Y))

    def get_w_b(self, state=None):
        """The weights (num_inputs, 1) and the bias (1,)."""
        net = (self.params if state is None else state.params)["net"]
        return net["kernel"], net["bias"]


def with_aux(value):
    """What a reader's `loss` returns, a loss or a loss and a dict, as a loss and a dict."""
    return value if isinstance(value, tuple) else (value, {})


def seeded(initializer, name, seed):
    """`initializer`, drawing from `seed` and `name`; None leaves it the key given to `init`."""
    if seed is None:
        return initializer
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    return lambda _, *args: initializer(key, *args)


def unseeded(module):
    """`module`, but with the initial weights of all its layers left to the key given to `init`."""
    fields = {f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.init}
    changes = {
        name: unseeded(value)
        for name, value in fields.items()
        if name != "parent" and isinstance(value, nn.Module)
    }
    if "seed" in fields:
        changes["seed"] = None
    return module.clone(**changes)


class DataModule(core_data.DataModule):
    """Minibatches as JAX arrays."""

    @library_step
    def tensor(self, array, device=None):
        return from_numpy(array, device)


class TextFile(core_data.TextFile, DataModule):
    __doc__ = core_data.TextFile.__doc__


class TimeMachine(core_data.TimeMachine, DataModule):
    __doc__ = core_data.TimeMachine.__doc__
