"""Plots as the book's cells ask for them (book, section 2.4), in a notebook, a script or a server.

Matplotlib is imported when something is first plotted, and no window is ever opened by this module.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from d2lrnn import backend
from d2lrnn.arguments import check, check_given, shown
from d2lrnn.errors import ArgumentError

Limits = tuple[float, float] | Sequence[float] | None

plt: Any  # matplotlib.pyplot, imported by `__getattr__` when it is first asked for


def __getattr__(name: str) -> Any:
    if name == "plt":
        globals()["plt"] = _pyplot()
        return globals()["plt"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _pyplot() -> Any:
    import matplotlib

    chosen = "MPLBACKEND" in os.environ or matplotlib.get_backend(auto_select=False) is not None
    if not chosen and not _has_display():
        matplotlib.use("agg")
    return importlib.import_module("matplotlib.pyplot")


def _has_display() -> bool:
    if in_notebook() or sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def in_notebook() -> bool:
    """Whether this code runs in a Jupyter kernel, whose front end can show a picture."""
    ipython = sys.modules.get("IPython")
    # Only a kernel's shell has a kernel; IPython in a terminal has none. Colab's is a subclass.
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def use_svg_display() -> None:
    """Let Jupyter show figures as SVG; without a notebook this does nothing (book, section 2.4)."""
    if in_notebook():
        inline = importlib.import_module("matplotlib_inline.backend_inline")
        inline.set_matplotlib_formats("svg")


def set_figsize(figsize: tuple[float, float] = (3.5, 2.5)) -> None:
    """Set the width and height, in inches, of the figures made from now on (book, section 2.4)."""
    check(figsize=figsize)
    use_svg_display()
    _plt().rcParams["figure.figsize"] = figsize


def set_axes(
    axes: Any,
    xlabel: str | None,
    ylabel: str | None,
    xlim: Limits,
    ylim: Limits,
    xscale: str,
    yscale: str,
    legend: Sequence[str] | str | None = (),
) -> None:
    """Label, scale, limit and grid the Matplotlib `axes`; `None` leaves a label or limit alone.

    `legend` names the lines in the order they were drawn (book, section 2.4).
    """
    check(axes=axes, xscale=xscale, yscale=yscale)
    check_given(xlabel=xlabel, ylabel=ylabel, xlim=xlim, ylim=ylim, legend=legend)
    axes.set_xlabel(xlabel or "")
    axes.set_ylabel(ylabel or "")
    axes.set_xscale(xscale)
    axes.set_yscale(yscale)
    axes.set_xlim(xlim)
    axes.set_ylim(ylim)
    if legend:
        _name_lines(axes, [legend] if isinstance(legend, str) else list(legend))
    axes.grid(True)


def _name_lines(axes: Any, names: list[str]) -> None:
    """A legend inside the axes where it covers no line, or else above them."""
    box = axes.legend(names).get_window_extent()
    lines = (line.get_transform().transform_path(line.get_path()) for line in axes.lines)
    if any(line.intersects_bbox(box, filled=False) for line in lines):
        above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.3}
        axes.legend(names, ncols=2, frameon=False, **above)


def plot(
    X: Any,
    Y: Any = None,
    xlabel: str | None = None,
    ylabel: str | None = None,
    legend: Sequence[str] | str | None = (),
    xlim: Limits = None,
    ylim: Limits = None,
    xscale: str = "linear",
    yscale: str = "linear",
    fmts: Sequence[str] = ("-", "m--", "g-.", "r:"),
    figsize: tuple[float, float] = (3.5, 2.5),
    axes: Any = None,
) -> None:
    """Plot one line or several, `Y` over `X` (book, section 2.4).

    Args:
        X: where the points lie: one series, or a list of them, one per series of `Y`. Series are
            lists of numbers, arrays or tensors of any framework, of one axis. Without `Y`, the
            series to plot, over 0, 1, 2, ...
        Y: a series, a list of series, or an array of two axes, one series per row.
        xlabel: the label of the horizontal axis; `ylabel` that of the vertical one.
        legend: the names of the lines.
        xlim: the two ends of the horizontal axis; `ylim` those of the vertical one.
        xscale: 'linear' or 'log', as `yscale`.
        fmts: Matplotlib formats of the lines, used in turn.
        figsize: width and height in inches of a figure made for this plot.
        axes: Matplotlib axes to clear and plot into; by default the current ones.

    Raises:
        ArgumentError: `X` and `Y` hold different numbers of series or points, or no numbers.
    """
    check(xscale=xscale, yscale=yscale, fmts=fmts, figsize=figsize)
    check_given(xlabel=xlabel, ylabel=ylabel, xlim=xlim, ylim=ylim, legend=legend, axes=axes)
    if Y is None:
        ys = _series("X", X)
        xs = [np.arange(len(y)) for y in ys]
    else:
        xs, ys = _series("X", X), _series("Y", Y)
        if len(xs) == 1:
            xs = xs * len(ys)
    if len(xs) != len(ys):
        raise ArgumentError(
            f"Expected X to be one series, or one per series of Y. Received: {len(xs)} series in X and "
            f"{len(ys)} in Y."
        )
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if len(x) != len(y):
            raise ArgumentError(
                f"Expected as many points in X as in Y. Received: {len(x)} points in X and {len(y)} in Y "
                f"for series {i}."
            )
    set_figsize(figsize)
    if axes is None:
        if not _plt().get_fignums():
            _plt().figure(layout="constrained")  # room for the labels, however small the figure
        axes = _plt().gca()
    axes.cla()
    for x, y, fmt in zip(xs, ys, cycle(fmts), strict=False):
        axes.plot(x, y, fmt)
    set_axes(axes, xlabel, ylabel, xlim, ylim, xscale, yscale, legend)


def show_list_len_pair_hist(
    legend: Sequence[str], xlabel: str, ylabel: str, xlist: Sequence[Any], ylist: Sequence[Any]
) -> None:
    """Plot how many of the sequences in `xlist` and in `ylist` have which length (book, section 10.5.2)."""
    check(legend=legend, xlabel=xlabel, ylabel=ylabel)
    for name, sequences in {"xlist": xlist, "ylist": ylist}.items():
        is_list = isinstance(sequences, list | tuple)
        if not (is_list and all(hasattr(one, "__len__") for one in sequences)):
            raise ArgumentError(
                f"Expected {name} to be a list of sequences. Received: {name}={shown(sequences)}."
            )
    set_figsize()
    _, _, patches = _plt().hist([[len(one) for one in both] for both in (xlist, ylist)])
    for patch in patches[1].patches:
        patch.set_hatch("/")  # told apart without colour
    _plt().xlabel(xlabel)
    _plt().ylabel(ylabel)
    _plt().legend(legend)


def show_heatmaps(
    matrices: Any,
    xlabel: str,
    ylabel: str,
    titles: Sequence[str] | None = None,
    figsize: tuple[float, float] = (2.5, 2.5),
    cmap: str = "Reds",
) -> None:
    """Draw matrices, such as attention weights, as colours (book, section 11.1.1).

    Args:
        matrices: (rows, columns, num_queries, num_keys), an array or a tensor of any framework: in each
            row and column of the figure a matrix.
        xlabel: what the keys are; `ylabel` what the queries are.
        titles: of the columns.
        figsize: width and height of the figure in inches.
        cmap: a colour map of Matplotlib's.

    Raises:
        ArgumentError: `matrices` has not four axes, or holds no numbers.
    """
    check(xlabel=xlabel, ylabel=ylabel, figsize=figsize, cmap=cmap)
    check_given(titles=titles)
    values = _array("matrices", matrices)
    if values.ndim != 4 or not values.size:
        raise ArgumentError(
            "Expected matrices of shape (rows, columns, num_queries, num_keys). Received: matrices of shape "
            f"{values.shape}."
        )
    use_svg_display()
    rows, columns = values.shape[:2]
    shared = {"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"}
    figure, axes = _plt().subplots(rows, columns, figsize=figsize, **shared)
    for i in range(rows):
        for j in range(columns):
            drawn = axes[i, j].imshow(values[i, j], cmap=cmap)
            if i == rows - 1:
                axes[i, j].set_xlabel(xlabel)
            if j == 0:
                axes[i, j].set_ylabel(ylabel)
            if titles:
                axes[i, j].set_title(titles[j])
    figure.colorbar(drawn, ax=axes, shrink=0.6)


def show_beams(
    found: Any,
    names: Sequence[str] | None = None,
    figsize: tuple[float, float] | None = None,
    axes: Any = None,
) -> None:
    """Draw what a beam search kept as a tree, a column for each step (book, section 10.8.3).

    A node shows a token, and below it the log-probability of all tokens up to it, in nats. The best
    sequence is bold, with thick lines; one that ended has a double frame; one that was kept and then left
    has none.

    Args:
        found: what `beam_search` has found of one example, or one of `model.translations`.
        names: what tokens are called, where `found` has their indices, as of `beam_search`.
        figsize: width and height of a new figure in inches; by default as large as the tree needs.
        axes: Matplotlib axes to draw into, by default of a new figure.

    Raises:
        ArgumentError: `found` does not tell what was kept.
    """
    if not getattr(found, "kept", None):
        raise ArgumentError(
            "Expected found to be one of model.translations(...) or of beam_search(...). Received: "
            f"found={shown(found)}."
        )
    check_given(figsize=figsize, axes=axes)
    # By step and place in it; the root, before the first step, is (0, 0).
    nodes = {(s, i): kept for s, step in enumerate(found.kept, 1) for i, kept in enumerate(step)}
    children: dict[_Node, list[_Node]] = {node: [] for node in ((0, 0), *nodes)}
    for (step, place), kept in nodes.items():
        children[step - 1, kept.parent].append((step, place))
    best = _path_to(list(found.tokens), nodes)
    heights = _heights(children)
    steps, lowest = len(found.kept), max(heights.values())
    if axes is None:
        use_svg_display()
        figsize = figsize or (1 + 1.1 * steps, 1.2 + 0.45 * lowest)
        axes = _plt().figure(figsize=figsize, layout="constrained").gca()
    axes.plot(0, heights[0, 0], "o", color="black")
    for (step, place), kept in nodes.items():
        node, parent = (step, place), (step - 1, kept.parent)
        is_left = not children[node] and not kept.ended and step < steps
        line, text, edge = {"color": "0.6", "linewidth": 1}, {"color": "black"}, "0.3"
        if node in best:
            line, text, edge = {"color": "C1", "linewidth": 3}, {"weight": "bold"}, "C1"
        elif is_left:
            text, edge = {"color": "0.45"}, "none"
        ends = [step - 1, step], [heights[parent], heights[node]]
        axes.plot(*ends, zorder=1, **line)
        name = kept.token if names is None else names[kept.token]
        for pad in (0.55, 0.3) if kept.ended else (0.3,):  # the outer frame first
            frame = {"boxstyle": f"round,pad={pad}", "facecolor": "white", "edgecolor": edge}
            label = axes.text(step, heights[node], f"{name}\n{kept.log_probability:.2f}", **text)
            label.set(ha="center", va="center", size=8, bbox=frame)
    axes.set(xlim=(-0.3, steps + 0.6), ylim=(lowest + 0.6, -0.6), xlabel="step")
    axes.set(xticks=range(1, steps + 1), yticks=[])
    axes.spines[["top", "left", "right"]].set_visible(False)


_Node = tuple[int, int]


def _path_to(tokens: list[Any], nodes: dict[_Node, Any]) -> list[_Node]:
    """The nodes of the sequence of these tokens, with that of the token which ends it, if one does."""
    found: list[_Node] = []
    for node in nodes:
        path = [node]
        while path[0][0] > 1:
            path.insert(0, (path[0][0] - 1, nodes[path[0]].parent))
        if [nodes[one].token for one in path if not nodes[one].ended] == tokens:
            found = path  # a later one has the end as well
    return found


def _heights(children: dict[_Node, list[_Node]]) -> dict[_Node, float]:
    """How far below the top each node stands: leaves 0, 1, 2 ..., others in the middle of those after."""
    heights: dict[_Node, float] = {}

    def place(node: _Node, leaves: int) -> int:
        for child in children[node]:
            leaves = place(child, leaves)
        if children[node]:
            heights[node] = float(np.mean([heights[child] for child in children[node]]))
            return leaves
        heights[node] = leaves
        return leaves + 1

    place((0, 0), 0)
    return heights


def picture(
    figure: Any, form: Literal["svg", "png"], *, tight: bool = False, text_as_paths: bool = False
) -> bytes:
    """The bytes of an SVG or PNG file that shows a Matplotlib figure; the same ones each time.

    Args:
        figure: the figure.
        form: the format; PNG has 200 dots per inch.
        tight: leave out the empty paper round the plot.
        text_as_paths: draw the letters of an SVG, for readers who may lack the font; by default its
            text stays text.
    """
    import matplotlib

    file = io.BytesIO()
    fonts = "path" if text_as_paths else "none"
    with matplotlib.rc_context({"svg.fonttype": fonts, "svg.hashsalt": "d2lrnn"}):
        figure.savefig(
            file,
            format=form,
            dpi=200,
            bbox_inches="tight" if tight else None,
            metadata={"Date": None} if form == "svg" else {"Software": None},
        )
    return file.getvalue()


def _plt() -> Any:
    return getattr(sys.modules[__name__], "plt")  # noqa: B009  (goes through __getattr__)


def _series(name: str, values: Any) -> list[NDArray[Any]]:
    """`values` as a list of arrays of one axis: it is one series itself, or holds several."""
    has_rows = hasattr(values, "__len__") and not isinstance(values, str | dict | type)
    if getattr(values, "ndim", None) == 0 or not has_rows:
        raise ArgumentError(
            f"Expected {name} to be a series of numbers. Received: {name} of type "
            f"{type(values).__name__}."
        )
    is_one = len(values) == 0 or np.ndim(values[0]) == 0
    arrays = [_array(name, values)] if is_one else [_array(name, row) for row in values]
    # The labels and predictions of a regression, (n, 1), are one series each.
    arrays = [a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in arrays]
    for array in arrays:
        if array.ndim != 1:
            raise ArgumentError(
                f"Expected series of one axis. Received: {name} has one of shape {array.shape}."
            )
    return arrays


def scalar(name: str, value: Any) -> float:
    """`value` as a float: a Python, NumPy or framework number, or an array or tensor of one element.

    Raises:
        ArgumentError: it is no number, or holds none or several.
    """
    if hasattr(value, "__float__") and not hasattr(value, "shape"):
        return float(value)
    array = _array(name, value)
    # NumPy calls the kind of bfloat16 a void's.
    if array.size != 1 or not (array.dtype.kind in "biuf" or "float" in array.dtype.name):
        raise ArgumentError(
            f"Expected {name} to be a number, or a tensor of one. Received: an array of shape "
            f"{array.shape} and dtype {array.dtype}. Take a mean, a sum or an element of it."
        )
    return float(array.reshape(()))


def _array(name: str, series: Any) -> NDArray[Any]:
    try:
        array = np.asarray(series)
    except (RuntimeError, TypeError, ValueError):
        pass  # a tensor on a device, one with a gradient, or one that NumPy cannot read at all
    else:
        if array.dtype.kind not in "OUS":
            return array
    if backend.loaded() and hasattr(series, "shape"):
        return np.asarray(backend.active().numpy(series))
    try:
        if isinstance(series, str | dict):
            raise TypeError(f"{name}={shown(series)}")
        return np.array([float(value) for value in series])
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(f"Expected numbers for {name}. Received: {error}.") from None
