"""Cells of chapters 3, 9 and 10 in JAX and Flax."""

import subprocess
import sys
from dataclasses import field
from functools import partial
from typing import Any

import flax.serialization
import jax
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax import numpy as jnp

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError
from d2lrnn_jax.parameters import TrainState
from d2lrnn_jax.rnn import RNNCell


class Lines(d2l.DataModule):
    """Section 3.3: points of a line with some noise, drawn from keys of JAX."""

    def __init__(self, w, b, noise=0.01, num_train=300, num_val=100, batch_size=32):
        super().__init__()
        self.save_hyperparameters()
        of_X, of_noise = jax.random.split(jax.random.PRNGKey(0))
        n = num_train + num_val
        self.X = jax.random.normal(of_X, (n, w.shape[0]))
        noise = jax.random.normal(of_noise, (n, 1)) * noise
        self.y = d2l.matmul(self.X, d2l.reshape(w, (-1, 1))) + b + noise


W, BIAS = d2l.tensor([2, -3.4]), 4.2


def test_3_1_vectors():
    a, b, c = d2l.ones(50), d2l.ones(50), d2l.zeros(50)
    for i in range(50):
        c = c.at[i].set(a[i] + b[i])
    assert bool((c == a + b).all())


def test_3_2_classes_as_the_book_writes_them():
    class Module(d2l.nn_Module, d2l.HyperParameters):
        plot_train_per_epoch: int = field(default=2, init=False)
        board: d2l.ProgressBoard = field(default_factory=lambda: d2l.ProgressBoard(), init=False)

    assert Module().plot_train_per_epoch == 2


class NumPyBatches:
    """What section 3.3 makes by TensorFlow Datasets: minibatches in NumPy, whose number is known."""

    def __init__(self, arrays, batch_size):
        self.arrays, self.batch_size = [np.asarray(a) for a in arrays], batch_size

    def __len__(self):
        return -(-len(self.arrays[0]) // self.batch_size)

    def __iter__(self):
        for i in range(len(self)):
            rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
            yield tuple(a[rows] for a in self.arrays)


def test_3_3_a_generator_and_then_a_loader():
    data = Lines(W, BIAS)
    assert (data.X[0].shape, data.y[0].shape) == ((2,), (1,))

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):
        rows = np.random.permutation(self.num_train) if train else np.arange(300, 400)
        for i in range(0, len(rows), self.batch_size):
            some = d2l.tensor(rows[i : i + self.batch_size])
            yield self.X[some], self.y[some]

    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, y.shape) == ((32, 2), (32, 1))
    trainer = d2l.Trainer(max_epochs=2)
    trainer.fit(d2l.LinearRegressionScratch(2, lr=0.1), data)
    assert trainer.history[-1]["val_loss"] < 1

    @d2l.add_to_class(d2l.DataModule)
    def get_tensorloader(self, tensors, train, indices=slice(0, None)):
        return NumPyBatches([a[indices] for a in tensors], self.batch_size)

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):  # noqa: F811
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, rows)

    for lines in data, d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100):
        X, y = next(iter(lines.train_dataloader()))
        assert (X.shape, y.shape) == ((32, 2), (32, 1))
        assert len(lines.train_dataloader()) == 10
        trainer = d2l.Trainer(max_epochs=3)
        trainer.fit(d2l.LinearRegression(lr=0.1), lines)
        assert trainer.history[-1]["val_loss"] < 0.1


def test_a_text_in_the_loader_of_section_3_3(data, perplexities):
    @d2l.add_to_class(d2l.DataModule)
    def get_tensorloader(self, tensors, train, indices=slice(0, None)):
        return NumPyBatches([a[indices] for a in tensors], self.batch_size)

    first, last = perplexities(d2l.RNNLM(d2l.RNN(16), len(data.vocab), lr=1), max_epochs=5)
    assert last < 0.9 * first


class Descent(d2l.HyperParameters):
    """Section 3.4.3: its state is the class of an empty one."""

    def __init__(self, lr):
        self.save_hyperparameters()

    def init(self, params):
        return optax.EmptyState

    def update(self, updates, state, params=None):
        return jax.tree_util.tree_map(lambda g: -self.lr * g, updates), state


class Scratch(d2l.Module):
    num_inputs: int
    lr: float
    optimizer: Any
    sigma: float = 0.01

    def setup(self):
        self.w = self.param("w", nn.initializers.normal(self.sigma), (self.num_inputs, 1))
        self.b = self.param("b", nn.initializers.zeros, (1))

    def forward(self, X):
        return d2l.matmul(X, self.w) + self.b

    def loss(self, params, X, y, state):
        y_hat = state.apply_fn({"params": params}, *X)
        return d2l.reduce_mean((y_hat - d2l.reshape(y, y_hat.shape)) ** 2 / 2)

    def configure_optimizers(self):
        return self.optimizer(self.lr)


def halve_injected(trainer):
    trainer.state.opt_state.hyperparams["learning_rate"] /= 2


def halve_attribute(trainer):
    trainer.optim.lr /= 2


