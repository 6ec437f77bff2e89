"""Cells of sections 10.5 to 10.7, 11.3 and 11.4 in JAX and Flax."""

import math
from functools import partial

import jax
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax import numpy as jnp

import d2lrnn as d2l

PAIRS = """Go.\tVa !
I lost.\tJ'ai perdu.
He's calm.\tIl est calme.
I'm home.\tJe suis chez moi.
She's calm.\tElle est calme.
I'm calm.\tJe suis calme.
Go home.\tVa chez toi !
He's home.\tIl est chez lui.
"""
NUM_STEPS, EMBED, HIDDENS = 5, 6, 10
ENGLISH, FRENCH = ["go .", "he's calm ."], ["va !", "il est calme ."]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text(2 * PAIRS, encoding="utf-8")
    return d2l.PairFile(path, batch_size=4, num_steps=NUM_STEPS, num_train=11, num_val=5)


# 10.5 -------------------------------------------------------------------------------------------------


class Phrases(d2l.DataModule):
    """Section 10.5, its methods one after another."""

    def _download(self):
        return 2 * PAIRS


@d2l.add_to_class(Phrases)
def _preprocess(self, text):
    text = text.replace("\xa0", " ").lower()
    spaced = [
        " " + c if c in ",.!?" and i and text[i - 1] != " " else c for i, c in enumerate(text)
    ]
    return "".join(spaced)


@d2l.add_to_class(Phrases)
def _tokenize(self, text, max_examples=None):
    lines = [line.split("\t") for line in text.split("\n")[:max_examples] if "\t" in line]
    return tuple([[*line[i].split(), "<eos>"] for line in lines] for i in (0, 1))


@d2l.add_to_class(Phrases)
def __init__(self, batch_size, num_steps=NUM_STEPS, num_train=11, num_val=5):
    super(Phrases, self).__init__()
    self.save_hyperparameters()
    self.arrays, self.src_vocab, self.tgt_vocab = self._build_arrays(self._download())


@d2l.add_to_class(Phrases)
def _build_arrays(self, raw_text, src_vocab=None, tgt_vocab=None):
    def build_array(sentences, vocab, first=()):
        width = self.num_steps
        rows = [[*first, *s[:width], *["<pad>"] * (width - len(s))] for s in sentences]
        vocab = d2l.Vocab(rows, min_freq=2) if vocab is None else vocab
        array = d2l.tensor([vocab[row] for row in rows])
        counted = d2l.astype(array != vocab["<pad>"], d2l.int32)
        return array, vocab, d2l.reduce_sum(counted, 1)

    src, tgt = self._tokenize(self._preprocess(raw_text), self.num_train + self.num_val)
    src, src_vocab, valid_lens = build_array(src, src_vocab)
    tgt, tgt_vocab, _ = build_array(tgt, tgt_vocab, ["<bos>"])
    return (src, tgt[:, :-1], valid_lens, tgt[:, 1:]), src_vocab, tgt_vocab


@d2l.add_to_class(Phrases)
def get_dataloader(self, train):
    rows = slice(0, self.num_train) if train else slice(self.num_train, None)
    return self.get_tensorloader(self.arrays, train, rows)


@d2l.add_to_class(Phrases)
def build(self, src_sentences, tgt_sentences):
    lines = [f"{one}\t{other}" for one, other in zip(src_sentences, tgt_sentences, strict=True)]
    return self._build_arrays("\n".join(lines), self.src_vocab, self.tgt_vocab)[0]


def test_10_5_pairs(pairs):
    data = Phrases(batch_size=3)
    src, tgt, valid_lens, label = next(iter(data.train_dataloader()))
    assert src.shape == tgt.shape == label.shape == (3, NUM_STEPS)
    assert valid_lens.tolist() == (src != data.src_vocab["<pad>"]).sum(1).tolist()
    assert (tgt[:, 1:] == label[:, :-1]).all()
    src, tgt, _, _ = data.build(["go home ."], ["va !"])
    assert data.src_vocab.to_tokens(d2l.astype(src[0], d2l.int32))[:4] == [
        "go",
        "home",
        ".",
        "<eos>",
    ]
    assert data.tgt_vocab.to_tokens(tgt[0])[:4] == ["<bos>", "va", "!", "<eos>"]
    d2l.show_list_len_pair_hist(["source", "target"], "tokens", "count", *data._tokenize(PAIRS))
    d2l.plt.close("all")

    # The library's has the same sentences, in tokens of another order.
    for one, other in zip(data.arrays, pairs.arrays, strict=True):
        assert one.shape == other.shape
    np.testing.assert_array_equal(data.arrays[2], pairs.arrays[2])
    assert sorted(data.tgt_vocab.idx_to_token) == sorted(pairs.tgt_vocab.idx_to_token)


