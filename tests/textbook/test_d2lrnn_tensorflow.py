"""Cells of chapters 3, 9 and 10 in TensorFlow, and what Keras 3 makes peculiar."""

import copy
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import d2lrnn as d2l
from d2lrnn import backend
from d2lrnn.errors import ArgumentError, WorkerError


class Sine(d2l.DataModule):
    """Section 9.1: a noisy sine and its last tau values."""

    def __init__(self, batch_size=16, T=1000, num_train=600, tau=4):
        self.save_hyperparameters()
        self.time = d2l.arange(1, T + 1, dtype=d2l.float32)
        self.x = d2l.sin(0.01 * self.time) + d2l.normal([T]) * 0.2

    def get_dataloader(self, train):
        lagged = [self.x[i : self.T - self.tau + i] for i in range(self.tau)]
        self.features = d2l.stack(lagged, 1)
        self.labels = d2l.reshape(self.x[self.tau :], (-1, 1))
        i = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader([self.features, self.labels], train, i)


class RNN(d2l.Module):
    """Section 9.6.1. Keras 3 has no `time_major`: what the book leaves to it is transposed here."""

    def __init__(self, num_hiddens):
        super().__init__()
        self.save_hyperparameters()
        self.rnn = tf.keras.layers.SimpleRNN(num_hiddens, return_sequences=True, return_state=True)

    def forward(self, inputs, H=None):
        outputs, H = self.rnn(d2l.transpose(inputs, (1, 0, 2)), H)
        return d2l.transpose(outputs, (1, 0, 2)), H


class RNNLM(d2l.RNNLMScratch):
    def init_params(self):
        self.linear = tf.keras.layers.Dense(self.vocab_size)

    def output_layer(self, hiddens):
        return d2l.transpose(self.linear(hiddens), (1, 0, 2))


class RNNScratch(d2l.Module):
    """Section 9.5.1."""

    def __init__(self, num_inputs, num_hiddens, sigma=0.01):
        super().__init__()
        self.save_hyperparameters()
        self.W_xh = tf.Variable(d2l.normal((num_inputs, num_hiddens)) * sigma)
        self.W_hh = tf.Variable(d2l.normal((num_hiddens, num_hiddens)) * sigma)
        self.b_h = tf.Variable(d2l.zeros(num_hiddens))

    def forward(self, inputs, state=None):
        if state is None:
            state = d2l.zeros((inputs.shape[1], self.num_hiddens))
        else:
            (state,) = state
            state = d2l.reshape(state, (-1, self.num_hiddens))
        outputs = []
        for X in inputs:
            state = d2l.tanh(d2l.matmul(X, self.W_xh) + d2l.matmul(state, self.W_hh) + self.b_h)
            outputs.append(state)
        return outputs, state


def clip_gradients(self, grad_clip_val, grads):
    norm = tf.math.sqrt(sum(tf.reduce_sum(grad**2) for grad in grads))
    if tf.greater(norm, grad_clip_val):
        return [grad * grad_clip_val / norm for grad in grads]
    return grads


def library_model(data, **settings):
    return d2l.RNNLM(d2l.RNN(7), vocab_size=len(data.vocab), **settings)


def over_vectors(data):
    """The same, but over the one-hot vectors of a reader: Keras's layer runs over vectors only."""

    class OverVectors(d2l.RNNLM):
        def one_hot(self, X):
            return super().one_hot(X)

    return OverVectors(d2l.RNN(num_hiddens=9), vocab_size=len(data.vocab))


class Lines(d2l.DataModule):
    """Section 3.3: points of a line with some noise, drawn from TensorFlow's global stream."""

    def __init__(self, w, b, noise=0.01, num_train=300, num_val=100, batch_size=32):
        super().__init__()
        self.save_hyperparameters()
        n = num_train + num_val
        self.X = tf.random.normal((n, w.shape[0]))
        self.y = d2l.matmul(self.X, d2l.reshape(w, (-1, 1))) + b
        self.y += tf.random.normal((n, 1)) * noise


W, BIAS = d2l.tensor([2, -3.4]), 4.2


def get_tensorloader(self, tensors, train, indices=slice(0, None)):
    """Section 3.3.3."""
    tensors = tuple(a[indices] for a in tensors)
    examples = tf.data.Dataset.from_tensor_slices(tensors)
    return examples.shuffle(tensors[0].shape[0] if train else 1).batch(self.batch_size)


def test_3_1_vectors():
    a, b, c = d2l.ones(50), d2l.ones(50), tf.Variable(d2l.zeros(50))
    for i in range(50):
        c[i].assign(a[i] + b[i])
    assert bool(d2l.reduce_sum(d2l.abs(c - (a + b))) == 0)


def test_3_2_classes_as_the_book_writes_them():
    class Module(d2l.nn_Module, d2l.HyperParameters):
        def __init__(self, plot_train_per_epoch=2, plot_valid_per_epoch=1):
            super().__init__()
            self.save_hyperparameters()
            self.board = d2l.ProgressBoard()
            self.training = None

    assert Module(plot_train_per_epoch=3).plot_train_per_epoch == 3


def test_3_3_a_generator_and_then_a_loader():
    data = Lines(W, BIAS)
    assert (data.X[0].shape, data.y[0].shape) == ((2,), (1,))

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):
        rows = range(self.num_train) if train else range(self.num_train, self.num_train + 100)
        rows = random.sample(rows, len(rows)) if train else list(rows)
        for start in range(0, len(rows), self.batch_size):
            some = tf.constant(rows[start : start + self.batch_size])
            yield tf.gather(self.X, some), tf.gather(self.y, some)

    X, y = next(iter(data.train_dataloader()))
    assert (X.shape, y.shape) == ((32, 2), (32, 1))
    trainer = d2l.Trainer(max_epochs=2)
    trainer.fit(d2l.LinearRegressionScratch(2, lr=0.1), data)
    assert trainer.history[-1]["val_loss"] < 1

    d2l.add_to_class(d2l.DataModule)(get_tensorloader)

    @d2l.add_to_class(Lines)
    def get_dataloader(self, train):  # noqa: F811
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader((self.X, self.y), train, rows)

    for lines in data, d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100):
        X, y = next(iter(lines.train_dataloader()))
        assert (X.shape, y.shape) == ((32, 2), (32, 1))
        assert len(lines.train_dataloader()) == 10


def test_a_text_in_the_loader_of_section_3_3(data, perplexities):
    d2l.add_to_class(d2l.DataModule)(get_tensorloader)
    first, last = perplexities(library_model(data, lr=1), max_epochs=15)
    assert last < 0.8 * first


class Descent(d2l.HyperParameters):
    """Section 3.4.3."""

    def __init__(self, lr):
        self.save_hyperparameters()

    def apply_gradients(self, grads_and_vars):
        for grad, param in grads_and_vars:
            param.assign_sub(self.lr * grad)


