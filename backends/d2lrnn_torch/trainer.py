"""`Trainer` in PyTorch (book, sections 3.2.4 and 9.5.3)."""

import numpy as np
import torch

from d2lrnn import trainer as core
from d2lrnn.module import nested

from . import devices
from .epoch import Examples
from .module import seeded
from .ops import cpu, numpy


class Trainer(devices.OnDevices):
    __doc__ = core.Trainer.__doc__

    def prepare_model(self, model):
        self.device = self.own_gpu if self.gpus else cpu()
        self.model = model.to(self.device)
        model.trainer = self
        self.optim = model.configure_optimizers()
        self._examples, self.process = {}, None

    def prepare_batch(self, batch):
        return nested(lambda x: x.to(self.device) if isinstance(x, torch.Tensor) else x, batch)

    def batches(self, loader):
        for block in loader.blocks():
            yield from self.examples(block, stay=block is loader)

    def examples(self, block, stay):
        """The examples of a block on the device; those of a text that is one block stay there."""
        known = self._examples
        if not stay:
            return Examples(block, self.device)
        return known.get(block) or known.setdefault(block, Examples(block, self.device))

    def update(self, loss_of, batch):
        self.model.train()
        loss = loss_of(batch)
        self.optim.zero_grad()
        loss.backward()
        with torch.no_grad():  # as a reader's optimiser expects it
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step()
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, loss_of, batch):
        self.model.eval()
        return loss_of(batch)

    def clip_gradients(self, grad_clip_val, model):
        """Scale the gradients g by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip_val)

    def seeded_epoch(self, seed, epoch):
        decided_by = [seed, epoch, self.rank] if self.rank else [seed, epoch]
        own = [self.device] if self.gpus else []
        return seeded(np.random.RandomState(decided_by).randint(2**31), devices=own)

    def record(self, key, value, train):
        # As it is now, without what it was made of: it is read at the end of the epoch.
        is_tensor = isinstance(value, torch.Tensor)
        super().record(key, value.detach().clone() if is_tensor else value, train)

    def to_host(self, scalars):
        scalars = [scalar.detach().reshape(()).to(self.device) for scalar in scalars]
        return numpy(torch.stack(scalars)) if scalars else np.empty(0)
