"""`Trainer` in TensorFlow (book, sections 3.2.4 and 9.5.3)."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from d2lrnn import trainer as core
from d2lrnn.data import Minibatches, windows_of

from .module import dense, move
from .ops import cpu, from_numpy, gpu, num_gpus, numpy
from .weights import is_built

MINIBATCHES_PER_CALL = 16  # of a compiled epoch; between two calls, Ctrl-C is heard
LARGEST_COPY = 2**24  # entries of overlapping windows; gathering from copies is a little faster


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    def available_gpus(self):
        return [gpu(i) for i in range(num_gpus())]

    def prepare_model(self, model):
        self.device = self.gpus[0] if self.gpus else cpu()
        self.model = model
        model.trainer = self
        self._graphs = {}
        with self.device:
            self._build(model)
            move(model, self.device)
            self.optim = model.configure_optimizers()
            self._build_optimizer()

    def _build(self, model):
        """Give layers that have seen no input yet their sizes, by the first example."""
        loader = self.train_dataloader
        if isinstance(loader, Minibatches) and not is_built(model):
            batch = self.prepare_batch([from_numpy(array[:1]) for array in loader.arrays])
            model(*batch[:-1])

    def _build_optimizer(self):
        keras = isinstance(self.optim, tf.keras.optimizers.Optimizer)  # or one of the reader's
        if keras and not self.optim.built and is_built(self.model):
            self.optim.build(self.model.trainable_variables)

    def prepare_batch(self, batch):
        return batch

    def train_epoch(self):
        """Train over every minibatch once.

        In short::

            for each minibatch:  # in one graph, where the library owns the step
                loss, gradients
                clip the gradients by their global norm
                update the parameters
            read all losses
        """
        self.model.training = True
        try:
            with self.device:
                losses = self._compiled_epoch(train=True)
                if losses is None:
                    step = self.model.training_step
                    batches = self.minibatches(train=True)
                    losses = self.to_host([self.update(step, batch) for batch in batches])
        finally:
            self.model.training = False
        return losses

    def validation_epoch(self):
        self.model.training = False
        with self.device:
            losses = self._compiled_epoch(train=False)
            if losses is None:
                steps = map(self.model.validation_step, self.minibatches(train=False))
                losses = self.to_host([loss for loss in steps if loss is not None])
        return losses

    def update(self, step, batch):
        """Train on one minibatch: returns the loss that `step(batch)` computes."""
        with tf.GradientTape() as tape:
            loss = step(batch)
        variables = self.model.trainable_variables
        grads = dense(tape.gradient(loss, variables))
        if self.gradient_clip_val > 0:
            clip = self.clip_gradients
            if not tf.executing_eagerly():
                clip = tf.function(clip)  # translates a reader's `if norm > grad_clip_val:`
            grads = clip(self.gradient_clip_val, grads)
        self.optim.apply_gradients(zip(grads, variables, strict=True))
        return loss

    def clip_gradients(self, grad_clip_val, grads):
        """The gradients g, scaled by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        return tf.clip_by_global_norm(grads, grad_clip_val)[0]

    # The compiled epoch ----------------------------------------------------------------------------

    def _compiled_epoch(self, train):
        """The losses of an epoch run as a graph, or None where it cannot be one.

        It cannot where the reader replaced the step or the loader, or where a reader's `forward`, `loss`
        or `clip_gradients` does what only works eagerly, such as iterating over a tensor.
        """
        step = "training_step" if train else "validation_step"
        loader = self.train_dataloader if train else self.val_dataloader
        if not self.library_owns(self.model, step, loader):
            return None
        if train not in self._graphs:
            self._graphs[train] = self._trace_epoch(loader, train)
        graphs = self._graphs[train]
        if graphs is None:
            return None
        order, size = loader.order(), loader.batch_size
        full, rest = np.split(order, [len(order) // size * size])
        full = full.reshape(-1, size)  # (num_minibatches, batch_size)
        calls = np.split(full, range(MINIBATCHES_PER_CALL, len(full), MINIBATCHES_PER_CALL))
        calls = [rows for rows in [*calls, rest[None]] if rows.size]
        losses = [graphs[rows.shape[1]](tf.constant(rows, tf.int64)) for rows in calls]
        losses = numpy(tf.concat(losses, 0))  # the only place where the host waits for the device
        self.replay(losses.tolist(), train)
        return losses

    def _trace_epoch(self, loader, train):
        """By batch size, a graph from rows (num_minibatches, batch_size) to losses (num_minibatches,)."""
        arrays = [Rows(array) for array in loader.arrays]

        def one_loss(rows):  # (batch_size,)
            batch = self.prepare_batch([array[rows] for array in arrays])
            step = self.model.batch_loss
            loss = self.update(step, batch) if train else step(batch)
            return tf.reshape(tf.cast(loss, tf.float32), ())

        def losses(rows):
            return tf.map_fn(one_loss, rows, parallel_iterations=1, fn_output_signature=tf.float32)

        size, num_examples = loader.batch_size, loader.num_examples
        sizes = [size] * (num_examples >= size) + [num_examples % size] * (num_examples % size > 0)
        graph = tf.function(losses, autograph=False)
        try:
            return {
                size: graph.get_concrete_function(tf.TensorSpec((None, size), tf.int64))
                for size in sizes
            }
        except Exception:  # the eager loop will say what is wrong, if anything is
            return None

    def record(self, key, value, train):
        if not tf.executing_eagerly():
            raise TypeError("A graph plots nothing: plot in the step, which is then run eagerly.")
        super().record(key, value, train)

    # The state -------------------------------------------------------------------------------------

    def to_host(self, scalars):
        scalars = [tf.reshape(tf.cast(scalar, tf.float32), ()) for scalar in scalars]
        return numpy(tf.stack(scalars)) if scalars else np.empty(0)

    def optimizer_state(self):
        return {str(index): numpy(v) for index, v in self._optimizer_memory().items()}

    def set_optimizer_state(self, state):
        self._build_optimizer()
        memory = self._optimizer_memory()
        for index, array in state.items():
            memory[int(index)].assign(array)

    def _optimizer_memory(self):
        """What the optimiser remembers; of plain SGD, which only counts its steps, nothing."""
        variables = getattr(self.optim, "variables", [])
        if [variable.name for variable in variables] == ["iteration", "learning_rate"]:
            return {}
        return {i: v for i, v in enumerate(variables) if v.name != "learning_rate"}


class Rows:
    """The rows of an array, on the device; overlapping windows, if large, as the sequence they view."""

    def __init__(self, array):
        self.windows = windows_of(array) if array.size > LARGEST_COPY else None
        self.array = from_numpy(array if self.windows is None else self.windows.sequence)

    def __getitem__(self, rows):
        if self.windows is not None:
            steps = tf.range(self.windows.width, dtype=rows.dtype)
            rows = self.windows.hop * rows[:, None] + steps  # (batch_size, num_steps)
        return tf.gather(self.array, rows)
