"""Iterating the data gives the framework's tensors, in the order that NumPy decides."""

import numpy as np
from small_models import BATCH_SIZE, NUM_STEPS, NUM_TRAIN, NUM_VAL, fit, lowest_W_x, make_model

import d2lrnn as d2l


def test_minibatches_are_the_frameworks_tensors(data):
    X, Y = next(iter(data.train_dataloader()))
    assert type(X) is type(d2l.zeros((2, 2)))
    assert tuple(X.shape) == tuple(Y.shape) == (BATCH_SIZE, NUM_STEPS)
    np.testing.assert_array_equal(d2l.numpy(X)[:, 1:], d2l.numpy(Y)[:, :-1])


def test_the_order_is_numpys(data):
    rows = [d2l.numpy(X) for X, _ in data.train_dataloader()]
    expected = data.X[np.random.RandomState([0, 0]).permutation(NUM_TRAIN)]
    np.testing.assert_array_equal(np.concatenate(rows), expected)


def test_the_last_smaller_minibatch_is_kept(uneven):
    assert [len(X) for X, _ in uneven.train_dataloader()] == [6, 6, 6, 2]
    assert [len(X) for X, _ in uneven.val_dataloader()] == [6, 6, 1]
    rows = np.concatenate([d2l.numpy(X) for X, _ in uneven.val_dataloader()])
    np.testing.assert_array_equal(rows, uneven.X[20 : 20 + 13])


def test_a_readers_data_module_of_tensors():
    class Noisy(d2l.DataModule):
        def __init__(self, batch_size=3):
            super().__init__()
            self.save_hyperparameters()
            self.x = d2l.reshape(d2l.astype(d2l.arange(8), d2l.float32), (8, 1))
            self.y = 2 * self.x + 1

        def get_dataloader(self, train):
            indices = slice(0, 5) if train else slice(5, None)
            return self.get_tensorloader([self.x, self.y], train, indices)

    data = Noisy()
    for x, y in data.train_dataloader():
        np.testing.assert_array_equal(d2l.numpy(y), 2 * d2l.numpy(x) + 1)
    assert sorted(np.concatenate([d2l.numpy(x) for x, _ in data.train_dataloader()]).ravel()) == [
        *range(5)
    ]
    assert [*np.concatenate([d2l.numpy(x) for x, _ in data.val_dataloader()]).ravel()] == [5, 6, 7]


def test_methods_attached_to_the_data(text_file):
    class Shouting(d2l.TextFile):
        pass

    @d2l.add_to_class(Shouting)
    def _preprocess(self, text):
        return "".join(c for c in text.upper() if c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ ")

    data = Shouting(text_file, 4, 3, num_train=8, num_val=2)
    assert "A" in data.vocab.token_to_idx
    assert "a" not in data.vocab.token_to_idx


def test_training_sees_what_the_readers_tensor_makes(text_file):
    """The library may put arrays on the device whole, but not past the reader's own method."""

    class Blank(d2l.TextFile):
        def tensor(self, array, device=None):
            return super().tensor(np.zeros_like(array), device)

    data = Blank(text_file, BATCH_SIZE, NUM_STEPS, num_train=NUM_TRAIN, num_val=NUM_VAL)
    model = make_model("RNN", len(data.vocab))
    before = lowest_W_x(model.get_weights())
    fit(model, data)
    after = lowest_W_x(model.get_weights())
    np.testing.assert_array_equal(after[1:], before[1:])  # of tokens that never came
    assert (after[0] != before[0]).all()
