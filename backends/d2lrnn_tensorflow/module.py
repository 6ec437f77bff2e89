"""`Module` and `Classifier`, in TensorFlow (book, chapters 3 and 4)."""

import contextlib
from functools import partial

import tensorflow as tf

from d2lrnn import module as core
from d2lrnn.errors import UserError

from .copies import Kept
from .graph import Traced
from .ops import cpu, device_name, from_numpy, numpy, reduce_mean, reshape
from .variables import dense, distinct, has_sizes, is_held, own_variables, storage, variables

nn_Module = tf.keras.Model  # the book's name of what a model is made of


class Module(Kept, core.Module, tf.keras.Model):
    """A `tf.keras.Model` with the book's hooks (section 3.2.2).

    Keras 3 trains its own variables and those of its layers; a `tf.Variable` that is assigned to an
    attribute, as in the book, is trained here as well.

    Attributes:
        training: whether the trainer is training, or evaluating, this model; layers such as dropout
            follow it.
        path: below the model, see `draw_by_path`; Keras reads its own only for layers of several dtypes.
    """

    training = None
    path = ""
    not_copied = (*core.Module.not_copied, "_graphs", "training")

    def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
        super().__init__()
        del self.loss  # Keras's None, which would hide the method
        del self.build  # Keras's wrapper, after which no reader could put another layer inside
        self.built = True  # layers inside build themselves; Keras need not trace forward for them
        self.save_hyperparameters()

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

    @property
    def variables(self):
        """All that Keras knows of, and the `tf.Variable` attributes, which it does not."""
        return distinct(super().variables, own_variables(self))

    @property
    def weights(self):
        """As `variables`, without the states of random generators."""
        return distinct(super().weights, own_variables(self))

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
        stored, graphs = [storage(variable) for variable in self.weights], []
        device = stored[0].device if stored else None

        def run(*arrays):
            with tf.device(device), self.mode(training=False):
                tensors = core.nested(from_numpy, arrays)
                # One step is called for every token. Longer sequences come in many lengths, and a
                # graph of each would take longer to make than it saves. Nor could one make variables.
                if tensors[0].shape[1:2] != (1,) or not (graphs or has_sizes(self)):
                    return core.nested(numpy, function(self, *tensors))
                if not graphs:
                    graphs.append(self.traced(function, stored))
                return core.nested(numpy, graphs[0](*tensors))

        return run

    def traced(self, function, stored):
        """`function(self, *tensors)` as a graph, made anew when methods or variables have changed."""
        inside = (getattr(self, name, None) for name in ("rnn", "encoder", "decoder"))
        made_of = id(self), [*map(core.methods_of, (self, *inside))], [*map(id, stored)]
        graphs = vars(self).setdefault("_graphs", {})  # not an attribute, which Keras would track
        if function not in graphs or graphs[function][0] != made_of:
            graphs[function] = made_of, Traced(self, partial(function, self))
        return graphs[function][1]

    def gradients_of(self, *batch):
        with tf.device(self.device), self.mode(training=False), tf.GradientTape() as tape:
            loss = self.batch_loss(core.nested(from_numpy, batch))
        trained = {path: v for path, v in variables(self).items() if v.trainable}
        gradients = dense(tape.gradient(loss, [*trained.values()]), trained.values())
        found = {p: numpy(g) for p, g in zip(trained, gradients, strict=True) if g is not None}
        return float(loss), {p: g[0] if is_held(trained[p]) else g for p, g in found.items()}


class Classifier(core.Classifier, Module):
    """A model with the cross-entropy as its loss (book, section 4.3)."""

    def loss(self, Y_hat, Y, averaged=True):
        """Mean cross-entropy in nats of the logits `Y_hat` (..., num_classes) to the classes `Y` (...)."""
        logits = reshape(Y_hat, (-1, Y_hat.shape[-1]))  # (tokens, num_classes)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(reshape(Y, (-1,)), logits)
        return reduce_mean(losses) if averaged else losses
