"""Copies of a model on several devices in MXNet, and the kvstore that adds up their gradients.

Started as a worker of several (DMLC_ROLE and the other variables of MXNet's launcher), each process runs the
whole script on devices of its own; the store is one of all workers, kept by server processes.
"""

import atexit
import copy
import itertools
import os
import sys
import threading
from functools import cache

import mxnet
import numpy as onp
from mxnet import autograd

from d2lrnn import backend
from d2lrnn.errors import WorkerError

from .ops import from_numpy, numpy, to
from .parameters import own_gradients
from .weights import own

SILENCE = 300  # seconds without an answer after which another worker is taken for dead
# Of what the store holds: in each process the same, since all run one script.
names = itertools.count()


def launched():
    """Whether this process is a worker of several."""
    return os.environ.get("DMLC_ROLE") == "worker"


@cache
def of_workers():
    """The store of all workers, for all trainings: where they meet, and from where they leave at the end."""
    atexit.register(of_workers.cache_clear)
    return mxnet.kv.create("dist_sync")


def wait_for(array):
    """Wait for what all workers must add to. MXNet itself waits for a dead one for ever."""
    timer = threading.Timer(SILENCE, end)
    timer.daemon = True
    timer.start()
    array.wait_to_read()
    timer.cancel()


def end():
    """End this process with an error: what waits is no Python, and cannot be told."""
    error = WorkerError(
        f"Worker {of_workers().rank} has had no answer for {SILENCE} seconds: one of the "
        f"{of_workers().num_workers} workers, or a server, has died. Start all of them anew, from a "
        "checkpoint: fit(..., resume=path)."
    )
    print(f"Error: {error}", file=sys.stderr, flush=True)
    os._exit(1)


class Replicas:
    """`model` on the first of `devices`, and copies of it on the others.

    Made before the optimiser is: a copy forgets it, and with it the model.
    """

    def __init__(self, model, devices):
        model._sized()
        self.devices = devices
        self.models = [model, *(copy.deepcopy(model) for _ in devices[1:])]
        for replica, device in zip(self.models, devices, strict=True):
            replica.reset_ctx(device)
        self.plain = [backend.faster(replica, replica.batch_loss) for replica in self.models]
        twins = map(backend.twin, self.models)
        self.twins = [twin or plain for twin, plain in zip(twins, self.plain, strict=True)]
        self.of_devices = None if launched() else mxnet.kv.create("device")
        self.keys = [self.new_key(gradient[0]) for gradient in self.gradients()]
        if launched():  # all begin with the weights of the first
            for array in own(model).values():
                self.store.pull(self.new_key(array), out=array)

    def take_twins(self, whether):
        """Compute the losses by the twins, where there are any, or by the plain models."""
        self.losses = self.twins if whether else self.plain

    @property
    def store(self):
        return self.of_devices or of_workers()

    def new_key(self, array):
        """The name of a new sum in the store, which begins with `array`."""
        self.store.init(key := str(next(names)), array)
        return key

    def own_part(self, shares):
        """Of the shares of a minibatch, those of the devices of this process."""
        first = self.store.rank * len(self.devices)
        return shares[first : first + len(self.devices)]

    def over_all(self, losses):
        """The losses (num_minibatches,) of an epoch, of those of the parts in this process."""
        if not launched():
            return losses
        array = from_numpy(losses, self.devices[0])
        key = self.new_key(array)
        self.store.push(key, array)
        self.store.pull(key, out=array)
        wait_for(array)
        return numpy(array)

    def gradients(self):
        """Of each parameter that is trained, the gradient on each device."""
        return list(zip(*map(own_gradients, self.models), strict=True))

    def send_weights(self):
        """Give the copies the weights of the model."""
        for copied in self.models[1:]:
            for array, source in zip(
                own(copied).values(), own(self.models[0]).values(), strict=True
            ):
                source.copyto(array)

    def loss(self, shares, arrays):
        """The loss of a minibatch on the first device, of its parts on each: l = sum_d (T_d / T) l_d."""
        parts = []
        for loss_of, share, device in zip(self.losses, shares, self.devices, strict=True):
            batch = [from_numpy(onp.ascontiguousarray(a[share.rows]), device) for a in arrays]
            parts.append(loss_of(batch) * share.weight)
        with autograd.pause():
            return sum(to(part.detach(), self.devices[0]) for part in parts), parts

    def backward(self, parts):
        """Leave the gradients of the whole minibatch on the first device."""
        autograd.backward(parts)
        for key, gradients in zip(self.keys, self.gradients(), strict=True):
            self.store.push(key, list(gradients))
            self.store.pull(key, out=gradients[0])
        if launched():
            wait_for(gradients[0])
