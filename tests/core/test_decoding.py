"""Decoding in NumPy: the step made of weights, and the text it continues."""

import numpy as np
import pytest

from d2lrnn import cells, decoding
from d2lrnn.data import Vocab
from d2lrnn.errors import ArgumentError

VOCAB = Vocab("the clock")
NUM_HIDDENS = 5
KINDS = list(cells.GATES)


def make_weights(kind="rnn", num_layers=1, two_way=False, seed=0):
    """Weights of a language model in float32."""
    random = np.random.RandomState(seed)
    weights, width = {}, NUM_HIDDENS * (1 + two_way)
    for index in range(num_layers):
        for direction in ("f.", "b.") if two_way else ("",):
            path = "rnn." + (f"{index}." if num_layers > 1 else "") + direction
            num_inputs = width if index else len(VOCAB)
            for gate in cells.GATES[kind]:
                weights[f"{path}W_x{gate}"] = random.randn(num_inputs, NUM_HIDDENS)
                weights[f"{path}W_h{gate}"] = random.randn(NUM_HIDDENS, NUM_HIDDENS)
                weights[f"{path}b_{gate}"] = random.randn(NUM_HIDDENS)
    weights["linear.W_hq"] = random.randn(width, len(VOCAB))
    weights["linear.b_q"] = random.randn(len(VOCAB))
    return {name: w.astype(np.float32) for name, w in weights.items()}


def logits_of(weights, tokens, activation="tanh"):
    """The logits (num_steps, vocab_size) of a text, by running the whole network over it."""
    network = cells.Network(weights, activation=activation)
    outputs, _ = network.run(np.array(tokens)[:, None])  # (num_steps, batch_size 1, num_hiddens)
    return outputs[:, 0] @ weights["linear.W_hq"] + weights["linear.b_q"]


# The step -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_step_by_step_gives_what_the_network_gives(kind, num_layers, activation):
    weights = make_weights(kind, num_layers)
    step, state = decoding.stepper(weights, activation), None
    tokens = VOCAB[list("the clock")]
    expected = logits_of(weights, tokens, activation)
    for token, of_token in zip(tokens, expected, strict=True):
        logits, state = step(token, state)
        assert logits.dtype == np.float32
        # Sums of the same float32 terms, of order ten, in another order.
        np.testing.assert_allclose(logits, of_token, rtol=1e-4, atol=1e-4)


