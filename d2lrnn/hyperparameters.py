"""What the book's classes share: saved hyperparameters, methods added later, checks (3.2)."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Sized
from types import CodeType
from typing import Any, TypeVar

import numpy as np

from d2lrnn import backend
from d2lrnn.arguments import (
    ARGUMENTS,
    Having,
    Integer,
    check_layers,
    check_room,
    checked,
    expect,
)
from d2lrnn.errors import ArgumentError

T = TypeVar("T")


class HyperParameters:
    """A base class that keeps the arguments of `__init__` as attributes (section 3.2.1)."""

    hparams: dict[str, Any]
    # Arguments that may be None besides those that are None where they are left out: without a seed,
    # the weights of a model are others each time.
    optional: tuple[str, ...] = ("seed",)

    def save_hyperparameters(self, ignore: Iterable[str] = ()) -> None:
        """Save the arguments of the calling method as attributes and in the dict `self.hparams`.

        Left out are the instance itself, names that start with an underscore and those in
        `ignore` (a name or several). Called once in each `__init__` of a class hierarchy, it
        gathers the arguments of all of them; where a name comes twice, the later call holds.

        Those of a class of the library are checked by the table of arguments, and NumPy's numbers become
        Python's; what a reader's own class calls by the same names is the reader's.
        """
        current = inspect.currentframe()
        assert current is not None and current.f_back is not None  # CPython always has frames
        frame = current.f_back
        names, varargs, keywords, values = inspect.getargvalues(frame)
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
        if backend.is_library(frame.f_globals.get("__name__")):
            new = checked_all(new, {*self.optional, *none_by_default(type(self), frame.f_code)})
        self.hparams = {**getattr(self, "hparams", {}), **new}
        for name, value in new.items():
            setattr(self, name, value)


def checked_all(arguments: dict[str, Any], optional: Iterable[str]) -> dict[str, Any]:
    """The arguments, those that the table knows checked, as Python's own; `optional` ones may be None."""
    found = {
        name: checked(name, value)
        if name in ARGUMENTS and not (value is None and name in optional)
        else value
        for name, value in arguments.items()
    }
    check_room({"num_hiddens": getattr(found.get("rnn"), "num_hiddens", None), **found})
    if found.keys() >= {"num_layers", "dropout"}:
        check_layers(found["num_layers"], found["dropout"])
    return found


def check_fields(module: Any) -> None:
    """As `save_hyperparameters`, of a class whose arguments are the fields of a dataclass."""
    names, optional = fields_in_table(type(module))  # type: ignore[arg-type]
    values = checked_all({name: getattr(module, name) for name in names}, optional)
    for name, value in values.items():
        object.__setattr__(module, name, value)


@functools.cache
def fields_in_table(cls: type) -> tuple[list[str], list[str]]:
    """The fields that the table knows of the library's class below `cls`, and those that may be None."""
    library = next(base for base in cls.__mro__ if backend.is_library(base.__module__))
    fields = [field for field in dataclasses.fields(library) if field.name in ARGUMENTS]
    return [f.name for f in fields], [f.name for f in fields if "None" in str(f.type)]


def none_by_default(cls: type, code: CodeType) -> set[str]:
    """The arguments of the method of this code that are None where they are left out."""
    methods = (vars(base).get(code.co_name) for base in cls.__mro__)
    own = next((m for m in methods if getattr(m, "__code__", None) is code), None)
    parameters = inspect.signature(own).parameters.values() if own else ()
    return {parameter.name for parameter in parameters if parameter.default is None}


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
    expect("a", a, Having("something with a length", ("__len__",)))
    check_integer("n", n, 0)
    if len(a) != n:
        raise ArgumentError(f"Expected length {n}. Received: length {len(a)}.")


def check_shape(a: Any, shape: Iterable[int]) -> None:
    """Raise `ArgumentError` unless the tensor `a`, of any framework, has `shape` (section 9.5)."""
    expect("a", a, Having("a tensor", ("shape",)))
    expect("shape", shape, Having("a shape, such as (2, 3)", ("__iter__", "__len__")))
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


def as_array(name: str, values: Any) -> np.ndarray[Any, Any]:
    """`values`, of NumPy or nested lists, as an array; `ArgumentError` if they are none."""
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:  # rows of several lengths, say
        raise ArgumentError(f"Expected {name} to be an array. {name}: {error}.") from None


def on_host(tensor: Any, name: str = "batch") -> np.ndarray[Any, Any]:
    """A tensor of the framework, or what NumPy makes an array of, as an array."""
    if backend.loaded() and backend.active().ops.is_tensor(tensor):
        tensor = backend.active().numpy(tensor)
    return as_array(name, tensor)


def check_tokens(
    name: str, tokens: Any, vocab_size: int, axes: tuple[str, ...] = ("batch_size", "num_steps")
) -> np.ndarray[Any, Any]:
    """`tokens` as an array, of which these are the axes.

    Raises:
        ArgumentError: they are no whole numbers, there are none, or one is no index of a vocabulary of
            this size.
    """
    array = as_array(name, tokens)
    if array.dtype.kind not in "iu" or array.ndim != len(axes) or not array.size:
        raise ArgumentError(
            f"Expected {name} to be tokens, whole numbers ({', '.join(axes)}), at least one. Received: "
            f"{name} of shape {array.shape} and dtype {array.dtype}."
        )
    if not 0 <= array.min() <= array.max() < vocab_size:
        raise ArgumentError(
            f"{name} has tokens from {array.min()} to {array.max()}: expected 0 to {vocab_size - 1}, the "
            f"indices of a vocabulary of vocab_size={vocab_size}."
        )
    return array


def check_numbers(name: str, values: Any) -> np.ndarray[Any, Any]:
    """`values`, a tensor too, as an array; `ArgumentError` unless they are numbers, at least one."""
    array = on_host(values, name)
    if array.dtype.kind not in "iuf" or not array.size:
        raise ArgumentError(
            f"Expected {name} to be numbers, at least one. Received: {name} of shape {array.shape} and "
            f"dtype {array.dtype}."
        )
    return array


def numeric(array: Any) -> np.ndarray[Any, Any]:
    """`array` in NumPy; `ArgumentError` unless it holds numbers or truth values."""
    found: np.ndarray[Any, Any] = np.asarray(array)
    if found.dtype.kind not in "biuf":
        raise ArgumentError(f"array of dtype {found.dtype}: expected numbers.")
    return found


def check_integer(name: str, value: Any, minimum: int) -> int:
    """`value` as an `int`; `ArgumentError` if it is none or is below `minimum`."""
    number: int = expect(name, value, Integer(minimum))
    return number


def check_inputs(size: int, num_inputs: int) -> None:
    """Raise `ArgumentError` unless the last axis of a layer's inputs has the size it was made for."""
    if size != num_inputs:
        raise ArgumentError(
            f"Expected inputs of size num_inputs={num_inputs}, for which the layer was made. Received: "
            f"inputs of size {size}. Make it with num_inputs={size}; over one-hot vectors that is the "
            "size of the vocabulary, and may be left out."
        )
