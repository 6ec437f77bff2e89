"""How a minibatch is cut over devices, and that a backend which cannot train on them says so."""

import numpy as np
import pytest

from d2lrnn.errors import ArgumentError
from d2lrnn.shares import cut


def test_13_examples_over_2_devices_are_7_and_6_and_weigh_as_many_tokens_as_they_have():
    order = np.random.RandomState(0).permutation(13)
    tokens = np.arange(1, 14)
    ((one, other),) = cut(order, 13, tokens, 2)
    np.testing.assert_array_equal(one.rows, order[:7])
    np.testing.assert_array_equal(other.rows, order[7:])
    assert one.weight == tokens[order[:7]].sum() / tokens.sum()
    assert one.weight + other.weight == pytest.approx(1)


@pytest.mark.parametrize("num_shares", [1, 2, 3, 5])
def test_the_weighted_sum_of_means_is_the_mean_over_the_whole_minibatch(num_shares):
    random = np.random.RandomState(1)
    losses, tokens = random.rand(17), random.randint(0, 4, 17)  # a mean of each, over so many
    order = random.permutation(17)
    minibatches = list(cut(order, 6, tokens, num_shares))
    assert [len(shares) for shares in minibatches] == [num_shares] * 3
    for shares, rows in zip(minibatches, np.split(order, [6, 12]), strict=True):
        parts = [np.average(losses[s.rows], weights=tokens[s.rows]) * s.weight for s in shares]
        assert sum(parts) == pytest.approx(np.average(losses[rows], weights=tokens[rows]))


def test_a_device_that_is_left_with_nothing_takes_part_with_weight_0():
    tokens = np.array([0, 0, 5, 2])
    shares = next(cut(np.array([0, 1, 2, 3]), 4, tokens, 2))
    assert [s.rows.tolist() for s in shares] == [[2], [2, 3]]
    assert [s.weight for s in shares] == [0, 1]
    shares = next(cut(np.array([3]), 4, tokens, 3))
    assert [(s.rows.tolist(), s.weight) for s in shares] == [([3], 1), ([3], 0), ([3], 0)]


def test_a_backend_that_trains_on_one_device_says_so(numpy_library):
    with pytest.raises(ArgumentError, match="devices=2: the backend 'numpy' trains on one device"):
        numpy_library.Trainer(1, devices=2)
    with pytest.raises(ArgumentError, match="num_gpus=3: there are 0 that numpy can use"):
        numpy_library.Trainer(1, num_gpus=3)
