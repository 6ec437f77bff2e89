"""The models of sections 9.5 and 9.6: shapes, states, subclasses, wrong sizes."""

import numpy as np
import pytest
from layers import LAYERS
from small_models import BATCH_SIZE, NUM_HIDDENS, NUM_STEPS, base_class, fit, make_model

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError
from d2lrnn.models import MODELS

CANONICAL = {"rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q"}
V = 11


def tokens(batch_size=BATCH_SIZE, num_steps=NUM_STEPS, seed=0):
    return np.random.RandomState(seed).randint(V, size=(batch_size, num_steps)).astype(np.int32)


def test_every_model_that_runs_know_is_in_the_table_of_layers():
    known = {(row.layer, row.language_model) for row in MODELS.values()}
    assert known <= {(row.layer, row.model) for row in LAYERS.values()}


def test_shapes(layers):
    model = make_model(layers, V)
    outputs, state = model.states(tokens())
    assert outputs.shape == (NUM_STEPS, BATCH_SIZE, NUM_HIDDENS)
    assert state.shape == (1, BATCH_SIZE, NUM_HIDDENS)
    assert model.logits(tokens()).shape == (BATCH_SIZE, NUM_STEPS, V)


@pytest.mark.parametrize("batch_size", [1, 2, BATCH_SIZE])
def test_the_returned_state_can_be_passed_back(layers, batch_size):
    model = make_model(layers, V)
    X = tokens(batch_size)
    whole, last = model.states(X)
    _, state = model.states(X[:, :2])
    rest, last_in_parts = model.states(X[:, 2:], state)
    # The same operations on the same numbers in minibatches of other shapes: roundings only.
    np.testing.assert_allclose(rest, whole[2:], atol=1e-6)
    np.testing.assert_allclose(last_in_parts, last, atol=1e-6)


@pytest.mark.parametrize("activation, low", [("tanh", -1), ("relu", 0)])
def test_activation(layers, activation, low):
    outputs, _ = make_model(layers, V, activation=activation).states(tokens())
    assert outputs.min() >= low
    assert (outputs < 0).any() == (activation == "tanh")


def test_canonical_weights(layers):
    weights = make_model(layers, V).get_weights()
    assert set(weights) == CANONICAL
    assert weights["rnn.W_xh"].shape == (V, NUM_HIDDENS)
    assert weights["linear.W_hq"].shape == (NUM_HIDDENS, V)
    assert all(w.dtype == np.float32 for w in weights.values())


def test_every_weight_trains_and_only_those(layers, data):
    model = make_model(layers, len(data.vocab))
    before = model.get_weights()
    fit(model, data, max_epochs=1)
    after = model.get_weights()
    assert set(before) == set(after) == CANONICAL
    for name in CANONICAL:
        assert np.abs(after[name] - before[name]).max() > 0, name


def test_scratch_weights_are_numpys():
    from d2lrnn.weights import draw

    weights = make_model("RNNScratch", V).get_weights()
    np.testing.assert_array_equal(weights["rnn.W_xh"], draw("W_xh", (V, NUM_HIDDENS), 0.5, 0))
    np.testing.assert_array_equal(weights["linear.W_hq"], draw("W_hq", (NUM_HIDDENS, V), 0.5, 0))


def test_the_seed_decides_the_initial_weights(layers):
    same, again, other = (make_model(layers, V, seed=seed).get_weights() for seed in (3, 3, 4))
    np.testing.assert_array_equal(same["rnn.W_xh"], again["rnn.W_xh"])
    assert np.abs(same["rnn.W_xh"] - other["rnn.W_xh"]).max() > 0


def test_num_inputs_may_be_left_out(data):
    rnn = d2l.RNN(num_hiddens=NUM_HIDDENS)
    model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=0.5)
    assert len(model.predict("the", 4, data.vocab)) == 7
    assert model.get_weights()["rnn.W_xh"].shape == (len(data.vocab), NUM_HIDDENS)


def test_a_subclass_may_replace_output_layer(layers, data):
    class Certain(base_class(layers)):
        """Always sure of the token of index 2."""

        def output_layer(self, hiddens):
            logits = super().output_layer(hiddens)
            return 0 * logits + d2l.tensor([0.0, 0.0, 9.0] + [0.0] * (len(data.vocab) - 3))

    model = make_model(layers, len(data.vocab), base=Certain)
    assert model.predict("t", 3, data.vocab) == "t" + 3 * data.vocab.to_tokens(2)


def test_a_subclass_may_replace_one_hot(layers, data):
    class Deaf(base_class(layers)):
        def one_hot(self, X):
            return 0 * super().one_hot(X)

    model = make_model(layers, len(data.vocab), base=Deaf)
    before = model.get_weights()["rnn.W_xh"]
    fit(model, data, max_epochs=1)
    np.testing.assert_array_equal(model.get_weights()["rnn.W_xh"], before)
    logits = model.logits(data.X[:2])
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-6)


def test_a_subclass_may_replace_forward(layers, data):
    class Flat(base_class(layers)):
        """All tokens equally likely: the loss is log(vocab_size) whatever the weights."""

        def forward(self, X, state=None):
            return 0 * super().forward(X, state)

    trainer = fit(make_model(layers, len(data.vocab), base=Flat), data, max_epochs=1)
    assert trainer.history[0]["train_loss"] == pytest.approx(np.log(len(data.vocab)), rel=1e-6)
    assert trainer.history[0]["val_ppl"] == pytest.approx(len(data.vocab), rel=1e-5)


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"num_hiddens": 0}, "num_hiddens=0"),
        ({"num_hiddens": 3, "num_inputs": -1}, "num_inputs=-1"),
        ({"num_hiddens": 3, "activation": "sin"}, "activation='sin'"),
    ],
)
def test_wrong_arguments_of_the_layer(arguments, named):
    with pytest.raises(ArgumentError, match=named):
        d2l.RNN(**arguments)


@pytest.mark.parametrize(
    "arguments, named", [({"vocab_size": 0}, "vocab_size=0"), ({"lr": -1}, "lr=-1")]
)
def test_wrong_arguments_of_the_model(layers, arguments, named):
    with pytest.raises(ArgumentError, match=named):
        rnn = make_model(layers, V).rnn
        base_class(layers)(rnn, **{"vocab_size": V, "lr": 1, **arguments})


def test_inputs_of_another_size_than_the_vocabulary(data):
    rnn = d2l.RNN(num_inputs=len(data.vocab) + 1, num_hiddens=NUM_HIDDENS)
    with pytest.raises(ArgumentError, match="num_inputs"):
        d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=1).logits(data.X[:2])
