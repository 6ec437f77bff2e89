"""`Trainer`: what is trained, what is kept, how it ends."""

import gc
import math
import os
import signal
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest
from layers import CHAPTER_9, FEW_LAYERS
from small_models import (
    BATCH_SIZE,
    NUM_STEPS,
    NUM_TRAIN,
    NUM_VAL,
    UNEVEN,
    assert_same_weights,
    base_class,
    fit,
    make_model,
)

import d2lrnn as d2l
from d2lrnn.data import Minibatches, minibatches
from d2lrnn.errors import ArgumentError, TrainingDiverged, WeightsError


@pytest.fixture
def layers():
    """Of what is the trainer's, whatever it trains; tests of what models do besides name theirs."""
    return "RNN"


@pytest.mark.parametrize("layers", FEW_LAYERS)
def test_training_lowers_the_perplexity(model, data):
    history = fit(model, data, max_epochs=30, gradient_clip_val=1).history
    assert history[-1]["train_ppl"] < 0.8 * history[0]["train_ppl"]


def test_history_is_plain_floats(model, data):
    history = fit(model, data, max_epochs=3).history
    assert [row["epoch"] for row in history] == [1, 2, 3]
    for row in history:
        names = ["epoch", "train_loss", "train_ppl", "val_loss", "val_ppl", "seconds"]
        assert [*row] == names
        assert all(type(value) in (float, int) for value in row.values())
        assert row["train_ppl"] == pytest.approx(math.exp(row["train_loss"]))


def test_validation_is_the_mean_over_all_tokens(model, uneven):
    trainer = fit(model, uneven, max_epochs=1)
    X, Y = uneven.X[20:33], uneven.Y[20:33]
    logits = model.logits(X).astype(np.float64)  # (13, NUM_STEPS, vocab_size)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_p, Y[..., None], -1).mean()
    # The minibatches are of 6, 6 and 1 windows: an unweighted mean would be off by 1e-2.
    assert trainer.history[0]["val_loss"] == pytest.approx(expected, rel=1e-6)
    assert trainer.validate(model, uneven) == {
        "val_loss": pytest.approx(expected, rel=1e-6),
        "val_ppl": pytest.approx(math.exp(expected), rel=1e-6),
    }


def test_training_loss_is_the_mean_over_all_tokens(model, uneven):
    trainer = fit(model, uneven, max_epochs=1)
    expected = np.average(trainer.batch_losses, weights=[6, 6, 6, 2])
    assert trainer.history[0]["train_loss"] == pytest.approx(expected, rel=1e-6)


class ReadersLoader(d2l.DataModule):
    """The minibatches of `data` out of a loader of the reader's, a plain generator."""

    def __init__(self, data):
        super().__init__()
        self.data = data

    def get_dataloader(self, train):
        return (batch for batch in self.data.get_dataloader(train))


def masked(base, left_out):
    """A model whose loss, as of padded sequences, leaves out the labels `left_out`, and which says so."""

    class Masked(base):
        def loss(self, *args):
            losses = super().loss(*args, averaged=False)  # (batch_size * num_steps,)
            losses, *others = losses if isinstance(losses, tuple) else (losses,)
            Y = args[2] if others else args[1]  # after the parameters, where they are arguments
            counts = d2l.reshape(d2l.astype(left_out != Y, d2l.float32), (-1,))
            loss = d2l.reduce_sum(losses * counts) / d2l.reduce_sum(counts)
            return (loss, *others) if others else loss

        def num_tokens(self, labels):
            return (labels != left_out).sum(axis=1)

    return Masked


