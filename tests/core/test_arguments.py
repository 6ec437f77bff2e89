"""The table of arguments, and who goes by it (d2lrnn/arguments.py)."""

import math
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
from kinds import BIG, HUGE, VALUES, Kind, assert_told

from d2lrnn import figures
from d2lrnn.arguments import (
    ARGUMENTS,
    File,
    Flag,
    Having,
    Integer,
    Number,
    OneOf,
    Pair,
    Share,
    Styles,
    Text,
    Words,
    check,
    check_room,
    checked,
    shown,
)
from d2lrnn.board import ProgressBoard
from d2lrnn.cli import generate, main, train, translate
from d2lrnn.comparison import Comparison, compare
from d2lrnn.data import Vocab, download, extract
from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_len, check_shape
from d2lrnn.options import Typed

OPTIONS = {param.name: param for param in (*generate.params, *translate.params, *train.params)}

# What each kind of rule takes, as Python keeps it, and what it does not.
FITTING = {
    Integer: [(1, 1), (np.int64(1), 1), (np.uint8(1), 1)],
    Number: [(0.5, 0.5), (1, 1), (np.float32(0.5), 0.5), (np.int64(1), 1)],
    Share: [(0, 0), (0.5, 0.5), (np.float16(0.5), 0.5)],
    Flag: [(True, True), (np.False_, False)],
    Text: [("", ""), ("sea", "sea")],
    File: [("a", "a"), (Path("a"), Path("a"))],
    Words: [([], []), (["a"], ["a"]), (("a", "b"), ("a", "b"))],
    Pair: [((1, 2.5), (1, 2.5)), ([3, 4], [3, 4])],
    Styles: [(["a"], ["a"]), (("a", (0, (1, 1))), ("a", (0, (1, 1))))],
}
OTHERS = {
    Integer: [-1, 1.0, 1.5, "1", None, True, [], {}, np.float32(1), np.array([1]), math.nan],
    Number: [-1, -0.5, math.inf, math.nan, "1", None, True, [], np.array([1.0]), 1e39, 10**400],
    Share: [-0.1, 1, math.nan, "0.5", None, True],
    OneOf: ["", "sin", None, 1, [], {}],
    Flag: [0, 1, "True", None, [], np.int64(1)],
    Text: [None, 1, b"a", ["a"]],
    File: [None, "", 1, ["a"]],
    Words: [None, 1, [1], ["a", None], {"a": 1}],
    Pair: [None, 1, "ab", [], [1], [1, 2, 3], ["a", "b"], [1, math.nan], {1: 1, 2: 2}, tuple],
    Styles: [None, 1, "ab", [], {"a": 1}, list],
    Having: [None, 1, "a", object(), Vocab],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_is_checked_by_its_rule(name):
    rule = ARGUMENTS[name].rule
    choices = [(word, word) for word in getattr(rule, "choices", ())]
    for value, kept in FITTING.get(type(rule), choices):
        assert checked(name, value) == kept
        assert type(checked(name, value)) is type(kept)
    for value in OTHERS[type(rule)]:
        with pytest.raises(ArgumentError) as caught:
            check(**{name: value})
        assert str(caught.value).startswith(f"Expected {name} to be {rule}. Received: {name}=")
        assert shown(value) in str(caught.value)


def test_a_long_value_is_shown_in_short():
    with pytest.raises(ArgumentError) as caught:
        check(lr="1" * 10**6, num_hiddens=3)
    assert len(str(caught.value)) < 300


def test_the_ends_of_a_range():
    check(num_val=0, num_hiddens=1, seed=2**32 - 1, gradient_clip_val=0, temperature=0.0)
    check(num_hiddens=2**10, max_epochs=2**31 - 1, beams=1000)
    for wrong in (
        {"max_epochs": 2**31},
        {"beams": 1001},
        {"num_gpus": -1},
        {"devices": 0},
        {"num_hiddens": 0},
        {"seed": 2**32},
        {"lr": 0},
        {"sigma": 0.0},
    ):
        with pytest.raises(ArgumentError):
            check(**wrong)


@pytest.mark.parametrize(
    "sizes, named, num_bytes",
    [
        ({"num_inputs": 5, "num_hiddens": 2**40}, "num_hiddens=1099511627776", 4 * 2**80),
        ({"num_inputs": 2**50, "num_hiddens": 3}, "num_inputs=1125899906842624", 12 * 2**50),
        ({"num_hiddens": 3, "num_layers": 2**50}, "num_layers=1125899906842624", 36 * 2**50),
        ({"vocab_size": 2**50}, "vocab_size=1125899906842624", 4 * 2**50),
    ],
)
def test_weights_that_cannot_be_held_are_refused_and_their_bytes_told(sizes, named, num_bytes):
    with pytest.raises(ArgumentError) as caught:
        check_room(sizes)
    assert str(caught.value).startswith(
        f"{named} is too large: the weights would take {num_bytes:,} bytes"
    )
    check_room({"num_inputs": 5, "num_hiddens": 7, "num_layers": None, "seed": 2**31})


OF_TABLE = sorted(name for name in OPTIONS if isinstance(OPTIONS[name].type, Typed | click.Choice))


@pytest.mark.parametrize("name", sorted(ARGUMENTS.keys() & set(OF_TABLE)))
def test_an_option_takes_what_its_argument_may_be(name):
    rule, option = ARGUMENTS[name].rule, OPTIONS[name]
    for value in (
        -1,
        0,
        0.5,
        1,
        1.5,
        "nan",
        "inf",
        1e39,
        2**32,
        2**40,
        10**30,
        "",
        "True",
        "None",
        "tanh",
        "char",
    ):
        try:
            taken = option.type.convert(str(value), option, None)
        except click.BadParameter:
            assert not rule.accepts(value)
        else:
            assert rule.accepts(taken)


def test_what_an_argument_may_not_be_is_no_option(capsys):
    for name in OF_TABLE:
        option = OPTIONS[name]
        command = next(c for c in (train, generate, translate) if option in c.params)
        assert main([command.name, option.opts[0], "-1"]) == 2
        said = capsys.readouterr().err
        assert option.opts[0] in said
        if isinstance(option.type, Typed):
            assert f"expected {option.type.rule}. Received: -1" in said


# The core's own functions, with `VALUES`, as in tests/contract/test_arguments.py those of the four backends:
# arguments that are fine, and what each may be.

FLAGS, COUNTS = (True, np.bool_(True)), (0, BIG, HUGE)
MANY = (1.5, np.float32(2), BIG, HUGE)
LABEL, SCALE = (
    Kind("a str", ("", "3")),
    Kind("one of {'linear', 'log', 'symlog', 'logit', 'asinh'}"),
)
LIMITS = Kind("two numbers, an end and the other", (None,))
FIGSIZE = Kind("two positive numbers")
LEGEND = Kind("a str or a list of names", (None, "", "3", []))
AXES = Kind("axes of Matplotlib's", (None,))
PATH, NUMBER_OF_BYTES = Kind("a path", ("3",)), Kind("an integer of at least 1", (BIG, HUGE))
OF_AXES = {"xlabel": LABEL.or_none(), "ylabel": LABEL.or_none(), "xlim": LIMITS, "ylim": LIMITS}
OF_AXES |= {"xscale": SCALE, "yscale": SCALE}
OF_PLOT = {**OF_AXES, "legend": LEGEND, "figsize": FIGSIZE, "axes": AXES}
SEQUENCES = Kind("a list of sequences", ([],))
HISTOGRAM = {"legend": ["a", "b"], "xlabel": "", "ylabel": "", "xlist": [[1]], "ylist": [[1, 2]]}
HEATMAPS = {"matrices": np.ones((1, 1, 2, 3)), "xlabel": "keys", "ylabel": "queries"}
SEARCH_RESULT = SimpleNamespace(
    kept=[[SimpleNamespace(parent=0, token=1, ended=False)]], tokens=[1]
)
FILE = {"url": "http://127.0.0.1:9/a.txt"}
LENGTH = Kind("something with a length", (*("", "3", [], {}), *VALUES[-2:]))
SHAPE = Kind("a shape, such as (2, 3)", (*("", "3", [], {}), *VALUES[-2:]))

FUNCTIONS = [
    (figures.plot, {"X": [1, 2]}, {**OF_PLOT, "fmts": Kind("a list of formats of lines")}),
    (figures.set_figsize, {}, {"figsize": FIGSIZE}),
    (
        figures.set_axes,
        {**dict.fromkeys(OF_AXES), "axes": SimpleNamespace(plot=1, set_xlim=1)}
        | {"xscale": "log", "yscale": "log"},
        {**OF_AXES, "legend": LEGEND, "axes": AXES._replace(fine=())},
    ),
    (figures.show_list_len_pair_hist, HISTOGRAM, {"xlabel": LABEL, "ylabel": LABEL}),
    (figures.show_list_len_pair_hist, HISTOGRAM, {"xlist": SEQUENCES, "ylist": SEQUENCES}),
    (figures.show_heatmaps, HEATMAPS, {"xlabel": LABEL, "ylabel": LABEL, "figsize": FIGSIZE}),
    (
        figures.show_heatmaps,
        HEATMAPS,
        {"cmap": LABEL, "titles": Kind("a list of titles", (None, []))},
    ),
    (
        figures.show_beams,
        {"found": SEARCH_RESULT},
        {"figsize": FIGSIZE.or_none(), "axes": AXES}
        | {"found": Kind("one of model.translations(...) or of beam_search(...)")},
    ),
    (
        ProgressBoard,
        {},
        {**OF_AXES, "figsize": FIGSIZE, "axes": AXES, "display": Kind("True or False", FLAGS)}
        | {"ls": Kind("a list of styles of lines"), "colors": Kind("a list of colours")},
    ),
    (
        ProgressBoard().draw,
        {"x": 1, "y": 2, "label": "a"},
        {"label": LABEL, "every_n": Kind("an integer from -2147483647 to 2**31 - 1", (0, -1))},
    ),
    (ProgressBoard().save, {}, {"path": PATH}),
    (compare, {}, {"runs": Kind("a list of runs", ("", "3", [], {}, *VALUES[-2:]))}),
    (Comparison.write, {"self": None}, {"folder": PATH}),
    (
        download,
        FILE,
        {"max_bytes": NUMBER_OF_BYTES, "max_seconds": Kind("a positive number", MANY)}
        | {"folder": PATH.or_none(), "sha1_hash": Kind("40 hexadecimal digits", (None,))},
    ),
    (extract, {"filename": "none.zip"}, {"filename": PATH, "folder": PATH.or_none()}),
    (
        check_len,
        {"a": [1, 2], "n": 2},
        {"a": LENGTH, "n": Kind("an integer of at least 0", COUNTS)},
    ),
    (check_shape, {"a": np.ones((2, 3)), "shape": (2, 3)}, {"shape": SHAPE}),
]


@pytest.mark.parametrize(
    "function, good, kinds", FUNCTIONS, ids=[function.__qualname__ for function, *_ in FUNCTIONS]
)
def test_an_argument_of_a_function_of_the_core(function, good, kinds):
    for argument, kind in kinds.items():
        assert_told(kind, argument, lambda value, n=argument: function(**{**good, n: value}))


@pytest.mark.parametrize("X", [*VALUES[:11], *VALUES[13:18], {"a": 1}, [HUGE, "a"]])
def test_what_is_plotted_is_numbers_or_is_told(X):
    if not isinstance(X, list) or X:
        with pytest.raises(ArgumentError, match=r"X|[Ss]eries|numbers"):
            figures.plot(X)
