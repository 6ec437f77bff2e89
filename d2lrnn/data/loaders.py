"""Loaders of a reader's own: anything that gives minibatches when it is iterated over."""

from collections.abc import Iterator
from typing import Any

from d2lrnn.errors import ArgumentError


def repeatable(loader: Any) -> Any:
    """`loader`, or a list of its minibatches if it can be gone through only once, as a generator."""
    return list(loader) if isinstance(loader, Iterator) else loader


def length_of(split: str, loader: Any) -> int | None:
    """How many minibatches a loader has; None if it cannot tell.

    Raises:
        ArgumentError: it has none, or is without end.
    """
    try:
        length = len(loader)
    except TypeError as error:  # an attribute `__len__` alone does not make a length
        if "infinite" in str(error):
            raise ArgumentError(
                f"The {split} loader has no end, so no epoch would: let it give the minibatches of one "
                f"epoch, without repeating them. It is {loader!r}."
            ) from None
        return None
    if length == 0:
        raise no_minibatch(split, loader)
    return length


def no_minibatch(split: str, loader: Any) -> ArgumentError:
    """An error for a loader that gives nothing."""
    hint = " Return None from val_dataloader for no validation." if split == "validation" else ""
    return ArgumentError(
        f"The {split} loader gives no minibatch, so there is nothing to compute a loss of. It is "
        f"{loader!r}. Does it drop a last minibatch that is not full, or filter everything out?{hint}"
    )
