"""The active backend against the oracle: the same weights and minibatches give the same numbers.

The suite names no framework; it runs once in the environment of each, chosen by `D2LRNN_BACKEND`.
Everything goes in and comes out as NumPy arrays. The backend computes in float32, whose rounding
`eps` is 6e-8 relative for each operation; the tolerances below allow for it and for little else.
"""

import functools

import make_golden
import numpy as np
import oracle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from layers import CHAPTER_9, LAYERS, PAIRS, Network

import d2lrnn as d2l

# Hidden states and logits are of order one and a few dozen roundings from the weights: 1e-6. A
# second bias, another activation or a transposed matrix would be off by 1e-2 and more.
VALUES = {"rtol": 0, "atol": 1e-5}
# A mean over tokens: the roundings of its terms average out, those of its log and sum remain.
LOSS = 1e-6
# Of the largest entry: entries that are sums of cancelling terms have no relative accuracy.
GRADIENTS = 1e-4
# Weights of order one after one step of lr 0.5: half the error of the gradient, far below 1e-5.
WEIGHTS = 1e-5
# Each of 20 steps starts from the rounding of those before it.
LOSSES = 1e-4
SMALLEST_GRADIENT = 1e-3
# In layers above each other a gradient is a product of many small factors, and as accurate as those.
SMALLEST_IN_CHAPTER_10 = 1e-5
# As for the losses: ten times what one step may be off, after twenty.
TRAINED_WEIGHTS = 1e-4

GOLDEN = sorted(path.stem for path in make_golden.FOLDER.glob("*.npz"))
GOLDEN_NETWORK = Network("rnn")  # the golden files are of section 9.4
PATHS = ("compiled", "step by step")

golden_files = pytest.mark.parametrize("name", GOLDEN)
golden_layers = pytest.mark.parametrize(
    "layers", [name for name in CHAPTER_9 if LAYERS[name].network == GOLDEN_NETWORK]
)
chapter_10 = pytest.mark.parametrize("layers", [name for name in LAYERS if name not in CHAPTER_9])
golden_pairs = pytest.mark.parametrize(
    "pair", [pair for pair in PAIRS if LAYERS[pair[0]].network == GOLDEN_NETWORK], ids=" and ".join
)
all_paths = pytest.mark.parametrize("path", PATHS)
# Each size is compiled anew, so the examples are few; the same ones every time, so that a failure
# can be repeated and nothing fails by chance.
few_sizes = settings(deadline=None, max_examples=10, derandomize=True)
fewer_sizes = settings(deadline=None, max_examples=2, derandomize=True)
size = st.integers(1, 6)


@functools.cache
def golden_case(name):
    return make_golden.read(make_golden.FOLDER / f"{name}.npz")


class Windows(d2l.DataModule):
    """Training minibatches in the order in which they are given; no validation."""

    def __init__(self, X, Y, batch_size):
        super().__init__()
        self.X, self.Y = X, Y  # (num_windows, num_steps)
        self.batch_size = batch_size

    def get_dataloader(self, train):
        if train:
            return self.get_tensorloader([self.X, self.Y], train=False, indices=slice(0, None))
        return None


def language_model(layers, weights, activation="tanh", lr=1.0, path="compiled", calls=None):
    """A model of the backend with these weights; "step by step" it counts its `calls`."""
    row = LAYERS[layers]
    base = row.model_class
    if path == "step by step":

        class StepByStep(base):
            def training_step(self, *args, **kwargs):
                if calls is not None:
                    calls.append(1)
                return super().training_step(*args, **kwargs)

        base = StepByStep
    vocab_size = len(weights["linear.b_q"])
    num_hiddens = len(next(w for name, w in weights.items() if ".b_" in name))
    options = {"activation": activation} if row.activations else {}
    model = row.make(vocab_size, num_hiddens, lr, base, **options)
    model.set_weights(weights)
    return model


def fit(model, X, Y, batch_size, bound):
    """Train for one epoch: the loss of each minibatch, and the weights after the last."""
    trainer = d2l.Trainer(max_epochs=1, gradient_clip_val=bound, progress=False)
    trainer.fit(model, Windows(X, Y, batch_size))
    return np.array(trainer.batch_losses), model.get_weights()


