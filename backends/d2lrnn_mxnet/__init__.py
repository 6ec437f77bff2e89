"""MXNet backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=mxnet`."""

# ruff: noqa: E402  MXNet is prepared for, and imported, before all that uses it.

import warnings

import numpy as _numpy

from d2lrnn import shell as _shell
from d2lrnn.backend import REQUIRED

from . import prepare as prepare

try:
    with warnings.catch_warnings():  # about names that NumPy has renamed, and MXNet still lists
        warnings.simplefilter("ignore")
        import mxnet as mxnet  # first, so that a missing framework is told from a broken one
except AttributeError as _error:
    if _numpy.lib.NumpyVersion(_numpy.__version__) < "2.0.0":
        raise
    raise ImportError(
        f"MXNet 1.9.1, the last release, needs numpy<2, and numpy {_numpy.__version__} is installed: "
        f"{_shell.python()} -m pip install {_shell.quoted('numpy<2')}"
    ) from _error

mxnet.npx.set_np()  # NumPy's semantics of shapes and arrays, as in the book

from . import weights
from .bi_rnn import BiGRU, BiLSTM, BiRNNScratch
from .deep_rnn import StackedRNNScratch
from .gru import GRU, GRUScratch
from .lstm import LSTM, LSTMScratch
from .module import SGD, Classifier, DataModule, LinearRegression, Module, TextFile, TimeMachine

# isort: off
# fmt: off
from .ops import (
    arange, argmax, astype, concat, cpu, exp, expand_dims, float32, gpu, int32, int64, matmul,
    normal, num_gpus, numpy, ones, randn, reduce_mean, reduce_sum, reshape, sigmoid, sin, stack,
    swapaxes, tanh, tensor, to, transpose, try_gpu, versions, zeros,
)
# fmt: on
# isort: on
from .rnn import RNN, RNNLM
from .rnn_scratch import RNNLMScratch, RNNScratch
from .trainer import Trainer

__all__ = [*REQUIRED, "SGD"]
