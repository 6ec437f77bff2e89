"""Encoder, decoder, and sequence to sequence learning, in Flax (book, sections 10.6 and 10.7)."""

from dataclasses import field

import jax
from flax import linen as nn
from jax import numpy as jnp

from d2lrnn.hyperparameters import check_fields
from d2lrnn.module import is_library_code
from d2lrnn.translation import Translator, check_begun, check_fit

from .deep_rnn import over_time
from .gru import GRU
from .lstm import LSTM
from .module import Classifier
from .ops import astype, concat, int32, numpy, ones, reduce_mean, reshape, swapaxes, zeros
from .parameters import seeded

LAYERS = {"gru": GRU, "lstm": LSTM}
XAVIER = nn.initializers.xavier_uniform()


class Encoder(nn.Module):
    """What makes outputs and a state of a source sequence (book, section 10.6.1)."""

    def __call__(self, X, *args, training=False):
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, X, *args).")


class Decoder(nn.Module):
    """What makes a target sequence, token after token, of what the encoder made (book, section 10.6.2)."""

    def init_state(self, enc_all_outputs, *args):
        raise NotImplementedError(f"{type(self).__name__} defines no init_state(self, outputs).")

    def __call__(self, X, state, training=False):
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, X, state).")


class EncoderDecoder(Translator, Classifier):
    """An encoder, and a decoder that begins where it ends (book, section 10.6.3)."""

    encoder: nn.Module
    decoder: nn.Module
    training: bool = field(default=True, kw_only=True)  # a trainer sets it

    def __post_init__(self):
        super().__post_init__()
        check_fit(self.encoder, self.decoder)

    def dummy_input(self):
        one, own = ones((1, 1), int32), (type(self).__call__, type(self).forward)
        return (one, one, one[0]) if all(map(is_library_code, own)) else None  # a reader's: any

    def forward(self, enc_X, dec_X, *args):
        """Logits (batch_size, num_steps, vocab_size) of the source and of the target shifted by one."""
        enc_all_outputs = self.encoder(enc_X, *args, training=self.training)
        dec_state = self.decoder.init_state(enc_all_outputs, *args)
        return self.decoder(dec_X, dec_state, training=self.training)[0]

    def predict_step(self, params, batch, num_steps=9, save_attention_weights=False):
        """See `d2lrnn.translation`; the weights are a pair, the decoder's and the encoder's, []."""
        options = None, num_steps, save_attention_weights
        tokens, weights = Translator.predict_step(self.with_params(params), batch, *options)
        return tokens, (weights, [])

    def attention_weights(self, tgt, state):
        weights = self.evaluator(sown)(self.check_target("tgt", tgt), check_begun(state))
        return numpy(concat(weights, 1)) if weights else super().attention_weights(tgt, state)


def sown(model, tgt, state):
    """The attention weights that the decoder, a reader's too, leaves in 'intermediates', as in the book."""
    decoder, variables = model.decoder.unbind()
    _, left = decoder.apply(variables, tgt, state, mutable="intermediates")
    return left.get("intermediates", {}).get("dec_attention_weights", ([],))[0]


class Recurrent(nn.Module):
    """An embedding, and recurrent layers above it (book, section 10.7.1).

    Args:
        vocab_size: number of tokens; `embed_size` is the size of a token's vector.
        num_hiddens: size of the hidden state; `num_layers` is how many recurrent layers there are.
        dropout: the share of a layer's outputs that is dropped on the way to the next, in training.
        cell: 'gru' or 'lstm'; `seed` is that of the weights, None leaves them to the key of `init`.
    """

    vocab_size: int
    embed_size: int
    num_hiddens: int
    num_layers: int
    dropout: float = 0
    cell: str = field(default="gru", kw_only=True)
    seed: int | None = field(default=0, kw_only=True)

    def __post_init__(self):
        check_fields(self)
        super().__post_init__()

    def setup(self):
        normal = seeded(self, "embedding.W", nn.initializers.normal(1))  # linen's own is smaller
        self.embedding = nn.Embed(self.vocab_size, self.embed_size, embedding_init=normal)
        sizes = self.num_hiddens, self.num_layers, self.dropout
        self.rnn = LAYERS[self.cell](*sizes, seed=self.seed, kernel_init=XAVIER)


class Seq2SeqEncoder(Recurrent, Encoder):
    __doc__ = Recurrent.__doc__

    def __call__(self, X, valid_lens=None, *, training=False):
        """Run over the tokens `X` (batch_size, num_steps), each row as far as it is valid (batch_size,).

        Returns all outputs (num_steps, batch_size, num_hiddens), those after the last valid one equal to
        it, and the state after the last valid token, (num_layers, batch_size, num_hiddens).
        """
        embs = self.embedding(astype(X.T, int32))  # (num_steps, batch_size, embed_size)
        if valid_lens is None:
            return self.rnn(embs, training=training)

        def step(rnn, before, inputs):
            x, is_valid = inputs  # (batch_size, embed_size) and (batch_size, 1)
            _, after = rnn(x[None], before, training)
            state = jax.tree.map(lambda H, old: jnp.where(is_valid, H, old), after, before)
            return state, jax.tree.leaves(state)[0][-1]  # H, of an LSTM of (H, C)

        is_valid = jnp.arange(len(embs))[:, None, None] < valid_lens[:, None]
        begin = self.rnn.begin_state(len(X))  # of one layer
        state = jax.tree.map(lambda H: zeros((self.num_layers, *H.shape)), begin)
        return over_time(step)(self.rnn, state, (embs, is_valid))[::-1]


class Seq2SeqDecoder(Recurrent, Decoder):
    """An embedding and recurrent layers, which see the source's last output in each step (10.7.2).

    Arguments are those of `Seq2SeqEncoder`, of the target's vocabulary.
    """

    def setup(self):
        super().setup()
        self.dense = nn.Dense(self.vocab_size, kernel_init=seeded(self, "dense.W_hq", XAVIER))

    def init_state(self, enc_all_outputs, *args):
        """The state to begin with: what the encoder returned."""
        return enc_all_outputs

    def __call__(self, X, state, training=False):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        enc_outputs, hidden_state = state
        embs = self.embedding(astype(X.T, int32))  # (num_steps, batch_size, embed_size)
        context = jnp.repeat(enc_outputs[-1:], len(embs), 0)  # (num_steps, batch_size, num_hiddens)
        outputs, hidden_state = self.rnn(concat((embs, context), -1), hidden_state, training)
        # A state as it was given, for a list instead of a tuple would be compiled anew.
        return swapaxes(self.dense(outputs), 0, 1), type(state)((enc_outputs, hidden_state))


class Seq2Seq(EncoderDecoder):
    """An encoder and decoder trained together, by Adam (book, sections 10.7.3 to 10.7.5).

    Args:
        encoder, decoder: such as `Seq2SeqEncoder` and `Seq2SeqDecoder`.
        tgt_pad: the padding token of the target, which counts in no loss.
        lr: learning rate of Adam.
    """

    optimizer_name = "adam"

    tgt_pad: int
    lr: float

    def loss(self, params, X, Y, state, averaged=False):
        """Mean cross-entropy, in nats, of labels that are no padding; `averaged`, as in the book, or not."""
        losses, aux = super().loss(params, X, Y, state, averaged=False)
        return reduce_mean(losses, where=reshape(Y, (-1,)) != self.tgt_pad), aux
