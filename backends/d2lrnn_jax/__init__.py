"""JAX backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=jax`."""

import flax as flax  # first, so that a missing framework is told from a broken one
import jax as jax
import optax as optax

from d2lrnn.backend import REQUIRED

from . import optimizers, weights
from .attention import (
    AdditiveAttention, AttentionDecoder, DotProductAttention, Seq2SeqAttentionDecoder, masked_softmax,
)
from .bi_rnn import BiGRU, BiLSTM, BiRNNScratch
from .deep_rnn import StackedRNNScratch
from .gru import GRU, GRUCell, GRUScratch
from .linear_regression import SGD, LinearRegression, LinearRegressionScratch, SyntheticRegressionData
from .lstm import LSTM, LSTMCell, LSTMScratch
from .module import Classifier, Module, nn_Module
from .ops import (
    abs, arange, argmax, astype, batch_matmul, concat, cos, cosh, cpu, exp, expand_dims, eye, float32,
    get_key, gpu, int32, int64, linspace, log, matmul, meshgrid, normal, num_gpus, numpy, ones, ones_like,
    rand, randn, reduce_mean, reduce_sum, repeat, reshape, set_seed, sigmoid, sin, sinh, size, stack,
    swapaxes, tanh, tensor, to, transpose, versions, zeros, zeros_like,
)
from .rnn import RNN, RNNLM, RNNCell
from .rnn_scratch import RNNLMScratch, RNNScratch
from .seq2seq import Decoder, Encoder, EncoderDecoder, Seq2Seq, Seq2SeqDecoder, Seq2SeqEncoder
from .trainer import Trainer

__all__ = [*REQUIRED, "GRUCell", "LSTMCell", "RNNCell", "get_key", "set_seed"]