OPTIMIZERS = {
    "the reader's": (Descent, halve_attribute),
    "the library's": (d2l.SGD, halve_attribute),
    "Optax's": (optax.inject_hyperparams(optax.sgd), halve_injected),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_3_4_from_scratch(name, tmp_path):
    """A learning rate that is changed by hand is seen in the next epoch, and is state."""
    data = d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100)
    optimizer, halve = OPTIMIZERS[name]

    class Halving(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            if self.epoch == 0:
                halve(self)

    def fit(max_epochs, trainer=Halving, **files):
        model = Scratch(2, 0.3, optimizer)
        trainer(max_epochs, progress=False).fit(model, data, **files)
        return model.params

    params = fit(6)
    assert np.abs(data.w - d2l.reshape(params["w"], data.w.shape)).max() < 0.05
    assert np.abs(data.b - params["b"]) < 0.05
    assert np.abs(fit(6, d2l.Trainer)["w"] - params["w"]).max() > 1e-6
    fit(2, checkpoint=str(tmp_path / "checkpoint"))
    resumed = fit(6, resume=str(tmp_path / "checkpoint"))
    for key in "wb":
        np.testing.assert_array_equal(resumed[key], params[key])


def test_an_optimizer_that_is_replaced_in_training(tmp_path):
    """It is used from then on; but Optax does not tell its learning rate, so there is no checkpoint."""

    class Replacing(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            self.optim = optax.sgd(1e-9)

    data = d2l.SyntheticRegressionData(W, BIAS, num_train=30, num_val=10)
    model = Scratch(2, 0.1, optax.sgd)
    trainer = Replacing(2, progress=False)
    trainer.fit(model, data)
    one = model.params
    trainer = Replacing(3, progress=False)
    model = Scratch(2, 0.1, optax.sgd)
    trainer.fit(model, data)
    np.testing.assert_allclose(model.params["w"], one["w"], atol=1e-6)
    with pytest.raises(ArgumentError, match="inject_hyperparams"):
        trainer.save_checkpoint(str(tmp_path / "checkpoint"))


def test_3_4_the_librarys_is_the_same():
    data = d2l.SyntheticRegressionData(W, BIAS)
    models = d2l.LinearRegressionScratch(2, lr=0.03), d2l.LinearRegression(lr=0.03)
    for model in models:
        trainer = d2l.Trainer(max_epochs=3)
        trainer.fit(model, data)
        losses = [row["val_loss"] for row in trainer.history]
        assert losses[-1] < 0.1 * losses[0]
    w, b = models[1].get_w_b(trainer.state)
    assert (w.shape, b.shape) == ((2, 1), (1,))
    params = models[0].params
    assert (params["w"].shape, params["b"].shape) == ((2, 1), (1,))


def test_3_4_the_epoch_of_the_book():
    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return batch

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        self.model.training = True
        for batch in self.train_dataloader:
            _, grads = self.model.training_step(
                self.state.params, self.prepare_batch(batch), self.state
            )
            self.state = self.state.apply_gradients(grads=grads)
            rng = jax.random.split(self.state.dropout_rng)[0]
            self.state = self.state.replace(dropout_rng=rng)
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.training = False
        for batch in self.val_dataloader:
            self.model.validation_step(self.state.params, self.prepare_batch(batch), self.state)
            self.val_batch_idx += 1

    for num_val in 100, 0:
        data = d2l.SyntheticRegressionData(W, BIAS, num_val=num_val)
        trainer = d2l.Trainer(max_epochs=3)
        trainer.fit(Scratch(2, 0.1, Descent), data)
        assert trainer.history[-1]["train_loss"] < 0.1 * trainer.history[0]["train_loss"]


def test_3_5_concise():
    class LinearRegression(d2l.Module):
        lr: float

        def setup(self):
            self.net = nn.Dense(1, kernel_init=nn.initializers.normal(0.01))

        def loss(self, params, X, y, state):
            y_hat = state.apply_fn({"params": params}, *X)
            return d2l.reduce_mean(optax.l2_loss(y_hat, y))

        def configure_optimizers(self):
            return optax.sgd(self.lr)

    data = d2l.SyntheticRegressionData(W, BIAS)
    model = LinearRegression(lr=0.06)
    trainer = d2l.Trainer(max_epochs=3)
    trainer.fit(model, data)
    net = trainer.state.params["net"]
    assert np.abs(data.w - d2l.reshape(net["kernel"], data.w.shape)).max() < 0.05
    assert np.abs(data.b - net["bias"]) < 0.05


@pytest.mark.parametrize("shape", [(-1,), (1, -1)])
@pytest.mark.parametrize(
    "make", [d2l.LinearRegression, lambda lr: d2l.LinearRegressionScratch(2, lr)]
)
def test_labels_of_another_shape_are_refused(make, shape):
    """Compiled, too."""

    class Reshaped(d2l.SyntheticRegressionData):
        def get_dataloader(self, train):
            batch = (self.X[:8], d2l.reshape(self.y[:8], shape))
            return self.get_tensorloader(batch, train) if shape == (-1,) else [batch]

    data = Reshaped(W, BIAS, num_train=8, batch_size=8)
    with pytest.raises(ArgumentError, match=r"\(8, 1\).*\((1, )?8,?\)"):
        d2l.Trainer(1, progress=False).fit(make(lr=0.1), data)


class Sine(d2l.DataModule):
    """Section 9.1: a noisy sine and its last tau values."""

    def __init__(self, batch_size=16, T=1000, num_train=600, tau=4):
        self.save_hyperparameters()
        self.time = d2l.arange(1, T + 1, dtype=d2l.float32)
        noise = jax.random.normal(jax.random.key(1), [T])
        self.x = d2l.sin(0.01 * self.time) + noise * 0.2

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
    one_step = model.apply({"params": trainer.state.params}, data.features)
    assert one_step.shape == (996, 1)
    d2l.plot(data.time[4:], [data.labels, one_step], "time", "x", legend=["labels", "1-step preds"])
    w, b = model.get_w_b(trainer.state)
    assert w.shape == (4, 1) and b.shape == (1,)


def test_9_5_from_scratch(data):
    class RNNScratch(nn.Module):
        num_inputs: int
        num_hiddens: int
        sigma: float = 0.01

        def setup(self):
            normal = nn.initializers.normal(self.sigma)
            self.W_xh = self.param("W_xh", normal, (self.num_inputs, self.num_hiddens))
            self.W_hh = self.param("W_hh", normal, (self.num_hiddens, self.num_hiddens))
            self.b_h = self.param("b_h", nn.initializers.zeros, (self.num_hiddens))

    # The next cells attach the rest.
    @d2l.add_to_class(RNNScratch)
    def __call__(self, inputs, state=None):
        if state is not None:
            (state,) = state
        outputs = []
        for X in inputs:
            recurrent = d2l.matmul(state, self.W_hh) if state is not None else 0
            state = d2l.tanh(d2l.matmul(X, self.W_xh) + recurrent + self.b_h)
            outputs.append(state)
        return outputs, state

    rnn = RNNScratch(16, 32)
    (outputs, state), _ = rnn.init_with_output(d2l.get_key(), d2l.ones((100, 2, 16)))
    d2l.check_len(outputs, 100)
    d2l.check_shape(outputs[0], (2, 32))
    d2l.check_shape(state, (2, 32))

    class RNNLMScratch(d2l.Classifier):
        rnn: nn.Module
        vocab_size: int
        lr: float = 0.01

        def setup(self):
            normal = nn.initializers.normal(self.rnn.sigma)
            self.W_hq = self.param("W_hq", normal, (self.rnn.num_hiddens, self.vocab_size))
            self.b_q = self.param("b_q", nn.initializers.zeros, (self.vocab_size))

        def training_step(self, params, batch, state):
            value, grads = jax.value_and_grad(self.loss, has_aux=True)(
                params, batch[:-1], batch[-1], state
            )
            loss, _ = value
            self.plot("ppl", d2l.exp(loss), train=True)
            return value, grads

        def validation_step(self, params, batch, state):
            loss, _ = self.loss(params, batch[:-1], batch[-1], state)
            self.plot("ppl", d2l.exp(loss), train=False)

    @d2l.add_to_class(RNNLMScratch)
    def one_hot(self, X):
        return jax.nn.one_hot(X.T, self.vocab_size)

    @d2l.add_to_class(RNNLMScratch)
    def output_layer(self, rnn_outputs):
        return d2l.stack([d2l.matmul(H, self.W_hq) + self.b_q for H in rnn_outputs], 1)

    @d2l.add_to_class(RNNLMScratch)
    def forward(self, X, state=None):
        rnn_outputs, _ = self.rnn(self.one_hot(X), state)
        return self.output_layer(rnn_outputs)

    model = RNNLMScratch(rnn, 16)
    outputs, _ = model.init_with_output(d2l.get_key(), d2l.ones((2, 100), dtype=d2l.int32))
    d2l.check_shape(outputs, (2, 100, 16))

    calls = []

    @d2l.add_to_class(d2l.Trainer)
    def clip_gradients(self, grad_clip_val, grads):
        calls.append(grad_clip_val)
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree_util.tree_leaves(grads)))
        scale = jnp.where(norm < grad_clip_val, 1, grad_clip_val / norm)
        return jax.tree_util.tree_map(lambda g: g * scale, grads)

    rnn = RNNScratch(num_inputs=len(data.vocab), num_hiddens=32)
    model = RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=1)
    trainer = d2l.Trainer(max_epochs=30, gradient_clip_val=1, num_gpus=1)
    trainer.fit(model, data)
    history = trainer.history
    # A validation step that only plots, as in the book, still has its loss in the history.
    assert history[-1]["val_ppl"] > 1
    assert history[-1]["train_ppl"] < 0.8 * history[0]["train_ppl"]
    assert calls == [1] * 30 * 8

    shape_of_one = 1  # as the book has it

    @d2l.add_to_class(RNNLMScratch)
    def predict(self, prefix, num_preds, vocab, params):
        state, outputs = None, [vocab[prefix[0]]]
        for i in range(len(prefix) + num_preds - 1):
            embs = self.one_hot(d2l.tensor([[outputs[-1]]]))
            rnn_outputs, H = self.rnn.apply({"params": params["rnn"]}, embs, state)
            state = (H,)
            if i < len(prefix) - 1:
                outputs.append(vocab[prefix[i + 1]])
            else:
                Y = self.apply({"params": params}, rnn_outputs, method=self.output_layer)
                outputs.append(int(d2l.reshape(d2l.argmax(Y, axis=2), shape_of_one)))
        return "".join([vocab.idx_to_token[i] for i in outputs])

    with pytest.raises(TypeError, match="Only scalar arrays can be converted to Python scalars"):
        model.predict("it has", 20, data.vocab, trainer.state.params)  # since JAX 0.10
    shape_of_one = ()
    text = model.predict("it has", 20, data.vocab, trainer.state.params)
    library = d2l.RNNLMScratch(d2l.RNNScratch(len(data.vocab), 32), vocab_size=len(data.vocab))
    library.set_weights(model.get_weights())
    assert library.predict("it has", 20, data.vocab) == text
    assert library.predict("it has", 20, data.vocab, trainer.state.params) == text


