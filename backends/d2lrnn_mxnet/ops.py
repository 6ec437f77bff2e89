"""The book's tensor functions and devices, in MXNet (book, section 2.1 and appendix 'd2l')."""

import platform

import mxnet
from mxnet import np, npx

# isort: off
# fmt: off
from mxnet.numpy import (  # noqa: F401
    abs, arange, argmax, cos, cosh, exp, expand_dims, eye, float32, int32, int64, linspace, log, matmul,
    meshgrid, ones, ones_like, repeat, reshape, sin, sinh, stack, swapaxes, tanh, transpose, zeros_like,
)
# fmt: on
# isort: on
from mxnet.numpy.random import normal, rand, randn  # noqa: F401

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import numeric

batch_matmul = npx.batch_dot
concat = np.concatenate
cpu = npx.cpu
num_gpus = npx.num_gpus
sigmoid = npx.sigmoid
tensor = np.array  # of float32, also of whole numbers, unless dtype says otherwise


def zeros(shape, **options):
    if shape is None:  # with which MXNet ends the process
        raise ArgumentError("shape=None: expected a size, or a tuple of sizes.")
    return np.zeros(shape, **options)


def astype(x, dtype):
    return x.astype(dtype)


def is_tensor(x):
    return isinstance(x, mxnet.nd.NDArray)


def numpy(x):
    """The values of `x` as a NumPy array on the host."""
    return x.asnumpy()


def reduce_mean(x, axis=None, keepdims=False):
    return x.mean(axis, keepdims=keepdims)


def reduce_sum(x, axis=None, keepdims=False):
    return x.sum(axis, keepdims=keepdims)


def size(x):
    """How many elements `x` has."""
    return x.size


def to(x, device):
    return x.as_in_ctx(device)


def gpu(i=0):
    """The GPU of index `i`, whether it exists or not."""
    return npx.gpu(i)


def from_numpy(array, device=None):
    """A NumPy array as a tensor; indices become int32, which all MXNet operators take, and reals float32."""
    array = numeric(array)
    dtype = {"f": float32, "b": np.bool}.get(array.dtype.kind, int32)
    return np.array(array, dtype=dtype, ctx=device)


def versions():
    """The versions that decide the numbers, and the devices, for `d2lrnn doctor` and the runs."""
    gpus = [str(gpu(i)) for i in range(num_gpus())]  # MXNet cannot tell their names
    return {
        "framework": f"mxnet {mxnet.__version__}",
        "devices": gpus or [f"CPU ({platform.machine()})"],
    }
