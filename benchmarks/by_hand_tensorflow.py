"""Sections 9.6 to 11.4 in plain TensorFlow, each a graph: the yardstick of `epoch.py`."""

# isort: off
import d2lrnn_tensorflow  # noqa: F401  the same quiet import of TensorFlow
from itertools import accumulate

import numpy as np
import tensorflow as tf

glorot = tf.keras.initializers.GlorotUniform()


class Loop:
    """Training and validation in two graphs; a subclass makes its variables and has the loss."""

    def __init__(self, setting):
        self.s = setting
        self.X, self.Y = (tf.constant(np.ascontiguousarray(a)) for a in (setting.X, setting.Y))
        self.variables = self.made(setting.vocab_size, setting.num_hiddens)
        # A graph for each size of minibatch: one for any size is a tenth slower.
        self.update = tf.function(self._update, autograph=False)
        self.validate = tf.function(self._loss, autograph=False)

    def minibatch(self, rows):
        """X and Y (num_steps, batch_size)."""
        return (tf.transpose(tf.gather(A, rows)) for A in (self.X, self.Y))

    def gradients(self, tape, loss):
        return tape.gradient(loss, self.variables)

    def _update(self, rows):
        with tf.GradientTape() as tape:
            loss = self._loss(rows)
        grads, _ = tf.clip_by_global_norm(self.gradients(tape, loss), self.s.bound)
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
        rows = self.s.num_train + np.arange(self.s.num_val)
        val = [
            self.validate(tf.constant(rows[start : start + size], tf.int64))
            for start in range(0, len(rows), size)
        ]
        return tf.stack(train).numpy(), tf.stack(val).numpy()


class ByHand(Loop):
    """Section 9.6 with the gradients of section 9.7 written out, over time-major rows of W_xh."""

    def made(self, v, h):
        return [
            tf.Variable(glorot((v, h))),  # W_xh
            tf.Variable(tf.linalg.qr(tf.random.normal((h, h)))[0]),  # W_hh
            tf.Variable(tf.zeros(h)),  # b_h
            tf.Variable(glorot((h, v))),  # W_hq
            tf.Variable(tf.zeros(v)),  # b_q
        ]

    def _loss(self, rows):
        X, Y = self.minibatch(rows)
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


class OnLayer(Loop):
    """Layers of Keras's above each other over one-hot vectors, unrolled; one bias a gate trains."""

    layer, num_layers = tf.keras.layers.LSTM, 1

    def made(self, v, h):
        self.layers = [
            self.layer(h, return_sequences=True, unroll=len(self.s.X[0]) <= 64)
            for _ in range(self.num_layers)
        ]
        self.linear = tf.keras.layers.Dense(v)
        sizes = [v] + [h] * self.num_layers
        for layer, size in zip([*self.layers, self.linear], sizes, strict=True):
            layer.build((None, None, size))
        both = [*self.layers, self.linear]
        return [variable.value for layer in both for variable in layer.trainable_variables]

    def _loss(self, rows):
        X, Y = (tf.gather(A, rows) for A in (self.X, self.Y))  # (batch_size, num_steps)
        outputs = tf.one_hot(X, self.s.vocab_size)
        for layer in self.layers:
            outputs = layer(outputs)
        logits = tf.reshape(self.linear(outputs), (-1, self.s.vocab_size))
        Y = tf.reshape(Y, (-1,))
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(Y, logits))

    def gradients(self, tape, loss):
        """Those of a GRU's second bias, a row of its own, are left out."""
        grads = tape.gradient(loss, self.variables)
        second = [variable.shape[:-1] == (2,) for variable in self.variables]
        return [g * [[1.0], [0.0]] if s else g for g, s in zip(grads, second, strict=True)]


class OnGRU(OnLayer):
    layer = tf.keras.layers.GRU


class OnTwoGRUs(OnGRU):
    num_layers = 2


