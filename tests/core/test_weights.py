"""Weights by canonical name: in a framework's arrays, in files, at the beginning."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from d2lrnn.errors import WeightsError
from d2lrnn.weights import (
    Piece,
    canonical_path,
    canonical_shapes,
    check_weights,
    draw,
    folded,
    from_canonical,
    initial,
    path_below,
    prefix_of,
    read_header,
    read_weights,
    recurrent_parts,
    seed_at,
    to_canonical,
    unambiguous,
    write_weights,
)


def numbers(*shape):
    """0, 1, 2, ... in float32: no two the same."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


# In a framework's arrays --------------------------------------------------------------------------

# A layer of 3 inputs and 2 hidden units of three gates, stored (out, in), and an output layer.
LAYOUT = [
    Piece("net.weight_ih", ("rnn.W_xr", "rnn.W_xz", "rnn.W_xn"), transposed=True),
    Piece("net.weight_hh", ("rnn.W_hr", "rnn.W_hz", "rnn.W_hn"), transposed=True),
    Piece("net.bias_ih", ("rnn.b_r", "rnn.b_z", "rnn.b_n")),
    Piece("net.bias_hh", ()),
    Piece("head.kernel", ("linear.W_hq",)),
]


def arrays(second_bias=0.0):
    return {
        "net.weight_ih": numbers(6, 3),
        "net.weight_hh": numbers(6, 2),
        "net.bias_ih": numbers(6),
        "net.bias_hh": np.full(6, second_bias, np.float32),
        "head.kernel": numbers(2, 5),
    }


def test_gates_lie_side_by_side():
    weights = to_canonical(LAYOUT, arrays())
    own = arrays()
    np.testing.assert_array_equal(weights["rnn.W_xr"], own["net.weight_ih"][:2].T)
    np.testing.assert_array_equal(weights["rnn.W_xz"], own["net.weight_ih"][2:4].T)
    np.testing.assert_array_equal(weights["rnn.W_hn"], own["net.weight_hh"][4:].T)
    np.testing.assert_array_equal(weights["rnn.b_z"], own["net.bias_ih"][2:4])
    np.testing.assert_array_equal(weights["linear.W_hq"], own["head.kernel"])
    assert canonical_shapes(LAYOUT, own) == {name: w.shape for name, w in weights.items()}
    assert canonical_shapes(LAYOUT, own)["rnn.W_xn"] == (3, 2)


def test_there_and_back():
    assert_same(from_canonical(LAYOUT, to_canonical(LAYOUT, arrays()), arrays()), arrays())


def test_weights_are_copies():
    own = arrays()
    for weight in to_canonical(LAYOUT, own).values():
        weight += 100
    assert_same(own, arrays())


def test_a_second_bias_is_added_to_the_one_before_it_and_set_to_zero():
    own = arrays(second_bias=0.5)
    weights = to_canonical(LAYOUT, own)
    np.testing.assert_array_equal(weights["rnn.b_z"], own["net.bias_ih"][2:4] + 0.5)
    back = from_canonical(LAYOUT, weights, own)
    np.testing.assert_array_equal(back["net.bias_ih"], own["net.bias_ih"] + 0.5)
    assert not back["net.bias_hh"].any()
    assert_same(to_canonical(LAYOUT, back), weights)


def test_folded_biases_are_told_apart():
    assert folded(LAYOUT, arrays()) == {}
    own = arrays(second_bias=0.5)
    assert_same(folded(LAYOUT, own), {n: own[n] for n in ("net.bias_ih", "net.bias_hh")})


@given(
    num_inputs=st.integers(1, 4),
    num_hiddens=st.integers(1, 4),
    gates=st.permutations("ifoc"),
    transposed=st.booleans(),
)
def test_there_and_back_in_any_order_of_gates(num_inputs, num_hiddens, gates, transposed):
    shape = (num_inputs, 4 * num_hiddens)
    own = {"kernel": numbers(*(shape[::-1] if transposed else shape)), "bias": numbers(shape[1])}
    layout = [
        Piece("kernel", tuple(f"W_x{gate}" for gate in gates), transposed),
        Piece("bias", tuple(f"b_{gate}" for gate in gates)),
    ]
    weights = to_canonical(layout, own)
    assert {w.shape for name, w in weights.items() if "W" in name} == {(num_inputs, num_hiddens)}
    assert_same(from_canonical(layout, weights, own), own)


