"""The recurrent network on PyTorch's own layer, `torch.nn.RNN` (book, section 9.6)."""

from torch import nn

from d2lrnn.arguments import check, checked
from d2lrnn.hyperparameters import check_inputs
from d2lrnn.weights import seed_at

from .module import Module, seeded
from .ops import stack, swapaxes
from .rnn_scratch import RNNLMScratch
from .weights import arrays, hold_second_bias


class RNN(Module):
    """Recurrent layers above each other, on `torch.nn.RNN` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_inputs: size of X_t; left out, that of the vocabulary, or of the first input.
        num_hiddens: size of H_t.
        num_layers: how many; each but the first runs over the outputs of the one below.
        dropout: the share of these outputs that is dropped, between two layers, in training.
        activation: 'tanh' or 'relu'.
        seed: of PyTorch's own initialiser; None draws from PyTorch's global stream.
    """

    path = ""  # below the model, see `draw_by_path`

    def __init__(self, num_inputs=None, num_hiddens=None, num_layers=1, dropout=0, *,
                 activation="tanh", seed=0):  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.begin()

    def begin(self):
        """Build the layer, unless the size of its inputs is to follow."""
        check(num_hiddens=self.num_hiddens)  # which has a default, for its place
        self.rnn = None if self.num_inputs is None else self.drawn(self.path)

    def layer(self, num_inputs):
        """PyTorch's layer for inputs of this size."""
        sizes = num_inputs, self.num_hiddens, self.num_layers
        return nn.RNN(*sizes, nonlinearity=self.activation, dropout=self.dropout)

    def build(self, num_inputs):
        """Make the layer for inputs of this size."""
        self.num_inputs = checked("num_inputs", num_inputs)
        self.rnn = self.drawn(self.path)

    def drawn(self, path):
        """The layer with initial weights for `path` below the model; its second bias is held at zero."""
        with seeded(seed_at(self.seed, path)):
            return hold_second_bias(self.layer(self.num_inputs))

    def initial(self, path):
        """The initial weights of a layer at `path` below the model."""
        return {} if self.rnn is None else arrays(nn.ModuleDict({"rnn": self.drawn(path)}))

    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state`, by default zeros.

        Returns all outputs of the last layer (num_steps, batch_size, num_hiddens), and the last state of
        each, (num_layers, batch_size, num_hiddens).
        """
        if self.rnn is None:
            self.build(inputs.shape[-1])
            self.rnn.to(inputs.device).train(self.training)
        check_inputs(inputs.shape[-1], self.num_inputs)
        return self.rnn(inputs, state)


class RNNLM(RNNLMScratch):
    """A language model on PyTorch's own layers (book, section 9.6.1): `RNN`, then `torch.nn.Linear`.

    Its arguments are those of `RNNLMScratch`; a seed of None draws from PyTorch's global stream.
    """

    def init_params(self):
        if getattr(self.rnn, "rnn", self) is None:
            self.rnn.build(self.vocab_size)
        with seeded(self.seed, stream=1):
            self.linear = nn.Linear(self.rnn.num_hiddens, self.vocab_size)

    def output_layer(self, hiddens):
        """Outputs (num_steps, batch_size, num_hiddens) to logits (batch_size, num_steps, vocab_size)."""
        hiddens = stack(hiddens, 0) if isinstance(hiddens, list) else hiddens
        return swapaxes(self.linear(hiddens), 0, 1)
