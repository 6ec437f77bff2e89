"""Encoder, decoder, and sequence to sequence learning, in MXNet (book, sections 10.6 and 10.7)."""

import math

from mxnet import init, np
from mxnet.gluon import nn

from d2lrnn.hyperparameters import HyperParameters
from d2lrnn.translation import Translator, check_fit
from d2lrnn.weights import draw, seed_at

from .gru import GRU
from .lstm import LSTM
from .module import Classifier
from .ops import astype, concat, float32, reduce_sum, reshape, stack, swapaxes, transpose
from .parameters import Initialized
from .weights import arrays, assign, uniform

LAYERS = {"gru": GRU, "lstm": LSTM}


class Encoder(Initialized, HyperParameters, nn.Block):
    """What makes outputs and a state of a source sequence (book, section 10.6.1)."""

    def forward(self, X, *args):
        raise NotImplementedError(f"{type(self).__name__} defines no forward(self, X, *args).")


class Decoder(Initialized, HyperParameters, nn.Block):
    """What makes a target sequence, token after token, of what the encoder made (book, section 10.6.2)."""

    def init_state(self, enc_all_outputs, *args):
        raise NotImplementedError(f"{type(self).__name__} defines no init_state(self, outputs).")

    def forward(self, X, state):
        raise NotImplementedError(f"{type(self).__name__} defines no forward(self, X, state).")


class EncoderDecoder(Translator, Classifier):
    """An encoder, and a decoder that begins where it ends (book, section 10.6.3)."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.save_hyperparameters()
        check_fit(encoder, decoder)

    def forward(self, enc_X, dec_X, *args):
        """Logits (batch_size, num_steps, vocab_size) of the source and of the target shifted by one."""
        return self.decoder(dec_X, self.decoder.init_state(self.encoder(enc_X, *args), *args))[0]


def init_xavier(block, seed):
    """Draw fully connected and recurrent weights as `init.Xavier` does, and embeddings from N(0, 1).

    MXNet's stream cannot be put back as it was: what `seed` decides comes from NumPy, by its path.
    """
    if seed is None:
        block.embedding.weight.init = init.Normal(1)
        block.initialize(init.Xavier(), force_reinit=True)
        return
    block.initialize(init.Zero())
    drawn = arrays(block)
    for path, array in drawn.items():
        if path == "embedding.weight":
            drawn[path] = draw(path, array.shape, 1, seed)
        elif path.endswith("weight"):
            scale = math.sqrt(6 / sum(array.shape))
            drawn[path] = uniform(path.replace(".", "/"), array.shape, seed, scale)
    assign(block, drawn)


class Seq2SeqEncoder(Encoder):
    """An embedding, and recurrent layers above it (book, section 10.7.1).

    Args:
        vocab_size: number of source tokens.
        embed_size: size of a token's vector.
        num_hiddens: size of the hidden state.
        num_layers: how many recurrent layers.
        dropout: the share of a layer's outputs that is dropped on the way to the next, in training.
        cell: 'gru' or 'lstm'.
        seed: of the initial weights, see `init_xavier`; None draws them from MXNet's global stream.
    """

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *,
                 cell="gru", seed=0):  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = LAYERS[cell](num_hiddens, num_layers, dropout, num_inputs=embed_size, seed=seed)
        init_xavier(self, seed_at(seed, "encoder"))

    def forward(self, X, valid_lens=None):
        """Run over the tokens `X` (batch_size, num_steps), each row as far as it is valid (batch_size,).

        Returns all outputs (num_steps, batch_size, num_hiddens), those after the last valid one equal to
        it, and the state after the last valid token, (num_layers, batch_size, num_hiddens).
        """
        embs = self.embedding(transpose(X))  # (num_steps, batch_size, embed_size)
        if valid_lens is None:
            return self.rnn(embs)
        # On a CPU gluon's layers run over padding, whatever lengths they are given: so step by step.
        outputs, state = [], None
        for t, x in enumerate(embs):  # (batch_size, embed_size)
            _, new = self.rnn(x[None], state)
            state = new if state is None else where(valid_lens > t, new, state)
            outputs.append(top(state))  # (batch_size, num_hiddens)
        return stack(outputs), state


def where(rows, new, old):
    """The state `new` in the rows (batch_size,) that are true, in the others `old`."""
    if isinstance(new, tuple):
        return tuple(where(rows, *pair) for pair in zip(new, old, strict=True))
    return np.where(rows[:, None], new, old)  # (num_layers, batch_size, num_hiddens)


def top(state):
    """The hidden state of the last layer (batch_size, num_hiddens), which is its output."""
    return (state[0] if isinstance(state, tuple | list) else state)[-1]


class Seq2SeqDecoder(Decoder):
    """An embedding and recurrent layers, which see the source's last output in each step (10.7.2).

    Arguments are those of `Seq2SeqEncoder`, of the target's vocabulary.
    """

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *,
                 cell="gru", seed=0):  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.make_layers()
        init_xavier(self, seed_at(seed, "decoder"))

    def make_layers(self):
        sizes, num_inputs = (self.num_hiddens, self.num_layers), self.embed_size + self.num_hiddens
        self.embedding = nn.Embedding(self.vocab_size, self.embed_size)
        self.rnn = LAYERS[self.cell](*sizes, self.dropout, num_inputs=num_inputs, seed=self.seed)
        self.dense = nn.Dense(self.vocab_size, flatten=False, in_units=self.num_hiddens)

    def init_state(self, enc_all_outputs, *args):
        """The state to begin with: what the encoder returned."""
        return enc_all_outputs

    def forward(self, X, state):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        enc_outputs, hidden_state = state
        embs = self.embedding(transpose(X))  # (num_steps, batch_size, embed_size)
        context = np.tile(enc_outputs[-1], (len(embs), 1, 1))  # of every step
        outputs, hidden_state = self.rnn(concat((embs, context), -1), hidden_state)
        return swapaxes(self.dense(outputs), 0, 1), [enc_outputs, hidden_state]


class Seq2Seq(EncoderDecoder):
    """An encoder and decoder trained together, by Adam (book, sections 10.7.3 to 10.7.5).

    Args:
        encoder, decoder: such as `Seq2SeqEncoder` and `Seq2SeqDecoder`.
        tgt_pad: the padding token of the target, which counts in no loss.
        lr: learning rate of Adam.
    """

    optimizer_name = "adam"

    def __init__(self, encoder, decoder, tgt_pad, lr):
        super().__init__(encoder, decoder)
        self.save_hyperparameters()

    def loss(self, Y_hat, Y):
        """The mean cross-entropy of the labels that are no padding, in nats."""
        losses = super().loss(Y_hat, Y, averaged=False)  # (tokens,)
        mask = astype(reshape(Y, -1) != self.tgt_pad, float32)
        return reduce_sum(losses * mask) / reduce_sum(mask)
