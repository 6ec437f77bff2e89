"""Cells of sections 10.5 to 10.7, 11.3 and 11.4 in PyTorch, as a reader types them."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from translation_cells import (
    ENGS,
    FRAS,
    TEXT,
    decoder_of,
    encoder_of,
    improves,
    scores,
    translations,
    translator,
    type_predict_step,
    type_section_10_5,
)

import d2lrnn as d2l


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(TEXT, encoding="utf-8")
    return d2l.PairFile(path, batch_size=4, num_steps=6, num_train=12, num_val=6)


def test_10_5_the_data_method_by_method():
    data = type_section_10_5()
    # The library's model trains on arrays of int64, which the book's `tensor` makes.
    model = translator(data, encoder_of(data, dropout=0), decoder_of(data, dropout=0))
    assert improves(model, data)
    assert len(model.translate(ENGS, data)) == 4


def test_10_6_the_interfaces():
    class Encoder(nn.Module):
        def forward(self, X, *args):
            raise NotImplementedError

    class Decoder(nn.Module):
        def init_state(self, enc_all_outputs, *args):
            raise NotImplementedError

        def forward(self, X, state):
            raise NotImplementedError

    class Mean(Encoder):
        def forward(self, X, *args):
            return X.float().mean(dim=1, keepdim=True)

    class Adding(Decoder):
        def init_state(self, enc_all_outputs, *args):
            return enc_all_outputs

        def forward(self, X, state):
            return X + state, state

    class EncoderDecoder(d2l.Classifier):
        def __init__(self, encoder, decoder):
            super().__init__()
            self.encoder = encoder
            self.decoder = decoder

        def forward(self, enc_X, dec_X, *args):
            enc_all_outputs = self.encoder(enc_X, *args)
            dec_state = self.decoder.init_state(enc_all_outputs, *args)
            return self.decoder(dec_X, dec_state)[0]

    X = d2l.tensor([[1, 3], [2, 2]])
    for cls in EncoderDecoder, d2l.EncoderDecoder:
        assert (cls(Mean(), Adding())(X, X, None) == X + 2).all()
    for cls in d2l.Encoder, d2l.Decoder, d2l.AttentionDecoder:
        with pytest.raises(NotImplementedError, match="defines no forward"):
            cls()(X, None)
    with pytest.raises(NotImplementedError, match="defines no init_state"):
        d2l.Decoder().init_state(X)
    with pytest.raises(NotImplementedError, match="defines no attention_weights"):
        d2l.AttentionDecoder().attention_weights  # noqa: B018


def init_seq2seq(module):
    """Section 10.7.1."""
    if type(module) is nn.Linear:
        nn.init.xavier_uniform_(module.weight)
    if type(module) is nn.GRU:
        for param in module._flat_weights_names:
            if "weight" in param:
                nn.init.xavier_uniform_(module._parameters[param])


class Seq2SeqEncoder(d2l.Encoder):
    """Section 10.7.1."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = d2l.GRU(embed_size, num_hiddens, num_layers, dropout)
        self.apply(init_seq2seq)

    def forward(self, X, *args):
        embs = self.embedding(d2l.astype(d2l.transpose(X), d2l.int64))
        outputs, state = self.rnn(embs)
        return outputs, state


class Seq2SeqDecoder(d2l.Decoder):
    """Section 10.7.2."""

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = d2l.GRU(embed_size + num_hiddens, num_hiddens, num_layers, dropout)
        self.dense = nn.LazyLinear(vocab_size)
        self.apply(init_seq2seq)

    def init_state(self, enc_all_outputs, *args):
        return enc_all_outputs

    def forward(self, X, state):
        embs = self.embedding(d2l.astype(d2l.transpose(X), d2l.int32))
        enc_output, hidden_state = state
        context = enc_output[-1].repeat(embs.shape[0], 1, 1)
        outputs, hidden_state = self.rnn(d2l.concat((embs, context), -1), hidden_state)
        return d2l.swapaxes(self.dense(outputs), 0, 1), [enc_output, hidden_state]


