"""What the book's classes share: saved hyperparameters, methods added later, checks (3.2)."""

import inspect
import operator
from collections.abc import Callable, Iterable, Sized
from typing import Any, TypeVar

from d2lrnn.arguments import Integer, OneOf, check, expect
from d2lrnn.errors import ArgumentError

T = TypeVar("T")


class HyperParameters:
    """A base class that keeps the arguments of `__init__` as attributes (section 3.2.1)."""

    hparams: dict[str, Any]

    def save_hyperparameters(self, ignore: Iterable[str] = ()) -> None:
        """Save the arguments of the calling method as attributes and in the dict `self.hparams`.

        Left out are the instance itself, names that start with an underscore and those in
        `ignore` (a name or several). Called once in each `__init__` of a class hierarchy, it
        gathers the arguments of all of them; where a name comes twice, the later call holds.
        """
        frame = inspect.currentframe()
        assert frame is not None and frame.f_back is not None  # CPython always has frames
        names, varargs, keywords, values = inspect.getargvalues(frame.f_back)
        names = names + [name for name in (varargs, keywords) if name is not None]
        ignored = {ignore} if isinstance(ignore, str) else set(ignore)
        new = {
            name: values[name]
            for name in names
            if name in values  # the method may have deleted it
            and values[name] is not self
            and name not in ignored
            and not name.startswith("_")
        }
        self.hparams = {**getattr(self, "hparams", {}), **new}
        for name, value in new.items():
            setattr(self, name, value)


def add_to_class(cls: type) -> Callable[[T], T]:
    """Make the decorated function a method of `cls`, under its own name (section 3.2.1).

    Instances that exist already have the method too. The function itself is returned, so that
    its name stays usable. Raises `ArgumentError` if `cls` is not a class.
    """
    if not isinstance(cls, type):
        raise ArgumentError(
            f"add_to_class expects a class, as in @d2l.add_to_class(d2l.Trainer). "
            f"Received: {cls!r}, of type {type(cls).__name__}."
        )

    def attach(function: T) -> T:
        name = getattr(function, "__name__", None)
        if name is None:
            raise ArgumentError(f"add_to_class decorates a function. Received: {function!r}.")
        setattr(cls, name, function)
        return function

    return attach


def check_len(a: Sized, n: int) -> None:
    """Raise `ArgumentError` unless `a` has `n` elements (section 9.5)."""
    if len(a) != n:
        raise ArgumentError(f"Expected length {n}. Received: length {len(a)}.")


def check_shape(a: Any, shape: Iterable[int]) -> None:
    """Raise `ArgumentError` unless the tensor `a`, of any framework, has `shape` (section 9.5)."""
    expected, received = tuple(shape), tuple(a.shape)
    if received != expected:
        raise ArgumentError(f"Expected shape {expected}. Received: shape {received}.")


def check_labels(outputs: Any, labels: Any) -> None:
    """Raise `ArgumentError` unless `labels` have the shape of `outputs`.

    A difference of (n, 1) and (n,) would be spread to (n, n), and the model trained to a mean.
    """
    expected, received = tuple(outputs.shape), tuple(labels.shape)
    if received != expected:
        raise ArgumentError(
            f"Expected labels of the shape of the model's outputs, {expected}. Received: labels of shape "
            f"{received}. Give the data labels of that shape, as d2l.reshape(y, (-1, 1)) does."
        )


def check_tokens(name: str, tokens: Any, vocab_size: int) -> None:
    """Raise `ArgumentError` unless the array `tokens` holds indices of a vocabulary of this size alone."""
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        raise ArgumentError(
            f"{name} has tokens from {tokens.min()} to {tokens.max()}: expected 0 to {vocab_size - 1}, the "
            f"indices of a vocabulary of vocab_size={vocab_size}."
        )


def check_integer(name: str, value: Any, minimum: int) -> int:
    """`value` as an `int`; `ArgumentError` if it is none or is below `minimum`."""
    expect(name, value, Integer(minimum))
    return operator.index(value)


def check_one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise `ArgumentError` if `value` is not one of `choices`."""
    expect(name, value, OneOf(tuple(choices)))


# What `check` is called where sizes or positive numbers are checked.
check_sizes = check_positive = check


def check_inputs(size: int, num_inputs: int) -> None:
    """Raise `ArgumentError` unless the last axis of a layer's inputs has the size it was made for."""
    if size != num_inputs:
        raise ArgumentError(
            f"Expected inputs of size num_inputs={num_inputs}, for which the layer was made. Received: "
            f"inputs of size {size}. Make it with num_inputs={size}; over one-hot vectors that is the "
            "size of the vocabulary, and may be left out."
        )
