"""Cells of chapters 3, 9 and 10 in MXNet."""

import copy
import math
import pickle
import subprocess
import sys
from importlib.util import find_spec

import mxnet
import numpy as onp
import pytest
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

import d2lrnn as d2l
from d2lrnn import backend
from d2lrnn.errors import ArgumentError, WeightsError
from d2lrnn_mxnet.devices import AHEAD

npx.set_np()


class Lines(d2l.DataModule):
    """Section 3.3: points of a line with some noise, drawn from MXNet's global stream."""

    def __init__(self, w, b, noise=0.01, num_train=300, num_val=100, batch_size=32):
        super().__init__()
        self.save_hyperparameters()
        n = num_train + num_val
        self.X = d2l.randn(n, len(w))
        self.y = d2l.matmul(self.X, d2l.reshape(w, (-1, 1))) + b + d2l.randn(n, 1) * noise


W, BIAS = d2l.tensor([2, -3.4]), 4.2


def test_3_1_vectors():
    a, b, c = d2l.ones(50), d2l.ones(50), d2l.zeros(50)
    for i in range(50):
        c[i] = a[i] + b[i]
    assert (c == a + b).all()


def test_3_2_classes_as_the_book_writes_them():
    class Module(d2l.nn_Module, d2l.HyperParameters):
        def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
            super().__init__()
            self.save_hyperparameters()
            self.board = d2l.ProgressBoard()

    assert Module(plot_train_per_epoch=3).plot_train_per_epoch == 3


def attach_the_loader():
    """Section 3.3.3."""

    @d2l.add_to_class(d2l.DataModule)
    def get_tensorloader(self, tensors, train, indices=slice(0, None)):
        dataset = gluon.data.ArrayDataset(*(a[indices] for a in tensors))
        return gluon.data.DataLoader(dataset, self.batch_size, shuffle=train)


def test_3_3_a_generator_and_then_a_loader():
    data = Lines(W, BIAS)
    assert (data.X[0].shape, data.y[0].shape) == ((2,), (1,))

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):
        rows = list(range(self.num_train) if train else range(self.num_train, len(self.X)))
        for start in range(0, len(rows), self.batch_size):
            some = d2l.tensor(rows[start : start + self.batch_size])  # of float32, as the book's
            yield self.X[some], self.y[some]

    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, y.shape) == ((32, 2), (32, 1))
    trainer = d2l.Trainer(max_epochs=2)
    trainer.fit(d2l.LinearRegressionScratch(2, lr=0.1), data)
    assert trainer.history[-1]["val_loss"] < 1
    attach_the_loader()

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):  # noqa: F811
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, rows)

    for lines in data, d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100):
        X, y = next(iter(lines.train_dataloader()))
        assert (X.shape, y.shape) == ((32, 2), (32, 1))
        assert len(lines.train_dataloader()) == 10


def test_a_text_in_the_loader_of_section_3_3(data, perplexities):
    attach_the_loader()
    first, last = perplexities(d2l.RNNLM(d2l.RNN(16), len(data.vocab), lr=1))
    assert last < 0.8 * first


def linear_regression_of_the_readers(make_optimizer):
    class LinearRegressionScratch(d2l.Module):
        def __init__(self, num_inputs, lr, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.w = d2l.normal(0, sigma, (num_inputs, 1))
            self.b = d2l.zeros(1)
            self.w.attach_grad()
            self.b.attach_grad()

        def forward(self, X):
            return d2l.matmul(X, self.w) + self.b

        def loss(self, y_hat, y):
            return d2l.reduce_mean((y_hat - y) ** 2 / 2)

        def configure_optimizers(self):
            return make_optimizer([self.w, self.b], self.lr)

    return LinearRegressionScratch(2, lr=0.1)


class Descent(d2l.HyperParameters):
    """Section 3.4.3."""

    def __init__(self, params, lr):
        self.save_hyperparameters()

    def step(self, _):
        for param in self.params:
            param -= self.lr * param.grad


class Halving(d2l.Trainer):
    def fit_epoch(self):
        super().fit_epoch()
        if self.epoch == 0:
            self.optim.lr /= 2


@pytest.mark.parametrize("optimizer", [Descent, d2l.SGD])
def test_3_4_from_scratch(optimizer, tmp_path):
    data = d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100)

    def fit(max_epochs, **files):
        mxnet.random.seed(1)
        model = linear_regression_of_the_readers(optimizer)
        Halving(max_epochs, progress=False).fit(model, data, **files)
        return model

    model = fit(9)
    assert abs(data.w - d2l.reshape(model.w, data.w.shape)).max() < 0.05
    assert abs(data.b - model.b) < 0.05
    fit(2, checkpoint=str(tmp_path / "checkpoint"))
    resumed = fit(9, resume=str(tmp_path / "checkpoint"))
    assert (resumed.w == model.w).all() and (resumed.b == model.b).all()
    model.save(tmp_path / "weights")
    model.save_parameters(str(tmp_path / "parameters"))
    loaded, of_gluons = (linear_regression_of_the_readers(Descent) for _ in range(2))
    loaded.load(tmp_path / "weights")
    of_gluons.load_parameters(str(tmp_path / "parameters"))
    for other in loaded, of_gluons, copy.deepcopy(model):
        assert (other.w == model.w).all() and other.w.grad is not None and other.w is not model.w


def test_3_4_the_librarys_is_the_same():
    data = d2l.SyntheticRegressionData(W, BIAS)
    models = d2l.LinearRegressionScratch(2, lr=0.03), d2l.LinearRegression(lr=0.03)
    for model in models:
        trainer = d2l.Trainer(max_epochs=3)
        trainer.fit(model, data)
        losses = [row["val_loss"] for row in trainer.history]
        assert losses[-1] < 0.1 * losses[0]
    w, b = models[1].get_w_b()
    assert (w.shape, b.shape) == ((2, 1), (1,))
    w, b = models[0].w, models[0].b
    assert (w.shape, b.shape) == ((2, 1), (1,))


def test_3_4_the_epoch_of_the_book():
    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return batch

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        for batch in self.train_dataloader:
            with autograd.record():
                loss = self.model.training_step(self.prepare_batch(batch))
            loss.backward()
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step(1)
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        for batch in self.val_dataloader:
            self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    for num_val in 100, 0:
        data = d2l.SyntheticRegressionData(W, BIAS, num_val=num_val)
        trainer = d2l.Trainer(max_epochs=3)
        trainer.fit(linear_regression_of_the_readers(Descent), data)
        assert trainer.history[-1]["train_loss"] < 0.1 * trainer.history[0]["train_loss"]


