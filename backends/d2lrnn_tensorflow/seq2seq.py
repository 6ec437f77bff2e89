"""Encoder, decoder, and sequence to sequence learning, in TensorFlow (book, sections 10.6 and 10.7)."""

import tensorflow as tf
from tensorflow.keras.initializers import GlorotUniform, RandomNormal
from tensorflow.keras.layers import Dense, Embedding

from d2lrnn.module import draw_by_path
from d2lrnn.translation import Translator, check_fit
from d2lrnn.weights import seed_at

from .gru import GRU
from .lstm import LSTM
from .module import Classifier, Module
from .ops import astype, concat, float32, reduce_sum, reshape, swapaxes, transpose

LAYERS = {"gru": GRU, "lstm": LSTM}


class Encoder(Module):
    """What makes outputs and a state of a source sequence (book, section 10.6.1)."""

    def forward(self, X, *args):
        raise NotImplementedError(f"{type(self).__name__} defines no call(self, X, *args).")


class Decoder(Module):
    """What makes a target sequence, token after token, of what the encoder made (book, section 10.6.2)."""

    def init_state(self, enc_all_outputs, *args):
        raise NotImplementedError(f"{type(self).__name__} defines no init_state(self, outputs).")

    def forward(self, X, state):
        raise NotImplementedError(f"{type(self).__name__} defines no call(self, X, state).")


class EncoderDecoder(Translator, Classifier):
    """An encoder, and a decoder that begins where it ends (book, section 10.6.3)."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.save_hyperparameters()
        check_fit(encoder, decoder)
        draw_by_path(self)  # a reader's encoder and decoder may hold layers of one seed

    def forward(self, enc_X, dec_X, *args):
        """Logits (batch_size, num_steps, vocab_size) of the source and of the target shifted by one."""
        enc_all_outputs = self.encoder(enc_X, *args)
        dec_state = self.decoder.init_state(enc_all_outputs, *args)
        return self.decoder(dec_X, dec_state)[0]


def embedding(vocab_size, embed_size, seed):
    """A vector for each token, drawn from N(0, 1); with Keras's default, much smaller, less is learnt."""
    layer = Embedding(
        vocab_size, embed_size, RandomNormal(stddev=1, seed=seed_at(seed, "embedding"))
    )
    layer.build()
    return layer


def dense(num_inputs, num_outputs, seed, path="dense", **options):
    """A fully connected layer, drawn as Xavier does, from the seed and its place."""
    layer = Dense(num_outputs, kernel_initializer=GlorotUniform(seed_at(seed, path)), **options)
    if num_inputs is not None:
        layer.build((None, num_inputs))
    return layer


def recurrent(cell, num_inputs, num_hiddens, num_layers, dropout, seed):
    """Recurrent layers of which all matrices are drawn as Xavier does; Keras's W_h are orthogonal."""
    rnn = LAYERS[cell](num_hiddens, num_layers, dropout, seed=seed)
    for index, layer in enumerate(tf.nest.flatten(rnn.rnn)):
        layer.cell.recurrent_initializer = GlorotUniform(seed_at(seed, f"{index}.W_h"))
    rnn.build(num_inputs)
    return rnn


class Seq2SeqEncoder(Encoder):
    """An embedding, and recurrent layers above it (book, section 10.7.1).

    Args:
        vocab_size: number of source tokens.
        embed_size: size of a token's vector.
        num_hiddens: size of the hidden state.
        num_layers: how many recurrent layers.
        dropout: the share of a layer's outputs that is dropped on the way to the next, in training.
        cell: 'gru' or 'lstm'.
        seed: of the initial weights; None draws from Keras's global stream.
    """

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, cell="gru", seed=0
    ):
        super().__init__()
        self.save_hyperparameters()
        own = seed_at(seed, "encoder")
        self.embedding = embedding(self.vocab_size, self.embed_size, own)
        self.rnn = recurrent(cell, embed_size, num_hiddens, num_layers, dropout, own)

    def forward(self, X, valid_lens=None):
        """Run over the tokens `X` (batch_size, num_steps), each row as far as it is valid (batch_size,).

        Returns all outputs (num_steps, batch_size, num_hiddens), those after the last valid one equal to
        it, and the state after the last valid token, (num_layers, batch_size, num_hiddens).
        """
        embs = self.embedding(transpose(X))  # (num_steps, batch_size, embed_size)
        if valid_lens is None:
            return self.rnn(embs)
        mask = tf.sequence_mask(valid_lens, X.shape[1])  # (batch_size, num_steps)
        outputs, state = self.rnn(embs, None, mask)
        last = (state[0] if isinstance(state, tuple) else state)[-1]
        return tf.where(transpose(mask)[..., None], outputs, last), state  # cuDNN leaves zeros


class Seq2SeqDecoder(Decoder):
    """An embedding and recurrent layers, which see the source's last output in each step (10.7.2).

    Arguments are those of `Seq2SeqEncoder`, of the target's vocabulary.
    """

    def __init__(
        self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0, *, cell="gru", seed=0
    ):
        super().__init__()
        self.save_hyperparameters()
        self.make_layers(seed_at(seed, "decoder"))

    def make_layers(self, seed):
        sizes = self.embed_size + self.num_hiddens, self.num_hiddens, self.num_layers
        self.embedding = embedding(self.vocab_size, self.embed_size, seed)
        self.rnn = recurrent(self.cell, *sizes, self.dropout, seed)
        self.dense = dense(self.num_hiddens, self.vocab_size, seed)

    def init_state(self, enc_all_outputs, *args):
        """The state to begin with: what the encoder returned."""
        return enc_all_outputs

    def forward(self, X, state):
        """Logits (batch_size, num_steps, vocab_size) after the tokens `X` (batch_size, num_steps)."""
        enc_outputs, hidden_state = state
        embs = self.embedding(transpose(X))  # (num_steps, batch_size, embed_size)
        context = tf.repeat(enc_outputs[-1:], embs.shape[0], 0)  # of every step
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
        losses = super().loss(Y_hat, Y, averaged=False)  # (batch_size * num_steps,)
        counted = astype(reshape(Y, (-1,)) != self.tgt_pad, float32)
        return reduce_sum(losses * counted) / reduce_sum(counted)
