"""TensorFlow backend of d2lrnn: the names that `import d2lrnn as d2l` gives on `D2LRNN_BACKEND=tensorflow`.

TensorFlow and Keras read their settings when they are imported, so these are made here, first: Keras 3
runs on TensorFlow whatever `~/.keras/keras.json` says, log lines of no use to a reader are left out, and a
GPU's memory is taken as it is needed, not all at once.
"""

# ruff: noqa: E402

import contextlib
import os
import sys
import tempfile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _without_log_lines():
    """Hold back what C++ writes to standard error; TF_CPP_MIN_LOG_LEVEL is not heard during the import."""
    try:
        standard_error = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as lines:
        sys.stderr.flush()
        os.dup2(lines.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            if failed:
                lines.seek(0)
                sys.stderr.write(lines.read().decode(errors="replace"))


with _without_log_lines():
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

from d2lrnn.backend import REQUIRED

# isort: off
# fmt: off
from . import optimizers, weights
from .attention import (
    AdditiveAttention, AttentionDecoder, DotProductAttention, Seq2SeqAttentionDecoder, masked_softmax,
)
from .bi_rnn import BiGRU, BiLSTM, BiRNNScratch
from .deep_rnn import StackedRNNScratch
from .gru import GRU, GRUScratch
from .linear_regression import SGD, LinearRegression, LinearRegressionScratch, SyntheticRegressionData
from .lstm import LSTM, LSTMScratch
from .module import Classifier, DataModule, Module, MTFraEng, PairFile, TextFile, TimeMachine, nn_Module
from .ops import (
    abs, arange, argmax, astype, batch_matmul, concat, cos, cosh, cpu, exp, expand_dims, eye, float32, gpu,
    int32, int64, linspace, log, matmul, meshgrid, normal, num_gpus, numpy, ones, ones_like, rand, randn,
    reduce_mean, reduce_sum, repeat, reshape, sigmoid, sin, sinh, size, stack, swapaxes, tanh, tensor, to,
    transpose, try_gpu, versions, zeros, zeros_like,
)
from .rnn import RNN, RNNLM
from .rnn_scratch import RNNLMScratch, RNNScratch
from .seq2seq import Decoder, Encoder, EncoderDecoder, Seq2Seq, Seq2SeqDecoder, Seq2SeqEncoder
from .trainer import Trainer
# fmt: on
# isort: on

__all__ = [*REQUIRED]
