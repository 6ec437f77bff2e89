"""`save` and `load`: the same file for every backend."""

import numpy as np
import pytest
from layers import PAIRS
from safetensors.numpy import load_file, save_file
from small_models import NUM_HIDDENS, assert_same_weights, make_model

from d2lrnn.errors import WeightsError


def test_round_trip(layers, data, tmp_path):
    model = make_model(layers, len(data.vocab), seed=1)
    path = tmp_path / "weights.safetensors"
    model.save(path)
    other = make_model(layers, len(data.vocab), seed=2)
    other.load(path)
    assert_same_weights(other.get_weights(), model.get_weights())
    assert_same_weights(load_file(path), model.get_weights())
    assert other.predict("it has", 20, data.vocab) == model.predict("it has", 20, data.vocab)


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_scratch_and_high_level_layers_agree(pair, data):
    one, other = (make_model(layers, len(data.vocab)) for layers in pair)
    other.set_weights(one.get_weights())
    np.testing.assert_allclose(other.logits(data.X[:4]), one.logits(data.X[:4]), atol=1e-5)


def test_a_file_that_does_not_fit_is_refused_with_the_list(model, tmp_path):
    weights = model.get_weights()
    before = {name: array.copy() for name, array in weights.items()}
    del weights["rnn.b_h"]
    weights["rnn.b_z"] = np.zeros(NUM_HIDDENS, np.float32)
    weights["rnn.W_hh"] = np.zeros((2, 3), np.float32)
    path = tmp_path / "weights.safetensors"
    save_file(weights, path)
    with pytest.raises(WeightsError) as caught:
        model.load(path)
    for fault in ("missing: rnn.b_h", "unknown: rnn.b_z", "wrong shape: rnn.W_hh is (2, 3)"):
        assert fault in str(caught.value)
    assert_same_weights(model.get_weights(), before)


def test_no_file(model, tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        model.load(tmp_path / "none.safetensors")


def test_not_a_weights_file(model, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        model.load(path)
