"""Training on several devices in PyTorch: a process for each, joined by DistributedDataParallel.

Each process has the model, takes its share of every minibatch, and applies the gradients of all.
"""

import functools

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from d2lrnn import trainer as core

from . import processes
from .ops import from_numpy, gpu, numpy


class OnDevices(core.Trainer):
    """What a trainer does about its devices; on one, or before the processes have met, `process` is None."""

    on_many = True

    def fit(self, model, data, *, resume=None, checkpoint=None):
        if self.num_shares == 1:
            return super().fit(model, data, resume=resume, checkpoint=checkpoint)
        fit = functools.partial(super().fit, model, data, resume=resume)
        with processes.joined(self, fit):
            fit(checkpoint=checkpoint)

    fit.__doc__ = core.Trainer.fit.__doc__

    def count_shares(self):
        self.rank, _, number = processes.launched()
        asked_for = super().count_shares()
        if number == 1:
            return asked_for
        processes.check_launched(number, asked_for, self.gpus)
        return number

    @property
    def own_gpu(self):
        """The GPU of this process, where GPUs are trained on."""
        _, local, number = processes.launched()
        return gpu(local) if number > 1 else self.gpus[self.rank]

    def own_epoch(self, train):
        if self.num_shares == 1 or not distributed.is_initialized():
            return super().own_epoch(train)
        self.process = self.process or Process(self)
        loader = self.train_dataloader if train else self.val_dataloader
        return self.process.epoch(train, self.own_shares(loader))

    def own_shares(self, loader):
        """What this process has of each minibatch of the loader's epoch, and what it weighs."""
        for block in loader.blocks():
            examples = self.examples(block, stay=block is loader)
            for shares in self.shares(block):
                rows, weight = shares[self.rank]
                yield examples.batch(from_numpy(rows, self.device)), weight


class Process:
    """This process among those that train together."""

    def __init__(self, trainer):
        self.trainer = trainer
        self.number = distributed.get_world_size()
        ids = [trainer.device] if trainer.gpus else None
        whole = nn.Module()  # the loss of a minibatch as a module, for such is what is wrapped
        whole.model, whole.forward = trainer.model, trainer.batch_loss
        self.loss = DistributedDataParallel(whole, device_ids=ids)

    def epoch(self, train, minibatches):
        """The losses of an epoch over `minibatches`, pairs of this process's share and its weight."""
        trainer, losses = self.trainer, []
        for batch, weight in minibatches:
            if train:
                # DistributedDataParallel leaves the mean of the gradients of all processes: that of n times
                # (T_d / T) l_d is the sum that is wanted.
                weight *= self.number
                loss = trainer.update(lambda b, w=weight: self.loss(b) * w, batch) / self.number
            else:
                loss = trainer.evaluate(trainer.batch_loss, batch) * weight
            losses.append(loss)
        losses = torch.stack(losses)
        distributed.all_reduce(losses)
        return numpy(losses)