class SimpleRNN(nn.Module):
    """Section 9.6, where the book raises NotImplementedError: `nn.scan` over linen's own cell."""

    num_hiddens: int

    @nn.compact
    def __call__(self, inputs, H=None):
        if H is None:
            H = d2l.zeros((1, inputs.shape[1], self.num_hiddens))
        scan = nn.scan(nn.SimpleCell, variable_broadcast="params", split_rngs={"params": False})
        H, outputs = scan(self.num_hiddens)(H[0], inputs)
        return outputs, H[None]


@pytest.mark.parametrize("model_class", ["library", "typed"])
def test_9_6_concise(data, perplexities, model_class):
    class RNNLM(d2l.RNNLMScratch):
        training: bool = True

        def setup(self):
            self.linear = nn.Dense(self.vocab_size)

        def output_layer(self, hiddens):
            return d2l.swapaxes(self.linear(hiddens), 0, 1)

        def forward(self, X, state=None):
            embs = self.one_hot(X)
            rnn_outputs, _ = self.rnn(embs, state, self.training)
            return self.output_layer(rnn_outputs)

    if model_class == "library":  # which takes a layer of two arguments, too
        model = d2l.RNNLM(SimpleRNN(num_hiddens=32), vocab_size=len(data.vocab), lr=1)
    else:
        model = RNNLM(d2l.RNN(num_hiddens=32), vocab_size=len(data.vocab), lr=1)
    before = model.predict("it has", 20, data.vocab)
    assert before.startswith("it has")
    first, last = perplexities(model)
    assert last < 0.8 * first
    text = model.predict("it has", 20, data.vocab, d2l.try_gpu())
    assert text == model.predict("it has", 20, data.vocab, model.trainer.state.params) != before

    library = d2l.RNNLM(d2l.RNN(32), len(data.vocab))
    library.set_weights(model.get_weights())
    np.testing.assert_allclose(library.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)


