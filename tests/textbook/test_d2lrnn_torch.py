"""Cells of chapters 9 and 10 in PyTorch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import d2lrnn as d2l


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
