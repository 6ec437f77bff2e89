"""`Trainer` in PyTorch (book, sections 3.2.4 and 9.5.3)."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from d2lrnn import trainer as core
from d2lrnn.data import windows_of

from .ops import cpu, from_numpy, gpu, num_gpus, numpy


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    def available_gpus(self):
        return [gpu(i) for i in range(num_gpus())]

    def prepare_model(self, model):
        self.device = self.gpus[0] if self.gpus else cpu()
        self.model = model.to(self.device)
        model.trainer = self
        self.optim = model.configure_optimizers()
        self._examples = {}

    def prepare_batch(self, batch):
        return [tensor.to(self.device) for tensor in batch]

    def batches(self, loader):
        """The minibatches of `loader`, rows of arrays that are put on the device once a training."""
        if not self.library_loads(loader):
            yield from loader
            return
        if loader not in self._examples:
            self._examples[loader] = [on_device(array, self.device) for array in loader.arrays]
        for rows in from_numpy(loader.order(), self.device).split(loader.batch_size):
            batch = [examples[rows] for examples in self._examples[loader]]
            yield [x.long() if x.dtype == torch.int32 else x for x in batch]

    def train_epoch(self):
        """Train over every minibatch once.

        In short::

            for each minibatch:
                loss, gradients
                clip the gradients by their global norm
                update the parameters
            read all losses
        """
        self.model.train()
        losses = []
        for batch in self.minibatches(train=True):
            loss = self.model.training_step(batch)
            self.optim.zero_grad()
            loss.backward()
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step()
            losses.append(loss.detach())
        return self.to_host(losses)  # the only place where the host waits for the device

    @torch.no_grad()
    def validation_epoch(self):
        self.model.eval()
        losses = [self.model.validation_step(batch) for batch in self.minibatches(train=False)]
        return self.to_host([loss for loss in losses if loss is not None])

    def clip_gradients(self, grad_clip_val, model):
        """Scale the gradients g by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip_val)

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


def on_device(array, device):
    """`array` on the device, as `from_numpy` but without a copy where none is needed.

    Overlapping windows of a text are put there as the text: one int32 a token, whatever num_steps is.
    """
    windows = windows_of(array)
    values = array if windows is None else windows.sequence
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        if values.dtype in (np.int32, np.int64, np.float32) and values.flags.aligned:
            tensor = torch.as_tensor(values, device=device)  # which nobody writes to
        else:
            tensor = from_numpy(values, device)
    return tensor if windows is None else tensor.as_strided(array.shape, (windows.hop, 1))
