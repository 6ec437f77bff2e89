"""The models of chapters 9 and 10: shapes, states, subclasses, wrong sizes."""

import itertools

import numpy as np
import pytest
from layers import CHAPTER_9, LAYERS
from small_models import (
    BATCH_SIZE,
    NUM_HIDDENS,
    NUM_STEPS,
    base_class,
    fit,
    lowest_W_x,
    make_model,
    with_larger_weights,
)

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError
from d2lrnn.models import MODELS

V = 11

all_layers = pytest.mark.parametrize("layers", LAYERS)
with_a_choice = pytest.mark.parametrize(
    "layers", [name for name, row in LAYERS.items() if row.activations]
)
continuing = pytest.mark.parametrize(
    "layers", [name for name, row in LAYERS.items() if not row.network.two_way]
)
reading_the_future = pytest.mark.parametrize(
    "layers", [name for name, row in LAYERS.items() if row.network.two_way]
)


@pytest.fixture(params=CHAPTER_9)
def layers(request):
    """One in each of the two classes of models, to which the tests without a list of their own look."""
    return request.param


def tokens(batch_size=BATCH_SIZE, num_steps=NUM_STEPS, seed=0):
    return np.random.RandomState(seed).randint(V, size=(batch_size, num_steps)).astype(np.int32)


def test_every_model_that_runs_know_is_in_the_table_of_layers():
    known = {(row.layer, row.whole) for row in MODELS.values() if not row.translates}
    assert known <= {(row.layer, row.model) for row in LAYERS.values()}


@all_layers
def test_shapes(layers):
    model, row = make_model(layers, V), LAYERS[layers]
    outputs, state = model.states(tokens())
    width = NUM_HIDDENS * (1 + row.network.two_way)
    assert outputs.shape == (NUM_STEPS, BATCH_SIZE, width)
    states = state if row.network.kind == "lstm" else (state,)
    shape = row.state_shape(BATCH_SIZE, NUM_HIDDENS)
    assert [part.shape for part in states] == [shape] * len(states)
    assert model.logits(tokens()).shape == (BATCH_SIZE, NUM_STEPS, V)


@continuing
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


@reading_the_future
def test_a_network_in_both_directions_is_not_continued(layers, data):
    """What it makes of a token depends on those after it, which are not there yet."""
    model = make_model(layers, len(data.vocab))
    with pytest.raises(ArgumentError, match=f"{LAYERS[layers].layer}.*both directions"):
        model.predict("it has", 3, data.vocab)
    with pytest.raises(ArgumentError, match="both directions"):
        model.step(0, None)


def test_a_layer_of_the_readers_in_both_directions_is_found(data):
    class Readers(d2l.BiGRU):
        bidirectional = False  # as of a layer that says nothing

        def forward(self, inputs, *state):
            return super().forward(inputs, *state)

    class Forward(d2l.GRU):
        def forward(self, inputs, *state):
            return super().forward(inputs, *state)

    sizes = {"num_inputs": len(data.vocab), "num_hiddens": NUM_HIDDENS}
    model = d2l.RNNLM(Readers(**sizes), vocab_size=len(data.vocab), lr=1)
    with pytest.raises(ArgumentError, match="Readers reads its inputs in both directions"):
        model.predict("it has", 3, data.vocab)
    model = d2l.RNNLM(Forward(**sizes), vocab_size=len(data.vocab), lr=1)
    assert len(model.predict("it has", 3, data.vocab)) == 9


@with_a_choice
@pytest.mark.parametrize("activation, low", [("tanh", -1), ("relu", 0)])
def test_activation(layers, activation, low):
    outputs, _ = make_model(layers, V, activation=activation).states(tokens())
    assert outputs.min() >= low
    assert (outputs < 0).any() == (activation == "tanh")


@all_layers
def test_canonical_weights(layers):
    weights = make_model(layers, V).get_weights()
    expected = LAYERS[layers].network.shapes(V, NUM_HIDDENS)
    assert {name: w.shape for name, w in weights.items()} == expected
    assert all(w.dtype == np.float32 for w in weights.values())


