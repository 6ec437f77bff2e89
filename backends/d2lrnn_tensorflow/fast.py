"""A faster twin of the loss of sections 9.5 and 9.6, in TensorFlow: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

import tensorflow as tf

from d2lrnn.language_model import NAMES, LanguageModel

from .fast_loss import cross_entropy, recurrence
from .ops import swapaxes
from .rnn_scratch import ACTIVATIONS
from .variables import layers, variables
from .weights import layout, settings


def twin(model):
    """A function equal to `model.batch_loss`, for a whole model of section 9.5 or 9.6; else None."""
    if not (isinstance(model, LanguageModel) and model.is_whole() and model.has_weights(*NAMES)):
        return None
    for _, layer in layers(model):
        drops = getattr(layer, "dropout", 0) or getattr(layer, "recurrent_dropout", 0)
        if drops or layer.compute_dtype != "float32":
            return None
    own, paths = variables(model), {piece.names: piece.path for piece in layout(model)}
    activation = settings(model)["activation"]
    if activation not in ACTIVATIONS:
        return None

    def batch_loss(batch):
        if len(batch) > 2:  # it begins with a state
            return model.batch_loss(batch)
        X, Y = (swapaxes(tokens, 0, 1) for tokens in batch)  # (num_steps, batch_size)
        W_xh, W_hh, b_h, W_hq, b_q = (tf.convert_to_tensor(own[paths[name,]]) for name in NAMES)
        outputs = recurrence(X, W_xh, W_hh, b_h, activation)  # (num_steps, batch_size, num_hiddens)
        # Time-major as they are: a mean has no order.
        logits = tf.tensordot(outputs, W_hq, 1) + b_q
        logits = tf.reshape(logits, (-1, model.vocab_size))  # (tokens, vocab_size)
        Y = tf.reshape(Y, (-1,))
        if model.vocab_size <= model.rnn.num_hiddens:  # arrays (tokens, vocab_size) are no burden
            return cross_entropy(logits, Y)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(Y, logits))

    return batch_loss