def test_names_that_come_twice_give_way_to_the_frameworks_own():
    twice = [Piece("a.weight", ("W_hq",), True), Piece("b.weight", ("W_hq",), True)]
    assert unambiguous(twice) == [
        Piece("a.weight", ("a.weight",)),
        Piece("b.weight", ("b.weight",)),
    ]
    assert unambiguous(iter(LAYOUT)) == LAYOUT


@pytest.mark.parametrize(
    "path, name",
    [
        ("", ""),
        ("rnn", "rnn"),
        ("rnn.rnn", "rnn"),
        ("rnn.rnns.1", "rnn.1"),
        ("rnn.f_rnn", "rnn.f"),
        ("rnn.b_rnn.rnn", "rnn.b"),
        ("encoder.rnn.rnn", "encoder.rnn"),
        ("encoder.embedding", "encoder.embedding"),
        ("f_rnn", "f_rnn"),  # not in a recurrent layer
        ("linear", "linear"),
    ],
)
def test_canonical_path(path, name):
    assert canonical_path(path) == name
    assert prefix_of(path) == (f"{name}." if name else "")


@pytest.mark.parametrize(
    "sizes, prefixes",
    [
        ((), ["rnn."]),
        ((3,), ["rnn.0.", "rnn.1.", "rnn.2."]),
        ((1, True), ["rnn.f.", "rnn.b."]),
        ((2, True), ["rnn.0.f.", "rnn.0.b.", "rnn.1.f.", "rnn.1.b."]),
    ],
)
def test_a_part_is_named_only_where_there_are_several(sizes, prefixes):
    parts = list(recurrent_parts("rnn.", *sizes))
    assert [prefix for _, _, prefix in parts] == prefixes
    assert [(i, d) for i, d, _ in parts] == sorted((i, d) for i, d, _ in parts)


# Initial weights ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, below",
    [
        ("rnn.W_xh", "W_xh"),
        ("linear.W_hq", "W_hq"),
        ("rnn", ""),
        ("linear", ""),
        ("rnn.1.W_xh", "1.W_xh"),
        ("rnn.b", "b"),
        ("encoder.rnn.0", "encoder.rnn.0"),
        ("rnns", "rnns"),
        ("W_xh", "W_xh"),
    ],
)
def test_path_below_the_model(name, below):
    assert path_below(name) == below


def test_draw_follows_from_name_and_seed_alone():
    weight = draw("W_xh", (200, 300), 0.01, 0)
    np.testing.assert_array_equal(weight, draw("W_xh", (200, 300), 0.01, 0))
    assert weight.dtype == np.float32
    assert weight.std() == pytest.approx(0.01, rel=0.02)  # of 60,000 draws
    assert abs(weight.mean()) < 2e-4
    for other in draw("1.W_xh", (200, 300), 0.01, 0), draw("W_xh", (200, 300), 0.01, 1):
        correlation = np.corrcoef(weight.ravel(), other.ravel())[0, 1]
        assert abs(correlation) < 0.02


def test_draw_gives_these_numbers():
    """As in version 0.1: they decide every training from scratch, and nothing may change them."""
    expected = [-0.0019204, 0.0172303, 0.0062688]
    np.testing.assert_allclose(draw("W_xh", (3,), 0.01, 0), expected, rtol=0, atol=1e-6)


def test_initial_weights_are_drawn_by_path_and_biases_are_zero():
    own = {"W_xh": numbers(4, 3), "b_h": numbers(3)}
    weights = initial("1", own, 0.5, 7)
    np.testing.assert_array_equal(weights["W_xh"], draw("1.W_xh", (4, 3), 0.5, 7))
    np.testing.assert_array_equal(weights["b_h"], np.zeros(3))
    np.testing.assert_array_equal(initial("", own, 0.5, 7)["W_xh"], draw("W_xh", (4, 3), 0.5, 7))


