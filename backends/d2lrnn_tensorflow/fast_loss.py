"""What the twins of language models share, in TensorFlow: the recurrence of 9.5, and the loss."""

from itertools import accumulate

import tensorflow as tf

from .ops import zeros
from .rnn_scratch import ACTIVATIONS, LONGEST_UNROLLED


def recurrence(X, W_xh, W_hh, b_h, activation):
    """H_t = phi(W_xh[X_t] + b_h + H_{t-1} W_hh) from zeros, for tokens X (num_steps, batch_size).

    Tokens pick rows, which is what the product of their one-hot vectors with W_xh comes to.
    """
    (num_steps, batch_size), num_hiddens = X.shape, W_hh.shape[0]
    drive = tf.gather(W_xh + b_h, X)  # (num_steps, batch_size, num_hiddens)
    zero_state = zeros((batch_size, num_hiddens))

    def step(H, A):
        return ACTIVATIONS[activation](A + tf.matmul(H, W_hh))

    if num_steps > LONGEST_UNROLLED:
        return tf.scan(step, drive, zero_state)
    return tf.stack([*accumulate(tf.unstack(drive), step, initial=zero_state)][1:])


@tf.custom_gradient
def cross_entropy(logits, Y):
    """Their mean over logits (tokens, vocab_size) to tokens Y; of few columns, faster than TensorFlow's."""
    num_tokens, vocab_size = logits.shape
    largest = tf.reduce_max(logits, 1, keepdims=True)  # (tokens, 1)
    exp = tf.exp(logits - largest)
    total = tf.matmul(exp, tf.ones((vocab_size, 1)))  # a sum over rows, in half the time
    picked = tf.gather(
        tf.reshape(logits, (-1,)), tf.range(num_tokens, dtype=Y.dtype) * vocab_size + Y
    )
    loss = tf.reduce_mean(tf.math.log(total) + largest) - tf.reduce_mean(picked)

    def gradients(d_loss):
        share = d_loss / num_tokens
        return exp * (share / total) - tf.one_hot(Y, vocab_size, share, 0.0), None

    return loss, gradients