@pytest.mark.parametrize("wrap", [lambda data: data, ReadersLoader], ids=["library's", "reader's"])
def test_a_minibatch_weighs_as_many_tokens_as_count_in_it(layers, uneven, wrap):
    data = uneven
    left_out = data.vocab[" "]
    base = masked(base_class(layers), left_out)
    model = make_model(layers, len(data.vocab), lr=1e-12, base=base)  # which does not move
    random = np.random.RandomState(0)  # initial weights may be so small that minibatches are alike
    shapes = {name: array.shape for name, array in model.get_weights().items()}
    model.set_weights({name: 1.5 * random.standard_normal(s) for name, s in shapes.items()})
    rows = {"train": slice(20), "val": slice(20, 20 + 13)}
    expected = {}
    for split, windows in rows.items():
        X, Y = data.X[windows], data.Y[windows]
        logits = model.logits(X).astype(np.float64)  # (num_windows, NUM_STEPS, vocab_size)
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses = -np.take_along_axis(log_p, Y[..., None], -1)[..., 0]
        expected[split] = losses[left_out != Y].mean()
    trainer = fit(model, wrap(data), max_epochs=1)
    for split, loss in expected.items():
        assert trainer.history[0][f"{split}_loss"] == pytest.approx(loss, rel=1e-6)
        assert trainer.history[0][f"{split}_ppl"] == pytest.approx(math.exp(loss), rel=1e-5)
    # With other weights the mean would be another.
    assert abs(np.mean(trainer.batch_losses) - expected["train"]) > 1e-4
    assert abs(np.average(trainer.batch_losses, weights=[6, 6, 6, 2]) - expected["train"]) > 1e-4


def test_training_twice_gives_the_same(layers, data):
    one, two = (make_model(layers, len(data.vocab)) for _ in range(2))
    first, second = fit(one, data), fit(two, data)
    assert first.batch_losses == second.batch_losses
    assert_same_weights(one.get_weights(), two.get_weights())


def test_fit_goes_on_from_the_models_weights(layers, data):
    model = make_model(layers, len(data.vocab))
    last = fit(model, data, max_epochs=20).history[-1]["train_loss"]
    assert fit(model, data, max_epochs=1).history[0]["train_loss"] < last + 0.1


def test_the_seed_of_the_data_matters(layers, text_file):
    losses = []
    for seed in (0, 1):
        data = d2l.TextFile(text_file, 6, NUM_STEPS, num_train=24, num_val=0, seed=seed)
        losses.append(fit(make_model(layers, len(data.vocab)), data, max_epochs=1).batch_losses)
    assert losses[0] != losses[1]


def test_without_validation(model, text_file):
    data = d2l.TextFile(text_file, 6, NUM_STEPS, num_train=24, num_val=0)
    assert len(data.vocab) == model.vocab_size
    assert [*fit(model, data).history[-1]] == ["epoch", "train_loss", "train_ppl", "seconds"]


def test_clipping_changes_the_training(layers, data):
    weights = []
    for bound in (0, 1e-3):
        model = make_model(layers, len(data.vocab))
        before = model.get_weights()
        fit(model, data, max_epochs=1, gradient_clip_val=bound)
        weights.append((before, model.get_weights()))
    moved = [
        math.sqrt(sum(((after[n] - before[n]) ** 2).sum() for n in before))
        for before, after in weights
    ]
    # Four minibatches at lr 0.5, each of a gradient of norm 1e-3 at the most.
    assert moved[1] <= 4 * 0.5 * 1e-3 * 1.001
    assert moved[0] > 10 * moved[1]


@pytest.mark.parametrize("layers", CHAPTER_9)
def test_a_readers_training_step_is_used(layers, data):
    calls = {"train": 0, "val": 0}

    class Counting(base_class(layers)):
        def training_step(self, *args):
            calls["train"] += 1
            return super().training_step(*args)

        def validation_step(self, *args):
            calls["val"] += 1
            return super().validation_step(*args)

    stepwise = make_model(layers, len(data.vocab), base=Counting)
    library = make_model(layers, len(data.vocab))
    one, two = fit(stepwise, data), fit(library, data)
    assert calls == {"train": 2 * 4, "val": 2 * 2}
    # The same float32 operations, fused differently by a compiler.
    np.testing.assert_allclose(one.batch_losses, two.batch_losses, rtol=1e-5)
    for name, weight in stepwise.get_weights().items():
        np.testing.assert_allclose(weight, library.get_weights()[name], atol=1e-5)
    for a, b in zip(one.history, two.history, strict=True):
        assert a["val_ppl"] == pytest.approx(b["val_ppl"], rel=1e-5)