def test_activation_changes_the_step():
    weights = make_weights()
    tanh, relu = (decoding.stepper(weights, a)(1, None)[0] for a in ("tanh", "relu"))
    assert np.abs(tanh - relu).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_can_be_gone_on_from_twice(kind):
    """Beams do: a step changes neither the state that it is given nor the weights."""
    weights = make_weights(kind, num_layers=2)
    before = {name: w.copy() for name, w in weights.items()}
    step = decoding.stepper(weights)
    _, state = step(1, None)
    first, _ = step(2, state)
    kept = first.copy()
    first[:] = 0  # as `continuation` changes what it is given
    step(3, state)
    again, _ = step(2, state)
    np.testing.assert_array_equal(again, kept)
    for name, w in before.items():
        np.testing.assert_array_equal(weights[name], w, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_in_both_directions_is_refused(kind):
    with pytest.raises(KeyError, match="both directions"):
        decoding.stepper(make_weights(kind, two_way=True))


@pytest.mark.parametrize(
    "others",
    [
        ["rnn.W_xq"],
        ["rnn.b_z"],
        ["rnn.W_hz"],
        ["rnn.1.W_xh"],
        ["rnn.norm.weight"],
        ["linear.W_qq"],
        ["dropout.rate"],
        ["rnn.W_xz", "rnn.W_hz", "rnn.b_z"],
        ["rnn.f.W_xh", "rnn.f.W_hh", "rnn.f.b_h"],
        ["rnn.0.W_xh", "rnn.0.W_hh", "rnn.0.b_h"],
    ],
    ids=" ".join,
)
def test_a_weight_in_no_equation_is_refused(others):
    """To leave it out would compute something else than the model that has it."""
    weights = make_weights()
    weights |= {name: np.zeros((NUM_HIDDENS, NUM_HIDDENS), np.float32) for name in others}
    with pytest.raises(KeyError):
        decoding.stepper(weights)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_weight_that_is_missing_is_refused(kind, num_layers):
    weights = make_weights(kind, num_layers)
    for name in weights:
        with pytest.raises(KeyError):
            decoding.stepper({n: w for n, w in weights.items() if n != name})


def test_a_network_of_different_layers():
    """Names tell each layer's equations by themselves."""
    weights = make_weights("gru_after", 2)
    lstm = make_weights("lstm", 2, seed=1)
    weights = {n: w for n, w in weights.items() if not n.startswith("rnn.1.")}
    weights |= {n: w for n, w in lstm.items() if n.startswith("rnn.1.")}
    step, state = decoding.stepper(weights), None
    H, H_1, C_1 = np.zeros((3, NUM_HIDDENS), np.float32)
    layers = [cells.layer(weights, path) for path in ("rnn.0.", "rnn.1.")]
    for token in VOCAB[list("clock")]:
        logits, state = step(token, state)
        H = cells.gru_after(layers[0].drive(np.array(token)), H, layers[0].W_h)
        H_1, C_1 = cells.lstm(layers[1].drive(H), (H_1, C_1), layers[1].W_h)
    expected = H_1 @ weights["linear.W_hq"] + weights["linear.b_q"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


# Continuation -------------------------------------------------------------------------------------


def continued(weights, prefix, num_preds, **options):
    return decoding.continuation(decoding.stepper(weights), prefix, num_preds, VOCAB, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_is_running_the_whole_text_for_each_token(kind):
    weights = make_weights(kind, num_layers=2)
    text = list("the clock")
    for _ in range(12):
        logits = logits_of(weights, VOCAB[text])[-1]
        logits[VOCAB.unk] = -np.inf
        text.append(VOCAB.to_tokens(int(logits.argmax())))
    assert continued(weights, "the clock", 12) == "".join(text)
    assert continued(weights, list("the clock"), 12, temperature=0) == "".join(text)


def test_nothing_to_add_runs_nothing():
    def step(token, state):
        raise AssertionError("a step")

    for prefix in "the", "Die Würde? 42", "":
        assert decoding.continuation(step, prefix, 0, VOCAB) == prefix


def test_each_token_costs_one_step_and_the_last_one_none():
    states = []

    def step(token, state):
        states.append(state)
        return np.eye(len(VOCAB))[3], (state or 0) + 1

    text = decoding.continuation(step, "the", 4, VOCAB)
    assert text == "the" + 4 * VOCAB.to_tokens(3)
    assert states == [None, 1, 2, 3, 4, 5]


def constant(logits):
    return lambda token, state: (np.array(logits, np.float32), state)


def test_unknown_is_never_predicted():
    logits = np.zeros(len(VOCAB))
    logits[VOCAB.unk] = 1000
    for options in ({}, {"temperature": 1.0, "seed": 0}, {"temperature": 1000.0, "seed": 1}):
        text = decoding.continuation(constant(logits), "t", 50, VOCAB, **options)
        assert "<unk>" not in text
    # What is typed is given back as it was typed, though the vocabulary does not know it.
    assert decoding.continuation(constant(logits), "t?", 1, VOCAB).startswith("t?")


def test_a_readers_own_vocabulary():
    """The book's class of section 9.2 has no `split` and no `joiner`."""

    class Own:
        def __init__(self):
            self.unk = 0

        def __len__(self):
            return len(VOCAB)

        def __getitem__(self, tokens):
            return [self[t] for t in tokens] if isinstance(tokens, list) else VOCAB[tokens]

        def to_tokens(self, indices):
            return [VOCAB.idx_to_token[index] for index in indices]

    logits = np.eye(len(VOCAB))[3]
    text = decoding.continuation(constant(logits), "the", 2, Own())
    assert text == "the" + 2 * VOCAB.to_tokens(3)


def test_samples_are_drawn_from_the_softmax():
    logits, temperature, n = np.log(np.arange(1.0, len(VOCAB) + 1)), 0.5, 4000
    text = decoding.continuation(constant(logits), ["t"], n, VOCAB, temperature=temperature, seed=0)
    expected = np.exp(logits / temperature)
    expected[VOCAB.unk] = 0
    expected /= expected.sum()
    for token, p in zip(VOCAB.idx_to_token, expected, strict=True):
        found = text[1:].count(token) / n
        assert found == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / n)), token  # four sigma


def test_the_seed_decides_the_samples():
    weights = make_weights()
    texts = [continued(weights, "the", 30, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0] == continued(weights, "the", 30, temperature=1.0, seed=0)
    assert texts[0] != continued(weights, "the", 30)


def test_a_low_temperature_takes_the_likeliest():
    weights = make_weights()
    cold = continued(weights, "the", 20, temperature=1e-6, seed=3)
    assert cold == continued(weights, "the", 20)
    assert cold != continued(weights, "the", 20, temperature=5.0, seed=3)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("options", [{}, {"seed": 0}])
def test_broken_weights_predict_nothing(broken, options):
    logits = np.zeros(len(VOCAB))
    logits[2] = broken
    with pytest.raises(ArgumentError, match="not finite"):
        decoding.continuation(constant(logits), "the", 1, VOCAB, **options)


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"prefix": ""}, "prefix=''"),
        ({"prefix": []}, r"prefix=\[\]"),
        ({"num_preds": -1}, "num_preds=-1"),
        ({"num_preds": 1.5}, "num_preds=1.5"),
        ({"num_preds": True}, "num_preds=True"),
        ({"temperature": -1}, "temperature=-1"),
        ({"temperature": np.nan}, "temperature=nan"),
        ({"temperature": np.inf}, "temperature=inf"),
        ({"temperature": 0, "seed": 1}, "seed=1"),
    ],
)
def test_wrong_arguments(arguments, named):
    arguments = {"prefix": "the", "num_preds": 4, "vocab": VOCAB, **arguments}
    with pytest.raises(ArgumentError, match=named):
        decoding.continuation(constant(np.zeros(len(VOCAB))), **arguments)
