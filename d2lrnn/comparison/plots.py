"""The plots of a comparison: a colour for each backend, a marker for each run.

A plot is drawn once, in light colours and without pyplot, so nothing is shown and no display is
looked for. Its dark SVG is the light one with other colours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

from d2lrnn import backend
from d2lrnn.figures import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MARKS = 8  # how many markers a curve carries
SIZE = (4.6, 3.6)  # inches; read on a phone at about two thirds of it
FONT_SIZE = 10.5


class Theme(NamedTuple):
    """The colours of a plot; `ink` is that of its text, `faint` that of its grid."""

    paper: str
    ink: str
    faint: str
    curves: tuple[str, ...]


# In both themes the first four curves can be told apart by readers who see no red, no green or no blue,
# and all have a contrast to their paper of at least 3 to 1. Their order is that of the backends.
THEMES = {
    "light": Theme(
        *("#ffffff", "#3b4048", "#e3e5e8"),
        ("#d2600f", "#1650a0", "#7a2460", "#2f9e7d", "#5f6773", "#8a7400"),
    ),
    "dark": Theme(
        *("#16181c", "#c3c8d0", "#31353c"),
        ("#f7b584", "#6f9df2", "#d070a6", "#a5ecdd", "#a3acb9", "#dccb5c"),
    ),
}
_EACH = [[colour.encode() for colour in (*theme[:3], *theme.curves)] for theme in THEMES.values()]
IN_THE_DARK = dict(zip(*_EACH, strict=True))


@dataclass(frozen=True)
class Curve:
    """Values over the epochs, in training or in validation, of a run or, without a backend, of all.

    It is broken where a value is not finite, or not positive on a logarithmic scale.
    """

    label: str
    backend: str | None
    split: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Plot:
    """A plot of curves over the epochs.

    Attributes:
        name: that of its files.
        caption: its title.
        alt: what it shows, for readers who do not see it.
        ylabel: what the curves are.
        curves: the curves.
        level: where a dotted line is drawn; the scale is then logarithmic.
        notes: what can be read from it.
    """

    name: str
    caption: str
    alt: str
    ylabel: str
    curves: tuple[Curve, ...]
    level: float | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def figure(self) -> Figure:
        """The plot as a figure of Matplotlib."""
        import matplotlib

        with matplotlib.rc_context({"font.size": FONT_SIZE}):
            return _draw(self)

    @cached_property
    def svg(self) -> bytes:
        """The SVG file for light pages."""
        return picture(self.figure, "svg", text_as_paths=True)

    @cached_property
    def dark_svg(self) -> bytes:
        """The SVG file for dark pages."""
        return re.sub(b"#[0-9a-f]{6}", lambda c: IN_THE_DARK.get(c[0], c[0]), self.svg)

    @cached_property
    def png(self) -> bytes:
        """The PNG file."""
        return picture(self.figure, "png")


def files(plots: Iterable[Plot]) -> dict[str, bytes]:
    """The files of each plot by name: SVG for light and for dark pages, and PNG."""
    found: dict[str, bytes] = {}
    for plot in plots:
        found |= {f"{plot.name}.svg": plot.svg, f"{plot.name}-dark.svg": plot.dark_svg}
        found[f"{plot.name}.png"] = plot.png
    return found


def colour(name: str, backends: Iterable[str], theme: str = "light") -> str:
    """The colour of the backend `name`: its own where d2lrnn knows it, else the next free one."""
    colours = THEMES[theme].curves
    strangers = sorted(set(backends) - set(backend.DEFAULT_ORDER))
    return colours[[*backend.DEFAULT_ORDER, *strangers].index(name) % len(colours)]


def _draw(plot: Plot) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    paper, ink, faint, _ = THEMES["light"]
    figure = Figure(figsize=SIZE, layout="constrained", facecolor=paper)
    axes = figure.add_subplot(facecolor=paper)
    looks = _looks(plot)
    splits = dict.fromkeys(curve.split for curve in plot.curves)
    styles: dict[str, Any] = dict(zip(splits, ("-", (0, (3, 2))), strict=False))
    least = -math.inf if plot.level is None else 0.0
    for curve in plot.curves:
        epochs = range(1, len(curve.values) + 1)
        look = looks.get(curve.label, {"color": ink, "linewidth": 1.4})
        if curve.label in looks:
            # The markers of different runs stand at different epochs, so that curves on top of one
            # another are still seen to be several.
            every = max(len(epochs) // MARKS, 1)
            look = {**look, "markevery": ([*looks].index(curve.label) * every // len(looks), every)}
        values = [value if least < value < math.inf else math.nan for value in curve.values]
        axes.plot(epochs, values, linestyle=styles[curve.split], **look)

    if plot.level is not None or _wide(v for curve in plot.curves for v in curve.values):
        axes.set_yscale("log")
    if plot.level is not None:
        axes.axhline(plot.level, color=ink, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
    axes.set_xlabel("epoch", color=ink)
    axes.set_ylabel(plot.ylabel, color=ink)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.grid(True, color=faint, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=ink, length=0)
    axes.yaxis.get_offset_text().set_color(ink)
    for side, spine in axes.spines.items():
        spine.set(visible=side == "bottom", color=faint)

    plain: dict[str, Any] = {"frameon": False, "labelcolor": ink, "columnspacing": 1.2}
    if looks:
        legend = figure.legend(
            handles=[Line2D([], [], label=label, **look) for label, look in looks.items()],
            loc="outside upper left",
            ncols=2 if any(len(label) > 11 for label in looks) else 4,
            handlelength=1.8,
            **plain,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)  # a dollar in a name is a dollar
    lines = [Line2D([], [], color=ink, linestyle=s, label=name) for name, s in styles.items()]
    figure.legend(handles=lines, loc="outside lower right", ncols=2, **plain)
    return figure


def _looks(plot: Plot) -> dict[str, dict[str, Any]]:
    """The colour and marker of each run, by its label."""
    runs = {curve.label: curve.backend for curve in plot.curves if curve.backend is not None}
    return {
        label: {
            "color": colour(name, runs.values()),
            "marker": marker,
            "markersize": 4,
            "linewidth": 1.4,
        }
        for (label, name), marker in zip(runs.items(), cycle(MARKERS), strict=False)
    }


def _wide(values: Iterable[float]) -> bool:
    """Whether the values span too much for a linear scale."""
    positive = [value for value in values if value > 0 and math.isfinite(value)]
    return bool(positive) and max(positive) > 100 * min(positive)
