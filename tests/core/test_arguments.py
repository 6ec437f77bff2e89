"""The table of arguments, and who goes by it (d2lrnn/arguments.py)."""

import math

import click
import numpy as np
import pytest

from d2lrnn.arguments import ARGUMENTS, Integer, Number, OneOf, Share, check
from d2lrnn.cli import generate, main, train
from d2lrnn.errors import ArgumentError

OPTIONS = {param.name: param for param in (*generate.params, *train.params)}

FITTING = {Integer: [1, np.int64(1)], Number: [0.5, 1, np.float32(0.5)], Share: [0, 0.5]}
OTHERS = {
    Integer: [-1, 1.0, 1.5, "1", None, True],
    Number: [-1, -0.5, math.inf, math.nan, "1", None, True],
    Share: [-0.1, 1, math.nan, "0.5", None, True],
    OneOf: ["", "sin", None, 1],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_is_checked_by_its_rule(name):
    rule = ARGUMENTS[name].rule
    for value in FITTING.get(type(rule)) or rule.choices:
        check(**{name: value})
    for value in OTHERS[type(rule)]:
        with pytest.raises(ArgumentError) as caught:
            check(**{name: value})
        assert f"Expected {name} to be {rule}. Received: {name}={value!r}." in str(caught.value)


def test_the_ends_of_a_range():
    check(num_val=0, num_hiddens=1, seed=2**32 - 1, gradient_clip_val=0, temperature=0.0)
    for wrong in ({"num_hiddens": 0}, {"seed": 2**32}, {"lr": 0}, {"sigma": 0.0}):
        with pytest.raises(ArgumentError):
            check(**wrong)


@pytest.mark.parametrize("name", sorted(ARGUMENTS.keys() & OPTIONS.keys()))
def test_an_option_takes_what_its_argument_may_be(name):
    rule, option = ARGUMENTS[name].rule, OPTIONS[name]
    for value in (-1, 0, 0.5, 1, 2**32, "tanh", "char", "x"):
        try:
            taken = option.type.convert(str(value), option, None)
        except click.BadParameter:
            assert not rule.accepts(value)
        else:
            assert rule.accepts(taken)


def test_what_an_argument_may_not_be_is_no_option(capsys):
    for name in sorted(ARGUMENTS.keys() & {param.name for param in train.params}):
        flag = f"--{name.replace('_', '-')}"
        assert main(["train", flag, "-1"]) == 2
        assert flag in capsys.readouterr().err
