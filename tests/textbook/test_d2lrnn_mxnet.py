"""Cells of chapters 9 and 10 in MXNet."""

import math

import numpy as onp
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn, rnn

import d2lrnn as d2l

npx.set_np()


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


def names_of(layer):
    """The book's of an LSTM; of a GRU whose second bias is trained, they would not tell all: gluon's own."""
    if isinstance(layer.rnn, rnn.LSTM):
        return {f"rnn.{letter}{gate}" for letter in ("W_x", "W_h", "b_") for gate in "ifco"}
    parts = [f"{part}_{kind}" for part in ("i2h", "h2h") for kind in ("weight", "bias")]
    return {f"rnn.l0_{part}" for part in parts}


def test_10_1_other_recurrent_layers(data, perplexities):
    class LSTM(d2l.RNN):
        def __init__(self, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = rnn.LSTM(num_hiddens)
            self.rnn.initialize()

        def forward(self, inputs, H_C=None):
            if H_C is None:
                H_C = self.rnn.begin_state(inputs.shape[1], ctx=inputs.ctx)
            return self.rnn(inputs, H_C)

    class GRU(d2l.RNN):
        def __init__(self, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = rnn.GRU(num_hiddens)

    for layer in LSTM(16), GRU(16):
        model = d2l.RNNLM(layer, vocab_size=len(data.vocab), lr=4)
        first, last = perplexities(model)
        assert last < 0.8 * first
        assert len(model.predict("it has", 5, data.vocab)) == 11
        assert set(model.get_weights()) == {*names_of(layer), "linear.W_hq", "linear.b_q"}


def test_10_3_layers_in_a_plain_list(data, perplexities):
    class StackedRNNScratch(d2l.Module):
        def __init__(self, num_inputs, num_hiddens, num_layers, sigma=0.1):
            super().__init__()
            self.save_hyperparameters()
            self.rnns = [
                d2l.RNNScratch(num_hiddens if i else num_inputs, num_hiddens, sigma)
                for i in range(num_layers)
            ]

        def forward(self, inputs, Hs=None):
            outputs = inputs
            if Hs is None:
                Hs = [None] * self.num_layers
            for i in range(self.num_layers):
                outputs, Hs[i] = self.rnns[i](outputs, Hs[i])
                outputs = d2l.stack(outputs, 0)
            return outputs, Hs

    rnn_block = StackedRNNScratch(num_inputs=len(data.vocab), num_hiddens=16, num_layers=2)
    model = d2l.RNNLMScratch(rnn_block, vocab_size=len(data.vocab), lr=2)
    assert len(model.get_weights()) == 2 * 3 + 2
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 5, data.vocab)) == 11


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
