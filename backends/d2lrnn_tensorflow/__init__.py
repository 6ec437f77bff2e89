"""TensorFlow backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=tensorflow`.

TensorFlow and Keras read their settings when they are imported, so these are made here, first: Keras 3
runs on TensorFlow whatever `~/.keras/keras.json` says, log lines of no use to a reader are left out, and a
GPU's memory is taken as it is needed, not all at once.
"""


import contextlib
import os

from d2lrnn.backend import REQUIRED
from d2lrnn.preparation import without_log_lines

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

with without_log_lines():  # TF_CPP_MIN_LOG_LEVEL is not heard during the import
    import tensorflow as tf

    if not tf.keras.__version__.startswith("3."):
        raise ImportError(
            f"tf.keras is Keras {tf.keras.__version__}, Keras 3 is needed. Unset TF_USE_LEGACY_KERAS."
        )
    if tf.keras.config.backend() != "tensorflow":
        raise ImportError(
            f"Keras was imported before d2lrnn and runs on {tf.keras.config.backend()!r}. Start a new "
            "process and import d2lrnn first, or set KERAS_BACKEND=tensorflow."
        )
    for _gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # TensorFlow is in use already, and stays as it is
            tf.config.experimental.set_memory_growth(_gpu, True)

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
