"""What every model is, whatever the framework (book, section 3.2.2).

The classes here are mixins: a backend's `Module` derives from its framework's base class and from
`Module` below, so that `class RNN(d2l.Module)` in a cell is a real module of that framework.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from d2lrnn import backend
from d2lrnn.arguments import check, shown
from d2lrnn.board import ProgressBoard
from d2lrnn.errors import ArgumentError, WeightsError
from d2lrnn.hyperparameters import HyperParameters, check_numbers
from d2lrnn.weights import (
    Weights,
    canonical_path,
    canonical_shapes,
    check_reset,
    check_weights,
    from_canonical,
    model_weights,
    path_below,
    read_header,
    to_canonical,
    write_weights,
)


class Module(HyperParameters):
    """The hooks of a model: `forward`, `loss`, `training_step`, `validation_step`, `configure_optimizers`.

    A model needs `forward` (or `self.net`) and `loss`; the rest has defaults in each backend. A model
    that replaces `training_step` or `validation_step` is run through it minibatch by minibatch.
    """

    plot_train_per_epoch: float = 2
    plot_valid_per_epoch: float = 1
    optimizer_name = "sgd"  # or "momentum", "adam": what `configure_optimizers` makes
    metric = "loss"  # what the library's own steps plot; "ppl" for a language model

    trainer: Any

    # What belongs to a training that was, not to the model: a copy has none of it. A backend whose models
    # keep more (what was compiled out of them, say) names it too.
    not_copied: tuple[str, ...] = ("trainer", "_board")

    def __getstate__(self) -> dict[str, Any]:
        """What `copy.deepcopy` and `pickle` keep: all but `not_copied`."""
        return {name: value for name, value in vars(self).items() if name not in self.not_copied}

    # What a backend adds ---------------------------------------------------------------------------

    @property
    def device(self) -> Any:
        """Where the parameters are."""
        raise NotImplementedError

    def is_on(self, device: Any) -> bool:
        """Whether the parameters are on `device`, named as the framework allows."""
        raise NotImplementedError

    def check_device(self, device: Any) -> None:
        """Raise an ArgumentError if `device` is another than the model's; None is the model's."""
        try:
            is_there = device is None or self.is_on(device)
        except (TypeError, ValueError, AttributeError, KeyError, RuntimeError):  # it is no device
            is_there = False
        if not is_there:
            raise ArgumentError(
                f"Expected device to be that of the model, or None. Received: device={shown(device)}. The "
                f"model is on {self.device}. Leave device out, or put the model elsewhere: a Trainer trains "
                "it, and leaves it, on the device that num_gpus chooses."
            )

    def evaluator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function(model, *tensors)`, of arrays and giving (nested) arrays, without gradients.

        It runs with the weights of the moment, and never in training mode. An argument may be None, or
        nested. What is compiled for it is kept with the model, by `function` and `methods_of` the model.
        """
        raise NotImplementedError

    def gradients_of(self, *batch: Any) -> tuple[float, Weights]:
        """`batch_loss` of a minibatch of arrays, and its gradients by the framework's own paths."""
        raise NotImplementedError

    # The hooks, where their arguments are the same; JAX's take parameters too ----------------------------

    def loss(self, Y_hat: Any, Y: Any) -> Any:
        """The mean loss of the outputs `Y_hat` to the labels `Y`."""
        raise NotImplementedError(f"{type(self).__name__} defines no loss(self, Y_hat, Y).")

    def forward(self, X: Any, *args: Any, **kwargs: Any) -> Any:
        """The outputs of the inputs `X`: those of `self.net`, unless a model says otherwise."""
        if not hasattr(self, "net"):
            raise ArgumentError(
                f"{type(self).__name__} needs self.net, or its own forward(self, X)."
            )
        return self.net(X, *args, **kwargs)

    def batch_loss(self, batch: Any) -> Any:
        """The mean loss of a minibatch, whose last tensor are the labels; nothing is plotted."""
        return self.loss(self(*batch[:-1]), batch[-1])  # type: ignore[operator]

    def training_step(self, batch: Any) -> Any:
        """The loss of a minibatch, which is plotted."""
        loss = self.batch_loss(batch)
        self.plot_loss(loss, train=True)
        return loss

    def validation_step(self, batch: Any) -> Any:
        """As `training_step`, for a minibatch of validation."""
        loss = self.batch_loss(batch)
        self.plot_loss(loss, train=False)
        return loss

    def configure_optimizers(self) -> Any:
        """The optimiser that `optimizer_name` names, at the learning rate `lr` (book, chapter 12)."""
        return backend.active().optimizers.make(self)

    # Plots ------------------------------------------------------------------------------------------

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
        check(key=key, train=train)
        trainer = self.__dict__.get("trainer")
        if trainer is None:
            raise ArgumentError(
                f"plot({key!r}) needs a trainer: it is called in a step of `Trainer.fit`, not before."
            )
        trainer.record(key, value, train)

    def plot_loss(self, loss: Any, train: bool) -> None:
        """Plot a mean loss as the model's metric: itself, or the perplexity."""
        ppl = self.metric == "ppl"
        self.plot(self.metric, backend.active().exp(loss) if ppl else loss, train)

    def num_tokens(self, labels: Any) -> np.ndarray[Any, Any]:
        """How many elements of each example of `labels` (batch_size, ...) the loss is a mean over.

        All; a model whose loss leaves some out (padding) says here how many are left, (batch_size,), so
        that a minibatch weighs as many tokens as count in it. It is given a NumPy array.
        """
        return np.full(labels.shape[0], math.prod(labels.shape[1:]))

    def check_data(self, data: Any, train_loader: Any, val_loader: Any) -> None:
        """Raise an ArgumentError if `data` cannot be meant for this model; asked before training."""

    def check_batch(self, batch: Any) -> None:
        """As `check_data`, for a minibatch of a reader's own loader, in the first epoch."""

    def check_state(self, state: Any, batch_size: int) -> Any:
        """`state` as the model takes it; a model that knows raises an ArgumentError where it is none."""
        return state

    # Weights by canonical name ------------------------------------------------------------------------

    def get_weights(self) -> Weights:
        """The weights as NumPy arrays (float32), by name: see `d2lrnn.weights`.

        Of the language model of sections 9.5 and 9.6: `rnn.W_xh` (num_inputs, num_hiddens), `rnn.W_hh`
        (num_hiddens, num_hiddens), `rnn.b_h` (num_hiddens,), `linear.W_hq` (num_hiddens, vocab_size),
        `linear.b_q` (vocab_size,). What is not the book's keeps the framework's own names, as do arrays
        that are not trained, such as the running statistics of a normalisation.
        """
        own = self._sized()
        return to_canonical(own.layout(self), own.arrays(self))

    def set_weights(self, weights: Weights) -> None:
        """Replace the weights by the arrays of `weights`, named and shaped as `get_weights` gives them.

        Raises:
            WeightsError: a name is missing or unknown, or a shape differs; nothing is changed then.
        """
        check(weights=weights)
        checked, own = self.check_weights(weights), backend.active().weights
        own.assign(self, from_canonical(own.layout(self), checked, own.arrays(self)))

    def check_weights(self, weights: Weights) -> Weights:
        """The arrays of `weights`, as `set_weights` takes them; it raises what that raises."""
        own = self._sized()
        layout, arrays = own.layout(self), own.arrays(self)
        check_reset(weights, [name for piece in layout for name in piece.names])
        types = {name: array.dtype for name, array in to_canonical(layout, arrays).items()}
        return check_weights(weights, canonical_shapes(layout, arrays), types)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the weights to `path` in the safetensors format, under their canonical names.

        Its header holds what the weights do not tell: the activation of a layer that has one.
        """
        check(path=path)
        write_weights(path, self.get_weights(), **backend.active().weights.settings(self))

    def load(self, path: str | os.PathLike[str]) -> None:
        """Read the weights from `path`, whichever backend has written them; of a checkpoint, its weights.

        Raises:
            WeightsError: the file is not readable, its weights do not fit the model (the message lists
                what is missing, what is unknown and which shapes differ), or they are those of a model
                with another activation.
        """
        check(path=path)
        header, weights = read_header(path), model_weights(path)
        for name, value in backend.active().weights.settings(self).items():
            if header.get(name, value) != value:
                raise WeightsError(
                    f"path={str(path)!r} has the weights of a model with {name}={header[name]!r}, this "
                    f"one has {name}={value!r} and would compute something else with them; nothing was "
                    f"loaded. Make the model with {name}={header[name]!r}."
                )
        self.set_weights(weights)

    def gradients(self, X: Any, Y: Any, state: Any = None) -> tuple[float, Weights]:
        """The mean loss of the inputs X and labels Y, in NumPy, and its gradients by canonical name.

        They are not clipped; of a recurrent model they start from `state`, by default zeros.
        """
        X, Y = check_numbers("X", X), check_numbers("Y", Y)
        self.check_batch((X, Y))
        state, own = self.check_state(state, len(X)), self._sized()
        run = backend.faster(self, self.gradients_of)
        loss, gradients = run(*((X, Y) if state is None else (X, state, Y)))
        layout = [p for p in own.layout(self) if p.names and p.path in gradients]
        return loss, to_canonical(layout, gradients)

    def _sized(self) -> Any:
        """The backend's `weights`, once the sizes of all layers are known."""
        own = backend.active().weights
        if not own.has_sizes(self):
            self.infer_sizes()
        return own

    def infer_sizes(self) -> None:
        """Give layers that wait for their first input their sizes."""
        raise ArgumentError(
            f"{type(self).__name__} has layers whose sizes follow from their first input. Call the model "
            "once, or train it, before its weights are read or set."
        )


