"""Section 9.6 in plain TensorFlow, one graph over an unrolled SimpleRNN: the yardstick of `epoch.py`."""

# isort: off
import d2lrnn_tensorflow  # noqa: F401  the same quiet import of TensorFlow
import numpy as np
import tensorflow as tf


class ByHand:
    def __init__(self, setting):
        self.s = setting
        self.X, self.Y = (tf.constant(np.ascontiguousarray(a)) for a in (setting.X, setting.Y))
        self.rnn = tf.keras.layers.SimpleRNN(
            setting.num_hiddens, return_sequences=True, unroll=setting.num_steps <= 64
        )
        self.rnn.build((None, setting.num_steps, setting.vocab_size))
        self.linear = tf.keras.layers.Dense(setting.vocab_size)
        self.linear.build((None, setting.num_steps, setting.num_hiddens))
        self.variables = [v.value for layer in (self.rnn, self.linear) for v in layer.weights]
        # A graph for each size of minibatch: one for any size is a tenth slower.
        self.update = tf.function(self._update)
        self.validate = tf.function(self._loss)

    def _loss(self, rows):
        # Keras's layer wants the batch first; all the rest is faster with the steps first.
        X, Y = (
            tf.transpose(tf.gather(A, rows)) for A in (self.X, self.Y)
        )  # (num_steps, batch_size)
        one_hot = tf.one_hot(X, self.s.vocab_size)
        hiddens = self.rnn(tf.transpose(one_hot, (1, 0, 2)))  # (batch_size, num_steps, num_hiddens)
        logits = self.linear(
            tf.transpose(hiddens, (1, 0, 2))
        )  # (num_steps, batch_size, vocab_size)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=Y, logits=logits)
        return tf.reduce_mean(losses)

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


class Stepper:
    """One token at a time from canonical weights: the yardstick of `predict.py`.

    A graph of these five operations takes more than twice as long to call as they do.
    """

    def __init__(self, weights):
        W_xh, self.W_hh, b_h, self.W_hq, self.b_q = map(tf.constant, weights.values())
        self.rows = tf.unstack(W_xh + b_h)  # what a token adds to the next state
        self.zeros = tf.zeros((1, len(b_h)))

    def step(self, token, H):
        product = tf.raw_ops.MatMul(a=self.zeros if H is None else H, b=self.W_hh)
        H = tf.raw_ops.Tanh(x=tf.raw_ops.BiasAdd(value=product, bias=self.rows[token]))
        product = tf.raw_ops.MatMul(a=H, b=self.W_hq)
        return tf.raw_ops.BiasAdd(value=product, bias=self.b_q).numpy()[0], H


RIVALS = {"by hand": ByHand}