@functools.cache
def fit_golden(name, layers, path):
    """Train through all minibatches of a golden file; done once for the tests that compare it."""
    golden = golden_case(name)
    calls = []
    model = language_model(
        layers, golden["weights"], golden["activation"], golden["lr"], path, calls
    )
    losses, weights = fit(model, golden["X"], golden["Y"], golden["batch_size"], golden["bound"])
    return losses, weights, len(calls)


def first_minibatch(golden):
    return golden["X"][: golden["batch_size"]], golden["Y"][: golden["batch_size"]]


def assert_forward(model, X, state, outputs, final_state, logits):
    """Compare with what the oracle's `forward` returns."""
    found_outputs, found_state = model.states(X, state)
    assert_values(found_outputs, outputs)
    assert_values(found_state, final_state)
    assert_values(model.logits(X, state), logits)


def assert_values(found, expected):
    """Compare hidden states or logits, of an LSTM's state both."""
    if isinstance(expected, tuple):
        for part, expected_part in zip(found, expected, strict=True):
            assert_values(part, expected_part)
    else:
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, **VALUES)


def assert_gradients(model, X, Y, state, loss, grads):
    found_loss, found = model.gradients(X, Y, state)
    assert found_loss == pytest.approx(loss, rel=LOSS)
    assert set(found) == set(grads)
    for name, expected in grads.items():
        assert_close_to_largest(found[name], expected, GRADIENTS, name)


def assert_close_to_largest(found, expected, tolerance, name=""):
    assert found.shape == expected.shape, name
    atol = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)


def assert_weights(found, expected, tolerance):
    assert set(found) == set(expected)
    for name in expected:
        assert found[name].shape == expected[name].shape, name
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=tolerance, err_msg=name
        )


# The golden files ---------------------------------------------------------------------------------


@golden_files
@golden_layers
@pytest.mark.parametrize("start", ["without_state", "with_state"])
def test_forward_and_gradients(name, layers, start):
    golden = golden_case(name)
    expected = golden[start]
    model = language_model(layers, golden["weights"], golden["activation"])
    state = golden["state"][None] if start == "with_state" else None
    X, Y = first_minibatch(golden)
    final_state = expected["state"][None]  # (num_layers 1, batch_size, num_hiddens)
    assert_forward(model, X, state, expected["outputs"], final_state, expected["logits"])
    assert_gradients(model, X, Y, state, expected["loss"], expected["gradients"])


@golden_files
@golden_layers
@all_paths
def test_weights_after_one_step(name, layers, path):
    golden = golden_case(name)
    model = language_model(layers, golden["weights"], golden["activation"], golden["lr"], path)
    losses, weights = fit(model, *first_minibatch(golden), golden["batch_size"], golden["bound"])
    np.testing.assert_allclose(losses, [golden["without_state"]["loss"]], rtol=LOSS)
    assert_weights(weights, golden["after_one_step"], WEIGHTS)


@golden_files
@golden_layers
@all_paths
def test_twenty_steps_of_training(name, layers, path):
    golden = golden_case(name)
    losses, weights, _ = fit_golden(name, layers, path)
    np.testing.assert_allclose(losses, golden["losses"], rtol=LOSSES)
    assert_weights(weights, golden["after_training"], TRAINED_WEIGHTS)


@golden_files
@golden_layers
def test_compiled_and_step_by_step_agree(name, layers):
    compiled_losses, compiled_weights, _ = fit_golden(name, layers, "compiled")
    losses, weights, calls = fit_golden(name, layers, "step by step")
    assert calls == len(losses) == make_golden.NUM_MINIBATCHES  # the last, smaller one included
    np.testing.assert_allclose(compiled_losses, losses, rtol=LOSSES)
    assert_weights(compiled_weights, weights, TRAINED_WEIGHTS)


@golden_files
@golden_pairs
def test_scratch_and_high_level_layers_agree(name, pair):
    golden = golden_case(name)
    X, Y = first_minibatch(golden)
    one, other = (
        language_model(layers, golden["weights"], golden["activation"]) for layers in pair
    )
    for state in None, golden["state"][None]:
        assert_forward(one, X, state, *other.states(X, state), other.logits(X, state))
        assert_gradients(one, X, Y, state, *other.gradients(X, Y, state))
    for path in PATHS:
        losses, weights, _ = fit_golden(name, pair[0], path)
        expected_losses, expected_weights, _ = fit_golden(name, pair[1], path)
        np.testing.assert_allclose(losses, expected_losses, rtol=LOSSES)
        assert_weights(weights, expected_weights, TRAINED_WEIGHTS)