def test_seed_at_a_path():
    assert seed_at(3, "") == 3
    assert seed_at(None, "1") is None
    seeds = {seed_at(seed, path) for seed in (0, 1) for path in ("0", "1", "b")}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)


# Files --------------------------------------------------------------------------------------------

WRITE = """
import sys, numpy as np
from d2lrnn.weights import write_weights
names = sys.argv[2].split(",")
weights = {name: np.full((2, 3), ord(name[-1]), np.float32) for name in names}
header = {key: key for key in sys.argv[3].split(",")}
write_weights(sys.argv[1], weights, **header)
"""


def test_equal_weights_give_equal_files_in_any_process_and_order(tmp_path):
    """Rust hashes anew in each process: what has no order of its own would come in another each time."""
    written = []
    for i, names in enumerate(["a.W,a.b,c,d,e", "e,d,c,a.b,a.W", "a.W,a.b,c,d,e", "c,a.W,e,a.b,d"]):
        path = tmp_path / f"{i}.safetensors"
        header = ["x,y,z", "z,y,x"][i % 2]
        env = {**os.environ, "PYTHONHASHSEED": str(i)}
        subprocess.run([sys.executable, "-c", WRITE, str(path), names, header], check=True, env=env)
        written.append(path.read_bytes())
    assert len(set(written)) == 1


def test_other_weights_or_header_give_another_file(tmp_path):
    path, files = tmp_path / "weights.safetensors", set()
    for value, header in [(1, {}), (2, {}), (1, {"activation": "relu"})]:
        write_weights(path, {"b": np.full(3, value, np.float32)}, **header)
        files.add(path.read_bytes())
    assert len(files) == 3


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new folder" / "weights.safetensors"
    weights = {"W": numbers(3, 2).T, "b": numbers(4), "n": np.int64(3) * np.ones((), np.int64)}
    write_weights(path, weights, activation="relu", sizes=[1, 2])
    assert_same(read_weights(path), weights)
    assert read_header(path) == {"activation": "relu", "sizes": [1, 2]}
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no file half written


def test_a_file_written_before_headers_says_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"b": numbers(2)}, path)
    assert read_header(path) == {}
    save_file({"b": numbers(2)}, path, metadata={"format": "np"})
    assert read_header(path) == {}


def test_a_checkpoint_of_version_0_1(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_file({"model/b": numbers(2)}, path, metadata={"checkpoint": '{"epoch": 3}'})
    assert read_header(path) == {"checkpoint": {"epoch": 3}}


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"b": numbers(2)})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_weights(path, {"b": numbers(2)}, header={1, 2})  # a set is not JSON
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("read", [read_weights, read_header])
def test_no_such_file(tmp_path, read):
    for path in tmp_path / "none.safetensors", tmp_path:
        with pytest.raises(WeightsError, match="no such weights file"):
            read(path)


@pytest.mark.parametrize("read", [read_weights, read_header])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\xff" * 40])
def test_not_a_weights_file(tmp_path, read, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a safetensors file that can be read"):
        read(path)


def test_a_file_cut_short(tmp_path):
    path = tmp_path / "weights.safetensors"
    write_weights(path, {"b": numbers(100)})
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        read_weights(path)


# Do they fit? -------------------------------------------------------------------------------------


def test_every_fault_is_listed():
    weights = {"W": numbers(2, 3), "b": numbers(3), "z": numbers(1), "s": np.array(["a"])}
    shapes = {"W": (3, 2), "b": (3,), "c": (4,), "s": (1,)}
    with pytest.raises(WeightsError) as caught:
        check_weights(weights, shapes)
    for fault in (
        "missing: c (4,)",
        "unknown: z (1,)",
        "wrong shape: W is (2, 3), the model needs (3, 2)",
        "not numbers: s",
    ):
        assert fault in str(caught.value)
    assert " b " not in str(caught.value)


def test_weights_that_fit_come_in_float32_and_in_the_order_of_the_model():
    found = check_weights({"b": [1, 2], "a": np.float64([[3]])}, {"a": (1, 1), "b": (2,)})
    assert [*found] == ["a", "b"]
    assert {w.dtype for w in found.values()} == {np.dtype(np.float32)}