def triple(layer, gate):
    """What the cells of sections 10.1 and 10.2 make of a gate, from outside."""
    normal = nn.initializers.normal(layer.sigma)
    h = layer.num_hiddens
    return (
        layer.param(f"W_x{gate}", normal, (layer.num_inputs, h)),
        layer.param(f"W_h{gate}", normal, (h, h)),
        layer.param(f"b_{gate}", nn.initializers.zeros, (h)),
    )


def typed_lstm():
    class LSTMScratch(d2l.Module):
        num_inputs: int
        num_hiddens: int
        sigma: float = 0.01

        def setup(self):
            for gate in "ifoc":
                W_x, W_h, b = triple(self, gate)
                setattr(self, f"W_x{gate}", W_x)
                setattr(self, f"W_h{gate}", W_h)
                setattr(self, f"b_{gate}", b)

    @d2l.add_to_class(LSTMScratch)
    def forward(self, inputs, H_C=None):
        def scan_fn(carry, X):
            H, C = carry

            def linear(gate):
                W_x, W_h, b = (getattr(self, f"{part}{gate}") for part in ("W_x", "W_h", "b_"))
                return d2l.matmul(X, W_x) + d2l.matmul(H, W_h) + b

            I, F, O = (d2l.sigmoid(linear(gate)) for gate in "ifo")
            C = F * C + I * d2l.tanh(linear("c"))
            H = O * d2l.tanh(C)
            return (H, C), H

        if H_C is None:
            zeros = jnp.zeros((inputs.shape[1], self.num_hiddens))
            H_C = zeros, zeros
        H_C, outputs = jax.lax.scan(scan_fn, H_C, inputs)
        return outputs, H_C

    return LSTMScratch


def typed_gru():
    class GRUScratch(d2l.Module):
        num_inputs: int
        num_hiddens: int
        sigma: float = 0.01

        def setup(self):
            self.W_xz, self.W_hz, self.b_z = triple(self, "z")
            self.W_xr, self.W_hr, self.b_r = triple(self, "r")
            self.W_xh, self.W_hh, self.b_h = triple(self, "h")

    @d2l.add_to_class(GRUScratch)
    def forward(self, inputs, H=None):
        def scan_fn(H, X):
            Z = d2l.sigmoid(d2l.matmul(X, self.W_xz) + d2l.matmul(H, self.W_hz) + self.b_z)
            R = d2l.sigmoid(d2l.matmul(X, self.W_xr) + d2l.matmul(H, self.W_hr) + self.b_r)
            H_tilde = d2l.tanh(d2l.matmul(X, self.W_xh) + d2l.matmul(R * H, self.W_hh) + self.b_h)
            H = Z * H + (1 - Z) * H_tilde
            return H, H

        H = jnp.zeros((inputs.shape[1], self.num_hiddens)) if H is None else H
        H, outputs = jax.lax.scan(scan_fn, H, inputs)
        return outputs, H

    return GRUScratch


def typed_stack():
    class StackedRNNScratch(d2l.Module):
        num_inputs: int
        num_hiddens: int
        num_layers: int = 2
        sigma: float = 0.01

        def setup(self):
            sizes = [self.num_inputs] + [self.num_hiddens] * (self.num_layers - 1)
            self.rnns = [d2l.RNNScratch(size, self.num_hiddens, self.sigma) for size in sizes]

    @d2l.add_to_class(StackedRNNScratch)
    def forward(self, inputs, Hs=None):
        outputs, Hs = inputs, Hs or [None] * self.num_layers
        for i in range(self.num_layers):
            outputs, Hs[i] = self.rnns[i](outputs, Hs[i])
            outputs = d2l.stack(outputs, 0)
        return outputs, Hs

    return StackedRNNScratch


def typed_both_ways():
    class BiRNNScratch(d2l.Module):
        num_inputs: int
        half: int
        sigma: float = 0.01

        def setup(self):
            self.f_rnn = d2l.RNNScratch(self.num_inputs, self.half, self.sigma)
            self.b_rnn = d2l.RNNScratch(self.num_inputs, self.half, self.sigma)

        @property
        def num_hiddens(self):
            return 2 * self.half

    @d2l.add_to_class(BiRNNScratch)
    def forward(self, inputs, Hs=None):
        f_H, b_H = Hs if Hs is not None else (None, None)
        f_outputs, f_H = self.f_rnn(inputs, f_H)
        b_outputs, b_H = self.b_rnn(jnp.flip(inputs, 0), b_H)
        both = zip(f_outputs, reversed(b_outputs), strict=True)
        return [d2l.concat((f, b), -1) for f, b in both], (f_H, b_H)

    return BiRNNScratch


@pytest.mark.parametrize(
    "typed, library, options",
    [
        (typed_lstm, "LSTMScratch", {}),
        (typed_gru, "GRUScratch", {}),
        (typed_stack, "StackedRNNScratch", {"num_layers": 2}),
        (typed_both_ways, "BiRNNScratch", {}),
    ],
)
def test_10_1_to_10_4_from_scratch(typed, library, options, data, perplexities):
    """A layer that is typed: it trains, and computes what the library's does at equal weights."""
    rnn = typed()(len(data.vocab), 16, sigma=0.1)
    model = d2l.RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=2)
    first, last = perplexities(model)
    assert last < 0.8 * first
    layer = getattr(d2l, library)(num_inputs=len(data.vocab), num_hiddens=16, **options)
    ours = d2l.RNNLMScratch(layer, vocab_size=len(data.vocab))
    ours.set_weights(model.get_weights())
    X = data.X[:3]
    np.testing.assert_allclose(ours.logits(X), model.logits(X), atol=1e-5)
    if library != "BiRNNScratch":  # which reads the future
        params = model.trainer.state.params
        text = model.predict("it has", 20, data.vocab, params)
        assert text == ours.predict("it has", 20, data.vocab)


