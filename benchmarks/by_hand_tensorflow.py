"""Section 9.6 in plain TensorFlow, one graph with its gradients by hand: the yardstick of `epoch.py`."""

# isort: off
import d2lrnn_tensorflow  # noqa: F401  the same quiet import of TensorFlow
from itertools import accumulate

import numpy as np
import tensorflow as tf

glorot = tf.keras.initializers.GlorotUniform()


class ByHand:
    """Section 9.6 with the gradients of section 9.7 written out, over time-major rows of W_xh."""

    def __init__(self, setting):
        self.s = s = setting
        self.X, self.Y = (tf.constant(np.ascontiguousarray(a)) for a in (s.X, s.Y))
        self.variables = [
            tf.Variable(glorot((s.vocab_size, s.num_hiddens))),  # W_xh
            tf.Variable(tf.linalg.qr(tf.random.normal((s.num_hiddens, s.num_hiddens)))[0]),  # W_hh
            tf.Variable(tf.zeros(s.num_hiddens)),  # b_h
            tf.Variable(glorot((s.num_hiddens, s.vocab_size))),  # W_hq
            tf.Variable(tf.zeros(s.vocab_size)),  # b_q
        ]
        # A graph for each size of minibatch: one for any size is a tenth slower.
        self.update = tf.function(self._update, autograph=False)
        self.validate = tf.function(self._loss, autograph=False)

    def _loss(self, rows):
        X, Y = (
            tf.transpose(tf.gather(A, rows)) for A in (self.X, self.Y)
        )  # (num_steps, batch_size)
        W_xh, W_hh, b_h, W_hq, b_q = map(tf.convert_to_tensor, self.variables)
        logits = tf.matmul(self._outputs(X, W_xh + b_h, W_hh), W_hq) + b_q
        Y = tf.reshape(Y, (-1,))
        if self.s.vocab_size <= self.s.num_hiddens:
            return self._cross_entropy(logits, Y)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(Y, logits))

    @staticmethod
    @tf.custom_gradient
    def _cross_entropy(logits, Y):
        num_tokens, vocab_size = logits.shape
        largest = tf.reduce_max(logits, 1, keepdims=True)
        exp = tf.exp(logits - largest)
        total = tf.matmul(exp, tf.ones((vocab_size, 1)))
        places = tf.range(num_tokens, dtype=Y.dtype) * vocab_size + Y
        picked = tf.gather(tf.reshape(logits, (-1,)), places)
        loss = tf.reduce_mean(tf.math.log(total) + largest) - tf.reduce_mean(picked)

        def gradients(d_loss):
            share = d_loss / num_tokens
            return exp * (share / total) - tf.one_hot(Y, vocab_size, share, 0.0), None

        return loss, gradients

    def _outputs(self, X, rows, W_hh):
        """All hidden states (num_steps * batch_size, num_hiddens); a weight's gradient is one product."""
        (num_steps, batch_size), vocab_size = X.shape, self.s.vocab_size
        zeros = tf.zeros((batch_size, self.s.num_hiddens))
        tokens = tf.reshape(X, (-1,))

        @tf.custom_gradient
        def run(rows, W_hh):
            def step(H, A):
                return tf.tanh(A + tf.matmul(H, W_hh))

            if num_steps > 64:
                outputs = tf.scan(step, tf.gather(rows, X), zeros)
            else:
                outputs = tf.stack(
                    [*accumulate(tf.unstack(tf.gather(rows, X)), step, initial=zeros)][1:]
                )
            flat = tf.reshape(outputs, (-1, self.s.num_hiddens))

            def gradients(d_flat):
                def back(dA, pair):
                    dH = pair[0] + tf.matmul(dA, W_hh, transpose_b=True)
                    return tf.raw_ops.TanhGrad(y=pair[1], dy=dH)

                d_outputs = tf.reshape(d_flat, outputs.shape)
                if num_steps > 64:
                    dA = tf.scan(back, (d_outputs, outputs), zeros, reverse=True)
                else:
                    pairs = [*zip(tf.unstack(d_outputs), tf.unstack(outputs), strict=True)]
                    dA = tf.stack([*accumulate(pairs[::-1], back, initial=zeros)][:0:-1])
                dA = tf.reshape(dA, flat.shape)
                dW_hh = tf.matmul(flat[:-batch_size], dA[batch_size:], transpose_a=True)
                if vocab_size > self.s.num_hiddens:
                    return tf.math.unsorted_segment_sum(dA, tokens, vocab_size), dW_hh
                return tf.matmul(tf.one_hot(tokens, vocab_size, axis=0), dA), dW_hh

            return flat, gradients

        return run(rows, W_hh)

    def _update(self, rows):
        with tf.GradientTape() as tape:
            loss = self._loss(rows)
        grads = tape.gradient(loss, self.variables)
        grads, _ = tf.clip_by_global_norm(grads, self.s.bound)
        for variable, grad in zip(self.variables, grads, strict=True):
            variable.assign_sub(self.s.lr * grad)
        return loss

    def epoch(self, order):
        """Train in this order, then validate; the losses."""
        size = self.s.batch_size
        train = [
            self.update(tf.constant(order[start : start + size], tf.int64))
            for start in range(0, len(order), size)
        ]
        rows = np.arange(self.s.num_train, len(self.s.X))
        val = [
            self.validate(tf.constant(rows[start : start + size], tf.int64))
            for start in range(0, len(rows), size)
        ]
        return tf.stack(train).numpy(), tf.stack(val).numpy()


RIVALS = {"by hand": ByHand}