# 10.6 and 10.7 ------------------------------------------------------------------------------------------


class Coder(d2l.Classifier):
    """Section 10.6.3, on Flax's modules."""

    encoder: nn.Module
    decoder: nn.Module
    training: bool

    def __call__(self, enc_X, dec_X, *args):
        enc_all_outputs = self.encoder(enc_X, *args, training=self.training)
        state = self.decoder.init_state(enc_all_outputs, *args)
        return self.decoder(dec_X, state, training=self.training)[0]


class ReaderEncoder(d2l.Encoder):
    vocab_size: int
    embed_size: int
    num_hiddens: int
    num_layers: int
    dropout: float = 0

    def setup(self):
        self.embedding = nn.Embed(self.vocab_size, self.embed_size)
        self.rnn = d2l.GRU(self.num_hiddens, self.num_layers, self.dropout)

    def __call__(self, X, *args, training=False):
        embs = self.embedding(d2l.astype(d2l.transpose(X), d2l.int32))
        outputs, state = self.rnn(embs, training=training)
        return outputs, state


class ReaderDecoder(d2l.Decoder):
    vocab_size: int
    embed_size: int
    num_hiddens: int
    num_layers: int
    dropout: float = 0

    def setup(self):
        self.embedding = nn.Embed(self.vocab_size, self.embed_size)
        self.rnn = d2l.GRU(self.num_hiddens, self.num_layers, self.dropout)
        self.dense = nn.Dense(self.vocab_size)

    def init_state(self, enc_all_outputs, *args):
        return enc_all_outputs

    def __call__(self, X, state, training=False):
        enc_output, hidden_state = state
        embs = self.embedding(d2l.astype(d2l.transpose(X), d2l.int32))
        context = jnp.tile(enc_output[-1], (embs.shape[0], 1, 1))
        inputs = d2l.concat((embs, context), -1)
        outputs, hidden_state = self.rnn(inputs, hidden_state, training=training)
        return d2l.swapaxes(self.dense(outputs), 0, 1), [enc_output, hidden_state]


class ReaderSeq2Seq(d2l.EncoderDecoder):
    encoder: nn.Module
    decoder: nn.Module
    tgt_pad: int
    lr: float

    def validation_step(self, params, batch, state):
        loss, _ = self.loss(params, batch[:-1], batch[-1], state)
        self.plot("loss", loss, train=False)

    def configure_optimizers(self):
        return optax.adam(learning_rate=self.lr)

    @partial(jax.jit, static_argnums=(0, 5))
    def loss(self, params, X, Y, state, averaged=False):
        Y_hat = state.apply_fn({"params": params}, *X, rngs={"dropout": state.dropout_rng})
        Y_hat, Y = d2l.reshape(Y_hat, (-1, Y_hat.shape[-1])), d2l.reshape(Y, (-1,))
        losses = optax.softmax_cross_entropy_with_integer_labels(Y_hat, Y)
        mask = d2l.astype(self.tgt_pad != Y, d2l.float32)
        return d2l.reduce_sum(losses * mask) / d2l.reduce_sum(mask), {}


def make(pairs, encoder=None, decoder=None, model=None, num_layers=2, dropout=0, lr=0.02):
    sizes = EMBED, HIDDENS, num_layers, dropout
    encoder = (encoder or d2l.Seq2SeqEncoder)(len(pairs.src_vocab), *sizes)
    decoder = (decoder or d2l.Seq2SeqDecoder)(len(pairs.tgt_vocab), *sizes)
    pad = pairs.tgt_vocab["<pad>"]
    return (model or d2l.Seq2Seq)(encoder, decoder, tgt_pad=pad, lr=lr, training=True)


def fit(model, data, max_epochs=3):
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1, progress=False)
    trainer.fit(model, data)
    return trainer


