"""The oracle against finite differences and closed forms; the golden files against the oracle."""

import ast
import math
from pathlib import Path
from typing import NamedTuple

import make_golden
import numpy as np
import oracle
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

VOCAB_SIZE, NUM_HIDDENS, BATCH_SIZE, NUM_STEPS = 7, 5, 3, 4

size = st.integers(1, 6)


class Network(NamedTuple):
    """A recurrent network: of which kind of layer, how many, in two directions or one."""

    kind: str = "rnn"
    num_layers: int = 1
    two_way: bool = False


ONE_RNN = Network()
NETWORKS = [
    Network(kind, num_layers, two_way)
    for kind in ("rnn", "lstm", "gru_before", "gru_after")
    for num_layers in (1, 2, 3)
    for two_way in (False, True)
]
one_way_networks = pytest.mark.parametrize(
    "network", [n for n in NETWORKS if not n.two_way], ids=str
)
all_networks = pytest.mark.parametrize("network", NETWORKS, ids=str)


def draw(
    seed=0,
    vocab_size=VOCAB_SIZE,
    num_hiddens=NUM_HIDDENS,
    batch_size=BATCH_SIZE,
    num_steps=NUM_STEPS,
    network=ONE_RNN,
):
    """Weights, tokens X and Y and an initial state at random, in float64."""
    rng = np.random.RandomState(seed)
    shapes = oracle.shapes(network.kind, vocab_size, num_hiddens, *network[1:])
    weights = oracle.initial_weights(shapes, seed, sigma=0.5)
    weights = {name: w.astype(np.float64) for name, w in weights.items()}
    X, Y = rng.randint(vocab_size, size=(2, batch_size, num_steps))
    num_states = network.num_layers * (1 + network.two_way)
    shape = (num_states, batch_size, num_hiddens)
    H, C = rng.normal(0, 1, (2, *shape))
    return weights, X, Y, (H, C) if network.kind == "lstm" else H


# Gradients ----------------------------------------------------------------------------------------


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
def test_gradients_by_hand_are_the_complex_step_and_the_finite_differences(
    seed, vocab_size, num_hiddens, batch_size, num_steps, activation, with_state
):
    weights, X, Y, state = draw(seed, vocab_size, num_hiddens, batch_size, num_steps)
    if not with_state:
        state = np.zeros_like(state)
    if activation == "relu":  # no derivative at zero: stay farther off than the differences go
        assume(make_golden.distance_from_kink(weights, X, state[0]) > 1e-4)

    def loss():
        return oracle.loss(oracle.forward(weights, X, state, activation)[2], Y)

    given = (weights, X, Y, state if with_state else None, activation)
    value, grads, gradient_of_state = oracle.gradients_by_hand(*given)
    same_value, exact, exact_of_state = oracle.gradients(*given)
    assert value == pytest.approx(loss(), rel=1e-14)
    assert same_value == pytest.approx(value, rel=1e-14)
    assert tuple(grads) == tuple(exact) == oracle.NAMES
    grads, exact = {**grads, "state": gradient_of_state}, {**exact, "state": exact_of_state}
    for name, gradient in grads.items():
        # Both are exact but for rounding, of sums of up to 36 terms below one.
        np.testing.assert_allclose(gradient, exact[name], rtol=0, atol=1e-14, err_msg=name)
        expected = finite_differences(loss, state if name == "state" else weights[name])
        # Rounding: about 1e-16 in the loss over a step of 1e-6; truncation, at 1e-12, is below it.
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-8, err_msg=name)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    vocab_size=st.integers(4, 5),
    others=st.permutations([1, 2, 3]),
    network=st.sampled_from(NETWORKS),
    with_state=st.booleans(),
)
def test_gradients_of_any_network_are_the_finite_differences(
    seed, vocab_size, others, network, with_state
):
    """Each array moves in a direction at random: two passes for it, not two for each of its entries."""
    weights, X, Y, state = draw(seed, vocab_size, *others, network=network)
    given_state = state if with_state else None
    value, grads, gradient_of_state = oracle.gradients(weights, X, Y, given_state)
    arrays, gradients = {**weights}, {**grads}
    if with_state:
        arrays["state"], gradients["state"] = np.array(state), gradient_of_state
    assert list(grads) == list(weights)

    def loss(moved):
        start = moved.get("state")
        start = tuple(start) if start is not None and network.kind == "lstm" else start
        moved = {name: w for name, w in moved.items() if name != "state"}
        return oracle.loss(oracle.forward(moved, X, start)[2], Y)

    assert value == pytest.approx(loss(arrays), rel=1e-14)
    rng = np.random.RandomState(seed)
    for name, array in arrays.items():
        assert gradients[name].shape == array.shape, name
        way = rng.normal(0, 1, array.shape)
        step = 1e-6 * way
        above, below = ({**arrays, name: array + s} for s in (step, -step))
        difference = (loss(above) - loss(below)) / 2e-6
        # As above, but the sum of up to 18 entries.
        assert (gradients[name] * way).sum() == pytest.approx(difference, rel=1e-6, abs=1e-8), name


