"""Which devices train together in TensorFlow, and a model's variables and random streams on each of them.

MirroredStrategy goes over the devices of this process, MultiWorkerMirroredStrategy over those of all, where
TF_CONFIG tells of others.
"""

import contextlib
import functools
import json
import os
import random

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.context import context  # tf.random's stream can be read nowhere else

from d2lrnn.errors import ArgumentError

from .ops import numpy
from .variables import remake, storage


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


@contextlib.contextmanager
def seeded(model, seed, epoch):
    """Draw from `seed` and `epoch` inside the block, on each device other numbers; leave all as it was."""
    draw = np.random.RandomState([seed, epoch]).randint
    weights = {id(variable) for variable in model.weights}
    states = [v for v in model.variables if id(v) not in weights]  # of Keras's generators
    before = [numpy(state) for state in states]
    stream = vars(context())  # TensorFlow's own, of `tf.random`
    kept = {name: stream.get(name) for name in ("_seed", "_rng")}
    for state in states:
        state.assign([draw(2**31), 0])
        for i, own in enumerate(copies(storage(state))[1:], 1):
            own.assign([np.random.RandomState([seed, epoch, i]).randint(2**31), 0])
    stream |= {"_seed": (own := draw(2**31)), "_rng": random.Random(own)}
    try:
        yield
    finally:
        stream |= kept
        for state, array in zip(states, before, strict=True):
            state.assign(array)


def summed(value):
    """On a device: the sum of `value` over all of them."""
    return tf.distribute.get_replica_context().all_reduce("SUM", value)
