"""`plot` and its companions: what the book's cells pass, and what goes wrong."""

import os
import subprocess
import sys

import numpy as np
import pytest

from d2lrnn import figures
from d2lrnn.decoding import Candidate, Kept
from d2lrnn.errors import ArgumentError


@pytest.fixture
def axes():
    figures.plt.close("all")
    yield figures.plt.figure().gca()
    figures.plt.close("all")


def points(axes):
    return [line.get_xydata().tolist() for line in axes.lines]


class Unreadable:
    """A tensor that NumPy cannot convert, such as one with a gradient."""

    ndim = 1

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("on a device")

    def __len__(self):
        return len(self.values)

    def __getitem__(self, i):
        return self.values[i]


@pytest.mark.parametrize(
    ("X", "Y", "expected"),
    [
        ([3, 1, 2], None, [[[0, 3], [1, 1], [2, 2]]]),
        (np.array([3.0, 1.0]), None, [[[0, 3], [1, 1]]]),
        ([[3, 1], [5, 6, 7]], None, [[[0, 3], [1, 1]], [[0, 5], [1, 6], [2, 7]]]),
        (range(2), (5, 6), [[[0, 5], [1, 6]]]),
        (np.arange(2), [np.array([5, 6]), [7, 8]], [[[0, 5], [1, 6]], [[0, 7], [1, 8]]]),
        (np.arange(2), np.array([[5, 6], [7, 8]]), [[[0, 5], [1, 6]], [[0, 7], [1, 8]]]),
        ([[0, 1], [9]], [[5, 6], [7]], [[[0, 5], [1, 6]], [[9, 7]]]),
        (Unreadable([0, 1]), [np.float32(5), np.float32(6)], [[[0, 5], [1, 6]]]),
        ([], None, [[]]),
    ],
)
def test_plot_takes_what_the_book_passes(axes, X, Y, expected):
    figures.plot(X, Y, axes=axes)
    assert points(axes) == expected


def test_plot_passes_on_every_option(axes):
    figures.plot(
        [1, 10, 100], [[1, 2, 3], [3, 2, 1]], "n", "f(n)", legend=["a", "b"], xlim=[1, 50],
        ylim=(0, 4), xscale="log", yscale="linear", fmts=("r:", "b-"), axes=axes,
    )  # fmt: skip
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("n", "f(n)")
    assert (axes.get_xlim(), axes.get_ylim()) == ((1, 50), (0, 4))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert [line.get_linestyle() for line in axes.lines] == [":", "-"]


def test_plot_draws_more_series_than_formats(axes):
    figures.plot([0, 1], [[i, i] for i in range(6)], axes=axes)
    assert len(axes.lines) == 6


def test_plot_clears_the_current_axes_and_returns_nothing(axes):
    assert figures.plot([1, 2]) is None
    figures.plot([3, 4])
    assert points(axes) == [[[0, 3], [1, 4]]]


def test_a_legend_of_one_name(axes):
    figures.plot([1, 2], legend="sine", axes=axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["sine"]


def test_figsize_is_that_of_new_figures():
    figures.plt.close("all")
    figures.plot([1, 2], figsize=(6, 3))
    assert figures.plt.gcf().get_size_inches().tolist() == [6, 3]
    figures.plt.close("all")
    figures.set_figsize()
    assert figures.plt.figure().get_size_inches().tolist() == [3.5, 2.5]


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        ([[1], [2], [3]], [[1], [2]], "3 series in X and 2 in Y"),
        ([1, 2, 3], [1, 2], "3 points in X and 2 in Y for series 0"),
        (3.0, None, "X to be a series of numbers. Received: X of type float"),
        ([1], np.array(3.0), "Y to be a series of numbers. Received: Y of type ndarray"),
        (np.zeros((2, 2, 2)), None, r"one axis. Received: X has one of shape \(2, 2\)"),
        ([object()], None, "numbers for X"),
    ],
)
def test_plot_says_what_does_not_fit(X, Y, message):
    with pytest.raises(ArgumentError, match=message):
        figures.plot(X, Y)


