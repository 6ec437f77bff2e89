"""Training on several devices: how a minibatch is cut over them, and how much each share counts.

Each device has all weights and a share of every minibatch. The loss of a minibatch is the mean over its T
tokens; device d has T_d of them, and l_d is the mean over these. So

    l = sum_d (T_d / T) l_d,        dl/dw = sum_d (T_d / T) dl_d/dw

and n devices take the steps of one. The mean of the l_d is another number wherever the T_d differ: where a
minibatch cannot be cut evenly, and where padding does not count. Each backend adds up the second sum by its
framework's own means; only then are the gradients clipped, by the norm that they have on one device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Share(NamedTuple):
    """What one device has of a minibatch.

    Attributes:
        rows: the indices of its examples (n,); never none.
        weight: T_d / T.
    """

    rows: Array
    weight: float


def cut(order: Array, batch_size: int, tokens: Array, num_shares: int) -> Iterator[list[Share]]:
    """The shares of each minibatch of an epoch, one for each device.

    They are neighbours in the order, and as large as each other or one example larger: 13 over 2 are 7
    and 6. A device for which no example, or none with a token that counts, is left, computes the loss of
    another's first such example, with weight 0: it takes part in every step, and changes none.

    Args:
        order: the examples of the epoch (num_examples,), as `Minibatches.order` gives them.
        batch_size: of the whole minibatches.
        tokens: how many tokens of each example count in the loss (num_examples,), in the order of the data.
        num_shares: how many devices there are.
    """
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        total = int(tokens[rows].sum())
        spare = rows[:1] if total == 0 else rows[tokens[rows] > 0][:1]
        shares = []
        for part in np.array_split(rows, num_shares):
            counted = int(tokens[part].sum())
            weight = counted / total if total else len(part) / len(rows)
            shares.append(Share(part if counted else spare, weight))
        yield shares
