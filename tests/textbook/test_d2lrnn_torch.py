"""Cells of chapters 3, 9 and 10 in PyTorch."""

import copy
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError, WeightsError


class Lines(d2l.DataModule):
    """Section 3.3: points of a line with some noise, drawn from PyTorch's global stream."""

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
    assert bool((c == a + b).all())


def test_3_2_classes_as_the_book_writes_them():
    class Module(d2l.nn_Module, d2l.HyperParameters):
        def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
            super().__init__()
            self.save_hyperparameters()
            self.board = d2l.ProgressBoard()

    assert Module(plot_train_per_epoch=3).plot_train_per_epoch == 3


def test_3_3_a_generator_and_then_a_loader():
    data = Lines(W, BIAS)
    assert (data.X[0].shape, data.y[0].shape) == ((2,), (1,))

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):
        rows = (
            torch.randperm(self.num_train) if train else torch.arange(self.num_val) + self.num_train
        )
        for some in rows.split(self.batch_size):
            yield self.X[some], self.y[some]

    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, y.shape) == ((32, 2), (32, 1))
    trainer = d2l.Trainer(max_epochs=2)
    trainer.fit(d2l.LinearRegressionScratch(2, lr=0.1), data)
    assert trainer.history[-1]["val_loss"] < 1

    @d2l.add_to_class(d2l.DataModule)
    def get_tensorloader(self, tensors, train, indices=slice(0, None)):
        dataset = torch.utils.data.TensorDataset(*(a[indices] for a in tensors))
        return torch.utils.data.DataLoader(dataset, self.batch_size, shuffle=train)

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):  # noqa: F811
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, rows)

    for lines in data, d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100):
        X, y = next(iter(lines.train_dataloader()))
        assert (X.shape, y.shape) == ((32, 2), (32, 1))
        assert len(lines.train_dataloader()) == 10


def test_a_text_in_the_loader_of_section_3_3(data, perplexities):
    @d2l.add_to_class(d2l.DataModule)
    def get_tensorloader(self, tensors, train, indices=slice(0, None)):
        dataset = torch.utils.data.TensorDataset(*(a[indices] for a in tensors))
        return torch.utils.data.DataLoader(dataset, self.batch_size, shuffle=train)

    first, last = perplexities(d2l.RNNLM(d2l.RNN(len(data.vocab), 16), len(data.vocab), lr=1))
    assert last < 0.8 * first


def linear_regression_of_the_readers(make_optimizer):
    class LinearRegressionScratch(d2l.Module):
        def __init__(self, num_inputs, lr, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.w = d2l.normal(0, sigma, (num_inputs, 1), requires_grad=True)
            self.b = d2l.zeros(1, requires_grad=True)

        def forward(self, X):
            return d2l.matmul(X, self.w) + self.b

        def loss(self, y_hat, y):
            return d2l.reduce_mean((y_hat - y) ** 2 / 2)

        def configure_optimizers(self):
            return make_optimizer([self.w, self.b], self.lr)

    return LinearRegressionScratch(2, lr=0.1)


class Descent(d2l.HyperParameters):
    """Section 3.4.3; it expects to be called without gradients."""

    def __init__(self, params, lr):
        self.save_hyperparameters()

    def step(self):
        for param in self.params:
            param -= self.lr * param.grad

    def zero_grad(self):
        for param in self.params:
            if param.grad is not None:
                param.grad.zero_()


OPTIMIZERS = {"the reader's": Descent, "the library's": d2l.SGD, "PyTorch's": torch.optim.SGD}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_3_4_from_scratch(name, tmp_path):
    """Its parameters are tensors that PyTorch does not know of; they are weights all the same."""
    torch.manual_seed(0)
    data = d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100)

    def fit(max_epochs, **files):
        class Halving(d2l.Trainer):
            def fit_epoch(self):
                super().fit_epoch()
                if self.epoch == 0:
                    for group in getattr(self.optim, "param_groups", [vars(self.optim)]):
                        group["lr"] /= 2

        torch.manual_seed(1)
        model = linear_regression_of_the_readers(OPTIMIZERS[name])
        Halving(max_epochs, progress=False).fit(model, data, **files)
        return model

    model = fit(9)
    with torch.no_grad():
        assert (data.w - d2l.reshape(model.w, data.w.shape)).abs().max() < 0.05
        assert (data.b - model.b).abs() < 0.05
    fit(2, checkpoint=str(tmp_path / "checkpoint"))
    resumed = fit(9, resume=str(tmp_path / "checkpoint"))
    assert torch.equal(resumed.w, model.w) and torch.equal(resumed.b, model.b)
    with pytest.raises(WeightsError, match=r"leaves out w, b"):
        model.state_dict()
    model.save(tmp_path / "weights")
    loaded = linear_regression_of_the_readers(Descent)
    loaded.load(tmp_path / "weights")
    for other in loaded, copy.deepcopy(model):
        assert torch.equal(other.w, model.w) and other.w.requires_grad and other.w is not model.w


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
        self.model.train()
        for batch in self.train_dataloader:
            loss = self.model.training_step(self.prepare_batch(batch))
            self.optim.zero_grad()
            with torch.no_grad():
                loss.backward()
                if self.gradient_clip_val > 0:
                    self.clip_gradients(self.gradient_clip_val, self.model)
                self.optim.step()
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.eval()
        for batch in self.val_dataloader:
            with torch.no_grad():
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
            self.net = nn.LazyLinear(1)
            self.net.weight.data.normal_(0, 0.01)
            self.net.bias.data.fill_(0)

        def loss(self, y_hat, y):
            return nn.MSELoss()(y_hat, y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), self.lr)

    data = d2l.SyntheticRegressionData(W, BIAS)
    model = LinearRegression(lr=0.03)
    d2l.Trainer(max_epochs=3).fit(model, data)
    w, b = model.net.weight.data, model.net.bias.data
    assert (data.w - d2l.reshape(w, data.w.shape)).abs().max() < 0.05 and (data.b - b).abs() < 0.05


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
        self.time = torch.arange(1, T + 1, dtype=torch.float32)
        self.x = torch.sin(0.01 * self.time) + torch.randn(T) * 0.2

    def get_dataloader(self, train):
        lagged = [self.x[i : self.T - self.tau + i] for i in range(self.tau)]
        self.features = d2l.stack(lagged, 1)
        self.labels = d2l.reshape(self.x[self.tau :], (-1, 1))
        i = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader([self.features, self.labels], train, i)