@pytest.mark.parametrize("encoder", [Seq2SeqEncoder, d2l.Seq2SeqEncoder])
@pytest.mark.parametrize("decoder", [Seq2SeqDecoder, d2l.Seq2SeqDecoder])
def test_10_7_shapes(encoder, decoder):
    vocab_size, embed_size, num_hiddens, num_layers = 10, 8, 16, 2
    batch_size, num_steps = 4, 9
    encoder = encoder(vocab_size, embed_size, num_hiddens, num_layers)
    X = d2l.zeros((batch_size, num_steps))
    enc_outputs, enc_state = encoder(X)
    d2l.check_shape(enc_outputs, (num_steps, batch_size, num_hiddens))
    d2l.check_shape(enc_state, (num_layers, batch_size, num_hiddens))
    decoder = decoder(vocab_size, embed_size, num_hiddens, num_layers)
    dec_outputs, state = decoder(X, decoder.init_state(encoder(X)))
    d2l.check_shape(dec_outputs, (batch_size, num_steps, vocab_size))
    d2l.check_shape(state[1], (num_layers, batch_size, num_hiddens))


class Seq2Seq(d2l.EncoderDecoder):
    """Sections 10.7.3 to 10.7.5."""

    def __init__(self, encoder, decoder, tgt_pad, lr):
        super().__init__(encoder, decoder)
        self.save_hyperparameters()

    def validation_step(self, batch):
        Y_hat = self(*batch[:-1])
        self.plot("loss", self.loss(Y_hat, batch[-1]), train=False)

    def loss(self, Y_hat, Y):
        losses = super().loss(Y_hat, Y, averaged=False)
        mask = d2l.astype(d2l.reshape(Y, -1) != self.tgt_pad, d2l.float32)
        return d2l.reduce_sum(losses * mask) / d2l.reduce_sum(mask)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


@pytest.fixture
def predict_step():
    type_predict_step()


@pytest.mark.parametrize(
    "classes",
    [
        (Seq2SeqEncoder, Seq2SeqDecoder, Seq2Seq),
        (d2l.Seq2SeqEncoder, d2l.Seq2SeqDecoder, Seq2Seq),
        (Seq2SeqEncoder, d2l.Seq2SeqDecoder, d2l.Seq2Seq),
    ],
)
def test_10_7_training_and_prediction(classes, data, predict_step):
    encoder, decoder, cls = classes
    model = translator(data, encoder_of(data, encoder), decoder_of(data, decoder), cls)
    assert improves(model, data)
    batch = data.build(ENGS, FRAS)
    preds, weights = model.predict_step(batch, d2l.try_gpu(), data.num_steps)
    assert preds.shape == (4, data.num_steps) and weights == []
    assert all(0 <= score <= 1 for score in scores(preds, data))
    assert translations(preds, data) == model.translate(ENGS, data)


def masked_softmax(X, valid_lens):
    """Section 11.3.2; as in the book, it writes into its argument."""
    if valid_lens is None:
        return nn.functional.softmax(X, dim=-1)
    shape = X.shape
    if valid_lens.dim() == 1:
        valid_lens = torch.repeat_interleave(valid_lens, shape[1])
    X = X.reshape(-1, shape[-1])
    X[torch.arange(shape[-1])[None, :] >= valid_lens.reshape(-1)[:, None]] = -1e6
    return nn.functional.softmax(X.reshape(shape), dim=-1)


class DotProductAttention(nn.Module):
    """Section 11.3.3."""

    def __init__(self, dropout):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, valid_lens=None):
        scores = torch.bmm(queries, keys.transpose(1, 2)) / math.sqrt(queries.shape[-1])
        self.attention_weights = masked_softmax(scores, valid_lens)
        return torch.bmm(self.dropout(self.attention_weights), values)


