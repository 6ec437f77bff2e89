"""`Trainer` in PyTorch (book, sections 3.2.4 and 9.5.3)."""

import numpy as np
import torch

from d2lrnn import trainer as core

from .epoch import Examples
from .module import seeded
from .ops import cpu, from_numpy, numpy


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    def prepare_model(self, model):
        self.device = self.gpus[0] if self.gpus else cpu()
        self.model = model.to(self.device)
        model.trainer = self
        self.optim = model.configure_optimizers()
        self._examples = {}

    def prepare_batch(self, batch):
        return [tensor.to(self.device) for tensor in batch]

    def batches(self, loader):
        known = self._examples
        return iter(known.get(loader) or known.setdefault(loader, Examples(loader, self.device)))

    def update(self, loss_of, batch):
        self.model.train()
        loss = loss_of(batch)
        self.optim.zero_grad()
        loss.backward()
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
        return seeded(np.random.RandomState([seed, epoch]).randint(2**31), devices=self.gpus)

    def to_host(self, scalars):
        return numpy(torch.stack([s.reshape(()) for s in scalars])) if scalars else np.empty(0)

    def optimizer_state(self):
        return {
            f"{index}/{key}": numpy(torch.as_tensor(value))
            for index, state in self.optim.state_dict()["state"].items()
            for key, value in state.items()
            if value is not None
        }

    def set_optimizer_state(self, state):
        everything = self.optim.state_dict()
        for name, array in state.items():
            index, key = name.split("/")
            tensor = from_numpy(array, self.device) if array.ndim else torch.as_tensor(array)
            everything["state"].setdefault(int(index), {})[key] = tensor
        self.optim.load_state_dict(everything)