class Classifier:
    """What a model of classes has besides its loss (book, section 4.3)."""

    def accuracy(self, Y_hat: Any, Y: Any, averaged: bool = True) -> Any:
        """How often the largest logit is the class, or for each example whether it is.

        Args:
            Y_hat: logits (..., num_classes).
            Y: classes (...).
            averaged: whether to return the mean, or 1 or 0 for each.
        """
        d2l = backend.active()
        classes = d2l.astype(d2l.argmax(Y_hat, -1), Y.dtype)
        hits = d2l.astype(classes == d2l.reshape(Y, classes.shape), d2l.float32)
        return d2l.reduce_mean(hits) if averaged else hits


# Who wrote what -------------------------------------------------------------------------------------


def is_library_code(function: Any) -> bool:
    """Whether `function` (or a class) is the library's, the core's or the backend's, by its `__module__`."""
    return backend.is_library(getattr(function, "__module__", None))


def methods_by_name(model: Any) -> dict[str, Any]:
    """The functions behind the methods of `model`, as they are at the moment; not the framework's own."""
    framework = [cls for cls in backend.active().Module.__mro__ if not is_library_code(cls)]
    names = {
        name
        for cls in type(model).__mro__
        if cls not in framework
        for name, value in vars(cls).items()
        if inspect.isfunction(value) and (not name.startswith("__") or name == "__call__")
    }
    methods = {name: getattr(model, name) for name in sorted(names)}
    return {name: getattr(method, "__func__", method) for name, method in methods.items()}


