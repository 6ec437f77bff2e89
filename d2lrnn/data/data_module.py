"""`DataModule`, the base class of all data (section 3.2.3)."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from d2lrnn import backend
from d2lrnn.arguments import check, shown
from d2lrnn.data.download import cache_dir
from d2lrnn.data.minibatches import Minibatches
from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import HyperParameters, on_host


class DataModule(HyperParameters):
    """Data that a `Trainer` can fit to (section 3.2.3).

    A subclass overrides `get_dataloader(train)`, which returns any iterable of minibatches, most
    easily through `get_tensorloader`, whose minibatches are tensors of the active framework.

    `root` is the path of a folder for files of its own, by default the cache; `seed` decides the order of the
    minibatches. `num_workers` stands for the book's signature: minibatches are made in place, and
    a value other than 0 draws a warning.
    """

    seed: int = 0
    num_workers: int = 0
    batch_size: int | None = None
    optional: tuple[str, ...] = ()  # a seed is needed: it decides the order

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        self.save_hyperparameters()
        if num_workers:
            warnings.warn(
                f"num_workers={num_workers} starts no workers: minibatches are made in this "
                f"process, by one NumPy indexing each.",
                stacklevel=2,
            )

    @property
    def root(self) -> str:
        """The path of the folder into which files of its own are downloaded and unpacked."""
        return os.fspath(self.__dict__.get("root") or cache_dir())

    @root.setter
    def root(self, root: str | os.PathLike[str] | None) -> None:
        self.__dict__["root"] = root

    def get_dataloader(self, train: bool) -> Any:
        """An iterable of the minibatches of training, or of validation: to be overridden."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what its minibatches are: define "
            f"get_dataloader(self, train), for instance with self.get_tensorloader(...)."
        )

    def train_dataloader(self) -> Any:
        """The minibatches of training."""
        return self.get_dataloader(train=True)

    def val_dataloader(self) -> Any:
        """The minibatches of validation; None where there are none."""
        return self.get_dataloader(train=False)

    def get_tensorloader(
        self,
        tensors: Sequence[Any],
        train: bool,
        indices: Any = slice(0, None),
    ) -> Minibatches:
        """Minibatches of `self.batch_size` examples from the rows `indices` of `tensors`.

        `tensors` are the framework's or NumPy arrays, examples first and labels last. They come
        shuffled, by `self.seed`, if `train`. Raises `ArgumentError` if `self.batch_size` is unset.
        """
        check(train=train)
        if self.batch_size is None:
            raise ArgumentError(
                f"{type(self).__name__} has no batch_size: set self.batch_size in __init__, "
                f"for instance with self.save_hyperparameters()."
            )
        if not isinstance(tensors, list | tuple):
            raise ArgumentError(
                f"Expected tensors to be a list of tensors. Received: tensors={shown(tensors)}."
            )
        arrays = tuple(self.array(tensor)[indices] for tensor in tensors)
        return Minibatches(
            arrays, self.batch_size, shuffle=train, seed=self.seed, convert=self.tensor
        )

    def tensor(self, array: NDArray[Any], device: Any = None) -> Any:
        """The active framework's tensor of `array` on `device`; `array` itself where none is loaded."""
        return backend.active().ops.from_numpy(array, device) if backend.loaded() else array

    def array(self, tensor: Any) -> NDArray[Any]:
        """The NumPy array of a framework's tensor, a view where the framework allows it."""
        return on_host(tensor, "tensors")
