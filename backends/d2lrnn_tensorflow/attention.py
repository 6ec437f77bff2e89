"""Attention, and a decoder that attends to the source, in TensorFlow (book, sections 11.3 and 11.4)."""

import math

import tensorflow as tf
from tensorflow.keras.layers import Dropout

from d2lrnn.arguments import check, check_given
from d2lrnn.weights import seed_at

from .module import Module
from .ops import concat, matmul, stack, swapaxes, tanh
from .seq2seq import Decoder, Seq2SeqDecoder, dense


def masked_softmax(X, valid_lens):
    """The softmax over the last axis of scores, of which only the first `valid_lens` count (11.3.2).

    Args:
        X: scores (batch_size, num_queries, num_keys); they stay as they are.
        valid_lens: how many keys count, (batch_size,) or (batch_size, num_queries); None: all.
    """
    if valid_lens is None:
        return tf.nn.softmax(X, -1)
    lengths = valid_lens[:, None] if len(valid_lens.shape) == 1 else valid_lens
    counted = tf.sequence_mask(lengths, X.shape[-1])  # (batch_size, num_queries or 1, num_keys)
    return tf.nn.softmax(tf.where(counted, X, -1e6), -1)


class Attention(Module):
    """Values, weighted by the softmax of scores, which a subclass makes of queries and keys.

    Attributes:
        attention_weights: of the last call, (batch_size, num_queries, num_keys); in a graph, the graph's.
    """

    def scores(self, queries, keys):
        raise NotImplementedError(f"{type(self).__name__} defines no scores(self, queries, keys).")

    def forward(self, queries, keys, values, valid_lens=None):
        """The mean of `values` (batch_size, num_keys, v) for each of `queries` (batch_size, num_queries, d).

        `keys` are (batch_size, num_keys, d). The weights stand in `attention_weights`.
        """
        weights = masked_softmax(self.scores(queries, keys), valid_lens)
        vars(self)["attention_weights"] = weights  # to be looked at; Keras need not track them
        return matmul(self.dropout(weights), values)


class DotProductAttention(Attention):
    """Values, weighted by softmax(Q K^T / sqrt(d)) (book, equation 11.3.6).

    Args:
        dropout: the share of the weights that is dropped in training.
        seed: of what is dropped outside of `Trainer.fit`.
    """

    def __init__(self, dropout=0, *, seed=0):
        super().__init__()
        check(dropout=dropout)
        check_given(seed=seed)
        self.dropout = Dropout(dropout, seed=seed)

    def scores(self, queries, keys):
        return matmul(queries, keys, transpose_b=True) / math.sqrt(queries.shape[-1])


class AdditiveAttention(Attention):
    """Values, weighted by softmax of w_v^T tanh(W_q q + W_k k) (book, equation 11.3.7).

    Queries and keys may be of different sizes.

    Args:
        key_size: size of a key, and `query_size` of a query; None: that of the first one.
        num_hiddens: size of the hidden layer.
        dropout: the share of the weights that is dropped in training.
        seed: of the initial weights; None draws from Keras's global stream.
    """

    def __init__(self, key_size=None, query_size=None, num_hiddens=None, dropout=0, *, seed=0):
        super().__init__()
        check(num_hiddens=num_hiddens, dropout=dropout)  # num_hiddens has a default for its place
        self.save_hyperparameters(ignore="dropout")
        self.W_q = dense(self.query_size, self.num_hiddens, seed, "W_q", use_bias=False)
        self.W_k = dense(self.key_size, self.num_hiddens, seed, "W_k", use_bias=False)
        self.w_v = dense(self.num_hiddens, 1, seed, "w_v", use_bias=False)
        self.dropout = Dropout(dropout, seed=seed)

    def scores(self, queries, keys):
        # (batch_size, num_queries, 1, num_hiddens) and (batch_size, 1, num_keys, num_hiddens)
        features = tanh(self.W_q(queries)[:, :, None] + self.W_k(keys)[:, None])
        return self.w_v(features)[..., 0]  # (batch_size, num_queries, num_keys)


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

    def make_layers(self, seed):
        h = self.num_hiddens
        self.attention = AdditiveAttention(h, h, h, self.dropout, seed=seed_at(seed, "attention"))
        super().make_layers(seed)

    def init_state(self, enc_all_outputs, enc_valid_lens=None):
        """Outputs (batch_size, num_steps, num_hiddens), hidden state and valid lengths, to begin with."""
        outputs, hidden_state = enc_all_outputs
        return swapaxes(outputs, 0, 1), hidden_state, enc_valid_lens

    def forward(self, X, state):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        outputs, state, weights = self.attend(X, state)
        if tf.executing_eagerly():  # those of a graph are no numbers
            vars(self)["_attention_weights"] = tf.split(weights, X.shape[1], 1)
        return outputs, state

    def attend(self, X, state):
        """As `call`, and the attention weights (batch_size, num_steps, num_keys)."""
        enc_outputs, hidden_state, valid_lens = state
        outputs, weights = [], []
        for x in tf.unstack(self.embedding(X), axis=1):  # (batch_size, embed_size)
            H = hidden_state[0] if isinstance(hidden_state, tuple) else hidden_state
            context = self.attention(H[-1][:, None], enc_outputs, enc_outputs, valid_lens)
            both = concat((context[:, 0], x), -1)  # (batch_size, num_hiddens + embed_size)
            output, hidden_state = self.rnn(both[None], hidden_state)
            outputs.append(output[0])  # (batch_size, num_hiddens)
            weights.append(self.attention.attention_weights)
        logits = self.dense(stack(outputs, 1))
        return logits, [enc_outputs, hidden_state, valid_lens], concat(weights, 1)

    @property
    def attention_weights(self):
        return self._attention_weights
