"""Which model a run has trained, as its options tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from d2lrnn.models import MODELS


@dataclass(frozen=True)
class Architecture:
    """A model and its sizes; where they are equal, so are the equations, and weights can be compared.

    The same equations may be those of two models, of one from scratch and one on the framework's layer.
    """

    title: str = field(compare=False)  # with the section of the book
    kind: str
    num_layers: int
    num_hiddens: int
    activation: str | None

    def __str__(self) -> str:
        layers = "1 layer" if self.num_layers == 1 else f"{self.num_layers} layers"
        activation = f", {self.activation}" if self.activation else ""
        return f"{self.title}, {layers} of {self.num_hiddens} hidden units{activation}"


def architecture(options: Mapping[str, Any]) -> Architecture:
    """That of the model which these options ask for, see `complete`."""
    name = options["model"]
    model = MODELS.get(name)
    return Architecture(
        f"{model.title} (section {model.section})" if model else name,
        model.kind if model else name,
        *(options[size] for size in ("num_layers", "num_hiddens", "activation")),
    )


def complete(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` with what the model takes where they say nothing, as those of older runs do."""
    model = MODELS.get(options["model"])
    taken = {"num_layers": 1, "dropout": 0.0, "patience": 0, **(model.options if model else {})}
    return {**options, **{name: v for name, v in taken.items() if options.get(name) is None}}