# What trains, and what does not -------------------------------------------------------------------


@golden_layers
def test_weights_set_are_the_weights_got(layers):
    weights = golden_case(GOLDEN[0])["weights"]
    found = language_model(layers, weights).get_weights()
    assert set(found) == set(oracle.NAMES)
    for name, expected in weights.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


@golden_layers
@all_paths
def test_exactly_the_five_parameters_train(layers, path):
    """A redundant bias, if the layer has one, neither moves nor adds to the step of `b_h`."""
    golden = golden_case("tanh-unclipped")
    model = language_model(layers, golden["weights"], lr=golden["lr"], path=path)
    X, Y = first_minibatch(golden)
    _, weights = fit(model, X, Y, golden["batch_size"], bound=0)
    assert set(weights) == set(oracle.NAMES)
    for name, gradient in golden["without_state"]["gradients"].items():
        moved = golden["weights"][name] - weights[name].astype(np.float64)
        # A difference of float32 weights of order one keeps 1e-7 of the step's 1e-2.
        assert_close_to_largest(moved, golden["lr"] * gradient, 1e-3, name)
    # What get_weights returns is all there is: with it, the oracle gives the model's own outputs.
    assert_forward(model, X, None, *oracle.forward(weights, X))


# Sizes drawn at random ----------------------------------------------------------------------------


def draw(layers, seed, vocab_size, num_hiddens, num_windows, num_steps):
    """Weights, tokens X and Y, and a state, all in float32 or whole numbers."""
    rng = np.random.RandomState(seed)
    row = LAYERS[layers]
    shapes = oracle.shapes(row.network.kind, vocab_size, num_hiddens, *row.network[1:])
    weights = oracle.initial_weights(shapes, seed, sigma=0.3)
    X, Y = rng.randint(vocab_size, size=(2, num_windows, num_steps)).astype(np.int32)
    shape = row.state_shape(num_windows, num_hiddens)
    H, C = rng.normal(0, 1, (2, *shape)).astype(np.float32)
    return weights, X, Y, (H, C) if row.network.kind == "lstm" else H


@pytest.mark.parametrize(
    "layers, activation",
    [
        (name, activation)
        for name, row in LAYERS.items()
        if not row.network.two_way  # which reads the future, and cannot be continued
        for activation in row.activations or ("tanh",)
    ],
)
def test_a_state_passed_back_continues_the_sequence(layers, activation):
    weights, X, _, _ = draw(layers, 3, 7, 5, 4, 6)
    model = language_model(layers, weights, activation)
    whole, final_state = model.states(X)
    _, state = model.states(X[:, :1])
    rest, continued = model.states(X[:, 1:], state)
    assert_values(rest, whole[1:])
    assert_values(continued, final_state)


SIZES = {
    "seed": st.integers(0, 1000),
    "vocab_size": st.integers(2, 8),
    "num_hiddens": size,
    "num_steps": size,
}
OF_A_MINIBATCH = {**SIZES, "batch_size": size, "with_state": st.booleans()}
OF_A_TRAINING = {
    **SIZES,
    "num_windows": st.integers(1, 9),
    "batch_size": size,
    "bound": st.sampled_from([0, 0.1, 100]),
}


def check_forward_and_gradients(
    layers, seed, vocab_size, num_hiddens, batch_size, num_steps, with_state, activation="tanh"
):
    weights, X, Y, state = draw(layers, seed, vocab_size, num_hiddens, batch_size, num_steps)
    state = state if with_state else None
    if activation == "relu":
        H_0 = None if state is None else state[0]
        assume(make_golden.distance_from_kink(weights, X, H_0) > make_golden.KINK)
    loss, grads, _ = oracle.gradients(weights, X, Y, state, activation)
    largest = [np.abs(g).max() for g in grads.values()]
    # What all but cancels has few digits left in float32; a zero (W_hh of one step) is exact.
    smallest = SMALLEST_GRADIENT if layers in CHAPTER_9 else SMALLEST_IN_CHAPTER_10
    assume(all(g == 0 or g > smallest for g in largest))
    model = language_model(layers, weights, activation)
    assert_forward(model, X, state, *oracle.forward(weights, X, state, activation))
    assert_gradients(model, X, Y, state, loss, grads)


