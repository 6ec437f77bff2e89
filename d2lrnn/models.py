"""The models that runs, the command line and comparisons know by name, from chapters 9 and 10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from d2lrnn import backend


class Model(NamedTuple):
    """A language model of the table, by the names of its classes in a backend.

    Attributes:
        section: of the book.
        title: what it is, in a few words.
        kind: the equations of its layer, see `d2lrnn.cells.GATES`.
        layer: the class of its recurrent layer.
        language_model: the class of the whole.
        options: of `d2lrnn train`, those that the layer takes besides its sizes, and their defaults.
        num_inputs: whether the layer must be told the size of its inputs.
    """

    section: str
    title: str
    kind: str
    layer: str
    language_model: str
    options: Mapping[str, Any]
    num_inputs: bool = False


MODELS = {
    "rnn": Model(
        section="9.6",
        title="a recurrent network on the framework's own layer",
        kind="rnn",
        layer="RNN",
        language_model="RNNLM",
        options={"activation": "tanh"},
    ),
    "scratch": Model(
        section="9.5",
        title="a recurrent network from scratch",
        kind="rnn",
        layer="RNNScratch",
        language_model="RNNLMScratch",
        options={"sigma": 0.01, "activation": "tanh"},
        num_inputs=True,
    ),
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
    others = {name: options[name] for name in model.options}
    layer = getattr(d2l, model.layer)(**sizes, **others, seed=options["seed"])
    whole = getattr(d2l, model.language_model)
    return whole(layer, vocab_size=vocab_size, lr=options["lr"], seed=options["seed"])


def shapes(options: Mapping[str, Any], vocab_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of that model by canonical name; no framework is needed to know them."""
    from d2lrnn.cells import GATES  # not above: the command line lists the table without NumPy

    h, kind = options["num_hiddens"], MODELS[options["model"]].kind
    of_gate = {"W_x": (vocab_size, h), "W_h": (h, h), "b_": (h,)}
    recurrent = {
        f"rnn.{letter}{gate}": shape for gate in GATES[kind] for letter, shape in of_gate.items()
    }
    return {**recurrent, "linear.W_hq": (h, vocab_size), "linear.b_q": (vocab_size,)}


def layer_classes() -> tuple[type, ...]:
    """The recurrent layers of the table, on the active backend."""
    return tuple({getattr(backend.active(), model.layer) for model in MODELS.values()})


def model_classes() -> tuple[type, ...]:
    """The language models of the table, on the active backend."""
    return tuple({getattr(backend.active(), model.language_model) for model in MODELS.values()})