class OfTheReaders(d2l.Module):
    """Section 3.4."""

    optimizer = Descent

    def __init__(self, num_inputs, lr):
        super().__init__()
        self.save_hyperparameters()
        w = tf.random.normal((num_inputs, 1), mean=0, stddev=0.01)
        self.w, self.b = tf.Variable(w, trainable=True), tf.Variable(tf.zeros(1), trainable=True)

    def forward(self, X):
        return d2l.matmul(X, self.w) + self.b

    def loss(self, y_hat, y):
        return d2l.reduce_mean((y_hat - y) ** 2 / 2)

    def configure_optimizers(self):
        return self.optimizer(self.lr)


class Halving(d2l.Trainer):
    def fit_epoch(self):
        super().fit_epoch()
        if self.epoch == 0:
            name = "lr" if hasattr(self.optim, "lr") else "learning_rate"
            setattr(self.optim, name, getattr(self.optim, name) / 2)


OPTIMIZERS = {"the reader's": Descent, "the library's": d2l.SGD, "Keras's": tf.keras.optimizers.SGD}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_3_4_from_scratch(name, tmp_path):
    data = d2l.SyntheticRegressionData(W, BIAS, num_train=300, num_val=100)

    def fit(max_epochs, trainer=Halving, **files):
        tf.random.set_seed(1)
        model = OfTheReaders(2, lr=0.1)
        model.optimizer = OPTIMIZERS[name]
        trainer(max_epochs, progress=False).fit(model, data, **files)
        return model

    model = fit(9)
    assert np.abs(data.w - d2l.reshape(model.w, data.w.shape)).max() < 0.05
    assert abs(float((data.b - model.b)[0])) < 0.05
    fit(2, checkpoint=str(tmp_path / "checkpoint"))
    resumed, other = fit(9, resume=str(tmp_path / "checkpoint")), fit(9, d2l.Trainer)
    np.testing.assert_array_equal(resumed.w, model.w)
    assert np.any(
        d2l.numpy(other.w) != d2l.numpy(model.w)
    )  # halving changes something, compiled too


def test_3_4_the_librarys_is_the_same():
    data = d2l.SyntheticRegressionData(W, BIAS)
    models = d2l.LinearRegressionScratch(2, lr=0.03), d2l.LinearRegression(lr=0.03)
    for model in models:
        trainer = d2l.Trainer(max_epochs=3)
        trainer.fit(model, data)
        losses = [row["val_loss"] for row in trainer.history]
        assert losses[-1] < 0.1 * losses[0]
    for w, b in (models[0].w, models[0].b), models[1].get_w_b():
        assert (w.shape, b.shape) == ((2, 1), (1,))


def test_3_4_the_epoch_of_the_book():
    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return batch

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        self.model.training = True
        for batch in self.train_dataloader:
            with tf.GradientTape() as tape:
                loss = self.model.training_step(self.prepare_batch(batch))
            variables = self.model.trainable_variables
            grads = tape.gradient(loss, variables)
            if self.gradient_clip_val > 0:
                grads = self.clip_gradients(self.gradient_clip_val, grads)
            self.optim.apply_gradients(zip(grads, variables, strict=True))
            self.train_batch_idx += 1
        if self.val_dataloader is None:
            return
        self.model.training = False
        for batch in self.val_dataloader:
            self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    for num_val in 100, 0:
        data = d2l.SyntheticRegressionData(W, BIAS, num_train=500, num_val=num_val)
        trainer = d2l.Trainer(max_epochs=3)
        trainer.fit(OfTheReaders(2, lr=0.1), data)
        assert trainer.history[-1]["train_loss"] < 0.1 * trainer.history[0]["train_loss"]


def test_3_5_concise():
    class LinearRegression(d2l.Module):
        def __init__(self, lr):
            super().__init__()
            self.save_hyperparameters()
            initializer = tf.initializers.RandomNormal(stddev=0.01)
            self.net = tf.keras.layers.Dense(1, kernel_initializer=initializer)

        def loss(self, y_hat, y):
            return tf.keras.losses.MeanSquaredError()(y, y_hat)

        def configure_optimizers(self):
            return tf.keras.optimizers.SGD(self.lr)

        def get_w_b(self):
            return self.get_weights()[0], self.get_weights()[1]

    data = d2l.SyntheticRegressionData(W, BIAS)
    model = LinearRegression(lr=0.03)
    d2l.Trainer(max_epochs=3).fit(model, data)
    w, b = model.get_w_b()
    assert np.abs(data.w - d2l.reshape(w, data.w.shape)).max() < 0.05 and abs(data.b - b) < 0.05
    # By name and by number they are the same; a list such as Keras's is taken back.
    np.testing.assert_array_equal(model.get_weights()["net.kernel"], w)
    model.set_weights([w + 1, b])
    np.testing.assert_array_equal(model.get_weights()[0], w + 1)
    assert len(list(model.get_weights())) == 2
    with pytest.raises(KeyError):
        model.get_weights()["net"]


@pytest.mark.parametrize("shape", [(-1,), (1, -1)])
@pytest.mark.parametrize(
    "make", [d2l.LinearRegression, lambda lr: d2l.LinearRegressionScratch(2, lr)]
)
def test_labels_of_another_shape_are_refused(make, shape):
    data = d2l.SyntheticRegressionData(W, BIAS, num_train=8, batch_size=8)
    model = make(lr=0.1)
    with pytest.raises(ArgumentError, match=r"\(8, 1\).*\((1, )?8,?\)"):
        model.loss(model(data.X[:8]), d2l.reshape(data.y[:8], shape))


def test_9_1_autoregression():
    tf.keras.utils.set_random_seed(1)
    data = Sine()
    model = d2l.LinearRegression(lr=0.01)
    trainer = d2l.Trainer(max_epochs=15)
    trainer.fit(model, data)
    assert trainer.history[-1]["val_loss"] < 0.05  # noise alone: 0.02 to 0.03
    one_step = d2l.numpy(model(data.features))
    assert one_step.shape == (996, 1)
    w, b = model.get_w_b()
    assert w.shape == (4, 1) and b.shape == (1,)
    d2l.plot(data.time[4:], [data.labels, one_step], "time", "x", legend=["labels", "1-step preds"])