def test_9_1_autoregression():
    torch.manual_seed(1)
    data = Sine()
    model = d2l.LinearRegression(lr=0.01)
    trainer = d2l.Trainer(max_epochs=5)
    trainer.fit(model, data)
    assert trainer.history[-1]["val_loss"] < 0.05  # noise alone: 0.02 to 0.03
    one_step = d2l.numpy(model(data.features))
    assert one_step.shape == (996, 1)
    d2l.plot(data.time[4:], [data.labels, one_step], "time", "x", legend=["labels", "1-step preds"])


def test_9_5_from_scratch(data):
    class RNNScratch(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.W_xh = nn.Parameter(d2l.randn(num_inputs, num_hiddens) * sigma)
            self.W_hh = nn.Parameter(d2l.randn(num_hiddens, num_hiddens) * sigma)
            self.b_h = nn.Parameter(d2l.zeros(num_hiddens))

        def forward(self, inputs, state=None):
            if state is None:
                state = d2l.zeros((inputs.shape[1], self.num_hiddens), device=inputs.device)
            outputs = []
            for X in inputs:
                state = d2l.tanh(d2l.matmul(X, self.W_xh) + d2l.matmul(state, self.W_hh) + self.b_h)
                outputs.append(state)
            return outputs, state

    rnn = RNNScratch(num_inputs=16, num_hiddens=32)
    outputs, state = rnn(d2l.ones((100, 2, 16)))
    d2l.check_len(outputs, 100)
    d2l.check_shape(outputs[0], (2, 32))
    d2l.check_shape(state, (2, 32))

    class RNNLMScratch(d2l.Classifier):
        def __init__(self, rnn, vocab_size, lr=0.01):
            super().__init__()
            self.save_hyperparameters()
            self.init_params()

        def init_params(self):
            self.W_hq = nn.Parameter(d2l.randn(self.rnn.num_hiddens, self.vocab_size) * 0.1)
            self.b_q = nn.Parameter(d2l.zeros(self.vocab_size))

        def training_step(self, batch):
            loss = self.loss(self(*batch[:-1]), batch[-1])
            self.plot("ppl", d2l.exp(loss), train=True)
            return loss

        def validation_step(self, batch):
            loss = self.loss(self(*batch[:-1]), batch[-1])
            self.plot("ppl", d2l.exp(loss), train=False)

    # The next cells attach the rest.
    @d2l.add_to_class(RNNLMScratch)
    def one_hot(self, X):
        return F.one_hot(X.T, self.vocab_size).type(torch.float32)

    @d2l.add_to_class(RNNLMScratch)
    def output_layer(self, rnn_outputs):
        return d2l.stack([d2l.matmul(H, self.W_hq) + self.b_q for H in rnn_outputs], 1)

    @d2l.add_to_class(RNNLMScratch)
    def forward(self, X, state=None):
        rnn_outputs, _ = self.rnn(self.one_hot(X), state)
        return self.output_layer(rnn_outputs)

    calls = []

    @d2l.add_to_class(d2l.Trainer)
    def clip_gradients(self, grad_clip_val, model):
        calls.append(grad_clip_val)
        params = [p for p in model.parameters() if p.requires_grad]
        norm = torch.sqrt(sum(torch.sum(p.grad**2) for p in params))
        if norm > grad_clip_val:
            for param in params:
                param.grad[:] *= grad_clip_val / norm

    rnn = RNNScratch(num_inputs=len(data.vocab), num_hiddens=32)
    model = RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=1)
    trainer = d2l.Trainer(max_epochs=30, gradient_clip_val=1, num_gpus=1)
    trainer.fit(model, data)
    history = trainer.history
    # A validation step that only plots, as in the book, still has its loss in the history.
    assert history[-1]["val_ppl"] > 1
    assert history[-1]["train_ppl"] < 0.8 * history[0]["train_ppl"]
    assert calls == [1] * 30 * 8


