"""`HyperParameters`, `add_to_class` and the checks (section 3.2)."""

import numpy as np
import pytest

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import (
    HyperParameters,
    add_to_class,
    check_integer,
    check_len,
    check_shape,
)


class Base(HyperParameters):
    def __init__(self, a, b=2, *rest, _hidden=None, c=3, **more):
        local = "no argument"  # noqa: F841
        self.save_hyperparameters(ignore=["c"])


class Child(Base):
    def __init__(self, a, d, b=20):
        super().__init__(a)
        self.save_hyperparameters()


def test_arguments_become_attributes():
    base = Base(1, 5, 6, 7, e=8)
    assert base.hparams == {"a": 1, "b": 5, "rest": (6, 7), "more": {"e": 8}}
    assert (base.a, base.b, base.rest, base.more) == (1, 5, (6, 7), {"e": 8})
    assert not hasattr(base, "c") and not hasattr(base, "local") and not hasattr(base, "_hidden")


def test_a_hierarchy_gathers_its_arguments_and_the_last_call_holds():
    child = Child(1, d=4)
    assert child.hparams == {"a": 1, "b": 20, "rest": (), "more": {}, "d": 4}
    assert child.b == 20 and child.d == 4


def test_instances_do_not_share_their_hyperparameters():
    first, second = Child(1, 2), Child(3, 4)
    assert (first.hparams["a"], second.hparams["a"]) == (1, 3)


def test_ignore_takes_one_name_and_the_instance_may_have_any_name():
    class Model(HyperParameters):
        def __init__(this, rnn, lr):
            this.save_hyperparameters(ignore="rnn")

    assert Model("an rnn", 0.1).hparams == {"lr": 0.1}


def test_add_to_class_reaches_instances_that_exist_and_keeps_the_name():
    class Model:
        pass

    model = Model()

    @add_to_class(Model)
    def double(self, x):
        return 2 * x

    assert model.double(3) == 6 and double(None, 4) == 8


def test_add_to_class_with_an_instance_is_an_error():
    with pytest.raises(ArgumentError, match=r"expects a class.*of type Child"):
        add_to_class(Child(1, 2))
    with pytest.raises(ArgumentError, match="decorates a function"):
        add_to_class(Child)(3)


def test_checks_say_what_was_expected_and_what_came():
    check_len([1, 2], 2)
    check_shape(np.zeros((2, 3)), (2, 3))
    check_shape(np.zeros((2, 3)), [2, 3])
    with pytest.raises(ArgumentError, match=r"Expected length 3\. Received: length 2"):
        check_len([1, 2], 3)
    with pytest.raises(ArgumentError, match=r"Expected shape \(3, 2\). Received: shape \(2, 3\)"):
        check_shape(np.zeros((2, 3)), (3, 2))
    assert check_integer("n", np.int64(3), 1) == 3
    with pytest.raises(ArgumentError, match=r"at least 1\. Received: n='3'"):
        check_integer("n", "3", 1)
