"""Checkpoints: which are kept, when patience ends, what may be gone on with (d2lrnn/checkpoints.py)."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy_backend
import pytest
from faults import FULL

from d2lrnn import backend, checkpoints
from d2lrnn.data import TextFile
from d2lrnn.errors import ArgumentError, WeightsError, WriteError

TEXT = "the gulls on the quay and the lamp on the breakwater, the tide and the clock, over and over"


@pytest.fixture
def library(numpy_library, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return numpy_library


def make_data(**settings):
    sizes = {"batch_size": 4, "num_steps": 3, "num_train": 9, "num_val": 5}
    return TextFile("text.txt", **{**sizes, **settings})


def make_model(data, lr=1.0, num_hiddens=2, activation="tanh"):
    library = backend.active()
    layer = library.RNN(num_hiddens, activation, 1, 0, seed=0)
    return library.RNNLM(layer, vocab_size=len(data.vocab), lr=lr, seed=0)


def fit(max_epochs, resume=None, checkpoint=None, data=None, model=None, **settings):
    data = data or make_data()
    model = model or make_model(data)
    trainer = backend.active().Trainer(max_epochs, progress=False, **settings)
    trainer.fit(model, data, resume=resume, checkpoint=checkpoint)
    return trainer


def losses(trainer):
    return [row["val_loss"] for row in trainer.history]


def names(folder):
    return sorted(path.name for path in folder.glob("c*"))


# Which are kept -------------------------------------------------------------------------------------


def test_the_last_and_the_best_are_kept(library, tmp_path):
    found = losses(fit(9, checkpoint="c.safetensors", keep=3))
    assert names(tmp_path) == [
        *("c-000007.safetensors", "c-000008.safetensors", "c-000009.safetensors"),
        *("c-best.safetensors", "c.safetensors"),
    ]
    best = 1 + int(np.argmin(found))
    assert best < 9  # or the test would show little
    epochs = [checkpoints.read(tmp_path / name).state["epoch"] for name in names(tmp_path)]
    assert epochs == [7, 8, 9, best, 9]


def test_one_is_kept_without_being_asked(library, tmp_path):
    fit(3, checkpoint="c", data=make_data(num_val=0))
    assert names(tmp_path) == ["c"]


def test_a_checkpoint_every_so_many_epochs_and_the_last(library, monkeypatch):
    written = []
    write = checkpoints.write
    monkeypatch.setattr(
        checkpoints,
        "write",
        lambda trainer, *args: (written.append(len(trainer.history)), write(trainer, *args)),
    )
    whole = fit(8, checkpoint="c", checkpoint_every=3)
    assert written == [3, 6, 8]
    fit(3, checkpoint="c")
    assert losses(fit(8, resume="c", checkpoint="c", checkpoint_every=3)) == losses(whole)


def test_patience_ends_a_training_wherever_it_was_resumed(library):
    whole = losses(fit(40))
    best = next(i for i in range(1, 41) if min(whole[i : i + 3]) >= min(whole[:i]))
    early = fit(40, patience=3, checkpoint="c", checkpoint_every=50)
    assert early.ended_early and losses(early) == whole[: best + 3]
    assert checkpoints.best_epoch(early.history) == best
    assert checkpoints.read("c").state["epoch"] == best + 3  # the last is always written
    for epochs in (best, best + 2, best + 3):
        fit(epochs, checkpoint="d")
        assert losses(fit(40, resume="d", patience=3)) == whole[: best + 3]
    assert len(fit(best + 5, resume="c").history) == best + 5  # without it, it goes on


def test_patience_needs_validation(library):
    with pytest.raises(ArgumentError, match=r"patience=2.*num_val"):
        fit(3, patience=2, data=make_data(num_val=0))


# What may be gone on with ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, told",
    [
        ({"model": {"lr": 0.5}}, "lr: 1.0 there, 0.5 here"),
        ({"model": {"num_hiddens": 3}}, "rnn.num_hiddens: 2 there, 3 here"),
        ({"model": {"activation": "relu"}}, "rnn.activation: 'tanh' there, 'relu' here"),
        ({"data": {"batch_size": 3}}, "batch_size: 4 there, 3 here"),
        ({"data": {"num_train": 8}}, "examples of training: 9 there, 8 here"),
        ({"data": {"num_val": 4}}, "examples of validation: 5 there, 4 here"),
        ({"data": {"num_steps": 4}}, r"an example of training: '\(3,\), \(3,\)' there, '\(4,"),
        ({"data": {"seed": 7}}, "seed=0, this data has seed=7"),
        ({"trainer": {"gradient_clip_val": 1}}, "gradient_clip_val: 0 there, 1 here"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_another_training_is_refused_with_the_difference(library, change, told):
    fit(2, checkpoint="c")
    data = make_data(**change.get("data", {}))
    model = make_model(data, **change.get("model", {}))
    before = model.get_weights()
    with pytest.raises(WeightsError, match=told):
        fit(3, resume="c", data=data, model=model, **change.get("trainer", {}))
    for name, weight in model.get_weights().items():
        np.testing.assert_array_equal(weight, before[name])


def test_other_examples_of_the_same_sizes_are_refused(library, tmp_path):
    fit(2, checkpoint="c")
    (tmp_path / "text.txt").write_text(TEXT[::-1])
    with pytest.raises(WeightsError, match="checksum of training"):
        fit(3, resume="c")


def test_another_class_of_model_or_optimiser_is_refused(library, monkeypatch):
    fit(2, checkpoint="c")
    other = type("Other", (library.RNNLM,), {"__module__": "numpy"})
    with (
        monkeypatch.context() as patch,
        pytest.raises(WeightsError, match="'RNNLM' there, 'Other'"),
    ):
        patch.setattr(library, "RNNLM", other)
        fit(3, resume="c")
    other = type("Adam", (numpy_backend.Momentum,), {})
    monkeypatch.setattr(numpy_backend, "Momentum", other)
    with pytest.raises(WeightsError, match="optimizer: 'Momentum' there, 'Adam' here"):
        fit(3, resume="c")


def test_what_a_reader_sets_in_training_is_no_difference(library):
    """The learning rate after two epochs is state; that which the model configures is compared."""

    class Slower(library.Trainer):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            self.optim.lr = 1 / (1 + epoch)

    library.Trainer = Slower
    whole = fit(4)
    fit(2, checkpoint="c")
    assert losses(fit(4, resume="c")) == losses(whole)


def test_a_checkpoint_of_another_backend_gives_its_weights(library, monkeypatch):
    earlier, whole = fit(2, checkpoint="c"), fit(3)
    monkeypatch.setattr(backend, "_active", ("other", library))
    with pytest.warns(UserWarning, match=r"another backend, numpy.*optimiser starts anew"):
        trainer = fit(3, resume="c")
    assert trainer.history[:2] == earlier.history
    with pytest.raises(WeightsError, match=r"lr: 1\.0 there, 0\.5 here"):
        fit(3, resume="c", model=make_model(make_data(), lr=0.5))
    # The third epoch is that of a training from these weights whose optimiser has no memory.
    forget = library.Trainer.set_epoch

    def set_epoch(self, epoch):
        forget(self, epoch)
        if epoch == 2:
            self.optim.memory = {}

    monkeypatch.setattr(library.Trainer, "set_epoch", set_epoch)
    assert losses(fit(3)) == losses(trainer) != losses(whole)


def test_weights_of_a_checkpoint_can_be_loaded(library):
    trainer = fit(2, checkpoint="c")
    model = make_model(make_data())
    model.load("c")
    for name, weight in trainer.model.get_weights().items():
        np.testing.assert_array_equal(model.get_weights()[name], weight)


# What can go wrong in writing -----------------------------------------------------------------------


def test_a_checkpoint_that_fails_leaves_the_last_good_one(library, inject, monkeypatch):
    """The training goes on, and says so once for each that fails in a row."""
    expected = losses(fit(5))
    faults = inject()

    class FullInEpochs2And3(library.Trainer):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            faults.kind, faults.at = (FULL, 1) if epoch in (1, 2) else (None, 0)
            assert epoch != 3 or checkpoints.read("c").state["epoch"] == 1

    library.Trainer = FullInEpochs2And3
    with pytest.warns(UserWarning, match=r"c cannot be written: No space.*after epoch 1 stays"):
        trainer = fit(5, checkpoint="c")
    assert losses(trainer) == expected
    assert checkpoints.read("c").state["epoch"] == 5


def test_the_first_checkpoint_that_fails_ends_the_training(library, inject):
    inject(FULL, 1)
    with pytest.raises(WriteError, match=r"c cannot be written: No space left.* MB are free"):
        fit(5, checkpoint="c")


def test_threads_with_one_checkpoint(library, tmp_path):
    """One of them wins, and none dies."""
    with ThreadPoolExecutor(4) as pool:
        trainers = list(pool.map(lambda _: fit(6, checkpoint="c", keep=2), range(4)))
    assert checkpoints.read("c").state["epoch"] == 6
    assert {tuple(losses(trainer)) for trainer in trainers} == {tuple(losses(fit(6)))}
    assert names(tmp_path) == ["c", "c-000005", "c-000006", "c-best"]
