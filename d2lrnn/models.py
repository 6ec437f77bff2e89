"""The models that runs, the command line and comparisons know by name, from chapters 9 and 10."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from d2lrnn import backend


class Model(NamedTuple):
    """A language model of the table, by the names of its classes in a backend.

    Attributes:
        section: of the book.
        equations: of the book.
        title: what it is, in a few words.
        kind: the equations of its layer, see `d2lrnn.cells.GATES`.
        layer: the class of its recurrent layer.
        options: of `d2lrnn train`, those that the layer takes besides its sizes, and their defaults.
        language_model: the class of the whole.
        num_inputs: whether the layer must be told the size of its inputs.
        numbered: whether its layers have numbers also where there is one, `rnn.0.W_xh`.
    """

    section: str
    equations: str
    title: str
    kind: str
    layer: str
    options: Mapping[str, Any]
    language_model: str = "RNNLM"
    num_inputs: bool = False
    numbered: bool = False


def _scratch(
    section: str, equations: str, title: str, kind: str, layer: str, **options: Any
) -> Model:
    options = {"sigma": 0.01, **options}
    return Model(section, equations, title, kind, layer, options, "RNNLMScratch", num_inputs=True)


_DEEP: Mapping[str, Any] = {"num_layers": 1, "dropout": 0.0}
_PHI: Mapping[str, Any] = {"activation": "tanh"}

MODELS = {
    "rnn": Model(
        *("9.6", "9.4.5", "a recurrent network on the framework's own layer", "rnn", "RNN"),
        {**_PHI, **_DEEP},
    ),
    "scratch": _scratch(
        *("9.5", "9.4.5", "a recurrent network from scratch", "rnn", "RNNScratch"), **_PHI
    ),
    "lstm": Model(
        "10.1", "10.1.1 to 10.1.4", "an LSTM on the framework's own layer", "lstm", "LSTM", _DEEP
    ),
    "lstm-scratch": _scratch(
        "10.1", "10.1.1 to 10.1.4", "an LSTM from scratch", "lstm", "LSTMScratch"
    ),
    "gru": Model(
        *("10.2", "10.2.1 to 10.2.3", "a GRU on the framework's own layer", "gru_after", "GRU"),
        _DEEP,
    ),
    "gru-scratch": _scratch(
        *("10.2", "10.2.1 to 10.2.3", "a GRU from scratch", "gru_before", "GRUScratch")
    ),
    "deep-scratch": _scratch(
        *("10.3", "10.3.1", "recurrent layers above each other, from scratch", "rnn"),
        *("StackedRNNScratch",),
        num_layers=2,
    )._replace(numbered=True),
}


def build(options: Mapping[str, Any], vocab_size: int) -> Any:
    """The untrained model `options["model"]`, on the active backend.

    Args:
        options: those of `d2lrnn train`: `model`, `num_hiddens`, `lr`, `seed`, and what the layer takes.
        vocab_size: number of tokens.
    """
    model, d2l = MODELS[options["model"]], backend.active()
    sizes = {"num_hiddens": options["num_hiddens"]}
    if model.num_inputs:
        sizes["num_inputs"] = vocab_size
    others = {
        name: default
        if options.get(name) is None
        else options[name]  # runs of d2lrnn 0.1 lack some
        for name, default in model.options.items()
    }
    layer = getattr(d2l, model.layer)(**sizes, **others, seed=options["seed"])
    whole = getattr(d2l, model.language_model)
    return whole(layer, vocab_size=vocab_size, lr=options["lr"], seed=options["seed"])


def num_parameters(model: Model, vocab_size: int, num_hiddens: int) -> int:
    """How many numbers a model of the table learns, as it is without options."""
    options = {**model.options, "num_hiddens": num_hiddens}
    of_all = _shapes(model, options, vocab_size).values()
    return sum(math.prod(shape) for shape in of_all)


def shapes(options: Mapping[str, Any], vocab_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of that model by canonical name; no framework is needed to know them."""
    return _shapes(MODELS[options["model"]], options, vocab_size)


def _shapes(
    model: Model, options: Mapping[str, Any], vocab_size: int
) -> dict[str, tuple[int, ...]]:
    from d2lrnn.cells import GATES  # not above: the command line lists the table without NumPy

    h = options["num_hiddens"]
    num_layers = options.get("num_layers") or 1
    found: dict[str, tuple[int, ...]] = {}
    for index in range(num_layers):
        path = f"rnn.{index}." if num_layers > 1 or model.numbered else "rnn."
        num_inputs = h if index else vocab_size
        of_gate = {"W_x": (num_inputs, h), "W_h": (h, h), "b_": (h,)}
        found |= {
            f"{path}{part}{g}": shape for g in GATES[model.kind] for part, shape in of_gate.items()
        }
    return {**found, "linear.W_hq": (h, vocab_size), "linear.b_q": (vocab_size,)}


def layer_classes() -> tuple[type, ...]:
    """The recurrent layers of the table, on the active backend."""
    return tuple({getattr(backend.active(), model.layer) for model in MODELS.values()})


def model_classes() -> tuple[type, ...]:
    """The language models of the table, on the active backend."""
    return tuple({getattr(backend.active(), model.language_model) for model in MODELS.values()})