def test_9_6_concise(data, perplexities):
    class RNN(d2l.Module):
        def __init__(self, num_inputs, num_hiddens):
            super().__init__()
            self.save_hyperparameters()
            self.rnn = nn.RNN(num_inputs, num_hiddens)

        def forward(self, inputs, H=None):
            return self.rnn(inputs, H)

    class RNNLM(d2l.RNNLMScratch):
        def init_params(self):
            self.linear = nn.LazyLinear(self.vocab_size)

        def output_layer(self, hiddens):
            return d2l.swapaxes(self.linear(hiddens), 0, 1)

    rnn = RNN(num_inputs=len(data.vocab), num_hiddens=32)
    model = RNNLM(rnn, vocab_size=len(data.vocab), lr=1)
    assert model.predict("it has", 20, data.vocab).startswith("it has")
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26

    # The reader's layer keeps PyTorch's second bias; its canonical weights hold the sum.
    library = d2l.RNNLM(d2l.RNN(len(data.vocab), 32), len(data.vocab))
    library.set_weights(model.get_weights())
    np.testing.assert_allclose(library.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)


def triple(num_inputs, num_hiddens, sigma):
    """The parameters of a gate, as the cells of chapter 10 draw them."""
    shapes = (num_inputs, num_hiddens), (num_hiddens, num_hiddens)
    matrices = [nn.Parameter(d2l.randn(*shape) * sigma) for shape in shapes]
    return *matrices, nn.Parameter(d2l.zeros(num_hiddens))