def methods_of(model: Any) -> tuple[Any, ...]:
    """As `methods_by_name`: what is compiled out of a model holds as long as these stay the same."""
    return tuple(methods_by_name(model).values())


@contextlib.contextmanager
def standing_in(owner: Module, **methods: Callable[..., Any]) -> Iterator[None]:
    """Inside the block, functions stand in for those methods of `owner` that are the library's.

    A copy of it that is made there, by a reader's `training_step` say, has none of them.
    """
    own = vars(owner)  # not by setattr, with which a framework looks into what it is given
    others = {
        name: function
        for name, function in methods.items()
        if name not in own and is_library_code(getattr(owner, name))
    }
    outer = own.get("not_copied")  # inside another such block
    own.update(others, not_copied=(*owner.not_copied, *others, "not_copied"))
    try:
        yield
    finally:
        for name in (*others, "not_copied"):
            del own[name]
        if outer is not None:
            own["not_copied"] = outer


# How a model is trained is no part of what it computes: a reader may replace these.
OF_TRAINING = ("configure_optimizers", "plot", "training_step", "validation_step")


def is_whole(model: Any, *classes: type) -> bool:
    """Whether `model` computes what one of `classes` does.

    It is of that class, or of a reader's below it, and of its methods only some `OF_TRAINING` are a reader's.
    """
    own = next(filter(is_library_code, type(model).__mro__), None)
    others = (
        function
        for name, function in methods_by_name(model).items()
        if name not in OF_TRAINING and hasattr(own, name)
    )
    return own in classes and all(map(is_library_code, others))