@pytest.mark.parametrize("library", [False, True])
def test_10_7_shapes(library):
    encoder_of = d2l.Seq2SeqEncoder if library else ReaderEncoder
    decoder_of = d2l.Seq2SeqDecoder if library else ReaderDecoder
    encoder, decoder = (part(9, EMBED, HIDDENS, 2) for part in (encoder_of, decoder_of))
    X = d2l.zeros((4, 7))  # real numbers, as in the book
    (enc_outputs, enc_state), _ = encoder.init_with_output(d2l.get_key(), X)
    d2l.check_shape(enc_outputs, (7, 4, HIDDENS))
    d2l.check_shape(enc_state, (2, 4, HIDDENS))
    state = decoder.init_state((enc_outputs, enc_state))
    (outputs, state), _ = decoder.init_with_output(d2l.get_key(), X, state)
    d2l.check_shape(outputs, (4, 7, 9))
    d2l.check_shape(state[1], (2, 4, HIDDENS))


def test_10_6_and_10_7_a_readers_model_is_the_librarys(pairs):
    reader = make(pairs, ReaderEncoder, ReaderDecoder, ReaderSeq2Seq)
    trainer = fit(reader, pairs)
    assert trainer.history[-1]["val_loss"] < trainer.history[0]["val_loss"]
    # Its encoder reads the padding, so it is the library's without lengths.
    whole = [pairs.arrays[i] for i in (0, 1)]
    ours = make(pairs)
    ours.set_weights(reader.get_weights())
    np.testing.assert_allclose(ours.logits(*whole), reader.logits(*whole), atol=1e-5)
    coder = Coder(reader.encoder, reader.decoder, training=False)
    logits = coder.apply({"params": trainer.state.params}, *whole)
    np.testing.assert_allclose(logits, reader.logits(*whole), atol=1e-5)

    batch = pairs.build(ENGLISH, FRENCH)
    ours, _ = reader.predict_step(trainer.state.params, batch, NUM_STEPS)

    @d2l.add_to_class(d2l.EncoderDecoder)
    def predict_step(self, params, batch, num_steps, save_attention_weights=False):
        src, tgt, lengths, _ = batch
        encoded, left = self.encoder.apply(
            {"params": params["encoder"]}, src, lengths, training=False, mutable="intermediates"
        )
        assert not left
        state, outputs = self.decoder.init_state(encoded, lengths), [tgt[:, :1]]
        for _ in range(num_steps):
            (Y, state), _ = self.decoder.apply(
                {"params": params["decoder"]},
                outputs[-1],
                state,
                training=False,
                mutable="intermediates",
            )
            outputs.append(d2l.argmax(Y, 2))
        return d2l.concat(outputs[1:], 1), ([], [])

    theirs, _ = reader.predict_step(trainer.state.params, batch, NUM_STEPS)
    np.testing.assert_array_equal(ours, theirs)
    words = pairs.tgt_vocab.to_tokens(ours[0])
    assert 0 <= d2l.bleu(" ".join(words), FRENCH[0], k=2) <= 1


def test_10_7_the_loss_is_the_books(pairs):
    losses = []
    for model in None, ReaderSeq2Seq:
        trainer = fit(make(pairs, model=model, num_layers=1), pairs, max_epochs=2)
        losses.append([*trainer.batch_losses, trainer.history[-1]["val_loss"]])
    np.testing.assert_allclose(*losses, rtol=1e-4)


# 11.3 ---------------------------------------------------------------------------------------------------


def reader_softmax(X, valid_lens):
    if valid_lens is None:
        return nn.softmax(X, axis=-1)
    shape = X.shape
    each = jnp.repeat(valid_lens, shape[1]) if valid_lens.ndim == 1 else valid_lens.reshape(-1)
    mask = jnp.arange(shape[-1], dtype=jnp.float32)[None] < each[:, None]
    return nn.softmax(jnp.where(mask, X.reshape(-1, shape[-1]), -1e6).reshape(shape), axis=-1)


class ReaderDotProduct(nn.Module):
    dropout: float

    @nn.compact
    def __call__(self, queries, keys, values, valid_lens=None, training=False):
        scores = queries @ keys.swapaxes(1, 2) / math.sqrt(queries.shape[-1])
        weights = d2l.masked_softmax(scores, valid_lens)
        return nn.Dropout(self.dropout, deterministic=not training)(weights) @ values, weights


class ReaderAdditive(nn.Module):
    num_hiddens: int
    dropout: float

    def setup(self):
        self.W_k = nn.Dense(self.num_hiddens, use_bias=False)
        self.W_q = nn.Dense(self.num_hiddens, use_bias=False)
        self.w_v = nn.Dense(1, use_bias=False)

    @nn.compact
    def __call__(self, queries, keys, values, valid_lens, training=False):
        queries, keys = self.W_q(queries), self.W_k(keys)
        features = nn.tanh(jnp.expand_dims(queries, 2) + jnp.expand_dims(keys, 1))
        weights = d2l.masked_softmax(self.w_v(features).squeeze(-1), valid_lens)
        return nn.Dropout(self.dropout, deterministic=not training)(weights) @ values, weights