def test_9_5_from_scratch(data):
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
            self.W_hq = tf.Variable(d2l.normal((self.rnn.num_hiddens, self.vocab_size)) * 0.1)
            self.b_q = tf.Variable(d2l.zeros(self.vocab_size))

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
        return tf.one_hot(tf.transpose(X), self.vocab_size)

    @d2l.add_to_class(RNNLMScratch)
    def output_layer(self, rnn_outputs):
        return d2l.stack([d2l.matmul(H, self.W_hq) + self.b_q for H in rnn_outputs], 1)

    @d2l.add_to_class(RNNLMScratch)
    def forward(self, X, state=None):
        rnn_outputs, _ = self.rnn(self.one_hot(X), state)
        return self.output_layer(rnn_outputs)

    d2l.add_to_class(d2l.Trainer)(clip_gradients)
    with d2l.try_gpu():
        rnn = RNNScratch(num_inputs=len(data.vocab), num_hiddens=32)
        model = RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=1)
    assert len(model.trainable_variables) == 5
    trainer = d2l.Trainer(max_epochs=20, gradient_clip_val=1)
    before = model.get_weights()
    trainer.fit(model, data)
    history = trainer.history
    assert history[-1]["val_ppl"] > 1  # of a validation step that only plots
    assert history[-1]["train_ppl"] < 0.8 * history[0]["train_ppl"]
    assert set(before) == {"rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q"}
    assert all(np.any(before[name] != array) for name, array in model.get_weights().items())

    @d2l.add_to_class(RNNLMScratch)
    def predict(self, prefix, num_preds, vocab, device=None):
        state, outputs = None, [vocab[prefix[0]]]
        for i in range(len(prefix) + num_preds - 1):
            X = d2l.tensor([[outputs[-1]]])
            embs = self.one_hot(X)
            rnn_outputs, state = self.rnn(embs, state)
            if i < len(prefix) - 1:
                outputs.append(vocab[prefix[i + 1]])
            else:
                Y = self.output_layer(rnn_outputs)
                outputs.append(int(d2l.reshape(d2l.argmax(Y, axis=2), 1)))
        return "".join([vocab.idx_to_token[i] for i in outputs])

    if np.lib.NumpyVersion(np.__version__) >= "2.4.0":  # newer than what is pinned
        with pytest.raises(TypeError, match="only 0-dimensional arrays"):
            model.predict("it has", 20, data.vocab)
        return
    text = model.predict("it has", 20, data.vocab)
    library = d2l.RNNLMScratch(d2l.RNNScratch(len(data.vocab), 32), vocab_size=len(data.vocab))
    library.set_weights(model.get_weights())
    assert library.predict("it has", 20, data.vocab) == text


def test_9_5_the_readers_layer_in_the_librarys_model(data, perplexities):
    rnn = RNNScratch(num_inputs=len(data.vocab), num_hiddens=32)
    model = d2l.RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=1)
    with pytest.warns(UserWarning, match="no graph of RNNLMScratch.*[iI]terating over"):
        first, last = perplexities(model, max_epochs=20)
    assert last < 0.8 * first
    with pytest.warns(UserWarning, match="no graph of RNNLMScratch.*[iI]terating over"):
        assert len(model.predict("it has", 20, data.vocab)) == 26


def test_9_6_concise(data, perplexities):
    with d2l.try_gpu():
        rnn = RNN(num_hiddens=32)
        model = RNNLM(rnn, vocab_size=len(data.vocab), lr=1)
    assert model.predict("it has", 20, data.vocab).startswith("it has")
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.trainable_variables) == 5
    assert len(model.predict("it has", 20, data.vocab, d2l.try_gpu())) == 26

    library = d2l.RNNLM(d2l.RNN(32), len(data.vocab))
    library.set_weights(model.get_weights())
    np.testing.assert_allclose(library.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)


# Sections 10.1 to 10.4 ---------------------------------------------------------------------------


def triple(num_inputs, num_hiddens, sigma):
    """The weights of a gate, as the cells of sections 10.1 and 10.2 draw them."""
    W_x = tf.Variable(d2l.normal((num_inputs, num_hiddens)) * sigma)
    W_h = tf.Variable(d2l.normal((num_hiddens, num_hiddens)) * sigma)
    return W_x, W_h, tf.Variable(d2l.zeros(num_hiddens))


def gate(X, H, weights):
    W_x, W_h, b = weights
    return d2l.matmul(X, W_x) + d2l.matmul(H, W_h) + b


class LSTMScratch(d2l.Module):
    """Section 10.1.2."""

    def __init__(self, num_inputs, num_hiddens, sigma=0.5):
        super().__init__()
        self.save_hyperparameters()
        for letter in "ifoc":
            names = (f"W_x{letter}", f"W_h{letter}", f"b_{letter}")
            for name, variable in zip(names, triple(num_inputs, num_hiddens, sigma), strict=True):
                setattr(self, name, variable)

    def forward(self, inputs, H_C=None):
        zeros = d2l.zeros((inputs.shape[1], self.num_hiddens))
        H, C = (zeros, zeros) if H_C is None else H_C
        outputs = []
        for X in inputs:
            I = d2l.sigmoid(gate(X, H, (self.W_xi, self.W_hi, self.b_i)))
            F = d2l.sigmoid(gate(X, H, (self.W_xf, self.W_hf, self.b_f)))
            O = d2l.sigmoid(gate(X, H, (self.W_xo, self.W_ho, self.b_o)))
            C = F * C + I * d2l.tanh(gate(X, H, (self.W_xc, self.W_hc, self.b_c)))
            H = O * d2l.tanh(C)
            outputs.append(H)
        return outputs, (H, C)


