"""`Trainer` in PyTorch (book, sections 3.2.4 and 9.5.3)."""

import numpy as np
import torch

from d2lrnn import trainer as core

from .epoch import Examples
from .module import seeded
from .ops import cpu, numpy


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    def prepare_model(self, model):
        self.device = self.gpus[0] if self.gpus else cpu()
        self.model = model.to(self.device)
        model.trainer = self
        self.optim = model.configure_optimizers()
        self._examples = {}

    def prepare_batch(self, batch):
        return [x.to(self.device) if isinstance(x, torch.Tensor) else x for x in batch]

    def batches(self, loader):
        known = self._examples
        return iter(known.get(loader) or known.setdefault(loader, Examples(loader, self.device)))

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
        return seeded(np.random.RandomState([seed, epoch]).randint(2**31), devices=self.gpus)

    def to_host(self, scalars):
        scalars = [s.detach().reshape(()).to(self.device) for s in scalars]
        return numpy(torch.stack(scalars)) if scalars else np.empty(0)

    def optimizer_state(self):
        if not isinstance(self.optim, torch.optim.Optimizer):
            return core.numbers_of(self.optim)
        everything = self.optim.state_dict()
        parts = {f"{index}": state for index, state in everything["state"].items()}
        parts |= {f"group {i}": group for i, group in enumerate(everything["param_groups"])}
        arrays = {
            f"{part}/{key}": numpy(value) if isinstance(value, torch.Tensor) else np.asarray(value)
            for part, values in parts.items()
            for key, value in values.items()
            if key != "params"
        }
        return {name: array for name, array in arrays.items() if array.dtype.kind in "biuf"}

    def set_optimizer_state(self, state):
        if not isinstance(self.optim, torch.optim.Optimizer):
            return core.set_numbers(self.optim, state)
        everything = self.optim.state_dict()
        for name, array in state.items():
            part, key = name.split("/")
            if part.startswith("group"):
                group = everything["param_groups"][int(part.split()[1])]
                group[key] = like(group.get(key), array)
            else:
                everything["state"].setdefault(int(part), {})[key] = torch.as_tensor(array)
        self.optim.load_state_dict(everything)


def like(value, array):
    """`array` as what a hyperparameter is: a tensor, a tuple or a number."""
    if isinstance(value, torch.Tensor):
        return value.new_tensor(array)
    return tuple(array.tolist()) if array.ndim else array.item()
