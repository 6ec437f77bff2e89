"""What every model is, whatever the framework (book, section 3.2.2).

The classes here are mixins: a backend's `Module` derives from its framework's base class and from
`Module` below, so that `class RNN(d2l.Module)` in a cell is a real module of that framework.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from d2lrnn.board import ProgressBoard
from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import HyperParameters
from d2lrnn.weights import Weights, read_weights, write_weights

Method = TypeVar("Method", bound=Callable[..., Any])


def library_step(method: Method) -> Method:
    """Mark a step as the library's own: a model that keeps it may be trained by a compiled epoch."""
    method.library_step = True  # type: ignore[attr-defined]
    return method


def keeps_library_step(model: object, step: str) -> bool:
    """Whether `model` leaves `step`, such as 'training_step' or 'one_hot', to the library."""
    return bool(getattr(getattr(type(model), step, None), "library_step", False))


class Module(HyperParameters):
    """The hooks of a model: `forward`, `loss`, `training_step`, `validation_step`, `configure_optimizers`.

    A model needs `forward` (or `self.net`) and `loss`; the rest has defaults in each backend. A model
    that replaces `training_step` or `validation_step` is run through it minibatch by minibatch.
    """

    plot_train_per_epoch: float = 2
    plot_valid_per_epoch: float = 1
    metric = "loss"  # what the library's own steps plot; "ppl" for a language model

    trainer: Any

    @property
    def board(self) -> ProgressBoard:
        """Where `plot` draws, made at its first use."""
        if "_board" not in self.__dict__:
            self.__dict__["_board"] = ProgressBoard()
        board: ProgressBoard = self.__dict__["_board"]
        return board

    @board.setter
    def board(self, board: ProgressBoard) -> None:
        self.__dict__["_board"] = board

    def plot(self, key: str, value: Any, train: bool) -> None:
        """Note `value` (a scalar, a framework's too) as a point of the line `train_<key>` or `val_<key>`.

        The value is read by the host at the end of the epoch, with all others, not now.
        """
        trainer = self.__dict__.get("trainer")
        if trainer is None:
            raise ArgumentError(
                f"plot({key!r}) needs a trainer: it is called in a step of `Trainer.fit`, not before."
            )
        trainer.record(key, value, train)

    # Weights by canonical name; each backend reads and writes them -------------------------------

    def get_weights(self) -> Weights:
        """The weights as float32 NumPy arrays, by name: canonical for the book's models.

        `rnn.W_xh` (num_inputs, num_hiddens), `rnn.W_hh` (num_hiddens, num_hiddens), `rnn.b_h`
        (num_hiddens,), `linear.W_hq` (num_hiddens, vocab_size), `linear.b_q` (vocab_size,).
        """
        raise NotImplementedError

    def set_weights(self, weights: Weights) -> None:
        """Replace the weights by the arrays of `weights`, named and shaped as `get_weights` gives them.

        Raises:
            WeightsError: a name is missing or unknown, or a shape differs; nothing is changed then.
        """
        raise NotImplementedError

    def save(self, path: str) -> None:
        """Write the weights to `path` in the safetensors format, under their canonical names."""
        write_weights(path, self.get_weights(), model=type(self).__name__)

    def load(self, path: str) -> None:
        """Read the weights from `path`, whichever backend has written them.

        Raises:
            WeightsError: the file is not readable, or its weights do not fit the model; the message
                lists what is missing, what is unknown and which shapes differ.
        """
        self.set_weights(read_weights(path))


def perplexity(loss: float) -> float:
    """`exp(loss)` for a mean loss in nats per token (book, section 9.3.2); infinite where it overflows."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
