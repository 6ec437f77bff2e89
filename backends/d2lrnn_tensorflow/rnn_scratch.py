"""The recurrent network from scratch, in TensorFlow (book, section 9.5)."""

from __future__ import annotations

from functools import cache

import tensorflow as tf

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_inputs, check_one_of, check_positive, check_sizes
from d2lrnn.language_model import LanguageModel, single_state
from d2lrnn.module import keeps_library_step, library_step
from d2lrnn.weights import draw

from .module import Classifier, Module, Traced, dense
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

    @library_step
    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Tokens (num_steps, batch_size) stand for their one-hot vectors.

        Returns a list of num_steps tensors (batch_size, num_hiddens), and the last of them.
        """
        if inputs.shape.rank == 2:
            inputs_W_xh = tf.gather(self.W_xh, inputs)  # the rows that one-hot vectors pick
        else:
            check_inputs(inputs.shape[-1], self.num_inputs)
            inputs_W_xh = tf.tensordot(inputs, self.W_xh, 1)  # (num_steps, batch_size, num_hiddens)
        H = zeros((inputs.shape[1], self.num_hiddens)) if state is None else single_state(state)
        phi = ACTIVATIONS[self.activation]
        outputs = recur(inputs_W_xh + self.b_h, H, self.W_hh, phi)
        return tf.unstack(outputs), outputs[-1]

    def is_as_built(self, num_inputs):
        """Whether it is the library's, of inputs of this size, and nothing of it is the reader's."""
        keeps = all(keeps_library_step(self, method) for method in ("call", "forward"))
        return keeps and num_inputs == self.num_inputs


def recur(inputs, H, W_hh, phi):
    """H_t = phi(inputs_t + H_{t-1} W_hh), all of them: (num_steps, batch_size, num_hiddens)."""

    def next_state(H, X):  # (batch_size, num_hiddens) each
        return phi(X + matmul(H, W_hh))

    num_steps = inputs.shape[0]  # None where it is not known when the graph is made
    if num_steps is None or num_steps > LONGEST_UNROLLED:
        return tf.scan(next_state, inputs, H)
    outputs = []
    for X in tf.unstack(inputs):
        H = next_state(H, X)
        outputs.append(H)
    return stack(outputs)


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

    @library_step
    def init_params(self):
        shape = (self.rnn.num_hiddens, self.vocab_size)
        self.W_hq = tf.Variable(draw("W_hq", shape, self.rnn.sigma, self.seed))
        self.b_q = tf.Variable(zeros(self.vocab_size))

    @library_step
    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        return tf.one_hot(swapaxes(X, 0, 1), self.vocab_size)

    def layer_inputs(self, X):
        """What the recurrent layer is run over: the one-hot vectors of `X`, or `X` time-major."""
        return swapaxes(X, 0, 1) if self.picks_rows() else self.one_hot(X)

    @library_step
    def output_layer(self, rnn_outputs):
        """Hidden states, num_steps of (batch_size, num_hiddens), to (batch_size, num_steps, vocab_size)."""
        hiddens = stack(rnn_outputs, 1)  # (batch_size, num_steps, num_hiddens)
        return tf.tensordot(hiddens, self.W_hq, 1) + self.b_q

    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        rnn_outputs, _ = self.rnn(self.layer_inputs(X), state)
        return self.output_layer(rnn_outputs)

    @library_step
    def step(self, token, state, device=None):
        self.check_device(device)
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
        rnn_outputs, state = self.rnn(self.layer_inputs(tf.reshape(token, (1, 1))), state)
        return tf.reshape(self.output_layer(rnn_outputs), (-1,)), state  # (vocab_size,)

    def stepper(self, device=None):
        if not self.is_as_built():
            return super().stepper(device)
        self.check_device(device)
        with tf.device(self.device):
            W_xh, W_hh, b_h, W_hq, b_q = map(from_numpy, self.get_weights().values())
            rows = W_xh + b_h  # (vocab_size, num_hiddens): what a token adds to the next state
            zero_state = zeros((1, self.rnn.num_hiddens))
        row = cache(rows.__getitem__)  # which takes longer than the product with W_hh
        phi = ACTIVATIONS[self.rnn.activation]
        product, sum_of = (
            tf.raw_ops.MatMul,
            tf.raw_ops.BiasAdd,
        )  # without what tf.matmul does in Python

        def step(token, H):
            H = zero_state if H is None else H  # (1, num_hiddens)
            H = phi(sum_of(value=product(a=H, b=W_hh), bias=row(token)))
            return sum_of(value=product(a=H, b=W_hq), bias=b_q).numpy()[0], H

        return step

    def check_device(self, device):
        if device is not None and device_name(device) != self.device:
            raise ArgumentError(
                f"device={device_name(device)}: the model is on {self.device}. Leave device out, or "
                f"make the model inside `with tf.device({device_name(device)!r}):`."
            )

    def recurrence(self, X, state=None):
        with tf.device(self.device):
            outputs, state = self.rnn(self.layer_inputs(from_numpy(X)), self._state(state))
            outputs = stack(outputs) if isinstance(outputs, list) else outputs
        return numpy(outputs), numpy(state).reshape(-1, *outputs.shape[1:])

    def logits(self, X, state=None):
        with tf.device(self.device):
            return numpy(self(from_numpy(X), self._state(state)))

    def gradients(self, X, Y, state=None):
        with tf.device(self.device), tf.GradientTape() as tape:
            loss = self.loss(self(from_numpy(X), self._state(state)), from_numpy(Y))
        variables = {name: v for name, v in canonical(self).items() if v.trainable}
        gradients = dense(tape.gradient(loss, list(variables.values())))
        return float(loss), dict(zip(variables, map(numpy, gradients), strict=True))

    def _state(self, state):
        return None if state is None else from_numpy(state)
