"""The oracle against finite differences and closed forms; the golden files against the oracle."""

import ast
from pathlib import Path

import make_golden
import numpy as np
import oracle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

VOCAB_SIZE, NUM_HIDDENS, BATCH_SIZE, NUM_STEPS = 7, 5, 3, 4

size = st.integers(1, 6)


def draw(
    seed=0,
    vocab_size=VOCAB_SIZE,
    num_hiddens=NUM_HIDDENS,
    batch_size=BATCH_SIZE,
    num_steps=NUM_STEPS,
):
    """Weights, tokens X and Y and an initial state at random, in float64."""
    rng = np.random.RandomState(seed)
    weights = oracle.initial_weights(vocab_size, num_hiddens, seed, sigma=0.5)
    weights = {name: w.astype(np.float64) for name, w in weights.items()}
    X, Y = rng.randint(vocab_size, size=(2, batch_size, num_steps))
    return weights, X, Y, rng.normal(0, 1, (batch_size, num_hiddens))


def finite_differences(f, x, step=1e-6):
    """The gradient of f() in the array x, which is moved in place and put back."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + step
        above = f()
        x[i] = kept - step
        gradient[i] = (above - f()) / (2 * step)
        x[i] = kept
    return gradient


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    vocab_size=st.integers(2, 7),
    num_hiddens=size,
    batch_size=size,
    num_steps=size,
    activation=st.sampled_from(["tanh", "relu"]),
    with_state=st.booleans(),
)
def test_gradients_are_the_finite_differences(
    seed, vocab_size, num_hiddens, batch_size, num_steps, activation, with_state
):
    weights, X, Y, state = draw(seed, vocab_size, num_hiddens, batch_size, num_steps)
    if not with_state:
        state = np.zeros_like(state)
    if activation == "relu":  # no derivative at zero: stay farther off than the differences go
        assume(make_golden.distance_from_kink(weights, X, state) > 1e-4)

    def loss():
        return oracle.loss(oracle.forward(weights, X, state, activation)[2], Y)

    value, grads, gradient_of_state = oracle.gradients(
        weights, X, Y, state if with_state else None, activation
    )
    # Rounding: about 1e-16 in the loss over a step of 1e-6; truncation, at 1e-12, is below it.
    tolerance = {"rtol": 1e-7, "atol": 1e-8}
    assert value == pytest.approx(loss(), rel=1e-14)
    assert tuple(grads) == oracle.NAMES
    for name, gradient in grads.items():
        expected = finite_differences(loss, weights[name])
        np.testing.assert_allclose(gradient, expected, **tolerance, err_msg=name)
    np.testing.assert_allclose(gradient_of_state, finite_differences(loss, state), **tolerance)


def test_forward_is_the_recurrence_written_out():
    weights, X, _, state = draw()
    W_xh, W_hh, b_h, W_hq, b_q = (weights[name] for name in oracle.NAMES)
    outputs, final_state, logits = oracle.forward(weights, X, state)
    assert outputs.shape == (NUM_STEPS, BATCH_SIZE, NUM_HIDDENS)
    assert logits.shape == (BATCH_SIZE, NUM_STEPS, VOCAB_SIZE)
    for i in range(BATCH_SIZE):
        h = state[i]
        for t in range(NUM_STEPS):
            h = np.tanh(W_xh[X[i, t]] + h @ W_hh + b_h)  # one-hot times a matrix is a row of it
            np.testing.assert_allclose(outputs[t, i], h, rtol=1e-12)
            np.testing.assert_allclose(logits[i, t], h @ W_hq + b_q, rtol=1e-12)
        np.testing.assert_allclose(final_state[i], h, rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_state_passed_back_continues_the_sequence(activation):
    weights, X, _, _ = draw()
    whole, final_state, _ = oracle.forward(weights, X, activation=activation)
    _, state, _ = oracle.forward(weights, X[:, :1], activation=activation)
    rest, continued, _ = oracle.forward(weights, X[:, 1:], state, activation)
    np.testing.assert_allclose(rest, whole[1:], rtol=1e-12)
    np.testing.assert_allclose(continued, final_state, rtol=1e-12)


def test_activation_changes_the_outputs():
    weights, X, _, _ = draw()
    tanh, relu = (oracle.forward(weights, X, activation=a)[0] for a in ("tanh", "relu"))
    assert (relu >= 0).all() and (tanh < 0).any()


def test_float32_weights_are_computed_with_in_float64():
    weights, X, Y, state = draw()
    single = {name: w.astype(np.float32) for name, w in weights.items()}  # they were drawn in it
    expected = oracle.gradients(weights, X, Y, state.astype(np.float32).astype(np.float64))
    loss, grads, _ = oracle.gradients(single, X, Y, state.astype(np.float32))
    assert loss == expected[0]
    for name, gradient in grads.items():
        assert gradient.dtype == np.float64
        np.testing.assert_array_equal(gradient, expected[1][name])


def test_loss_of_equal_logits_is_the_logarithm_of_the_vocabulary():
    _, _, Y, _ = draw()
    logits = np.zeros((BATCH_SIZE, NUM_STEPS, VOCAB_SIZE))
    assert oracle.loss(logits, Y) == pytest.approx(np.log(VOCAB_SIZE), rel=1e-14)


def test_loss_is_the_mean_over_tokens_and_survives_large_logits():
    logits = np.array([[[1000.0, 0.0], [0.0, 0.0]]])  # (batch_size 1, num_steps 2, vocab_size 2)
    assert oracle.loss(logits, [[0, 0]]) == pytest.approx(np.log(2) / 2, rel=1e-14)
    assert oracle.loss(logits, [[1, 0]]) == pytest.approx((1000 + np.log(2)) / 2, rel=1e-14)
    np.testing.assert_array_equal(oracle.softmax(logits)[0, 0], [1, 0])


GRADS = {"rnn.W_hh": np.array([[3.0, 0.0]]), "rnn.b_h": np.array([4.0])}


def test_global_norm_is_of_all_gradients_together():
    assert oracle.global_norm(GRADS) == 5


@pytest.mark.parametrize(("bound", "scale"), [(0, 1), (None, 1), (10, 1), (5, 1), (1, 0.2)])
def test_clip_scales_all_gradients_alike_down_to_the_bound(bound, scale):
    clipped = oracle.clip(GRADS, bound)
    for name, g in GRADS.items():
        np.testing.assert_allclose(clipped[name], scale * g, rtol=1e-15)


def test_sgd_steps_down_the_gradient_and_leaves_the_weights_alone():
    weights = {"rnn.W_hh": np.array([[1.0, 1.0]], np.float32), "rnn.b_h": np.array([1.0])}
    stepped = oracle.sgd(weights, GRADS, lr=0.5)
    np.testing.assert_array_equal(stepped["rnn.W_hh"], [[-0.5, 1]])
    np.testing.assert_array_equal(stepped["rnn.b_h"], [-1])
    np.testing.assert_array_equal(weights["rnn.W_hh"], [[1, 1]])


def test_train_is_clipped_steps_one_after_the_other():
    weights, X, Y, _ = draw()
    batches = [(X[:2], Y[:2]), (X[2:], Y[2:])]  # the last one smaller
    losses, trained = oracle.train(weights, batches, lr=0.5, bound=0.1)
    for batch, expected in zip(batches, losses, strict=True):
        loss, grads, _ = oracle.gradients(weights, *batch)
        assert loss == expected
        assert oracle.global_norm(grads) > 0.1
        stepped = oracle.sgd(weights, oracle.clip(grads, 0.1), 0.5)
        moved = {name: stepped[name] - weights[name] for name in weights}
        assert oracle.global_norm(moved) == pytest.approx(0.5 * 0.1, rel=1e-12)  # lr times bound
        weights = stepped
    for name in weights:
        np.testing.assert_array_equal(trained[name], weights[name])


def test_initial_weights_come_from_the_seed():
    draws = [oracle.initial_weights(VOCAB_SIZE, NUM_HIDDENS, seed, 0.01) for seed in (1, 1, 2)]
    for name in oracle.NAMES:
        assert draws[0][name].dtype == np.float32
        np.testing.assert_array_equal(draws[0][name], draws[1][name])
        assert (draws[0][name] != draws[2][name]).any()


def test_the_oracle_imports_numpy_only():
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import numpy as np"]


@pytest.fixture(scope="module")
def golden_cases():
    return make_golden.cases()


def test_golden_folder_holds_every_case_and_no_other(golden_cases):
    assert {path.name for path in make_golden.FOLDER.iterdir()} == set(golden_cases)


@pytest.mark.parametrize("path", sorted(make_golden.FOLDER.glob("*.npz")), ids=lambda p: p.stem)
def test_golden_file_is_what_would_be_written_now(golden_cases, path):
    expected = make_golden.flatten(golden_cases[path.name])
    found = make_golden.flatten(make_golden.read(path))
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype, key
        if value.dtype == np.float64:
            # Another machine's BLAS adds up in another order: 1e-16, grown in 20 steps of training.
            np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-12, err_msg=key)
        else:
            np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize("path", sorted(make_golden.FOLDER.glob("*.npz")), ids=lambda p: p.stem)
def test_golden_training_learns_and_moves_every_weight(path):
    golden = make_golden.read(path)
    assert golden["losses"][-3:].mean() < golden["losses"][:3].mean() - 0.1
    for name, w in golden["weights"].items():
        assert (golden["after_one_step"][name] != w).any(), name
