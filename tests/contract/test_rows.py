"""Tokens in place of one-hot vectors: the same numbers, without the vectors of a large vocabulary."""

import numpy as np
import pytest
from small_models import BATCH_SIZE, NUM_HIDDENS, NUM_STEPS, base_class, fit, make_model

import d2lrnn as d2l

LARGE = NUM_HIDDENS + 4  # a vocabulary of which every backend picks rows
# Float32 sums of the same terms in another order.
ROUNDING = {"rtol": 0, "atol": 1e-6}


def tokens(seed, vocab_size=LARGE):
    random = np.random.RandomState(seed)
    # Some tokens come several times, so their gradients add up.
    return random.randint(vocab_size, size=(BATCH_SIZE, NUM_STEPS)).astype(np.int32)


def over_vectors(layers):
    """The same model, of which the reader has replaced `one_hot` by what it was."""

    class OverVectors(base_class(layers)):
        def one_hot(self, X):
            return super().one_hot(X)

    return OverVectors


@pytest.fixture
def pair(layers, request):
    """Two models of the same weights, one over tokens and one over vectors."""
    models = [make_model(layers, LARGE, base=base) for base in (None, over_vectors(layers))]
    models[1].set_weights(models[0].get_weights())
    assert [model.picks_rows() for model in models] == [True, False]
    return models


@pytest.mark.parametrize("with_state", [False, True])
def test_rows_are_what_vectors_pick(pair, with_state):
    X = tokens(0)
    state = np.random.RandomState(1).randn(1, BATCH_SIZE, NUM_HIDDENS).astype(np.float32)
    state = state if with_state else None
    (outputs, last), (expected, expected_last) = (m.recurrence(X, state) for m in pair)
    np.testing.assert_allclose(outputs, expected, **ROUNDING)
    np.testing.assert_allclose(last, expected_last, **ROUNDING)
    logits, expected = (m.logits(X, state) for m in pair)
    np.testing.assert_allclose(logits, expected, **ROUNDING)


def test_gradients_of_tokens_that_come_twice_add_up(pair):
    X, Y = tokens(0), tokens(1)
    assert len(np.unique(X)) < X.size
    (loss, gradients), (expected_loss, expected) = (m.gradients(X, Y) for m in pair)
    assert loss == pytest.approx(expected_loss, abs=1e-6)
    assert gradients.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(gradients[name], expected[name], **ROUNDING, err_msg=name)


@pytest.mark.parametrize("clip", [0, 0.01])
def test_training_is_the_same(layers, data, clip):
    """Clipped too: the norm must be that of the gradient, not of a list of rows."""
    models = [make_model(layers, len(data.vocab), base=b) for b in (None, over_vectors(layers))]
    assert [model.picks_rows() for model in models] == [True, False]
    models[1].set_weights(models[0].get_weights())
    losses = [fit(m, data, gradient_clip_val=clip).batch_losses for m in models]
    np.testing.assert_allclose(losses[0], losses[1], **ROUNDING)
    weights, expected = (m.get_weights() for m in models)
    for name in expected:
        np.testing.assert_allclose(weights[name], expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_no_vectors_are_made_of_a_large_vocabulary(layers, data, monkeypatch):
    def one_hot(self, X):
        raise AssertionError("one-hot vectors of a large vocabulary")

    model = make_model(layers, len(data.vocab))
    model.get_weights()  # the sizes of some layers follow from the first vectors
    one_hot.library_step = True
    monkeypatch.setattr(base_class("scratch"), "one_hot", one_hot)
    fit(model, data)
    model.predict("it", 2, data.vocab)
    model.logits(tokens(0))


def test_what_the_reader_has_replaced_is_given_vectors(layers):
    layer = d2l.RNNScratch if layers == "scratch" else d2l.RNN
    seen = []

    class Readers(layer):
        def forward(self, inputs, *state):
            seen.append(len(inputs.shape))
            return super().forward(inputs, *state)

    model = base_class(layers)(Readers(num_inputs=LARGE, num_hiddens=NUM_HIDDENS), LARGE)
    assert not model.picks_rows()
    model.logits(tokens(0))
    assert set(seen) == {3}