def test_11_3_masked_softmax():
    X = jax.random.uniform(d2l.get_key(), (2, 2, 4))
    for lengths in None, jnp.array([2, 3]), jnp.array([[1, 3], [2, 4]]):
        weights = d2l.masked_softmax(X, lengths)
        np.testing.assert_allclose(weights, reader_softmax(X, lengths), atol=1e-6)
    d2l.check_shape(d2l.batch_matmul(d2l.ones((2, 3, 4)), d2l.ones((2, 4, 6))), (2, 3, 6))


@pytest.mark.parametrize(
    ("library", "reader", "sizes", "query_size"),
    [
        (d2l.DotProductAttention, ReaderDotProduct, {"dropout": 0.5}, 2),
        (d2l.AdditiveAttention, ReaderAdditive, {"num_hiddens": 8, "dropout": 0.1}, 20),
    ],
)
def test_11_3_attention(library, reader, sizes, query_size):
    queries = jax.random.normal(d2l.get_key(), (2, 1, query_size))
    keys, values = (jax.random.normal(d2l.get_key(), (2, 10, size)) for size in (2, 4))
    lengths = d2l.tensor([2, 6])
    attention = library(**sizes)
    inputs = queries, keys, values, lengths
    (output, weights), variables = attention.init_with_output(d2l.get_key(), *inputs)
    d2l.check_shape(output, (2, 1, 4))
    d2l.show_heatmaps(d2l.reshape(weights, (1, 1, 2, 10)), xlabel="Keys", ylabel="Queries")
    d2l.plt.close("all")
    theirs = reader(**sizes).apply(variables, *inputs)
    for ours, other in zip((output, weights), theirs, strict=True):
        np.testing.assert_allclose(ours, other, atol=1e-6)
    rngs = {"dropout": jax.random.key(3)}
    dropped, whole = attention.apply(variables, *inputs, training=True, rngs=rngs)
    assert np.abs(dropped - output).max() > 1e-3
    np.testing.assert_allclose(whole, weights, atol=1e-6)


# 11.4 ---------------------------------------------------------------------------------------------------


class ReaderAttentionDecoder(nn.Module):
    vocab_size: int
    embed_size: int
    num_hiddens: int
    num_layers: int
    dropout: float = 0

    def setup(self):
        self.attention = d2l.AdditiveAttention(self.num_hiddens, self.dropout)
        self.embedding = nn.Embed(self.vocab_size, self.embed_size)
        self.dense = nn.Dense(self.vocab_size)
        self.rnn = d2l.GRU(self.num_hiddens, self.num_layers, dropout=self.dropout)

    def init_state(self, enc_outputs, enc_valid_lens, *args):
        outputs, hidden_state = enc_outputs
        return outputs.transpose(1, 0, 2), hidden_state, enc_valid_lens

    @nn.compact
    def __call__(self, X, state, training=False):
        enc_outputs, hidden_state, lengths = state
        outputs, attention_weights = [], []
        for x in self.embedding(X).transpose(1, 0, 2):
            query = jnp.expand_dims(hidden_state[-1], axis=1)
            context, weights = self.attention(
                query, enc_outputs, enc_outputs, lengths, training=training
            )
            x = jnp.concatenate((context, jnp.expand_dims(x, axis=1)), axis=-1)
            out, hidden_state = self.rnn(x.transpose(1, 0, 2), hidden_state, training=training)
            outputs.append(out)
            attention_weights.append(weights)
        self.sow("intermediates", "dec_attention_weights", attention_weights)
        outputs = self.dense(jnp.concatenate(outputs, axis=0))
        return outputs.transpose(1, 0, 2), [enc_outputs, hidden_state, lengths]


