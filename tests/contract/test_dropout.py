"""Dropout between the layers of a deep network: what it changes, and what it must not (section 10.3)."""

import numpy as np
import pytest
from small_models import (
    BATCH_SIZE,
    NUM_HIDDENS,
    NUM_STEPS,
    NUM_TRAIN,
    assert_same_weights,
    fit,
    with_larger_weights,
)

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError

DEEP = ("RNN", "LSTM", "GRU", "BiGRU", "BiLSTM")
STILL = 1e-12  # a learning rate that moves no weight

all_deep = pytest.mark.parametrize("layer", DEEP)
some_deep = pytest.mark.parametrize(
    "layer", ["GRU", "BiLSTM"]
)  # a state, and pairs in both directions


class OneSplit(d2l.TextFile):
    """Validation is on what is trained on: at weights that stay, the losses differ by what is dropped."""

    def get_dataloader(self, train):
        return self.get_tensorloader([self.X, self.Y], train, slice(NUM_TRAIN))


@pytest.fixture
def data(text_file):
    return OneSplit(text_file, BATCH_SIZE, NUM_STEPS, num_train=NUM_TRAIN, num_val=0)


def validated(model, data):
    return d2l.Trainer(max_epochs=1, progress=False).validate(model, data)["val_loss"]


def deep(layer, data, dropout, lr=0.5, seed=0):
    """A language model on two layers."""
    sizes = {"num_inputs": len(data.vocab), "num_hiddens": NUM_HIDDENS, "num_layers": 2}
    rnn = getattr(d2l, layer)(**sizes, dropout=dropout, seed=seed)
    model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=lr, seed=seed)
    return with_larger_weights(model)


@pytest.mark.parametrize("layer", ["RNN", "LSTM", "BiGRU"])  # the other two below
def test_it_changes_the_training(layer, data):
    (row,) = fit(deep(layer, data, 0.5, lr=STILL), data, max_epochs=1).history
    assert abs(row["train_loss"] - row["val_loss"]) > 1e-5


def test_every_epoch_and_every_seed_drop_others(data):
    def losses(dropout, seed=0):
        model = deep("GRU", data, dropout, lr=STILL)
        model.seed = seed  # of what is drawn in training; the weights are drawn
        history = fit(model, data, max_epochs=2).history
        return [row["train_loss"] for row in history] + [history[0]["val_loss"]]

    one, other, without = losses(0.5)
    assert abs(one - other) > 1e-5
    assert abs(one - losses(0.5, seed=1)[0]) > 1e-5
    # Without it, all differ by the rounding of sums in another order.
    assert losses(0) == pytest.approx([without] * 3, abs=1e-6)


@some_deep
def test_it_is_off_in_validation_and_in_what_shows_a_model(layer, data):
    with_it, without = (deep(layer, data, dropout, lr=STILL) for dropout in (0.5, 0))
    (row,) = fit(with_it, data, max_epochs=1).history
    without.set_weights(with_it.get_weights())
    expected = validated(without, data)
    assert row["train_loss"] != pytest.approx(expected, abs=1e-5)
    assert row["val_loss"] == pytest.approx(expected, abs=1e-6)
    for show in (lambda m: m.logits(data.X[:3]), lambda m: m.states(data.X[:3])[0]):
        np.testing.assert_allclose(show(with_it), show(without), atol=1e-6)


def test_it_is_off_in_decoding(data):
    model = deep("LSTM", data, 0.9, lr=5)
    fit(model, data)
    texts = {model.predict("it has", 20, data.vocab) for _ in range(3)}
    other = deep("LSTM", data, 0)
    other.set_weights(model.get_weights())
    assert texts == {other.predict("it has", 20, data.vocab)}


def test_a_training_with_dropout_is_the_same_twice_and_continues_bit_for_bit(data, tmp_path):
    """The first half of it is another training."""
    whole, half, rest = (deep("GRU", data, 0.5) for _ in range(3))
    fit(whole, data, max_epochs=4)
    checkpoint = str(tmp_path / "checkpoint.safetensors")
    d2l.Trainer(2, progress=False).fit(half, data, checkpoint=checkpoint)
    d2l.Trainer(4, progress=False).fit(rest, data, resume=checkpoint)
    assert_same_weights(rest.get_weights(), whole.get_weights())


@all_deep
def test_in_one_layer_it_would_change_nothing(layer):
    with pytest.raises(ArgumentError, match=r"dropout=0.5.*num_layers"):
        getattr(d2l, layer)(num_inputs=3, num_hiddens=4, num_layers=1, dropout=0.5)


def test_it_drops_under_the_model_of_section_9_5_too(data):
    def model(dropout):
        sizes = {"num_inputs": len(data.vocab), "num_hiddens": NUM_HIDDENS, "num_layers": 2}
        rnn = d2l.GRU(**sizes, dropout=dropout)
        return with_larger_weights(d2l.RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=STILL))

    (row,) = fit(model(0.5), data, max_epochs=1).history
    expected = validated(model(0), data)
    assert row["train_loss"] != pytest.approx(expected, abs=1e-5)
    assert row["val_loss"] == pytest.approx(expected, abs=1e-6)