class GRUScratch(d2l.Module):
    """Section 10.2.4."""

    def __init__(self, num_inputs, num_hiddens, sigma=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.W_xz, self.W_hz, self.b_z = triple(num_inputs, num_hiddens, sigma)
        self.W_xr, self.W_hr, self.b_r = triple(num_inputs, num_hiddens, sigma)
        self.W_xh, self.W_hh, self.b_h = triple(num_inputs, num_hiddens, sigma)

    def forward(self, inputs, H=None):
        H = d2l.zeros((inputs.shape[1], self.num_hiddens)) if H is None else H
        outputs = []
        for X in inputs:
            Z = d2l.sigmoid(gate(X, H, (self.W_xz, self.W_hz, self.b_z)))
            R = d2l.sigmoid(gate(X, H, (self.W_xr, self.W_hr, self.b_r)))
            H_tilde = d2l.tanh(d2l.matmul(X, self.W_xh) + d2l.matmul(R * H, self.W_hh) + self.b_h)
            H = Z * H + (1 - Z) * H_tilde
            outputs.append(H)
        return outputs, H


class StackedRNNScratch(d2l.Module):
    """Section 10.3.1."""

    def __init__(self, num_inputs, num_hiddens, num_layers, sigma=0.5):
        super().__init__()
        self.save_hyperparameters()
        sizes = [num_inputs] + [num_hiddens] * (num_layers - 1)
        self.rnns = [d2l.RNNScratch(size, num_hiddens, sigma) for size in sizes]

    def forward(self, inputs, Hs=None):
        outputs, Hs = inputs, [None] * self.num_layers if Hs is None else Hs
        for i in range(self.num_layers):
            outputs, Hs[i] = self.rnns[i](outputs, Hs[i])
            outputs = d2l.stack(outputs, 0)
        return outputs, Hs


class BiRNNScratch(d2l.Module):
    """Section 10.4.1."""

    def __init__(self, num_inputs, num_hiddens, sigma=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.f_rnn = d2l.RNNScratch(num_inputs, num_hiddens, sigma)
        self.b_rnn = d2l.RNNScratch(num_inputs, num_hiddens, sigma)
        self.num_hiddens *= 2

    def forward(self, inputs, Hs=None):
        f_H, b_H = Hs if Hs is not None else (None, None)
        f_outputs, f_H = self.f_rnn(inputs, f_H)
        b_outputs, b_H = self.b_rnn(inputs[::-1], b_H)
        pairs = zip(f_outputs, reversed(b_outputs), strict=True)
        return [d2l.concat(pair, -1) for pair in pairs], (f_H, b_H)


FROM_SCRATCH = {
    "10.1": (LSTMScratch, lambda n: d2l.LSTMScratch(n, 7), {}),
    "10.2": (GRUScratch, lambda n: d2l.GRUScratch(n, 7), {}),
    "10.3": (StackedRNNScratch, lambda n: d2l.StackedRNNScratch(n, 7, 2), {"num_layers": 2}),
    "10.4": (BiRNNScratch, lambda n: d2l.BiRNNScratch(n, 7), {}),
}


@pytest.mark.filterwarnings(
    "ignore:TensorFlow can make no graph of RNNLMScratch"
)  # for X in inputs
@pytest.mark.parametrize("section", FROM_SCRATCH)
def test_10_from_scratch(section, data, perplexities):
    tf.keras.utils.set_random_seed(1)
    of_the_reader, of_the_library, options = FROM_SCRATCH[section]
    with d2l.try_gpu():
        rnn = of_the_reader(num_inputs=len(data.vocab), num_hiddens=7, **options)
        model = d2l.RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=1)
    first, last = perplexities(model, max_epochs=20)
    assert last < 0.8 * first
    library = d2l.RNNLMScratch(of_the_library(len(data.vocab)), vocab_size=len(data.vocab))
    library.set_weights(model.get_weights())
    np.testing.assert_allclose(library.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-5)
    if section != "10.4":  # which reads the future
        text = model.predict("it has", 20, data.vocab)
        assert text == library.predict("it has", 20, data.vocab)


def test_10_1_concise(data, perplexities):
    """Keras's layer returns H and C beside the outputs. `time_major`, as the book has it, is gone."""
    with pytest.raises(ValueError, match="time_major"):
        tf.keras.layers.LSTM(3, time_major=True)

    class LSTM(d2l.RNN):
        def __init__(self, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = tf.keras.layers.LSTM(num_hiddens, return_sequences=True, return_state=True)

        def forward(self, inputs, H_C=None):
            outputs, *H_C = self.rnn(d2l.transpose(inputs, (1, 0, 2)), H_C)
            return d2l.transpose(outputs, (1, 0, 2)), H_C

    with d2l.try_gpu():
        model = d2l.RNNLM(LSTM(num_hiddens=16), vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    library = d2l.RNNLM(d2l.LSTM(16), vocab_size=len(data.vocab))
    library.set_weights(model.get_weights())
    text = model.predict("it has", 20, data.vocab)
    assert text == library.predict("it has", 20, data.vocab)


def test_10_1_the_forget_gate_is_open_at_first(data):
    weights = d2l.RNNLM(d2l.LSTM(16), vocab_size=len(data.vocab)).get_weights()
    assert (weights["rnn.b_f"] == 1).all()
    assert not any(weights[f"rnn.b_{gate}"].any() for gate in "ioc")


def test_10_2_another_recurrent_layer(data, perplexities, tmp_path):
    class GRU(d2l.RNN):
        def __init__(self, num_inputs, num_hiddens):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            self.rnn = tf.keras.layers.GRU(num_hiddens, return_sequences=True, return_state=True)

    def gru_model():
        gru = GRU(num_inputs=len(data.vocab), num_hiddens=16)
        return d2l.RNNLM(gru, vocab_size=len(data.vocab), lr=4)

    model = gru_model()
    first, last = perplexities(model)
    assert last < 0.8 * first
    model.save(tmp_path / "gru.safetensors")
    other = gru_model()  # Keras counts its layers on, the names of the weights stay
    other.load(tmp_path / "gru.safetensors")
    assert other.predict("it has", 20, data.vocab) == model.predict("it has", 20, data.vocab)
    # The library's holds the second bias at zero.
    library = d2l.RNNLM(d2l.GRU(16), vocab_size=len(data.vocab))
    assert set(library.get_weights()) != set(model.get_weights())


def test_10_2_the_second_bias_stays_at_zero(data):
    model = d2l.RNNLM(d2l.BiGRU(7, num_layers=2), vocab_size=len(data.vocab), lr=4)
    d2l.Trainer(2, gradient_clip_val=1, progress=False).fit(model, data)
    both = [
        layer for level in model.rnn.rnn for layer in (level.forward_layer, level.backward_layer)
    ]
    biases = [d2l.numpy(layer.cell.bias) for layer in both]
    assert len(biases) == 4
    assert all(first.any() and not second.any() for first, second in biases)


def test_10_3_cells_of_keras_above_each_other(data, perplexities):
    """In one layer of Keras's, as the book has them, again without `time_major`."""
    with pytest.raises(ValueError, match="time_major"):
        tf.keras.layers.RNN([tf.keras.layers.GRUCell(3)], time_major=True)

    class GRU(d2l.RNN):
        def __init__(self, num_hiddens, num_layers, dropout=0):
            d2l.Module.__init__(self)
            self.save_hyperparameters()
            cells = [
                tf.keras.layers.GRUCell(num_hiddens, dropout=dropout) for _ in range(num_layers)
            ]
            self.rnn = tf.keras.layers.RNN(cells, return_sequences=True, return_state=True)

        def forward(self, X, state=None):
            outputs, *state = self.rnn(d2l.transpose(X, (1, 0, 2)), state)
            return d2l.transpose(outputs, (1, 0, 2)), state

    with d2l.try_gpu():
        model = d2l.RNNLM(GRU(num_hiddens=16, num_layers=2), vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(model)
    assert last < 0.8 * first
    assert len(model.predict("it has", 20, data.vocab)) == 26
    library = d2l.RNNLM(d2l.GRU(16, 2, 0.1), vocab_size=len(data.vocab), lr=4)
    first, last = perplexities(library)
    assert last < 0.8 * first


def test_10_4_a_backward_layer_reads_the_same_steps():
    """Its output at a step follows from that step and those after it, not from those before."""
    layer = d2l.BiLSTM(num_hiddens=3, num_inputs=5)
    inputs = np.random.RandomState(0).randn(6, 2, 5).astype(np.float32)
    other = inputs.copy()
    other[2] += 1
    one, two = (d2l.numpy(layer(d2l.tensor(X))[0]) for X in (inputs, other))
    changed = np.abs(one - two).max(axis=1) > 1e-6  # (num_steps, 2 num_hiddens)
    assert (changed[:, :3].any(1) == [False, False, True, True, True, True]).all()
    assert (changed[:, 3:].any(1) == [True, True, True, False, False, False]).all()


def test_a_reader_replaces_the_epoch():
    seen = []

    @d2l.add_to_class(d2l.Trainer)
    def prepare_batch(self, batch):
        return batch

    @d2l.add_to_class(d2l.Trainer)
    def fit_epoch(self):
        self.model.training = True
        for batch in self.train_dataloader:
            with tf.GradientTape() as tape:
                loss = self.model.training_step(self.prepare_batch(batch))
            grads = tape.gradient(loss, self.model.trainable_variables)
            if self.gradient_clip_val > 0:
                grads = self.clip_gradients(self.gradient_clip_val, grads)
            self.optim.apply_gradients(zip(grads, self.model.trainable_variables, strict=True))
            self.train_batch_idx += 1
            seen.append(float(loss))
        self.model.training = False
        for batch in self.val_dataloader:
            self.model.validation_step(self.prepare_batch(batch))
            self.val_batch_idx += 1

    trainer = d2l.Trainer(max_epochs=3, gradient_clip_val=1)
    trainer.fit(d2l.LinearRegression(lr=0.01), Sine())
    assert len(seen) == 3 * 38
    assert trainer.history[-1]["train_loss"] < trainer.history[0]["train_loss"]


# What is compiled ---------------------------------------------------------------------------------


def fit_counting_forward(data, model, max_epochs=3):
    """Train; how often Python ran through `forward`, and the weights."""
    calls = []
    forward = type(model).forward

    class Counting(type(model)):
        def forward(self, *args):
            calls.append(tf.executing_eagerly())
            return forward(self, *args)

    model.__class__ = Counting
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=0.1, progress=False)
    trainer.fit(model, data)
    return calls, model.get_weights()


def test_the_librarys_model_is_traced_once_a_fit(data):
    data.num_train, data.num_val = 60, 20
    calls, _ = fit_counting_forward(data, library_model(data, lr=1))
    assert calls == [False] * 4  # whole and smaller minibatches, of training and validation


def test_a_readers_clipping_with_an_if_is_compiled_as_well(data):
    _, expected = fit_counting_forward(data, library_model(data, lr=1))
    d2l.add_to_class(d2l.Trainer)(clip_gradients)
    calls, weights = fit_counting_forward(data, library_model(data, lr=1))
    assert not any(calls)
    for name, array in expected.items():  # float32, another order of sums
        np.testing.assert_allclose(weights[name], array, atol=1e-5)


def test_a_worker_that_dies_is_named(data):
    class OfTwo(d2l.Trainer):
        def fit_epoch(self):
            raise tf.errors.UnavailableError(
                None, None, "from remote target /job:worker/replica:0/task:1 while calling RecvBuf"
            )

    with pytest.raises(WorkerError, match=r"Worker 1 has died.*fit\(\.\.\., resume=path\)"):
        OfTwo(1, progress=False).fit(library_model(data, lr=1), data)


def test_what_only_works_eagerly_is_run_so(data):
    class Reading(d2l.RNNLM):
        def loss(self, Y_hat, Y):
            loss = super().loss(Y_hat, Y)
            self.losses_seen.append(float(loss))
            return loss

    model = Reading(d2l.RNN(7), vocab_size=len(data.vocab), lr=1)
    model.losses_seen = []
    with pytest.warns(UserWarning, match=r"no graph of Counting.*TypeError: float"):
        calls, weights = fit_counting_forward(data, model, max_epochs=1)
    assert calls.count(True) == len(model.losses_seen) == 8 + 2
    _, expected = fit_counting_forward(data, library_model(data, lr=1), max_epochs=1)
    for name, array in expected.items():
        np.testing.assert_allclose(weights[name], array, atol=1e-5)


def test_a_loss_that_plots_is_run_eagerly(data):
    class Plotting(d2l.RNNLM):
        def loss(self, Y_hat, Y):
            loss = super().loss(Y_hat, Y)
            self.plot("nats", loss, train=self.training)
            return loss

    trainer = d2l.Trainer(max_epochs=2)
    with pytest.warns(UserWarning, match="no graph of Plotting.*plots nothing"):
        trainer.fit(Plotting(d2l.RNN(7), vocab_size=len(data.vocab), lr=1), data)
    row = trainer.history[-1]
    assert row["val_nats"] == pytest.approx(row["val_loss"], rel=0.05)  # weighted otherwise


def test_predictions_share_one_graph_until_a_method_changes(data):
    model = over_vectors(data)
    text = model.predict("it", 5, data.vocab)
    (graph,) = model._graphs.values()
    model.predict("it has the time", 9, data.vocab)
    assert [*model._graphs.values()] == [graph]
    assert graph[1].call.experimental_get_tracing_count() == 2  # with a state and without

    @d2l.add_to_class(type(model))
    def output_layer(self, hiddens):
        return -d2l.swapaxes(self.linear(hiddens), 0, 1)

    assert model.predict("it", 5, data.vocab) != text


def test_long_sequences_are_not_unrolled(data):
    model = over_vectors(data)
    X = np.tile(data.X[:2], 30)  # (2, 180)
    whole = model.logits(X)
    assert not model.rnn.rnn.unroll
    short = model.logits(X[:, :40])
    assert model.rnn.rnn.unroll
    np.testing.assert_allclose(whole[:, :40], short, atol=1e-5)


@pytest.mark.parametrize("layer, options", [(d2l.RNN, {}), (d2l.RNNScratch, {"num_inputs": 28})])
def test_a_layer_with_a_call_of_the_readers_is_given_vectors(layer, options):
    seen = []

    class Readers(layer):
        def call(self, inputs, *state, training=None):
            seen.append(inputs.shape.rank)
            return super().call(inputs, *state)

    base = d2l.RNNLM if layer is d2l.RNN else d2l.RNNLMScratch
    model = base(Readers(num_hiddens=7, **options), vocab_size=28)
    assert model.own_stepper() is None
    model.logits(np.array([[1, 2]]))
    run, X = backend.twin(model) or model.batch_loss, tf.constant([[1, 2]], tf.int64)
    assert seen == [3]
    assert float(run((X, X))) == pytest.approx(float(model.batch_loss((X, X))))
    assert seen == [3, 3, 3]


def test_long_sequences_of_rows_are_not_unrolled(data):
    twin = backend.twin(library_model(data))
    if twin is None:
        pytest.skip("fast.py was deleted")

    def graph(num_steps):
        signature = tf.TensorSpec((2, num_steps), tf.int64)
        return tf.function(lambda *b: twin(b)).get_concrete_function(signature, signature).graph

    assert len(graph(3000).get_operations()) < len(graph(40).get_operations())


def test_large_windows_are_kept_as_one_sequence(data, monkeypatch):
    # In whole, and in blocks of two minibatches.
    monkeypatch.setattr("d2lrnn.data.minibatches.BLOCK", 2 * data.batch_size)
    _, expected = fit_counting_forward(data, library_model(data, lr=1))
    monkeypatch.setattr("d2lrnn_tensorflow.epoch.LARGEST_COPY", 0)
    _, weights = fit_counting_forward(data, library_model(data, lr=1))
    for name, array in expected.items():
        np.testing.assert_array_equal(weights[name], array)


# What Keras 3 makes peculiar ----------------------------------------------------------------------


def test_variables_of_every_kind_are_trained():
    class Net(d2l.Module):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters()
            self.w = tf.Variable([[1.0]])
            self.again = self.w
            self.listed = [tf.Variable(2.0), tf.Variable(3.0)]
            self.frozen = tf.Variable(0.0, trainable=False)
            self.keras = tf.keras.Variable(4.0)
            self.dense = tf.keras.layers.Dense(5)
            self.dense.build((None, 6))

    class Outer(d2l.Module):
        def __init__(self, net):
            super().__init__()
            self.save_hyperparameters()
            self.b = tf.Variable(1.0)

    model = Outer(Net())
    assert len(model.trainable_variables) == 1 + 1 + 2 + 1 + 2
    assert len(model.trainable_weights) == 7 and len(model.weights) == 8
    names = {"b", "net.w", "net.listed.0", "net.listed.1", "net.frozen", "net.keras"}
    assert set(model.get_weights()) == names | {"net.dense.W_hq", "net.dense.b_q"}
    model.set_weights({name: array + 1 for name, array in model.get_weights().items()})
    assert float(model.b) == 2 and float(model.net.listed[1]) == 4


def test_hyperparameters_survive_keras():
    class Net(d2l.Module):
        def __init__(self, sizes, options, lr=1):
            super().__init__(plot_train_per_epoch=5)
            self.save_hyperparameters()

    net = Net([1, 2], {"a": 1})
    expected = {"sizes": [1, 2], "options": {"a": 1}, "lr": 1}
    assert {key: net.hparams[key] for key in expected} == expected
    assert net.plot_train_per_epoch == 5 and net.sizes == [1, 2] and net.lr == 1
    assert net.configure_optimizers().learning_rate == 1


def test_initial_weights_touch_no_global_stream(data):
    def three_draws():
        return random.random(), np.random.rand(), float(tf.random.uniform(()))

    def seed():
        random.seed(1), np.random.seed(1), tf.random.set_seed(1)

    seed()
    expected = three_draws()
    seed()
    model = library_model(data)
    assert three_draws() == expected
    again = library_model(data)
    other = d2l.RNNLM(d2l.RNN(7, seed=1), len(data.vocab), seed=1)
    for name, array in model.get_weights().items():
        np.testing.assert_array_equal(again.get_weights()[name], array)
        assert name.endswith(("b_h", "b_q")) or np.any(other.get_weights()[name] != array)

    def unseeded():
        return d2l.RNNLM(d2l.RNN(7, seed=None), len(data.vocab), seed=None).get_weights()

    seed()
    first = unseeded()
    assert np.any(unseeded()["rnn.W_xh"] != first["rnn.W_xh"])
    seed()
    np.testing.assert_array_equal(unseeded()["rnn.W_xh"], first["rnn.W_xh"])


def test_dropout_is_on_in_training_alone(data):
    class Dropping(d2l.RNNLM):
        def output_layer(self, hiddens):
            return super().output_layer(tf.keras.layers.Dropout(0.999, seed=1)(hiddens))

    model = Dropping(d2l.RNN(7), vocab_size=len(data.vocab), lr=1)
    with pytest.warns(UserWarning, match="no graph of Dropping.*variables|Variables"):
        d2l.Trainer(max_epochs=1, progress=False).fit(model, data)
    assert not model.training
    plain = library_model(data)
    plain.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.logits(data.X[:2]), plain.logits(data.X[:2]))
    model.training = True
    np.testing.assert_array_equal(model.logits(data.X[:2]), plain.logits(data.X[:2]))
    X = d2l.tensor(data.X[:2])
    assert np.any(d2l.numpy(model(X)) != d2l.numpy(plain(X)))


def test_errors_are_not_wrapped_by_keras(data):
    model = d2l.RNNLM(d2l.RNN(7, num_inputs=3), vocab_size=len(data.vocab))
    with pytest.raises(ArgumentError, match=r"^Expected inputs of size num_inputs=3"):
        model.logits(data.X[:2])


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_what_the_optimiser_remembers_is_in_the_checkpoint(data, tmp_path, optimizer):
    class Model(d2l.RNNLM):
        def configure_optimizers(self):
            momentum = {"momentum": 0.9} if optimizer == "SGD" else {}
            return getattr(tf.keras.optimizers, optimizer)(self.lr, **momentum)

    def fit(max_epochs, **files):
        model = Model(d2l.RNN(7), vocab_size=len(data.vocab), lr=0.01)
        d2l.Trainer(max_epochs, progress=False).fit(model, data, **files)
        return model.get_weights()

    path = str(tmp_path / "checkpoint.safetensors")
    expected = fit(4)
    fit(2, checkpoint=path)
    for name, array in fit(4, resume=path).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


OTHER_DEVICE = """
import os, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np, d2lrnn as d2l
from d2lrnn_tensorflow.variables import move
for model in (
    d2l.RNNLM(d2l.RNN(7), vocab_size=5),
    d2l.RNNLMScratch(d2l.RNNScratch(5, 7), vocab_size=5),
):
    before, (X, state) = model.get_weights(), (np.array([[1, 2]]), None)
    logits, _ = model.step(1, None)
    move(model, tf.device("/CPU:1"))
    assert model.device == "CPU:1" and len(model.trainable_variables) == 5
    assert all(model.get_weights()[name] is not a and (model.get_weights()[name] == a).all()
               for name, a in before.items())
    np.testing.assert_array_equal(model.step(1, None)[0], logits)
    model.logits(X)
    try:
        model.step(1, None, device=d2l.cpu())
    except ValueError as error:
        assert "CPU:1" in str(error)
    else:
        raise AssertionError
"""


def test_moving_to_another_device():
    subprocess.run([sys.executable, "-W", "ignore", "-c", OTHER_DEVICE], check=True, timeout=120)


def test_the_import_logs_nothing():
    code = "import d2lrnn as d2l; d2l.zeros(3); d2l.transpose(d2l.tensor([[1, 2]]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Models of a reader's own -------------------------------------------------------------------------


class Both(d2l.Module):
    """A reader's container: one layer of the library's runs over what the other gives."""

    def __init__(self, layers):
        super().__init__()
        self.num_hiddens, self.rnns = 7, layers

    def forward(self, inputs, state=None):
        states = [None, None] if state is None else state
        outputs, one = self.rnns[0](inputs, states[0])
        outputs = d2l.stack(outputs) if isinstance(outputs, list) else outputs
        outputs, two = self.rnns[1](outputs, states[1])
        return d2l.stack(outputs) if isinstance(outputs, list) else outputs, [one, two]


@pytest.mark.parametrize("layer, sigma", [(d2l.RNN, {}), (d2l.RNNScratch, {"sigma": 0.1})])
@pytest.mark.parametrize("sizes_known", [True, False])
def test_layers_of_one_container_are_no_copies(layer, sigma, sizes_known, data):
    if layer is d2l.RNNScratch and not sizes_known:
        pytest.skip("a layer from scratch is told its size")
    sizes = {"num_inputs": 7} if sizes_known else {}

    def model():
        layers = [layer(num_hiddens=7, **sizes, **sigma) for _ in range(2)]
        if sizes_known:
            layers[0] = layer(num_inputs=len(data.vocab), num_hiddens=7, **sigma)
        return d2l.RNNLM(Both(layers), vocab_size=len(data.vocab), lr=1)

    weights, again = model().get_weights(), model().get_weights()
    assert {"rnn.0.W_hh", "rnn.1.W_hh"} < set(weights)
    assert np.any(weights["rnn.0.W_hh"] != weights["rnn.1.W_hh"])
    assert np.any(weights["rnn.0.W_xh"][:7] != weights["rnn.1.W_xh"])
    for name, array in weights.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


class Unbiased(d2l.RNNLM):
    def init_params(self):
        self.rnn.build(self.vocab_size)
        self.linear = tf.keras.layers.Dense(self.vocab_size, use_bias=False)
        self.linear.build((None, None, self.rnn.num_hiddens))


class Renamed(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.linear, self.head = None, self.linear

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.head(hiddens), 0, 1)


class Tied(d2l.RNNLM):
    """The output layer is the input layer's transpose."""

    def init_params(self):
        self.rnn.build(self.vocab_size)
        self.tied = self.rnn.rnn.cell.kernel

    def output_layer(self, hiddens):
        return d2l.swapaxes(tf.matmul(hiddens, self.tied, transpose_b=True), 0, 1)


class OfKeras(RNN):
    """The layer of a reader on another of Keras's."""

    def __init__(self, layer, num_hiddens=7, **options):
        d2l.Module.__init__(self)
        self.num_hiddens = num_hiddens
        self.rnn = layer(num_hiddens, return_sequences=True, return_state=True, **options)

    def forward(self, inputs, state=None):
        outputs, *state = self.rnn(d2l.transpose(inputs, (1, 0, 2)), state)
        return d2l.transpose(outputs, (1, 0, 2)), state


LSTM = {f"rnn.{array}{gate}" for array in ("W_x", "W_h", "b_") for gate in "ifoc"}
RNN_NAMES, OUTPUT = {"rnn.W_xh", "rnn.W_hh", "rnn.b_h"}, {"linear.W_hq", "linear.b_q"}
READERS_MODELS = {
    "without an output bias": (Unbiased, lambda: d2l.RNN(7), RNN_NAMES | {"linear.W_hq"}),
    "output layer renamed": (
        Renamed,
        lambda: d2l.RNN(7),
        RNN_NAMES | {"head.kernel", "head.bias"},
    ),
    "tied": (Tied, lambda: d2l.RNN(7), {"rnn.W_xh", "rnn.W_hh", "rnn.b_h"}),
    "LSTM": (d2l.RNNLM, lambda: OfKeras(tf.keras.layers.LSTM), LSTM | OUTPUT),
    "without a bias": (
        d2l.RNNLM,
        lambda: OfKeras(tf.keras.layers.LSTM, use_bias=False),
        {"rnn.rnn.cell.kernel", "rnn.rnn.cell.recurrent_kernel"} | OUTPUT,
    ),
    "GRU, of two biases": (
        d2l.RNNLM,
        lambda: OfKeras(tf.keras.layers.GRU),
        {f"rnn.rnn.cell.{array}" for array in ("kernel", "recurrent_kernel", "bias")} | OUTPUT,
    ),
}


@pytest.mark.parametrize("kind", READERS_MODELS)
def test_a_readers_model_is_saved_loaded_and_resumed(kind, data, tmp_path):
    base, layer, names = READERS_MODELS[kind]
    tf.keras.utils.set_random_seed(1)

    def model():
        return base(layer(), vocab_size=len(data.vocab), lr=1)

    def fit(model, max_epochs, **files):
        d2l.Trainer(max_epochs, gradient_clip_val=1, progress=False).fit(model, data, **files)
        return model

    def assert_same(found, expected):
        assert set(found) == set(expected) == names
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)

    path, checkpoint = (str(tmp_path / f"{name}.safetensors") for name in ("weights", "checkpoint"))
    whole = model()
    whole.save(path)
    half = model()
    half.load(path)
    assert_same(half.get_weights(), whole.get_weights())
    fit(half, 2, checkpoint=checkpoint)
    assert_same(fit(model(), 4, resume=checkpoint).get_weights(), fit(whole, 4).get_weights())
    assert len(whole.predict("it", 5, data.vocab)) == 7
    _, gradients = whole.gradients(data.X[:2], data.Y[:2])
    assert set(gradients) == names


def layers_of_keras():
    """Recurrent layers of Keras's, and the names of their weights."""
    kl = tf.keras.layers

    def names(gates, *parts):
        return {f"{p}{a}{g}" for p in parts for a in ("W_x", "W_h", "b_") for g in gates}

    cells = [kl.LSTMCell(3), kl.LSTMCell(3)]
    held = kl.GRU(3)
    held.build((None, None, 5))
    held.cell.bias.held = True
    return [
        (kl.SimpleRNN(3), names("h", "")),
        (kl.GRU(3, reset_after=False), names("zrh", "")),
        (held, names("zrn", "")),
        (kl.RNN(cells), names("ifoc", "0.", "1.")),
        (kl.Bidirectional(kl.LSTM(3)), names("ifoc", "f.", "b.")),
        (kl.Bidirectional(kl.LSTM(3), merge_mode="sum"), None),
        (kl.LSTM(3, recurrent_activation="relu"), None),
        (kl.SimpleRNN(3, go_backwards=True), None),
    ]


@pytest.mark.parametrize("index", range(8))
def test_names_of_keras_layers(index):
    layer, names = layers_of_keras()[index]
    layer.build((None, None, 5))

    class Net(d2l.Module):
        def __init__(self):
            super().__init__()
            self.rnn = layer

    weights = Net().get_weights()
    if names is None:
        assert not any(name.startswith(("rnn.W", "rnn.b_", "rnn.f.", "rnn.b.")) for name in weights)
    else:
        assert set(weights) == {f"rnn.{name}" for name in names}
        assert all(array.shape[-1] == 3 for array in weights.values())
        assert all(array.ndim == (1 if "b_" in name else 2) for name, array in weights.items())
    Net().set_weights({name: array + 1 for name, array in weights.items()})
    for name, array in Net().get_weights().items():
        np.testing.assert_array_equal(array, weights[name] + 1, err_msg=name)


def test_a_held_bias_does_not_train(data):
    layer = OfKeras(tf.keras.layers.GRU)
    layer.rnn.build((None, None, len(data.vocab)))
    layer.rnn.cell.bias.held = True
    model = d2l.RNNLM(layer, vocab_size=len(data.vocab), lr=1)
    d2l.Trainer(2, gradient_clip_val=1, progress=False).fit(model, data)
    first, second = d2l.numpy(layer.rnn.cell.bias)
    assert first.all() and not second.any()
    _, gradients = model.gradients(data.X[:2], data.Y[:2])
    assert set(gradients) == set(model.get_weights())


# Dropout ------------------------------------------------------------------------------------------


class Dropping(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.drop = tf.keras.layers.Dropout(0.5)

    def output_layer(self, hiddens):
        return super().output_layer(self.drop(hiddens))


class DroppingByTheStream(d2l.RNNLM):
    def output_layer(self, hiddens):
        hiddens = tf.nn.dropout(hiddens, 0.5, seed=3) if self.training else hiddens
        return super().output_layer(hiddens)


class StepByStep(Dropping):
    def training_step(self, batch):
        return super().training_step(batch)


@pytest.mark.filterwarnings("ignore:TensorFlow can make no graph of DroppingByTheStream")
@pytest.mark.parametrize("kind", [Dropping, DroppingByTheStream, StepByStep])
def test_dropout_follows_from_the_seed_and_the_epoch(kind, data, tmp_path):
    checkpoint = str(tmp_path / "checkpoint.safetensors")

    def fit(max_epochs, seed=0, **files):
        model = kind(d2l.RNN(7), vocab_size=len(data.vocab), lr=1, seed=seed)
        model.set_weights(library_model(data).get_weights())
        d2l.Trainer(max_epochs, gradient_clip_val=1, progress=False).fit(model, data, **files)
        return model.get_weights()

    tf.random.set_seed(5)
    expected_stream = [float(tf.random.uniform(())) for _ in range(2)]
    tf.random.set_seed(5)
    stream = [float(tf.random.uniform(()))]
    whole = fit(4)
    stream.append(float(tf.random.uniform(())))
    assert stream == expected_stream  # the training left no trace in it
    fit(2, checkpoint=checkpoint)
    for name, array in fit(4, resume=checkpoint).items():
        np.testing.assert_array_equal(array, whole[name], err_msg=name)
    assert np.any(fit(4, seed=1)["rnn.W_hh"] != whole["rnn.W_hh"])


def test_a_draw_that_no_epoch_could_seed_is_not_compiled(data):
    model = DroppingByTheStream(d2l.RNN(7), vocab_size=len(data.vocab), lr=1)
    with pytest.warns(UserWarning, match=r"no graph of DroppingByTheStream.*RandomUniform"):
        d2l.Trainer(1, progress=False).fit(model, data)


def test_a_model_with_dropout_predicts_one_text(data):
    model = Dropping(d2l.RNN(7), vocab_size=len(data.vocab), lr=1)
    d2l.Trainer(1, progress=False).fit(model, data)
    texts = {model.predict("it has", 20, data.vocab) for _ in range(3)}
    assert len(texts) == 1
    model.predict("the time", 9, data.vocab)
    ((_, graph),) = model._graphs.values()
    assert graph.call.experimental_get_tracing_count() == 2  # with a state and without


def test_another_layer_may_be_put_inside_afterwards(data):
    model = library_model(data)
    model.rnn.rnn = tf.keras.layers.SimpleRNN(
        7, "relu", return_sequences=True, return_state=True, dropout=0.1
    )
    assert model.logits(data.X[:2]).shape == (2, 6, len(data.vocab))
    batch = tf.constant(data.X[:2], tf.int64), tf.constant(data.Y[:2], tf.int64)
    run = backend.twin(model) or model.batch_loss
    assert float(run(batch)) == pytest.approx(float(model.batch_loss(batch)))


# What else a reader holds or does -----------------------------------------------------------------


def test_a_layer_that_was_replaced_is_no_longer_trained(data):
    model = library_model(data)
    model.rnn.rnn = tf.keras.layers.GRU(7, return_sequences=True, return_state=True)
    model.rnn.build(len(data.vocab))
    model.linear, model.head = None, model.linear
    model.linear = model.head
    assert len(model.trainable_variables) == 5
    model.rnn = d2l.LSTM(7, num_inputs=len(data.vocab))
    assert len(model.trainable_variables) == len(copy.deepcopy(model).trainable_variables) == 5
    assert set(model.get_weights()) == LSTM | OUTPUT
    layer = d2l.RNN(7, num_layers=2, num_inputs=5)
    layer.rnn = [layer.rnn[1], tf.keras.layers.SimpleRNN(7)]
    assert len(layer.trainable_variables) == 3


def test_a_copy_keeps_what_is_held_at_zero():
    layer = d2l.GRU(7, num_layers=2, num_inputs=5)
    for other in copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)):
        assert all(one.cell.bias.held for one in other.rnn)
        assert other.get_weights().keys() == layer.get_weights().keys()