@pytest.mark.parametrize("cell", [nn.OptimizedLSTMCell, nn.GRUCell])
def test_10_1_what_flax_has_removed(cell):
    """`initialize_carry` of a class, and a cell under `nn.scan` without the size of its state."""
    with pytest.raises(TypeError):
        cell.initialize_carry(jax.random.key(0), (3,), 16)
    with pytest.raises(TypeError, match="features"):
        nn.scan(cell, variable_broadcast="params", split_rngs={"params": False})()


@pytest.mark.parametrize(
    "layer, options", [("LSTM", {}), ("GRU", {"num_layers": 2}), ("BiGRU", {})]
)
def test_10_1_to_10_4_concise(layer, options, data, perplexities):
    rnn = getattr(d2l, layer)(num_hiddens=16, **options)
    model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=2)
    first, last = perplexities(model)
    assert last < 0.8 * first
    if not getattr(rnn, "bidirectional", False):
        text = model.predict("it has", 20, data.vocab, model.trainer.state.params)
        assert len(text) == 26


def test_10_4_a_layer_in_both_directions_is_copied_by_flax(data):
    """Whose outputs are twice as wide as it was told; not so each copy of it."""
    for rnn in (d2l.BiRNNScratch(11, 5), d2l.BiGRU(5)):
        assert rnn.num_hiddens == rnn.clone().num_hiddens == rnn.clone(seed=3).num_hiddens == 10


def test_10_4_backward_outputs_stand_beside_the_forward_ones_of_their_step():
    rnn = d2l.BiLSTM(num_hiddens=5)
    inputs = jax.random.normal(jax.random.key(0), (7, 2, 3))
    variables = rnn.init(jax.random.key(1), inputs)
    outputs, (H, _) = rnn.apply(variables, inputs)  # H (2, batch_size, num_hiddens)
    np.testing.assert_array_equal(outputs[-1, :, :5], H[0])
    np.testing.assert_array_equal(outputs[0, :, 5:], H[1])


def test_10_1_another_recurrent_layer(data, perplexities):
    class LSTM(d2l.RNN):
        num_hiddens: int

        @nn.compact
        def __call__(self, inputs, H_C=None, training=False):
            if H_C is None:
                zeros = d2l.zeros((inputs.shape[1], self.num_hiddens))
                H_C = (zeros, zeros)
            scan = nn.scan(
                nn.OptimizedLSTMCell, variable_broadcast="params", split_rngs={"params": False}
            )
            H_C, outputs = scan(self.num_hiddens)(H_C, inputs)
            return outputs, H_C

    model = d2l.RNNLM(LSTM(num_hiddens=16), vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab, model.trainer.state.params)) == 26
    assert {"rnn.W_xi", "rnn.W_ho", "rnn.b_c", "linear.W_hq"} <= model.get_weights().keys()


def test_10_3_deep_and_with_dropout(data, perplexities):
    class GRU(d2l.RNN):
        num_hiddens: int
        num_layers: int
        dropout: float = 0

        @nn.compact
        def __call__(self, X, state=None, training=False):
            if state is None:
                state = [d2l.zeros((X.shape[1], self.num_hiddens))] * self.num_layers
            scan = nn.scan(nn.GRUCell, variable_broadcast="params", split_rngs={"params": False})
            outputs, new_state = X, []
            for i in range(self.num_layers):
                H, outputs = scan(self.num_hiddens)(state[i], outputs)
                new_state.append(H)
                if i < self.num_layers - 1:
                    outputs = nn.Dropout(self.dropout, deterministic=not training)(outputs)
            return outputs, new_state

    gru = GRU(num_hiddens=16, num_layers=2, dropout=0.5)
    model = d2l.RNNLM(gru, vocab_size=len(data.vocab), lr=4)
    assert len(model.predict("it has", 5, data.vocab)) == 11
    first, last = perplexities(model)
    assert last < 0.8 * first
    np.testing.assert_array_equal(model.logits(data.X[:2]), model.logits(data.X[:2]))


class Scanned(nn.Module):
    """The layer's cell under a plain scan, which JAX differentiates by itself."""

    num_hiddens: int
    activation: str

    @nn.compact
    def __call__(self, inputs, H):
        scan = nn.scan(RNNCell, variable_broadcast="params", split_rngs={"params": False})
        last, outputs = scan(self.num_hiddens, self.activation, name="cell")(H[0], inputs)
        return outputs, last[None]


@pytest.mark.parametrize("activation, num_steps", [("tanh", 1), ("relu", 5), ("tanh", 65)])
def test_gradients_of_the_layer_are_those_of_its_scan(activation, num_steps):
    """Of a loss of the outputs and of the last state, by the parameters, the inputs and the state."""
    keys = jax.random.split(jax.random.key(1), 4)
    inputs = jax.random.normal(keys[0], (num_steps, 3, 6))
    state = jax.random.normal(keys[1], (1, 3, 4))
    by_outputs = jax.random.normal(keys[2], (num_steps, 3, 4))
    by_last = jax.random.normal(keys[3], (1, 3, 4))
    layer, scanned = d2l.RNN(num_hiddens=4, activation=activation), Scanned(4, activation)
    params = layer.init(jax.random.key(0), inputs)["params"]

    def loss(model, params, inputs, state):
        outputs, last = model.apply({"params": params}, inputs, state)
        return (by_outputs * outputs).sum() + (by_last * last).sum()

    ours, theirs = (
        jax.jit(jax.grad(partial(loss, model), (0, 1, 2)))(params, inputs, state)
        for model in (layer, scanned)
    )
    for gradient, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * scale)


def test_a_mean_loss_is_the_mean_of_the_losses(data):
    """Whatever order it is taken in, of logits too large for exp."""
    model = d2l.RNNLM(d2l.RNN(num_hiddens=8), vocab_size=len(data.vocab), lr=1)
    model.params = jax.tree.map(lambda p: 300 * p, model.params)
    trainer = d2l.Trainer(max_epochs=1)
    trainer.prepare_data(data)
    trainer.prepare_model(model)
    *X, Y = next(iter(trainer.train_dataloader))
    mean, _ = model.loss(model.params, X, Y, trainer.state)
    losses, _ = model.loss(model.params, X, Y, trainer.state, averaged=False)
    expected = optax.softmax_cross_entropy_with_integer_labels(model.logits(*X), Y)
    assert losses.shape == (Y.size,)
    np.testing.assert_allclose(losses, expected.reshape(-1), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-5)


