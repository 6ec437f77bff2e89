"""A reader's language model over the layers of sections 9.5 and 9.6 made faster, in TensorFlow.

Nothing depends on this file. The reader's methods run as they are. Where they hand the library's layer the
very one-hot vectors that `one_hot` made, the tokens behind these pick rows, and a graph leaves vectors that
nothing reads out. Without a graph they are made, so `forward` does without them where it is the library's.
"""

import tensorflow as tf
from tensorflow.keras.layers import SimpleRNN

from d2lrnn.language_model import LanguageModel
from d2lrnn.module import is_library_code, is_whole, standing_in

from .fast_loss import cross_entropy, recurrence
from .ops import expand_dims, float32, reshape, swapaxes
from .rnn import RNN
from .rnn_scratch import ACTIVATIONS, RNNScratch

FEW = 128  # of more classes than that, the faster cross-entropy holds more in memory


def faster(model, function):
    """`function`, which calls the hooks of a language model, with the library's own made faster meanwhile."""
    layer = getattr(model, "rnn", None)
    if not (isinstance(model, LanguageModel) and is_whole(layer, RNN, RNNScratch)):
        return function
    is_plain = function == model.batch_loss and is_library_code(function)

    def run(*args):
        if model.rnn is not layer:
            return function(*args)
        hooks = Faster(model, args[0][-1] if is_plain else None)
        of_model = {"one_hot": hooks.one_hot, "forward": hooks.forward, "loss": hooks.loss}
        with standing_in(model, **of_model), standing_in(layer, forward=hooks.layer_forward):
            return function(*args)

    return run


class Faster:
    """What stands in for the methods of a model, and for `forward` of its layer, over one minibatch."""

    def __init__(self, model, labels):
        self.model, self.labels = model, labels
        self.plain = model.one_hot, model.forward, model.loss, model.rnn.forward
        self.tokens = self.vectors = None  # the last that `one_hot` made vectors of, and these

    def one_hot(self, X):
        self.tokens, self.vectors = swapaxes(X, 0, 1), self.plain[0](X)
        return self.vectors  # (num_steps, batch_size, vocab_size)

    def forward(self, X, state=None):
        found = None
        if state is None and is_library_code(self.model.one_hot):
            found = self.over_rows(swapaxes(X, 0, 1), self.model.vocab_size)
        return self.plain[1](X, state) if found is None else self.model.output_layer(found[0])

    def loss(self, Y_hat, Y, averaged=True):
        known = Y is self.labels and averaged and Y_hat.dtype == float32 and None not in Y_hat.shape
        # A label that is no class is an error of the plain loss; this one would pick another's logit.
        if not (known and self.model.vocab_size <= Y_hat.shape[-1] <= FEW):
            return self.plain[2](Y_hat, Y, averaged)
        return cross_entropy(reshape(Y_hat, (-1, Y_hat.shape[-1])), reshape(Y, (-1,)))

    def layer_forward(self, inputs, state=None, *others, **named):
        is_known = inputs is self.vectors and state is None and not (others or named)
        found = self.over_rows(self.tokens, inputs.shape[-1]) if is_known else None
        return self.plain[3](inputs, state, *others, **named) if found is None else found

    def over_rows(self, tokens, vocab_size):
        """What the layer returns for the vectors of `tokens` (num_steps, batch_size), if it is plain."""
        layer, weights = self.model.rnn, weights_of(self.model.rnn)
        if weights is None or weights[0].shape[0] != vocab_size or None in tokens.shape:
            return None
        outputs = recurrence(tokens, *weights)
        if isinstance(layer, RNN):
            return outputs, expand_dims(outputs[-1], 0)
        return tf.unstack(outputs), outputs[-1]


def weights_of(layer):
    """W_xh, W_hh and b_h, as tensors, and the activation; None of a layer that computes more."""
    if isinstance(layer, RNNScratch):
        weights, activation = (layer.W_xh, layer.W_hh, layer.b_h), layer.activation
    else:
        inner = layer.rnn
        if type(inner) is not SimpleRNN or not (inner.built and inner.use_bias):
            return None
        drops, typed = inner.dropout or inner.recurrent_dropout, inner.compute_dtype == "float32"
        if drops or inner.go_backwards or inner.stateful or not typed:
            return None
        cell, activation = inner.cell, inner.activation.__name__
        weights = cell.kernel, cell.recurrent_kernel, cell.bias
    known = activation in ACTIVATIONS
    return (*map(tf.convert_to_tensor, weights), activation) if known else None
