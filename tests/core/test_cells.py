"""What the oracle's tests do not ask of the cells, which it is made of: types, tokens, broken numbers."""

import numpy as np
import pytest

from d2lrnn import cells


def make_layer(kind, num_inputs=6, num_hiddens=4, dtype=np.float32):
    random = np.random.RandomState(0)
    shapes = {"W_x": (num_inputs, num_hiddens), "W_h": (num_hiddens, num_hiddens)}
    weights = {
        name: random.randn(*shapes.get(name[:-1], (num_hiddens,))).astype(dtype)
        for name in cells.names_of(kind)
    }
    return cells.layer(weights)


@pytest.mark.parametrize("kind", cells.GATES)
def test_tokens_pick_the_rows_that_unit_vectors_multiply(kind):
    layer, tokens = make_layer(kind), np.array([[3, 0], [5, 5], [1, 2]])  # (num_steps, batch_size)
    vectors = np.eye(6, dtype=np.float32)[tokens]
    np.testing.assert_allclose(layer.drive(tokens), layer.drive(vectors), rtol=1e-6)


@pytest.mark.parametrize("kind", cells.GATES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_the_type_of_the_weights_stays(kind, dtype):
    layer = make_layer(kind, dtype=dtype)
    outputs, state = layer.run(np.array([[3], [0]]), layer.zero_state(1))
    assert outputs.dtype == dtype
    assert {part.dtype for part in (state if kind == "lstm" else [state])} == {np.dtype(dtype)}


def test_the_sigmoid_of_large_numbers():
    found = cells.sigmoid(np.array([-1e4, -1.0, 0.0, 1.0, 1e4]))
    np.testing.assert_allclose(found, [0, 1 / (1 + np.e), 0.5, np.e / (1 + np.e), 1], atol=1e-15)


def test_relu_goes_by_the_real_part_and_keeps_what_is_no_number():
    A = np.array([-2 + 1j, 3 - 1j, 0 + 1j])
    np.testing.assert_array_equal(cells.relu(A), [0, 3 - 1j, 0])
    np.testing.assert_array_equal(cells.relu(np.array([np.nan, -1, 2])), [np.nan, 0, 2])


def test_letters_tell_the_kind():
    for kind, gates in cells.GATES.items():
        assert cells.kind_of(set(gates)) == kind
    for letters in "", "z", "ifo", "zrhn":
        assert cells.kind_of(set(letters)) is None
