"""Cells of sections 10.5 to 10.7, 11.3 and 11.4 in TensorFlow, and what Keras 3 makes peculiar there."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import tensorflow as tf

import d2lrnn as d2l

PAIRS = """Go.\tVa !
I lost.\tJ'ai perdu.
He's calm.\tIl est calme.
I'm home.\tJe suis chez moi.
She is calm.\tElle est calme.
I'm calm.\tJe suis calme.
He lost.\tIl a perdu.
She's home, Tom.\tElle est chez moi, Tom."""
ENGS, FRAS = ["go .", "i lost ."], ["va !", "j'ai perdu ."]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join([PAIRS] * 3), encoding="utf-8")
    return path


@pytest.fixture
def data(path):
    return d2l.PairFile(path, batch_size=8, num_steps=6, num_train=16, num_val=6)


class FraEng(d2l.DataModule):
    """Section 10.5, with another download."""

    def __init__(self, path, batch_size, num_steps=9, num_train=512, num_val=128):
        super().__init__()
        self.save_hyperparameters()
        self.arrays, self.src_vocab, self.tgt_vocab = self._build_arrays(self._download())

    def _download(self):
        return self.path.read_text(encoding="utf-8")

    def _preprocess(self, text):
        text = text.lower()
        spaced = [
            " " + c if i and c in ",.!?" and text[i - 1] != " " else c for i, c in enumerate(text)
        ]
        return "".join(spaced)

    def _tokenize(self, text, max_examples=None):
        source, target = [], []
        for i, line in enumerate(text.split("\n")):
            if max_examples and i > max_examples:
                break
            pair = line.split("\t")
            if len(pair) == 2:
                source.append([word for word in f"{pair[0]} <eos>".split(" ") if word])
                target.append([word for word in f"{pair[1]} <eos>".split(" ") if word])
        return source, target

    def _build_arrays(self, raw_text, src_vocab=None, tgt_vocab=None):
        def build(sentences, vocab, first=()):
            rows = [(s + ["<pad>"] * self.num_steps)[: self.num_steps] for s in sentences]
            rows = [[*first, *row] for row in rows]
            vocab = d2l.Vocab(rows, min_freq=2) if vocab is None else vocab
            array = d2l.tensor([vocab[row] for row in rows])
            counted = d2l.astype(array != vocab["<pad>"], d2l.int32)
            return array, vocab, d2l.reduce_sum(counted, 1)

        most = self.num_train + self.num_val
        source, target = self._tokenize(self._preprocess(raw_text), most)
        X, src_vocab, valid_lens = build(source, src_vocab)
        Y, tgt_vocab, _ = build(target, tgt_vocab, ["<bos>"])
        return (X, Y[:, :-1], valid_lens, Y[:, 1:]), src_vocab, tgt_vocab

    def get_dataloader(self, train):
        i = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader(self.arrays, train, i)

    def build(self, sources, targets):
        lines = "\n".join(f"{s}\t{t}" for s, t in zip(sources, targets, strict=True))
        return self._build_arrays(lines, self.src_vocab, self.tgt_vocab)[0]


class Seq2SeqEncoder(d2l.Encoder):
    """Section 10.7.1."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.embedding = tf.keras.layers.Embedding(vocab_size, embed_size)
        self.rnn = d2l.GRU(num_hiddens, num_layers, dropout)

    def call(self, X, *args):
        return self.rnn(self.embedding(d2l.transpose(X)))


class Seq2SeqDecoder(d2l.Decoder):
    """Section 10.7.2."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.embedding = tf.keras.layers.Embedding(vocab_size, embed_size)
        self.rnn = d2l.GRU(num_hiddens, num_layers, dropout)
        self.dense = tf.keras.layers.Dense(vocab_size)

    def init_state(self, enc_all_outputs, *args):
        return enc_all_outputs

    def call(self, X, state):
        embs = self.embedding(d2l.transpose(X))
        enc_output, hidden_state = state
        context = tf.tile(tf.expand_dims(enc_output[-1], 0), (embs.shape[0], 1, 1))
        outputs, hidden_state = self.rnn(d2l.concat((embs, context), -1), hidden_state)
        return d2l.transpose(self.dense(outputs), (1, 0, 2)), [enc_output, hidden_state]


