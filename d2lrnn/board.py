"""Where training shows how it goes: a live plot in a notebook, a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import importlib
import math
import sys
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, Literal, Protocol

from d2lrnn import atomic
from d2lrnn.arguments import COUNT, Integer, check, check_given, expect
from d2lrnn.errors import ArgumentError
from d2lrnn.figures import Limits, in_notebook, picture, scalar, set_axes

Row = Mapping[str, float]  # what an epoch measured: train_loss, train_ppl, val_loss, ..., seconds
Mode = Literal["notebook", "terminal", "lines", "off"]

FRAMES_PER_SECOND = 4
DRAWING_SHARE = 0.1  # of the time may go into drawing the live plot, but ...
SLOWEST_FRAME = 1.0  # ... every second there is a new one
WIDE = 76  # columns, in which a bar has room for all that is measured
LINES = 10  # plain lines between the first epoch's and the last's
SAVED_AS = (".svg", ".png")


class ProgressBoard:
    """A plot that grows while a model trains, and the display of that training (book, section 3.2).

    In Jupyter, `draw` shows the plot live. In a terminal it prints nothing; there `begin`, `update`
    and `end`, which the trainer calls, show a progress bar, or plain lines if standard output is not
    a terminal. `save` writes the plot anywhere. The arguments are attributes and may be changed
    between two calls of `draw`.

    Args:
        xlabel: the label of the horizontal axis (by default 'epoch' if there is a training);
            `ylabel` that of the vertical one.
        xlim: the two ends of the horizontal axis (by default the epochs of the training, if there is
            one); `ylim` those of the vertical axis.
        xscale: 'linear' or 'log', as `yscale`.
        ls: Matplotlib line styles, used in turn; `colors` likewise.
        fig: a Matplotlib figure to draw into; `axes` likewise. By default the board makes its own.
        figsize: width and height of that figure in inches.
        display: False shows neither plot nor progress; points are kept and can be saved still.

    Attributes:
        data: the points of each line, label -> [(x, y), ...], as floats.
    """

    def __init__(
        self,
        xlabel: str | None = None,
        ylabel: str | None = None,
        xlim: Limits = None,
        ylim: Limits = None,
        xscale: str = "linear",
        yscale: str = "linear",
        ls: Sequence[str] = ("-", "--", "-.", ":"),
        colors: Sequence[str] = ("C0", "C1", "C2", "C3"),
        fig: Any = None,
        axes: Any = None,
        figsize: tuple[float, float] = (3.5, 2.5),
        display: bool = True,
    ) -> None:
        check(xscale=xscale, yscale=yscale, ls=ls, colors=colors, figsize=figsize, display=display)
        check_given(xlabel=xlabel, ylabel=ylabel, xlim=xlim, ylim=ylim, axes=axes)
        self.xlabel, self.ylabel = xlabel, ylabel
        self.xlim, self.ylim = xlim, ylim
        self.xscale, self.yscale = xscale, yscale
        self.ls, self.colors = ls, colors
        self.fig, self.axes, self.figsize = fig, axes, figsize
        self.display = display
        self.data: dict[str, list[tuple[float, float]]] = {}
        self._waiting: dict[str, list[tuple[float, float]]] = {}  # points not yet averaged
        self._epochs: tuple[float, float] | None = None  # of the training that was begun
        self._plot = _LivePlot(self)
        self._progress: _Progress = _Off()
        self._is_muted = False  # in a training that shows no progress

    def draw(self, x: Any, y: Any, label: str, every_n: int = 1) -> None:
        """Add the point (`x`, `y`) to the line `label` (book, section 3.2).

        Args:
            x: a number, or a tensor that holds one; `y` likewise.
            label: the name of the line in the legend.
            every_n: the line gets one point, their mean, for every `every_n` points; below 1 is 1.
        """
        check(label=label)
        expect("every_n", every_n, Integer(-COUNT, COUNT))
        waiting = self._waiting.setdefault(label, [])
        waiting.append((scalar("x", x), scalar("y", y)))
        if len(waiting) < every_n:
            return
        xs, ys = zip(*waiting, strict=True)
        waiting.clear()
        self.data.setdefault(label, []).append((math.fsum(xs) / len(xs), sum(ys) / len(ys)))
        if self.display and not self._is_muted and in_notebook():
            self._plot.changed()

    def save(self, path: str | Path) -> None:
        """Write the plot to `path` as SVG or PNG, by its suffix, making its folder if need be.

        The same points give the same bytes; the text of an SVG stays text.

        Raises:
            ArgumentError: `path` ends in neither `.svg` nor `.png`.
        """
        check(path=path)
        path = Path(path)
        if path.suffix.lower() not in SAVED_AS:
            raise ArgumentError(
                f"Expected path to name an SVG or PNG file. Received: path={str(path)!r}; "
                f"end the path in {' or '.join(SAVED_AS)}."
            )
        atomic.write(path, self._picture("svg" if path.suffix.lower() == ".svg" else "png"))

    # The display of a training, called by the trainer ---------------------------------------------

    def begin(
        self,
        num_epochs: int,
        initial_epoch: int = 0,
        progress: bool = True,
        compiling: bool = False,
    ) -> Mode:
        """Start showing a training; returns how: 'notebook', 'terminal', 'lines' or 'off'.

        Args:
            num_epochs: the epoch after which the training ends, counted from its very start.
            initial_epoch: how many of them are done already. If none, the lines of an earlier
                training are removed from the board.
            progress: False shows nothing.
            compiling: whether the first epoch is compiled: its time tells nothing of the others.
        """
        self.end()
        if initial_epoch == 0:
            self.data.clear()
        self._waiting.clear()
        self._epochs = (0, num_epochs)
        self._is_muted = not progress
        mode = self._mode() if progress and self.display else "off"
        if mode == "notebook":
            self._progress = self._plot
        elif mode == "terminal":
            self._progress = _Bar(_Pace(num_epochs, initial_epoch, compiling))
        elif mode == "lines":
            self._progress = _Lines(_Pace(num_epochs, initial_epoch, compiling))
        return mode

    def update(self, epoch: int, row: Row) -> None:
        """Show that `epoch` epochs are done, and what the last of them measured.

        Args:
            epoch: how many epochs are done, 1 after the first.
            row: floats by name: `train_ppl` and `val_ppl` are shown, without them `train_loss` and
                `val_loss`; `seconds`, else the time since the last update, tells how long it took.
        """
        self._progress.update(epoch, row)

    def end(self, message: str | None = None) -> None:
        """Finish the display, also of a training that broke off, and print `message` below it."""
        progress, self._progress = self._progress, _Off()
        self._is_muted = False
        progress.end()
        if message is not None and not isinstance(progress, _Off):
            print(message)

    @staticmethod
    def _mode() -> Mode:
        if in_notebook():
            return "notebook"
        if not sys.stdout.isatty():
            return "lines"
        from rich.console import Console

        return "terminal" if Console().is_interactive else "lines"

    def _picture(self, form: Literal["svg", "png"]) -> bytes:
        """The plot as the bytes of an SVG or PNG file."""
        from matplotlib.figure import Figure  # not pyplot: its figures may open windows

        if self.axes is None:
            if self.fig is None:
                self.fig = Figure(figsize=self.figsize)
            self.axes = self.fig.gca()
        self.axes.cla()
        styles = zip(cycle(self.ls), cycle(self.colors), strict=False)
        for points, (style, color) in zip(self.data.values(), styles, strict=False):
            self.axes.plot(*zip(*points, strict=True), linestyle=style, color=color)
        xlim = self.xlim if self.xlim is not None else self._epochs
        xlabel = self.xlabel if self.xlabel is not None or self._epochs is None else "epoch"
        limits = (xlabel, self.ylabel, xlim, self.ylim, self.xscale, self.yscale)
        set_axes(self.axes, *limits, legend=list(self.data))
        return picture(self.axes.figure, form, tight=True)


class _Progress(Protocol):
    def update(self, epoch: int, row: Row) -> None: ...

    def end(self) -> None: ...


class _Off:
    def update(self, epoch: int, row: Row) -> None:
        pass

    def end(self) -> None:
        pass


class _LivePlot:
    """The board's plot in the output of a notebook's cell, redrawn a few times a second at most."""

    def __init__(self, board: ProgressBoard) -> None:
        self._board = board
        self._handle: Any = None  # of the picture in the output of the running cell
        self._is_stale = False
        self._next_frame = 0.0

    def update(self, epoch: int, row: Row) -> None:
        if self._is_stale:
            self.changed()

    def end(self) -> None:
        if self._is_stale:
            self._show()

    def changed(self) -> None:
        """There are new points: show them now, or, if the last frame is too recent, later."""
        self._is_stale = True
        if time.perf_counter() >= self._next_frame:
            self._show()

    def _show(self) -> None:
        start = time.perf_counter()
        svg = self._board._picture("svg").decode()
        bundle = {"image/svg+xml": svg, "text/plain": "<ProgressBoard>"}
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(bundle, raw=True, display_id=True)
            self._shell().events.register("post_run_cell", self._end_of_cell)
        else:
            self._handle.update(bundle, raw=True)
        self._is_stale = False
        now = time.perf_counter()
        pause = min((now - start) / DRAWING_SHARE, SLOWEST_FRAME)
        self._next_frame = now + max(pause, 1 / FRAMES_PER_SECOND)

    def _end_of_cell(self, *_: Any) -> None:
        """Show the last points; what another cell draws goes to that cell's own output."""
        self._shell().events.unregister("post_run_cell", self._end_of_cell)
        self.end()
        self._handle, self._next_frame = None, 0.0

    @staticmethod
    def _shell() -> Any:
        return importlib.import_module("IPython").get_ipython()


