"""`Trainer` in PyTorch (book, sections 3.2.4 and 9.5.3)."""

import functools

import numpy as np
import torch

from d2lrnn import trainer as core
from d2lrnn.module import nested

from . import devices
from .epoch import Examples
from .module import seeded
from .ops import cpu, from_numpy, gpu, numpy
from .optimizers import set_learning_rate


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    on_many = True

    def fit(self, model, data, *, resume=None, checkpoint=None):
        if self.num_shares == 1:
            return super().fit(model, data, resume=resume, checkpoint=checkpoint)
        fit = functools.partial(super().fit, model, data, resume=resume)
        with devices.joined(self, fit):
            fit(checkpoint=checkpoint)

    fit.__doc__ = core.Trainer.fit.__doc__

    def count_shares(self):
        self.rank, _, number = devices.launched()
        asked_for = super().count_shares()
        if number == 1:
            return asked_for
        devices.check_launched(number, asked_for, self.gpus)
        return number

    @property
    def own_gpu(self):
        """The GPU of this process, where GPUs are trained on."""
        _, local, number = devices.launched()
        return gpu(local) if number > 1 else self.gpus[self.rank]

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

    def own_epoch(self, train):
        if self.num_shares == 1 or not devices.distributed.is_initialized():
            return super().own_epoch(train)
        self.process = self.process or devices.Process(self)
        loader = self.train_dataloader if train else self.val_dataloader
        return self.process.epoch(train, self.own_shares(loader))

    def own_shares(self, loader):
        """What this process has of each minibatch of the loader's epoch, and what it weighs."""
        for block in loader.blocks():
            examples = self.examples(block, stay=block is loader)
            for shares in self.shares(block):
                rows, weight = shares[self.rank]
                yield examples.batch(from_numpy(rows, self.device)), weight

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

    def set_learning_rate(self, lr):
        set_learning_rate(self, lr)

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

    def optimizer_state(self):
        if not isinstance(self.optim, torch.optim.Optimizer):
            return core.numbers_of(self.optim)
        everything = self.optim.state_dict()
        groups = {f"group {i}": group for i, group in enumerate(everything["param_groups"])}
        arrays = {
            f"{part}/{key}": numpy(value) if isinstance(value, torch.Tensor) else np.asarray(value)
            for part, values in {**everything["state"], **groups}.items()
            for key, value in values.items()
            if key != "params"
        }
        return {name: array for name, array in arrays.items() if array.dtype.kind in "biuf"}

    def set_optimizer_state(self, state):
        if not isinstance(self.optim, torch.optim.Optimizer):
            return core.set_numbers(self.optim, state)
        everything = self.optim.state_dict()
        shapes = {name: array.shape for name, array in self.optimizer_state().items()}
        parameters = [p for group in self.optim.param_groups for p in group["params"]]
        core.check_state(state, shapes | core.shapes_of_memory(state, parameters))
        for name, array in state.items():
            part, key = name.split("/")
            if part.startswith("group"):
                group = everything["param_groups"][int(part.split()[1])]
                is_tensor = isinstance(group.get(key), torch.Tensor)
                group[key] = torch.as_tensor(array) if is_tensor else array.tolist()
            else:
                everything["state"].setdefault(int(part), {})[key] = torch.as_tensor(array)
        self.optim.load_state_dict(everything)