class Seq2Seq(d2l.EncoderDecoder):
    """Sections 10.7.3 and 10.7.4."""

    def __init__(self, encoder, decoder, tgt_pad, lr):
        super().__init__(encoder, decoder)
        self.save_hyperparameters()

    def validation_step(self, batch):
        self.plot("loss", self.loss(self(*batch[:-1]), batch[-1]), train=False)

    def configure_optimizers(self):
        return tf.keras.optimizers.Adam(learning_rate=self.lr)

    def loss(self, Y_hat, Y):
        losses = super().loss(Y_hat, Y, averaged=False)
        mask = d2l.astype(d2l.reshape(Y, -1) != self.tgt_pad, d2l.float32)
        return d2l.reduce_sum(losses * mask) / d2l.reduce_sum(mask)


def predict_step(self, batch, device, num_steps, save_attention_weights=False):
    """Section 10.7.6."""
    src, tgt, src_valid_len, _ = batch
    enc_all_outputs = self.encoder(src, src_valid_len, training=False)
    dec_state = self.decoder.init_state(enc_all_outputs, src_valid_len)
    outputs, attention_weights = [d2l.expand_dims(tgt[:, 0], 1)], []
    for _ in range(num_steps):
        Y, dec_state = self.decoder(outputs[-1], dec_state, training=False)
        outputs.append(d2l.argmax(Y, 2))
        if save_attention_weights:
            attention_weights.append(self.decoder.attention_weights)
    return d2l.concat(outputs[1:], 1), attention_weights


def parts(data, encoder=None, decoder=None, num_hiddens=8, num_layers=2, dropout=0.1):
    sizes = 6, num_hiddens, num_layers, dropout
    made = (encoder or d2l.Seq2SeqEncoder)(len(data.src_vocab), *sizes)
    return made, (decoder or d2l.Seq2SeqDecoder)(len(data.tgt_vocab), *sizes)


def library(data, decoder=d2l.Seq2SeqDecoder, **sizes):
    pad = data.tgt_vocab["<pad>"]
    return d2l.Seq2Seq(*parts(data, decoder=decoder, **sizes), tgt_pad=pad, lr=0.02)


def fit(model, data, max_epochs=6, **options):
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1, progress=False)
    trainer.fit(model, data, **options)
    losses = [epoch["train_loss"] for epoch in trainer.history]
    assert losses[-1] < losses[0]
    return trainer


def test_10_5_the_readers_data_are_the_librarys(path):
    sizes = 4, 5, 10, 5
    own = FraEng(path, *sizes)
    data = d2l.PairFile(path, *sizes, as_in_the_book=True)
    for tensor, array in zip(own.arrays, data.arrays, strict=True):
        np.testing.assert_array_equal(d2l.numpy(tensor), array)
    for batch in (next(iter(one.train_dataloader())) for one in (own, data)):
        assert [len(tensor.shape) for tensor in batch] == [2, 2, 1, 2]
    src, tgt, _, _ = own.build(["i lost ."], ["j'ai perdu ."])
    words = own.src_vocab.to_tokens(d2l.astype(src[0], d2l.int32))
    assert words == ["i", "lost", ".", "<eos>", "<pad>"]
    assert own.tgt_vocab.to_tokens(tgt[0])[0] == "<bos>"
    fit(library(own), own)


