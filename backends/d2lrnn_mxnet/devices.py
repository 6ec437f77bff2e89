"""Training on several devices in MXNet: a copy of the model on each, and gradients added up by a kvstore.

The first device holds the model itself. There the gradients are added up, clipped and applied, as on one
device, by the model's own optimiser (in gluon's terms, `update_on_kvstore=False`), and from there the new
weights go to the copies. MXNet's engine runs operations of different devices at the same time.
"""

import copy

import mxnet
import numpy as onp
from mxnet import autograd

from d2lrnn import backend

from .ops import from_numpy, to
from .weights import own


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
        self.losses = [backend.twin(replica) or replica.batch_loss for replica in self.models]
        self.store = mxnet.kv.create("device")
        for key, gradient in enumerate(self.gradients()):
            self.store.init(key, gradient[0])

    def gradients(self):
        """Of each parameter that is trained, the gradient on each device."""
        of_each = []
        for model in self.models:
            params = model.parameters()
            arrays = params if isinstance(params, list) else [p.data() for p in params.values()]
            of_each.append([array.grad for array in arrays])
        return list(zip(*of_each, strict=True))

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
        for key, gradients in enumerate(self.gradients()):
            self.store.push(key, list(gradients))
            self.store.pull(key, out=gradients[0])