@all_layers
def test_every_weight_trains_and_only_those(layers, data):
    """Of three layers too: in the book's deep GRU on JAX, two of three get no gradient."""
    model = with_larger_weights(make_model(layers, len(data.vocab)))
    before = model.get_weights()
    fit(model, data, max_epochs=1)
    after = model.get_weights()
    assert set(before) == set(after) == set(LAYERS[layers].network.shapes(V, NUM_HIDDENS))
    for name in before:
        assert np.abs(after[name] - before[name]).max() > 0, name


def test_scratch_weights_are_numpys():
    from d2lrnn.weights import draw

    weights = make_model("RNNScratch", V).get_weights()
    np.testing.assert_array_equal(weights["rnn.W_xh"], draw("W_xh", (V, NUM_HIDDENS), 0.5, 0))
    np.testing.assert_array_equal(weights["linear.W_hq"], draw("W_hq", (NUM_HIDDENS, V), 0.5, 0))


@all_layers
def test_the_seed_decides_the_initial_weights(layers):
    same, again, other = (make_model(layers, V, seed=seed).get_weights() for seed in (3, 3, 4))
    matrices = [name for name in same if "W_" in name]
    for name in matrices:
        np.testing.assert_array_equal(same[name], again[name])
        assert np.abs(same[name] - other[name]).max() > 0, name
    arrays = [same[name] for name in matrices]
    copies = [a.shape == b.shape and (a == b).all() for a, b in itertools.combinations(arrays, 2)]
    assert not any(copies)


@pytest.mark.parametrize("layer, gate", [("RNN", "h"), ("LSTM", "i"), ("GRU", "n")])
def test_num_inputs_may_be_left_out(layer, gate, data):
    rnn = getattr(d2l, layer)(num_hiddens=NUM_HIDDENS)
    model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=0.5)
    assert len(model.predict("the", 4, data.vocab)) == 7
    assert model.get_weights()[f"rnn.W_x{gate}"].shape == (len(data.vocab), NUM_HIDDENS)


@pytest.mark.parametrize("layer", ["LSTM", "BiGRU"])
def test_every_layer_goes_into_the_model_of_section_9_5(layer, data):
    rnn = getattr(d2l, layer)(num_inputs=len(data.vocab), num_hiddens=NUM_HIDDENS)
    by_hand = d2l.RNNLMScratch(rnn, vocab_size=len(data.vocab), lr=1)
    assert 0 < by_hand.get_weights()["linear.W_hq"].std() < 0.02
    fit(by_hand, data)
    rnn = getattr(d2l, layer)(num_inputs=len(data.vocab), num_hiddens=NUM_HIDDENS)
    model = d2l.RNNLM(rnn, vocab_size=len(data.vocab))
    model.set_weights(by_hand.get_weights())
    np.testing.assert_allclose(by_hand.logits(data.X[:3]), model.logits(data.X[:3]), atol=1e-6)


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
    before = lowest_W_x(model.get_weights())
    fit(model, data, max_epochs=1)
    np.testing.assert_array_equal(lowest_W_x(model.get_weights()), before)
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
        ({"num_hiddens": 3, "num_layers": 0}, "num_layers=0"),
        ({"num_hiddens": 3, "dropout": 1}, "dropout=1"),
    ],
)
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU", "BiGRU", "BiLSTM"])
def test_wrong_arguments_of_the_layer(layer, arguments, named):
    with pytest.raises(ArgumentError, match=named):
        getattr(d2l, layer)(**arguments)


@pytest.mark.parametrize("layer", ["RNN", "RNNScratch"])
def test_an_unknown_activation(layer):
    with pytest.raises(ArgumentError, match="activation='sin'"):
        getattr(d2l, layer)(num_inputs=2, num_hiddens=3, activation="sin")


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
