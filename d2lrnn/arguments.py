"""What the arguments of models, data and trainings may be, said once.

Constructors check their arguments by this table, and the command line makes its options of it.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, NamedTuple

from d2lrnn.errors import ArgumentError


@dataclass(frozen=True)
class Integer:
    """An integer of at least `minimum` and at most `maximum`."""

    minimum: int
    maximum: int | None = None

    def __str__(self) -> str:
        if self.maximum is not None:
            return f"an integer from {self.minimum} to {self.maximum}"
        return f"an integer of at least {self.minimum}"

    def accepts(self, value: Any) -> bool:
        try:
            number = operator.index(value)
        except TypeError:
            return False
        if isinstance(value, bool):
            return False
        return self.minimum <= number and (self.maximum is None or number <= self.maximum)


@dataclass(frozen=True)
class Number:
    """A finite number of at least 0, or above it."""

    above_0: bool

    def __str__(self) -> str:
        return "a positive number" if self.above_0 else "a number of at least 0"

    def accepts(self, value: Any) -> bool:
        try:
            positive = 0 < value < math.inf
        except TypeError:
            return False
        return not isinstance(value, bool) and bool(positive or (value == 0 and not self.above_0))


@dataclass(frozen=True)
class Share:
    """A share of a whole that leaves some of it."""

    def __str__(self) -> str:
        return "a number of at least 0 and below 1"

    def accepts(self, value: Any) -> bool:
        return Number(above_0=False).accepts(value) and bool(value < 1)


@dataclass(frozen=True)
class OneOf:
    """One of some words."""

    choices: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {{{', '.join(map(repr, self.choices))}}}"

    def accepts(self, value: Any) -> bool:
        return value in self.choices


Rule = Integer | Number | Share | OneOf


class Argument(NamedTuple):
    """An argument: what it may be, and its help; `way_out` is what an error adds."""

    rule: Rule
    help: str
    way_out: str = ""


ARGUMENTS = {
    # The model
    "num_inputs": Argument(Integer(1), "d, the size of the inputs X_t."),
    "num_hiddens": Argument(Integer(1), "h, the size of the hidden state H_t."),
    "num_layers": Argument(
        Integer(1),
        "L, the number of layers; each but the first runs over the outputs of the one below.",
    ),
    "dropout": Argument(
        Share(),
        "The share of these outputs that is dropped, between two layers, in training.",
        "It is the share that is dropped, and 0 is for none.",
    ),
    "vocab_size": Argument(Integer(1), "The number of tokens in the vocabulary."),
    "embed_size": Argument(Integer(1), "The size of the vector that a token is embedded as."),
    "activation": Argument(
        OneOf(("tanh", "relu")), "phi in H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h)."
    ),
    "sigma": Argument(
        Number(above_0=True),
        "Standard deviation of the initial weights; only with --model scratch.",
    ),
    # The data
    "tokens": Argument(OneOf(("char", "word")), "What a token is: a character or a word."),
    "min_freq": Argument(Integer(0), "Tokens that occur fewer times than this become <unk>."),
    "num_steps": Argument(
        Integer(1),
        "T, the number of tokens in a window: how far gradients flow back in time.",
    ),
    "batch_size": Argument(Integer(1), "n, the number of windows in a minibatch."),
    "num_train": Argument(
        Integer(1),
        "Number of windows for training, from the beginning of the text, one token apart.",
    ),
    "num_val": Argument(
        Integer(0), "Number of windows for validation, which follow them; 0 for none."
    ),
    # The training
    "max_epochs": Argument(Integer(1), "How many times to go over the training windows."),
    "patience": Argument(
        Integer(0),
        "End early, when the validation loss has not fallen below its lowest for this many epochs; 0 for "
        "never.",
    ),
    "checkpoint_every": Argument(Integer(1), "Write a checkpoint after every so many epochs."),
    "keep": Argument(
        Integer(1),
        "How many of the last checkpoints to keep, besides that of the lowest validation loss.",
    ),
    "epoch": Argument(Integer(0), "How often the training windows were gone over before."),
    "lr": Argument(
        Number(above_0=True), "eta, the learning rate of SGD: each step is -eta times the gradient."
    ),
    "gradient_clip_val": Argument(
        Number(above_0=False),
        "theta: gradients g are scaled by min(1, theta / ||g||), their global L2 norm; 0 for no "
        "clipping (section 9.5.3).",
        "It bounds the gradients' global L2 norm; 0 is for no clipping.",
    ),
    "num_gpus": Argument(
        Integer(0), "1: the first GPU, or the CPU where there is none; 0: the CPU."
    ),
    "seed": Argument(
        Integer(0, 2**32 - 1), "Decides the initial weights and the order of the minibatches."
    ),
    # Prediction
    "num_preds": Argument(Integer(0), "How many tokens to continue it by."),
    "temperature": Argument(
        Number(above_0=False),
        "Draw each token from softmax(O_t / temperature), O_t the logits: below 1 the likely become "
        "likelier, above 1 all become alike; 0 always takes the likeliest.",
        "0 always takes the likeliest token.",
    ),
    "beams": Argument(
        Integer(1),
        "k, how many sequences beam search follows; 1 takes the likeliest token each time.",
    ),
}


def check(**arguments: Any) -> None:
    """Raise `ArgumentError` for the first of `arguments` that is not what `ARGUMENTS` says."""
    for name, value in arguments.items():
        expect(name, value, ARGUMENTS[name].rule, ARGUMENTS[name].way_out)


def check_layers(num_layers: Any, dropout: Any) -> None:
    """Raise `ArgumentError` unless both are what they may be, and there is something to drop."""
    check(num_layers=num_layers, dropout=dropout)
    if dropout and num_layers == 1:
        raise ArgumentError(
            f"dropout={dropout!r} would change nothing: it acts between layers, and there is one. Give "
            "num_layers=2 or more, or leave dropout out."
        )


def expect(name: str, value: Any, rule: Rule, way_out: str = "") -> None:
    """Raise `ArgumentError` for the argument `name` unless `rule` accepts `value`."""
    if not rule.accepts(value):
        message = f"Expected {name} to be {rule}. Received: {name}={value!r}. {way_out}"
        raise ArgumentError(message.rstrip())
