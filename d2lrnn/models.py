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
        layer: the class of its recurrent layer.
        language_model: the class of the whole.
        options: of `d2lrnn train`, those that the layer takes besides its sizes.
        num_inputs: whether the layer must be told the size of its inputs.
    """

    section: str
    title: str
    layer: str
    language_model: str
    options: tuple[str, ...] = ()
    num_inputs: bool = False


MODELS = {
    "rnn": Model(
        "9.6", "a recurrent network on the framework's layer", "RNN", "RNNLM", ("activation",)
    ),
    "scratch": Model(
        "9.5",
        "a recurrent network from scratch",
        "RNNScratch",
        "RNNLMScratch",
        ("sigma", "activation"),
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


def layer_classes() -> tuple[type, ...]:
    """The recurrent layers of the table, on the active backend."""
    return tuple({getattr(backend.active(), model.layer) for model in MODELS.values()})


def model_classes() -> tuple[type, ...]:
    """The language models of the table, on the active backend."""
    return tuple({getattr(backend.active(), model.language_model) for model in MODELS.values()})