def test_a_jitted_loss_as_the_book_types_it(data):
    class Jitted(d2l.RNNLM):
        @partial(jax.jit, static_argnums=(0, 5))
        def loss(self, params, X, Y, state, averaged=True):
            Y_hat = state.apply_fn({"params": params}, *X, mutable=False, rngs=None)
            Y_hat, Y = d2l.reshape(Y_hat, (-1, Y_hat.shape[-1])), d2l.reshape(Y, (-1,))
            losses = optax.softmax_cross_entropy_with_integer_labels(Y_hat, Y)
            return (losses.mean() if averaged else losses), {}

    histories = []
    for base in (Jitted, d2l.RNNLM):
        model = base(d2l.RNN(num_hiddens=9), vocab_size=len(data.vocab), lr=1)
        trainer = d2l.Trainer(max_epochs=2, progress=False)
        trainer.fit(model, data)
        histories.append(trainer.batch_losses)
    np.testing.assert_allclose(*histories, rtol=1e-5)


def test_a_reader_replaces_the_epoch():
    seen = []

    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return [jax.device_put(a, self.device) for a in batch]

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        self.model.training = True
        for batch in self.train_dataloader:
            (loss, _), grads = self.model.training_step(
                self.state.params, self.prepare_batch(batch), self.state
            )
            self.state = self.state.apply_gradients(grads=grads)
            self.state = self.state.replace(dropout_rng=jax.random.split(self.state.dropout_rng)[0])
            self.train_batch_idx += 1
            seen.append(float(loss))
        self.model.training = False
        for batch in self.val_dataloader:
            self.model.validation_step(self.state.params, self.prepare_batch(batch), self.state)
            self.val_batch_idx += 1

    model = d2l.LinearRegression(lr=0.01)
    trainer = d2l.Trainer(max_epochs=3)
    trainer.fit(model, Sine())
    assert len(seen) == 3 * 38
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]
    assert model.params is trainer.state.params


def test_the_key_of_fit_draws_new_parameters(data):
    model = d2l.RNNLMScratch(d2l.RNNScratch(len(data.vocab), 9), vocab_size=len(data.vocab))
    drawn = []
    for key in (jax.random.key(3), jax.random.key(3), jax.random.key(4)):
        trainer = d2l.Trainer(max_epochs=1, progress=False)
        trainer.fit(model, data, key=key)
        drawn.append(trainer.batch_losses)
    assert drawn[0] == drawn[1] != drawn[2]


def test_keys_are_all_different():
    d2l.set_seed(5)
    keys = [jax.random.key_data(d2l.get_key()).tolist() for _ in range(3)]
    assert len({tuple(key) for key in keys}) == 3
    d2l.set_seed(5)
    assert jax.random.key_data(d2l.get_key()).tolist() == keys[0]


def test_seed_none_draws_anew(data):
    weights = [
        d2l.RNNLM(d2l.RNN(9, seed=None), len(data.vocab), seed=None).get_weights() for _ in range(2)
    ]
    for name in ("rnn.W_xh", "rnn.W_hh", "linear.W_hq"):
        assert np.abs(weights[0][name] - weights[1][name]).max() > 0


def test_another_device_is_refused(data):
    model = d2l.RNNLM(d2l.RNN(9), len(data.vocab))
    with pytest.raises(ArgumentError, match="gpu:7"):
        model.predict("it has", 3, data.vocab, d2l.gpu(7))


def test_a_method_replaced_after_a_prediction_is_used(data):
    class Model(d2l.RNNLM):
        pass

    model = Model(d2l.RNN(9), len(data.vocab))
    model.predict("it", 3, data.vocab)

    @d2l.add_to_class(Model)
    def output_layer(self, hiddens):
        return d2l.RNNLM.output_layer(self, hiddens).at[..., 2].add(9.0)

    assert model.predict("it", 3, data.vocab) == "it" + 3 * data.vocab.to_tokens(2)


def traced(model):
    """How often the functions compiled for `model` have been traced."""
    compiled = dict(model.__dict__["_compiled"])
    compiled |= compiled.pop("faster", {})  # those of `fast_readers.py`
    return sum(function._cache_size() for function in compiled.values())


def test_predictions_are_traced_once(data):
    class Readers(d2l.RNNLM):
        def output_layer(self, hiddens):
            return super().output_layer(hiddens)

    model = Readers(d2l.RNN(13, activation="relu"), len(data.vocab))
    for prefix in ("i", "it", "it has"):
        model.predict(prefix, len(prefix), data.vocab)
        model.with_params(jax.tree.map(lambda p: 2 * p, model.params)).predict(
            prefix, 1, data.vocab
        )
    assert traced(model) == 2  # without a state, and with one


def test_a_layer_replaced_after_a_prediction_is_used(data):
    class Layer(nn.Module):
        num_hiddens: int

        def setup(self):
            self.dense = nn.Dense(self.num_hiddens)

        def __call__(self, inputs, state=None):
            return self.dense(inputs), state

    model = d2l.RNNLM(Layer(9), len(data.vocab))
    before = model.logits(data.X[:2])

    @d2l.add_to_class(Layer)
    def __call__(self, inputs, state=None):
        return 2 * self.dense(inputs), state

    assert np.abs(model.logits(data.X[:2]) - before).max() > 1e-3


class Two(nn.Module):
    """A reader's container: a layer over the outputs of another of the same size."""

    num_hiddens: int
    sigma: float = 0.01

    def setup(self):
        self.one = d2l.RNNScratch(self.num_hiddens, self.num_hiddens)
        self.two = d2l.RNNScratch(self.num_hiddens, self.num_hiddens)
        self.rnns = [d2l.RNN(self.num_hiddens), d2l.RNN(self.num_hiddens)]

    def __call__(self, inputs, state=None):
        state = [None] * 4 if state is None else state
        outputs, new = inputs, []
        for layer, H in zip((self.one, self.two, *self.rnns), state, strict=True):
            outputs, H = layer(outputs, H)
            new.append(H)
        return outputs, new