def test_a_streamed_text_is_trained_on_block_by_block(uneven, text_file, monkeypatch):
    """With the numbers of a reader's own steps, which are given the minibatches of the host."""
    # Training in blocks of 12 and 8, validation of 12 and 1.
    monkeypatch.setattr(minibatches, "BLOCK", 12)
    monkeypatch.setattr(d2l.TextFile, "largest_in_memory", 0)
    streamed = d2l.TextFile(text_file, BATCH_SIZE, NUM_STEPS, **UNEVEN)
    assert isinstance(streamed.corpus.base, np.memmap)
    assert not isinstance(uneven.corpus.base, np.memmap)
    drawn, order = [], Minibatches.order
    monkeypatch.setattr(Minibatches, "order", lambda *a: drawn.append(order(*a)) or drawn[-1])

    class OnHost(base_class("RNN")):
        def training_step(self, *args):
            return super().training_step(*args)

        def validation_step(self, *args):
            return super().validation_step(*args)

    library = make_model("RNN", len(uneven.vocab))
    stepwise = make_model("RNN", len(uneven.vocab), base=OnHost)
    one = fit(library, streamed)
    assert {len(numbers) for numbers in drawn} == {12, 8, 1}  # never of all examples
    two = fit(stepwise, uneven)
    np.testing.assert_allclose(one.batch_losses, two.batch_losses, rtol=1e-5)
    for name, weight in stepwise.get_weights().items():
        np.testing.assert_allclose(weight, library.get_weights()[name], atol=1e-5)
    for a, b in zip(one.history, two.history, strict=True):
        assert a["train_ppl"] == pytest.approx(b["train_ppl"], rel=1e-5)
        assert a["val_ppl"] == pytest.approx(b["val_ppl"], rel=1e-5)


