"""Training on several devices in TensorFlow: MirroredStrategy, or MultiWorkerMirroredStrategy with TF_CONFIG.

The variables of a model are made anew as mirrored ones, which have a copy on each device, and after the
training as plain ones. In a step, each device computes the gradients of its share (`strategy.run`); they are
added up (`strategy.reduce`) and applied to all copies. The epoch is a graph, as on one device.
"""

import contextlib
import functools
import json
import os
import re

import tensorflow as tf

from d2lrnn import trainer as core
from d2lrnn.errors import ArgumentError, WorkerError

from .ops import cpu
from .variables import move, remake


def start(devices):
    """Make so many CPU devices, which TensorFlow does only before it begins to compute."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    configurations = [tf.config.LogicalDeviceConfiguration()] * devices
    with contextlib.suppress(RuntimeError):  # it has begun: are there enough?
        tf.config.set_logical_device_configuration(cpu, configurations)
    found = len(tf.config.list_logical_devices("CPU"))
    if found < devices:
        raise ArgumentError(
            f"devices={devices}: TensorFlow has begun to compute on {found} CPU, and makes no more of it. "
            "Make this Trainer, or d2l.Trainer(1, devices=...), before anything is computed."
        )


def task():
    """What TF_CONFIG tells: which process this is, and how many there are."""
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    cluster, own = config.get("cluster", {}), config.get("task", {})
    number = sum(map(len, cluster.values()))
    after_chief = "chief" in cluster and own.get("type") != "chief"
    return own.get("index", 0) + after_chief, max(number, 1)


of_workers = functools.cache(tf.distribute.MultiWorkerMirroredStrategy)  # one a process


def strategy_of(gpus, devices):
    """How the devices of all processes that train together do so; None for one."""
    if task()[1] > 1:
        return of_workers()
    number, kind = (len(gpus), "GPU") if gpus else (devices, "CPU")
    if number == 1:
        return None
    # On CPUs its own choice, collectives, gets confused in a loop of a graph.
    adding = None if gpus else tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(number)], adding)


def spread(model, strategy):
    """Make the variables of `model` anew, with a copy on each device.

    What is not trained, such as the state of a random generator, is each device's own.
    """

    def make(stored, trainable, name):
        # What a device assigns: to the copies of a weight the mean, of values that are the same.
        options = {"aggregation": tf.VariableAggregation.MEAN}
        if not trainable:
            options["synchronization"] = tf.VariableSynchronization.ON_READ
        if not stored.dtype.is_floating:
            options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
        with strategy.scope():
            return tf.Variable(stored.numpy(), trainable=trainable, name=name, **options)

    remake(model, make, is_spread)


def is_spread(variable):
    return isinstance(variable, tf.distribute.DistributedValues)


def copies(variable):
    """Those of `variable` on the devices of this process."""
    return variable.values if is_spread(variable) else [variable]


def summed(value):
    """On a device: the sum of `value` over all of them."""
    return tf.distribute.get_replica_context().all_reduce("SUM", value)


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
        self.rank, number = task()
        if number > 1:
            of_workers()  # before anything is computed
        if self.devices > 1:
            start(self.devices)

    def count_shares(self):
        self.strategy = strategy_of(self.gpus, self.devices)
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def first_device(self):
        return self.gpus[0] if self.gpus else cpu()
