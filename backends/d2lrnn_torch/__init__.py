"""PyTorch backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=torch`."""

import torch as torch  # first, so that a missing framework is told from a broken one

from d2lrnn.backend import REQUIRED

from . import optimizers, weights
from .attention import (
    AdditiveAttention, AttentionDecoder, DotProductAttention, Seq2SeqAttentionDecoder, masked_softmax,
)
from .bi_rnn import BiGRU, BiLSTM, BiRNNScratch
from .deep_rnn import StackedRNNScratch
from .gru import GRU, GRUScratch
from .lstm import LSTM, LSTMScratch
from .module import Classifier, Module
from .linear_regression import SGD, LinearRegression, LinearRegressionScratch, SyntheticRegressionData
from .ops import (
    abs, arange, argmax, astype, batch_matmul, concat, cos, cosh, cpu, exp, expand_dims, eye, float32, gpu,
    int32, int64, linspace, log, matmul, meshgrid, nn_Module, normal, num_gpus, numpy, ones, ones_like,
    rand, randn, reduce_mean, reduce_sum, repeat, reshape, sigmoid, sin, sinh, size, stack, swapaxes, tanh,
    tensor, to, transpose, versions, zeros, zeros_like,
)
from .rnn import RNN, RNNLM
from .rnn_scratch import RNNLMScratch, RNNScratch
from .seq2seq import Decoder, Encoder, EncoderDecoder, Seq2Seq, Seq2SeqDecoder, Seq2SeqEncoder, init_seq2seq
from .trainer import Trainer

__all__ = [*REQUIRED, "init_seq2seq"]