def test_3_5_concise():
    class LinearRegression(d2l.Module):
        def __init__(self, lr):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Dense(1)
            self.net.initialize(init.Normal(sigma=0.01))

        def loss(self, y_hat, y):
            return gluon.loss.L2Loss()(y_hat, y).mean()

        def configure_optimizers(self):
            return gluon.Trainer(self.collect_params(), "sgd", {"learning_rate": self.lr})

    data = d2l.SyntheticRegressionData(W, BIAS)
    model = LinearRegression(lr=0.1)
    d2l.Trainer(max_epochs=3).fit(model, data)
    w, b = model.net.weight.data(), model.net.bias.data()
    assert abs(data.w - d2l.reshape(w, data.w.shape)).max() < 0.05 and abs(data.b - b) < 0.05


@pytest.mark.parametrize("shape", [(-1,), (1, -1)])
@pytest.mark.parametrize(
    "make", [d2l.LinearRegression, lambda lr: d2l.LinearRegressionScratch(2, lr)]
)
def test_labels_of_another_shape_are_refused(make, shape):
    data = d2l.SyntheticRegressionData(W, BIAS, num_train=8, batch_size=8)
    model = make(lr=0.1)
    with pytest.raises(ArgumentError, match=r"\(8, 1\).*\((1, )?8,?\)"):
        model.loss(model(data.X[:8]), d2l.reshape(data.y[:8], shape))


class Sine(d2l.DataModule):
    """Section 9.1: a noisy sine and its last tau values."""

    def __init__(self, batch_size=16, T=1000, num_train=600, tau=4):
        self.save_hyperparameters()
        self.time = d2l.arange(1, T + 1, dtype=d2l.float32)
        self.x = d2l.sin(0.01 * self.time) + d2l.randn(T) * 0.2

    def get_dataloader(self, train):
        lagged = [self.x[i : self.T - self.tau + i] for i in range(self.tau)]
        self.features = d2l.stack(lagged, 1)
        self.labels = d2l.reshape(self.x[self.tau :], (-1, 1))
        i = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader([self.features, self.labels], train, i)


def test_9_1_autoregression():
    data = Sine()
    model = d2l.LinearRegression(lr=0.01)
    trainer = d2l.Trainer(max_epochs=5)
    trainer.fit(model, data)
    assert trainer.history[-1]["val_loss"] < 0.05  # noise alone: 0.02 to 0.03
    one_step = d2l.numpy(model(data.features))
    assert one_step.shape == (996, 1)
    assert [array.shape for array in model.get_w_b()] == [(4, 1), (1,)]
    d2l.plot(data.time[4:], [data.labels, one_step], "time", "x", legend=["labels", "1-step preds"])


