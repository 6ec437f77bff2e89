"""What an argument may be, in words, and what is tried in its place."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from d2lrnn.errors import ArgumentError, UserError


class Thing:
    """An object of no use."""

    def __repr__(self):
        return "a thing"


BIG, HUGE = 2**40, 10**30
VALUES = [
    *(0, -1, 1.5, math.nan, math.inf, True, None, "", "3", [], {}, np.float32(2), np.bool_(True)),
    *(BIG, HUGE, Thing(), Thing, np.array(["x", "y"]), np.zeros((2, 0))),
]


class Kind(NamedTuple):
    """What an argument may be, in words, and which of `VALUES` it may be or has another error for.

    Attributes:
        by_shape: of an array: the error tells its shape and type, not the value.
    """

    said: str
    fine: tuple[Any, ...] = ()
    by_shape: bool = False

    def or_none(self):
        return self._replace(fine=(*self.fine, None))

    def bad(self):
        fine = {(type(value), repr(value)) for value in self.fine}
        return [value for value in VALUES if (type(value), repr(value)) not in fine]

    def text(self, name, value):
        """How the error begins."""
        received = f"={value!r}"
        if self.by_shape:
            array = np.asarray(value)
            array = array.reshape(-1, 1) if name in ("token", "tokens") else array
            received = f" of shape {array.shape} and dtype {array.dtype}"
        return f"Expected {name} to be {self.said}. Received: {name}{received}"


def assert_told(kind, name, function):
    """`function(value)` raises an error that names the argument for each value that is not of `kind`."""
    for value in kind.bad():
        try:
            function(value)
        except UserError as error:
            assert str(error).startswith(kind.text(name, value)), error
            assert isinstance(error, ArgumentError)
        else:
            pytest.fail(f"{name}={value!r} was accepted")
