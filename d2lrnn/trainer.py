"""The training loop, the same for every framework (book, section 3.2.4).

A backend's `Trainer` adds how a model is prepared, what an update and an evaluation of one minibatch
are, and how gradients are clipped.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from d2lrnn import backend, checkpoints, interrupts
from d2lrnn.arguments import check, check_given
from d2lrnn.data import Minibatches
from d2lrnn.data.loaders import length_of, no_minibatch, repeatable
from d2lrnn.errors import ArgumentError, TrainingDiverged
from d2lrnn.figures import scalar
from d2lrnn.hyperparameters import HyperParameters
from d2lrnn.models import FAR
from d2lrnn.module import draw_by_path, is_library_code, perplexity
from d2lrnn.optimizers import SCHEDULES
from d2lrnn.shares import Share, cut
from d2lrnn.weights import Weights

Row = dict[str, float]

_said_no_gpu = False


class Trainer(HyperParameters):
    """Trains a model on a data module.

    Args:
        max_epochs: how many times to go over the training data.
        num_gpus: 0 trains on the CPU, n on the first n GPUs of this machine; 1 where there is none trains on
            the CPU and says so once.
        gradient_clip_val: the largest global L2 norm of the gradients; larger ones are scaled down
            to it (book, section 9.5.3). 0 switches clipping off.
        progress: show a live plot (Jupyter), a bar (terminal) or plain lines (elsewhere).
        patience: end the training early, when the validation loss has not fallen below its lowest for so
            many epochs; 0 never does.
        checkpoint_every: after how many epochs `fit(checkpoint=...)` writes one; it does after the last.
        lr_schedule: how the model's learning rate falls from epoch to epoch, towards 0 at `max_epochs`:
            'linear', 'cosine', or 'constant', not at all.
        keep: how many of the last checkpoints are kept, see `d2lrnn.checkpoints`.
        devices: over how many CPU devices each minibatch is cut, where there are no GPUs: to try, and to
            teach, how several train together.

    Several devices take the steps of one, see `d2lrnn.shares`; each draws its own dropout.

    Attributes:
        history: one dict of floats an epoch: `epoch` (from 1), `train_loss`, `val_loss` (mean over
            all tokens, nats), for models of tokens `train_ppl`, `val_ppl`, for every other key that
            was plotted its mean, and `seconds`. Training figures are taken while the weights change.
        batch_losses: the training loss of each minibatch of the last epoch.
        interrupted: whether Ctrl-C ended the training.
        ended_early: whether `patience` ended it.
        diverged: whether the last perplexity is a million times that of a model that knows nothing, or
            more; `fit` then warns.

    Raises:
        ArgumentError: an argument is out of range, there are fewer GPUs than asked for, or the backend
            trains on one device alone.
    """

    compiles = False  # whether the library's own epoch is compiled when it is first run
    on_many = False  # whether the backend trains on several devices
    rank = 0  # which process this is of those that train together; the first shows and writes

    max_epochs: int
    num_gpus: int
    gradient_clip_val: float
    progress: bool
    patience: int
    checkpoint_every: int
    keep: int
    devices: int
    lr_schedule: str
    model: Any
    optim: Any
    data: Any
    train_dataloader: Any
    val_dataloader: Any
    train_losses: Any  # of the minibatches of this epoch, or None
    val_losses: Any

    def __init__(
        self,
        max_epochs: int,
        num_gpus: int = 0,
        gradient_clip_val: float = 0,
        *,
        progress: bool = True,
        patience: int = 0,
        checkpoint_every: int = 1,
        keep: int = 1,
        devices: int = 1,
        lr_schedule: str = "constant",
    ) -> None:
        self.save_hyperparameters()
        if devices > 1 and num_gpus:
            raise ArgumentError(
                f"devices={devices} are CPUs, and num_gpus={num_gpus} asks for a GPU: give one of the two."
            )
        self.make_devices()
        self.gpus = _choose_gpus(num_gpus)
        self.num_shares = self.count_shares()
        if self.num_shares > 1 and not self.on_many:
            name = f"{devices=}" if devices > 1 else f"{num_gpus=}"
            raise ArgumentError(f"{name}: the backend {backend.name()!r} trains on one device.")
        self.epoch = 0
        self.history: list[Row] = []
        self.logs: list[Callable[[list[Row]], None]] = []  # called with it after each epoch
        self.batch_losses: list[float] = []
        self.interrupted = self.diverged = False
        self.is_between_epochs = True
        self._plotted: list[tuple[str, int, Any, bool]] = []
        self._first_minibatches = {True: 0, False: 0}  # of this epoch, of training and validation
        self._forget_epoch()

    # What a backend adds ---------------------------------------------------------------------------

    def prepare_model(self, model: Any) -> None:
        """Tie the model to this trainer, put it on its device and make the optimiser."""
        raise NotImplementedError

    def prepare_batch(self, batch: Sequence[Any]) -> Sequence[Any]:
        """Put a minibatch of the framework's tensors on the device."""
        raise NotImplementedError

    def update(self, loss_of: Callable[..., Any], batch: Sequence[Any]) -> Any:
        """Train on one minibatch: its loss by `loss_of(batch)`, the gradients, clipped, and a step."""
        raise NotImplementedError

    def evaluate(self, loss_of: Callable[..., Any], batch: Sequence[Any]) -> Any:
        """The loss `loss_of(batch)` of one minibatch, without gradients and not in training mode."""
        raise NotImplementedError

    def seeded_epoch(self, seed: int, epoch: int) -> AbstractContextManager[None]:
        """While it lasts, what a model draws (dropout) follows from `seed` and `epoch` alone."""
        raise NotImplementedError

    def to_host(self, scalars: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Scalars of the framework as one NumPy array, in one transfer."""
        raise NotImplementedError

    # What a backend adds that trains on several devices

    def make_devices(self) -> None:
        """Make `devices` CPU devices, where the framework must be told before it starts."""

    def count_shares(self) -> int:
        """Over how many devices a minibatch is cut, those of other processes included."""
        return max(self.devices, len(self.gpus))

    # The loop --------------------------------------------------------------------------------------

    def fit(
        self, model: Any, data: Any, *, resume: str | None = None, checkpoint: str | None = None
    ) -> None:
        """Train `model` on `data`.

        In short::

            prepare the data, the model and its optimiser
            for each epoch:
                train over every minibatch, then validate
                read the losses once, stop where one is not finite
                add a row to the history and show it

        Ctrl-C ends the training at once: the model keeps its weights, the history its finished epochs.

        Args:
            model: a `Module`.
            data: a `DataModule`.
            resume: a file of `save_checkpoint`; training goes on after its last epoch and gives,
                bit for bit, what an uninterrupted training would have given. One that another backend has
                written gives its weights and history; the optimiser's state starts anew, and a warning
                says so.
            checkpoint: a file to `save_checkpoint` to after each epoch, or every `checkpoint_every`.
                Where the first cannot be written the training ends; where a later one cannot, a warning
                says so, the last good one stays, and the training goes on.

        Raises:
            ArgumentError: `patience` is set, and there is no validation; or there are several devices, and
                a reader's own step or loader.
            TrainingDiverged: a loss became NaN or infinite.
            WeightsError: `resume` is no checkpoint, or one of another model, optimiser, data or split;
                the model is as it was.
            WriteError: the first checkpoint cannot be written.
        """
        check(model=model, data=data)
        check_given(resume=resume, checkpoint=checkpoint)
        self._begin(model, data, resume)
        keeper = None
        if checkpoint is not None and self.rank == 0:
            keeper = checkpoints.Keeper(self, checkpoint, resume)
        progress = self.progress and self.rank == 0
        compiling = self.compiles and self.readers_step(train=True) is None
        model.board.begin(self.max_epochs, len(self.history), progress, compiling)
        message = None
        try:
            message = self._run_epochs(keeper)
        except KeyboardInterrupt:
            message = self._end_interrupted(keeper)
        finally:
            self._forget_epoch()
            model.board.end(message)
        if self.rank == 0:
            self._warn_if_diverged()

    def _begin(self, model: Any, data: Any, resume: str | None) -> None:
        """Prepare the data, the model and its optimiser, and go to where the file `resume` has them."""
        self.prepare_data(data)
        if self.patience and self.val_dataloader is None:
            raise ArgumentError(
                f"patience={self.patience} waits for the validation loss to fall, and the data has no "
                "validation split. Give it num_val of at least 1, or leave patience out."
            )
        earlier = None if resume is None else checkpoints.read(resume)
        if earlier is None:
            draw_by_path(model)
        model.check_data(data, self.train_dataloader, self.val_dataloader)
        self._check_steps(model)
        self.belongs_to = checkpoints.of_training(self, model)
        if earlier is not None:
            checkpoints.refuse_others(self, str(resume), earlier.state)
        self._prepare_model(model)
        self.seed = getattr(model, "seed", 0) or 0  # of what is drawn in training
        self.history, self.batch_losses = [], []
        self.interrupted = self.diverged = False
        self.is_between_epochs = True
        self.train_batch_idx = self.val_batch_idx = 0
        self.belongs_to["optimizer"] = checkpoints.of_optimizer(self)
        if earlier is not None:
            checkpoints.refuse_others(self, str(resume), earlier.state)
            checkpoints.go_on(self, earlier)

    def _run_epochs(self, keeper: checkpoints.Keeper | None) -> str | None:
        """The epochs that are left; what to say at the end, if it comes early."""
        with interrupts.heard() as heard:
            for self.epoch in range(len(self.history), self.max_epochs):
                if self.ended_early:
                    break
                self._run_epoch(keeper)
                heard.raise_lost()
        self.epoch = len(self.history)
        if not self.ended_early:
            return None
        return (
            f"Ended after epoch {self.epoch}: the validation loss has not fallen since epoch "
            f"{checkpoints.best_epoch(self.history)} (patience={self.patience})."
        )

    def _end_interrupted(self, keeper: checkpoints.Keeper | None) -> str:
        """Keep what Ctrl-C has left, and say where it came."""
        self.interrupted = True
        self.is_between_epochs = len(self.history) > self.epoch
        if self.is_between_epochs and keeper is not None:
            keeper.write()
        when = "after" if self.is_between_epochs else "in"
        return f"Interrupted {when} epoch {self.epoch + 1}: the model and its history can be used."

    def _run_epoch(self, keeper: checkpoints.Keeper | None) -> None:
        started = time.perf_counter()
        self.set_epoch(self.epoch)
        if self.lr_schedule != "constant":
            share = SCHEDULES[self.lr_schedule](self.epoch / self.max_epochs)
            self.set_learning_rate(self.model.lr * share)
        self._first_minibatches = {True: self.train_batch_idx, False: self.val_batch_idx}
        with self.seeded_epoch(self.seed, self.epoch):
            self.fit_epoch()
        self._finish_epoch(time.perf_counter() - started)
        if keeper is not None and keeper.is_due():
            keeper.write()

    @property
    def ended_early(self) -> bool:
        epochs_since = len(self.history) - checkpoints.best_epoch(self.history)
        return 0 < self.patience <= epochs_since

    def fit_epoch(self) -> None:
        """One epoch of training and one of validation; a reader may replace it, as the book does."""
        self.train_losses = self.train_epoch()
        if self.val_dataloader is not None:
            self.val_losses = self.validation_epoch()

    def validate(self, model: Any, data: Any) -> Row:
        """The mean loss `val_loss` (nats) over the validation split and, of a language model, `val_ppl`."""
        check(model=model, data=data)
        self.prepare_data(data)
        if self.val_dataloader is None:
            raise ArgumentError("The data has no validation split; give it num_val of at least 1.")
        self._prepare_model(model)
        self.train_batch_idx = self.val_batch_idx = 0
        try:
            self.val_losses = self.validation_epoch()
            return self._means("val", self.val_losses)
        finally:
            self._forget_epoch()

    def save_checkpoint(self, path: str) -> None:
        """Write all that decides the rest of the training: weights, optimiser state, epoch, history.

        Raises:
            ArgumentError: the training was interrupted in the middle of an epoch.
            WriteError: the disk is full, or the folder cannot be written to; what was there stays.
        """
        check(path=path)
        checkpoints.write(self, path)

    def prepare_data(self, data: Any) -> None:
        """Ask the data module for its two loaders."""
        self.data = data
        self.train_dataloader = repeatable(data.train_dataloader())
        self.val_dataloader = repeatable(data.val_dataloader())
        # None: not known before it has been gone through.
        self._is_checked = {True: False, False: False}  # once through, in the first epoch
        self.num_train_batches = length_of("training", self.train_dataloader)
        self.num_val_batches = (
            0 if self.val_dataloader is None else length_of("validation", self.val_dataloader)
        )

    def _prepare_model(self, model: Any) -> None:
        self.prepare_model(model)
        self.twin = backend.twin(model)
        self.batch_loss = self.twin or backend.faster(model, model.batch_loss)

    def set_epoch(self, epoch: int) -> None:
        """Tell the training data which epoch this is: its order depends on the seed and on that alone."""
        if hasattr(self.train_dataloader, "set_epoch"):
            self.train_dataloader.set_epoch(epoch)

    # One epoch -------------------------------------------------------------------------------------

    def train_epoch(self) -> np.ndarray[Any, Any]:
        """Train over every minibatch once; the losses (num_train_batches,), read by the host once.

        In short::

            for each minibatch, in compiled code where the library owns the step:
                loss, gradients
                clip the gradients by their global norm
                update the parameters
            read all losses
        """
        return self._epoch(train=True)

    def validation_epoch(self) -> np.ndarray[Any, Any]:
        """Evaluate every minibatch once; the losses (num_val_batches,), read by the host once."""
        return self._epoch(train=False)

    def _epoch(self, train: bool) -> np.ndarray[Any, Any]:
        step = self.readers_step(train)
        if step is None:
            losses = self.own_epoch(train)
            self.replay(losses.tolist(), train)
            return losses
        run = self.update if train else self.evaluate
        given = [run(step, batch) for batch in self.minibatches(train)]
        if not given:
            split, loader = (
                ("training", self.train_dataloader)
                if train
                else ("validation", self.val_dataloader)
            )
            raise no_minibatch(split, loader)
        return self.to_host([loss for loss in given if loss is not None])

    def readers_step(self, train: bool) -> Callable[..., Any] | None:
        """The model's step, if the reader wrote it or the loader: it is then called for each minibatch.

        None if both are the library's: the library may then run `batch_loss` over the epoch as it likes.
        """
        step = self.model.training_step if train else self.model.validation_step
        loader = self.train_dataloader if train else self.val_dataloader
        if is_librarys(loader) and is_library_code(step):
            return None
        return backend.faster(self.model, step)

    def _check_steps(self, model: Any) -> None:
        """Raise an ArgumentError if the reader runs the minibatches, which the library is to cut."""
        loaders = (self.train_dataloader, self.val_dataloader)
        loops = model.training_step, model.validation_step, self.fit_epoch
        own = [f.__qualname__ for f in loops if not is_library_code(f)]
        own += [repr(loader) for loader in loaders if not is_librarys(loader)]
        if self.num_shares > 1 and own:
            raise ArgumentError(
                f"{own[0]} is your own, and minibatches that it runs are not cut over {self.num_shares} "
                "devices. Train on one, or leave it to the library: a model's own loss and forward are taken."
            )

    def shares(self, block: Minibatches) -> Iterator[list[Share]]:
        """Each minibatch of a block of this epoch, cut over the devices; see `d2lrnn.shares`."""
        tokens = self.model.num_tokens(block.arrays[-1])
        return cut(block.order(), block.batch_size, tokens, self.num_shares)

    def own_epoch(self, train: bool) -> np.ndarray[Any, Any]:
        """The losses of an epoch of `batch_loss`; a backend may compile it."""
        run = self.update if train else self.evaluate
        batches = self.batches(self.train_dataloader if train else self.val_dataloader)
        return self.to_host([run(self.batch_loss, self.prepare_batch(b)) for b in batches])

    def batches(self, loader: Any) -> Iterator[Sequence[Any]]:
        """The minibatches of `loader` in the order of this epoch."""
        return iter(loader)

    def minibatches(self, train: bool) -> Iterator[Sequence[Any]]:
        """The minibatches of an epoch on the device, for a reader's step, counted as they go."""
        count, check_batch = self.model.num_tokens, self.model.check_batch
        for batch in self.train_dataloader if train else self.val_dataloader:
            labels = batch[-1] if isinstance(batch, tuple | list) and len(batch) else None
            shape = tuple(getattr(labels, "shape", ()))
            if 0 in shape:  # with which one framework ends the process
                raise ArgumentError(
                    f"A minibatch of the {'training' if train else 'validation'} loader has no examples: its "
                    f"labels are of shape {shape}. Let the loader leave it out."
                )
            if not self._is_checked[train]:
                check_batch(batch)
            if hasattr(labels, "shape"):  # of what is none (a dict), all minibatches weigh the same
                labels = labels if is_library_code(count) else backend.active().numpy(labels)
                self._weights_of_batches[train].append(int(count(labels).sum()))
            yield self.prepare_batch(batch)
            self._count_minibatch(train)
        self._is_checked[train] = True

    def _count_minibatch(self, train: bool) -> None:
        if train:
            self.train_batch_idx += 1
        else:
            self.val_batch_idx += 1

    # The optimiser, of which the backend's `optimizers` knows what it keeps -------------------------

    def optimizer_state(self) -> Weights:
        """The optimiser's state as NumPy arrays by name; empty for plain SGD."""
        state: Weights = backend.active().optimizers.state(self)
        return state

    def set_optimizer_state(self, state: Weights) -> None:
        """Replace the optimiser's state by what `optimizer_state` returned."""
        backend.active().optimizers.set_state(self, state)

    def set_learning_rate(self, lr: float) -> None:
        """Let the optimiser take `lr` from now on; ArgumentError, `cannot_follow`, if it has no such."""
        backend.active().optimizers.set_learning_rate(self, lr)

    @property
    def cannot_follow(self) -> str:
        """What to say where the learning rate of an optimiser cannot be set."""
        return (
            f"lr_schedule={self.lr_schedule!r} sets the learning rate of the optimiser, and "
            f"{type(self.optim).__name__}, which the model's configure_optimizers returns, has none that can "
            "be set. Leave lr_schedule out, or give it a schedule of your own there."
        )

    # What is shown and kept ------------------------------------------------------------------------

    def record(self, key: str, value: Any, train: bool) -> None:
        """Keep a plotted scalar until the end of the epoch; see `Module.plot`."""
        if isinstance(value, np.generic | np.ndarray) or not hasattr(value, "shape"):
            value = scalar(key, value)
        elif hasattr(value, "shape") and math.prod(value.shape) != 1:
            raise ArgumentError(
                f"plot({key!r}) takes a number. Received: a tensor of shape {tuple(value.shape)}; take a "
                "mean, a sum or an element of it."
            )
        index = self.train_batch_idx if train else self.val_batch_idx
        self._plotted.append((key, index - self._first_minibatches[train], value, train))

    def replay(self, losses: Iterable[float], train: bool) -> None:
        """Plot the losses of the library's own epoch, as its steps would have done one by one."""
        loader = self.train_dataloader if train else self.val_dataloader
        self._weights_of_batches[train] = [
            total
            for block in loader.blocks()
            for total in block.totals(self.model.num_tokens(block.arrays[-1]))
        ]
        ppl = self.model.metric == "ppl"
        for loss in losses:
            self.model.plot(self.model.metric, perplexity(loss) if ppl else loss, train)
            self._count_minibatch(train)

    def _finish_epoch(self, seconds: float) -> None:
        plotted = self._read_plotted()
        if self.num_train_batches is None:
            self.num_train_batches = self.train_batch_idx - self._first_minibatches[True]
        if self.num_val_batches is None:
            self.num_val_batches = self.val_batch_idx - self._first_minibatches[False]
        train = self._losses("train_losses", plotted, True)
        val = (
            self._losses("val_losses", plotted, False) if self.val_dataloader is not None else None
        )
        self._stop_if_not_finite(train, "training")
        if val is not None:
            self._stop_if_not_finite(val, "validation")
        row: Row = {"epoch": self.epoch + 1, **self._means("train", train)}
        if val is not None:
            row |= self._means("val", val)
        others = defaultdict(list)
        for key, _, value, is_train in plotted:
            others[("train_" if is_train else "val_") + key].append(value)
        row |= {key: float(np.mean(v)) for key, v in others.items() if key not in row}
        row["seconds"] = seconds
        self.batch_losses = [float(loss) for loss in train]
        self._draw(plotted)
        self._forget_epoch()
        self.history.append(row)
        self.model.board.update(self.epoch + 1, row)
        for log in self.logs:
            log(self.history)

    def _draw(self, plotted: list[tuple[str, int, float, bool]]) -> None:
        model = self.model
        for key, index, value, is_train in plotted:
            number = (self.num_train_batches if is_train else self.num_val_batches) or 1
            per_epoch = model.plot_train_per_epoch if is_train else model.plot_valid_per_epoch
            if per_epoch:  # 0 plots nothing
                x = self.epoch + (index / number if is_train else 1)
                label = ("train_" if is_train else "val_") + key
                model.board.draw(x, value, label, every_n=max(int(number / per_epoch), 1))

    def _forget_epoch(self) -> None:
        self._plotted.clear()
        self._weights_of_batches: dict[bool, list[int]] = {True: [], False: []}
        self.train_losses = self.val_losses = None

    def _read_plotted(self) -> list[tuple[str, int, float, bool]]:
        on_device = [value for _, _, value, _ in self._plotted if not isinstance(value, float)]
        values = iter(self.to_host(on_device)) if on_device else iter(())
        return [
            (key, index, value if isinstance(value, float) else float(next(values)), train)
            for key, index, value, train in self._plotted
        ]

    def _losses(
        self, name: str, plotted: list[tuple[str, int, float, bool]], train: bool
    ) -> np.ndarray[Any, Any]:
        """The losses that the steps returned or, where a reader's steps return none, plotted."""
        losses = getattr(self, name)
        if losses is not None and len(losses):
            return np.asarray(losses, dtype=np.float64)
        shown = defaultdict(list)
        for key, _, value, is_train in plotted:
            if is_train == train:
                shown[key].append(value)
        if shown["loss"]:
            return np.array(shown["loss"])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(np.array(shown["ppl"])))

    def _means(self, split: str, losses: np.ndarray[Any, Any]) -> Row:
        if not len(losses):
            return {}
        counts = self._weights_of_batches[split == "train"]
        mean = float(np.average(losses, weights=counts if len(counts) == len(losses) else None))
        means = {f"{split}_loss": mean}
        if self.model.metric == "ppl" or getattr(self.model, "loss_is_of_tokens", False):
            means[f"{split}_ppl"] = perplexity(mean)
        return means

    def _stop_if_not_finite(self, losses: np.ndarray[Any, Any], what: str) -> None:
        broken = np.flatnonzero(~np.isfinite(losses))
        if len(broken):
            raise TrainingDiverged(
                f"The {what} loss became {losses[broken[0]]} in epoch {self.epoch + 1}, minibatch "
                f"{broken[0] + 1} of {len(losses)}. {self._way_back()}"
            )

    def _warn_if_diverged(self) -> None:
        """Warn where the losses are numbers, but so large that nothing was learnt."""
        named = (self.model, getattr(self.model, "decoder", None))
        size = next((s for s in (getattr(m, "vocab_size", None) for m in named) if s), math.inf)
        ppl = self.history[-1].get("train_ppl", 0) if self.history else 0
        self.diverged = ppl > FAR * size
        if self.diverged:
            warnings.warn(
                f"The training diverged: the perplexity is {ppl:.3g} after epoch {len(self.history)}, that "
                f"of a model that knows nothing {size}. {self._way_back()}",
                stacklevel=3,
            )

    def _way_back(self) -> str:
        return (
            f"Try a smaller lr, a gradient_clip_val such as 1 (it is {self.gradient_clip_val}), or a smaller "
            "sigma of the initial weights."
        )


def is_librarys(loader: Any) -> bool:
    """Whether the library may run over the arrays of `loader` as it likes; so it may of none."""
    owned = isinstance(loader, Minibatches) and is_library_code(loader.convert)
    return loader is None or owned


def _choose_gpus(num_gpus: int) -> list[Any]:
    global _said_no_gpu
    d2l = backend.active()
    available = [d2l.gpu(i) for i in range(d2l.num_gpus())]
    if num_gpus > 1 and num_gpus > len(available):
        there = f"is {len(available)}" if len(available) == 1 else f"are {len(available)}"
        raise ArgumentError(
            f"num_gpus={num_gpus}: there {there} that {backend.name()} can use. `d2lrnn doctor` lists them; "
            f"devices={num_gpus} instead trains on so many CPU devices."
        )
    if num_gpus == 1 and not available:
        if not _said_no_gpu:
            _said_no_gpu = True
            warnings.warn("num_gpus=1, but there is no GPU: training on the CPU.", stacklevel=3)
        return []
    return list(available[:num_gpus])