def affine(X, H, W_x, W_h, b):
    return d2l.matmul(X, W_x) + d2l.matmul(H, W_h) + b


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
        zeros = d2l.zeros((inputs.shape[1], self.num_hiddens), device=inputs.device)
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

    torch.manual_seed(0)
    lstm = LSTMScratch(num_inputs=len(data.vocab), num_hiddens=16, sigma=0.1)
    model = d2l.RNNLMScratch(lstm, vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first

    # The names tell the equations: the library's two layers compute the same with them.
    v = len(data.vocab)
    for other in (
        d2l.RNNLMScratch(d2l.LSTMScratch(v, 16), v),
        d2l.RNNLM(d2l.LSTM(v, 16), v),
    ):
        other.set_weights(model.get_weights())
        np.testing.assert_allclose(other.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)
        state, others = (one.states(data.X[:3])[1] for one in (model, other))
        np.testing.assert_allclose(others, state, atol=1e-5)


def test_10_1_lstm_concise(data, perplexities):
    class LSTM(d2l.RNN):
        def __init__(self, num_inputs, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = nn.LSTM(num_inputs, num_hiddens)

        def forward(self, inputs, H_C=None):
            return self.rnn(inputs, H_C)

    lstm = LSTM(num_inputs=len(data.vocab), num_hiddens=16)
    model = d2l.RNNLM(lstm, vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26
    # PyTorch's second bias, which trains here, is an addend of the first.
    library = d2l.RNNLM(d2l.LSTM(len(data.vocab), 16), len(data.vocab))
    library.set_weights(model.get_weights())
    np.testing.assert_allclose(library.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)


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
            H = d2l.zeros((inputs.shape[1], self.num_hiddens), device=inputs.device)
        outputs = []
        for X in inputs:
            Z = d2l.sigmoid(affine(X, H, self.W_xz, self.W_hz, self.b_z))
            R = d2l.sigmoid(affine(X, H, self.W_xr, self.W_hr, self.b_r))
            H_tilde = d2l.tanh(affine(X, R * H, self.W_xh, self.W_hh, self.b_h))
            H = Z * H + (1 - Z) * H_tilde
            outputs.append(H)
        return outputs, H

    torch.manual_seed(0)
    gru = GRUScratch(num_inputs=len(data.vocab), num_hiddens=16, sigma=0.1)
    model = d2l.RNNLMScratch(gru, vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    other = d2l.RNNLMScratch(d2l.GRUScratch(len(data.vocab), 16), len(data.vocab))
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(other.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)


def test_10_2_gru_concise(data, perplexities):
    class GRU(d2l.RNN):
        def __init__(self, num_inputs, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = nn.GRU(num_inputs, num_hiddens)

    gru = GRU(num_inputs=len(data.vocab), num_hiddens=16)
    model = d2l.RNNLM(gru, vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26
    # A second bias that trains is no part of the book's GRU: the layer keeps PyTorch's names.
    assert set(model.get_weights()) >= {"linear.W_hq", "rnn.rnn.weight_ih_l0"}


def test_10_3_deep_from_scratch(data, perplexities):
    class StackedRNNScratch(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, num_layers, sigma=0.01):
            super().__init__()
            self.save_hyperparameters()
            sizes = [num_inputs] + [num_hiddens] * (num_layers - 1)
            layers = [d2l.RNNScratch(size, num_hiddens, sigma) for size in sizes]
            self.rnns = nn.Sequential(*layers)

    @d2l.add_to_class(StackedRNNScratch)
    def forward(self, inputs, Hs=None):
        outputs, Hs = inputs, Hs or [None] * self.num_layers
        for i in range(self.num_layers):
            outputs, Hs[i] = self.rnns[i](outputs, Hs[i])
            outputs = d2l.stack(outputs, 0)  # what the output layer gets is one tensor, not a list
        return outputs, Hs

    v = len(data.vocab)
    block = StackedRNNScratch(num_inputs=v, num_hiddens=16, num_layers=2, sigma=0.1)
    model = d2l.RNNLMScratch(block, vocab_size=v, lr=2)
    other = d2l.RNNLMScratch(d2l.StackedRNNScratch(v, 16, 2, sigma=0.1), v, lr=2)
    weights = other.get_weights()
    for name, weight in model.get_weights().items():  # drawn by the same paths
        np.testing.assert_array_equal(weight, weights[name], err_msg=name)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert perplexities(other)[1] == pytest.approx(last, rel=1e-3)


def test_10_3_deep_concise(data, perplexities):
    class GRU(d2l.RNN):
        def __init__(self, num_inputs, num_hiddens, num_layers, dropout=0):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = nn.GRU(num_inputs, num_hiddens, num_layers, dropout=dropout)

    for kind in GRU, d2l.GRU:
        gru = kind(num_inputs=len(data.vocab), num_hiddens=16, num_layers=2)
        model = d2l.RNNLM(gru, vocab_size=len(data.vocab), lr=4)
        first, last = perplexities(model)
        assert last < 0.9 * first
        assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26
    _, state = gru(d2l.randn(7, 3, len(data.vocab)))
    d2l.check_shape(state, (2, 3, 16))
    gru(d2l.randn(7, 3, len(data.vocab)), state)


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
        b_outputs, b_H = self.b_rnn(reversed(inputs), b_H)
        pairs = zip(f_outputs, reversed(b_outputs), strict=True)
        return [d2l.concat(pair, -1) for pair in pairs], (f_H, b_H)

    class BiGRU(d2l.RNN):
        def __init__(self, num_inputs, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = nn.GRU(num_inputs, num_hiddens, bidirectional=True)
            self.num_hiddens *= 2

    v = len(data.vocab)
    models = [
        d2l.RNNLMScratch(kind(v, 8, 0.1), v, lr=2) for kind in (BiRNNScratch, d2l.BiRNNScratch)
    ]
    models += [d2l.RNNLM(kind(v, 8), v, lr=4) for kind in (BiGRU, d2l.BiGRU, d2l.BiLSTM)]
    for model in models:
        assert model.rnn.num_hiddens == 16
        outputs, _ = model.states(data.X[:3])
        assert outputs.shape == (6, 3, 16)
        first, last = perplexities(model)
        assert last < 0.9 * first
    for name, weight in models[0].get_weights().items():  # drawn and trained alike
        np.testing.assert_allclose(weight, models[1].get_weights()[name], atol=1e-5, err_msg=name)


def test_a_reader_replaces_the_epoch():
    seen = []

    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return [a.to(self.device) for a in batch]

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        self.model.train()
        for batch in self.train_dataloader:
            loss = self.model.training_step(self.prepare_batch(batch))
            self.optim.zero_grad()
            with torch.no_grad():
                loss.backward()
                self.optim.step()
            self.train_batch_idx += 1
            seen.append(loss.item())
        self.model.eval()
        for batch in self.val_dataloader:
            with torch.no_grad():
                self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    trainer = d2l.Trainer(max_epochs=3)
    trainer.fit(d2l.LinearRegression(lr=0.01), Sine())
    assert len(seen) == 3 * 38
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]


# What readers do beyond the book's cells -----------------------------------------------------------


def test_layers_in_a_container_do_not_start_as_copies(data):
    class Two(d2l.Module):
        def __init__(self, *rnns):
            super().__init__()
            self.rnns, self.num_hiddens, self.sigma = nn.Sequential(*rnns), 16, 0.01

        def forward(self, inputs, states=(None, None)):
            states = list(states or (None, None))
            for i, rnn in enumerate(self.rnns):
                inputs, states[i] = rnn(inputs, states[i])
                inputs = d2l.stack(inputs, 0) if isinstance(inputs, list) else inputs
            return inputs, tuple(states)

    v = len(data.vocab)
    for kind, whole in (d2l.RNN, d2l.RNNLM), (d2l.RNNScratch, d2l.RNNLMScratch):
        alone = whole(kind(v, 16), v).get_weights()
        model = whole(Two(kind(v, 16), kind(16, 16), kind(16, 16)), v)
        weights = model.get_weights()
        assert {name for name in weights if name.startswith("rnn.")} == {
            f"rnn.{i}.{name}" for i in range(3) for name in ("W_xh", "W_hh", "b_h")
        }
        assert np.abs(weights["rnn.1.W_hh"] - weights["rnn.2.W_hh"]).max() > 1e-3
        assert np.abs(weights["rnn.0.W_hh"] - alone["rnn.W_hh"]).max() > 1e-3
        np.testing.assert_array_equal(weights["linear.W_hq"], alone["linear.W_hq"])


class Tied(d2l.RNNLM):
    """No bias in the recurrent layer, the output layer under another name and tied to the embedding."""

    def init_params(self):
        self.embedding = nn.Embedding(self.vocab_size, 16)
        self.head = nn.Linear(16, self.vocab_size, bias=False)
        self.head.weight = self.embedding.weight

    def one_hot(self, X):
        return self.embedding(X.T)

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.head(nn.functional.dropout(hiddens, 0.3, self.training)), 0, 1)


class Layer(d2l.Module):
    """A layer of PyTorch's that the reader chose."""

    def __init__(self, layer):
        super().__init__()
        self.rnn, self.num_hiddens = layer, 16

    def forward(self, inputs, state=None):
        return self.rnn(inputs, state)


LAYERS = {
    "without a bias": lambda: nn.RNN(16, 16, bias=False),
    "two biases": lambda: nn.RNN(16, 16),
    "LSTM": lambda: nn.LSTM(16, 16),
    "GRU of two layers": lambda: nn.GRU(16, 16, 2, dropout=0.2),
    "LSTM in both directions": lambda: nn.LSTM(16, 8, bidirectional=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_model_of_the_readers_saves_loads_and_resumes(name, data, tmp_path):
    def made(seed):
        torch.manual_seed(seed)
        return Tied(Layer(LAYERS[name]()), len(data.vocab), lr=0.5)

    def fit(model, max_epochs, **files):
        torch.manual_seed(max_epochs)  # what is drawn in training does not depend on it
        d2l.Trainer(max_epochs, gradient_clip_val=1, progress=False).fit(model, data, **files)
        return model.get_weights()

    half, whole = str(tmp_path / "half"), made(0)
    expected = fit(whole, 4)
    fit(made(0), 2, checkpoint=half)
    resumed = made(1)
    weights = fit(resumed, 4, resume=half)
    assert weights.keys() == expected.keys()
    for weight, array in expected.items():
        np.testing.assert_array_equal(weights[weight], array, err_msg=weight)

    whole.save(tmp_path / "weights")
    loaded = made(2)
    loaded.load(tmp_path / "weights")
    X = data.X[:3]
    np.testing.assert_allclose(loaded.logits(X), whole.logits(X), rtol=0, atol=1e-6)
    if "both directions" not in name:  # which continues no text
        texts = {whole.predict("it", 12, data.vocab) for _ in range(3)}
        assert texts == {loaded.predict("it", 12, data.vocab)}  # dropout is off


def test_a_hook_of_the_readers_is_decoded_with(data):
    model = d2l.RNNLM(d2l.RNN(len(data.vocab), 16), len(data.vocab))
    assert model.own_stepper() is not None
    token = np.eye(len(data.vocab), dtype=np.float32)[5] * 1000
    model.linear.register_forward_hook(lambda module, inputs, output: output + torch.tensor(token))
    assert model.own_stepper() is None and d2l.backend.twin(model) is None
    assert model.predict("it", 3, data.vocab) == "it" + 3 * data.vocab.to_tokens(5)


def test_a_step_and_predict_never_drop(data):
    """Decoding a model that was left in training mode, as after `fit`, gives what evaluation gives."""

    class Dropping(d2l.RNNLM):
        def output_layer(self, hiddens):
            return super().output_layer(F.dropout(hiddens, 0.9, self.training))

    model = Dropping(d2l.RNN(num_hiddens=7), vocab_size=len(data.vocab), lr=1)
    d2l.Trainer(max_epochs=1, progress=False).fit(model, data)
    model.eval()
    with torch.no_grad():
        expected = model(torch.tensor([[1, 2, 3]]))[0].numpy()  # (num_steps, vocab_size)
    model.train()
    state = None
    for token, logits_after in zip([1, 2, 3], expected, strict=True):
        logits, state = model.step(token, state)
        np.testing.assert_allclose(logits, logits_after, rtol=0, atol=1e-6)
    assert model.predict("it has", 9, data.vocab) == model.predict("it has", 9, data.vocab)
    assert model.training  # as it was


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU", "BiGRU", "BiLSTM"])
def test_the_second_bias_neither_moves_nor_is_told_to_the_optimiser(layer, data):
    rnn = getattr(d2l, layer)(len(data.vocab), 16, num_layers=2, dropout=0.1)
    model = d2l.RNNLM(rnn, len(data.vocab), lr=1)
    trainer = d2l.Trainer(2, gradient_clip_val=1, progress=False)
    trainer.fit(model, data)
    told = {id(p) for group in trainer.optim.param_groups for p in group["params"]}
    second = [p for name, p in rnn.rnn.named_parameters() if name.startswith("bias_hh")]
    assert len(second) == 2 * (1 + rnn.rnn.bidirectional)
    assert not any(bias.any() or id(bias) in told for bias in second)


def test_gradients_are_shown_without_dropout_and_leave_the_mode(data):
    v, X = len(data.vocab), data.X[:3].astype(np.int64)
    with_it, without = (
        d2l.RNNLM(d2l.LSTM(v, 16, num_layers=2, dropout=dropout), v) for dropout in (0.5, 0)
    )
    for model in with_it, without:
        model.train()
    loss, gradients = with_it.gradients(X, X)
    expected_loss, expected = without.gradients(X, X)
    assert loss == expected_loss and with_it.training and with_it.rnn.rnn.training
    for name, gradient in gradients.items():
        np.testing.assert_array_equal(gradient, expected[name], err_msg=name)


@pytest.mark.parametrize("layer", ["LSTMScratch", "GRUScratch", "LSTM", "GRU", "BiGRU", "BiLSTM"])
def test_a_layer_without_a_choice_of_activation_has_none(layer):
    rnn = getattr(d2l, layer)(num_inputs=3, num_hiddens=4)
    assert not hasattr(rnn, "activation") and "activation" not in rnn.hparams
    with pytest.raises(TypeError, match="activation"):
        getattr(d2l, layer)(num_inputs=3, num_hiddens=4, activation="relu")


# Whatever else a reader holds or does --------------------------------------------------------------


def small(data, model_class=d2l.RNNLM, seed=0):
    v = len(data.vocab)
    return model_class(d2l.RNN(v, 16, seed=seed), v, lr=0.5, seed=seed)


def weights_after(model, data, **files):
    d2l.Trainer(files.pop("max_epochs", 3), progress=False).fit(model, data, **files)
    return model.get_weights()


def normed(model):
    return nn.utils.parametrizations.spectral_norm(model.linear)


def masked(model):
    model.register_buffer("mask", torch.arange(16) % 3 > 0)
    model.register_buffer("steps", torch.tensor(2**24 + 1))
    model.register_buffer("followed", torch.ones(3), persistent=False)


@pytest.mark.parametrize("change", [normed, masked])
def test_what_is_no_parameter_is_saved_with_the_model_and_its_training(change, data, tmp_path):
    def made(seed=0):
        torch.manual_seed(seed)
        model = small(data, seed=seed)
        change(model)
        return model

    whole, half = made(), str(tmp_path / "half")
    weights_after(whole, data)
    weights_after(made(), data, max_epochs=1, checkpoint=half)
    resumed = made(1)
    weights_after(resumed, data, resume=half)
    whole.save(tmp_path / "weights")
    loaded = made(2)
    loaded.load(tmp_path / "weights")
    expected = whole.state_dict()
    for model in resumed, loaded:
        state = model.state_dict()
        assert state.keys() == expected.keys()
        for name, tensor in state.items():
            assert torch.equal(tensor, expected[name]) and tensor.dtype == expected[name].dtype
    assert set(whole.get_weights()) >= {"rnn.W_xh", "rnn.W_hh", "rnn.b_h"}


def test_a_training_is_not_continued_by_another_optimiser(data, tmp_path):
    class Adam(d2l.RNNLM):
        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=self.lr)

    Adam.__name__ = "RNNLM"  # nothing else tells the two models apart
    checkpoint = str(tmp_path / "checkpoint")
    weights_after(small(data, Adam), data, max_epochs=1, checkpoint=checkpoint)
    other = small(data)
    before = other.get_weights()
    with pytest.raises(WeightsError, match="optimizer: 'Adam' there, 'SGD' here"):
        weights_after(other, data, resume=checkpoint)
    for name, array in other.get_weights().items():
        np.testing.assert_array_equal(array, before[name])


def test_learning_rates_of_groups_and_what_a_scheduler_left_are_continued(data, tmp_path):
    class Groups(d2l.RNNLM):
        def configure_optimizers(self):
            groups = [
                {"params": self.rnn.parameters()},
                {"params": self.linear.parameters(), "lr": 0.02},
            ]
            return torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.99), amsgrad=True)

    class Trainer(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            for index, group in enumerate(self.optim.param_groups):
                group["lr"] *= 0.9 - 0.3 * index
                group["betas"] = (0.7, group["betas"][1])
                group["weight_decay"] = 0.1 * index

    def fit(max_epochs, **files):
        model = small(data, Groups)
        Trainer(max_epochs, progress=False).fit(model, data, **files)
        return model.get_weights()

    checkpoint = str(tmp_path / "checkpoint")
    fit(2, checkpoint=checkpoint)
    expected, found = fit(4), fit(4, resume=checkpoint)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_a_plotted_tensor_is_the_one_of_that_moment(data):
    """Weights change in place, and a point is read by the host at the end of the epoch."""
    now = []

    class Plotting(d2l.RNNLM):
        def training_step(self, batch):
            self.plot("mine", self.linear.bias[1], train=True)
            now.append(self.linear.bias[1].item())
            return super().training_step(batch)

    model = small(data, Plotting)
    model.plot_train_per_epoch = 100
    weights_after(model, data, max_epochs=2)
    assert [y for _, y in model.board.data["train_mine"]] == now and len(set(now)) == len(now)


def test_tensors_of_several_types_are_plotted_beside_each_other(data):
    model = small(data)

    class Trainer(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            for index, value in enumerate(
                [torch.tensor(3), torch.tensor(0.5).bfloat16(), torch.tensor(True)]
            ):
                self.model.plot(f"v{index}", value, train=True)

    trainer = Trainer(1, progress=False)
    trainer.fit(model, data)
    assert [trainer.history[0][f"train_v{i}"] for i in range(3)] == [3, 0.5, 1]


def replaced(model):
    inner = model.rnn.rnn
    inner.forward = lambda X, state=None: type(inner).forward(inner, -X, state)


def scaled(model):
    model.linear.register_full_backward_hook(
        lambda m, gradients, _: tuple(0 * g for g in gradients)
    )


# How a reader may look at one-hot vectors, which are made only then.
LOOKS = {
    "numbers": lambda V: V.numpy(),
    "NumPy": np.asarray,
    "a copy": lambda V: torch.tensor(V).numpy(),
    "a step": lambda V: V[1].numpy(),
    "in place": lambda V: [V.mul_(2), V][1].numpy(),
    "a loop": lambda V: torch.stack(list(V)).numpy(),
    "another product": lambda V: torch.einsum("tbv,vh->tbh", V, torch.eye(5)).numpy(),
    "pickled": lambda V: pickle.loads(pickle.dumps(V)).numpy(),
    "by name": lambda V: torch.matmul(input=V, other=torch.eye(5)).numpy(),
    "a matrix": lambda V: (V @ torch.eye(5)[:, :3]).numpy(),
    "a list": lambda V: np.array(V.tolist()),
    "another type": lambda V: V.double().numpy(),
    "a layer of its own": lambda V: torch.nn.LSTM(5, 2)(V)[0].shape,
    "both directions": lambda V: torch.nn.RNN(5, 2, 2, bidirectional=True)(V)[0].shape,
    "its gradient": lambda V: torch.autograd.grad((V.requires_grad_() ** 2).sum(), V)[0].numpy(),
    "many at once": lambda V: torch.func.vmap(lambda v: v * 2)(V).numpy(),
}


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_one_hot_vectors_that_know_their_tokens_are_like_others(look):
    one_hot = pytest.importorskip("d2lrnn_torch.fast_readers").OneHot
    tokens = torch.tensor([[1, 2], [0, 4], [3, 3]])
    expected = torch.nn.functional.one_hot(tokens, 5).float()
    vectors = one_hot(tokens, 5)
    assert (vectors.shape, vectors.dtype, len(vectors)) == (expected.shape, expected.dtype, 3)
    assert vectors.made is None
    np.testing.assert_array_equal(look(vectors), look(expected))


@pytest.mark.parametrize("taken", ["twice", "forward"])
def test_a_reader_takes_gradients_of_other_kinds(taken, data):
    """Of gradients, and along a direction: rows are picked by operations of which PyTorch takes them."""

    class Penalised(d2l.RNNLM):
        def loss(self, Y_hat, Y, averaged=True):
            loss = super().loss(Y_hat, Y, averaged)
            return loss + self.penalty() if averaged and self.training else loss

        def mean(self, weight, X):
            weights = {"rnn.rnn.weight_ih_l0": weight}
            return torch.func.functional_call(self, weights, (X,)).square().mean()

        def penalty(self):
            X, weight = torch.tensor([[1, 2, 3], [0, 4, 1]]), self.rnn.rnn.weight_ih_l0
            if taken == "twice":
                (gradient,) = torch.autograd.grad(self.mean(weight, X), weight, create_graph=True)
                return gradient.square().sum()
            return torch.func.jvp(lambda w: self.mean(w, X), (weight,), (weight,))[1]

    losses = []
    for plain in False, True:
        model = small(data, Penalised)
        with pytest.MonkeyPatch.context() as patch:
            if plain:
                patch.setattr(d2l.backend, "faster", lambda model, function: function)
            losses.append([weights_after(model, data), model.trainer.batch_losses])
    np.testing.assert_allclose(losses[0][1], losses[1][1], rtol=1e-5)


@pytest.mark.parametrize("change", [replaced, scaled])
def test_what_a_reader_puts_inside_is_trained_and_decoded_with(change, data):
    model, as_it_is, other = (small(data) for _ in range(3))
    change(model)
    change(as_it_is)
    assert d2l.backend.twin(model) is None and model.own_stepper() is None
    found = weights_after(model, data)
    loader = data.train_dataloader()
    optim = as_it_is.configure_optimizers()
    for epoch in range(3):
        loader.set_epoch(epoch)
        for X, Y in loader:
            optim.zero_grad()
            as_it_is.batch_loss((X, Y)).backward()
            optim.step()
    for name, array in as_it_is.get_weights().items():
        np.testing.assert_allclose(found[name], array, atol=1e-6)
    assert np.abs(found["rnn.W_xh"] - weights_after(other, data)["rnn.W_xh"]).max() > 1e-3


def test_a_layer_that_is_built_by_its_first_inputs_is_in_the_mode_of_its_model():
    rnn = d2l.LSTM(num_hiddens=7, num_layers=2, dropout=0.5).eval()
    X = torch.randn(5, 2, 3)
    torch.testing.assert_close(rnn(X)[0], rnn(X)[0], rtol=0, atol=0)
    assert not rnn.rnn.training


def test_gradients_are_shown_and_those_of_a_training_are_left(data):
    model = small(data)
    X = data.X[:3].astype(np.int64)
    model.batch_loss((torch.tensor(X), torch.tensor(X))).backward()
    before = model.linear.weight.grad.clone()
    model.gradients(X[::-1].copy(), X)
    assert torch.equal(model.linear.weight.grad, before)


def test_an_output_layer_takes_the_steps_of_a_layer_from_scratch(data):
    v = len(data.vocab)
    model = d2l.RNNLM(d2l.RNNScratch(v, 16), v, lr=1)
    weights_after(model, data, max_epochs=1)
    assert model.predict("it has", 5, data.vocab).startswith("it has")
    assert model.logits(data.X[:3]).shape == (3, 6, v)


@pytest.mark.parametrize("type_of", [torch.int32, torch.uint8, torch.int64])
def test_tokens_of_any_whole_numbers(type_of, data):
    class Typed(d2l.DataModule):
        def get_dataloader(self, train):
            X, Y = (torch.tensor(array[:16]).to(type_of) for array in (data.X, data.Y))
            return [(X[:8], Y[:8]), (X[8:], Y[8:])] if train else None

    found = weights_after(small(data), Typed())
    assert np.abs(found["rnn.W_xh"] - small(data).get_weights()["rnn.W_xh"]).max() > 0


def test_minibatches_that_are_no_pairs(data):
    """Whatever a reader's step takes: here, a dict."""

    class Dicts(d2l.DataModule):
        def get_dataloader(self, train):
            rows = [{"tokens": [data.X[i : i + 8]], "labels": data.Y[i : i + 8]} for i in (0, 8)]
            return torch.utils.data.DataLoader(rows, batch_size=None) if train else None

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
    logits, classes = torch.eye(3)[[0, 1, 2, 1]], torch.tensor([0, 1, 1, 1])
    for labels in classes, classes[:, None]:
        assert model.accuracy(logits, labels) == 0.75
        assert model.accuracy(logits, labels, averaged=False).tolist() == [1, 1, 0, 1]


def test_a_copy_of_a_model_with_everything(data):
    """`torch.save` of a whole model too."""
    model = small(data)
    masked(model)
    weights_after(model, data, max_epochs=1)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in copy.deepcopy(model), torch.load(file, weights_only=False):
        assert "trainer" not in vars(other) and other.board.data == {}
        assert not hasattr(other, "trainer")
        assert torch.equal(other.steps, model.steps)
        for name, array in weights_after(other, data).items():
            assert name in model.get_weights() and np.isfinite(array).all()


LESSON = """
import sys, threading
import d2lrnn as d2l
data = d2l.TextFile(sys.argv[1], batch_size=8, num_steps=6, num_train=60, num_val=20)
texts = {}
def lesson(index):
    model = d2l.RNNLM(d2l.LSTM(len(data.vocab), 16, num_layers=2, dropout=0.5), len(data.vocab), lr=2)
    trainer = d2l.Trainer(max_epochs=3, gradient_clip_val=1, progress=False)
    trainer.fit(model, data)
    texts[index] = str(trainer.batch_losses) + model.predict("it has", 20, data.vocab)
threads = [threading.Thread(target=lesson, args=(i,)) for i in range(int(sys.argv[2]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
lesson("here")
print(set(texts.values()))
"""


def test_a_lesson_in_a_process_of_its_own_and_in_its_threads(tmp_path):
    """Dropout is drawn from PyTorch's one stream, and initial weights are: not by two threads at a time."""
    text = tmp_path / "text.txt"
    text.write_text("The tide has been told since it has two hands. " * 5, encoding="utf-8")
    lessons = []
    for threads in 0, 3:
        command = [sys.executable, "-c", LESSON, text, str(threads)]
        lessons.append(subprocess.check_output(command, text=True))
    assert lessons[0] == lessons[1] and lessons[0].count("it has") == 1