class AdditiveAttention(nn.Module):
    """Section 11.3.4."""

    def __init__(self, num_hiddens, dropout, **kwargs):
        super().__init__(**kwargs)
        self.W_k = nn.LazyLinear(num_hiddens, bias=False)
        self.W_q = nn.LazyLinear(num_hiddens, bias=False)
        self.w_v = nn.LazyLinear(1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries, keys, values, valid_lens):
        queries, keys = self.W_q(queries), self.W_k(keys)
        features = torch.tanh(queries.unsqueeze(2) + keys.unsqueeze(1))
        scores = self.w_v(features).squeeze(-1)
        self.attention_weights = masked_softmax(scores, valid_lens)
        return torch.bmm(self.dropout(self.attention_weights), values)


@pytest.mark.parametrize("valid_lens", [None, [2, 3], [[1, 3], [2, 4]]])
def test_11_3_the_masked_softmax(valid_lens):
    X = torch.rand(2, 2, 4)
    before = X.clone()
    lengths = None if valid_lens is None else d2l.tensor(valid_lens)
    ours = d2l.masked_softmax(X, lengths)
    assert (before == X).all()
    torch.testing.assert_close(ours, masked_softmax(X, lengths))


@pytest.mark.parametrize("dot", [DotProductAttention, d2l.DotProductAttention])
@pytest.mark.parametrize("additive", [AdditiveAttention, d2l.AdditiveAttention])
def test_11_3_attention(dot, additive):
    Q, K = d2l.ones((2, 3, 4)), d2l.ones((2, 4, 6))
    d2l.check_shape(d2l.batch_matmul(Q, K), (2, 3, 6))
    queries, keys = d2l.normal(0, 1, (2, 1, 2)), d2l.normal(0, 1, (2, 10, 2))
    values, valid_lens = d2l.normal(0, 1, (2, 10, 4)), d2l.tensor([2, 6])
    attention = dot(dropout=0.5)
    d2l.check_shape(attention(queries, keys, values, valid_lens), (2, 1, 4))
    queries = d2l.normal(0, 1, (2, 1, 20))  # of another size than the keys
    attention = additive(num_hiddens=8, dropout=0.1)
    d2l.check_shape(attention(queries, keys, values, valid_lens), (2, 1, 4))
    assert (attention.attention_weights[1, 0, 6:] == 0).all()
    assert float(attention.attention_weights.sum()) == pytest.approx(2, abs=1e-5)
    heat = d2l.reshape(attention.attention_weights, (1, 1, 2, 10))
    d2l.show_heatmaps(heat, xlabel="Keys", ylabel="Queries")


class Seq2SeqAttentionDecoder(d2l.AttentionDecoder):
    """Section 11.4.2."""

    attention_class = d2l.AdditiveAttention

    def __init__(self, vocab_size, embed_size, num_hiddens, num_layers, dropout=0):
        super().__init__()
        self.attention = self.attention_class(num_hiddens, dropout)
        self.embedding = nn.Embedding(vocab_size, embed_size)
        self.rnn = nn.GRU(embed_size + num_hiddens, num_hiddens, num_layers, dropout=dropout)
        self.dense = nn.LazyLinear(vocab_size)
        self.apply(d2l.init_seq2seq)

    def init_state(self, enc_outputs, enc_valid_lens):
        outputs, hidden_state = enc_outputs
        return outputs.swapaxes(0, 1), hidden_state, enc_valid_lens

    def forward(self, X, state):
        enc_outputs, hidden_state, enc_valid_lens = state
        X = self.embedding(X).swapaxes(0, 1)
        outputs, self._attention_weights = [], []
        for x in X:
            query = torch.unsqueeze(hidden_state[-1], dim=1)
            context = self.attention(query, enc_outputs, enc_outputs, enc_valid_lens)
            x = torch.cat((context, torch.unsqueeze(x, dim=1)), dim=-1)
            out, hidden_state = self.rnn(x.swapaxes(0, 1), hidden_state)
            outputs.append(out)
            self._attention_weights.append(self.attention.attention_weights)
        outputs = self.dense(torch.cat(outputs, dim=0))
        return outputs.swapaxes(0, 1), [enc_outputs, hidden_state, enc_valid_lens]

    @property
    def attention_weights(self):
        return self._attention_weights


