"""The examples of a training on the device, cut there into minibatches, in PyTorch."""

import torch

from d2lrnn.data import windows_of

from .ops import from_numpy


class Examples:
    """The arrays of a loader, of one block, on the device: an epoch sends only its order there."""

    def __init__(self, loader, device):
        self.loader, self.device = loader, device
        self.tensors = [on_device(array, device) for array in loader.arrays]

    def __iter__(self):
        """The minibatches of the loader's epoch, whole numbers as int64."""
        for rows in from_numpy(self.loader.order(), self.device).split(self.loader.batch_size):
            yield self.batch(rows)

    def batch(self, rows):
        """The examples of these rows."""
        batch = [examples[rows] for examples in self.tensors]
        return [x.long() if x.dtype == torch.int32 else x for x in batch]


def on_device(array, device):
    """`array` on the device; overlapping windows of a text as the text, whatever num_steps is."""
    windows = windows_of(array)
    if windows is None:
        return from_numpy(array, device)
    text = torch.tensor(windows.sequence, device=device)  # one int32 a token
    return text.as_strided(array.shape, (windows.hop, 1))