def test_10_6_interfaces_that_stand_on_keras_alone(data):
    class Encoder(tf.keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.embedding = tf.keras.layers.Embedding(len(data.src_vocab), 4)

        def call(self, X, *args):
            return tf.reduce_mean(self.embedding(X), 1)

    class Decoder(tf.keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.embedding = tf.keras.layers.Embedding(len(data.tgt_vocab), 4)
            self.dense = tf.keras.layers.Dense(len(data.tgt_vocab))

        def init_state(self, enc_all_outputs, *args):
            return enc_all_outputs

        def call(self, X, state):
            return self.dense(self.embedding(X) + state[:, None]), state

    class EncoderDecoder(d2l.Classifier):
        def __init__(self, encoder, decoder):
            super().__init__()
            self.encoder = encoder
            self.decoder = decoder
            self.lr = 0.5

        def call(self, enc_X, dec_X, *args):
            enc_all_outputs = self.encoder(enc_X, *args, training=True)
            dec_state = self.decoder.init_state(enc_all_outputs, *args)
            return self.decoder(dec_X, dec_state, training=True)[0]

    fit(EncoderDecoder(Encoder(), Decoder()), data)
    for base, hook in (d2l.Encoder, "call"), (d2l.Decoder, "call"), (d2l.Decoder, "init_state"):
        args = (d2l.ones((2, 3)), None)[: 1 + (base is d2l.Decoder and hook == "call")]
        with pytest.raises(NotImplementedError, match=f"defines no {hook}"):
            getattr(base(), hook)(*args)


def test_10_7_shapes():
    encoder = Seq2SeqEncoder(10, 8, 16, 2)
    X = d2l.zeros((4, 9))  # floats, as in the book
    enc_outputs, enc_state = encoder(X)
    d2l.check_shape(enc_outputs, (9, 4, 16))
    d2l.check_len(enc_state, 2)
    d2l.check_shape(enc_state[0], (4, 16))
    decoder = Seq2SeqDecoder(10, 8, 16, 2)
    dec_outputs, state = decoder(X, decoder.init_state(encoder(X)))
    d2l.check_shape(dec_outputs, (4, 9, 10))
    d2l.check_len(state[1], 2)
    d2l.check_shape(state[1][0], (4, 16))


@pytest.mark.parametrize("encoder", [Seq2SeqEncoder, d2l.Seq2SeqEncoder])
def test_10_7_the_readers_model(encoder, data, tmp_path):
    pad = data.tgt_vocab["<pad>"]
    with d2l.try_gpu():
        model = Seq2Seq(*parts(data, encoder, Seq2SeqDecoder), tgt_pad=pad, lr=0.02)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # it is compiled
        trainer = fit(model, data)
    assert trainer.history[-1]["val_loss"] > 0
    weights = model.get_weights()
    assert {"encoder.embedding.W", "decoder.rnn.1.W_hn", "decoder.dense.b_q"} <= weights.keys()
    assert weights.keys() == library(data).get_weights().keys()

    batch = data.build(ENGS, FRAS)
    found = d2l.numpy(model.predict_step(batch, d2l.try_gpu(), data.num_steps)[0])
    d2l.add_to_class(d2l.EncoderDecoder)(predict_step)
    preds, _ = model.predict_step(batch, d2l.try_gpu(), data.num_steps)
    np.testing.assert_array_equal(d2l.numpy(preds), found)
    for fr, p in zip(FRAS, preds, strict=True):
        words = data.tgt_vocab.to_tokens(p)
        translation = words[: words.index("<eos>")] if "<eos>" in words else words
        assert 0 <= d2l.bleu(" ".join(translation), fr, k=2) <= 1


def test_10_7_a_readers_parts_are_no_copies(data):
    model = d2l.Seq2Seq(*parts(data, Seq2SeqEncoder, Seq2SeqDecoder), tgt_pad=1, lr=0.01)
    weights = model.get_weights()
    for layer in 0, 1:
        one, other = (weights[f"{part}.rnn.{layer}.W_hn"] for part in ("encoder", "decoder"))
        assert np.abs(one - other).max() > 0.01


def masked_softmax(X, valid_lens):
    """Section 11.3.2."""
    if valid_lens is None:
        return tf.nn.softmax(X, axis=-1)
    shape = X.shape
    if len(valid_lens.shape) == 1:
        valid_lens = tf.repeat(valid_lens, repeats=shape[1])
    else:
        valid_lens = tf.reshape(valid_lens, shape=-1)
    keys = tf.range(shape[-1], dtype=tf.float32)
    mask = keys[None] < tf.cast(valid_lens[:, None], tf.float32)
    X = tf.where(mask, tf.reshape(X, (-1, shape[-1])), -1e6)
    return tf.nn.softmax(tf.reshape(X, shape), axis=-1)


class AdditiveAttention(tf.keras.layers.Layer):
    """Section 11.3.4."""

    def __init__(self, key_size, query_size, num_hiddens, dropout, **kwargs):
        super().__init__(**kwargs)
        self.W_k = tf.keras.layers.Dense(num_hiddens, use_bias=False)
        self.W_q = tf.keras.layers.Dense(num_hiddens, use_bias=False)
        self.w_v = tf.keras.layers.Dense(1, use_bias=False)
        self.dropout = tf.keras.layers.Dropout(dropout)

    def call(self, queries, keys, values, valid_lens, **kwargs):
        queries, keys = self.W_q(queries), self.W_k(keys)
        features = tf.nn.tanh(tf.expand_dims(queries, 2) + tf.expand_dims(keys, 1))
        scores = tf.squeeze(self.w_v(features), axis=-1)
        self.attention_weights = masked_softmax(scores, valid_lens)
        return tf.matmul(self.dropout(self.attention_weights, **kwargs), values)


@pytest.mark.parametrize("valid_lens", [None, [2, 3], [[1, 3], [2, 4]]])
def test_11_3_a_masked_softmax(valid_lens):
    X = tf.random.uniform((2, 2, 4))
    lengths = None if valid_lens is None else tf.constant(valid_lens)
    found = d2l.masked_softmax(X, lengths)
    np.testing.assert_allclose(found, masked_softmax(X, lengths), atol=1e-7)


def test_11_3_scores():
    d2l.check_shape(tf.matmul(d2l.ones((2, 3, 4)), d2l.ones((2, 4, 6))).numpy(), (2, 3, 6))
    keys, values = tf.random.normal((2, 10, 2)), tf.random.normal((2, 10, 4))
    valid_lens = tf.constant([2, 6])
    attention = d2l.DotProductAttention(dropout=0.5)
    found = attention(tf.random.normal((2, 1, 2)), keys, values, valid_lens, training=False)
    d2l.check_shape(found, (2, 1, 4))

    queries = tf.random.normal((2, 1, 20))
    options = {"key_size": 2, "query_size": 20, "num_hiddens": 8, "dropout": 0.1}
    own, attention = AdditiveAttention(**options), d2l.AdditiveAttention(**options)
    own(queries, keys, values, valid_lens)
    for name in "W_q", "W_k", "w_v":
        getattr(own, name).set_weights(getattr(attention, name).get_weights())
    found = attention(queries, keys, values, valid_lens, training=False)
    expected = own(queries, keys, values, valid_lens, training=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(attention.attention_weights[0, 0, 2:], 0)
    matrices = d2l.reshape(attention.attention_weights, (1, 1, 2, 10))
    d2l.show_heatmaps(matrices, xlabel="Keys", ylabel="Queries")
    dropped = attention(queries, keys, values, valid_lens, training=True)
    assert np.any(d2l.numpy(dropped) != d2l.numpy(found))


class Seq2SeqAttentionDecoder(d2l.AttentionDecoder):
    """Section 11.4.2. Of layers above each other Keras 3 takes and gives a list of lists of states."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.attention = d2l.AdditiveAttention(num_hiddens, num_hiddens, num_hiddens, dropout)
        self.embedding = tf.keras.layers.Embedding(vocab_size, embed_size)
        cells = [tf.keras.layers.GRUCell(num_hiddens, dropout=dropout) for _ in range(num_layers)]
        stacked = tf.keras.layers.StackedRNNCells(cells)
        self.rnn = tf.keras.layers.RNN(stacked, return_sequences=True, return_state=True)
        self.dense = tf.keras.layers.Dense(vocab_size)

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, hidden_state = enc_outputs
        return tf.transpose(outputs, (1, 0, 2)), hidden_state, enc_valid_lens

    def steps(self, X):
        return X  # `for x in X`, as in the book

    def call(self, X, state, **kwargs):
        enc_outputs, hidden_state, enc_valid_lens = state
        X = tf.transpose(self.embedding(X), perm=(1, 0, 2))
        outputs, self._attention_weights = [], []
        for x in self.steps(X):
            query = tf.expand_dims(hidden_state[-1], axis=1)
            values = enc_outputs, enc_outputs, enc_valid_lens
            context = self.attention(query, *values, **kwargs)
            x = tf.concat((context, tf.expand_dims(x, axis=1)), axis=-1)
            out = self.rnn(x, [[H] for H in tf.unstack(hidden_state)], **kwargs)
            hidden_state = tf.stack([H for (H,) in out[1:]])
            outputs.append(out[0])
            self._attention_weights.append(self.attention.attention_weights)
        outputs = self.dense(tf.concat(outputs, axis=1))
        return outputs, [enc_outputs, hidden_state, enc_valid_lens]

    @property
    def attention_weights(self):
        return self._attention_weights


class InAGraph(Seq2SeqAttentionDecoder):
    def steps(self, X):
        return tf.unstack(X)


@pytest.mark.parametrize("decoder", [Seq2SeqAttentionDecoder, d2l.Seq2SeqAttentionDecoder])
def test_11_4_shapes(decoder):
    encoder, decoder = d2l.Seq2SeqEncoder(10, 8, 16, 2), decoder(10, 8, 16, 2)
    X = tf.zeros((4, 7))
    state = decoder.init_state(encoder(X, training=False), None)
    output, state = decoder(X, state, training=False)
    d2l.check_shape(output, (4, 7, 10))
    d2l.check_shape(state[0], (4, 7, 16))
    d2l.check_shape(state[1][0], (4, 16))
    assert len(decoder.attention_weights) == 7
    d2l.check_shape(decoder.attention_weights[0], (4, 1, 7))


def test_11_4_the_readers_decoder(data):
    with d2l.try_gpu():
        model = library(data, Seq2SeqAttentionDecoder)
    with pytest.warns(UserWarning, match="no graph of Seq2Seq.*[iI]terating over"):
        fit(model, data, max_epochs=3)
    batch = data.build(ENGS[-1:], FRAS[-1:])
    with pytest.warns(UserWarning, match="no graph of Seq2Seq"):
        _, of_the_library = model.predict_step(batch, d2l.try_gpu(), data.num_steps, True)
    d2l.add_to_class(d2l.EncoderDecoder)(predict_step)
    _, dec_attention_weights = model.predict_step(batch, d2l.try_gpu(), data.num_steps, True)
    for (one,), (other,) in zip(dec_attention_weights, of_the_library, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    weights = d2l.concat([step[0][0][0] for step in dec_attention_weights], 0)
    weights = d2l.reshape(weights, (1, 1, -1, data.num_steps))
    d2l.check_shape(weights, (1, 1, data.num_steps, data.num_steps))
    np.testing.assert_allclose(d2l.reduce_sum(weights, -1), np.ones((1, 1, data.num_steps)), 1e-5)
    np.testing.assert_array_equal(weights[..., len(ENGS[-1].split()) + 1 :], 0)


def test_11_4_the_readers_decoder_in_a_graph(data):
    model = library(data, InAGraph)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model, data, max_epochs=3)
        model.translate(ENGS, data)
    X, given, n, _ = data.arrays
    other = copy.deepcopy(model)
    np.testing.assert_array_equal(other.logits(X, given, n), model.logits(X, given, n))


# What Keras 3 makes peculiar ------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", [d2l.Seq2SeqDecoder, d2l.Seq2SeqAttentionDecoder])
def test_the_librarys_models_are_compiled_and_copied_after_it(decoder, data):
    model = library(data, decoder)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer = fit(model, data)
    graphs = [graph for epoch in trainer._epochs.values() for graph in epoch.graphs.values()]
    assert {graph.call.experimental_get_tracing_count() for graph in graphs} == {1}
    X, given, n, _ = data.arrays
    for other in copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        np.testing.assert_array_equal(other.logits(X, given, n), model.logits(X, given, n))
        fit(other, data, max_epochs=3)
        biases = [
            layer.cell.bias for part in (other.encoder, other.decoder) for layer in part.rnn.rnn
        ]
        assert all(np.any(bias[0]) and not np.any(bias[1]) for bias in biases)


def test_attention_weights_that_are_left_over_are_numbers(data):
    model = library(data, d2l.Seq2SeqAttentionDecoder)
    fit(model, data, max_epochs=2)
    X, given, n, _ = data.arrays
    model(*map(d2l.tensor, (X, given, n)))
    before = d2l.numpy(d2l.concat(model.decoder.attention_weights, 1))
    model.translate(ENGS, data)  # in a graph
    after = d2l.numpy(d2l.concat(model.decoder.attention_weights, 1))
    np.testing.assert_array_equal(before, after)
    expected = model.attention_weights(given, model.encode(X, n))
    np.testing.assert_allclose(before, expected, atol=1e-6)


def test_a_method_that_is_attached_later_is_run(data):
    model = library(data)
    first = model.translations(ENGS, data)
    forward = d2l.Seq2SeqDecoder.forward

    @d2l.add_to_class(d2l.Seq2SeqDecoder)
    def forward_of_the_reader(self, X, state):
        logits, state = forward(self, X, state)
        return 3 * logits, state

    d2l.Seq2SeqDecoder.forward = forward_of_the_reader
    second = model.translations(ENGS, data)
    d2l.Seq2SeqDecoder.forward = forward
    assert [one.log_probability for one in first] != [one.log_probability for one in second]


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_long_sources_are_masked_without_unrolling(cell):
    X = np.random.RandomState(0).randint(1, 10, (3, 80))
    encoder = d2l.Seq2SeqEncoder(10, 4, 5, 2, cell=cell)
    outputs, state = encoder(d2l.tensor(X), d2l.tensor([1, 33, 80]))
    for row, n in enumerate([1, 33, 80]):
        alone, of_one = encoder(d2l.tensor(X[row : row + 1, :n]))
        np.testing.assert_allclose(outputs[:n, row], alone[:, 0], atol=1e-6)
        np.testing.assert_array_equal(outputs[n - 1 :, row] - outputs[n - 1, row], 0)
        for one, other in zip(tf.nest.flatten(state), tf.nest.flatten(of_one), strict=True):
            np.testing.assert_allclose(one[:, row], other[:, 0], atol=1e-6)


def test_initial_weights_of_translators_touch_no_global_stream(data):
    def draws():
        tf.keras.utils.set_random_seed(3)
        yield
        yield np.random.rand(), float(tf.random.uniform(())), tf.keras.random.uniform((2,)).numpy()

    found = []
    for make in (lambda: None), (lambda: library(data, d2l.Seq2SeqAttentionDecoder).get_weights()):
        drawing = draws()
        next(drawing)
        make()
        found.append(next(drawing))
    np.testing.assert_array_equal(found[0][2], found[1][2])
    assert found[0][:2] == found[1][:2]
    free = [d2l.Seq2SeqEncoder(10, 4, 5, 1, seed=None).get_weights() for _ in range(2)]
    assert np.any(free[0]["embedding.W"] != free[1]["embedding.W"])
    assert np.any(free[0]["rnn.W_hn"] != free[1]["rnn.W_hn"])