def draw_by_path(model: Any, at: str = "") -> None:
    """Draw the initial weights of the library's layers inside others anew, by their path.

    A layer that is made draws as if it were alone, so two of one size in a container are copies. Such a
    layer has `initial(path)`: its initial weights below the model, by the framework's own paths. Weights
    that are no longer the initial ones stay as they are. `at` is where `model` itself stands in a model:
    layers made of layers stand at "rnn".
    """
    own = backend.active().weights
    start = f"{at}." if at else ""
    for path, layer in own.layers(model):
        below = path_below(canonical_path(start + path)) if path else ""
        if not below or not is_library_code(type(layer)) or not hasattr(layer, "initial"):
            continue
        if layer.seed is not None and same_arrays(as_drawn(layer), own.arrays(layer)):
            layer.path = below
            own.assign(layer, layer.initial(below))


def as_drawn(layer: Any) -> Weights:
    """The initial weights that a layer was given when it was made, or drawn anew."""
    initial: Weights = layer.initial(getattr(layer, "path", ""))
    return initial


def same_arrays(one: Weights, other: Weights) -> bool:
    """Whether both have the same arrays, bit for bit, under the same names."""
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


def flat_state(state: Any) -> Any:
    """A state as arrays (num_layers, batch_size, num_hiddens): H, or of LSTMs the pair (H, C).

    A list of states (batch_size, num_hiddens) are those of layers above each other or of two directions;
    of LSTMs it is one of pairs.
    """
    if isinstance(state, list) and all(isinstance(part, tuple) for part in state):
        return tuple(flat_state(list(parts)) for parts in zip(*state, strict=True))
    if isinstance(state, list) and all(np.ndim(part) == 2 for part in state):
        return np.stack(state)
    if isinstance(state, tuple | list):
        return tuple(map(flat_state, state))
    return np.reshape(state, (-1, *np.shape(state)[-2:]))


def nested(function: Callable[[Any], Any], values: Any) -> Any:
    """`function` of each value in tuples and lists, which a reader may write to; None stays None."""
    if isinstance(values, tuple | list):
        return (list if isinstance(values, list) else tuple)(nested(function, v) for v in values)
    return None if values is None else function(values)


def single_state(state: Any) -> Any:
    """A state of one layer, however it is handed over, as a scratch layer carries it.

    Readers pass H (batch_size, num_hiddens), in a tuple (H,) as in the book, or (1, batch_size,
    num_hiddens); of an LSTM a pair of such.
    """
    if isinstance(state, tuple | list):
        states = tuple(map(single_state, state))
        return states[0] if len(states) == 1 else states
    return state[0] if len(state.shape) == 3 else state


def perplexity(loss: float) -> float:
    """`exp(loss)` for a mean loss in nats per token (book, section 9.3.2); infinite where it overflows."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
