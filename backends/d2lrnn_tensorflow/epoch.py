"""The examples of a training on the device, and its epochs as graphs, in TensorFlow."""

import itertools
from functools import partial

import numpy as np
import tensorflow as tf

from d2lrnn.data import windows_of

from .graph import Traced, check_draws
from .ops import from_numpy, numpy

MINIBATCHES_PER_CALL = 16  # between two calls, Ctrl-C is heard
LARGEST_COPY = 2**24  # entries of overlapping windows; gathering from copies is a little faster


class Epoch:
    """`loss_of(batch)` over the minibatches of a loader's epoch, in one graph for each batch size.

    One for any size would be a tenth slower.
    """

    def __init__(self, model, loader, loss_of):
        self.model, self.loader, self.loss_of = model, loader, loss_of
        self.examples = [Rows(array) for array in loader.arrays]
        self.graphs = {}

    def __call__(self):
        """The losses (num_minibatches,) of the loader's epoch."""
        order, size = self.loader.order(), self.loader.batch_size
        full, rest = np.split(order, [len(order) // size * size])
        full = full.reshape(-1, size)  # (num_minibatches, batch_size)
        calls = np.split(full, range(MINIBATCHES_PER_CALL, len(full), MINIBATCHES_PER_CALL))
        losses = [self.losses(rows) for rows in [*calls, rest[None]] if rows.size]
        return numpy(tf.concat(losses, 0))  # the only place where the host waits for the device

    def losses(self, rows):
        """The losses (num_minibatches,) of the examples `rows` (num_minibatches, batch_size)."""
        size = rows.shape[1]
        if size not in self.graphs:
            signature = [tf.TensorSpec((None, size), tf.int64)]
            # By itself, a method is one with those of earlier trainings: TensorFlow warns of many.
            self.graphs[size] = Traced(self.model, partial(self.each_loss), signature)
        return self.graphs[size](tf.constant(rows, tf.int64))

    def each_loss(self, rows):
        if tf.executing_eagerly():  # where map_fn would translate the reader's code by AutoGraph
            return tf.stack([self.one_loss(batch) for batch in rows])
        return tf.map_fn(self.one_loss, rows, parallel_iterations=1, fn_output_signature=tf.float32)

    def one_loss(self, rows):  # (batch_size,)
        loss = self.loss_of([examples[rows] for examples in self.examples])
        check_draws()
        return tf.reshape(tf.cast(loss, tf.float32), ())


class SharedEpoch:
    """As `Epoch`, over minibatches that are cut: `step(batch, weight)` on each device gives the loss."""

    def __init__(self, model, loader, strategy, step):
        self.model, self.strategy, self.step = model, strategy, step
        self.examples = []
        for device in strategy.extended.worker_devices:
            with tf.device(device):
                self.examples.append([Rows(array) for array in loader.arrays])
        self.graphs = {}

    def __call__(self, minibatches):
        """The losses (num_minibatches,) of minibatches, each a list of shares."""
        losses = []
        for sizes, alike in itertools.groupby(minibatches, lambda m: tuple(len(s.rows) for s in m)):
            alike = list(alike)
            for i in range(0, len(alike), MINIBATCHES_PER_CALL):
                few = alike[i : i + MINIBATCHES_PER_CALL]
                rows = [np.concatenate([s.rows for s in shares]) for shares in few]
                weights = [[s.weight for s in shares] for shares in few]
                rows, weights = tf.constant(rows, tf.int64), tf.constant(weights, tf.float32)
                losses.append(self.graph(sizes)(rows, weights))
        return numpy(tf.concat(losses, 0))

    def graph(self, sizes):
        if sizes not in self.graphs:
            signature = [
                tf.TensorSpec((None, sum(sizes)), tf.int64),
                tf.TensorSpec((None, len(sizes)), tf.float32),
            ]

            def one(rows, weights):
                losses = self.strategy.run(lambda: self.step(*self.share(sizes, rows, weights)))
                check_draws()
                return tf.reshape(self.strategy.experimental_local_results(losses)[0], ())

            def each(rows, weights):
                if tf.executing_eagerly():
                    return tf.stack([one(*pair) for pair in zip(rows, weights, strict=True)])
                # Not map_fn, in which a strategy refuses to run.
                losses = tf.TensorArray(tf.float32, tf.shape(rows)[0])
                _, losses = tf.while_loop(
                    lambda i, _: i < tf.shape(rows)[0],
                    lambda i, losses: (i + 1, losses.write(i, one(rows[i], weights[i]))),
                    (0, losses),
                    parallel_iterations=1,
                )
                return losses.stack()

            self.graphs[sizes] = Traced(self.model, partial(each), signature)  # see `Epoch`
        return self.graphs[sizes]

    def share(self, sizes, rows, weights):
        """On a device: its part of a minibatch, and what it weighs."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replica = int(tf.get_static_value(replica))
        own = tf.split(rows, sizes)[replica]
        examples = self.examples[replica % len(self.examples)]
        return [array[own] for array in examples], weights[replica]


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
