"""JAX backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=jax`."""

import flax as flax  # first, so that a missing framework is told from a broken one
import jax as jax
import optax as optax

from d2lrnn.backend import REQUIRED

from . import weights
from .module import Classifier, DataModule, LinearRegression, Module, TextFile, TimeMachine

# isort: off
# fmt: off
from .ops import (
    arange, argmax, astype, concat, cpu, exp, expand_dims, float32, get_key, gpu, int32, int64,
    matmul, normal, num_gpus, numpy, ones, randn, reduce_mean, reduce_sum, reshape, set_seed,
    sigmoid, sin, stack, swapaxes, tanh, tensor, to, transpose, try_gpu, versions, zeros,
)
# fmt: on
# isort: on
from .bi_rnn import BiGRU, BiLSTM, BiRNNScratch
from .deep_rnn import StackedRNNScratch
from .gru import GRU, GRUCell, GRUScratch
from .lstm import LSTM, LSTMCell, LSTMScratch
from .rnn import RNN, RNNLM, RNNCell
from .rnn_scratch import RNNLMScratch, RNNScratch
from .trainer import Trainer

__all__ = [*REQUIRED, "GRUCell", "LSTMCell", "RNNCell", "get_key", "set_seed"]
