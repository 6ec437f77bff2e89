"""Attention, and a decoder that attends to the source, in MXNet (book, sections 11.3 and 11.4)."""

import math

from mxnet import np, npx
from mxnet.gluon import nn

from d2lrnn.arguments import check, check_given

from .ops import arange, astype, concat, expand_dims, float32, swapaxes, tanh, transpose
from .seq2seq import Decoder, Seq2SeqDecoder, top


def masked_softmax(X, valid_lens):
    """The softmax over the last axis of scores, of which only the first `valid_lens` count (11.3.2).

    Args:
        X: scores (batch_size, num_queries, num_keys); they stay as they are.
        valid_lens: how many keys count, (batch_size,) or (batch_size, num_queries); None: all.
    """
    if valid_lens is None:
        return npx.softmax(X)
    lengths = expand_dims(valid_lens, 1) if valid_lens.ndim == 1 else valid_lens
    lengths = expand_dims(astype(lengths, float32), -1)  # (batch_size, num_queries or 1, 1)
    # An array, since with a number in its place MXNet's `where` gives X the wrong gradient.
    masked = np.full_like(X, -1e6)
    return npx.softmax(np.where(arange(X.shape[-1], ctx=X.ctx) < lengths, X, masked))


class DotProductAttention(nn.Block):
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
        scores = npx.batch_dot(queries, keys, transpose_b=True) / math.sqrt(queries.shape[-1])
        weights = masked_softmax(scores, valid_lens)
        self.attention_weights = weights.detach()  # to be looked at
        return npx.batch_dot(self.dropout(weights), values)


class AdditiveAttention(nn.Block):
    """Values, weighted by softmax of w_v^T tanh(W_q q + W_k k) (book, equation 11.3.7).

    Queries and keys may be of different sizes. As gluon's own blocks, it waits for `initialize()`.

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
        self.w_v = without_bias(num_hiddens, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, valid_lens=None):
        """As `DotProductAttention.forward`."""
        # (batch_size, num_queries, 1, num_hiddens) and (batch_size, 1, num_keys, num_hiddens)
        features = tanh(expand_dims(self.W_q(queries), 2) + expand_dims(self.W_k(keys), 1))
        scores = np.squeeze(self.w_v(features), -1)  # (batch_size, num_queries, num_keys)
        weights = masked_softmax(scores, valid_lens)
        self.attention_weights = weights.detach()  # to be looked at
        return npx.batch_dot(self.dropout(weights), values)


def without_bias(num_inputs, num_outputs):
    """A matrix as a layer; without `num_inputs` it takes that of its first input."""
    return nn.Dense(num_outputs, use_bias=False, flatten=False, in_units=num_inputs or 0)


class AttentionDecoder(Decoder):
    """A decoder that attends to the source (book, section 11.4.2)."""

    @property
    def attention_weights(self):
        """Those of the last call: for each step an array (batch_size, 1, num_keys)."""
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
        """The state to begin with: outputs (batch_size, num_steps, num_hiddens), state, valid lengths."""
        outputs, hidden_state = enc_all_outputs
        return swapaxes(outputs, 0, 1), hidden_state, enc_valid_lens

    def forward(self, X, state):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        outputs, state, weights = self.attend(X, state)
        self._attention_weights = np.split(weights, weights.shape[1], axis=1)
        return outputs, state

    def attend(self, X, state):
        """As `forward`, and the attention weights (batch_size, num_steps, num_keys)."""
        enc_outputs, hidden_state, valid_lens = state
        embs = self.embedding(transpose(X))  # (num_steps, batch_size, embed_size)
        outputs, weights = [], []
        for x in embs:  # (batch_size, embed_size)
            query = expand_dims(top(hidden_state), 1)  # (batch_size, 1, num_hiddens)
            context = self.attention(query, enc_outputs, enc_outputs, valid_lens)
            inputs = concat((context, expand_dims(x, 1)), -1)
            output, hidden_state = self.rnn(swapaxes(inputs, 0, 1), hidden_state)
            outputs.append(output)  # (1, batch_size, num_hiddens)
            weights.append(self.attention.attention_weights)
        logits = swapaxes(self.dense(concat(outputs)), 0, 1)  # (batch_size, num_steps, vocab_size)
        return logits, [enc_outputs, hidden_state, valid_lens], concat(weights, 1)

    @property
    def attention_weights(self):
        return self._attention_weights
