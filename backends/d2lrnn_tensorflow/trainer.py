"""`Trainer` in TensorFlow (book, sections 3.2.4 and 9.5.3)."""

import numpy as np
import tensorflow as tf

from d2lrnn import trainer as core
from d2lrnn.data import Minibatches
from d2lrnn.module import is_library_code, nested
from d2lrnn.optimizers import numbers_of

from . import devices, optimizers, strategy
from .epoch import Epoch
from .ops import from_numpy, numpy, to
from .variables import dense, has_sizes, move


class Trainer(devices.OnDevices):
    __doc__ = core.Trainer.__doc__
    compiles = True

    def prepare_model(self, model):
        self.device = self.first_device
        self.model = model
        model.trainer = self
        self._epochs = {}
        strategy.context().clear_kernel_cache()  # which holds the states of streams, for seeded_epoch
        loader = self.train_dataloader
        with self.device:
            # Sizes that are not known follow from an example.
            if isinstance(loader, Minibatches) and not has_sizes(model):
                model(*[from_numpy(array[:1]) for array in loader.arrays[:-1]])
            move(model, self.device)
        if self.strategy is not None:
            strategy.spread(model, self.strategy)
        with self.scope():
            self.optim = model.configure_optimizers()
            optimizers.build(self)

    def prepare_batch(self, batch):
        def put(x):
            return to(x, self.device) if isinstance(x, tf.Tensor | np.ndarray) else x

        return nested(put, batch)

    def update(self, loss_of, batch):
        with self.device:
            loss, grads = self.gradients(loss_of, batch)
            self.apply(grads)
        return loss

    def gradients(self, loss_of, batch):
        """The loss of a minibatch, and its gradients by the variables that are trained."""
        with self.model.mode(training=True), tf.GradientTape() as tape:
            loss = loss_of(batch)
        variables = self.model.trainable_variables
        return loss, dense(tape.gradient(loss, variables), variables)

    def apply(self, grads):
        if self.gradient_clip_val > 0:
            clip = self.clip_gradients
            if not (tf.executing_eagerly() or is_library_code(clip)):
                clip = tf.function(clip)  # translates a reader's `if norm > grad_clip_val:`
            grads = clip(self.gradient_clip_val, grads)
        if self.strategy is not None and isinstance(self.optim, tf.keras.optimizers.Optimizer):
            # Keras's adds up what it is given on all devices.
            grads = [None if g is None else g / self.num_shares for g in grads]
        self.optim.apply_gradients(zip(grads, self.model.trainable_variables, strict=True))

    def evaluate(self, loss_of, batch):
        with self.device, self.model.mode(training=False):
            return loss_of(batch)

    def own_epoch(self, train):
        # What is no variable is a constant of the graph: changed by hand, it makes another.
        settings = id(self.optim), self.gradient_clip_val, numbers_of(self.optim)
        made_of = train and str(settings)
        if made_of not in self._epochs:
            self._epochs[made_of] = self._epoch_of(train)
        with self.scope():
            return self._epochs[made_of]()

    def _epoch_of(self, train):
        loader = self.train_dataloader if train else self.val_dataloader
        if self.strategy is not None:
            return self.shared_epoch(loader, train)
        optimizers.build(self)
        run = self.update if train else self.evaluate
        return Epoch(
            self.model, loader, lambda batch: run(self.batch_loss, self.prepare_batch(batch))
        )

    def record(self, key, value, train):
        if not tf.executing_eagerly():
            raise TypeError("a graph plots nothing; plot in training_step instead.")
        is_variable = isinstance(value, tf.Variable | tf.keras.Variable)
        # As it is now: it is read at the end of the epoch.
        super().record(key, tf.convert_to_tensor(value) if is_variable else value, train)

    def clip_gradients(self, grad_clip_val, grads):
        """The gradients g, scaled by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        # tf.clip_by_global_norm makes NaN of gradients whose norm is too large to be told.
        scale = tf.minimum(1.0, grad_clip_val / tf.linalg.global_norm(grads))
        return [None if g is None else scale * g for g in grads]

    def seeded_epoch(self, seed, epoch):
        return strategy.seeded(self.model, seed, epoch)

    def to_host(self, scalars):
        scalars = [tf.reshape(tf.cast(scalar, tf.float64), ()) for scalar in scalars]
        return numpy(tf.stack(scalars)) if scalars else np.empty(0)
