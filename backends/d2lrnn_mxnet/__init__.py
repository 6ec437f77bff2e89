"""MXNet backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=mxnet`."""

# ruff: noqa: E402  MXNet is prepared for, and imported, before all that uses it.

import os as _os
import threading as _threading
import warnings

import numpy as _numpy

from d2lrnn import shell as _shell
from d2lrnn.backend import REQUIRED

from . import prepare as prepare

try:
    with warnings.catch_warnings():  # about names that NumPy has renamed, and MXNet still lists
        warnings.simplefilter("ignore")
        import mxnet as mxnet  # first, so that a missing framework is told from a broken one
except SystemExit:  # as a server of several workers (DMLC_ROLE) it has served, and is done
    _os._exit(0)
except AttributeError as _error:
    if _numpy.lib.NumpyVersion(_numpy.__version__) < "2.0.0":
        raise
    raise ImportError(
        f"MXNet 1.9.1, the last release, needs numpy<2, and numpy {_numpy.__version__} is installed: "
        f"{_shell.python()} -m pip install {_shell.quoted('numpy<2')}"
    ) from _error


class EveryThread(_threading.local):
    """What `set_np` says in one thread, and here in all that are started."""

    value = mxnet.util._NumpyArrayScope(True)


mxnet.npx.set_np()  # NumPy's semantics of shapes and arrays, as in the book
mxnet.util.set_np_shape(2)  # 2: in all threads
mxnet.util._NumpyArrayScope._current = EveryThread()

from . import optimizers, weights
from .attention import (
    AdditiveAttention, AttentionDecoder, DotProductAttention, Seq2SeqAttentionDecoder, masked_softmax,
)
from .bi_rnn import BiGRU, BiLSTM, BiRNNScratch
from .deep_rnn import StackedRNNScratch
from .gru import GRU, GRUScratch
from .linear_regression import SGD, LinearRegression, LinearRegressionScratch, SyntheticRegressionData
from .lstm import LSTM, LSTMScratch
from .module import Classifier, Module, nn_Module
from .ops import (
    abs, arange, argmax, astype, batch_matmul, concat, cos, cosh, cpu, exp, expand_dims, eye, float32, gpu,
    int32, int64, linspace, log, matmul, meshgrid, normal, num_gpus, numpy, ones, ones_like, rand, randn,
    reduce_mean, reduce_sum, repeat, reshape, sigmoid, sin, sinh, size, stack, swapaxes, tanh, tensor, to,
    transpose, versions, zeros, zeros_like,
)
from .rnn import RNN, RNNLM
from .rnn_scratch import RNNLMScratch, RNNScratch
from .seq2seq import Decoder, Encoder, EncoderDecoder, Seq2Seq, Seq2SeqDecoder, Seq2SeqEncoder
from .trainer import Trainer

__all__ = [*REQUIRED]
