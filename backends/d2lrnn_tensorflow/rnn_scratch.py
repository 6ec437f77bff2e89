"""The recurrent network from scratch, in TensorFlow (book, section 9.5)."""

from __future__ import annotations

import tensorflow as tf

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_inputs, check_one_of, check_positive, check_sizes
from d2lrnn.language_model import LanguageModel, single_state
from d2lrnn.weights import draw

from .module import Classifier, Module, Traced
from .ops import device_name, from_numpy, matmul, numpy, stack, swapaxes, zeros
from .weights import canonical, layers_of, storage

LONGEST_UNROLLED = 64  # steps; unrolling is a little faster, but its graph takes long to make
ACTIVATIONS = {"tanh": tf.tanh, "relu": tf.nn.relu}


class RNNScratch(Module):
    """A recurrent layer written out (book, section 9.5.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t.
        sigma: standard deviation of the initial weights.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights, which are the same on every backend.
    """

    def __init__(self, num_inputs, num_hiddens, sigma=0.01, *, activation="tanh", seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_sizes(num_inputs=num_inputs, num_hiddens=num_hiddens)
        check_positive(sigma=sigma)
        check_one_of("activation", activation, ACTIVATIONS)
        self.W_xh = tf.Variable(draw("W_xh", (num_inputs, num_hiddens), sigma, seed))
        self.W_hh = tf.Variable(draw("W_hh", (num_hiddens, num_hiddens), sigma, seed))
        self.b_h = tf.Variable(zeros(num_hiddens))

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Returns a list of num_steps tensors (batch_size, num_hiddens), and the last of them.
        """
        check_inputs(inputs.shape[-1], self.num_inputs)
        phi = ACTIVATIONS[self.activation]
        H = zeros((inputs.shape[1], self.num_hiddens)) if state is None else single_state(state)

        def next_state(H, X):  # (batch_size, num_hiddens), (batch_size, num_inputs)
            return phi(matmul(X, self.W_xh) + matmul(H, self.W_hh) + self.b_h)

        if inputs.shape[0] > LONGEST_UNROLLED:
            outputs = tf.unstack(tf.scan(next_state, inputs, H))
            return outputs, outputs[-1]
        outputs = []
        for X in tf.unstack(inputs):
            H = next_state(H, X)
            outputs.append(H)
        return outputs, H


class RNNLMScratch(LanguageModel, Classifier):
    """A language model over a recurrent layer (book, section 9.5.2).

    O_t = H_t W_hq + b_q are the logits of the token that follows X_t.

    Args:
        rnn: a recurrent layer: called with (num_steps, batch_size, vocab_size) and a state.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of the initial weights, which are the same on every backend.
    """

    def __init__(self, rnn, vocab_size, lr=0.01, *, seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_sizes(vocab_size=vocab_size)
        check_positive(lr=lr)
        self.lr = float(lr)  # a reader's keras.optimizers.SGD(self.lr) refuses a whole number
        self.init_params()

    def init_params(self):
        shape = (self.rnn.num_hiddens, self.vocab_size)
        self.W_hq = tf.Variable(draw("W_hq", shape, self.rnn.sigma, self.seed))
        self.b_q = tf.Variable(zeros(self.vocab_size))

    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        return tf.one_hot(swapaxes(X, 0, 1), self.vocab_size)

    def output_layer(self, rnn_outputs):
        """Hidden states, num_steps of (batch_size, num_hiddens), to (batch_size, num_steps, vocab_size)."""
        hiddens = stack(rnn_outputs, 1)  # (batch_size, num_steps, num_hiddens)
        return tf.tensordot(hiddens, self.W_hq, 1) + self.b_q

    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        embs = self.one_hot(X)
        rnn_outputs, _ = self.rnn(embs, state)
        return self.output_layer(rnn_outputs)

    def step(self, token, state, device=None):
        if device is not None and device_name(device) != self.device:
            raise ArgumentError(
                f"device={device_name(device)}: the model is on {self.device}. Leave device out, or "
                f"make the model inside `with tf.device({device_name(device)!r}):`."
            )
        if state is None or not hasattr(self, "_step"):
            self._trace_step()
        with self._step_device:
            logits, state = self._step(tf.constant(token, tf.int64), state)
        return numpy(logits), state

    def _trace_step(self):
        """Make one graph for all predictions, until the model's methods or variables change."""
        names = ("one_hot", "output_layer", "forward", "call", "__call__")
        methods = [getattr(type(layer), n, None) for layer in layers_of(self) for n in names]
        made_of = methods + [id(storage(variable)) for variable in self.variables]
        if vars(self).get("_step_made_of") != made_of:
            vars(self).update(  # not as attributes, which Keras would track
                _step=Traced(self._one_step),
                _step_made_of=made_of,
                _step_device=tf.device(self.device),
            )

    def _one_step(self, token, state):
        rnn_outputs, state = self.rnn(self.one_hot(tf.reshape(token, (1, 1))), state)
        return tf.reshape(self.output_layer(rnn_outputs), (-1,)), state  # (vocab_size,)

    def recurrence(self, X, state=None):
        with tf.device(self.device):
            outputs, state = self.rnn(self.one_hot(from_numpy(X)), self._state(state))
            outputs = stack(outputs) if isinstance(outputs, list) else outputs
        return numpy(outputs), numpy(state).reshape(-1, *outputs.shape[1:])

    def logits(self, X, state=None):
        with tf.device(self.device):
            return numpy(self(from_numpy(X), self._state(state)))

    def gradients(self, X, Y, state=None):
        with tf.device(self.device), tf.GradientTape() as tape:
            loss = self.loss(self(from_numpy(X), self._state(state)), from_numpy(Y))
        variables = {name: v for name, v in canonical(self).items() if v.trainable}
        gradients = tape.gradient(loss, list(variables.values()))
        return float(loss), dict(zip(variables, map(numpy, gradients), strict=True))

    def _state(self, state):
        return None if state is None else from_numpy(state)
