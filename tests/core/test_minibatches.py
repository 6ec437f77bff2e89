"""`Minibatches` and `DataModule` (sections 3.2 and 9.3)."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from d2lrnn.data import DataModule, Minibatches, cache_dir, minibatches, windows_of
from d2lrnn.errors import ArgumentError


def windows(num_examples=23, num_steps=5):
    view = sliding_window_view(np.arange(num_examples + num_steps, dtype=np.int32), num_steps)
    return view[:-1], view[1:]


@given(st.integers(1, 40), st.integers(1, 50), st.booleans(), st.integers(0, 2**32 - 1))
def test_every_example_comes_once_and_rows_stay_together(n, batch_size, shuffle, seed):
    X, Y = windows(n)
    loader = Minibatches((X, Y), batch_size, shuffle, seed)
    batches = list(loader)
    assert len(batches) == len(loader) == -(-n // batch_size)
    assert [len(x) for x, _ in batches[:-1]] == [batch_size] * (len(batches) - 1)
    firsts = np.concatenate([x[:, 0] for x, _ in batches])
    assert sorted(firsts) == list(range(n))
    assert shuffle or np.array_equal(firsts, np.arange(n))
    assert all(np.array_equal(y, x + 1) for x, y in batches)
    assert loader.totals(X[:, 0]) == [int(x[:, 0].sum()) for x, _ in batches]


def test_the_order_is_numpys_frozen_stream():
    loader = Minibatches(windows(8), 3, shuffle=True, seed=7)
    order = [7, 6, 4, 1, 5, 2, 0, 3]  # written down: another order would change published figures
    assert loader.order(2).tolist() == order
    assert np.concatenate([x[:, 0] for x, _ in loader.batches(2)]).tolist() == order
    assert loader.order(1).tolist() != order
    assert Minibatches(windows(8), 3, shuffle=True, seed=6).order(2).tolist() != order


def test_set_epoch_chooses_the_order_and_iterating_twice_gives_the_same():
    loader = Minibatches(windows(), 4, shuffle=True, seed=1)
    assert loader.epoch == 0
    first, again = ([x.tolist() for x, _ in loader] for _ in range(2))
    assert first == again
    next(iter(loader))  # an iteration left half-way changes nothing
    assert [x.tolist() for x, _ in loader] == first
    loader.set_epoch(3)
    assert loader.epoch == 3
    assert [x.tolist() for x, _ in loader] == [x.tolist() for x, _ in loader.batches(3)] != first
    np.random.seed(0)  # the global stream has no say
    assert [x.tolist() for x, _ in loader.batches(0)] == first
    assert loader.order().tolist() == loader.order(3).tolist()


def test_without_shuffling_the_epoch_changes_nothing():
    loader = Minibatches(windows(), 4, shuffle=False)
    assert loader.order(5).tolist() == list(range(23))
    assert [x.tolist() for x, _ in loader.batches(5)] == [x.tolist() for x, _ in loader.batches(0)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_minibatch_is_contiguous_and_its_own(shuffle):
    for x, y in Minibatches(windows(), 4, shuffle).batches():
        assert x.flags.c_contiguous and y.flags.c_contiguous
        assert x.dtype == np.int32 and x.shape[1:] == (5,)


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_whole_is_never_copied(shuffle):
    corpus = np.zeros(200_000, np.int32)
    view = sliding_window_view(corpus, 500)  # 400 MB if it were copied
    tracemalloc.start()
    try:
        loader = Minibatches((view[:-1], view[1:]), 16, shuffle)
        for _ in zip(range(3), loader.batches(), strict=False):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.shares_memory(loader.arrays[0], corpus)
    assert peak < 4e6  # the order, 1.6 MB, and some minibatches


def test_convert_is_applied_to_every_array_when_iterating_only():
    loader = Minibatches(windows(), 4, shuffle=False, convert=lambda array: ("tensor", array))
    x, y = next(iter(loader))
    assert x[0] == y[0] == "tensor" and x[1].shape == (4, 5)
    assert isinstance(next(loader.batches())[0], np.ndarray)


def test_totals_are_of_each_minibatch_in_the_order_of_the_epoch():
    loader = Minibatches([np.zeros((7, 4))], 3, shuffle=True, seed=7)
    values = np.arange(10, 17)
    assert Minibatches([np.zeros(7)], 3, shuffle=False).totals(values) == [33, 42, 16]
    loader.set_epoch(2)
    order = loader.order()
    expected = [values[order[i : i + 3]].sum() for i in (0, 3, 6)]
    assert loader.totals(values) == expected != [33, 42, 16]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 25), st.booleans(), st.integers(0, 9))
def test_an_epoch_takes_block_after_block(n, batch_size, block, shuffle, epoch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minibatches, "BLOCK", block)
        loader = Minibatches([np.arange(n)], batch_size, shuffle, seed=3)
        loader.set_epoch(epoch)
        batches, order = [x.tolist() for (x,) in loader], loader.order().tolist()
        blocks = [(b.arrays[0], [x.tolist() for (x,) in b]) for b in loader.blocks()]
        totals = [total for b in loader.blocks() for total in b.totals(b.arrays[0])]
    assert [x for batch in batches for x in batch] == order and sorted(order) == list(range(n))
    assert shuffle or order == list(range(n))
    assert len(batches) == len(loader) and sum(len(x) < batch_size for x in batches) <= 1
    assert [x for _, of_block in blocks for x in of_block] == batches
    assert max(len(rows) for rows, _ in blocks) <= max(block, batch_size)
    assert all(np.array_equal(rows, np.arange(rows[0], rows[-1] + 1)) for rows, _ in blocks)
    assert totals == list(map(sum, batches))


def test_blocks_are_shuffled_each_by_itself_and_among_each_other(monkeypatch):
    monkeypatch.setattr(minibatches, "BLOCK", 100)
    loader = Minibatches([np.arange(1000)], 10, shuffle=True, seed=3)
    orders = [loader.order(epoch).reshape(10, 100) for epoch in (0, 1)]
    assert len({tuple(block % 100) for order in orders for block in order}) == 20
    first, second = ([int(block[0]) // 100 for block in order] for order in orders)
    assert sorted(first) == list(range(10)) != first != second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": -3}, "batch_size=-3"),
        ({"batch_size": 2.5}, "batch_size=2.5"),
        ({"arrays": ()}, "0 arrays"),
        ({"arrays": (np.zeros((3, 2)), np.zeros(4))}, r"\[\(3, 2\), \(4,\)\]"),
        ({"arrays": (np.zeros(()),)}, r"shapes \[\(\)\]"),
        ({"arrays": (np.zeros((0, 2)),)}, "at least one example"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "seed=4294967296"),
    ],
)
def test_bad_arguments(arguments, message):
    good = {"arrays": windows(), "batch_size": 4, "shuffle": True}
    with pytest.raises(ArgumentError, match=message):
        Minibatches(**(good | arguments))


class Points(DataModule):
    def __init__(self, batch_size=4, num_train=10):
        super().__init__()
        self.save_hyperparameters()
        self.features = np.arange(26).reshape(13, 2)
        self.labels = np.arange(13).reshape(13, 1)

    def get_dataloader(self, train):
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        return self.get_tensorloader([self.features, self.labels], train, rows)


class Forgetful(Points):
    def __init__(self, batch_size=4, num_train=10):  # as in section 9.1: no super().__init__()
        self.save_hyperparameters()
        self.features, self.labels = np.zeros((13, 2)), np.arange(13)


@pytest.mark.parametrize("kind", [Points, Forgetful])
def test_a_readers_data_module(kind):
    data = kind(batch_size=3)
    assert data.seed == 0 and data.root == str(cache_dir()) and data.hparams["batch_size"] == 3
    train, val = data.train_dataloader(), data.val_dataloader()
    assert [len(y) for _, y in train] == [3, 3, 3, 1]
    labels = np.concatenate([y for _, y in train]).ravel().tolist()
    assert sorted(labels) == list(range(10)) != labels
    assert np.concatenate([y for _, y in val]).ravel().tolist() == [10, 11, 12]


def test_the_seed_and_the_tensors_of_a_subclass_count():
    class Boxes(Points):
        def tensor(self, array, device=None):
            return ["box", array]

        def array(self, tensor):
            return np.asarray(tensor) + 100

    data = Boxes()
    (_, kind_and_labels), *_ = data.val_dataloader()
    assert kind_and_labels[0] == "box" and kind_and_labels[1].ravel().tolist() == [110, 111, 112]
    order = data.train_dataloader().order(0).tolist()
    data.seed = 1
    assert data.train_dataloader().order(0).tolist() != order


def test_indices_may_be_a_list():
    loader = Points().get_tensorloader([np.arange(10)], train=False, indices=[7, 2])
    assert [x.tolist() for (x,) in loader] == [[7, 2]]


def test_a_data_module_that_lacks_something_says_what():
    with pytest.raises(NotImplementedError, match="define get_dataloader"):
        DataModule().train_dataloader()
    with pytest.raises(ArgumentError, match="DataModule has no batch_size"):
        DataModule().get_tensorloader([np.arange(3)], train=True)
    with pytest.warns(UserWarning, match="num_workers=4"):
        DataModule(num_workers=4)


@pytest.mark.parametrize("hop, width", [(1, 5), (2, 5), (4, 5)])
def test_windows_are_known_by_their_sequence(hop, width):
    text = np.arange(23, dtype=np.int32)
    found = windows_of(sliding_window_view(text, width)[::hop])
    assert (found.hop, found.width) == (hop, width)
    num_windows = (23 - width) // hop + 1
    assert found.sequence.tolist() == list(range((num_windows - 1) * hop + width))
    assert np.shares_memory(found.sequence, text)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(20).reshape(4, 5),  # next to each other
        np.arange(20).reshape(5, 4).T,
        np.arange(6),
        np.arange(24).reshape(2, 3, 4),
        sliding_window_view(np.arange(9), 3)[::-1],
        sliding_window_view(np.arange(9), 3)[:, ::2],
    ],
)
def test_other_arrays_are_no_windows(array):
    assert windows_of(array) is None