def test_a_file_of_keras_for_another_model_is_refused(tmp_path):
    path = tmp_path / "model.weights.h5"
    d2l.RNNScratch(5, 7).save_weights(path)
    with pytest.raises(ValueError, match=r"W_xh"):
        d2l.GRUScratch(5, 7).load_weights(path)


def test_what_is_changed_by_hand_is_not_left_in_a_graph(data):
    def weights(change=None):
        class Model(d2l.RNNLM):
            def configure_optimizers(self):
                return tf.keras.optimizers.SGD(self.lr, momentum=0.9)

        class Trainer(d2l.Trainer):
            def fit_epoch(self):
                super().fit_epoch()
                if change:
                    change(self)

        model = Model(d2l.RNN(7), vocab_size=len(data.vocab), lr=0.1)
        Trainer(2, gradient_clip_val=1, progress=False).fit(model, data)
        return model.get_weights()["linear.b_q"]

    def momentum(trainer):
        trainer.optim.momentum = 0.1

    def clipping(trainer):
        trainer.gradient_clip_val = 0.01

    def another(trainer):
        trainer.optim = tf.keras.optimizers.Adam(0.01)

    found = [weights(change) for change in (None, momentum, clipping, another)]
    assert all(np.any(one != found[0]) for one in found[1:])


