"""`Module` and `Classifier`, in Flax (book, chapters 3 and 4)."""

import inspect

import jax
from flax import linen as nn
from flax.core import Scope
from jax import numpy as jnp

from d2lrnn import module as core
from d2lrnn.hyperparameters import check_fields

from .ops import exp, from_numpy, numpy, reduce_mean, reduce_sum, reshape, swapaxes, typed
from .parameters import Parameters
from .weights import arrays

nn_Module = nn.Module  # the book's name of what a model is made of


class Module(Parameters, nn.Module, core.Module):
    """A `flax.linen.Module` with the book's hooks (section 3.2.2), and with parameters of its own."""

    not_copied = (*core.Module.not_copied, "_compiled")

    def __post_init__(self):
        if not isinstance(self.parent, Scope):  # else it is a copy that is applied
            check_fields(self)
        super().__post_init__()

    def loss(self, params, X, Y, state):
        """The mean loss, or the loss and a dict, of the inputs `X` (a tuple) and the labels `Y`."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no loss(self, params, X, Y, state)."
        )

    def __call__(self, X, *args, **kwargs):
        return self.forward(X, *args, **kwargs)

    def batch_loss(self, params, batch, state):
        """The mean loss of a minibatch, and a dict of what else `loss` returns; nothing is plotted."""
        return with_aux(self.loss(params, batch[:-1], batch[-1], state))

    def training_step(self, params, batch, state):
        """The loss of a minibatch with what else `loss` returns, and the gradients by `params`."""
        (loss, aux), grads = jax.value_and_grad(self.batch_loss, has_aux=True)(params, batch, state)
        self.plot_loss(loss, train=True)
        return (loss, aux), grads

    def validation_step(self, params, batch, state):
        loss, _ = self.batch_loss(params, batch, state)
        self.plot_loss(loss, train=False)
        return loss

    @nn.nowrap
    def evaluator(self, function):
        def run(variables, *tensors):
            model = self.clone(training=False) if "training" in self.__dataclass_fields__ else self
            return model.apply(variables, *tensors, method=function)

        def run_on_arrays(*inputs):
            variables = {"params": self.params, "batch_stats": self.batch_stats}
            # In NumPy until they are called with: to put each on the device first would cost more.
            return jax.tree.map(numpy, compiled(variables, *jax.tree.map(typed, inputs)))

        compiled = self.compiled(function, run)
        return run_on_arrays

    def gradients_of(self, *batch):
        batch = jax.tree.map(lambda array: from_numpy(array, self.device), batch)
        training, self.training = getattr(self, "training", None), False
        try:
            run = jax.value_and_grad(self.batch_loss, has_aux=True)
            (loss, _), grads = run(self.params, batch, self.train_state())
        finally:
            self.training = training
        return float(loss), arrays(self, grads)


def with_aux(value):
    """What a reader's `loss` returns, a loss or a loss and a dict, as a loss and a dict."""
    return value if isinstance(value, tuple) else (value, {})


def mode_for(layer, training):
    """`training` as the third argument of the book's layers, if `layer` has it: a reader may type two."""
    call = type(layer).__call__
    try:
        inspect.signature(type(layer).forward if call is Module.__call__ else call).bind(*range(4))
    except TypeError:
        return ()
    return (training,)


class Classifier(Module):
    """A model with the cross-entropy as its loss (book, section 4.3)."""

    def loss(self, params, X, Y, state, averaged=True):
        """Cross-entropy in nats of the logits of `X`, a tuple of inputs, to the classes `Y` (...).

        Returns its mean, or all of it (elements of Y,) if not `averaged`, and an empty dict, where
        models with variables besides their parameters return those.
        """
        apply_fn = state.apply_fn

        def cross_entropy(params, X, Y, batch_stats, dropout_rng):
            variables = {"params": params, "batch_stats": batch_stats}
            Y_hat = apply_fn(variables, *X, rngs={"dropout": dropout_rng})  # (..., num_classes)
            Y = reshape(Y, Y_hat.shape[:-1])
            if averaged and Y.ndim == 2:  # time-major as a layer computed them: a mean has no order
                Y_hat, Y = reshape(swapaxes(Y_hat, 0, 1), (Y.size, -1)), reshape(Y.T, (-1,))
            losses = cross_entropy_of(Y_hat, Y)
            return reduce_mean(losses) if averaged else reshape(losses, (-1,))

        run = self.compiled(("loss", averaged, apply_fn), cross_entropy)
        return run(params, X, Y, state.batch_stats, state.dropout_rng), {}

    def accuracy(self, params, X, Y, state, averaged=True):
        """How often the largest logit is the class, or for each example whether it is."""
        Y_hat = state.apply_fn({"params": params, "batch_stats": state.batch_stats}, *X)
        return core.Classifier.accuracy(self, Y_hat, Y, averaged)


def cross_entropy_of(logits, Y):
    """-log softmax(logits)_Y, in the shape of Y (...), of logits (..., num_classes).

    It is Optax's `softmax_cross_entropy_with_integer_labels`, whose gradient takes XLA three times as
    long to compile: half a second for each size of minibatch.
    """
    logits = logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))  # no exp overflows
    of_labels = jnp.take_along_axis(logits, jnp.expand_dims(Y, -1), -1)[..., 0]
    return jnp.log(reduce_sum(exp(logits), -1)) - of_labels
