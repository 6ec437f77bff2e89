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
        signature = [tf.TensorSpec((None,), tf.int64)]
        self.update = tf.function(self._update, input_signature=signature)
        self.validate = tf.function(self._loss, input_signature=signature)

    def _loss(self, rows):
        X, Y = tf.gather(self.X, rows), tf.gather(self.Y, rows)  # (batch_size, num_steps)
        X = tf.ensure_shape(X, (None, self.s.num_steps))
        one_hot = tf.one_hot(X, self.s.vocab_size)
        logits = self.linear(self.rnn(one_hot))  # (batch_size, num_steps, vocab_size)
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


RIVALS = {"by hand": ByHand}