def run(program, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    kept.pop("MPLBACKEND", None)
    return subprocess.run(
        [sys.executable, "-c", program],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_importing_figures_and_board_imports_no_matplotlib():
    program = "import sys, d2lrnn.board, d2lrnn.figures; print('matplotlib' in sys.modules)"
    assert run(program) == "False"


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="these always have a display")
@pytest.mark.parametrize(
    ("chosen", "environment", "expected"),
    [("", {}, "agg"), ("svg", {}, "svg"), ("", {"MPLBACKEND": "pdf"}, "pdf")],
)
def test_without_display_it_draws_unless_the_user_chose_a_backend(chosen, environment, expected):
    use = f"matplotlib.use({chosen!r})" if chosen else ""
    program = f"""
import matplotlib
{use}
from d2lrnn.figures import plot, plt
plot([1, 2])
print(matplotlib.get_backend().lower())
"""
    assert run(program, **environment) == expected


def test_an_unknown_name_of_the_module():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        figures.nothing  # noqa: B018


def test_a_column_is_one_series():
    figure, axes = figures.plt.subplots()
    column = np.arange(4.0).reshape(4, 1)
    figures.plot(np.arange(4), [column, 2 * column], axes=axes)
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [0, 2, 4, 6])
    figures.plt.close(figure)


def test_the_beams_are_a_tree(axes):
    """Two steps, of which the best sequence is b; of a only one is followed."""
    kept = [
        [Kept(0, 0, -0.5, False), Kept(0, 1, -0.75, False)],
        [Kept(1, 2, -1.0, True), Kept(0, 1, -2.0, False)],
        [Kept(1, 2, -2.25, True), Kept(1, 0, -3.0, False)],
    ]
    figures.show_beams(Candidate([1], -1.0, kept), ["a", "b", "end"], axes=axes)
    shown = {text.get_text(): text for text in axes.texts}
    assert shown.keys() == {
        "a\n-0.50",
        "b\n-0.75",
        "end\n-1.00",
        "b\n-2.00",
        "end\n-2.25",
        "a\n-3.00",
    }
    assert len(axes.texts) == 6 + 2  # a second frame round each end
    bold = {label for label, text in shown.items() if text.get_weight() == "bold"}
    assert bold == {"b\n-0.75", "end\n-1.00"}
    root, *lines = points(axes)
    assert [[0, 1.25], [1, 0.5]] in lines and root == [[0, 1.25]]  # between the two below it
    assert [[1, 2], [2, 2]] in lines and [[2, 0.5], [3, 1]] in lines
    wide = [line.get_xydata().tolist() for line in axes.lines if line.get_linewidth() == 3]
    assert wide == [[[0, 1.25], [1, 2]], [[1, 2], [2, 2]]]


def test_a_translation_that_was_kept_and_left_has_no_frame(axes):
    kept = [[Kept(0, "a", -1, False), Kept(0, "b", -2, False)], [Kept(0, "a", -2, False)]]
    figures.show_beams(Candidate(["a", "a"], -2, kept), axes=axes)
    frames = [text.get_bbox_patch().get_edgecolor()[-1] for text in axes.texts]
    assert frames == [1, 0, 1]
    with pytest.raises(ArgumentError, match="Received: found="):
        figures.show_beams("va !")


@pytest.mark.parametrize("fills", [False, True])
def test_a_legend_covers_no_line(fills):
    x = np.linspace(0, 40, 400)
    lines = [np.sin(x + shift) for shift in (0, 1, 2, 3)] if fills else [np.exp(-x), np.exp(-x / 2)]
    names = ["one", "another", "a third", "a fourth"][: len(lines)]
    figures.plot(x, lines, legend=names)
    axes = figures.plt.gca()
    box = axes.get_legend().get_window_extent()
    for line in axes.lines:
        assert not line.get_transform().transform_path(line.get_path()).intersects_bbox(box, False)
    assert (box.y0 >= axes.get_window_extent().y1) == fills
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    figures.plt.close("all")
