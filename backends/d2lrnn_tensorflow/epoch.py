"""The examples of a training on the device, and its epochs as graphs, in TensorFlow."""

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

    One for any size would be a tenth slower. Examples of one block stay on the device.
    """

    def __init__(self, model, loader, loss_of):
        self.model, self.loader, self.loss_of = model, loader, loss_of
        self.rows_of = [Rows(array) for array in loader.arrays]
        self.kept = self.examples(loader) if loader.num_blocks == 1 else None
        self.graphs = {}

    def examples(self, block):
        return [rows.put(array) for rows, array in zip(self.rows_of, block.arrays, strict=True)]

    def __call__(self):
        """The losses (num_minibatches,) of the loader's epoch."""
        losses = []
        for block in self.loader.blocks():
            losses += self.of_block(block, self.kept or self.examples(block))
        return numpy(tf.concat(losses, 0))  # the only place where the host waits for the device

    def of_block(self, block, examples):
        """The losses of the minibatches of a block, whose examples are on the device, call by call."""
        order, size = block.order(), block.batch_size
        full, rest = np.split(order, [len(order) // size * size])
        full = full.reshape(-1, size)  # (num_minibatches, batch_size)
        calls = np.split(full, range(MINIBATCHES_PER_CALL, len(full), MINIBATCHES_PER_CALL))
        return [self.losses(rows, examples) for rows in [*calls, rest[None]] if rows.size]

    def losses(self, rows, examples):
        """The losses (num_minibatches,) of the examples `rows` (num_minibatches, batch_size)."""
        size = rows.shape[1]
        if size not in self.graphs:
            signature = [tf.TensorSpec((None, size), tf.int64), *map(of_any_length, examples)]
            # By itself, a method is one with those of earlier trainings: TensorFlow warns of many.
            self.graphs[size] = Traced(self.model, partial(self.each_loss), signature)
        return self.graphs[size](tf.constant(rows, tf.int64), *examples)

    def each_loss(self, rows, *examples):
        one = partial(self.one_loss, examples)
        if tf.executing_eagerly():  # where map_fn would translate the reader's code by AutoGraph
            return tf.stack([one(batch) for batch in rows])
        return tf.map_fn(one, rows, parallel_iterations=1, fn_output_signature=tf.float32)

    def one_loss(self, examples, rows):  # (batch_size,)
        loss = self.loss_of([r.take(x, rows) for r, x in zip(self.rows_of, examples, strict=True)])
        check_draws()
        return tf.reshape(tf.cast(loss, tf.float32), ())


class Rows:
    """How an array is put on the device, and rows taken there; large overlapping windows as their text."""

    def __init__(self, array):
        self.windows = windows_of(array) if array.size > LARGEST_COPY else None

    def put(self, array):
        """`array`, or a block of it, on the device."""
        return from_numpy(array if self.windows is None else windows_of(array).sequence)

    def take(self, values, rows):
        if self.windows is not None:
            steps = tf.range(self.windows.width, dtype=rows.dtype)
            rows = self.windows.hop * rows[:, None] + steps  # (batch_size, num_steps)
        return tf.gather(values, rows)


def of_any_length(values):
    return tf.TensorSpec((None, *values.shape[1:]), values.dtype)