class _Pace:
    """How long an epoch takes, from the last few of them, and how long the rest will."""

    def __init__(self, num_epochs: int, initial_epoch: int, compiling: bool) -> None:
        self.num_epochs, self.epoch, self.compiling = num_epochs, initial_epoch, compiling
        self.row: Row = {}
        self._recent: deque[float] = deque(maxlen=9)
        self._start = self._last = time.perf_counter()

    def update(self, epoch: int, row: Row) -> None:
        now = time.perf_counter()
        if not self.compiling:
            self._recent.append(row.get("seconds", now - self._last))
        self._last, self.epoch, self.row, self.compiling = now, epoch, row, False

    def epochs(self) -> str:
        return f"epoch {self.epoch:{len(str(self.num_epochs))}}/{self.num_epochs}"

    def measures(self) -> str:
        """Such as 'ppl train 6.05 val 7.31'."""
        if self.compiling:
            return "compiling"
        metric = "ppl" if {"train_ppl", "val_ppl"} & self.row.keys() else "loss"
        parts = [
            f"{split} {_number(self.row[f'{split}_{metric}'])}"
            for split in ("train", "val")
            if f"{split}_{metric}" in self.row
        ]
        return " ".join([metric, *parts]) if parts else ""

    def speed(self) -> str:
        return f"{_number(median(self._recent))} s/epoch" if self._recent else ""

    def left(self) -> str:
        """The time the other epochs will take; after the last, the time they all took."""
        others = self.num_epochs - self.epoch
        if others <= 0:
            return f"in {_clock(self._last - self._start)}"
        return f"{_clock(median(self._recent) * others)} left" if self._recent else ""


