"""Attention, and a decoder that attends to the source, in PyTorch (book, sections 11.3 and 11.4)."""

import math

import torch
from torch import nn
from torch.nn.functional import softmax

from d2lrnn.arguments import check, check_given

from .ops import concat, stack, swapaxes, tanh
from .seq2seq import Decoder, Seq2SeqDecoder


def masked_softmax(X, valid_lens):
    """The softmax over the last axis of scores, of which only the first `valid_lens` count (11.3.2).

    Args:
        X: scores (batch_size, num_queries, num_keys); they stay as they are.
        valid_lens: how many keys count, (batch_size,) or (batch_size, num_queries); None: all.
    """
    if valid_lens is None:
        return softmax(X, -1)
    lengths = valid_lens[:, None] if valid_lens.ndim == 1 else valid_lens
    keys = torch.arange(X.shape[-1], device=X.device)
    return softmax(torch.where(keys < lengths[..., None], X, -1e6), -1)


class DotProductAttention(nn.Module):
    """Values, weighted by softmax(Q K^T / sqrt(d)) (book, equation 11.3.6).

    Args:
        dropout: the share of the weights that is dropped in training.
    """

    def __init__(self, dropout=0):
        super().__init__()
        check(dropout=dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, valid_lens=None):
        """The mean of `values` (batch_size, num_keys, v) for each of `queries` (batch_size, num_queries, d).

        `keys` are (batch_size, num_keys, d). The weights stand in `attention_weights`.
        """
        scores = queries @ swapaxes(keys, 1, 2) / math.sqrt(queries.shape[-1])
        weights = masked_softmax(scores, valid_lens)
        self.attention_weights = weights.detach()  # to be looked at
        return self.dropout(weights) @ values


class AdditiveAttention(nn.Module):
    """Values, weighted by softmax of w_v^T tanh(W_q q + W_k k) (book, equation 11.3.7).

    Queries and keys may be of different sizes.

    Args:
        num_hiddens: size of the hidden layer.
        dropout: the share of the weights that is dropped in training.
        query_size: size of a query, and `key_size` of a key; left out, that of the first one.
    """

    def __init__(self, num_hiddens, dropout=0, *, query_size=None, key_size=None):
        super().__init__()
        check(num_hiddens=num_hiddens, dropout=dropout)
        check_given(query_size=query_size, key_size=key_size)
        self.W_q = without_bias(query_size, num_hiddens)
        self.W_k = without_bias(key_size, num_hiddens)
        self.w_v = nn.Linear(num_hiddens, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, valid_lens=None):
        """As `DotProductAttention.forward`."""
        # (batch_size, num_queries, 1, num_hiddens) and (batch_size, 1, num_keys, num_hiddens)
        features = tanh(self.W_q(queries)[:, :, None] + self.W_k(keys)[:, None])
        scores = self.w_v(features)[..., 0]  # (batch_size, num_queries, num_keys)
        weights = masked_softmax(scores, valid_lens)
        self.attention_weights = weights.detach()  # to be looked at
        return self.dropout(weights) @ values


def without_bias(num_inputs, num_outputs):
    """A matrix as a layer; without `num_inputs` it takes that of its first input."""
    if num_inputs is None:
        return nn.LazyLinear(num_outputs, bias=False)
    return nn.Linear(num_inputs, num_outputs, bias=False)


class AttentionDecoder(Decoder):
    """A decoder that attends to the source (book, section 11.4.2)."""

    @property
    def attention_weights(self):
        """Those of the last call: for each step a tensor (batch_size, 1, num_keys)."""
        raise NotImplementedError(f"{type(self).__name__} defines no attention_weights.")


class Seq2SeqAttentionDecoder(AttentionDecoder, Seq2SeqDecoder):
    """A recurrent decoder that attends, in each step, to the encoder's outputs (book, section 11.4.2).

    The query is the hidden state of the last layer, keys and values are the outputs of the source that are
    no padding. Arguments are those of `Seq2SeqEncoder`, of the target's vocabulary.
    """

    def make_layers(self):
        sizes = {"query_size": self.num_hiddens, "key_size": self.num_hiddens}
        self.attention = AdditiveAttention(self.num_hiddens, self.dropout, **sizes)
        super().make_layers()

    def init_state(self, enc_all_outputs, enc_valid_lens=None):
        """The state to begin with: outputs (batch_size, num_steps, num_hiddens), hidden state, lengths."""
        outputs, hidden_state = enc_all_outputs
        return swapaxes(outputs, 0, 1), hidden_state, enc_valid_lens

    def forward(self, X, state):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        outputs, state, weights = self.attend(X, state)
        self._attention_weights = list(weights.split(1, dim=1))
        return outputs, state

    def attend(self, X, state):
        """As `forward`, and the attention weights (batch_size, num_steps, num_keys)."""
        enc_outputs, hidden_state, valid_lens = state
        embs = self.embedding(X.long())  # (batch_size, num_steps, embed_size)
        outputs, weights = [], []
        for x in embs.split(1, dim=1):  # (batch_size, 1, embed_size)
            H = hidden_state[0] if isinstance(hidden_state, tuple) else hidden_state
            context = self.attention(H[-1][:, None], enc_outputs, enc_outputs, valid_lens)
            output, hidden_state = self.rnn(swapaxes(concat((context, x), -1), 0, 1), hidden_state)
            outputs.append(output[0])  # (batch_size, num_hiddens)
            weights.append(self.attention.attention_weights)
        logits = self.dense(stack(outputs, 1))
        return logits, [enc_outputs, hidden_state, valid_lens], concat(weights, 1)

    @property
    def attention_weights(self):
        return self._attention_weights
