"""Attention, and a decoder that attends to the source, in Flax (book, sections 11.3 and 11.4)."""

import math
from dataclasses import field

import jax
from flax import linen as nn
from jax import numpy as jnp

from d2lrnn.hyperparameters import check_fields

from .deep_rnn import over_time
from .ops import arange, astype, concat, int32, swapaxes, tanh
from .parameters import seeded
from .seq2seq import XAVIER, Decoder, Seq2SeqDecoder


def masked_softmax(X, valid_lens):
    """The softmax over the last axis of scores, of which only the first `valid_lens` count (11.3.2).

    Args:
        X: scores (batch_size, num_queries, num_keys).
        valid_lens: how many keys count, (batch_size,) or (batch_size, num_queries); None: all.
    """
    if valid_lens is None:
        return nn.softmax(X, axis=-1)
    lengths = valid_lens[:, None] if valid_lens.ndim == 1 else valid_lens
    counts = arange(X.shape[-1]) < lengths[..., None]
    return nn.softmax(jnp.where(counts, X, -1e6), axis=-1)


class DotProductAttention(nn.Module):
    """Values, weighted by softmax(Q K^T / sqrt(d)) (book, equation 11.3.6).

    Args:
        dropout: the share of the weights that is dropped in training.
    """

    dropout: float = 0

    def __post_init__(self):
        check_fields(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, queries, keys, values, valid_lens=None, training=False):
        """The mean of `values` (batch_size, num_keys, v) for each of `queries` (batch_size, num_queries, d).

        `keys` are (batch_size, num_keys, d). Returns the means (batch_size, num_queries, v) and the
        weights (batch_size, num_queries, num_keys), before any is dropped.
        """
        scores = queries @ swapaxes(keys, 1, 2) / math.sqrt(queries.shape[-1])
        weights = masked_softmax(scores, valid_lens)
        drop = nn.Dropout(self.dropout, deterministic=not training)
        return drop(weights) @ values, weights


class AdditiveAttention(nn.Module):
    """Values, weighted by softmax of w_v^T tanh(W_q q + W_k k) (book, equation 11.3.7).

    Queries and keys may be of different sizes.

    Args:
        num_hiddens: size of the hidden layer.
        dropout: the share of the weights that is dropped in training.
        seed: of the initial weights; None leaves them to the key of `init`.
    """

    num_hiddens: int
    dropout: float = 0
    seed: int | None = field(default=0, kw_only=True)

    def __post_init__(self):
        check_fields(self)
        super().__post_init__()

    def setup(self):
        self.W_q = self.matrix("W_q", self.num_hiddens)
        self.W_k = self.matrix("W_k", self.num_hiddens)
        self.w_v = self.matrix("w_v", 1)
        self.drop = nn.Dropout(self.dropout)

    def matrix(self, name, num_outputs):
        """A fully connected layer without a bias."""
        return nn.Dense(num_outputs, use_bias=False, kernel_init=seeded(self, name, XAVIER))

    def __call__(self, queries, keys, values, valid_lens=None, training=False):
        """As `DotProductAttention.__call__`."""
        # (batch_size, num_queries, 1, num_hiddens) and (batch_size, 1, num_keys, num_hiddens)
        features = tanh(self.W_q(queries)[:, :, None] + self.W_k(keys)[:, None])
        scores = self.w_v(features)[..., 0]  # (batch_size, num_queries, num_keys)
        weights = masked_softmax(scores, valid_lens)
        return self.drop(weights, deterministic=not training) @ values, weights


class AttentionDecoder(Decoder):
    """A decoder that attends to the source (book, section 11.4.2).

    Flax's modules keep nothing: `attend` returns the attention weights, and a call sows them, as a list of
    (batch_size, 1, num_keys), as 'dec_attention_weights' in 'intermediates'.
    """

    def attend(self, X, state, training=False):
        """As `__call__`, and the attention weights (batch_size, num_steps, num_keys)."""
        raise NotImplementedError(
            f"{type(self).__name__} defines no attend(self, X, state, training=False)."
        )

    def __call__(self, X, state, training=False):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        logits, state, weights = self.attend(X, state, training)
        self.sow("intermediates", "dec_attention_weights", jnp.split(weights, X.shape[1], axis=1))
        return logits, state


class Seq2SeqAttentionDecoder(AttentionDecoder, Seq2SeqDecoder):
    """A recurrent decoder that attends, in each step, to the encoder's outputs (book, section 11.4.2).

    The query is the hidden state of the last layer, keys and values are the outputs of the source that are
    no padding. Arguments are those of `Seq2SeqEncoder`, of the target's vocabulary.
    """

    def setup(self):
        super().setup()
        self.attention = AdditiveAttention(self.num_hiddens, self.dropout, seed=self.seed)

    def init_state(self, enc_all_outputs, enc_valid_lens=None):
        """The state to begin with: outputs (batch_size, num_steps, num_hiddens), hidden state, lengths."""
        outputs, hidden_state = enc_all_outputs
        return swapaxes(outputs, 0, 1), hidden_state, enc_valid_lens

    def attend(self, X, state, training=False):
        enc_outputs, hidden_state, valid_lens = state

        def step(decoder, hidden_state, x):  # (batch_size, embed_size)
            query = jax.tree.leaves(hidden_state)[0][-1][:, None]  # of H, of an LSTM of (H, C)
            attended = query, enc_outputs, enc_outputs, valid_lens, training
            context, weights = decoder.attention(*attended)  # (batch_size, 1, ...)
            inputs = concat((context[:, 0], x), -1)  # (batch_size, num_hiddens + embed_size)
            outputs, hidden_state = decoder.rnn(inputs[None], hidden_state, training)
            return hidden_state, (outputs[0], weights[:, 0])

        steps = over_time(step)(self, hidden_state, self.embedding(astype(X.T, int32)))
        hidden_state, (outputs, weights) = steps  # of each step
        logits = swapaxes(self.dense(outputs), 0, 1)
        state = type(state)((enc_outputs, hidden_state, valid_lens))
        return logits, state, swapaxes(weights, 0, 1)