class Translating(Loop):
    """Section 10.7: two layers of Keras's GRUs read the source, two write the target, unrolled.

    A padded source does no harm: a state after the last valid token is one of its layer's outputs.
    """

    def __init__(self, setting):
        self.s = setting
        self.arrays = [tf.constant(np.ascontiguousarray(array)) for array in setting.data.arrays]
        self.pad, h = setting.data.tgt_vocab["<pad>"], setting.num_hiddens
        self.layers = self.made(len(setting.data.src_vocab), setting.vocab_size, h)
        self.variables = [v for layer in self.layers.values() for v in layer.trainable_variables]
        self.optimizer = tf.keras.optimizers.Adam(setting.lr, epsilon=1e-8)
        self.optimizer.build(self.variables)
        self.update = tf.function(self._update, autograph=False)
        self.validate = tf.function(self._loss, autograph=False)

    def made(self, src, tgt, h):
        layers = {
            "source": tf.keras.layers.Embedding(src, h),
            "encoder_0": self.gru(h),
            "encoder_1": self.gru(h),
            "target": tf.keras.layers.Embedding(tgt, h),
            "decoder_0": self.gru(2 * h),
            "decoder_1": self.gru(h),
            "dense": tf.keras.layers.Dense(tgt),
        }
        layers["dense"].build((None, None, h))
        for name in "source", "target":
            layers[name].build()
        return layers

    def gru(self, num_inputs):
        layer = tf.keras.layers.GRU(self.s.num_hiddens, return_sequences=True, unroll=True)
        layer.build((None, None, num_inputs))
        return layer

    def _update(self, rows):
        with tf.GradientTape() as tape:
            loss = self._loss(rows, training=True)
        grads = tape.gradient(loss, [variable.value for variable in self.variables])
        grads = [  # those of a GRU's second bias are left out
            g * [[1.0], [0.0]] if v.shape[:-1] == (2,) else tf.convert_to_tensor(g)
            for g, v in zip(grads, self.variables, strict=True)
        ]
        grads, _ = tf.clip_by_global_norm(grads, self.s.bound)
        self.optimizer.apply_gradients(zip(grads, self.variables, strict=True))
        return loss

    def drop(self, x, training):
        return tf.nn.dropout(x, self.s.dropout) if training and self.s.dropout else x

    def _loss(self, rows, training=False):
        src, tgt, lengths, labels = (tf.gather(array, rows) for array in self.arrays)
        outputs, state = self.layers["source"](src), []  # (batch_size, num_steps, num_hiddens)
        for i in range(2):
            inputs = self.drop(outputs, training) if i else outputs
            outputs = self.layers[f"encoder_{i}"](inputs)
            state.append(tf.gather(outputs, lengths - 1, batch_dims=1))
        embs = self.layers["target"](tgt)
        hiddens = self.decoded(embs, outputs, lengths, state, training)
        logits = tf.reshape(self.layers["dense"](hiddens), (-1, self.s.vocab_size))
        labels = tf.reshape(labels, (-1,))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        mask = tf.cast(labels != self.pad, tf.float32)
        return tf.reduce_sum(losses * mask) / tf.reduce_sum(mask)

    def decoded(self, embs, outputs, lengths, state, training):
        context = tf.repeat(state[-1][:, None], embs.shape[1], 1)
        hiddens = self.layers["decoder_0"](tf.concat((embs, context), -1), state[0])
        return self.layers["decoder_1"](self.drop(hiddens, training), state[1])


class Attending(Translating):
    """Section 11.4: in each step the last layer's state asks for the outputs of the source."""

    def made(self, src, tgt, h):
        layers = super().made(src, tgt, h)
        for name, size in ("W_q", h), ("W_k", h), ("w_v", 1):
            layers[name] = tf.keras.layers.Dense(size, use_bias=False)
            layers[name].build((None, h))
        return layers

    def decoded(self, embs, outputs, lengths, state, training):
        keys = self.layers["W_k"](outputs)  # the same in all steps
        is_valid, hiddens = tf.sequence_mask(lengths, outputs.shape[1]), []
        lowest, above = (self.layers[f"decoder_{i}"].cell for i in range(2))
        for x in tf.unstack(embs, axis=1):  # (batch_size, num_hiddens)
            query = self.layers["W_q"](state[1])[:, None]
            scores = self.layers["w_v"](tf.tanh(query + keys))[..., 0]
            weights = tf.nn.softmax(tf.where(is_valid, scores, -1e6))
            context = tf.matmul(self.drop(weights, training)[:, None], outputs)[:, 0]
            H, _ = lowest(tf.concat((context, x), -1), [state[0]])
            top, _ = above(self.drop(H, training), [state[1]])
            state = H, top
            hiddens.append(top)
        return tf.stack(hiddens, 1)


RIVALS = {"by hand": ByHand}
RIVALS_OF = {
    "rnn": RIVALS,
    "lstm": {"by hand": OnLayer},
    "gru": {"by hand": OnGRU},
    "deep-gru": {"by hand": OnTwoGRUs},
    "seq2seq": {"by hand": Translating},
    "seq2seq-attention": {"by hand": Attending},
}