def test_gradients_are_shown_without_dropout(data):
    model = Dropping(d2l.RNN(7), vocab_size=len(data.vocab))
    model.training = True  # as an epoch of the reader's leaves it
    losses = {model.gradients(data.X[:2], data.Y[:2])[0] for _ in range(3)}
    assert len(losses) == 1 and model.training


def test_a_variable_is_plotted_as_it_is_then(data):
    class Model(d2l.RNNLM):
        def training_step(self, batch):
            self.plot("bias", self.linear.bias[0], train=True)
            self.plot("count", self.count, train=True)
            self.count.assign_add(1.0)
            return super().training_step(batch)

    model = Model(d2l.RNN(7), vocab_size=len(data.vocab), lr=1)
    model.count = tf.Variable(0.0, trainable=False)
    trainer = d2l.Trainer(1, progress=False)
    trainer.fit(model, data)
    assert trainer.history[0]["train_count"] == 3.5  # the mean of 0 to 7


LESSON = """
import d2lrnn as d2l, pickle
data = d2l.SyntheticRegressionData(w=d2l.tensor([2, -3.4]), b=4.2)
model = d2l.LinearRegression(lr=0.03)
trainer = d2l.Trainer(max_epochs=2, progress=False)
trainer.fit(pickle.loads(pickle.dumps(model)), data)
print(trainer.history[-1]["val_loss"] < trainer.history[0]["val_loss"])
"""


def test_a_lesson_in_a_subprocess():
    done = subprocess.run(
        [sys.executable, "-c", LESSON], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