def test_a_readers_clip_gradients_is_used(layers, data):
    class Frozen(d2l.Trainer):
        """Clips every gradient to zero, whatever the framework's way to hand them over."""

        def clip_gradients(self, grad_clip_val, *args):
            return super().clip_gradients(1e-30, *args)

    model = make_model(layers, len(data.vocab))
    before = model.get_weights()
    Frozen(max_epochs=1, gradient_clip_val=1, progress=False).fit(model, data)
    for name, weight in model.get_weights().items():
        np.testing.assert_allclose(weight, before[name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize("layers", CHAPTER_9)
def test_a_readers_loss_is_used(layers, data):
    class Doubled(base_class(layers)):
        def loss(self, *args, **kwargs):
            loss = super().loss(*args, **kwargs)
            return (2 * loss[0], *loss[1:]) if isinstance(loss, tuple) else 2 * loss

    doubled = fit(make_model(layers, len(data.vocab), base=Doubled), data, max_epochs=1)
    plain = fit(make_model(layers, len(data.vocab)), data, max_epochs=1)
    assert doubled.batch_losses[0] == pytest.approx(2 * plain.batch_losses[0], rel=1e-6)


@pytest.mark.parametrize("shape", [(-1,), (BATCH_SIZE, -1), (BATCH_SIZE, -1, 1)], ids=str)
@pytest.mark.parametrize("layers", CHAPTER_9)
def test_labels_of_any_shape_are_in_the_order_of_the_logits(layers, shape, data):
    model = make_model(layers, len(data.vocab))
    X, Y = data.X[:BATCH_SIZE], data.Y[:BATCH_SIZE]
    logits = model.logits(X).astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.take_along_axis(log_p, Y[..., None], -1).mean()
    tokens, labels = (d2l.tensor(array) for array in (X, Y.reshape(shape)))
    if hasattr(model, "train_state"):  # JAX's loss takes parameters
        loss, _ = model.loss(model.params, (tokens,), labels, model.train_state())
    else:
        loss = model.loss(model(tokens), labels)
    assert float(d2l.numpy(loss)) == pytest.approx(expected, rel=1e-6)


def test_plots_are_kept(model, data):
    fit(model, data, max_epochs=3)
    points = model.board.data
    assert set(points) == {"train_ppl", "val_ppl"}
    assert [x for x, _ in points["val_ppl"]] == [1, 2, 3]
    assert len(points["train_ppl"]) == 2 * 3  # plot_train_per_epoch


def test_divergence_names_the_place(layers, data):
    model = make_model(layers, len(data.vocab), lr=3e38, activation="relu")
    with pytest.raises(
        TrainingDiverged, match=r"epoch 1, minibatch \d of \d.*lr.*gradient_clip_val"
    ):
        fit(model, data, max_epochs=3)


def test_a_minibatch_of_no_examples_is_refused(data):
    class Data(d2l.TextFile):
        def get_dataloader(self, train):
            if not train:
                return None
            batch = next(iter(super().get_dataloader(train)))
            return [batch, [tensor[:0] for tensor in batch]]

    data = Data(data.path, 6, 5, num_train=20, num_val=0)
    with pytest.raises(ArgumentError, match=r"training loader has no examples.*shape \(0, 5\)"):
        fit(make_model("RNN", len(data.vocab)), data, 2)


def test_a_thousand_epochs_take_no_more_memory():
    """Measured from the 300th epoch on, when all is made that is kept."""
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("this system does not tell a process's memory in /proc")
    resident = []

    class Watched(d2l.Trainer):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            resident.append(int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    trainer = Watched(max_epochs=1000, progress=False)
    small = d2l.SyntheticRegressionData(np.ones(2, np.float32), 1, num_train=4, num_val=2)
    gc.collect()
    gc.freeze()  # with all that other tests have left, Python would wait long before it looks for garbage
    try:
        trainer.fit(d2l.LinearRegressionScratch(2, lr=0.03), small)
    finally:
        gc.unfreeze()
    assert len(trainer.history) == 1000
    # A row of the history takes 0.7 kB, with the points that are plotted some more; an epoch's losses,
    # tensors or graphs, were they kept, would take several MB.
    assert (resident[-1] - resident[300]) / 2**20 < 4


def test_a_training_leaves_nothing_behind(data):
    """Neither model nor trainer, nor graphs and what else is made to compile them, thousands of objects."""
    left, objects = [], []
    for _ in range(3):
        model = make_model("RNN", len(data.vocab))
        trainer = fit(model, data, 1, gradient_clip_val=1)
        model.predict("the", 2, data.vocab)
        left += [weakref.ref(model), weakref.ref(trainer), weakref.ref(trainer.train_dataloader)]
        del model, trainer
        gc.collect()
        objects.append(len(gc.get_objects()))
    assert [reference() for reference in left] == [None] * len(left)
    assert objects[2] - objects[1] < 50  # the references above, and what others may do meanwhile


@pytest.mark.parametrize(
    "lr, clip, told",
    [(1e4, 0, "nan in epoch 1, minibatch 3 of 4"), (1e30, 1, "nan in epoch 1, minibatch 2 of 4")],
)
def test_an_exploding_loss_is_told_the_same_way_on_all(lr, clip, told, uneven):
    model = make_model("RNNScratch", len(uneven.vocab), lr, activation="relu")
    with pytest.raises(TrainingDiverged, match=f"The training loss became {told}"):
        fit(model, uneven, 2, gradient_clip_val=clip)


def test_a_loss_that_explodes_but_stays_a_number_ends_with_a_warning(uneven):
    model = make_model("RNNScratch", len(uneven.vocab), 1e4, activation="relu")
    with pytest.warns(
        UserWarning, match="diverged: the perplexity is inf after epoch 2.*gradient_clip_val"
    ):
        trainer = fit(model, uneven, 2, gradient_clip_val=1)
    assert trainer.diverged
    losses = [row["train_loss"] for row in trainer.history]
    np.testing.assert_allclose(losses, [1.05001e15, 2.39975e6], rtol=1e-5)  # PyTorch's


def test_ctrl_c_leaves_a_usable_model_and_history(layers, data):
    class Interrupted(d2l.Trainer):
        def set_epoch(self, epoch):
            super().set_epoch(epoch)
            if epoch == 2:
                signal.raise_signal(signal.SIGINT)

    model = make_model(layers, len(data.vocab))
    trainer = Interrupted(max_epochs=50, progress=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs
    try:
        trainer.fit(model, data)
    finally:
        signal.signal(signal.SIGINT, before)
    assert trainer.interrupted
    assert len(trainer.history) == 2
    assert len(model.predict("the", 4, data.vocab)) == 7
    assert all(np.isfinite(w).all() for w in model.get_weights().values())


@pytest.mark.parametrize("layers", ["RNNScratch", "LSTM"])  # a state, and a pair
def test_a_checkpoint_continues_bit_for_bit(layers, data, tmp_path):
    whole = make_model(layers, len(data.vocab))
    expected = fit(whole, data, max_epochs=4, gradient_clip_val=1)

    checkpoint = str(tmp_path / "checkpoint.safetensors")
    half = make_model(layers, len(data.vocab))
    d2l.Trainer(2, gradient_clip_val=1, progress=False).fit(half, data, checkpoint=checkpoint)
    rest = make_model(layers, len(data.vocab), seed=9)
    trainer = d2l.Trainer(4, gradient_clip_val=1, progress=False)
    trainer.fit(rest, data, resume=checkpoint)

    assert [row["train_loss"] for row in trainer.history] == [
        row["train_loss"] for row in expected.history
    ]
    assert_same_weights(rest.get_weights(), whole.get_weights())


def test_a_model_that_was_used_goes_on_from_a_checkpoint(layers, data, tmp_path):
    """What it did before makes no difference to what it is."""
    path = str(tmp_path / "checkpoint.safetensors")
    expected = fit(make_model(layers, len(data.vocab)), data, max_epochs=3)
    model = make_model(layers, len(data.vocab))
    trainer = d2l.Trainer(2, progress=False)
    trainer.fit(model, data, checkpoint=path)
    trainer.validate(model, data)
    model.predict("the", 4, data.vocab)
    model.plot_train_per_epoch = 1
    trainer = d2l.Trainer(3, progress=False)
    trainer.fit(model, data, resume=path)
    assert trainer.batch_losses == expected.batch_losses


@pytest.mark.parametrize("what", ["lr", "batch_size"])
def test_a_checkpoint_of_another_training_is_refused(
    model, layers, data, text_file, tmp_path, what
):
    path = str(tmp_path / "checkpoint.safetensors")
    fit(model, data, max_epochs=1).save_checkpoint(path)
    other = make_model(layers, len(data.vocab), lr=0.25 if what == "lr" else 0.5)
    size = 7 if what == "batch_size" else 6
    other_data = d2l.TextFile(text_file, size, NUM_STEPS, num_train=NUM_TRAIN, num_val=NUM_VAL)
    before = other.get_weights()
    said = {"lr": r"lr: 0\.5 there, 0\.25 here", "batch_size": "batch_size: 6 there, 7 here"}[what]
    with pytest.raises(WeightsError, match=said):
        d2l.Trainer(4, progress=False).fit(other, other_data, resume=path)
    assert_same_weights(other.get_weights(), before)


def test_a_checkpoint_of_another_seed_is_refused(model, data, text_file, tmp_path):
    path = str(tmp_path / "checkpoint.safetensors")
    fit(model, data).save_checkpoint(path)
    other = d2l.TextFile(text_file, 6, NUM_STEPS, num_train=NUM_TRAIN, num_val=NUM_VAL, seed=5)
    with pytest.raises(WeightsError, match=r"seed=0.*seed=5"):
        d2l.Trainer(4, progress=False).fit(model, other, resume=path)


def test_weights_are_no_checkpoint(model, data, tmp_path):
    path = str(tmp_path / "weights.safetensors")
    model.save(path)
    with pytest.raises(WeightsError, match="no checkpoint"):
        d2l.Trainer(4, progress=False).fit(model, data, resume=path)


def test_a_missing_gpu_is_said_once(monkeypatch):
    from d2lrnn import trainer

    monkeypatch.setattr(trainer, "_said_no_gpu", False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        d2l.Trainer(max_epochs=1, num_gpus=1)
        d2l.Trainer(max_epochs=1, num_gpus=1)
    said = [str(w.message) for w in caught if "num_gpus=1" in str(w.message)]
    assert len(said) == (0 if d2l.num_gpus() else 1)


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"max_epochs": 0}, "max_epochs=0"),
        ({"max_epochs": 1, "num_gpus": 99}, "num_gpus=99"),
        ({"max_epochs": 1, "num_gpus": -1}, "num_gpus=-1"),
        ({"max_epochs": 1, "gradient_clip_val": -1}, "gradient_clip_val=-1"),
        ({"max_epochs": 1, "gradient_clip_val": math.nan}, "gradient_clip_val=nan"),
    ],
)
def test_wrong_arguments(arguments, named):
    with pytest.raises(ArgumentError, match=named):
        d2l.Trainer(**arguments)


def test_plot_before_fit(model):
    with pytest.raises(ArgumentError, match="trainer"):
        model.plot("loss", 1.0, train=True)


class Line(d2l.DataModule):
    """y = 2 x_1 - 3 x_2 + 4."""

    def __init__(self, batch_size=16):
        super().__init__()
        self.save_hyperparameters()
        x = np.random.RandomState(1).randn(70, 2).astype(np.float32)
        self.x, self.y = d2l.tensor(x), d2l.tensor(x @ np.float32([[2], [-3]]) + 4)

    def get_dataloader(self, train):
        return self.get_tensorloader(
            [self.x, self.y], train, slice(0, 50) if train else slice(50, 70)
        )


def test_linear_regression():
    model = d2l.LinearRegression(lr=0.1)
    trainer = fit(model, Line(), max_epochs=40)
    assert [*trainer.history[0]] == ["epoch", "train_loss", "val_loss", "seconds"]
    # An exact line: what is left after 40 epochs is below the rounding of float32.
    assert trainer.history[-1]["val_loss"] < 1e-6


def test_linear_regression_from_scratch():
    """Sections 3.3 and 3.4: data whose weights are known, and a model that finds them."""
    w, b = np.float32([2, -3.4]), 4.2
    data = d2l.SyntheticRegressionData(w=d2l.tensor(w), b=b)
    X, y = next(iter(data.train_dataloader()))
    assert tuple(X.shape) == (32, 2) and tuple(y.shape) == (32, 1)
    model = d2l.LinearRegressionScratch(2, lr=0.03)
    trainer = fit(model, data, max_epochs=5)
    found = model.get_weights()
    # Noise of 0.01 over 1,000 examples; what is left of the start after 160 steps is 1e-2 of it.
    np.testing.assert_allclose(found["w"].ravel(), w, atol=0.05)
    np.testing.assert_allclose(found["b"].ravel(), [b], atol=0.05)
    assert trainer.history[-1]["val_loss"] < 1e-3