def test_the_complex_step_is_exact_to_rounding():
    x = np.array([0.3, -2.0, 20.0])
    steps = oracle.complex_steps(x, h=1e-30)  # (3, 3)
    gradient = np.sum(np.sin(steps) * np.exp(-steps), axis=1).imag / 1e-30
    np.testing.assert_allclose(gradient, (np.cos(x) - np.sin(x)) * np.exp(-x), rtol=1e-14)


def test_finite_differences_lose_what_the_complex_step_keeps():
    """Of a gradient of 1e-9 beside a value of 1, differences have at most one digit."""
    x = np.array([1.0])
    expected = 1e-9 * np.cos(1.0)
    (steps,) = oracle.complex_steps(x, h=1e-30)
    exact = (1 + 1e-9 * np.sin(steps)).imag / 1e-30
    assert exact == pytest.approx(expected, rel=1e-14)
    assert finite_differences(lambda: 1 + 1e-9 * np.sin(x[0]), x) != pytest.approx(
        expected, rel=1e-3
    )


# Forward ------------------------------------------------------------------------------------------


def sigma(a):
    return 1 / (1 + math.exp(-a))


def written_out(kind, weights, path, x, H, C, phi):
    """One step of one example, unit by unit: H_t (and C_t) of X_t, H_{t-1} and C_{t-1}."""
    units = range(len(H))

    def dot(vector, matrix, j):
        return sum(vector[i] * weights[path + matrix][i, j] for i in range(len(vector)))

    def inputs(gate, j):
        return dot(x, f"W_x{gate}", j) + weights[f"{path}b_{gate}"][j]

    def argument(gate, j):
        return inputs(gate, j) + dot(H, f"W_h{gate}", j)

    if kind == "rnn":
        return [phi(argument("h", j)) for j in units], C
    if kind == "lstm":
        I, F, O = ([sigma(argument(gate, j)) for j in units] for gate in "ifo")
        C = [F[j] * C[j] + I[j] * math.tanh(argument("c", j)) for j in units]
        return [O[j] * math.tanh(C[j]) for j in units], C
    Z, R = ([sigma(argument(gate, j)) for j in units] for gate in "zr")
    if kind == "gru_before":
        kept = [R[j] * H[j] for j in units]
        H_tilde = [math.tanh(inputs("h", j) + dot(kept, "W_hh", j)) for j in units]
    else:
        H_tilde = [math.tanh(inputs("n", j) + R[j] * dot(H, "W_hn", j)) for j in units]
    return [Z[j] * H[j] + (1 - Z[j]) * H_tilde[j] for j in units], C


def run_written_out(network, weights, X, state, phi=math.tanh):
    """The outputs of one example X (num_steps,), and its last H and C, a row for each layer and direction."""
    H_0, C_0 = state if network.kind == "lstm" else (state, np.zeros_like(state))
    outputs, last = np.eye(VOCAB_SIZE)[X], []  # (num_steps, num_inputs)
    for index in range(network.num_layers):
        path = f"rnn.{index}." if network.num_layers > 1 else "rnn."
        given = []
        for direction in ("f.", "b.") if network.two_way else ("",):
            H, C = H_0[len(last)], C_0[len(last)]
            steps = reversed(range(len(X))) if direction == "b." else range(len(X))
            found = np.empty((len(X), NUM_HIDDENS))
            for t in steps:
                H, C = written_out(network.kind, weights, path + direction, outputs[t], H, C, phi)
                found[t] = H
            last.append((H, C))
            given.append(found)
        outputs = np.concatenate(given, axis=1)
    return outputs, *np.array(last).swapaxes(0, 1)


@all_networks
def test_forward_is_the_equations_written_out(network):
    weights, X, _, state = draw(network=network)
    outputs, last, logits = oracle.forward(weights, X, state)
    width = NUM_HIDDENS * (1 + network.two_way)
    assert outputs.shape == (NUM_STEPS, BATCH_SIZE, width)
    assert logits.shape == (BATCH_SIZE, NUM_STEPS, VOCAB_SIZE)
    for i in range(BATCH_SIZE):
        of_one = np.array(state)[..., i, :]
        expected, H, C = run_written_out(network, weights, X[i], of_one)
        np.testing.assert_allclose(outputs[:, i], expected, rtol=1e-12)
        last_of_one = np.array(last)[..., i, :]
        np.testing.assert_allclose(last_of_one, [H, C] if network.kind == "lstm" else H, rtol=1e-12)
        expected = expected @ weights["linear.W_hq"] + weights["linear.b_q"]
        np.testing.assert_allclose(logits[i], expected, rtol=1e-12)


