"""`Module`, `Classifier`, `LinearRegression` and the data modules, in TensorFlow (book, chapters 3 and 4)."""

from __future__ import annotations

import tensorflow as tf

from d2lrnn import data as core_data
from d2lrnn import module as core
from d2lrnn.errors import ArgumentError, UserError
from d2lrnn.module import library_step

from .ops import argmax, astype, cpu, device_name, exp, from_numpy, reduce_mean, reshape
from .weights import distinct, get_weights, layers_of, own_variables, set_weights, storage


class Module(core.Module, tf.keras.Model):
    """A `tf.keras.Model` with the book's hooks (section 3.2.2).

    Keras 3 trains its own variables and those of its layers; a `tf.Variable` that is assigned to an
    attribute, as in the book, is trained here as well.

    Attributes:
        training: whether the trainer is training, or validating, this model; layers such as dropout
            follow it.
    """

    training = None

    def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
        super().__init__()
        del self.loss  # Keras's None, which would hide the method
        self.built = True  # layers inside build themselves; Keras need not trace forward for them
        self.save_hyperparameters()

    def loss(self, Y_hat, Y):
        raise NotImplementedError(f"{type(self).__name__} defines no loss(self, Y_hat, Y).")

    def forward(self, X):
        if not hasattr(self, "net"):
            raise ArgumentError(
                f"{type(self).__name__} needs self.net, or its own forward(self, X)."
            )
        return self.net(X)

    @library_step
    def call(self, *args, training=None):
        try:
            return self.forward(*args)
        except UserError as error:
            error._keras_call_info_injected = True  # Keras leaves its message as it is
            raise

    def __call__(self, *args, **kwargs):
        if self.training is not None:
            kwargs.setdefault("training", self.training)
        return super().__call__(*args, **kwargs)

    @library_step
    def training_step(self, batch):
        loss = self.batch_loss(batch)
        self.plot_loss(loss, train=True)
        return loss

    @library_step
    def validation_step(self, batch):
        loss = self.batch_loss(batch)
        self.plot_loss(loss, train=False)
        return loss

    def batch_loss(self, batch):
        """The loss of a minibatch, whose last tensor are the labels."""
        return self.loss(self(*batch[:-1]), batch[-1])

    def plot_loss(self, loss, train):
        """Plot a mean loss as the model's metric: itself, or the perplexity."""
        self.plot(self.metric, exp(loss) if self.metric == "ppl" else loss, train)

    def configure_optimizers(self):
        lr = float(self.lr) if isinstance(self.lr, int) else self.lr  # Keras refuses lr=1
        return tf.keras.optimizers.SGD(lr)

    @property
    def variables(self):
        """All that Keras knows of, and the `tf.Variable` attributes, which it does not."""
        return distinct(super().variables + own_variables(self))

    @property
    def weights(self):
        """As `variables`, without the states of random generators."""
        return distinct(super().weights + own_variables(self))

    @property
    def device(self):
        """The name of the device where the variables are, such as 'CPU:0'."""
        return device_name(next((storage(v).device for v in self.weights), cpu()))

    get_weights = get_weights
    set_weights = set_weights


def dense(gradients):
    """The gradients as tensors: TensorFlow gives those of picked rows as a list of rows and indices.

    A row that was picked twice stands there twice, so the list has another norm than the gradient.
    """
    return [g if g is None else tf.convert_to_tensor(g) for g in gradients]


def move(model, device):
    """Put the variables of `model` on `device`, those of the layers inside it included.

    TensorFlow's variables stay where they are made, so they are made anew there.
    """
    name = device_name(device)

    def elsewhere(value):
        return isinstance(value, tf.Variable) and device_name(value.device) != name

    def moved(variable):
        label = variable.name.split(":")[0]
        return tf.Variable(variable, trainable=variable.trainable, name=label)

    with device:
        for variable in model.variables:
            if isinstance(variable, tf.keras.Variable) and elsewhere(variable.value):
                variable._initialize(moved(variable.value))
        for layer in layers_of(model):
            for attribute, value in list(vars(layer).items()):
                if elsewhere(value):
                    setattr(layer, attribute, moved(value))
                elif isinstance(value, list) and any(map(elsewhere, value)):
                    value[:] = [moved(item) if elsewhere(item) else item for item in value]


class Traced:
    """A function as a graph, where TensorFlow can make one of it; otherwise the function itself.

    What a reader writes may iterate over a tensor or read its value, which only works eagerly.
    """

    def __init__(self, function):
        self.function = function
        self.call = tf.function(function, autograph=False)

    def __call__(self, *args):
        try:
            return self.call(*args)
        except Exception:
            if self.call is self.function:
                raise
            self.call = self.function
            return self.function(*args)


class Classifier(Module):
    """A model with the cross-entropy as its loss (book, section 4.3)."""

    def loss(self, Y_hat, Y, averaged=True):
        """Mean cross-entropy in nats of the logits `Y_hat` (..., num_classes) to the classes `Y` (...)."""
        logits = reshape(Y_hat, (-1, Y_hat.shape[-1]))  # (tokens, num_classes)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(reshape(Y, (-1,)), logits)
        return reduce_mean(losses) if averaged else losses

    def accuracy(self, Y_hat, Y, averaged=True):
        """How often the largest logit is the class, or for each example whether it is."""
        hits = astype(astype(argmax(Y_hat, -1), Y.dtype) == Y, tf.float32)
        return reduce_mean(hits) if averaged else hits


class LinearRegression(Module):
    """y = X w + b under the squared error, with Keras's layer (book, section 3.5)."""

    def __init__(self, lr):
        super().__init__()
        self.save_hyperparameters()
        self.net = tf.keras.layers.Dense(1)

    def loss(self, Y_hat, Y):
        """Mean of (Y_hat - Y)^2 / 2."""
        return reduce_mean((Y_hat - reshape(Y, Y_hat.shape)) ** 2) / 2

    def get_w_b(self):
        """The weights (num_inputs, 1) and the bias (1,)."""
        return self.net.kernel, self.net.bias


class DataModule(core_data.DataModule):
    """Minibatches as TensorFlow tensors."""

    @library_step
    def tensor(self, array, device=None):
        return from_numpy(array, device)


class TextFile(core_data.TextFile, DataModule):
    __doc__ = core_data.TextFile.__doc__


class TimeMachine(core_data.TimeMachine, DataModule):
    __doc__ = core_data.TimeMachine.__doc__
