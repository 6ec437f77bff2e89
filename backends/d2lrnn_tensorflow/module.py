"""`Module`, `Classifier`, `LinearRegression` and the data modules, in TensorFlow (book, chapters 3 and 4)."""

from __future__ import annotations

import contextlib
import warnings
from functools import partial

import tensorflow as tf

from d2lrnn import data as core_data
from d2lrnn import module as core
from d2lrnn.errors import ArgumentError, UserError

from .ops import argmax, astype, cpu, device_name, exp, from_numpy, numpy, reduce_mean, reshape
from .weights import distinct, is_held, layers, own_variables, variables

# What TensorFlow and Keras raise where a function reads a tensor's value, or iterates over a tensor.
GRAPH_FAULTS = (TypeError, ValueError, AttributeError, NotImplementedError)


class Module(core.Module, tf.keras.Model):
    """A `tf.keras.Model` with the book's hooks (section 3.2.2).

    Keras 3 trains its own variables and those of its layers; a `tf.Variable` that is assigned to an
    attribute, as in the book, is trained here as well.

    Attributes:
        training: whether the trainer is training, or validating, this model; layers such as dropout
            follow it.
        path: where a layer is below the model, see `draw_by_path`. (Keras's own property of this name
            is only read for layers of several dtypes.)
    """

    training = None
    path = ""

    def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
        super().__init__()
        del self.loss  # Keras's None, which would hide the method
        # Keras's wrapper of `build` would forbid a reader to put another layer inside afterwards.
        del self.build
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

    def batch_loss(self, batch):
        return self.loss(self(*batch[:-1]), batch[-1])

    def training_step(self, batch):
        loss = self.batch_loss(batch)
        self.plot_loss(loss, train=True)
        return loss

    def validation_step(self, batch):
        loss = self.batch_loss(batch)
        self.plot_loss(loss, train=False)
        return loss

    def plot_loss(self, loss, train):
        """Plot a mean loss as the model's metric: itself, or the perplexity."""
        self.plot(self.metric, exp(loss) if self.metric == "ppl" else loss, train)

    def configure_optimizers(self):
        lr = float(self.lr) if isinstance(self.lr, int) else self.lr  # Keras refuses lr=1
        return tf.keras.optimizers.SGD(lr)

    @property
    def variables(self):
        """All that Keras knows of, and the `tf.Variable` attributes, which it does not."""
        return distinct(super().variables + [v for _, v in own_variables(self)])

    @property
    def weights(self):
        """As `variables`, without the states of random generators."""
        return distinct(super().weights + [v for _, v in own_variables(self)])

    @property
    def device(self):
        """The name of the device where the variables are, such as 'CPU:0'."""
        return device_name(next((storage(v).device for v in self.weights), cpu()))

    def is_on(self, device):
        return device_name(device) == self.device

    @contextlib.contextmanager
    def mode(self, training):
        """In training mode, or not, while it lasts."""
        before, self.training = self.training, training
        try:
            yield
        finally:
            self.training = before

    def evaluator(self, function):
        def run(*arrays):
            with tf.device(self.device), self.mode(training=False):
                tensors = to_tensors(arrays)
                # One step is called for every token. Longer sequences come in many lengths, and a
                # graph of each would take longer to make than it saves.
                one_step = tensors[0].shape[1:2] == (1,)
                call = self.traced(function) if one_step else partial(function, self)
                return to_numpy(call(*tensors))

        return run

    def traced(self, function):
        """`function(self, *tensors)` as a graph, made anew when methods or variables have changed."""
        methods = core.methods_of(self), core.methods_of(getattr(self, "rnn", None))
        made_of = id(self), methods, [id(storage(variable)) for variable in self.weights]
        graphs = vars(self).setdefault("_graphs", {})  # not an attribute, which Keras would track
        if function not in graphs or graphs[function][0] != made_of:
            graphs[function] = made_of, Traced(self, partial(function, self))
        return graphs[function][1]

    def gradients_of(self, *batch):
        with tf.device(self.device), tf.GradientTape() as tape:
            loss = self.batch_loss(to_tensors(batch))
        trained = {path: v for path, v in variables(self).items() if v.trainable}
        gradients = dense(tape.gradient(loss, [*trained.values()]), trained.values())
        found = {p: numpy(g) for p, g in zip(trained, gradients, strict=True) if g is not None}
        return float(loss), {p: g[0] if is_held(trained[p]) else g for p, g in found.items()}


class Traced:
    """A function as a graph; the function itself, with a warning, if TensorFlow can make none of it."""

    def __init__(self, model, function):
        self.model, self.function = model, function
        self.call = tf.function(function, autograph=False)

    def __call__(self, *args):
        try:
            return self.call(*args)
        except GRAPH_FAULTS as fault:
            if self.call is self.function or isinstance(fault, UserError):
                raise
            warn_of(self.model, fault)
            self.call = self.function
            return self.function(*args)


def warn_of(model, fault):
    """Say that TensorFlow can make no graph of what a reader wrote, and why."""
    warnings.warn(
        f"TensorFlow can make no graph of {type(model).__name__}, which is run operation by operation "
        f"instead, more slowly. {type(fault).__name__}: {fault}",
        stacklevel=3,
    )


def to_tensors(arrays):
    """Arrays, nested or None, as tensors."""
    return tf.nest.map_structure(lambda a: None if a is None else from_numpy(a), arrays)


def to_numpy(tensors):
    """Tensors, nested or None, as NumPy arrays."""
    return tf.nest.map_structure(lambda t: None if t is None else numpy(t), tensors)


def dense(gradients, variables):
    """The gradients as tensors, those of rows that are held at zero left out.

    TensorFlow gives the gradient of picked rows as a list of rows and indices. A row that was picked
    twice stands there twice, so the list has another norm than the gradient.
    """
    pairs = zip(gradients, variables, strict=True)
    pairs = [(None if g is None else tf.convert_to_tensor(g), v) for g, v in pairs]
    return [g * [[1.0], [0.0]] if is_held(v) and g is not None else g for g, v in pairs]


def storage(variable):
    """The `tf.Variable` that holds the numbers of a variable, Keras's or TensorFlow's own."""
    return variable if isinstance(variable, tf.Variable) else variable.value


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
        for _, layer in layers(model):
            for attribute, value in list(vars(layer).items()):
                if elsewhere(value):
                    setattr(layer, attribute, moved(value))
                elif isinstance(value, list) and any(map(elsewhere, value)):
                    value[:] = [moved(item) if elsewhere(item) else item for item in value]


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

    def tensor(self, array, device=None):
        return from_numpy(array, device)


class TextFile(core_data.TextFile, DataModule):
    __doc__ = core_data.TextFile.__doc__


class TimeMachine(core_data.TimeMachine, DataModule):
    __doc__ = core_data.TimeMachine.__doc__
