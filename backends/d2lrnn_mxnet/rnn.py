"""The recurrent network on MXNet's own layer, `mxnet.gluon.rnn.RNN` (book, section 9.6)."""

from mxnet.gluon import nn, rnn

from d2lrnn.hyperparameters import check_inputs
from d2lrnn.weights import seed_at

from .deep_rnn import with_dropout
from .module import Module
from .ops import stack, swapaxes
from .rnn_scratch import RNNLMScratch
from .weights import SCALE, SeededUniform, arrays, initial


class RNN(Module):
    """Recurrent layers above each other, on `mxnet.gluon.rnn.RNN` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_hiddens: size of H_t.
        num_layers: how many; each but the first runs over the outputs of the one below.
        dropout: the share of these outputs that is dropped, between two layers, in training.
        num_inputs: size of X_t; left out, that of the first input.
        activation: 'tanh' or 'relu', gluon's default, with which the book's MXNet run was made.
        seed: of the initial weights, see `SeededUniform`; None draws them from MXNet's global stream.
    """

    initial_scale = SCALE
    num_inputs, dropout = None, 0  # unless a subclass of a reader's says otherwise

    def __init__(self, num_hiddens, num_layers=1, dropout=0, *, num_inputs=None,
                 activation="tanh", seed=0):  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.begin()

    def begin(self):
        """Build the layer, for inputs of a size that may not be known yet."""
        self.build(self.num_inputs or 0)

    def layer(self, num_inputs):
        """Gluon's layer for inputs of this size."""
        sizes = self.num_hiddens, self.num_layers
        return rnn.RNN(*sizes, activation=self.activation, input_size=num_inputs)

    def build(self, num_inputs):
        """Make the layer for inputs of this size; its second bias is held at zero and not trained."""
        self.rnn = self.layer(num_inputs)
        for name, parameter in self.rnn.collect_params().items():
            if name.endswith("h2h_bias"):
                parameter.grad_req = "null"
            elif name.endswith("weight") and self.seed is not None and parameter.init is None:
                name = name.removeprefix(self.rnn.prefix)
                parameter.init = SeededUniform(name, self, self.initial_scale)
        self.initialize()

    def initial(self, path):
        """The initial weights of a layer at `path` below the model."""
        return initial(arrays(self), seed_at(self.seed, path), self.initial_scale)

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state`, by default zeros.

        Returns all outputs (num_steps, batch_size, num_hiddens), and the last state, each of its arrays
        (num_layers, batch_size, num_hiddens).
        """
        if self.num_inputs is None:
            self.num_inputs = inputs.shape[-1]
        check_inputs(inputs.shape[-1], self.num_inputs)
        outputs, state = with_dropout(self.rnn, self.dropout, inputs, state)
        return outputs, state[0] if len(state) == 1 else tuple(state)


class RNNLM(RNNLMScratch):
    """A language model on MXNet's own layers (book, section 9.6.1): `RNN`, then `gluon.nn.Dense`.

    Its arguments are those of `RNNLMScratch`; a seed of None draws from MXNet's global stream.
    """

    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, flatten=False)
        if self.seed is not None:
            self.linear.weight.init = SeededUniform("dense_weight", self)
        self.initialize()

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        hiddens = stack(hiddens) if isinstance(hiddens, list) else hiddens  # if from scratch
        return swapaxes(self.linear(hiddens), 0, 1)