def test_forward_with_relu():
    weights, X, _, state = draw()
    outputs, _, _ = oracle.forward(weights, X, state, "relu")
    expected, *_ = run_written_out(ONE_RNN, weights, X[0], state[:, 0], lambda a: max(a, 0))
    np.testing.assert_allclose(outputs[:, 0], expected, rtol=1e-12)


@all_networks
def test_no_state_is_zeros(network):
    weights, X, _, state = draw(network=network)
    zeros = tuple(map(np.zeros_like, state)) if network.kind == "lstm" else np.zeros_like(state)
    for found, expected in zip(
        oracle.forward(weights, X), oracle.forward(weights, X, zeros), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@one_way_networks
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_state_passed_back_continues_the_sequence(network, activation):
    weights, X, _, _ = draw(network=network)
    whole, final_state, _ = oracle.forward(weights, X, activation=activation)
    _, state, _ = oracle.forward(weights, X[:, :1], activation=activation)
    rest, continued, _ = oracle.forward(weights, X[:, 1:], state, activation)
    np.testing.assert_allclose(rest, whole[1:], rtol=1e-12)
    np.testing.assert_allclose(continued, final_state, rtol=1e-12)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru_before", "gru_after"])
def test_of_two_directions_one_reads_the_text_forward_and_one_backward(kind):
    weights, X, _, _ = draw(network=Network(kind, two_way=True))

    def alone(direction):
        names = {n.replace(f"rnn.{direction}.", "rnn."): w for n, w in weights.items()}
        rows = slice(NUM_HIDDENS) if direction == "f" else slice(NUM_HIDDENS, None)
        names["linear.W_hq"] = weights["linear.W_hq"][rows]
        return {n: w for n, w in names.items() if n.count(".") == 1}

    both, _, _ = oracle.forward(weights, X)
    forward, _, _ = oracle.forward(alone("f"), X)
    backward, _, _ = oracle.forward(alone("b"), X[:, ::-1])
    np.testing.assert_allclose(both, np.concatenate([forward, backward[::-1]], axis=-1), rtol=1e-12)


def test_the_two_grus_differ_at_equal_weights():
    """Reset before the product, or after it: scratch and high-level layers cannot be compared."""
    weights, X, _, state = draw(network=Network("gru_before"))
    weights = {name: 2 * w for name, w in weights.items()}  # of order one
    as_after = {
        name[:-1] + "n" if name in ("rnn.W_xh", "rnn.W_hh", "rnn.b_h") else name: w
        for name, w in weights.items()
    }
    before, after = (oracle.forward(w, X, state)[0] for w in (weights, as_after))
    assert 0.3 < np.abs(before - after).max() < 1.3
    # Where nothing is to be reset, from a state of zeros, the first step is the same.
    before, after = (oracle.forward(w, X)[0] for w in (weights, as_after))
    np.testing.assert_allclose(before[0], after[0], rtol=1e-12)
    assert np.abs(before[1] - after[1]).max() > 1e-3


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
        loss, grads, _ = oracle.gradients_by_hand(weights, *batch)
        assert loss == expected
        assert oracle.global_norm(grads) > 0.1
        stepped = oracle.sgd(weights, oracle.clip(grads, 0.1), 0.5)
        moved = {name: stepped[name] - weights[name] for name in weights}
        assert oracle.global_norm(moved) == pytest.approx(0.5 * 0.1, rel=1e-12)  # lr times bound
        weights = stepped
    for name in weights:
        np.testing.assert_array_equal(trained[name], weights[name])


def test_train_of_another_network_takes_its_own_gradients():
    network = Network("lstm")
    weights, X, Y, _ = draw(0, 4, 2, 3, 2, network=network)
    losses, trained = oracle.train(weights, [(X, Y)] * 12, lr=5, bound=1)
    assert losses[-1] < 0.7 * losses[0]
    assert all((trained[name] != w).any() for name, w in weights.items())


def test_initial_weights_come_from_the_seed():
    shapes = oracle.shapes("rnn", VOCAB_SIZE, NUM_HIDDENS)
    draws = [oracle.initial_weights(shapes, seed, 0.01) for seed in (1, 1, 2)]
    for name in oracle.NAMES:
        assert draws[0][name].dtype == np.float32
        np.testing.assert_array_equal(draws[0][name], draws[1][name])
        assert (draws[0][name] != draws[2][name]).any()


def test_the_oracle_imports_numpy_and_the_cells_only():
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == [
        "import numpy as np",
        "from d2lrnn import cells",
    ]


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
