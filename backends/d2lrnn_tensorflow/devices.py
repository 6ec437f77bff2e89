"""Training on several devices in TensorFlow, by one of its strategies (`strategy.py`).

The variables of a model are made anew as mirrored ones, which have a copy on each device, and after the
training as plain ones. In a step, each device computes the gradients of its share (`strategy.run`); they are
added up (`all_reduce`) and applied to all copies. The epoch is a graph, as on one device.
"""

import contextlib
import itertools
import re
from functools import partial

import numpy as np
import tensorflow as tf

from d2lrnn import trainer as core
from d2lrnn.errors import WorkerError

from . import strategy
from .epoch import MINIBATCHES_PER_CALL, Epoch, of_any_length
from .graph import Traced, check_draws
from .ops import cpu
from .variables import move


class OnDevices(core.Trainer):
    """What a trainer does about its devices; on one, `strategy` is None."""

    on_many = True

    def fit(self, model, data, *, resume=None, checkpoint=None):
        with self._on_one_afterwards(model):
            super().fit(model, data, resume=resume, checkpoint=checkpoint)

    fit.__doc__ = core.Trainer.fit.__doc__

    def validate(self, model, data):
        with self._on_one_afterwards(model):
            return super().validate(model, data)

    validate.__doc__ = core.Trainer.validate.__doc__

    @contextlib.contextmanager
    def _on_one_afterwards(self, model):
        try:
            yield
        except tf.errors.UnavailableError as error:  # TensorFlow's, of a task that does not answer
            found = re.search(r"/task:(\d+)", str(error))
            which = f"Worker {found[1]}" if found else "Another worker"
            raise WorkerError(
                f"{which} has died, and so the training ends. Start all of them anew, from a checkpoint: "
                "fit(..., resume=path)."
            ) from error
        finally:
            if self.strategy is not None:
                move(model, self.first_device)
                self._epochs = {}

    def make_devices(self):
        self.rank, number = strategy.task()
        if number > 1:
            strategy.of_workers()  # before anything is computed
        if self.devices > 1:
            strategy.start(self.devices)

    def count_shares(self):
        self.strategy = strategy.strategy_of(self.gpus, self.devices)
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def first_device(self):
        return self.gpus[0] if self.gpus else cpu()

    def scope(self):
        """Where the variables of a training are made, and its epochs run."""
        return self.first_device if self.strategy is None else self.strategy.scope()

    def shared_epoch(self, loader, train):
        """An epoch over minibatches that are cut over the devices."""
        step = self.update_share if train else self.evaluate_share
        return SharedEpoch(self.model, loader, self.strategy, step, self.shares)

    def update_share(self, batch, weight):
        """`update`, on one of several devices: of its share, with the gradients of all."""
        loss, grads = self.gradients(lambda b: self.batch_loss(b) * weight, batch)
        self.apply([None if g is None else strategy.summed(g) for g in grads])
        return strategy.summed(loss)

    def evaluate_share(self, batch, weight):
        with self.model.mode(training=False):
            return strategy.summed(self.batch_loss(batch) * weight)


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
