"""The book's tensor functions, devices and keys, in JAX (book, section 2.1 and appendix 'd2l')."""

import itertools
import os
import platform

import flax
import jax
import numpy as np
from jax import numpy as jnp
from jax.nn import sigmoid  # noqa: F401

# isort: off
# fmt: off
from jax.numpy import (  # noqa: F401
    abs, arange, argmax, astype, cos, cosh, exp, expand_dims, eye, float32, int32, int64, linspace, log,
    matmul, meshgrid, ones, ones_like, repeat, reshape, sin, sinh, stack, swapaxes, tanh,
    transpose, zeros, zeros_like,
)
# fmt: on
# isort: on

from d2lrnn.hyperparameters import numeric

batch_matmul = jnp.matmul
concat = jnp.concatenate
numpy = np.asarray
reduce_mean = jnp.mean
reduce_sum = jnp.sum
size = jnp.size
tensor = jnp.array
to = jax.device_put


_seed, _drawn = 0, itertools.count()


def set_seed(seed):
    """Begin the keys that `get_key` gives anew from `seed`; a new process begins with seed 0."""
    global _seed, _drawn
    _seed, _drawn = seed, itertools.count()


def get_key():
    """A random key that differs from all that this process was given before."""
    return jax.random.fold_in(jax.random.key(_seed), next(_drawn))


def normal(mean=0.0, std=1.0, size=()):
    """Draws from N(mean, std^2) under a fresh key, in the shape `size`."""
    return mean + std * jax.random.normal(get_key(), size)


def randn(*size):
    """Draws from N(0, 1) under a fresh key."""
    return normal(size=size)


def rand(*size):
    """Draws from the uniform distribution over [0, 1) under a fresh key."""
    return jax.random.uniform(get_key(), size)


def cpu():
    return jax.local_devices(backend="cpu")[0]


def gpu(i=0):
    """The GPU of index `i`; where it does not exist, its name, for JAX has no object of it then."""
    gpus = _gpus()
    return gpus[i] if i < len(gpus) else f"gpu:{i}"


def num_gpus():
    return len(_gpus())


def _gpus():
    try:
        return jax.local_devices(backend="gpu")
    except RuntimeError:  # this JAX knows no GPU
        return []


def is_tensor(x):
    return isinstance(x, jax.Array)


def from_numpy(array, device=None):
    """A NumPy array as a JAX array, of JAX's own types."""
    return jax.device_put(typed(array), device)


def typed(array):
    """`array` still in NumPy, but of JAX's own types: whole numbers int32 and reals float32."""
    array = numeric(array)
    dtype = {"f": np.float32, "b": np.bool_}.get(array.dtype.kind, np.int32)
    return array.astype(dtype, copy=False)


def once(function, *args):
    """`function` of `args`, compiled for this call alone: the same bits as by `jax.jit`, but sooner.

    XLA's best code would take longer to make than it saves. A level that XLA_FLAGS sets is kept.
    """
    is_set = "optimization_level" in os.environ.get("XLA_FLAGS", "")
    options = {} if is_set else {"xla_backend_optimization_level": 1}
    return jax.jit(function).lower(*args).compile(options)(*args)


def versions():
    """The versions that decide the numbers, and the devices, for `d2lrnn doctor` and the runs."""
    gpus = [device.device_kind for device in _gpus()]
    return {
        "framework": f"jax {jax.__version__}, flax {flax.__version__}",
        "devices": gpus or [f"CPU ({platform.machine()}, {os.cpu_count()} threads)"],
    }
