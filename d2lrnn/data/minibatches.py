"""`Minibatches`: the same examples in the same order on every backend (section 9.3)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from d2lrnn.arguments import check, check_given, checked, shown
from d2lrnn.errors import ArgumentError

Array = NDArray[Any]
BLOCK = 1 << 24  # examples whose order is drawn at a time, and that are on a device at a time


class Minibatches:
    """Arrays of examples, cut into minibatches along their first axis.

    `arrays` may be views (overlapping windows, say): a minibatch is one NumPy indexing of each,
    and nothing else is copied. The last minibatch is smaller where `batch_size` does not divide
    the number of examples; none is dropped.

    If `shuffle`, epoch e takes the examples in the order `RandomState([seed, e]).permutation(n)`,
    which every version of NumPy draws alike. Iterating takes the epoch in the attribute `epoch`
    (0 at first) and starts from its first minibatch each time: there is no hidden position.
    `convert` makes a framework's tensor of each array that iterating yields.

    More than 2**24 examples are cut into `blocks` of neighbours, so that an epoch makes nothing that has a
    number for every example. It takes the blocks in the order
    `RandomState([seed, e]).permutation(num_blocks)`, and the n examples of block b in the order
    `RandomState([seed, e, b]).permutation(n)`. The smaller minibatch is the last of the last examples' block.

    Raises `ArgumentError` for no arrays, unequal lengths, no examples, or a batch size below 1.
    """

    def __init__(
        self,
        arrays: Sequence[Array],
        batch_size: int,
        shuffle: bool,
        seed: int = 0,
        convert: Callable[[Array], Any] | None = None,
    ) -> None:
        if not isinstance(arrays, Iterable):
            raise ArgumentError(
                f"Expected arrays to be a list of arrays. Received: arrays={shown(arrays)}."
            )
        self.arrays = tuple(np.asarray(array) for array in arrays)
        shapes = [array.shape for array in self.arrays]
        if not shapes or () in shapes or len({shape[0] for shape in shapes}) != 1:
            raise ArgumentError(
                f"Expected one or more arrays with equally many examples. "
                f"Received: {len(shapes)} arrays of shapes {shapes}."
            )
        self.num_examples: int = shapes[0][0]
        if self.num_examples == 0:
            raise ArgumentError(
                f"Expected at least one example. Received: arrays of shapes {shapes}; "
                f"does the split begin behind the end of the data?"
            )
        check(shuffle=shuffle)
        check_given(convert=convert)
        self.batch_size: int = checked("batch_size", batch_size)
        self.seed: int = checked("seed", seed)
        self.shuffle = shuffle
        self.convert = convert
        self.epoch = 0
        self._place: tuple[int, ...] = ()  # which block of a larger loader it is

    def __len__(self) -> int:
        """The number of minibatches."""
        return -(-self.num_examples // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iterations follow."""
        self.epoch = checked("epoch", epoch)

    @property
    def num_blocks(self) -> int:
        """How many blocks there are: one, up to 2**24 examples."""
        return 1 if self.num_examples <= BLOCK else -(-self.num_examples // self._block_size)

    @property
    def _block_size(self) -> int:
        """Whole minibatches: so only that of the last example is smaller."""
        return max(BLOCK // self.batch_size, 1) * self.batch_size

    def blocks(self, epoch: int | None = None) -> Iterator["Minibatches"]:
        """The blocks, loaders, in the order of `epoch`, by default the current one; of one block, itself."""
        if self.num_blocks == 1:
            yield self
            return
        epoch = self.epoch if epoch is None else epoch
        for number in self._drawn(epoch, self.num_blocks).tolist():
            start = number * self._block_size
            arrays = [array[start : start + self._block_size] for array in self.arrays]
            block = Minibatches(arrays, self.batch_size, self.shuffle, self.seed, self.convert)
            block.epoch, block._place = epoch, (number,)
            yield block

    def order(self, epoch: int | None = None) -> NDArray[np.int64]:
        """The examples' indices in the order of `epoch`, by default the current one: shape (n,)."""
        epoch = self.epoch if epoch is None else epoch
        if self.num_blocks == 1:
            return self._drawn(epoch, self.num_examples)
        orders = [(block._place[0], block.order(epoch)) for block in self.blocks(epoch)]
        return np.concatenate([number * self._block_size + order for number, order in orders])

    def _drawn(self, epoch: int, n: int) -> NDArray[np.int64]:
        """The numbers below `n`, shuffled as `epoch` decides if this is shuffled."""
        if not self.shuffle:
            return np.arange(n)
        check(epoch=epoch)
        return np.random.RandomState([self.seed, epoch, *self._place]).permutation(n)

    def batches(self, epoch: int | None = None) -> Iterator[tuple[Array, ...]]:
        """The minibatches of `epoch` as NumPy arrays: contiguous, (batch_size or less, ...)."""
        for block in self.blocks(epoch):
            order = block.order(epoch) if self.shuffle else None
            for start in range(0, block.num_examples, self.batch_size):
                rows = slice(start, start + self.batch_size)
                chosen = rows if order is None else order[rows]
                yield tuple(np.ascontiguousarray(array[chosen]) for array in block.arrays)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        """The minibatches of the current epoch, each array made a tensor by `convert`."""
        for batch in self.batches():
            yield batch if self.convert is None else tuple(map(self.convert, batch))

    def totals(self, values: Array) -> list[int]:
        """The sum of `values` (n,), a number for each example, in each minibatch of this epoch."""
        order, starts = self.order(), range(0, self.num_examples, self.batch_size)
        return [int(values[order[i : i + self.batch_size]].sum()) for i in starts]


class Windows(NamedTuple):
    """What overlapping windows view: window i is `sequence[hop * i : hop * i + width]`."""

    sequence: Array
    hop: int
    width: int


def windows_of(array: Array) -> Windows | None:
    """The sequence of which `array` (n, width) holds overlapping windows; None if it holds none.

    A device that is given the sequence instead of the windows holds one number a token, not `width`.
    """
    if array.ndim != 2 or array.strides[1] != array.itemsize:
        return None
    (num_windows, width), hop = array.shape, array.strides[0] // array.itemsize
    if not 0 < hop < width or array.strides[0] % array.itemsize:
        return None
    length = (num_windows - 1) * hop + width
    return Windows(as_strided(array, (length,), (array.itemsize,)), hop, width)
