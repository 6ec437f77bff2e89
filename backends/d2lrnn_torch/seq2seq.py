"""Encoder, decoder, and sequence to sequence learning, in PyTorch (book, sections 10.6 and 10.7)."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from d2lrnn.hyperparameters import HyperParameters
from d2lrnn.translation import Translator, check_fit
from d2lrnn.weights import seed_at

from .gru import GRU
from .lstm import LSTM
from .module import Classifier, seeded
from .ops import concat, indices, reshape, swapaxes, transpose

LAYERS = {"gru": GRU, "lstm": LSTM}


class Encoder(HyperParameters, nn.Module):
    """What makes outputs and a state of a source sequence (book, section 10.6.1)."""

    def forward(self, X, *args):
        raise NotImplementedError(f"{type(self).__name__} defines no forward(self, X, *args).")


class Decoder(HyperParameters, nn.Module):
    """What makes a target sequence, token after token, of what the encoder made (book, section 10.6.2)."""

    def init_state(self, enc_all_outputs, *args):
        raise NotImplementedError(
            f"{type(self).__name__} defines no init_state(self, enc_all_outputs)."
        )

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
        enc_all_outputs = self.encoder(enc_X, *args)
        dec_state = self.decoder.init_state(enc_all_outputs, *args)
        return self.decoder(dec_X, dec_state)[0]


def init_seq2seq(module):
    """Draw the weights of a fully connected or recurrent layer as Xavier does (book, section 10.7.1)."""
    for name, parameter in module.named_parameters(recurse=False):
        if type(module) in (nn.Linear, nn.GRU, nn.LSTM) and "weight" in name:
            nn.init.xavier_uniform_(parameter)


class Seq2SeqEncoder(Encoder):
    """An embedding, and recurrent layers above it (book, section 10.7.1).

    Args:
        vocab_size: number of source tokens.
        embed_size: size of a token's vector.
        num_hiddens: size of the hidden state.
        num_layers: how many recurrent layers.
        dropout: the share of a layer's outputs that is dropped on the way to the next, in training.
        cell: 'gru' or 'lstm'.
        seed: of the initial weights; None draws from PyTorch's global stream.
    """

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, cell="gru", seed=0
    ):
        super().__init__()
        self.save_hyperparameters()
        with seeded(seed_at(seed, "encoder")):
            self.embedding = nn.Embedding(vocab_size, embed_size)
            self.rnn = LAYERS[cell](embed_size, num_hiddens, num_layers, dropout, seed=None)
            self.apply(init_seq2seq)

    def forward(self, X, valid_lens=None):
        """Run over the tokens `X` (batch_size, num_steps), each row as far as it is valid (batch_size,).

        Returns all outputs (num_steps, batch_size, num_hiddens), those after the last valid one equal to
        it, and the state after the last valid token, (num_layers, batch_size, num_hiddens).
        """
        embs = self.embedding(transpose(X).long())  # (num_steps, batch_size, embed_size)
        if valid_lens is None:
            return self.rnn(embs)
        lengths = valid_lens.cpu().long()
        outputs, state = self.rnn.rnn(pack_padded_sequence(embs, lengths, enforce_sorted=False))
        outputs, _ = pad_packed_sequence(outputs, total_length=len(embs))
        last = (state[0] if isinstance(state, tuple) else state)[-1]
        steps = torch.arange(len(embs), device=embs.device)[:, None, None]
        return torch.where(steps < valid_lens[:, None], outputs, last), state


class Seq2SeqDecoder(Decoder):
    """An embedding and recurrent layers, which see the source's last output in each step (10.7.2).

    Arguments are those of `Seq2SeqEncoder`, of the target's vocabulary.
    """

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, cell="gru", seed=0
    ):
        super().__init__()
        self.save_hyperparameters()
        with seeded(seed_at(seed, "decoder")):
            self.make_layers()
            self.apply(init_seq2seq)

    def make_layers(self):
        self.embedding = nn.Embedding(self.vocab_size, self.embed_size)
        sizes = self.embed_size + self.num_hiddens, self.num_hiddens, self.num_layers
        self.rnn = LAYERS[self.cell](*sizes, self.dropout, seed=None)
        self.dense = nn.Linear(self.num_hiddens, self.vocab_size)

    def init_state(self, enc_all_outputs, *args):
        """The state to begin with: what the encoder returned."""
        return enc_all_outputs

    def forward(self, X, state):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        enc_outputs, hidden_state = state
        embs = self.embedding(transpose(X).long())  # (num_steps, batch_size, embed_size)
        context = enc_outputs[-1].expand(len(embs), -1, -1)  # (num_steps, batch_size, num_hiddens)
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
        logits, labels = reshape(Y_hat, (-1, Y_hat.shape[-1])), indices(reshape(Y, -1))
        return F.cross_entropy(logits, labels, ignore_index=self.tgt_pad)
