"""The faster twin of a model's `batch_loss`: the same loss, gradients and training as the plain one.

The backend's `fast.py` may be deleted; this file then has nothing to test, and all others pass.
"""

import copy
import importlib.util

import numpy as np
import pytest
from layers import CHAPTER_9, LAYERS
from small_models import (
    BATCH_SIZE,
    NUM_HIDDENS,
    NUM_STEPS,
    base_class,
    fit,
    make_model,
    with_larger_weights,
)

import d2lrnn as d2l
from d2lrnn import backend

if importlib.util.find_spec(f"{backend.active().__name__}.fast") is None:
    pytest.skip("this backend has no fast.py", allow_module_level=True)


def twins(*names):
    """The files of these names that the backend has."""
    files = [f"{backend.active().__name__}.{name}" for name in names]
    return [importlib.import_module(file) for file in files if importlib.util.find_spec(file)]


def twin_of_whole(model):
    """The twin of a language model that is the library's alone."""
    return next(filter(None, (fast.twin(model) for fast in twins("fast", "fast_gated"))), None)


WITH_TWIN = [name for name in LAYERS if twin_of_whole(make_model(name, 2 * NUM_HIDDENS))]
with_a_choice = pytest.mark.parametrize(
    "layers", [name for name in WITH_TWIN if LAYERS[name].activations]
)

# Vocabularies smaller and larger than the layer: rows of W_xh are picked, or vectors multiplied.
VOCAB_SIZES = [NUM_HIDDENS - 3, NUM_HIDDENS + 4]
MANY = 600  # more than a twin may make the logits of all steps of at once
# Float32 sums of the same terms in another order.
ROUNDING = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(params=WITH_TWIN)
def layers(request):
    return request.param


def test_chapter_9_has_twins():
    assert set(CHAPTER_9) <= set(WITH_TWIN)


