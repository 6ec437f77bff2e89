"""Training on several devices in MXNet: a copy of the model on each, and gradients added up by a kvstore.

The first device holds the model itself. There the gradients are added up, clipped and applied, as on one
device, by the model's own optimiser (in gluon's terms, `update_on_kvstore=False`), and from there the new
weights go to the copies. MXNet's engine runs operations of different devices at the same time.
"""

from collections import deque

import mxnet
from mxnet import autograd

from d2lrnn import trainer as core

from .replicas import Replicas, launched, of_workers

AHEAD = 4  # minibatches, at most, that the host has cut and MXNet has not computed


class OnDevices(core.Trainer):
    """What a trainer does about its devices; on one, `replicas` is None."""

    on_many = True

    def count_shares(self):
        if not launched():
            return super().count_shares()
        self.rank = of_workers().rank
        return super().count_shares() * of_workers().num_workers

    def make_replicas(self, model, devices):
        """Put copies of `model`, which is on the first of the devices, on the others."""
        self.replicas = Replicas(model, devices) if self.num_shares > 1 else None
        self.losses_ahead = deque()

    @property
    def has_twin(self):
        """Whether `batch_loss` is a twin's, and not the plain model's."""
        return self.batch_loss is self.twin

    def own_epoch(self, train):
        if self.replicas is None:
            return super().own_epoch(train)
        loader = self.train_dataloader if train else self.val_dataloader
        run = self.update_shares if train else self.evaluate_shares
        self.replicas.send_weights()
        self.replicas.take_twins(self.has_twin)
        losses = [
            run(self.replicas.own_part(shares), block.arrays)
            for block in loader.blocks()
            for shares in self.shares(block)
        ]
        return self.replicas.over_all(self.to_host(losses))

    def update_shares(self, shares, arrays):
        """`update`, of a minibatch that is cut over several devices."""
        with autograd.record():
            loss, parts = self.replicas.loss(shares, arrays)
        self.replicas.backward(parts)
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        self.optim.step(1)
        self.replicas.send_weights()
        return self.behind(loss)

    def evaluate_shares(self, shares, arrays):
        """`evaluate`, likewise."""
        loss, _ = self.replicas.loss(shares, arrays)
        return self.behind(loss)

    def behind(self, loss):
        """`loss`, which MXNet computes behind the host's back, once that of `AHEAD` minibatches ago is there.

        Else the host would cut all minibatches of an epoch in advance, and they would wait in memory.
        """
        if isinstance(loss, mxnet.nd.NDArray):  # a reader's step may give none
            self.losses_ahead.append(loss)
        if len(self.losses_ahead) > AHEAD:
            self.losses_ahead.popleft().wait_to_read()
        return loss
