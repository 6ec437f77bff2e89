"""The recurrent network on Keras's own layer, `keras.layers.SimpleRNN` (book, section 9.6)."""

from inspect import signature

import tensorflow as tf
from tensorflow.keras.layers import Dense, Dropout, SimpleRNN

from d2lrnn.arguments import checked
from d2lrnn.hyperparameters import check_inputs
from d2lrnn.weights import seed_at

from .deep_rnn import run_layers
from .module import Module
from .ops import stack, swapaxes
from .rnn_scratch import RNNLMScratch
from .variables import glorot, has_sizes, recurrent_options
from .weights import arrays, assign


class RNN(Module):
    """Recurrent layers above each other, on `keras.layers.SimpleRNN` (book, sections 9.6.1 and 10.3.2).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_hiddens: size of H_t.
        num_layers: how many; each but the first runs over the outputs of the one below.
        dropout: the share of these outputs that is dropped between two layers, in training.
        num_inputs: size of X_t; left out, that of the vocabulary, or of the first input.
        activation: 'tanh' or 'relu'.
        seed: of Keras's own initialisers; None draws from Keras's global stream.
    """

    def __init__(self, num_hiddens, num_layers=1, dropout=0, *, num_inputs=None,
                 activation="tanh", seed=0):  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.drop = Dropout(dropout, seed=seed)
        several = [self.layer(f"{i}.") for i in range(num_layers) if num_layers > 1]
        self.rnn = several or self.layer("")
        if num_inputs is not None:
            self.build(self.num_inputs)

    def layer(self, start):
        """Keras's layer, drawn from the seed and `start`, the place of its weights; `build` gives sizes."""
        return SimpleRNN(self.num_hiddens, self.activation, **recurrent_options(self.seed, start))

    def build(self, num_inputs):
        """Make the weights for inputs of this size."""
        self.num_inputs = checked("num_inputs", num_inputs)
        shape = (None, None, self.num_inputs)
        for layer in tf.nest.flatten(self.rnn):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)[0]  # beside those of the states
        if self.path:
            assign(self, self.initial(self.path))

    def initial(self, path):
        """The initial weights of a layer at `path` below the model."""
        options = {name: self.hparams[name] for name in signature(type(self)).parameters}
        options |= {"num_inputs": self.num_inputs, "seed": seed_at(self.seed, path)}
        return arrays(type(self)(**options))

    def forward(self, inputs, state=None, mask=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state`, by default zeros.

        Returns all outputs, likewise, and the last state H or (H, C), (num_layers, batch_size, num_hiddens).
        Where `mask` (batch_size, num_steps) is False, both stay as they were a step before.
        """
        if not has_sizes(self):
            self.build(inputs.shape[-1])
        check_inputs(inputs.shape[-1], getattr(self, "num_inputs", inputs.shape[-1]))
        return run_layers(self.rnn, inputs, state, mask, getattr(self, "drop", None))


class RNNLM(RNNLMScratch):
    """A language model on Keras's own layers (book, section 9.6.1): a layer, then `keras.layers.Dense`.

    Its arguments are those of `RNNLMScratch`; a seed None draws from Keras's global stream.
    """

    def init_params(self):
        if isinstance(self.rnn, RNN) and not has_sizes(self.rnn):
            self.rnn.build(self.vocab_size)
        self.linear = Dense(self.vocab_size, kernel_initializer=glorot(self.seed, 2))
        self.linear.build((None, None, self.rnn.num_hiddens))

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(stack(hiddens)), 0, 1)  # of a list of steps, or as it is
