"""The recurrent network on Keras's own layer, `keras.layers.SimpleRNN` (book, section 9.6)."""

from tensorflow.keras.initializers import GlorotUniform
from tensorflow.keras.layers import Dense, SimpleRNN

from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.module import single_state

from .module import Module, recurrent_options
from .ops import numpy, swapaxes
from .rnn_scratch import ACTIVATIONS, LONGEST_UNROLLED, RNNLMScratch
from .weights import assign, places, stream


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
        return SimpleRNN(self.num_hiddens, self.activation, **recurrent_options(self))

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
        self.rnn.unroll = 0 < (inputs.shape[0] or 0) <= LONGEST_UNROLLED  # None in some graphs
        state = None if state is None else single_state(state)  # (batch_size, num_hiddens)
        outputs, *states = self.rnn(swapaxes(inputs, 0, 1), state)  # Keras takes the batch first
        states = tuple(H[None] for H in states)  # (1, batch_size, num_hiddens)
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
        self.linear = Dense(self.vocab_size, kernel_initializer=GlorotUniform(stream(self.seed, 2)))
        self.linear.build((None, None, self.rnn.num_hiddens))

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)
