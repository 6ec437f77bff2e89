"""The table of models that runs and the command line know."""

import types

import pytest

from d2lrnn import backend, cells, models
from d2lrnn.models import MODELS

LANGUAGE = {name: row for name, row in MODELS.items() if not row.translates}


@pytest.fixture
def recorded(monkeypatch):
    """A backend whose classes only say how they were called."""

    def named(name):
        return type(
            name, (), {"__init__": lambda self, *args, **kw: vars(self).update(kw, args=args)}
        )

    names = {name for row in MODELS.values() for name in (row.layer, row.whole)}
    names |= {"Seq2SeqEncoder", "Seq2SeqDecoder", "Seq2SeqAttentionDecoder"}
    fake = types.SimpleNamespace(**{name: named(name) for name in names})
    monkeypatch.setattr(backend, "active", lambda: fake)
    return fake


OPTIONS = {"num_hiddens": 5, "lr": 0.5, "seed": 3, "activation": "relu", "sigma": 0.1}
OPTIONS |= {"num_layers": 2, "dropout": 0.5, "embed_size": 4, "attention": True, "tgt_pad": 1}


@pytest.mark.parametrize("name", MODELS)
def test_every_row_names_classes_that_a_backend_must_have(name):
    row = MODELS[name]
    assert {row.layer, row.whole} <= set(backend.REQUIRED)
    assert row.kind in cells.GATES
    assert set(row.options) <= set(OPTIONS)
    assert row.kind == "rnn" or "activation" not in row.options  # other layers have no choice


def test_no_two_rows_are_the_same_model():
    assert len({(row.layer, row.whole) for row in MODELS.values()}) == len(MODELS)
    assert len({row.section + row.layer for row in MODELS.values()}) == len(MODELS)


@pytest.mark.parametrize("name", LANGUAGE)
def test_build_passes_each_option_on(recorded, name):
    row = MODELS[name]
    model = models.build({"model": name, **OPTIONS}, 7)
    assert type(model).__name__ == row.whole
    assert (model.vocab_size, model.lr, model.seed) == (7, 0.5, 3)
    (layer,) = model.args
    assert type(layer).__name__ == row.layer
    expected = {"num_hiddens": 5, "seed": 3, **{option: OPTIONS[option] for option in row.options}}
    if row.num_inputs:
        expected["num_inputs"] = 7
    assert {**vars(layer), "args": ()} == {**expected, "args": ()}


@pytest.mark.parametrize("name", LANGUAGE)
def test_shapes_are_those_of_the_equations(name):
    shapes = models.shapes({"model": name, **OPTIONS, "num_layers": 1}, 7)
    start = "rnn.0." if MODELS[name].numbered else "rnn."
    assert set(cells.names_of(MODELS[name].kind, start)) == {n for n in shapes if "rnn" in n}
    assert shapes["linear.W_hq"] == (5, 7)
    assert shapes["linear.b_q"] == (7,)
    for gate in cells.GATES[MODELS[name].kind]:
        assert shapes[f"{start}W_x{gate}"] == (7, 5)
        assert shapes[f"{start}W_h{gate}"] == (5, 5)
        assert shapes[f"{start}b_{gate}"] == (5,)


@pytest.mark.parametrize("name", [n for n, row in LANGUAGE.items() if "num_layers" in row.options])
def test_shapes_of_layers_above_each_other(name):
    shapes = models.shapes({"model": name, **OPTIONS, "num_layers": 3}, 7)
    names = cells.names_of(MODELS[name].kind)
    assert {n for n in shapes if "rnn" in n} == {f"rnn.{i}.{n}" for i in range(3) for n in names}
    for n in names:
        if n.startswith("W_x"):
            assert [shapes[f"rnn.{i}.{n}"] for i in range(3)] == [(7, 5), (5, 5), (5, 5)]


def test_the_number_of_parameters_is_that_of_the_book():
    """Of a layer 28 * 32 + 32 * 32 + 32, four times that in an LSTM; above it 32 * 28 + 28."""
    layer, above = 28 * 32 + 32 * 32 + 32, 32 * 28 + 28
    sizes = {n: models.num_parameters(row, 28, num_hiddens=32) for n, row in LANGUAGE.items()}
    assert sizes["rnn"] == sizes["scratch"] == layer + above
    assert sizes["lstm"] == sizes["lstm-scratch"] == 4 * layer + above
    assert sizes["gru"] == sizes["gru-scratch"] == 3 * layer + above
    assert sizes["deep-scratch"] == layer + 2 * 32 * 32 + 32 + above


def test_a_run_of_before_chapter_10_lacks_some_options(recorded):
    options = {"model": "rnn", "num_hiddens": 5, "lr": 0.5, "seed": 3, "activation": "relu"}
    (layer,) = models.build(options, 7).args
    assert (layer.num_layers, layer.dropout) == (1, 0)
    assert set(models.shapes(options, 7)) >= {"rnn.W_xh"}


def test_an_unknown_model():
    with pytest.raises(KeyError, match="transformer"):
        models.build({"model": "transformer", **OPTIONS}, 7)


def test_classes_of_the_table(recorded):
    assert set(models.layer_classes()) == {getattr(recorded, r.layer) for r in MODELS.values()}
    assert set(models.model_classes()) == {getattr(recorded, r.whole) for r in LANGUAGE.values()}


@pytest.mark.parametrize("attention", [False, True])
def test_a_translator_is_built_of_its_options(attention, recorded):
    options = {"model": "seq2seq", **OPTIONS, "attention": attention}
    model = models.build(options, 7, 8)
    encoder, decoder = model.args
    assert (model.tgt_pad, model.lr, encoder.args, decoder.args) == (1, 0.5, (7,), (8,))
    kind = "Seq2SeqAttentionDecoder" if attention else "Seq2SeqDecoder"
    assert (type(encoder).__name__, type(decoder).__name__) == ("Seq2SeqEncoder", kind)
    sizes = {"embed_size": 4, "num_hiddens": 5, "num_layers": 2, "dropout": 0.5, "seed": 3}
    for part in encoder, decoder:
        assert {**vars(part), "args": ()} == {**sizes, "args": ()}
    shapes = models.shapes(options, 7, 8)
    assert shapes["encoder.embedding.W"] == (7, 4)
    assert shapes["encoder.rnn.0.W_xn"] == (4, 5)
    assert shapes["decoder.rnn.0.W_xn"] == (9, 5)
    assert shapes["decoder.rnn.1.W_xn"] == (5, 5)
    assert shapes["decoder.dense.W_hq"] == (5, 8)
    assert ("decoder.attention.w_v" in shapes) == attention


def test_the_translator_of_the_book_has_two_million_parameters():
    """Three gates of four layers of 256, one of them over 512 inputs; two embeddings; an output layer."""
    layer, wide = 3 * (2 * 256 * 256 + 256), 3 * (3 * 256 * 256 + 256)
    expected = 3 * layer + wide + (194 + 213) * 256 + 257 * 213
    assert models.num_parameters(MODELS["seq2seq"], 194, 213, num_hiddens=32) == expected
