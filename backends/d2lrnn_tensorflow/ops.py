"""The book's tensor functions and devices, in TensorFlow (book, section 2.1 and appendix 'd2l')."""

from __future__ import annotations

import contextlib
import platform

import numpy as np
import tensorflow as tf

# isort: off
# fmt: off
from tensorflow import (  # noqa: F401
    abs, cos, cosh, exp, expand_dims, eye, float32, int32, int64, is_tensor, linspace, matmul, meshgrid,
    ones, ones_like, reduce_mean, reduce_sum, repeat, sigmoid, sin, sinh, stack, tanh, transpose, zeros,
    zeros_like,
)
# fmt: on
# isort: on

from d2lrnn.hyperparameters import numeric

arange = tf.range
astype = tf.cast
batch_matmul = tf.matmul
log = tf.math.log
normal = tf.random.normal
rand = tf.random.uniform
tensor = tf.constant


def argmax(x, axis=None):
    """Where `x` is largest along `axis`; without an axis, in `x` flattened."""
    return tf.argmax(tf.reshape(x, (-1,)), 0) if axis is None else tf.argmax(x, axis)


def concat(tensors, axis=0):
    return tf.concat(tensors, axis)


def numpy(x):
    """The values of `x` as a NumPy array on the host."""
    return np.asarray(x.numpy())


def randn(*shape):
    """Draws from N(0, 1), of the shape given as numbers or as one sequence."""
    return tf.random.normal(shape[0] if len(shape) == 1 and np.ndim(shape[0]) else shape)


def reshape(x, shape):
    return tf.reshape(x, (shape,) if isinstance(shape, int) else shape)  # -1 alone fails in graphs


def size(x):
    """How many elements `x` has."""
    return int(tf.size(x))


def swapaxes(x, axis1, axis2):
    axes = list(range(len(x.shape)))
    axes[axis1], axes[axis2] = axes[axis2], axes[axis1]
    return tf.transpose(x, axes)


def to(x, device):
    """A copy of `x` on `device`, or `x` itself if it is there."""
    with device:
        return tf.identity(x)


def cpu():
    return tf.device("/CPU:0")


def gpu(i=0):
    """The GPU of index `i`, whether it exists or not.

    It is used as `with d2l.gpu(): ...`; what is made inside the block is there.
    """
    return tf.device(f"/GPU:{i}")


def num_gpus():
    return len(tf.config.list_logical_devices("GPU"))


def device_name(device):
    """'CPU:0' or 'GPU:0', of a device of the functions above or of a full name in TensorFlow's way."""
    spec = tf.DeviceSpec.from_string(device if isinstance(device, str) else device._device_name)
    return f"{spec.device_type}:{spec.device_index or 0}"


def from_numpy(array, device=None):
    """A NumPy array as a tensor; whole numbers become int64, and reals float32.

    Not int32, which TensorFlow keeps in the host's memory even where there is a GPU.
    """
    array = numeric(array)
    dtype = {"f": tf.float32, "b": tf.bool}.get(array.dtype.kind, tf.int64)
    with contextlib.nullcontext() if device is None else device:
        return tf.constant(array, dtype)


def versions():
    """The versions that decide the numbers, and the devices, for `d2lrnn doctor` and the runs."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "framework": f"tensorflow {tf.__version__}, keras {tf.keras.__version__}",
        "devices": gpus or [f"CPU ({platform.machine()})"],
    }
