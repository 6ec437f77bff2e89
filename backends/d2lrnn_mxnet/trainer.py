"""`Trainer` in MXNet (book, sections 3.2.4 and 9.5.3)."""

import contextlib
import threading
from functools import cache

import mxnet
import numpy as onp
from mxnet import autograd, gluon, np

from d2lrnn import trainer as core
from d2lrnn.module import nested

from . import devices
from .ops import concat, cpu, numpy, reshape, stack, to
from .parameters import own_gradients
from .weights import assign, own

drawing = threading.RLock()  # MXNet's global stream is one for all threads


class Trainer(devices.OnDevices):
    __doc__ = core.Trainer.__doc__
    gradients_of = staticmethod(own_gradients)

    def prepare_model(self, model):
        own_devices = self.gpus or [cpu(i) for i in range(self.devices)]
        self.device = own_devices[0]
        model.trainer = self
        model.reset_ctx(self.device)
        self.model = model
        self.make_replicas(model, own_devices)
        self.optim = model.configure_optimizers()

    def prepare_batch(self, batch):
        return nested(lambda x: to(x, self.device) if isinstance(x, np.ndarray) else x, batch)

    def update(self, loss_of, batch):
        with autograd.record():
            loss = loss_of(batch)
        loss.backward()
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        self.optim.step(1)  # the loss is a mean already
        return self.behind(loss.detach())

    def own_epoch(self, train):
        """As the core's. The model keeps its arrays meanwhile, so their gradients are looked for once."""
        self.gradients_of = cache(own_gradients)
        try:
            return self.finite_epoch(train)
        finally:
            del self.gradients_of

    def finite_epoch(self, train):
        """By the twin or, where its numbers leave float32, once more from the start, by the plain model.

        So the host need not wait for each loss before the gradients are asked for.
        """
        if not self.has_twin:
            return super().own_epoch(train)
        weights = own(self.model) if train else {}
        before = {path: array.copy() for path, array in weights.items()}
        state = self.optimizer_state() if train else {}
        losses = super().own_epoch(train)
        sums = self.to_host([(0 * array).sum() for array in weights.values()])
        if onp.isfinite(losses).all() and not sums.any():  # of NaN and infinity
            return losses
        if train:
            assign(self.model, before)
            self.optim = self.model.configure_optimizers()
            self.set_optimizer_state(state)
        twin, self.batch_loss = self.batch_loss, self.model.batch_loss
        try:
            return super().own_epoch(train)
        finally:
            self.batch_loss = twin

    def evaluate(self, loss_of, batch):
        return self.behind(loss_of(batch))

    def clip_gradients(self, grad_clip_val, model):
        """Scale the gradients g by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        gradients = self.gradients_of(model)
        everything = concat([reshape(g, -1) for g in gradients])
        # np.linalg.norm adds up naively: it loses digits of long vectors.
        norm = np.sqrt(np.dot(everything, everything))
        scale = np.minimum(1, grad_clip_val / norm)
        for g in gradients:
            g *= scale

    @contextlib.contextmanager
    def seeded_epoch(self, seed, epoch):
        """MXNet's stream can be seeded, but not be put back: afterwards, what came next seeds it."""
        with drawing:
            after = int(np.random.randint(2**31 - 1))
            mxnet.random.seed(onp.random.RandomState([seed, epoch]).randint(2**31))
            try:
                yield
            finally:
                mxnet.random.seed(after)

    def record(self, key, value, train):
        # As it is now, without what it was made of: it is read at the end of the epoch.
        value = value.data() if isinstance(value, gluon.Parameter) else value
        if isinstance(value, mxnet.nd.NDArray):
            with autograd.pause():
                value = value.as_np_ndarray().copy()
        super().record(key, value, train)

    def to_host(self, scalars):
        if len({scalar.dtype for scalar in scalars}) > 1:
            return onp.array([scalar.item() for scalar in scalars])
        return numpy(stack([reshape(s, ()) for s in scalars])) if scalars else onp.empty(0)