class _Lines:
    """Plain lines: the first epoch, the last, and some between them."""

    def __init__(self, pace: _Pace) -> None:
        self._pace = pace
        self._printed = pace.epoch
        self._first = pace.epoch + 1
        self._every = max(1, math.ceil((pace.num_epochs - pace.epoch) / LINES))

    def update(self, epoch: int, row: Row) -> None:
        self._pace.update(epoch, row)
        if epoch in (self._first, self._pace.num_epochs) or epoch % self._every == 0:
            self._print()

    def end(self) -> None:
        if self._pace.epoch != self._printed:  # the training broke off
            self._print()

    def _print(self) -> None:
        pace = self._pace
        self._printed = pace.epoch
        parts = (pace.epochs(), pace.measures(), pace.speed(), pace.left())
        print("  ".join(part for part in parts if part), flush=True)


class _Bar:
    """A progress bar that a thread of `rich` redraws; `update` only notes the numbers."""

    def __init__(self, pace: _Pace) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task
        from rich.table import Column
        from rich.text import Text

        self._pace = pace

        class PaceColumn(ProgressColumn):
            def __init__(self, text: str) -> None:
                self._text = text
                super().__init__(Column(no_wrap=True, overflow="ellipsis"))

            def render(self, task: Task) -> Text:
                return Text(getattr(pace, self._text)())

        console = Console()
        texts = ("measures", "speed", "left") if console.width >= WIDE else ("measures", "left")
        self._bar = Progress(
            PaceColumn("epochs"),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            *map(PaceColumn, texts),
            console=console,
            refresh_per_second=FRAMES_PER_SECOND,
            expand=True,
        )
        self._task = self._bar.add_task("", total=pace.num_epochs, completed=pace.epoch)
        # `stop` gives the terminal its cursor back, at the latest when the process ends.
        self._stop = weakref.finalize(self, self._bar.stop)
        self._bar.start()

    def update(self, epoch: int, row: Row) -> None:
        self._pace.update(epoch, row)
        self._bar.update(self._task, completed=epoch)

    def end(self) -> None:
        self._stop()


def _number(value: float) -> str:
    """Short, and steady in width while the value changes little."""
    return f"{value:.2f}" if 1 <= abs(value) < 1000 else f"{value:.3g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
