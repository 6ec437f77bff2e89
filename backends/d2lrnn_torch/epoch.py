"""The examples of a training on the device, cut there into minibatches, in PyTorch."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from d2lrnn.data import windows_of

from .ops import from_numpy


class Examples:
    """The arrays of a loader on the device: an epoch sends only its order there."""

    def __init__(self, loader, device):
        self.loader, self.device = loader, device
        self.tensors = [on_device(array, device) for array in loader.arrays]

    def __iter__(self):
        """The minibatches of the loader's epoch, whole numbers as int64."""
        for rows in from_numpy(self.loader.order(), self.device).split(self.loader.batch_size):
            batch = [examples[rows] for examples in self.tensors]
            yield [x.long() if x.dtype == torch.int32 else x for x in batch]


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
