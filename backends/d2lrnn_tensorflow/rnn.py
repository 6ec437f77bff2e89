"""The recurrent network on Keras's own layer, `keras.layers.SimpleRNN` (book, section 9.6)."""

from __future__ import annotations

import tensorflow as tf

from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.language_model import single_state
from d2lrnn.module import keeps_library_step, library_step

from .module import Module
from .ops import expand_dims, swapaxes, zeros
from .rnn_scratch import ACTIVATIONS, LONGEST_UNROLLED, RNNLMScratch, recur


class RNN(Module):
    """A recurrent layer on `keras.layers.SimpleRNN` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Keras layers take the batch first, `RNN` takes the steps first, as in the book: it transposes.

    Args:
        num_hiddens: size of H_t.
        num_inputs: size of X_t; if left out, taken from the vocabulary of the `RNNLM` around it, or
            from the first input.
        activation: 'tanh' or 'relu'.
        seed: of Keras's own initialisers; None draws from Keras's global stream.
    """

    def __init__(self, num_hiddens, num_inputs=None, *, activation="tanh", seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_sizes(num_hiddens=num_hiddens)
        check_one_of("activation", activation, ACTIVATIONS)
        self.rnn = tf.keras.layers.SimpleRNN(
            num_hiddens,
            activation=activation,
            kernel_initializer=tf.keras.initializers.GlorotUniform(seed=stream(seed, 0)),
            recurrent_initializer=tf.keras.initializers.Orthogonal(seed=stream(seed, 1)),
            return_sequences=True,
            return_state=True,
            seed=stream(seed, 0),  # of dropout, which is off
        )
        if num_inputs is not None:
            self.make_weights(num_inputs)

    def make_weights(self, num_inputs):
        """Make the weights for inputs of this size."""
        check_sizes(num_inputs=num_inputs)
        self.num_inputs = num_inputs
        self.rnn.build((None, None, num_inputs))

    @library_step
    def forward(self, inputs, H=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from H (1, batch_size, num_hiddens).

        Tokens (num_steps, batch_size) stand for their one-hot vectors.

        Returns all hidden states (num_steps, batch_size, num_hiddens), and the last (1, ...).
        """
        if inputs.shape.rank == 2 and inputs.dtype.is_integer:
            return self.run_over_rows(inputs, H)
        if not self.rnn.built:
            self.make_weights(inputs.shape[-1])
        check_inputs(inputs.shape[-1], self.num_inputs)
        num_steps = inputs.shape[0]  # None where it is not known when the graph is made
        self.rnn.unroll = num_steps is not None and num_steps <= LONGEST_UNROLLED
        H = None if H is None else single_state(H)  # (batch_size, num_hiddens)
        outputs, H = self.rnn(swapaxes(inputs, 0, 1), H)  # (batch_size, num_steps, num_hiddens)
        return swapaxes(outputs, 0, 1), expand_dims(H, 0)

    def run_over_rows(self, tokens, H):
        """The equation of `SimpleRNN` on the rows of its W_xh that `tokens` pick, without the layer."""
        cell = self.rnn.cell
        rows = tf.gather(cell.kernel.value, tokens)  # (num_steps, batch_size, num_hiddens)
        H = zeros((tf.shape(tokens)[1], self.num_hiddens)) if H is None else single_state(H)
        outputs = recur(rows + cell.bias, H, cell.recurrent_kernel.value, cell.activation)
        return outputs, outputs[-1:]

    def is_as_built(self, num_inputs):
        """Whether it is the library's, of inputs of this size, and nothing of it is the reader's."""
        layer = self.rnn
        return (
            all(keeps_library_step(self, method) for method in ("call", "forward"))
            and type(layer) is tf.keras.layers.SimpleRNN  # not another that a reader has put there
            and layer.built
            and layer.cell.kernel.shape == (num_inputs, self.num_hiddens)
            and not (layer.dropout or layer.recurrent_dropout or layer.go_backwards)
            and layer.use_bias
        )


class RNNLM(RNNLMScratch):
    """A language model on Keras's own layers (book, section 9.6.1): `RNN`, then `keras.layers.Dense`.

    Args:
        rnn: the recurrent layer.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of Keras's own initialiser; None draws from Keras's global stream.
    """

    @library_step
    def init_params(self):
        if isinstance(self.rnn, RNN) and not self.rnn.rnn.built:
            self.rnn.make_weights(self.vocab_size)
        initializer = tf.keras.initializers.GlorotUniform(seed=stream(self.seed, 2))
        self.linear = tf.keras.layers.Dense(self.vocab_size, kernel_initializer=initializer)
        self.linear.build((None, None, self.rnn.num_hiddens))

    def is_as_built(self):
        return type(self.linear) is tf.keras.layers.Dense and super().is_as_built()

    @library_step
    def output_layer(self, hiddens):
        """Hidden states (num_steps, batch_size, num_hiddens) to (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)


def stream(seed, index):
    """The seed of one of several independent initialisers; None stays None."""
    return None if seed is None else 3 * int(seed) + index