def test_two_layers_do_not_start_as_copies(data):
    size = len(data.vocab)
    weights = d2l.RNNLM(Two(num_hiddens=size), size).get_weights()
    alone = d2l.RNNLMScratch(d2l.RNNScratch(size, size), size).get_weights()
    for names in (("rnn.one.W_xh", "rnn.two.W_xh"), ("rnn.0.W_hh", "rnn.1.W_hh")):
        assert np.abs(weights[names[0]] - weights[names[1]]).max() > 1e-3
    assert np.abs(weights["rnn.one.W_xh"] - alone["rnn.W_xh"]).max() > 1e-3


class NoBias(d2l.RNNLM):
    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, use_bias=False)


class OtherName(d2l.RNNLM):
    def init_params(self):
        self.head = nn.Dense(self.vocab_size)

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.head(hiddens), 0, 1)


class Tied(d2l.RNNLM):
    """The logits are products with the rows of W_xh."""

    def init_params(self):
        pass

    def output_layer(self, hiddens):
        W_xh = self.rnn.variables["params"]["cell"]["W_xh"]
        return d2l.swapaxes(d2l.matmul(hiddens, W_xh.T), 0, 1)


class ScannedLSTM(nn.Module):
    num_hiddens: int

    @nn.compact
    def __call__(self, inputs, state=None):
        zeros = d2l.zeros((inputs.shape[1], self.num_hiddens))
        state = (zeros, zeros) if state is None else state
        scan = nn.scan(nn.LSTMCell, variable_broadcast="params", split_rngs={"params": False})
        state, outputs = scan(self.num_hiddens)(state, inputs)
        return outputs, state


class BothDirections(nn.Module):
    num_hiddens: int

    def setup(self):
        forward, backward = (nn.RNN(nn.SimpleCell(self.num_hiddens)) for _ in range(2))
        self.rnn = nn.Bidirectional(forward, backward, time_major=True)

    def __call__(self, inputs, state=None):
        return self.rnn(inputs), state


RNN_NAMES = {"rnn.W_xh", "rnn.W_hh", "rnn.b_h"}
LSTM_NAMES = {f"rnn.{letter}{gate}" for letter in ("W_x", "W_h", "b_") for gate in "ifoc"}
OUTPUT_NAMES = {"linear.W_hq", "linear.b_q"}


@pytest.mark.parametrize(
    "make, names",
    [
        (lambda v: NoBias(d2l.RNN(9), v, 1), RNN_NAMES | {"linear.W_hq"}),
        (lambda v: OtherName(d2l.RNN(9), v, 1), RNN_NAMES | {"head.kernel", "head.bias"}),
        (lambda v: Tied(d2l.RNN(9), v, 1), RNN_NAMES),
        (lambda v: d2l.RNNLM(ScannedLSTM(9), v, 1), LSTM_NAMES | OUTPUT_NAMES),
        (
            lambda v: d2l.RNNLM(BothDirections(9), v, 1),
            {f"rnn.{d}.{w}" for d in "fb" for w in ("W_xh", "W_hh", "b_h")} | OUTPUT_NAMES,
        ),
    ],
    ids=["no bias", "another name", "tied", "LSTM", "both directions"],
)
def test_another_model_saves_loads_and_resumes(make, names, data, tmp_path):
    def fit(max_epochs, **options):
        model = make(len(data.vocab))
        d2l.Trainer(max_epochs, progress=False).fit(model, data, **options)
        return model.get_weights()

    path = str(tmp_path / "weights")
    whole = fit(3)
    assert set(whole) == names
    fit(2, checkpoint=path)
    resumed = fit(3, resume=path)
    for name, weight in whole.items():
        np.testing.assert_array_equal(resumed[name], weight, err_msg=name)

    model, other = make(len(data.vocab)), make(len(data.vocab))
    model.set_weights(whole)
    model.save(path)
    other.load(path)
    np.testing.assert_array_equal(other.logits(data.X[:2]), model.logits(data.X[:2]))


def test_an_lstm_of_linen_has_the_books_equations(data):
    from d2lrnn import cells

    model = d2l.RNNLM(ScannedLSTM(9), len(data.vocab), 1)
    outputs, _ = cells.Network(model.get_weights()).run(data.X[:3].T)
    found, _ = model.states(data.X[:3])
    np.testing.assert_allclose(found, outputs, rtol=0, atol=1e-6)


