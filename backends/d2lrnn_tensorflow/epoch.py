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


class SharedEpoch(Epoch):
    """As `Epoch`, over minibatches that are cut: `step(batch, weight)` on each device gives the loss.

    `shares(block)` gives each minibatch of a block as a list of shares.
    """

    def __init__(self, model, loader, strategy, step, shares):
        self.strategy, self.step, self.shares = strategy, step, shares
        super().__init__(model, loader, None)

    def examples(self, block):
        """The arrays of a block, on each device."""
        found = []
        for device in self.strategy.extended.worker_devices:
            with tf.device(device):
                found += super().examples(block)
        return found

    def of_block(self, block, examples):
        losses, minibatches = [], self.shares(block)
        for sizes, alike in itertools.groupby(minibatches, lambda m: tuple(len(s.rows) for s in m)):
            alike = list(alike)
            for i in range(0, len(alike), MINIBATCHES_PER_CALL):
                few = alike[i : i + MINIBATCHES_PER_CALL]
                rows = [np.concatenate([s.rows for s in shares]) for shares in few]
                weights = [[s.weight for s in shares] for shares in few]
                rows, weights = tf.constant(rows, tf.int64), tf.constant(weights, tf.float32)
                losses.append(self.graph(sizes, examples)(rows, weights, *examples))
        return losses

    def graph(self, sizes, examples):
        if sizes not in self.graphs:
            signature = [
                tf.TensorSpec((None, sum(sizes)), tf.int64),
                tf.TensorSpec((None, len(sizes)), tf.float32),
                *map(of_any_length, examples),
            ]

            def one(rows, weights, examples):
                share = partial(self.share, sizes, rows, weights, examples)
                losses = self.strategy.run(lambda: self.step(*share()))
                check_draws()
                return tf.reshape(self.strategy.experimental_local_results(losses)[0], ())

            def each(rows, weights, *examples):
                if tf.executing_eagerly():
                    pairs = zip(rows, weights, strict=True)
                    return tf.stack([one(*pair, examples) for pair in pairs])
                # Not map_fn, in which a strategy refuses to run.
                losses = tf.TensorArray(tf.float32, tf.shape(rows)[0])
                _, losses = tf.while_loop(
                    lambda i, _: i < tf.shape(rows)[0],
                    lambda i, losses: (i + 1, losses.write(i, one(rows[i], weights[i], examples))),
                    (0, losses),
                    parallel_iterations=1,
                )
                return losses.stack()

            self.graphs[sizes] = Traced(self.model, partial(each), signature)  # see `Epoch`
        return self.graphs[sizes]

    def share(self, sizes, rows, weights, examples):
        """On a device: its part of a minibatch, and what it weighs."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        replica = int(tf.get_static_value(replica))
        own, number = tf.split(rows, sizes)[replica], len(self.rows_of)
        first = replica * number % len(examples)
        arrays = zip(self.rows_of, examples[first : first + number], strict=True)
        return [rows_of.take(values, own) for rows_of, values in arrays], weights[replica]


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