class Tokens(d2l.DataModule):
    """Random tokens, of which some come several times in a minibatch, so that their gradients add up."""

    def __init__(self, vocab_size, num_train, num_val=4, num_steps=NUM_STEPS):
        super().__init__()
        self.batch_size, self.num_train = BATCH_SIZE, num_train
        random = np.random.RandomState(3)
        shape = (num_train + num_val, num_steps)
        self.X, self.Y = random.randint(vocab_size, size=(2, *shape)).astype(np.int32)

    def get_dataloader(self, train):
        rows = slice(self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader([self.X, self.Y], train, rows)


def trained(layers, vocab_size, data, monkeypatch, plain, max_epochs=1, **options):
    """The trainer of a model, and its weights before and after."""
    with monkeypatch.context() as patch:
        if plain:
            patch.setattr(backend, "twin", lambda model: None)
            patch.setattr(backend, "faster", lambda model, function: function)
        model = make_model(layers, vocab_size, lr=1, **options)
        if max_epochs == 1:  # over many steps, roundings grow with them
            model = with_larger_weights(model)
        before = model.get_weights()
        trainer = fit(model, data, max_epochs, gradient_clip_val=1)
        return trainer, before, model.get_weights()


@with_a_choice
@pytest.mark.parametrize(
    "vocab_size, activation", [*zip(VOCAB_SIZES, ("relu", "tanh"), strict=True)]
)
def test_loss_and_gradients(layers, vocab_size, activation, monkeypatch):
    data = Tokens(vocab_size, BATCH_SIZE)
    (trainer, before, after), (plain, _, expected) = (
        trained(layers, vocab_size, data, monkeypatch, plain, activation=activation)
        for plain in (False, True)
    )
    np.testing.assert_allclose(trainer.batch_losses, plain.batch_losses, **ROUNDING)
    for name in expected:  # the step of lr 1 is the (clipped) gradient
        step, plain_step = after[name] - before[name], expected[name] - before[name]
        assert np.abs(plain_step).max() > 1e-4, name
        np.testing.assert_allclose(step, plain_step, **ROUNDING, err_msg=name)
    # Validation, without gradients.
    for row, plain_row in zip(trainer.history, plain.history, strict=True):
        assert row["val_loss"] == pytest.approx(plain_row["val_loss"], abs=1e-6)


def test_many_classes(layers, monkeypatch):
    data = Tokens(MANY, 3)
    (trainer, before, after), (plain, _, expected) = (
        trained(layers, MANY, data, monkeypatch, plain) for plain in (False, True)
    )
    # A loss of 6, whose last digit is 5e-7.
    np.testing.assert_allclose(trainer.batch_losses, plain.batch_losses, rtol=5e-7)
    for name in expected:
        assert np.abs(expected[name] - before[name]).max() > 1e-4, name
        np.testing.assert_allclose(after[name], expected[name], **ROUNDING, err_msg=name)
    assert trainer.history[0]["val_loss"] == pytest.approx(plain.history[0]["val_loss"], rel=5e-7)


@pytest.mark.parametrize(  # layers with a choice of activation had both sizes above
    "layers, vocab_size",
    [
        (name, size)
        for name in WITH_TWIN
        for size in VOCAB_SIZES
        if size == VOCAB_SIZES[0] or not LAYERS[name].activations
    ],
)
def test_twenty_steps_of_training(layers, vocab_size, monkeypatch):
    data = Tokens(vocab_size, 5 * BATCH_SIZE - 1)  # of five minibatches the last is smaller
    (trainer, _, after), (plain, _, expected) = (
        trained(layers, vocab_size, data, monkeypatch, plain, max_epochs=4)
        for plain in (False, True)
    )
    losses, plain_losses = ([row["train_loss"] for row in t.history] for t in (trainer, plain))
    np.testing.assert_allclose(losses, plain_losses, rtol=0, atol=1e-5)
    for name in expected:  # roundings of twenty steps
        np.testing.assert_allclose(after[name], expected[name], rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("vocab_size", [VOCAB_SIZES[0], MANY])
def test_a_token_that_is_too_improbable_for_float32(layers, vocab_size, monkeypatch):
    """From large weights the first loss is in the hundreds, and a clipped training goes on from there."""
    random, data = np.random.RandomState(0), Tokens(vocab_size, 2 * BATCH_SIZE)
    losses = []
    for plain in False, True:
        with monkeypatch.context() as patch:
            if plain:
                patch.setattr(backend, "twin", lambda model: None)
            model = make_model(layers, vocab_size, lr=0.1)
            model.optimizer_name = "adam"
            if not plain:
                large = {n: random.randn(*w.shape) * 300 for n, w in model.get_weights().items()}
            model.set_weights(large)
            with pytest.warns(UserWarning, match="The training diverged"):
                losses.append(fit(model, data, 3, gradient_clip_val=1).batch_losses)
    assert losses[1][0] > 100
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_long_sequences(layers, monkeypatch):
    data = Tokens(VOCAB_SIZES[1], BATCH_SIZE, num_steps=70)
    (trainer, _, _), (plain, _, _) = (
        trained(layers, VOCAB_SIZES[1], data, monkeypatch, plain) for plain in (False, True)
    )
    np.testing.assert_allclose(trainer.batch_losses, plain.batch_losses, **ROUNDING)


def test_a_whole_model_has_a_twin_and_only_that(layers):
    model = make_model(layers, VOCAB_SIZES[1])
    assert twin_of_whole(model) is not None

    class Louder(base_class(layers)):
        def output_layer(self, hiddens):
            return 2 * super().output_layer(hiddens)

    class Readers(type(model.rnn)):
        def forward(self, inputs, *state):
            return super().forward(inputs, *state)

    assert twin_of_whole(make_model(layers, VOCAB_SIZES[1], base=Louder)) is None
    layer = Readers(num_inputs=VOCAB_SIZES[1], num_hiddens=NUM_HIDDENS)
    assert twin_of_whole(base_class(layers)(layer, VOCAB_SIZES[1])) is None


def test_how_a_model_is_trained_may_be_the_readers(layers):
    """A reader's class that replaces none of what is computed has the twin, and decodes in NumPy."""

    class Readers(base_class(layers)):
        def configure_optimizers(self):
            return super().configure_optimizers()

        def training_step(self, *batch):
            return super().training_step(*batch)

        def of_the_readers_own(self):
            return 0

    model = make_model(layers, VOCAB_SIZES[1], base=Readers)
    assert twin_of_whole(model) is not None
    assert model.own_stepper() is not None


def test_a_hook_that_is_no_plain_function_is_seen(layers):
    class Readers(base_class(layers)):
        loss = staticmethod(lambda *args: 0)

    assert twin_of_whole(make_model(layers, VOCAB_SIZES[1], base=Readers)) is None


def without_vectors(monkeypatch):
    """Let the library make no one-hot vectors."""

    def one_hot(self, X):
        raise AssertionError("one-hot vectors of a large vocabulary")

    one_hot.__module__ = d2l.RNNLMScratch.one_hot.__module__  # as if the library had written it
    monkeypatch.setattr(d2l.RNNLMScratch, "one_hot", one_hot)


def test_no_vectors_are_made_of_a_large_vocabulary(layers, monkeypatch):
    model = make_model(layers, VOCAB_SIZES[1])
    model.get_weights()  # drawn, if not yet, by a run over one token
    without_vectors(monkeypatch)
    fit(model, Tokens(VOCAB_SIZES[1], 7))


# A reader's language models ---------------------------------------------------------------------------


def layer_twice(self, X, state=None):
    """The logits after two runs of the layer, of which the second begins where the first ends."""
    first, state = self.rnn(self.one_hot(X))
    second, _ = self.rnn(self.one_hot(X), state)
    return self.output_layer(second) + self.output_layer(first)


def vectors_read_first(self, X):
    vectors = self.one_hot(X)
    return self.output_layer(self.rnn(vectors)[0]) * (d2l.reduce_mean(vectors) * self.vocab_size)


READERS = {
    "as the library's": {"forward": lambda self, X: d2l.RNNLMScratch.forward(self, X)},
    "step": {"training_step": lambda self, *args: d2l.RNNLMScratch.training_step(self, *args)},
    "loss": {"loss": lambda self, *args: d2l.RNNLMScratch.loss(self, *args)},
    "vectors that were read": {"forward": vectors_read_first},
    "twice the vectors": {
        "forward": lambda self, X: self.output_layer(self.rnn(2 * self.one_hot(X))[0])
    },
    "vectors of other tokens": {
        "forward": lambda self, X: self.output_layer(
            (self.one_hot(0 * X), self.rnn(self.one_hot(X))[0])[1]
        )
    },
    "from a state": {"forward": layer_twice},
    "its own vectors": {"one_hot": lambda self, X: d2l.RNNLMScratch.one_hot(self, X) / 2},
    "another output layer": {
        "output_layer": lambda self, H: 2 * type(self).__mro__[1].output_layer(self, H)
    },
}


@pytest.mark.parametrize("vocab_size", VOCAB_SIZES)
@pytest.mark.parametrize("replaced", READERS)
@pytest.mark.parametrize("layers", CHAPTER_9)
def test_a_readers_model_is_trained_as_the_reader_wrote_it(
    layers, replaced, vocab_size, monkeypatch
):
    base = type("Readers", (base_class(layers),), {**READERS[replaced], "__module__": __name__})
    model = make_model(layers, vocab_size, base=base)
    assert (twin_of_whole(model) is None) == (replaced != "step")  # which computes nothing else
    if twins("fast_readers") and layers == "RNN":
        assert backend.faster(model, model.batch_loss) != model.batch_loss
    data = Tokens(vocab_size, BATCH_SIZE)
    (trainer, before, after), (plain, _, expected) = (
        trained(layers, vocab_size, data, monkeypatch, plain, base=base) for plain in (False, True)
    )
    np.testing.assert_allclose(trainer.batch_losses, plain.batch_losses, **ROUNDING)
    for name in expected:
        assert np.abs(expected[name] - before[name]).max() > 1e-4, name
        np.testing.assert_allclose(after[name], expected[name], **ROUNDING, err_msg=name)


@pytest.mark.skipif(not twins("fast_readers"), reason="fast_readers.py was deleted")
@pytest.mark.skipif(backend.name() == "jax", reason="JAX traces vectors and leaves them out later")
# On MXNet the layer from scratch multiplies vectors in a reader's hands.
@pytest.mark.parametrize(
    "layers", [x for x in CHAPTER_9 if (x, backend.name()) != ("RNNScratch", "mxnet")]
)
def test_no_vectors_are_made_for_a_readers_step(layers, monkeypatch):
    class Readers(base_class(layers)):
        def training_step(self, *args):
            return super().training_step(*args)

    model = make_model(layers, VOCAB_SIZES[1], base=Readers)
    model.get_weights()
    without_vectors(monkeypatch)
    fit(model, Tokens(VOCAB_SIZES[1], 7))


@pytest.mark.skipif(backend.name() != "tensorflow", reason="only TensorFlow's loss refuses labels")
def test_labels_that_are_no_class_of_the_reader_are_an_error():
    class Fewer(d2l.RNNLM):
        def forward(self, X):
            return super().forward(X)[..., :3]

    with pytest.raises(Exception, match="outside the valid range"):
        fit(make_model("RNN", VOCAB_SIZES[1], base=Fewer), Tokens(VOCAB_SIZES[1], BATCH_SIZE))


def test_a_readers_loss_or_layer_is_called():
    called = []

    class Loss(d2l.RNNLM):
        def loss(self, *args, **options):
            called.append("loss")
            return super().loss(*args, **options)

    class Layer(d2l.RNN):
        def forward(self, *args):
            called.append("layer")
            return super().forward(*args)

    fit(make_model("RNN", VOCAB_SIZES[1], base=Loss), Tokens(VOCAB_SIZES[1], BATCH_SIZE))
    assert set(called) == {"loss"}
    layer = Layer(num_inputs=VOCAB_SIZES[1], num_hiddens=NUM_HIDDENS)
    fit(d2l.RNNLM(layer, VOCAB_SIZES[1]), Tokens(VOCAB_SIZES[1], BATCH_SIZE))
    assert set(called) == {"loss", "layer"}


def test_what_a_reader_does_in_a_step_sees_the_model_as_it_is():
    """A copy of it, and text that NumPy decodes."""
    vocab, seen = d2l.Vocab(list("abcdefghijklmnop")), []

    class Readers(d2l.RNNLM):
        def training_step(self, *args):
            if type(self).watched:
                type(self).watched = False
                other = copy.deepcopy(self)
                seen.append(vars(other).keys() & {"one_hot", "forward", "loss"})
                seen.append(vars(other.rnn).keys() & {"forward"})
                assert other.not_copied is type(self).not_copied
                assert self.own_stepper() is not None
                seen.append(self.predict("ab", 3, vocab) == other.predict("ab", 3, vocab))
            return super().training_step(*args)

    Readers.watched = False
    model = make_model("RNN", len(vocab), base=Readers)
    fit(model, Tokens(len(vocab), BATCH_SIZE))
    Readers.watched = True
    fit(model, Tokens(len(vocab), BATCH_SIZE))
    assert seen == [set(), set(), True]
    assert "not_copied" not in vars(model)


# Translators (sections 10.7 and 11.4) -----------------------------------------------------------------


class Sentences(d2l.DataModule):
    """Random sentences of many lengths, the longest of each minibatch another; padding is 0."""

    def __init__(self):
        super().__init__()
        self.batch_size = BATCH_SIZE
        random, (n, num_steps) = np.random.RandomState(4), (3 * BATCH_SIZE, NUM_STEPS + 2)
        self.src, self.tgt, self.labels = random.randint(1, 8, (3, n, num_steps)).astype(np.int32)
        self.valid_lens = (np.arange(n) % (num_steps - 2) + 1).astype(np.int32)
        self.src[np.arange(num_steps) >= self.valid_lens[:, None]] = 0
        self.labels[np.arange(num_steps) >= random.randint(1, num_steps, n)[:, None]] = 0
        self.labels[0, 0] = 0  # as of a reader's, padding before a label that counts

    def get_dataloader(self, train):
        arrays = [self.src, self.tgt, self.valid_lens, self.labels]
        return self.get_tensorloader(arrays, train)


def translator(decoder, cell, kind=d2l.Seq2Seq):
    sizes = {"embed_size": 5, "num_hiddens": 6, "num_layers": 2, "cell": cell}
    return kind(
        d2l.Seq2SeqEncoder(8, **sizes), getattr(d2l, decoder)(8, **sizes), tgt_pad=0, lr=0.01
    )


def sized(model):
    model.infer_sizes()
    return model


@pytest.mark.parametrize(
    ("decoder", "cells"),
    [("Seq2SeqDecoder", ["gru"]), ("Seq2SeqAttentionDecoder", ["lstm", "gru"])],
)
def test_a_translator_is_trained_as_the_plain_one(decoder, cells, monkeypatch):
    models = [sized(translator(decoder, cell)) for cell in cells]
    model = next(filter(backend.twin, models), None)
    if model is None:
        pytest.skip("this backend has no twin of this model")
    plain = sized(translator(decoder, model.encoder.cell))
    start = model.get_weights()
    plain.set_weights(start)
    trainers = [fit(model, Sentences(), 2, gradient_clip_val=1)]
    monkeypatch.setattr(backend, "twin", lambda model: None)
    trainers.append(fit(plain, Sentences(), 2, gradient_clip_val=1))
    losses = [[t.batch_losses, t.history[-1]["val_loss"]] for t in trainers]
    np.testing.assert_allclose(np.hstack(losses[0]), np.hstack(losses[1]), rtol=0, atol=1e-5)
    for name, weight in plain.get_weights().items():
        if not name.rpartition(".")[2].startswith("b_"):
            assert np.abs(weight - start[name]).max() > 1e-3, name
        # Adam makes steps of one size out of the smallest gradients, and of their roundings.
        assert np.median(np.abs(model.get_weights()[name] - weight)) < 1e-5, name


def test_a_readers_translator_has_no_twin():
    class Louder(d2l.Seq2Seq):
        def num_tokens(self, labels):
            return 2 * super().num_tokens(labels)

    assert backend.twin(sized(translator("Seq2SeqAttentionDecoder", "gru", Louder))) is None