class Dropping(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.dropout = nn.Dropout(0.5)

    def output_layer(self, hiddens):
        return super().output_layer(self.dropout(hiddens, deterministic=not self.training))


def test_dropout_follows_from_seed_and_epoch(data, tmp_path):
    def fit(max_epochs, **options):
        model = Dropping(d2l.RNN(9), len(data.vocab), 1)
        d2l.Trainer(max_epochs, progress=False).fit(model, data, **options)
        return model

    path = str(tmp_path / "checkpoint")
    whole = fit(4).get_weights()
    fit(2, checkpoint=path)
    model = fit(4, resume=path)
    for name, weight in model.get_weights().items():
        np.testing.assert_array_equal(weight, whole[name], err_msg=name)
    model.training = True  # as after an interruption; decoding drops nothing out
    before = traced(model)
    texts = {model.predict("it has", 10, data.vocab) for _ in range(3)}
    assert len(texts) == 1
    assert traced(model) == before + 2


def test_the_plain_layer_is_differentiated_by_jax():
    """In any mode: forward, and twice."""
    layer, inputs = d2l.RNN(4), jax.random.normal(jax.random.key(0), (5, 3, 6))
    variables = layer.init(jax.random.key(0), inputs)

    def total(scale):
        outputs, _ = layer.apply(variables, scale * inputs)
        return outputs.sum()

    _, slope = jax.jvp(total, (1.0,), (1.0,))
    assert float(slope) == pytest.approx(float(jax.grad(total)(1.0)), rel=1e-5)
    # A central difference of slopes, in float32.
    curvature = float(jax.grad(total)(1.01) - jax.grad(total)(0.99)) / 0.02
    assert float(jax.hessian(total)(1.0)) == pytest.approx(curvature, rel=1e-2)


def test_momentum_continues_from_a_checkpoint(data, tmp_path):
    class Momentum(d2l.RNNLM):
        def configure_optimizers(self):
            return optax.adam(1e-2)

    def fit(max_epochs, **options):
        model = Momentum(d2l.RNN(9), len(data.vocab))
        trainer = d2l.Trainer(max_epochs, progress=False)
        trainer.fit(model, data, **options)
        return trainer

    path = str(tmp_path / "checkpoint")
    whole = fit(3)
    fit(2, checkpoint=path)
    assert fit(3, resume=path).batch_losses == whole.batch_losses


# Whatever else a reader holds or does --------------------------------------------------------------


def test_a_training_from_a_key_is_continued_from_it(data, tmp_path):
    """The key decides what is dropped, too; the checkpoint has it."""

    def fit(max_epochs, key=None, **files):
        model = Dropping(d2l.RNN(9), len(data.vocab), 1)
        trainer = d2l.Trainer(max_epochs, progress=False)
        trainer.fit(model, data, key, **files)
        if max_epochs == 1:
            trainer.save_checkpoint(path)
        return model.get_weights()

    path = str(tmp_path / "checkpoint")
    whole = fit(3, jax.random.key(5))
    fit(1, jax.random.key(5))
    for key in None, jax.random.PRNGKey(6):
        for name, weight in fit(3, key, resume=path).items():
            np.testing.assert_array_equal(weight, whole[name], err_msg=name)


def test_a_learning_rate_is_set_by_hand_as_optax_tells(data, tmp_path):
    class Slower(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            self.state.opt_state.hyperparams["learning_rate"] = 0.1 / (1 + self.epoch)

    def fit(max_epochs, **files):
        model = d2l.RNNLM(d2l.RNN(9), len(data.vocab), lr=1)
        Slower(max_epochs, progress=False).fit(model, data, **files)
        return model.get_weights()

    path = str(tmp_path / "checkpoint")
    whole = fit(3)
    fit(1, checkpoint=path)
    for name, weight in fit(3, resume=path).items():
        np.testing.assert_array_equal(weight, whole[name], err_msg=name)


def test_arrays_of_several_types_are_plotted_beside_each_other(data):
    values = [jnp.array(3), jnp.array([0.5], jnp.bfloat16), jnp.array(True), jnp.array([[2.5]])]

    class Trainer(d2l.Trainer):
        def fit_epoch(self):
            super().fit_epoch()
            for index, value in enumerate(values):
                self.model.plot(f"v{index}", value, train=True)

    trainer = Trainer(1, progress=False)
    trainer.fit(d2l.RNNLM(d2l.RNN(9), len(data.vocab), lr=1), data)
    assert [trainer.history[0][f"train_v{i}"] for i in range(4)] == [3, 0.5, 1, 2.5]


def test_accuracy_of_classes_in_a_column():
    class Given(d2l.Classifier):
        """Its logits are its inputs."""

        def forward(self, X):
            return X

    model = Given()
    model.params = {}
    logits, classes = d2l.eye(3)[jnp.array([0, 1, 2, 1])], d2l.tensor([0, 1, 1, 1])
    logits += 0.1 * d2l.arange(3)  # or rows and columns in another order had the same loss
    state = TrainState.create(
        apply_fn=model.apply, params={}, tx=optax.sgd(1), batch_stats={}, dropout_rng=d2l.get_key()
    )
    losses = set()
    for labels in classes, classes[:, None]:
        assert model.accuracy({}, (logits,), labels, state) == 0.75
        hits = model.accuracy({}, (logits,), labels, state, averaged=False)
        assert hits.tolist() == [1, 1, 0, 1]
        losses.add(float(model.loss({}, (logits,), labels, state)[0]))
    assert len(losses) == 1


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_a_device_by_its_name(name, data):
    model = d2l.RNNLM(d2l.RNN(9), len(data.vocab))
    assert model.predict("it", 3, data.vocab, device=name) == model.predict("it", 3, data.vocab)
    with pytest.raises(ArgumentError, match="gpu"):
        model.predict("it", 3, data.vocab, device="gpu")


def test_a_state_is_written_and_read_by_flax(data):
    model, other = (d2l.RNNLM(d2l.RNN(9), len(data.vocab), lr=1, seed=seed) for seed in (0, 1))
    trainers = [d2l.Trainer(1, progress=False) for _ in range(2)]
    for trainer, m in zip(trainers, (model, other), strict=True):
        trainer.fit(m, data)
    content = flax.serialization.to_bytes(trainers[0].state)
    trainers[1].state = flax.serialization.from_bytes(trainers[1].state, content)
    for name, weight in other.get_weights().items():
        np.testing.assert_array_equal(weight, model.get_weights()[name], err_msg=name)
    np.testing.assert_array_equal(other.logits(data.X[:2]), model.logits(data.X[:2]))


LESSON = """
import sys, threading
import d2lrnn as d2l
data = d2l.TextFile(sys.argv[1], batch_size=8, num_steps=6, num_train=20, num_val=10)
texts = {}
def lesson(index):
    model = d2l.RNNLM(d2l.RNN(8), len(data.vocab), lr=2)
    trainer = d2l.Trainer(max_epochs=2, gradient_clip_val=1, progress=False)
    trainer.fit(model, data)
    texts[index] = str(trainer.batch_losses) + model.predict("it has", 20, data.vocab)
threads = [threading.Thread(target=lesson, args=(i,)) for i in range(int(sys.argv[2]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
lesson("here")
print(set(texts.values()))
"""


def test_a_lesson_in_a_process_of_its_own_and_in_its_threads(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The tide has been told since it has two hands. " * 5, encoding="utf-8")
    lessons = []
    for threads in 0, 2:
        command = [sys.executable, "-c", LESSON, text, str(threads)]
        lessons.append(subprocess.check_output(command, text=True))
    assert lessons[0] == lessons[1] and lessons[0].count("it has") == 1
