"""The book's tensor functions and devices, in MXNet (book, section 2.1 and appendix 'd2l')."""

import platform

import mxnet
import numpy as onp
from mxnet import np, npx

from d2lrnn.errors import ArgumentError

abs = np.abs
arange = np.arange
argmax = np.argmax
batch_matmul = npx.batch_dot
concat = np.concatenate
cos = np.cos
cosh = np.cosh
cpu = npx.cpu
exp = np.exp
expand_dims = np.expand_dims
eye = np.eye
float32 = np.float32
int32 = np.int32
int64 = np.int64
linspace = np.linspace
log = np.log
matmul = np.matmul
meshgrid = np.meshgrid
normal = np.random.normal
num_gpus = npx.num_gpus
ones = np.ones
ones_like = np.ones_like
rand = np.random.rand
randn = np.random.randn
repeat = np.repeat
reshape = np.reshape
sigmoid = npx.sigmoid
sin = np.sin
sinh = np.sinh
stack = np.stack
swapaxes = np.swapaxes
tanh = np.tanh
tensor = np.array  # of float32, also of whole numbers, unless dtype says otherwise
transpose = np.transpose
zeros_like = np.zeros_like


def zeros(shape, **options):
    if shape is None:  # with which MXNet ends the process
        raise ArgumentError("shape=None: expected a size, or a tuple of sizes.")
    return np.zeros(shape, **options)


def astype(x, dtype):
    return x.astype(dtype)


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


def try_gpu(i=0):
    """The GPU of index `i` if there is one, otherwise the CPU (book, section 6.7)."""
    return gpu(i) if num_gpus() > i else cpu()


def from_numpy(array, device=None):
    """A NumPy array as a tensor; indices become int32, which all MXNet operators take, and reals float32."""
    array = onp.asarray(array)
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"array of dtype {array.dtype}: expected numbers.")
    dtype = {"f": float32, "b": np.bool}.get(array.dtype.kind, int32)
    return np.array(array, dtype=dtype, ctx=device)


def versions():
    """The versions that decide the numbers, and the devices, for `d2lrnn doctor` and the runs."""
    gpus = [str(gpu(i)) for i in range(num_gpus())]  # MXNet cannot tell their names
    return {
        "framework": f"mxnet {mxnet.__version__}",
        "devices": gpus or [f"CPU ({platform.machine()})"],
    }