def test_11_4_a_readers_decoder_is_the_librarys(pairs):
    X, given, lengths, _ = pairs.arrays
    reader = make(pairs, decoder=ReaderAttentionDecoder)
    trainer = fit(reader, pairs)
    library = make(pairs, decoder=d2l.Seq2SeqAttentionDecoder)
    library.set_weights(reader.get_weights())
    np.testing.assert_allclose(
        library.logits(X, given, lengths), reader.logits(X, given, lengths), atol=1e-5
    )
    batch, found = pairs.build(ENGLISH[-1:], FRENCH[-1:]), []
    for model in reader, library:
        preds, (weights, of_encoder) = model.predict_step(
            trainer.state.params, batch, NUM_STEPS, save_attention_weights=True
        )
        assert (len(weights), of_encoder) == (NUM_STEPS, [])
        rows = d2l.concat([step[0][0][0] for step in weights], 0)
        rows = d2l.reshape(rows, (1, 1, -1, NUM_STEPS))
        assert rows.shape == (1, 1, NUM_STEPS, NUM_STEPS)
        np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-5)
        found.append((np.asarray(preds), np.asarray(rows)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_11_4_the_librarys_decoder_sows(pairs):
    X, given, lengths, _ = pairs.arrays
    model = make(pairs, decoder=d2l.Seq2SeqAttentionDecoder)
    params = model.params
    encoded = model.encoder.apply({"params": params["encoder"]}, X, lengths)
    state = model.decoder.init_state(encoded, lengths)
    (_, after), left = model.decoder.apply(
        {"params": params["decoder"]}, given, state, mutable="intermediates"
    )
    weights = left["intermediates"]["dec_attention_weights"][0]
    assert [w.shape for w in weights] == NUM_STEPS * [(len(X), 1, NUM_STEPS)]
    expected = model.attention_weights(given, model.encode(X, lengths))
    np.testing.assert_allclose(np.concatenate(weights, 1), expected, atol=1e-6)
    assert [part.shape for part in after] == [part.shape for part in state]


# What else readers do -----------------------------------------------------------------------------------


def test_without_a_seed_and_with_a_key_weights_are_others(pairs):
    sizes = EMBED, HIDDENS, 1

    def weights(seed, key=None):
        model = d2l.Seq2Seq(
            d2l.Seq2SeqEncoder(len(pairs.src_vocab), *sizes, seed=seed),
            d2l.Seq2SeqAttentionDecoder(len(pairs.tgt_vocab), *sizes, seed=seed),
            tgt_pad=pairs.tgt_vocab["<pad>"],
            lr=1e-12,
        )
        if key is not None:
            trainer = d2l.Trainer(max_epochs=1, progress=False)
            trainer.fit(model, pairs, key)
        return {n: w for n, w in model.get_weights().items() if ".b_" not in n}

    one, other, seeded, by_key = weights(None), weights(None), weights(0), weights(0, d2l.get_key())
    for name in one:
        for different in (other[name], seeded[name]):
            assert np.abs(one[name] - different).max() > 1e-3, name
        assert np.abs(seeded[name] - by_key[name]).max() > 1e-3, name


def test_an_initialiser_is_taken_in_every_layer_and_direction():
    X = d2l.zeros((3, 2, 4))
    for layer in d2l.RNN(5, 2), d2l.GRU(5), d2l.LSTM(5, 2), d2l.BiGRU(5, 2):
        halves = layer.clone(kernel_init=nn.initializers.constant(0.5))
        for model, expected in (layer, False), (halves, True):
            params = jax.tree.leaves(model.init(d2l.get_key(), X)["params"])
            assert all(bool((p == 0.5).all()) == expected for p in params if p.ndim == 2)


def test_a_part_replaced_after_a_translation_is_used(pairs):
    class Encoder(d2l.Seq2SeqEncoder):
        pass

    model = make(pairs, Encoder, num_layers=1)
    X, given, lengths, _ = pairs.arrays
    before = model.logits(X, given, lengths)

    @d2l.add_to_class(Encoder)
    def __call__(self, X, valid_lens=None, *, training=False):
        outputs, state = d2l.Seq2SeqEncoder.__call__(self, X, valid_lens, training=training)
        return 2 * outputs, state

    assert np.abs(model.logits(X, given, lengths) - before).max() > 1e-3


class WithoutLengths(d2l.Seq2Seq):
    """A reader's model may take other inputs."""

    def forward(self, src, tgt):
        return self.decoder(tgt, self.encoder(src), training=self.training)[0]


def test_a_model_of_two_inputs_is_trained(pairs):
    class Two(d2l.DataModule):
        batch_size = 4

        def get_dataloader(self, train):
            return self.get_tensorloader([pairs.arrays[i] for i in (0, 1, 3)], train)

    trainer = fit(make(pairs, model=WithoutLengths), Two())
    assert trainer.history[-1]["val_loss"] < trainer.history[0]["val_loss"]