@golden_layers
@few_sizes
@given(**OF_A_MINIBATCH, activation=st.sampled_from(["tanh", "relu"]))
def test_forward_and_gradients_of_any_size(layers, activation, **sizes):
    check_forward_and_gradients(layers, activation=activation, **sizes)


@chapter_10
@fewer_sizes
@given(**OF_A_MINIBATCH)
def test_forward_and_gradients_of_any_size_in_chapter_10(layers, **sizes):
    check_forward_and_gradients(layers, **sizes)


def check_training(
    layers, path, seed, vocab_size, num_hiddens, num_windows, batch_size, num_steps, bound
):
    """Also minibatches larger than the data or of one window, and a last one that is full."""
    weights, X, Y, _ = draw(layers, seed, vocab_size, num_hiddens, num_windows, num_steps)
    model = language_model(layers, weights, lr=0.5, path=path)
    losses, trained = fit(model, X, Y, batch_size, bound)
    expected_losses, expected = oracle.train(
        weights, make_golden.minibatches(X, Y, batch_size), 0.5, bound
    )
    np.testing.assert_allclose(losses, expected_losses, rtol=LOSSES)
    assert_weights(trained, expected, TRAINED_WEIGHTS)


@golden_layers
@all_paths
@few_sizes
@given(**OF_A_TRAINING)
def test_training_of_any_size(layers, path, **sizes):
    check_training(layers, path, **sizes)


# Chapter 10, at one size each: what is compiled takes its time ------------------------------------------

# Small, for the oracle takes a forward pass for each number in the weights.
VOCAB_SIZE, NUM_HIDDENS, BATCH_SIZE, NUM_STEPS = 5, 2, 3, 4
NUM_WINDOWS = 20 * BATCH_SIZE - 2  # twenty minibatches, the last smaller
BOUND = 0.1  # clips the first step of every layer


@functools.cache
def drawn_for_training(layers):
    """Weights, windows and, by the oracle, the losses and weights after one and after twenty steps."""
    weights, X, Y, _ = draw(layers, 5, VOCAB_SIZE, NUM_HIDDENS, NUM_WINDOWS, NUM_STEPS)
    batches = list(make_golden.minibatches(X, Y, BATCH_SIZE))
    _, after_one = oracle.train(weights, batches[:1], 1.0, BOUND)
    losses, after_all = oracle.train(weights, batches, 1.0, BOUND)
    return weights, X, Y, losses, after_one, after_all


@chapter_10
def test_one_clipped_step_in_chapter_10(layers):
    weights, X, Y, _, expected, _ = drawn_for_training(layers)
    grads = oracle.gradients(weights, X[:BATCH_SIZE], Y[:BATCH_SIZE])[1]
    bound = BOUND if oracle.global_norm(grads) > BOUND else 0
    assert bound, "the step is to be clipped"
    model = language_model(layers, weights, lr=1.0)
    _, found = fit(model, X[:BATCH_SIZE], Y[:BATCH_SIZE], BATCH_SIZE, BOUND)
    assert_weights(found, expected, WEIGHTS)


@chapter_10
def test_twenty_steps_of_training_in_chapter_10(layers):
    weights, X, Y, expected_losses, _, expected = drawn_for_training(layers)
    # Step by step, which is another way, the two layers whose states differ most from those of chapter 9.
    paths = PATHS if layers in ("LSTM", "StackedRNNScratch") else PATHS[:1]
    for path in paths:
        check_twenty_steps(layers, path, weights, X, Y, expected_losses, expected)


def check_twenty_steps(layers, path, weights, X, Y, expected_losses, expected):
    calls = []
    model = language_model(layers, weights, lr=1.0, path=path, calls=calls)
    losses, found = fit(model, X, Y, BATCH_SIZE, BOUND)
    assert len(losses) == 20
    assert bool(calls) == (path == "step by step")
    np.testing.assert_allclose(losses, expected_losses, rtol=LOSSES)
    assert_weights(found, expected, TRAINED_WEIGHTS)
