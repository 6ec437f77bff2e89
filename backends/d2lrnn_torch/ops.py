"""The book's tensor functions and devices, in PyTorch (book, section 2.1 and appendix 'd2l')."""

import platform

import torch

# isort: off
# fmt: off
from torch import (  # noqa: F401
    abs, arange, argmax, cos, cosh, exp, eye, float32, int32, int64, is_tensor, linspace, log, matmul,
    meshgrid, normal, ones, ones_like, rand, randn, sigmoid, sin, sinh, stack, swapaxes, tanh, tensor,
    zeros, zeros_like,
)
# fmt: on
# isort: on
from torch.nn import Module as nn_Module  # noqa: F401

from d2lrnn.hyperparameters import numeric

astype = torch.Tensor.to
batch_matmul = torch.bmm
concat = torch.cat
expand_dims = torch.unsqueeze
num_gpus = torch.cuda.device_count
reduce_mean = torch.mean
reduce_sum = torch.sum
repeat = torch.Tensor.repeat
size = torch.numel
to = torch.Tensor.to


def numpy(x):
    """The values of `x` as a NumPy array on the host."""
    x = x.detach().cpu()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()  # a type that NumPy lacks


def indices(x):
    """Whole numbers of any type as int64, as PyTorch wants indices."""
    return x if x.is_floating_point() else x.long()


def reshape(x, shape):
    return torch.reshape(x, (shape,) if isinstance(shape, int) else shape)


def transpose(x, axes=None):
    """`x` with its axes reversed, or in the order of `axes`."""
    return torch.permute(x, tuple(reversed(range(x.ndim))) if axes is None else axes)


def cpu():
    return torch.device("cpu")


def gpu(i=0):
    """The GPU of index `i`, whether it exists or not."""
    return torch.device(f"cuda:{i}")


def from_numpy(array, device=None):
    """A NumPy array as a tensor; indices become int64, as PyTorch wants them, and reals float32."""
    array = numeric(array)
    dtype = {"f": torch.float32, "b": torch.bool}.get(array.dtype.kind, torch.int64)
    return torch.tensor(array, dtype=dtype, device=device)


def versions():
    """The versions that decide the numbers, and the devices, for `d2lrnn doctor` and the runs."""
    gpus = [torch.cuda.get_device_name(i) for i in range(num_gpus())]
    return {
        "framework": f"torch {torch.__version__}",
        "devices": gpus or [f"CPU ({platform.machine()}, {torch.get_num_threads()} threads)"],
    }
