"""A faster twin of the loss of sections 9.5 and 9.6, in TensorFlow: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from itertools import accumulate

import tensorflow as tf

from d2lrnn.language_model import NAMES, LanguageModel

from .fast_loss import cross_entropy
from .ops import swapaxes, zeros
from .rnn_scratch import ACTIVATIONS, LONGEST_UNROLLED
from .variables import layers, variables
from .weights import layout, settings


def recurrence(X, W_xh, W_hh, b_h, activation):
    """H_t = phi(W_xh[X_t] + b_h + H_{t-1} W_hh) from zeros, for tokens X, as (tokens, num_hiddens).

    Tokens pick rows, which is what the product of their one-hot vectors with W_xh comes to.
    """
    (num_steps, batch_size), num_hiddens = X.shape, W_hh.shape[0]
    drive = tf.gather(W_xh + b_h, X)  # (num_steps, batch_size, num_hiddens)
    zero_state = zeros((batch_size, num_hiddens))

    def step(H, A):
        return ACTIVATIONS[activation](A + tf.matmul(H, W_hh))

    if num_steps > LONGEST_UNROLLED:
        outputs = tf.scan(step, drive, zero_state)
    else:
        outputs = tf.stack([*accumulate(tf.unstack(drive), step, initial=zero_state)][1:])
    return tf.reshape(outputs, (-1, num_hiddens))


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
        outputs = recurrence(X, W_xh, W_hh, b_h, activation)
        # Time-major as they are: a mean has no order.
        logits = tf.matmul(outputs, W_hq) + b_q  # (num_steps * batch_size, vocab_size)
        Y = tf.reshape(Y, (-1,))
        if model.vocab_size <= model.rnn.num_hiddens:  # arrays (tokens, vocab_size) are no burden
            return cross_entropy(logits, Y)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(Y, logits))

    return batch_loss
