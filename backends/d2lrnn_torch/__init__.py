"""PyTorch backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=torch`."""

import torch as torch  # first, so that a missing framework is told from a broken one

from d2lrnn.backend import REQUIRED

from . import weights
from .bi_rnn import BiGRU, BiLSTM, BiRNNScratch
from .deep_rnn import StackedRNNScratch
from .gru import GRU, GRUScratch
from .lstm import LSTM, LSTMScratch
from .module import Classifier, DataModule, LinearRegression, Module, TextFile, TimeMachine

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

__all__ = [*REQUIRED]
