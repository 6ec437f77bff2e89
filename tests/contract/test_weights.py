"""`save` and `load`: the same file for every backend."""

import numpy as np
import pytest
from layers import CHAPTER_9, FEW_LAYERS, LAYERS, PAIRS
from safetensors.numpy import load_file, save_file
from small_models import (
    NUM_HIDDENS,
    TwoLayers,
    assert_same_weights,
    base_class,
    fit,
    make_layer,
    make_model,
    with_larger_weights,
)

import d2lrnn as d2l
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


@pytest.mark.parametrize("layers", CHAPTER_9)
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


def test_a_gru_with_the_reset_elsewhere_is_refused(data, tmp_path):
    """Before the product with W_hh, as in the book, and after it, as in every framework: see below."""
    before, after = (make_model(layers, len(data.vocab)) for layers in ("GRUScratch", "GRU"))
    path = tmp_path / "weights.safetensors"
    for one, other in (before, after), (after, before):
        one.save(path)
        with pytest.raises(WeightsError, match=r"reset.*section 10\.2"):
            other.load(path)


def test_the_two_grus_differ_at_equal_weights(data):
    """So the names of their weights differ as well, and no file of one is taken for the other's."""
    before, after = (make_model(layers, len(data.vocab)) for layers in ("GRUScratch", "GRU"))
    random = np.random.RandomState(1)
    weights = {name: random.randn(*w.shape) for name, w in before.get_weights().items()}
    before.set_weights(weights)
    after.set_weights({n.replace("xh", "xn").replace("hh", "hn").replace("b_h", "b_n"): w
                       for n, w in weights.items()})  # fmt: skip
    one, other = (model.states(data.X[:4])[0] for model in (before, after))
    assert np.abs(one - other).max() > 0.3


def test_no_file(model, tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        model.load(tmp_path / "none.safetensors")


def test_not_a_weights_file(model, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not weights at all")
    with pytest.raises(WeightsError, match="not a safetensors file"):
        model.load(path)


# Equal weights, equal files -----------------------------------------------------------------------


def test_equal_weights_give_equal_files(layers, data, tmp_path):
    model, again = (make_model(layers, len(data.vocab)) for _ in range(2))
    files = []
    for i, one in enumerate([model, model, again]):
        one.save(tmp_path / str(i))
        files.append((tmp_path / str(i)).read_bytes())
    assert len(set(files)) == 1


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_equal_weights_of_scratch_and_high_level_layers_give_equal_files(pair, data, tmp_path):
    one, other = (make_model(layers, len(data.vocab)) for layers in pair)
    other.set_weights(one.get_weights())
    one.save(tmp_path / "one")
    other.save(tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


# The activation -----------------------------------------------------------------------------------


@pytest.fixture
def layers_with_a_choice(layers):
    if len(LAYERS[layers].activations) < 2:
        pytest.skip("has one activation")
    return layers


def test_another_activation_is_refused(layers_with_a_choice, data, tmp_path):
    tanh, relu = (
        make_model(layers_with_a_choice, len(data.vocab), activation=activation, seed=seed)
        for seed, activation in enumerate(["tanh", "relu"])
    )
    before, path = relu.get_weights(), tmp_path / "weights.safetensors"
    tanh.save(path)
    with pytest.raises(WeightsError, match=r"(?s)activation='tanh'.*activation='relu'"):
        relu.load(path)
    assert_same_weights(relu.get_weights(), before)
    relu.save(path)
    with pytest.raises(WeightsError, match=r"(?s)activation='relu'.*activation='tanh'"):
        tanh.load(path)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_file_written_before_files_named_the_activation_loads(
    layers_with_a_choice, data, tmp_path, activation
):
    one, other = (
        make_model(layers_with_a_choice, len(data.vocab), activation=activation, seed=seed)
        for seed in (1, 2)
    )
    path = tmp_path / "weights.safetensors"
    save_file(one.get_weights(), path)
    other.load(path)
    assert_same_weights(other.get_weights(), one.get_weights())


# A reader's own container of library layers -------------------------------------------------------


def two_layers(layers, seed=0):
    """A language model on two layers of one size; also the vocabulary has that size."""
    lower, upper = (make_layer(layers, NUM_HIDDENS, seed=seed) for _ in range(2))
    return base_class(layers)(TwoLayers(lower, upper), vocab_size=NUM_HIDDENS, lr=0.5, seed=seed)


class Tokens(d2l.DataModule):
    """Tokens of that vocabulary, to be told again."""

    def __init__(self, data):
        super().__init__()
        self.batch_size, self.X = 6, data.X[:18] % NUM_HIDDENS  # (num_windows, num_steps)

    def get_dataloader(self, train):
        return self.get_tensorloader([self.X, self.X], train)


def parts_of(weights):
    """The weights of the two layers, by their letters."""
    starts = ("rnn.lower.", "rnn.upper.")
    return [
        {n.removeprefix(start): w for n, w in weights.items() if n.startswith(start)}
        for start in starts
    ]


@pytest.mark.parametrize("layers", [*FEW_LAYERS, "StackedRNNScratch"])
def test_two_layers_of_one_size_do_not_start_as_copies(layers):
    lower, upper = parts_of(two_layers(layers).get_weights())
    assert set(lower) == set(upper)
    matrices = [name for name, w in lower.items() if w.ndim == 2]
    assert len(matrices) >= 2
    for name in matrices:
        correlation = np.corrcoef(lower[name].ravel(), upper[name].ravel())[0, 1]
        assert abs(correlation) < 0.5, name  # of 81 draws: four and a half sigma


def test_the_seed_decides_the_initial_weights_of_layers_in_a_container(layers):
    same, again, other = (two_layers(layers, seed).get_weights() for seed in (3, 3, 4))
    assert_same_weights(again, same)
    for of_same, of_other in zip(parts_of(same), parts_of(other), strict=True):
        assert all((of_same[n] != of_other[n]).any() for n, w in of_same.items() if w.ndim == 2)


def test_layers_in_a_container_train_save_and_load(layers, data, tmp_path):
    model, other = with_larger_weights(two_layers(layers)), two_layers(layers, seed=1)
    before = model.get_weights()
    fit(model, Tokens(data))
    after = model.get_weights()
    for name, w in after.items():
        assert np.abs(w - before[name]).max() > 0, name
    model.save(tmp_path / "weights.safetensors")
    other.load(tmp_path / "weights.safetensors")
    assert_same_weights(other.get_weights(), after)
    X = Tokens(data).X
    np.testing.assert_array_equal(other.logits(X), model.logits(X))


def test_weights_that_were_set_are_not_drawn_anew(layers, data):
    """Training looks for layers that still hold the weights they were made with, and for no others."""
    lower, upper = (make_layer(layers, NUM_HIDDENS) for _ in range(2))
    model = base_class(layers)(TwoLayers(lower, upper), vocab_size=NUM_HIDDENS, lr=1e-12)
    weights = two_layers(layers, seed=5).get_weights()
    model.set_weights(weights)
    fit(model, Tokens(data))
    for name, w in model.get_weights().items():
        np.testing.assert_allclose(w, weights[name], rtol=0, atol=1e-9, err_msg=name)
