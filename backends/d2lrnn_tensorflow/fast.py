"""A faster twin of the loss of sections 9.5 and 9.6, in TensorFlow: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

import tensorflow as tf

from d2lrnn.language_model import NAMES, LanguageModel

from .ops import swapaxes, zeros
from .rnn_scratch import ACTIVATIONS, LONGEST_UNROLLED
from .weights import layers, layout, settings, variables

# The slope phi'(A) by H = phi(A), times the gradient.
TIMES_SLOPE = {
    "tanh": lambda gradient, H: tf.raw_ops.TanhGrad(y=H, dy=gradient),
    "relu": lambda gradient, H: tf.raw_ops.ReluGrad(gradients=gradient, features=H),
}


def recurrence(X, W_xh, W_hh, b_h, activation):
    """H_t = phi(W_xh[X_t] + b_h + H_{t-1} W_hh) from zeros, for tokens X, as (tokens, num_hiddens).

    Tokens pick rows, which is what the product of their one-hot vectors with W_xh comes to. Only the
    gradients by the argument of phi must be had step by step; a weight's is then one product over all
    (section 9.7).
    """
    batch_size = X.shape[1]
    vocab_size, num_hiddens = W_xh.shape
    phi, times_slope = ACTIVATIONS[activation], TIMES_SLOPE[activation]
    zero_state, tokens = zeros((batch_size, num_hiddens)), tf.reshape(X, (-1,))

    @tf.custom_gradient
    def outputs_of(rows, W_hh):
        drive = tf.gather(rows, X)  # (num_steps, batch_size, num_hiddens)
        outputs = scan(lambda H, A: phi(A + tf.matmul(H, W_hh)), drive, zero_state)
        flat = tf.reshape(outputs, (-1, num_hiddens))

        def gradients(d_flat):
            def step(dA, of_step):
                d_output, H = of_step
                return times_slope(d_output + tf.matmul(dA, W_hh, transpose_b=True), H)

            d_outputs = tf.reshape(d_flat, outputs.shape)
            dA = tf.reshape(scan(step, (d_outputs, outputs), zero_state, reverse=True), flat.shape)
            dW_hh = tf.matmul(flat[:-batch_size], dA[batch_size:], transpose_a=True)
            if vocab_size > num_hiddens:
                return tf.math.unsorted_segment_sum(dA, tokens, vocab_size), dW_hh
            return tf.matmul(tf.one_hot(tokens, vocab_size, axis=0), dA), dW_hh

        return flat, gradients

    return outputs_of(W_xh + b_h, W_hh)


def scan(step, inputs, state, reverse=False):
    """As `tf.scan`, but unrolled where it is short."""
    several = isinstance(inputs, tuple)
    if (inputs[0] if several else inputs).shape[0] > LONGEST_UNROLLED:
        return tf.scan(step, inputs, state, reverse=reverse)
    steps = [*zip(*map(tf.unstack, inputs), strict=True)] if several else tf.unstack(inputs)
    states = []
    for of_step in reversed(steps) if reverse else steps:
        state = step(state, of_step)
        states.append(state)
    return tf.stack(states[::-1] if reverse else states)


def twin(model):
    """A function equal to `model.batch_loss`, for a whole model of section 9.5 or 9.6; else None."""
    if not (isinstance(model, LanguageModel) and model.is_whole() and model.has_weights(*NAMES)):
        return None
    inside = [layer for _, layer in layers(model)]
    dropout = any(
        getattr(one, "dropout", 0) or getattr(one, "recurrent_dropout", 0) for one in inside
    )
    if dropout or any(layer.compute_dtype != "float32" for layer in inside):
        return None
    own, paths = variables(model), {piece.names: piece.path for piece in layout(model)}
    activation = settings(model)["activation"]
    if activation not in ACTIVATIONS:
        return None

    def batch_loss(batch):
        X, Y = (swapaxes(tokens, 0, 1) for tokens in batch)  # (num_steps, batch_size)
        W_xh, W_hh, b_h, W_hq, b_q = (tf.convert_to_tensor(own[paths[name,]]) for name in NAMES)
        outputs = recurrence(X, W_xh, W_hh, b_h, activation)
        # Time-major as they are: a mean has no order.
        logits = tf.matmul(outputs, W_hq) + b_q  # (num_steps * batch_size, vocab_size)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(Y, (-1,)), logits)
        return tf.reduce_mean(losses)

    return batch_loss
