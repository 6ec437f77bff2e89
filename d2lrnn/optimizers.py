"""What optimisers have in common: their names, their schedules, and their state as arrays by name.

A backend's `optimizers.py` makes them of its framework's, and reads and replaces their state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from d2lrnn.errors import WeightsError
from d2lrnn.schema import plain
from d2lrnn.weights import Weights, misfits, shapes_of

MOMENTUM = 0.9  # of the optimiser of this name
# What share of the learning rate a schedule takes after this share of all epochs (book, section 12.11).
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
}


def numbers_of(optimizer: Any) -> Weights:
    """The attributes that are numbers (the learning rate) of an optimiser that is not the framework's."""
    return {
        name: np.asarray(value)
        for name, value in vars(optimizer).items()
        if isinstance(value, int | float | np.generic)
    }


def set_numbers(optimizer: Any, numbers: Weights) -> None:
    """Replace the attributes that `numbers_of` returned."""
    check_state(numbers, dict.fromkeys(numbers, ()))
    for name, array in numbers.items():
        setattr(optimizer, name, array.item())


def check_state(state: Weights, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `WeightsError` unless the optimiser's `state` has arrays of these names and shapes."""
    faults = misfits(shapes_of(state), shapes)
    if faults:
        raise WeightsError(
            "The optimiser's state is not one of this model's optimiser; nothing was loaded.\n  "
            + "\n  ".join(map(plain, faults))
            + "\nTo begin another training with the checkpoint's weights, use `model.load`."
        )


def shapes_of_memory(state: Weights, parameters: Sequence[Any]) -> dict[str, tuple[int, ...]]:
    """What `check_state` asks of `state` where the first update makes the arrays "<parameter>/<name>".

    Each of the parameters that have any has as many as others of as many axes, numbers or of its shape.
    """
    known = {str(index): tuple(p.shape) for index, p in enumerate(parameters)}
    parts = [(*name.partition("/")[::2], array) for name, array in state.items()]
    arrays = [part for part in parts if part[0] in known]
    shapes = {}
    for part in {part for part, _, _ in arrays}:
        for other, key, array in arrays:
            if key in ("row_var", "col_var"):  # Adafactor's, means of rows and of columns
                shapes[f"{other}/{key}"] = array.shape
            elif len(known[other]) == len(known[part]):
                shapes[f"{part}/{key}"] = known[part] if array.shape else ()
    return shapes