def scratch_cells():
    """Section 9.5, with the parameters as plain arrays."""

    class RNNScratch(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.W_xh = d2l.randn(num_inputs, num_hiddens) * sigma
            self.W_hh = d2l.randn(num_hiddens, num_hiddens) * sigma
            self.b_h = d2l.zeros(num_hiddens)

        def forward(self, inputs, state=None):
            if state is None:
                state = d2l.zeros((inputs.shape[1], self.num_hiddens), ctx=inputs.ctx)
            outputs = []
            for X in inputs:
                state = d2l.tanh(d2l.matmul(X, self.W_xh) + d2l.matmul(state, self.W_hh) + self.b_h)
                outputs.append(state)
            return outputs, state

    class RNNLMScratch(d2l.Classifier):
        def __init__(self, rnn, vocab_size, lr=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.init_params()

        def init_params(self):
            self.W_hq = d2l.randn(self.rnn.num_hiddens, self.vocab_size) * 0.1
            self.b_q = d2l.zeros(self.vocab_size)
            for param in self.get_scratch_params():
                param.attach_grad()

        def training_step(self, batch):
            loss = self.loss(self(*batch[:-1]), batch[-1])
            self.plot("ppl", d2l.exp(loss), train=True)
            return loss

        def validation_step(self, batch):
            loss = self.loss(self(*batch[:-1]), batch[-1])
            self.plot("ppl", d2l.exp(loss), train=False)

    return RNNScratch, RNNLMScratch


def attach_the_rest(cls):
    @d2l.add_to_class(cls)
    def one_hot(self, X):
        return npx.one_hot(X.T, self.vocab_size)

    @d2l.add_to_class(cls)
    def output_layer(self, rnn_outputs):
        return d2l.stack([d2l.matmul(H, self.W_hq) + self.b_q for H in rnn_outputs], 1)

    @d2l.add_to_class(cls)
    def forward(self, X, state=None):
        rnn_outputs, _ = self.rnn(self.one_hot(X), state)
        return self.output_layer(rnn_outputs)


def attach_clipping(calls):
    @d2l.add_to_class(d2l.Trainer)
    def clip_gradients(self, grad_clip_val, model):
        calls.append(grad_clip_val)
        params = model.parameters()
        if not isinstance(params, list):
            params = [p.data() for p in params.values()]
        norm = math.sqrt(sum((p.grad**2).sum() for p in params))
        if norm > grad_clip_val:
            for param in params:
                param.grad[:] *= grad_clip_val / norm


def test_9_5_from_scratch(data):
    RNNScratch, RNNLMScratch = scratch_cells()
    rnn = RNNScratch(num_inputs=16, num_hiddens=32)
    outputs, state = rnn(d2l.ones((100, 2, 16)))
    d2l.check_len(outputs, 100)
    d2l.check_shape(outputs[0], (2, 32))
    d2l.check_shape(state, (2, 32))

    calls = []
    attach_the_rest(RNNLMScratch)
    attach_clipping(calls)
    rnn = RNNScratch(num_inputs=len(data.vocab), num_hiddens=32)
    model = RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=1)
    assert len(model.get_scratch_params()) == 5
    trainer = d2l.Trainer(max_epochs=30, gradient_clip_val=1, num_gpus=1)
    trainer.fit(model, data)
    history = trainer.history
    # A validation step that only plots, as in the book, still has its loss in the history.
    assert history[-1]["val_ppl"] > 1
    assert history[-1]["train_ppl"] < 0.8 * history[0]["train_ppl"]
    assert calls == [1] * 30 * 8


def test_9_5_clipping_of_the_librarys_layers(data, perplexities):
    """The reader's clipping, on gluon's parameters and in the compiled path."""
    calls = []
    attach_clipping(calls)
    model = d2l.RNNLM(d2l.RNN(16), vocab_size=len(data.vocab), lr=1)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert calls == [1] * 30 * 8


def test_9_6_concise(data, perplexities):
    class RNN(d2l.Module):
        def __init__(self, num_hiddens):
            super().__init__()
            self.save_hyperparameters()
            self.rnn = rnn.RNN(num_hiddens)

        def forward(self, inputs, H=None):
            if H is None:
                (H,) = self.rnn.begin_state(inputs.shape[1], ctx=inputs.ctx)
            outputs, (H,) = self.rnn(inputs, (H,))
            return outputs, H

    class RNNLM(d2l.RNNLMScratch):
        def init_params(self):
            self.linear = nn.Dense(self.vocab_size, flatten=False)
            self.initialize()

        def output_layer(self, hiddens):
            return d2l.swapaxes(self.linear(hiddens), 0, 1)

    model = RNNLM(RNN(num_hiddens=32), vocab_size=len(data.vocab), lr=1)
    assert model.predict("it has", 20, data.vocab).startswith("it has")
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26

    # Gluon's layer has ReLU as its default, and a second bias; canonical weights hold the sum.
    library = d2l.RNNLM(d2l.RNN(32, activation="relu"), len(data.vocab))
    library.set_weights(model.get_weights())
    onp.testing.assert_allclose(library.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)

    # The reader's output layer over the library's layer, which has its initial values already.
    first, last = perplexities(RNNLM(d2l.RNN(num_hiddens=32), len(data.vocab), lr=1))
    assert last < 0.8 * first


def triple(num_inputs, num_hiddens, sigma):
    """The parameters of a gate, as the cells of chapter 10 draw them."""
    shapes = (num_inputs, num_hiddens), (num_hiddens, num_hiddens)
    return *(d2l.randn(*shape) * sigma for shape in shapes), d2l.zeros(num_hiddens)


def affine(X, H, W_x, W_h, b):
    return d2l.matmul(X, W_x) + d2l.matmul(H, W_h) + b


def assert_same(model, others, X):
    """The names of the weights tell the equations: with them `others` compute the same."""
    for other in others:
        other.set_weights(model.get_weights())
        onp.testing.assert_allclose(other.logits(X), model.logits(X), atol=1e-5)
        onp.testing.assert_allclose(other.states(X)[1], model.states(X)[1], atol=1e-5)


def test_10_1_lstm_from_scratch(data, perplexities):
    class LSTMScratch(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.W_xi, self.W_hi, self.b_i = triple(num_inputs, num_hiddens, sigma)
            self.W_xf, self.W_hf, self.b_f = triple(num_inputs, num_hiddens, sigma)
            self.W_xo, self.W_ho, self.b_o = triple(num_inputs, num_hiddens, sigma)
            self.W_xc, self.W_hc, self.b_c = triple(num_inputs, num_hiddens, sigma)

    @d2l.add_to_class(LSTMScratch)
    def forward(self, inputs, H_C=None):
        zeros = d2l.zeros((inputs.shape[1], self.num_hiddens), ctx=inputs.ctx)
        H, C = (zeros, zeros) if H_C is None else H_C
        outputs = []
        for X in inputs:
            I = d2l.sigmoid(affine(X, H, self.W_xi, self.W_hi, self.b_i))
            F = d2l.sigmoid(affine(X, H, self.W_xf, self.W_hf, self.b_f))
            O = d2l.sigmoid(affine(X, H, self.W_xo, self.W_ho, self.b_o))
            C = F * C + I * d2l.tanh(affine(X, H, self.W_xc, self.W_hc, self.b_c))
            H = O * d2l.tanh(C)
            outputs.append(H)
        return outputs, (H, C)

    v = len(data.vocab)
    lstm = LSTMScratch(num_inputs=v, num_hiddens=16, sigma=0.1)
    before = lstm.W_hf.copy()
    model = d2l.RNNLMScratch(lstm, vocab_size=v, lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert (
        d2l.numpy(abs(lstm.W_hf - before)).max() > 1e-3
    )  # 9.5 attaches gradients to what is in it
    others = d2l.RNNLMScratch(d2l.LSTMScratch(v, 16), v), d2l.RNNLM(d2l.LSTM(16), v)
    assert_same(model, others, data.X[:3])


def test_10_1_lstm_concise(data, perplexities):
    class LSTM(d2l.RNN):
        def __init__(self, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = rnn.LSTM(num_hiddens)

        def forward(self, inputs, H_C=None):
            if H_C is None:
                H_C = self.rnn.begin_state(inputs.shape[1], ctx=inputs.ctx)
            return self.rnn(inputs, H_C)

    model = d2l.RNNLM(LSTM(num_hiddens=16), vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26
    # Gluon's second bias, which trains here, is an addend of the first.
    assert_same(model, [d2l.RNNLM(d2l.LSTM(16), len(data.vocab))], data.X[:3])


def test_10_2_gru_from_scratch(data, perplexities):
    class GRUScratch(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.W_xz, self.W_hz, self.b_z = triple(num_inputs, num_hiddens, sigma)
            self.W_xr, self.W_hr, self.b_r = triple(num_inputs, num_hiddens, sigma)
            self.W_xh, self.W_hh, self.b_h = triple(num_inputs, num_hiddens, sigma)

    @d2l.add_to_class(GRUScratch)
    def forward(self, inputs, H=None):
        if H is None:
            H = d2l.zeros((inputs.shape[1], self.num_hiddens), ctx=inputs.ctx)
        outputs = []
        for X in inputs:
            Z = d2l.sigmoid(affine(X, H, self.W_xz, self.W_hz, self.b_z))
            R = d2l.sigmoid(affine(X, H, self.W_xr, self.W_hr, self.b_r))
            H_tilde = d2l.tanh(affine(X, R * H, self.W_xh, self.W_hh, self.b_h))
            H = Z * H + (1 - Z) * H_tilde
            outputs.append(H)
        return outputs, H

    v = len(data.vocab)
    gru = GRUScratch(num_inputs=v, num_hiddens=16, sigma=0.1)
    before = gru.W_hr.copy()
    model = d2l.RNNLMScratch(gru, vocab_size=v, lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert d2l.numpy(abs(gru.W_hr - before)).max() > 1e-3  # 9.5 attaches gradients to what is in it
    assert_same(model, [d2l.RNNLMScratch(d2l.GRUScratch(v, 16), v)], data.X[:3])


def test_10_2_gru_concise(data, perplexities):
    class GRU(d2l.RNN):
        def __init__(self, num_inputs, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = rnn.GRU(num_hiddens)

    gru = GRU(num_inputs=len(data.vocab), num_hiddens=16)
    model = d2l.RNNLM(gru, vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26
    # A second bias that trains is no part of the book's GRU: the layer keeps gluon's names.
    parts = [f"{part}_{kind}" for part in ("i2h", "h2h") for kind in ("weight", "bias")]
    names = {f"rnn.rnn.l0_{part}" for part in parts}
    assert set(model.get_weights()) == {*names, "linear.W_hq", "linear.b_q"}


def test_10_3_deep_from_scratch(data, perplexities):
    class StackedRNNScratch(d2l.Module):
        """Its layers are in a plain list, in which gluon does not look."""

        def __init__(self, num_inputs, num_hiddens, num_layers, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            sizes = [num_inputs] + [num_hiddens] * (num_layers - 1)
            self.rnns = [d2l.RNNScratch(size, num_hiddens, sigma) for size in sizes]

    @d2l.add_to_class(StackedRNNScratch)
    def forward(self, inputs, Hs=None):
        outputs = inputs
        Hs = [None] * self.num_layers if Hs is None else Hs
        for i in range(self.num_layers):
            outputs, Hs[i] = self.rnns[i](outputs, Hs[i])
            outputs = d2l.stack(outputs, 0)
        return outputs, Hs

    v = len(data.vocab)
    models = [
        d2l.RNNLMScratch(kind(num_inputs=v, num_hiddens=16, num_layers=2, sigma=0.1), v, lr=2)
        for kind in (StackedRNNScratch, d2l.StackedRNNScratch)
    ]
    for model in models:
        assert len(model.get_weights()) == 2 * 3 + 2
        first, last = perplexities(model)
        assert last < 0.8 * first
        assert len(model.predict("it has", 5, data.vocab)) == 11
    for name, weight in models[0].get_weights().items():  # drawn and trained alike
        other = models[1].get_weights()[name]
        onp.testing.assert_allclose(weight, other, atol=1e-5, err_msg=name)


def test_10_3_deep_concise(data, perplexities):
    class GRU(d2l.RNN):
        def __init__(self, num_hiddens, num_layers, dropout=0):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = rnn.GRU(num_hiddens, num_layers, dropout=dropout)

    for kind in GRU, d2l.GRU:
        gru = kind(num_hiddens=16, num_layers=2, dropout=0.1)
        model = d2l.RNNLM(gru, vocab_size=len(data.vocab), lr=4)
        first, last = perplexities(model)
        assert last < 0.9 * first
        assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26
        X = d2l.randn(7, 3, len(data.vocab))
        _, state = gru(X)
        d2l.check_shape(state, (2, 3, 16))
        gru(X, state)
        with autograd.record():  # gluon's layer alone, told of dropout, drops nothing on a CPU
            one, two = gru(X)[0], gru(X)[0]
        assert d2l.numpy(abs(one - two)).max() > 0


def test_10_4_both_directions(data, perplexities):
    class BiRNNScratch(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.f_rnn = d2l.RNNScratch(num_inputs, num_hiddens, sigma)
            self.b_rnn = d2l.RNNScratch(num_inputs, num_hiddens, sigma)
            self.num_hiddens *= 2

    @d2l.add_to_class(BiRNNScratch)
    def forward(self, inputs, Hs=None):
        f_H, b_H = (None, None) if Hs is None else Hs
        f_outputs, f_H = self.f_rnn(inputs, f_H)
        b_outputs, b_H = self.b_rnn(inputs[::-1], b_H)  # reversed(inputs) is no array in MXNet
        pairs = zip(f_outputs, reversed(b_outputs), strict=True)
        return [d2l.concat(pair, -1) for pair in pairs], (f_H, b_H)

    class BiGRU(d2l.RNN):
        def __init__(self, num_inputs, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = rnn.GRU(num_hiddens, bidirectional=True)
            self.num_hiddens *= 2

    v = len(data.vocab)
    models = [
        d2l.RNNLMScratch(kind(v, 8, 0.1), v, lr=2) for kind in (BiRNNScratch, d2l.BiRNNScratch)
    ]
    for kind in BiGRU, d2l.BiGRU, d2l.BiLSTM:
        models.append(d2l.RNNLM(kind(num_inputs=v, num_hiddens=8), v, lr=4))
    for model in models:
        assert model.rnn.num_hiddens == 16
        outputs, _ = model.states(data.X[:3])
        assert outputs.shape == (6, 3, 16)
        first, last = perplexities(model)
        assert last < 0.9 * first
    for name, weight in models[0].get_weights().items():  # drawn and trained alike
        other = models[1].get_weights()[name]
        onp.testing.assert_allclose(weight, other, atol=1e-5, err_msg=name)


def test_a_reader_replaces_the_epoch():
    seen = []

    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return [d2l.to(a, self.device) for a in batch]

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        for batch in self.train_dataloader:
            with autograd.record():
                loss = self.model.training_step(self.prepare_batch(batch))
            loss.backward()
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step(1)
            self.train_batch_idx += 1
            seen.append(float(loss))
        for batch in self.val_dataloader:
            self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    trainer = d2l.Trainer(max_epochs=3)
    trainer.fit(d2l.LinearRegression(lr=0.01), Sine())
    assert len(seen) == 3 * 38
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]


def test_a_readers_optimiser_is_continued_from_a_checkpoint(data, tmp_path):
    class WithAdam(d2l.RNNLM):
        def configure_optimizers(self):
            return gluon.Trainer(self.collect_params(), "adam", {"learning_rate": 0.01})

    def fit(max_epochs, **options):
        model = WithAdam(d2l.RNN(num_hiddens=9), vocab_size=len(data.vocab))
        d2l.Trainer(max_epochs, progress=False).fit(model, data, **options)
        return model.get_weights()

    path = tmp_path / "half.safetensors"
    fit(2, checkpoint=path)
    continued, at_once = fit(4, resume=path), fit(4)
    for name, array in at_once.items():
        onp.testing.assert_array_equal(continued[name], array, err_msg=name)


def test_cross_entropy_of_any_logits():
    """Neither MXNet's log_softmax, which is off by 4e-6, nor its softmax, which becomes zero."""
    logits = onp.array([[0.1, -0.3, 0.2], [700, -500, 0], [1, 1e-3, 0]], dtype=onp.float32)
    classes = onp.array([2, 1, 0])
    exact = logits.astype(onp.float64)
    exact = onp.log(onp.exp(exact - exact.max(1, keepdims=True)).sum(1)) + exact.max(1)
    exact -= logits[range(3), classes]
    model = d2l.Classifier()
    found = model.loss(np.array(logits), np.array(classes), averaged=False).asnumpy()
    onp.testing.assert_allclose(found, exact, rtol=3e-7)
    assert model.accuracy(np.array(logits), np.array([2, 1, 0], dtype="int32")) == 2 / 3


# The reader's own models: saved, loaded, resumed, continued -----------------------------------------


class WithoutBias(d2l.RNNLM):
    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, flatten=False, use_bias=False)
        self.initialize()


class Renamed(d2l.RNNLMScratch):
    """The output layer under a name of the reader's."""

    def init_params(self):
        self.head = nn.Dense(self.vocab_size, flatten=False)
        self.initialize()

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.head(hiddens), 0, 1)


class Tied(d2l.RNNLM):
    """What reads a state is what reads a token: W_hq is the transpose of W_xh."""

    def init_params(self):
        self.embedding = nn.Embedding(self.vocab_size, self.rnn.num_hiddens)
        self.linear = nn.Dense(self.vocab_size, flatten=False, params=self.embedding.params)
        self.initialize()

    def one_hot(self, X):
        return self.embedding(X.T)


class LSTM(d2l.Module):
    def __init__(self, num_hiddens):
        super().__init__()
        self.save_hyperparameters()
        self.rnn = rnn.LSTM(num_hiddens)

    def forward(self, inputs, state=None):
        state = self.rnn.begin_state(inputs.shape[1]) if state is None else state
        return self.rnn(inputs, state)


class WithDropout(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.dropout = nn.Dropout(0.5)

    def output_layer(self, hiddens):
        return super().output_layer(self.dropout(hiddens))


READERS = {
    "without bias": (WithoutBias, d2l.RNN, {"linear.W_hq"}),
    "another name": (Renamed, d2l.RNN, {"head.weight", "head.bias"}),
    "tied": (Tied, d2l.RNN, {"embedding.W", "linear.b_q"}),
    "LSTM": (d2l.RNNLM, LSTM, {"rnn.W_xi", "rnn.b_c", "linear.W_hq"}),
    "dropout": (WithDropout, d2l.RNN, {"rnn.W_xh", "linear.W_hq"}),
}


def readers_model(name, data):
    model, layer, _ = READERS[name]
    return model(layer(num_hiddens=9), vocab_size=len(data.vocab), lr=0.5)


@pytest.mark.parametrize("name", READERS)
def test_a_readers_model_is_saved_loaded_and_resumed(name, data, tmp_path):
    weights, checkpoint = tmp_path / "weights.safetensors", tmp_path / "half.safetensors"

    def fit(max_epochs, **options):
        model = readers_model(name, data)
        model.infer_sizes()
        model.set_weights(start)
        d2l.Trainer(max_epochs, gradient_clip_val=1, progress=False).fit(model, data, **options)
        return model.get_weights()

    model = readers_model(name, data)
    start = model.get_weights()
    assert set(start) >= READERS[name][2]
    model.save(weights)
    other = readers_model(name, data)
    other.load(weights)
    onp.testing.assert_array_equal(other.logits(data.X[:2]), model.logits(data.X[:2]))

    fit(2, checkpoint=checkpoint)
    continued, at_once = fit(4, resume=checkpoint), fit(4)
    for key, array in at_once.items():
        onp.testing.assert_array_equal(continued[key], array, err_msg=key)
        assert onp.abs(array - start[key]).max() > 0, key


def test_dropout_is_for_training_alone(data):
    model = readers_model("dropout", data)
    d2l.Trainer(2, progress=False).fit(model, data)
    assert len({model.predict("it has", 20, data.vocab) for _ in range(3)}) == 1
    assert model.logits(data.X[:2]).std() > 0
    X = np.array(data.X[:2], dtype="int32")
    with autograd.record():
        one, two = model(X), model(X)
    assert d2l.numpy(d2l.reduce_sum(abs(one - two))) > 0


def test_the_stream_after_a_training_is_not_that_of_another(data):
    """What a reader draws after one training and after the next are no copies."""
    drawn = []
    for _ in range(2):
        d2l.Trainer(1, progress=False).fit(readers_model("dropout", data), data)
        drawn.append(d2l.numpy(d2l.randn(3)))
    assert onp.abs(drawn[0] - drawn[1]).max() > 0


def test_layers_in_a_container_do_not_start_as_copies(data):
    class Pair(d2l.Module):
        def __init__(self, num_hiddens, layer):
            super().__init__()
            self.save_hyperparameters(ignore="layer")
            self.one, self.two = layer(), layer()

        def forward(self, inputs, state=None):
            outputs = [layer(inputs)[0] for layer in (self.one, self.two)]
            outputs = [o if isinstance(o, np.ndarray) else d2l.stack(o) for o in outputs]
            return outputs[0] + outputs[1], None

    V = len(data.vocab)
    kinds = {
        "rnn.{}.W_xh": lambda: d2l.RNNScratch(V, 9),
        "rnn.{}.rnn.W_xh": lambda: d2l.RNN(9),  # whose sizes are not known yet
    }
    for name, layer in kinds.items():
        model = d2l.RNNLM(Pair(9, layer), vocab_size=V, lr=0.5)
        weights = model.get_weights()
        one, two = (weights[key] for key in sorted(weights) if key.endswith("W_xh"))
        assert onp.abs(one - two).max() > 0, name


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU", "BiGRU", "BiLSTM"])
def test_the_second_bias_neither_moves_nor_is_told_to_the_optimiser(layer, data):
    layer = getattr(d2l, layer)(16, num_layers=2, dropout=0.1)
    model = d2l.RNNLM(layer, len(data.vocab), lr=1)
    d2l.Trainer(2, gradient_clip_val=1, progress=False).fit(model, data)
    second = layer.rnn.collect_params(".*h2h_bias")
    assert len(second.keys()) == 2 * layer.rnn._dir
    assert not any(d2l.numpy(bias.data()).any() for bias in second.values())
    assert not set(second.keys()) & set(model.parameters().keys())


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU", "BiGRU", "BiLSTM"])
def test_layers_run_one_by_one_compute_what_gluons_does(layer, data):
    """In training with dropout: here of a share that drops nothing, and with states."""
    layer = getattr(d2l, layer)(9, num_layers=3, dropout=0.5)
    layer(d2l.randn(7, 4, 5))
    layer.dropout = 1e-12
    inputs, (_, state) = d2l.randn(7, 4, 5), layer(d2l.randn(7, 4, 5))
    with autograd.record():
        outputs, last = layer(inputs, state)
    expected, expected_last = layer(inputs, state)
    pairs = zip([outputs, *last], [expected, *expected_last], strict=True)
    for found, wanted in pairs:
        onp.testing.assert_allclose(d2l.numpy(found), d2l.numpy(wanted), rtol=0, atol=1e-6)


def test_gradients_are_shown_without_dropout(data):
    v, X = len(data.vocab), data.X[:3]
    with_it, without = (d2l.RNNLM(d2l.LSTM(16, 2, dropout), v) for dropout in (0.5, 0))
    loss, gradients = with_it.gradients(X, X)
    expected_loss, expected = without.gradients(X, X)
    assert loss == expected_loss
    for name, gradient in gradients.items():
        onp.testing.assert_array_equal(gradient, expected[name], err_msg=name)


@pytest.mark.parametrize("layer", ["LSTMScratch", "GRUScratch", "LSTM", "GRU", "BiGRU", "BiLSTM"])
def test_a_layer_without_a_choice_of_activation_has_none(layer):
    made = getattr(d2l, layer)(num_inputs=3, num_hiddens=4)
    assert not hasattr(made, "activation")
    assert "activation" not in made.hparams
    with pytest.raises(TypeError, match="activation"):
        getattr(d2l, layer)(num_inputs=3, num_hiddens=4, activation="relu")


# What MXNet ends the process for, and what its graphs cannot do ---------------------------------------


def test_zeros_of_no_shape():
    with pytest.raises(ArgumentError, match="shape=None"):
        d2l.zeros(None)


def test_a_token_that_is_too_improbable_for_the_compiled_loss(data):
    model = d2l.RNNLM(d2l.RNN(9), vocab_size=len(data.vocab))
    weights = model.get_weights()
    weights["linear.b_q"][3] = 200  # all others have a probability of exp(-200)
    model.set_weights(weights)
    loss = d2l.Trainer(1, progress=False).validate(model, data)["val_loss"]
    validation = slice(data.num_train, data.num_train + data.num_val)
    X, Y = data.X[validation], data.Y[validation]
    logits = model.logits(X).astype(onp.float64)
    log_p = logits - onp.log(onp.exp(logits).sum(-1, keepdims=True))
    expected = -onp.take_along_axis(log_p, Y[..., None], -1).mean()
    assert loss == pytest.approx(expected, rel=1e-6)
    assert loss > 100


@pytest.mark.skipif(find_spec("d2lrnn_mxnet.fast") is None, reason="this backend has no fast.py")
def test_only_the_librarys_own_layers_have_a_twin(data):
    def model(change=lambda model: None):
        whole = d2l.RNNLM(d2l.RNN(9), vocab_size=len(data.vocab))
        whole.infer_sizes()
        change(whole)
        return whole

    def second_bias(model):  # that of a GRU is no addend
        model.rnn = d2l.GRU(9)
        model.rnn.rnn.l0_h2h_bias.grad_req = "write"
        model.infer_sizes()

    def dropout(model):
        model.rnn = d2l.RNN(9, 2, dropout=0.5)

    def activation(model):
        model.linear = nn.Dense(len(data.vocab), flatten=False, activation="relu")
        model.initialize()
        model.infer_sizes()

    def hook(model):
        model.linear.register_forward_hook(lambda *_: None)

    assert backend.twin(model()) is not None
    for change in second_bias, dropout, activation, hook:
        assert backend.twin(model(change)) is None, change.__name__
    assert model(activation).own_stepper() is None


# How a reader may look at one-hot vectors, which are made only then.
LOOKS = {
    "numbers": lambda V: V.asnumpy(),
    "a copy": lambda V: V.copy().asnumpy(),
    "a step": lambda V: V[1].asnumpy(),
    "in place": lambda V: [V.__setitem__(0, 2), V][1].asnumpy(),
    "a loop": lambda V: np.stack(list(V)).asnumpy(),
    "a product": lambda V: np.matmul(V, np.ones((5, 2))).asnumpy(),
    "twice": lambda V: (2 * V + V).asnumpy(),
    "pickled": lambda V: pickle.loads(pickle.dumps(V)).asnumpy(),
    "another type": lambda V: V.astype("float64").asnumpy(),
    "the old kind": lambda V: V.as_nd_ndarray().asnumpy(),
    "its size": lambda V: (V.size, V.ndim, str(V.ctx), len(V)),
    "text": repr,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_one_hot_vectors_that_know_their_tokens_are_like_others(look):
    def one_hot(X):
        return npx.one_hot(X.T, 5)

    kind = pytest.importorskip("d2lrnn_mxnet.fast_readers").OneHot
    tokens = np.array([[1, 0, 3], [2, 4, 3]], dtype="int32")
    vectors, expected = kind(one_hot, tokens, 5), one_hot(tokens)
    assert (vectors.shape, vectors.dtype) == (expected.shape, expected.dtype)
    assert vectors.made is None
    onp.testing.assert_array_equal(look(vectors), look(expected))


# Whatever else a reader holds or does --------------------------------------------------------------


def small(data, model_class=d2l.RNNLM, seed=0):
    return model_class(d2l.RNN(16, seed=seed), len(data.vocab), lr=0.5, seed=seed)


def weights_after(model, data, max_epochs=3, **files):
    d2l.Trainer(max_epochs, progress=False).fit(model, data, **files)
    return model.get_weights()


def assert_same_weights(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        onp.testing.assert_array_equal(found[name], array, err_msg=name)
        assert found[name].dtype == array.dtype


class Scale(nn.Block):
    """Arrays in a block of gluon's own kind: one that is trained, and a mask."""

    def __init__(self):
        super().__init__()
        self.factor, self.mask = np.ones(16), np.arange(16) % 3 > 0
        self.factor.attach_grad()

    def forward(self, hiddens):
        return hiddens * self.factor * self.mask


class Scaled(d2l.RNNLM):
    def init_params(self):
        self.scale = Scale()
        super().init_params()

    def output_layer(self, hiddens):
        return super().output_layer(self.scale(hiddens))


class Adam(d2l.RNNLM):
    def configure_optimizers(self):
        return gluon.Trainer(self.collect_params(), "adam", {"learning_rate": self.lr / 50})


def test_arrays_in_a_block_are_copied_saved_and_trained(data, tmp_path):
    model = small(data, Scaled)
    weights_after(model, data, 1)
    model.save(tmp_path / "weights")
    model.save_parameters(str(tmp_path / "parameters"))
    loaded, of_gluons = (small(data, Scaled, seed) for seed in (1, 2))
    loaded.load(tmp_path / "weights")
    of_gluons.load_parameters(str(tmp_path / "parameters"))
    before = model.get_weights()
    for other in loaded, of_gluons, copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        assert_same_weights(other.get_weights(), before)
        after = weights_after(other, data, 1)
        assert onp.abs(after["scale.factor"] - before["scale.factor"]).max() > 0
    assert_same_weights(model.get_weights(), before)


@pytest.mark.parametrize("saver", ["ParameterDict.save", "ParameterDict.load"])
def test_a_saver_of_gluons_that_would_leave_arrays_out_refuses(saver, data, tmp_path):
    path = tmp_path / "parameters"
    for model in (d2l.RNNLMScratch(d2l.RNNScratch(5, 4), 5), small(data, Scaled)):
        call = {
            "ParameterDict.save": model.collect_params().save,
            "ParameterDict.load": model.collect_params(".*").load,
        }[saver]
        with pytest.raises(WeightsError, match=r"arrays made by hand.*save_parameters\('"):
            call(str(path))
    assert not path.exists()


def test_a_layer_may_be_replaced_without_a_warning_of_what_the_model_was_made_with(data, recwarn):
    model = small(data)
    model.rnn = d2l.GRU(9)
    weights_after(model, data, 1)
    assert not [w for w in recwarn if "unregistered" in str(w.message)]


@pytest.mark.parametrize("container", [list, tuple, lambda layers: dict(enumerate(layers))])
def test_gluons_layers_where_gluon_finds_none_are_warned_of(container, data):
    model = small(data)
    model.more = container([nn.Dense(3)])
    with pytest.warns(
        UserWarning, match=r"^more\.0 is not trained: gluon finds no layers in a list"
    ):
        model.collect_params()


@pytest.mark.parametrize("container", [list, tuple, lambda layers: dict(enumerate(layers))])
def test_layers_from_scratch_may_lie_in_any_container(container, recwarn):
    model = d2l.RNNLMScratch(d2l.RNNScratch(5, 4), 5)
    model.more = container([d2l.RNNScratch(4, 4)])
    assert {"rnn.W_xh", "more.0.W_xh"} <= model.get_weights().keys()
    assert not [w for w in recwarn if "container" in str(w.message)]


def test_gluons_own_file_of_another_model_is_refused(data, tmp_path):
    path, v = str(tmp_path / "parameters"), len(data.vocab)
    made = {n: d2l.RNNLMScratch(d2l.RNNScratch(v, n), v) for n in (4, 5)}
    made[4].save_parameters(path)
    before = made[5].get_weights()
    with pytest.raises(WeightsError, match=r"rnn.W_xh is \(\d+, 4\), the model needs \(\d+, 5\)"):
        made[5].load_parameters(path)
    assert_same_weights(made[5].get_weights(), before)
    with pytest.raises(WeightsError, match="missing: "):
        d2l.LinearRegressionScratch(4, lr=1).load_parameters(path, ignore_extra=True)
    d2l.LinearRegressionScratch(4, lr=1).load_parameters(path, None, True, True)


def test_a_copy_forgets_the_optimiser(data):
    model = small(data, Adam)
    model.get_weights()
    before = len(pickle.dumps(model))
    weights_after(model, data, 1)
    assert len(pickle.dumps(model)) < 1.01 * before
    assert_same_weights(weights_after(copy.deepcopy(model), data), weights_after(model, data))


def test_an_optimiser_is_continued_whatever_names_gluon_has_made(data, tmp_path):
    """It numbers parameters in the order of names that count up: dense10 comes before dense9."""
    half = str(tmp_path / "half")
    weights_after(small(data, Adam), data, 1, checkpoint=half)
    expected = weights_after(small(data, Adam), data)
    for _ in range(11):
        assert_same_weights(weights_after(small(data, Adam), data, resume=half), expected)


@pytest.mark.parametrize("name", ["nag", "ftml", "dcasgd", "nadam"])
def test_whatever_decides_the_next_step_is_continued(name, data, tmp_path):
    """A schedule, learning rates of parameters and numbers of the optimiser, all changed by hand."""

    class Model(d2l.RNNLM):
        def configure_optimizers(self):
            schedule = mxnet.lr_scheduler.FactorScheduler(5, 0.9, base_lr=0.02)
            options = {"learning_rate": 0.02, "lr_scheduler": schedule, "wd": 0.01}
            return gluon.Trainer(self.collect_params(), name, options)

    class Trainer(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            self.optim.optimizer.lr_scheduler.base_lr *= 0.8
            self.optim.optimizer.wd *= 2
            self.model.linear.weight.lr_mult *= 0.5

    def fit(max_epochs, **files):
        model = small(data, Model)
        Trainer(max_epochs, progress=False).fit(model, data, **files)
        return model.get_weights()

    half, expected = str(tmp_path / "half"), fit(4)
    fit(2, checkpoint=half)
    assert_same_weights(fit(4, resume=half), expected)


def test_an_optimiser_of_other_parameters_is_not_continued(data, tmp_path):
    class Part(d2l.RNNLM):
        def configure_optimizers(self):
            return gluon.Trainer(self.linear.collect_params(), "sgd", {"learning_rate": self.lr})

    Part.__name__ = "RNNLM"  # nothing else tells the two models apart
    half = str(tmp_path / "half")
    weights_after(small(data), data, 1, checkpoint=half)
    with pytest.raises(WeightsError, match=r"not one of this model's optimiser.*\n  unknown: rnn"):
        weights_after(small(data, Part), data, resume=half)


def test_a_plotted_array_is_the_one_of_that_moment(data):
    """Weights change in place, and a point is read by the host at the end of the epoch."""
    now = []

    class Plotting(d2l.RNNLM):
        def training_step(self, batch):
            self.plot("mine", self.linear.bias.data()[1], train=True)
            now.append(self.linear.bias.data()[1].item())
            return super().training_step(batch)

    model = small(data, Plotting)
    model.plot_train_per_epoch = 100
    weights_after(model, data, 2)
    assert [y for _, y in model.board.data["train_mine"]] == now and len(set(now)) == len(now)


class Stepping(d2l.RNNLM):
    def training_step(self, batch):
        return super().training_step(batch)


@pytest.mark.parametrize("cls", [d2l.RNNLM, Stepping])
def test_the_host_is_a_few_minibatches_ahead(cls, data, monkeypatch):
    """MXNet computes behind its back, and minibatches that wait to be computed take memory."""
    wait, waited = mxnet.nd.NDArray.wait_to_read, []

    def wait_to_read(array):
        waited.append(array)
        wait(array)

    monkeypatch.setattr(mxnet.nd.NDArray, "wait_to_read", wait_to_read)
    trainer = d2l.Trainer(2, progress=False)
    trainer.fit(small(data, cls), data)
    num_minibatches = 2 * (trainer.num_train_batches + trainer.num_val_batches)
    assert len(waited) == num_minibatches - AHEAD


def test_what_is_clipped_is_what_the_model_has_at_the_moment(data):
    """The library's own epochs look for its arrays once; a reader may put others in their places."""
    model, trainer = small(data, d2l.RNNLMScratch), d2l.Trainer(1, gradient_clip_val=1)
    trainer.fit(model, data)
    model.b_q = np.ones(len(data.vocab))
    model.b_q.attach_grad()
    model.b_q.grad[:] = 1e3
    trainer.clip_gradients(1, model)
    assert abs(np.linalg.norm(model.b_q.grad).item() - 1) < 1e-3


def test_arrays_of_several_types_are_plotted_beside_each_other(data):
    parameter = gluon.Parameter("mine", shape=(1,), init=init.Constant(0.25))
    parameter.initialize()
    values = [np.array(2**24 + 1, dtype="int64"), np.array(0.5, dtype="float16"), np.array(True)]

    class Trainer(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            for index, value in enumerate([*values, parameter]):
                self.model.plot(f"v{index}", value, train=True)

    trainer = Trainer(1, progress=False)
    trainer.fit(small(data), data)
    assert [trainer.history[0][f"train_v{i}"] for i in range(4)] == [2**24 + 1, 0.5, 1, 0.25]


def test_a_forward_that_a_reader_puts_into_a_layer_is_run(data):
    model = small(data)
    inner = model.rnn.rnn
    inner.forward = lambda X, *state: type(inner).forward(inner, -X, *state)
    assert backend.twin(model) is None and model.own_stepper() is None


def test_gradients_are_shown_and_those_of_a_training_are_left(data):
    model = small(data)
    X = np.array(data.X[:3], dtype="int32")
    with autograd.record():
        loss = model.batch_loss((X, X))
    loss.backward()
    before = model.linear.weight.grad().copy()
    _, found = model.gradients(data.X[:3][::-1].copy(), data.X[:3])
    assert (model.linear.weight.grad() == before).all()
    model.collect_params().setattr("grad_req", "add")  # as in PyTorch
    assert_same_weights(model.gradients(data.X[:3][::-1].copy(), data.X[:3])[1], found)


def test_an_output_layer_takes_the_steps_of_a_layer_from_scratch(data):
    v = len(data.vocab)
    model = d2l.RNNLM(d2l.RNNScratch(v, 16), v, lr=1)
    weights_after(model, data, 1)
    assert model.predict("it has", 5, data.vocab).startswith("it has")
    assert model.logits(data.X[:3]).shape == (3, 6, v)


@pytest.mark.parametrize("type_of", ["int64", "uint8", "float32"])
def test_tokens_of_any_whole_numbers(type_of, data):
    class Typed(d2l.DataModule):
        def get_dataloader(self, train):
            X, Y = (np.array(array[:16], dtype=type_of) for array in (data.X, data.Y))
            return [(X[:8], Y[:8]), (X[8:], Y[8:])] if train else None

    found = weights_after(small(data), Typed())
    assert onp.abs(found["rnn.W_xh"] - small(data).get_weights()["rnn.W_xh"]).max() > 0


def test_minibatches_that_are_no_pairs(data):
    """Whatever a reader's step takes: here, a dict."""

    class Dicts(d2l.DataModule):
        def get_dataloader(self, train):
            X, Y = (np.array(array[:16], dtype="int32") for array in (data.X, data.Y))
            rows = [{"tokens": [X[i : i + 8]], "labels": Y[i : i + 8]} for i in (0, 8)]
            return rows if train else None

    class Model(d2l.RNNLM):
        def training_step(self, batch):
            loss = self.loss(self(batch["tokens"][0]), batch["labels"])
            self.plot("ppl", d2l.exp(loss), train=True)
            return loss

    trainer = d2l.Trainer(3, progress=False)
    trainer.fit(small(data, Model), Dicts())
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]


def test_accuracy_of_classes_in_a_column():
    model = d2l.Classifier()
    logits, classes = np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 1, 1])
    for labels in classes, classes.reshape(-1, 1):
        assert model.accuracy(logits, labels) == 0.75
        assert model.accuracy(logits, labels, averaged=False).tolist() == [1, 1, 0, 1]


LESSON = """
import sys, threading
import d2lrnn as d2l
data = d2l.TextFile(sys.argv[1], batch_size=8, num_steps=6, num_train=60, num_val=20)
texts = {}
def lesson(index):
    model = d2l.RNNLM(d2l.LSTM(16, num_layers=2, dropout=0.5), len(data.vocab), lr=2)
    trainer = d2l.Trainer(max_epochs=3, gradient_clip_val=1, progress=False)
    trainer.fit(model, data)
    texts[index] = str(trainer.batch_losses) + model.predict("it has", 20, data.vocab)
threads = [threading.Thread(target=lesson, args=(i,)) for i in range(int(sys.argv[2]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
lesson("here")
print(len(texts), set(texts.values()))
"""


def test_a_lesson_in_a_process_of_its_own_and_in_its_threads(tmp_path):
    """Dropout is drawn from MXNet's one stream: not by two threads at a time."""
    text = tmp_path / "text.txt"
    text.write_text("The tide has been told since it has two hands. " * 5, encoding="utf-8")
    lessons = []
    for threads in 0, 3:
        command = [sys.executable, "-c", LESSON, text, str(threads)]
        lessons.append(subprocess.check_output(command, text=True).split(" ", 1))
    assert [number for number, _ in lessons] == ["1", "4"]
    assert lessons[0][1] == lessons[1][1] and lessons[0][1].count("it has") == 1


# Twins where rows of W_x are picked, of all gates, and a second bias ------------------------------------


@pytest.mark.skipif(find_spec("d2lrnn_mxnet.fast") is None, reason="this backend has no fast.py")
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_a_twin_over_a_vocabulary_larger_than_all_gates(layer, num_layers, data, monkeypatch):
    v, found = 50, []
    X, Y = onp.random.RandomState(0).randint(v, size=(2, 23, 5)).astype(onp.int32)

    class Tokens(d2l.DataModule):
        batch_size = 6

        def get_dataloader(self, train):
            return self.get_tensorloader([X, Y], train, slice(0, 10) if train else slice(10, 23))

    for plain in False, True:
        model = d2l.RNNLM(getattr(d2l, layer)(3, num_layers, num_inputs=v), v, lr=1)
        random = onp.random.RandomState(1)
        weights = {n: random.normal(0, 0.5, w.shape) for n, w in model.get_weights().items()}
        model.set_weights(weights)
        assert backend.twin(model) is not None
        with monkeypatch.context() as patch:
            if plain:
                patch.setattr(backend, "twin", lambda model: None)
            trainer = d2l.Trainer(1, gradient_clip_val=1, progress=False)
            trainer.fit(model, Tokens())
        found.append((trainer.history[0]["val_loss"], model.get_weights()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    for name, array in found[1][1].items():
        onp.testing.assert_allclose(found[0][1][name], array, rtol=0, atol=1e-6, err_msg=name)
        assert onp.abs(array - weights[name]).max() > 1e-4


@pytest.mark.skipif(find_spec("d2lrnn_mxnet.fast") is None, reason="this backend has no fast.py")
def test_a_second_bias_that_a_reader_sets_or_trains_is_in_the_twin(data, monkeypatch):
    found = []
    for plain in False, True:
        model = d2l.RNNLM(d2l.LSTM(9, 2), len(data.vocab), lr=1)
        model.infer_sizes()
        model.rnn.rnn.l0_h2h_bias.set_data(np.arange(36) / 20)
        model.rnn.rnn.l1_h2h_bias.grad_req = "write"
        with monkeypatch.context() as patch:
            if plain:
                patch.setattr(backend, "twin", lambda model: None)
            assert (backend.twin(model) is None) == plain
            weights_after(model, data, 2)
        found.append({n: d2l.numpy(p.data()) for n, p in enumerate(model.parameters().values())})
    for name, array in found[1].items():
        onp.testing.assert_allclose(found[0][name], array, rtol=0, atol=1e-5)