class OfTheReaders(Seq2SeqAttentionDecoder):
    attention_class = AdditiveAttention


attention_decoders = pytest.mark.parametrize(
    "decoder", [Seq2SeqAttentionDecoder, OfTheReaders, d2l.Seq2SeqAttentionDecoder]
)


def test_11_4_the_librarys_predict_step_gives_the_same_weights(data):
    model = translator(data, encoder_of(data), decoder_of(data, d2l.Seq2SeqAttentionDecoder))
    arguments = data.build(ENGS, FRAS), d2l.try_gpu(), data.num_steps, True
    ours = model.predict_step(*arguments)
    type_predict_step()
    model.eval()
    theirs = model.predict_step(*arguments)
    assert (d2l.numpy(ours[0]) == d2l.numpy(theirs[0])).all()
    for one, other in zip(ours[1], theirs[1], strict=True):
        assert len(one) == len(other) == 1
        np.testing.assert_allclose(d2l.numpy(one[0]), d2l.numpy(other[0]), atol=1e-6)


@attention_decoders
def test_11_4_shapes(decoder):
    vocab_size, embed_size, num_hiddens, num_layers = 10, 8, 16, 2
    batch_size, num_steps = 4, 7
    encoder = d2l.Seq2SeqEncoder(vocab_size, embed_size, num_hiddens, num_layers)
    decoder = decoder(vocab_size, embed_size, num_hiddens, num_layers)
    X = d2l.zeros((batch_size, num_steps), dtype=torch.long)
    output, state = decoder(X, decoder.init_state(encoder(X), None))
    d2l.check_shape(output, (batch_size, num_steps, vocab_size))
    d2l.check_shape(state[0], (batch_size, num_steps, num_hiddens))
    d2l.check_shape(state[1][0], (batch_size, num_hiddens))


@attention_decoders
def test_11_4_training_translations_and_weights(decoder, data, predict_step, tmp_path):
    def make():
        return translator(data, encoder_of(data), decoder_of(data, decoder))

    model = make()
    assert improves(model, data)
    batch, device = data.build(ENGS, FRAS), d2l.try_gpu()
    preds, _ = model.predict_step(batch, device, data.num_steps)
    assert all(0 <= score <= 1 for score in scores(preds, data))
    batch = data.build([ENGS[-1]], [FRAS[-1]])
    _, steps = model.predict_step(batch, device, data.num_steps, True)
    weights = d2l.concat([step[0][0][0] for step in steps], 0)
    weights = d2l.reshape(weights, (1, 1, -1, data.num_steps))
    d2l.check_shape(weights, (1, 1, data.num_steps, data.num_steps))
    heat = weights[:, :, :, : len(ENGS[-1].split()) + 1]
    np.testing.assert_allclose(d2l.numpy(heat.sum(dim=-1)), 1, atol=1e-5)
    d2l.show_heatmaps(heat, xlabel="Key positions", ylabel="Query positions")

    # What an attention remembers of its last call is no weight.
    assert not [name for name in model.get_weights() if "attention_weights" in name]
    model.save(tmp_path / "weights")
    torch.save(model.state_dict(), tmp_path / "state_dict")
    loaded, of_pytorchs = make(), make()
    for other in loaded, of_pytorchs:
        other.infer_sizes()
    loaded.load(tmp_path / "weights")
    of_pytorchs.load_state_dict(torch.load(tmp_path / "state_dict"))
    expected = model.translate(ENGS, data)
    for other in loaded, of_pytorchs:
        assert other.translate(ENGS, data) == expected
