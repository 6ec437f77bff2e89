"""The recurrent network on Keras's own layer, `keras.layers.SimpleRNN` (book, section 9.6)."""

import tensorflow as tf
from tensorflow.keras.initializers import GlorotUniform, Orthogonal

from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.module import single_state
from d2lrnn.weights import seed_at

from .module import Module
from .ops import expand_dims, numpy, swapaxes
from .rnn_scratch import ACTIVATIONS, LONGEST_UNROLLED, RNNLMScratch
from .weights import assign, places


class RNN(Module):
    """A recurrent layer on `keras.layers.SimpleRNN` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_hiddens: size of H_t.
        num_inputs: size of X_t; left out, that of the vocabulary, or of the first input.
        activation: 'tanh' or 'relu'.
        seed: of Keras's own initialisers; None draws from Keras's global stream.
    """

    def __init__(self, num_hiddens, num_inputs=None, *, activation="tanh", seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_sizes(num_hiddens=num_hiddens)
        check_one_of("activation", activation, ACTIVATIONS)
        self.rnn = self.layer(num_inputs)
        if num_inputs is not None:
            self.build(num_inputs)

    def layer(self, num_inputs):
        """Keras's layer; the size of its inputs is told to its `build`."""
        return tf.keras.layers.SimpleRNN(self.num_hiddens, self.activation, **self.options())

    def options(self):
        """Of any recurrent layer of Keras's: what it draws from, and that it returns all there is."""
        seed = seed_at(self.seed, self.path)
        return {
            "kernel_initializer": GlorotUniform(seed=stream(seed, 0)),
            "recurrent_initializer": Orthogonal(seed=stream(seed, 1)),
            "seed": stream(seed, 0),  # of dropout, which is off
            "return_sequences": True,
            "return_state": True,
        }

    def build(self, num_inputs):
        """Make the weights for inputs of this size."""
        check_sizes(num_inputs=num_inputs)
        self.num_inputs = num_inputs
        self.rnn.build((None, None, num_inputs))
        if self.path:
            assign(self, self.initial(self.path))

    def initial(self, path):
        """The initial weights of a layer at `path` below the model."""
        if not self.rnn.built:
            return {}
        before, self.path = self.path, path
        layer, self.path = self.layer(self.num_inputs), before
        layer.build((None, None, self.num_inputs))
        return {name: numpy(variable) for name, variable in places(layer, "rnn").items()}

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (1, batch_size, num_hiddens).

        Returns all outputs (num_steps, batch_size, num_hiddens), and the last state (1, ...).
        """
        if not self.rnn.built:
            self.build(inputs.shape[-1])
        check_inputs(inputs.shape[-1], self.num_inputs)
        num_steps = inputs.shape[0]  # None where it is not known when a graph is made
        self.rnn.unroll = num_steps is not None and num_steps <= LONGEST_UNROLLED
        state = None if state is None else single_state(state)  # (batch_size, num_hiddens)
        # Keras takes the batch first: (batch_size, num_steps, num_hiddens).
        outputs, *states = self.rnn(swapaxes(inputs, 0, 1), state)
        states = tuple(expand_dims(H, 0) for H in states)
        return swapaxes(outputs, 0, 1), states if len(states) > 1 else states[0]


class RNNLM(RNNLMScratch):
    """A language model on Keras's own layers (book, section 9.6.1): `RNN`, then `keras.layers.Dense`.

    Args:
        rnn: the recurrent layer.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of Keras's own initialiser; None draws from Keras's global stream.
    """

    def init_params(self):
        if isinstance(self.rnn, RNN) and not self.rnn.rnn.built:
            self.rnn.build(self.vocab_size)
        initializer = GlorotUniform(seed=stream(self.seed, 2))
        self.linear = tf.keras.layers.Dense(self.vocab_size, kernel_initializer=initializer)
        self.linear.build((None, None, self.rnn.num_hiddens))

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)


def stream(seed, index):
    """The seed of one of several independent initialisers; None stays None."""
    return None if seed is None else 3 * int(seed) + index
