"""What readers do beyond the book's cells, and what is right then.

Nothing here names a framework. What a reader writes in a framework's own terms is in `tests/readers/`,
a file for each, with the same names.
"""

import copy
import importlib
import itertools
import pickle
import signal
import threading

import numpy as np
import pytest
from small_models import (
    BATCH_SIZE,
    NUM_HIDDENS,
    NUM_STEPS,
    assert_same_weights,
    fit,
    greedy,
    make_model,
    with_larger_weights,
)

import d2lrnn as d2l
from d2lrnn import backend
from d2lrnn.errors import ArgumentError, WeightsError
from d2lrnn.weights import read_header, read_weights, write_weights

readers = importlib.import_module(f"readers.{backend.name()}")

EXACT = ("RNNScratch", "LSTM")


def over(model_class, data, lr=0.5, seed=0):
    """A language model of this class over the library's own layer."""
    rnn = d2l.RNN(num_inputs=len(data.vocab), num_hiddens=NUM_HIDDENS, seed=seed)
    return model_class(rnn, vocab_size=len(data.vocab), lr=lr, seed=seed)


class WithoutValidation(d2l.DataModule):
    def __init__(self, data):
        super().__init__()
        self.data = data

    def get_dataloader(self, train):
        return self.data.get_dataloader(True) if train else None


class Interrupted(d2l.Trainer):
    """Ctrl-C after the first epoch's training, before its validation."""

    def validation_epoch(self):
        signal.raise_signal(signal.SIGINT)
        return super().validation_epoch()


# 1. A result does not depend on a flag that an earlier call left ----------------------------------


def fresh(model, data):
    pass


def without_validation(model, data):
    fit(model, WithoutValidation(data), max_epochs=1)


def interrupted(model, data):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        Interrupted(max_epochs=2, progress=False).fit(model, data)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("before", [fresh, without_validation, interrupted])
def test_what_shows_a_model_never_drops(before, data):
    model = over(readers.Dropping, data)
    before(model, data)
    texts = {model.predict("it has", 20, data.vocab) for _ in range(3)}
    assert texts == {greedy(model, text, "it has", data.vocab) for text in texts}
    assert len(texts) == 1
    for show in model.logits, lambda X: model.states(X)[0]:
        np.testing.assert_array_equal(show(data.X[:3]), show(data.X[:3]))


def test_validation_does_not_drop_and_training_does(data):
    model = over(readers.Dropping, data, lr=1e-12)
    val = [row["val_loss"] for row in fit(model, data).history]
    train = [row["train_loss"] for row in fit(model, data).history]
    assert val[0] == pytest.approx(val[1], abs=1e-6)
    assert abs(train[0] - train[1]) > 1e-5


# 2. Two sources of truth; 4. an output layer of another name; 5. no bias --------------------------


def relu_inside(data):
    size = len(data.vocab)
    return d2l.RNNLM(readers.relu_inside(size, NUM_HIDDENS), vocab_size=size, lr=0.5)


def own_layer(data):
    size = len(data.vocab)
    return d2l.RNNLM(readers.own_layer(size, NUM_HIDDENS), vocab_size=size, lr=0.5)


def own_output(data):
    return over(readers.Decoder, data)


def no_bias_in_the_layer(data):
    return readers.without_bias("recurrent", len(data.vocab), NUM_HIDDENS)


def no_bias_in_the_output(data):
    return readers.without_bias("output", len(data.vocab), NUM_HIDDENS)


OWN = [relu_inside, own_layer, own_output, no_bias_in_the_layer, no_bias_in_the_output]
own_models = pytest.mark.parametrize("make", OWN)


def test_a_layer_that_was_replaced_computes(data):
    """Its activation is the one that it has, not the one that the library's layer was told."""
    states, _ = relu_inside(data).states(data.X[:4])
    assert states.min() == 0 and (states == 0).mean() > 0.1


@own_models
def test_a_readers_model_predicts_what_its_logits_say_is_saved_and_resumed(make, data, tmp_path):
    whole, half, rest = (make(data) for _ in range(3))
    fit(whole, data, max_epochs=3)
    text = whole.predict("it has", 20, data.vocab)
    assert text == greedy(whole, text, "it has", data.vocab)
    path, checkpoint = tmp_path / "weights.safetensors", str(tmp_path / "checkpoint.safetensors")
    whole.save(path)
    rest.load(path)
    assert_same_weights(rest.get_weights(), whole.get_weights())
    d2l.Trainer(1, progress=False).fit(half, data, checkpoint=checkpoint)
    rest = make(data)
    d2l.Trainer(3, progress=False).fit(rest, data, resume=checkpoint)
    assert_same_weights(rest.get_weights(), whole.get_weights())


# 3. A setting that was given is not guessed; 12. a prompt is read as the text was -----------------


@pytest.mark.parametrize(
    "text, prompt, tokens",
    [
        ("春 眠 不 觉 晓 处 处 闻 啼 鸟 " * 4, "春 眠 不", 3),
        ("c d e c c d e c e f g e f g " * 4, "c d e", 3),
    ],
)
def test_words_of_one_letter(tmp_path, text, prompt, tokens):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    data = d2l.TextFile(tmp_path / "text.txt", 4, 3, 20, 5, tokens="word")
    assert len(data.vocab.split(prompt)) == tokens
    text = make_model("RNN", len(data.vocab)).predict(prompt, 2, data.vocab)
    assert text.startswith(f"{prompt} ") and "<unk>" not in text
    assert len(text.split(" ")) == tokens + 2


@pytest.mark.parametrize(
    "text, prompt, read",
    [
        ("It has been said that it has two hands. " * 3, "It Has! 42", "it has "),
        ("Die Würde des Menschen ist unantastbar. " * 3, "Die Würde", "die würde"),
        ("Широка страна моя родная, много в ней лесов. " * 3, "Широка Страна!", "широка страна "),
    ],
)
def test_a_prompt_is_read_as_the_text_was_and_returned_as_it_was_typed(
    tmp_path, text, prompt, read
):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    data = d2l.TextFile(tmp_path / "text.txt", 4, 3, 20, 5)
    model = with_larger_weights(make_model("RNN", len(data.vocab)))
    typed = model.predict(prompt, 8, data.vocab)
    assert typed == prompt + model.predict(read, 8, data.vocab)[len(read) :]
    assert model.predict(prompt, 0, data.vocab) == prompt


# 6. A capability is tried, not asked for by attribute ---------------------------------------------


class Loader(d2l.DataModule):
    """Whatever `make(arrays)` makes of the arrays of each split."""

    def __init__(self, data, make):
        super().__init__()
        self.data, self.make = data, make

    def get_dataloader(self, train):
        rows = slice(20) if train else slice(20, 20 + 13)
        return self.make([self.data.X[rows], self.data.Y[rows]])


def minibatches(arrays):
    """In order, as tensors of the framework."""
    X, Y = arrays
    for start in range(0, len(X), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        yield [d2l.tensor(np.ascontiguousarray(array[rows])) for array in (X, Y)]


class AnIterable:
    """Has `__iter__` and nothing else."""

    def __init__(self, arrays):
        self.arrays = arrays

    def __iter__(self):
        return minibatches(self.arrays)


LOADERS = {
    "a list": lambda arrays: list(minibatches(arrays)),
    "a generator": minibatches,
    "an iterable": AnIterable,
    **readers.loaders_without_length(BATCH_SIZE),
}


def test_a_loader_of_the_readers(uneven):
    found = {}
    for name, make in LOADERS.items():
        model = make_model("RNN", len(uneven.vocab))
        trainer = fit(model, Loader(uneven, make), max_epochs=3)
        found[name] = trainer.history[-1]["val_loss"], model.get_weights(), model.board.data
    val_loss, weights, board = found.pop("a list")
    for name, (val_loss_of_it, weights_of_it, board_of_it) in found.items():
        assert val_loss_of_it == val_loss, name
        assert_same_weights(weights_of_it, weights)
        points = board_of_it["train_ppl"]  # two an epoch, though the number was not known
        assert points[0][0] > 0 and len(points) == len(board["train_ppl"]), name


EMPTY = {
    "a list": list,
    "a generator": lambda: iter(()),
    "an iterable": lambda: AnIterable([np.zeros((0, NUM_STEPS), np.int32)] * 2),
}


@pytest.mark.parametrize("split", ["training", "validation"])
@pytest.mark.parametrize("kind", EMPTY)
def test_a_loader_that_gives_nothing(kind, split, data):
    class Empty(d2l.DataModule):
        def get_dataloader(self, train):
            return EMPTY[kind]() if train == (split == "training") else data.get_dataloader(train)

    model = make_model("RNN", len(data.vocab))
    with pytest.raises(ArgumentError, match=f"{split} loader gives no minibatch"):
        fit(model, Empty())


@pytest.mark.skipif(
    not readers.ENDLESS, reason="this framework has no loader that tells it is endless"
)
def test_a_loader_without_end(data):
    model = make_model("RNN", len(data.vocab))
    with pytest.raises(ArgumentError, match="no end"):
        fit(model, Loader(data, readers.ENDLESS))


# 7. State that decides a training, and is no weight -----------------------------------------------


def with_momentum(data, seed=0):
    return over(readers.Momentum, data, seed=seed)


def with_adam(data, seed=0):
    return over(readers.Adam, data, lr=0.01, seed=seed)


def with_dropout(data, seed=0):
    return over(readers.Dropping, data, seed=seed)


def with_normalisation(data, seed=0):
    return over(readers.Normalised, data, seed=seed)


def with_a_layer_replaced(data, seed=0):
    return over(readers.ReplacedAndAdam, data, lr=0.01, seed=seed)


class Halving(d2l.Trainer):
    """Halves the learning rate after the first epoch, by hand."""

    def fit_epoch(self):
        super().fit_epoch()
        if self.epoch == 0:
            readers.halve_lr(self)


@pytest.mark.parametrize(
    "make, trainer",
    [
        (with_momentum, Halving),
        (with_adam, Halving),
        (with_dropout, d2l.Trainer),
        (with_normalisation, d2l.Trainer),
        (with_a_layer_replaced, d2l.Trainer),
    ],
)
def test_a_training_is_continued_bit_for_bit(make, trainer, data, tmp_path):
    whole, half = make(data), make(data)
    expected = trainer(4, progress=False)
    expected.fit(whole, data)
    checkpoint = str(tmp_path / "checkpoint.safetensors")
    trainer(2, progress=False).fit(half, data, checkpoint=checkpoint)
    rest = make(data, seed=3)  # what was drawn from its seed is in the checkpoint
    continued = trainer(4, progress=False)
    continued.fit(rest, data, resume=checkpoint)
    assert_same_weights(rest.get_weights(), whole.get_weights())
    losses, expected_losses = (
        [(row["train_loss"], row["val_loss"]) for row in t.history] for t in (continued, expected)
    )
    assert losses == expected_losses
    np.testing.assert_array_equal(rest.logits(data.X[:3]), whole.logits(data.X[:3]))


@pytest.mark.parametrize("damage", ["half of it", "other shapes", "another name"])
def test_an_optimisers_state_that_does_not_fit_is_refused(damage, data, tmp_path):
    """Also of a checkpoint whose header does not tell what was written."""
    path = tmp_path / "checkpoint.safetensors"
    d2l.Trainer(1, progress=False).fit(with_adam(data), data, checkpoint=str(path))
    state, arrays = read_header(path)["checkpoint"], read_weights(path)
    of_memory = [n for n, a in arrays.items() if n.startswith("optimizer/") and a.ndim == 2]
    if damage == "other shapes":
        arrays |= {name: arrays[name][:-1] for name in of_memory}
    else:
        taken = arrays.pop(of_memory[0])
        arrays |= {"optimizer/1/2/of others": taken} if damage == "another name" else {}
    told = {name: value for name, value in state.items() if name not in ("arrays", "crc32")}
    write_weights(path, arrays, checkpoint=told)
    model = with_adam(data)
    before = model.get_weights()
    with pytest.raises(WeightsError, match="state is not one of this model's optimiser"):
        d2l.Trainer(2, progress=False).fit(model, data, resume=str(path))
    assert_same_weights(model.get_weights(), before)


def test_halving_the_learning_rate_changes_the_training(data):
    one, other = with_dropout(data), with_dropout(data)
    Halving(3, progress=False).fit(one, data)
    fit(other, data, max_epochs=3)
    name = "linear.b_q"
    assert np.abs(one.get_weights()[name] - other.get_weights()[name]).max() > 1e-4


def test_running_statistics_are_saved(data, tmp_path):
    model, other = with_normalisation(data), with_normalisation(data, seed=1)
    fit(model, data, max_epochs=3)
    model.save(tmp_path / "weights.safetensors")
    other.load(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(other.logits(data.X[:3]), model.logits(data.X[:3]))
    assert other.predict("it has", 20, data.vocab) == model.predict("it has", 20, data.vocab)


# 8. The model is compared with the data before training -------------------------------------------


class Arrays(d2l.DataModule):
    """Minibatches of these arrays, in the library's loader or in one of the reader's."""

    def __init__(self, X, Y, by_the_library):
        super().__init__()
        self.X, self.Y, self.batch_size, self.by_the_library = X, Y, BATCH_SIZE, by_the_library

    def get_dataloader(self, train):
        if not train:
            return None
        if self.by_the_library:
            return self.get_tensorloader([self.X, self.Y], train)
        return [[self.tensor(self.X), self.tensor(self.Y)]]


V = 7
TOKENS = np.random.RandomState(0).randint(V, size=(12, NUM_STEPS)).astype(np.int32)
TOO_LARGE, NEGATIVE = TOKENS.copy(), TOKENS.copy()
HALVES = TOKENS.astype(np.float32) + np.float32(0.5)
TOO_LARGE[3, 2], NEGATIVE[3, 2] = V, -1
MISMATCHES = {
    "an input too large": (TOO_LARGE, TOKENS, r"X has tokens from 0 to 7.*vocab_size=7"),
    "a label too large": (TOKENS, TOO_LARGE, r"Y has tokens from 0 to 7.*vocab_size=7"),
    "a negative input": (NEGATIVE, TOKENS, r"X has tokens from -1 to 6"),
    "a negative label": (TOKENS, NEGATIVE, r"Y has tokens from -1 to 6"),
    "inputs that are no tokens": (HALVES, TOKENS, r"X to be tokens.*float32"),
    "labels that are no tokens": (TOKENS, HALVES, r"Y to be tokens.*float32"),
    "one label a sequence": (TOKENS, TOKENS[:, 0], r"Y to be tokens.*\(12,\)"),
    "shorter labels": (TOKENS, TOKENS[:, 1:], r"X of shape \(12, 5\) and Y of shape \(12, 4\)"),
    "vectors": (np.eye(V, dtype=np.float32)[TOKENS], TOKENS, r"X to be tokens.*\(12, 5, 7\)"),
}


@pytest.mark.parametrize("by_the_library", [True, False], ids=["our loader", "the reader's"])
@pytest.mark.parametrize("name", MISMATCHES)
def test_data_that_is_not_the_models(name, by_the_library):
    X, Y, message = MISMATCHES[name]
    model = make_model("RNN", V)
    before = model.get_weights()
    with pytest.raises(ArgumentError, match=message):
        fit(model, Arrays(X, Y, by_the_library))
    assert_same_weights(model.get_weights(), before)


@pytest.mark.parametrize("difference", [-2, 1, 30])
def test_a_vocabulary_of_another_size(layers, data, difference):
    """A model for more tokens than there are would train, and reach a better-looking perplexity."""
    size = len(data.vocab) + difference
    with pytest.raises(ArgumentError, match=rf"{len(data.vocab)} tokens.*vocab_size={size}"):
        fit(make_model(layers, size), data)


def test_a_layer_for_another_size_than_the_models(data):
    for layer, model in ("RNNScratch", "RNNLMScratch"), ("RNN", "RNNLM"):
        rnn = getattr(d2l, layer)(num_inputs=len(data.vocab) + 1, num_hiddens=4)
        with pytest.raises(ArgumentError, match=rf"num_inputs={len(data.vocab) + 1}"):
            fit(getattr(d2l, model)(rnn, vocab_size=len(data.vocab), lr=1), data)


@pytest.mark.parametrize("by_the_library", [True, False], ids=["our loader", "the reader's"])
def test_a_regression_whose_labels_have_another_shape(by_the_library):
    """Labels (n,) beside outputs (n, 1) would be spread to (n, n), and train to their mean."""
    x = np.random.RandomState(0).randn(12, 2).astype(np.float32)
    with pytest.raises(ArgumentError, match=r"\(6, 1\).*\(6,\)|\(12, 1\).*\(12,\)"):
        fit(d2l.LinearRegression(lr=0.1), Arrays(x, x[:, 0], by_the_library))


# 9. Copies, and the framework's own savers --------------------------------------------------------


def by_pickle(model):
    content = pickle.dumps(model)
    assert len(content) < 1e6
    return pickle.loads(content)


@pytest.mark.parametrize(
    "name, copied, trained",
    [
        ("RNNScratch", copy.deepcopy, True),
        ("RNNScratch", by_pickle, False),
        ("LSTM", copy.deepcopy, False),
        ("LSTM", by_pickle, True),
    ],
)
def test_a_copy_predicts_and_trains_as_the_model_does(name, copied, trained, data):
    model = make_model(name, len(data.vocab))
    if trained:
        fit(model, data)
        model.predict("it has", 3, data.vocab)
        model.logits(data.X[:3])
    other = copied(model)
    assert_same_weights(other.get_weights(), model.get_weights())
    assert other.predict("it has", 20, data.vocab) == model.predict("it has", 20, data.vocab)
    losses = [fit(m, data).batch_losses for m in (other, model)]
    assert losses[0] == losses[1]
    assert_same_weights(other.get_weights(), model.get_weights())


@pytest.mark.parametrize("name", EXACT)
def test_a_copy_is_not_the_model(name, data):
    model = make_model(name, len(data.vocab))
    fit(model, data, max_epochs=1)
    before = model.get_weights()
    fit(copy.deepcopy(model), data, max_epochs=1)
    assert_same_weights(model.get_weights(), before)


@pytest.mark.parametrize("name", EXACT)
def test_the_frameworks_own_saver_keeps_all_weights(name, data, tmp_path):
    model, other = (make_model(name, len(data.vocab), seed=seed) for seed in (0, 1))
    fit(model, data, max_epochs=1)
    other.logits(data.X[:2])  # whose sizes are known then
    readers.save_own(model, tmp_path / f"model{readers.OWN_SUFFIX}")
    readers.load_own(other, tmp_path / f"model{readers.OWN_SUFFIX}")
    assert_same_weights(other.get_weights(), model.get_weights())


# 10. "A scalar" means the same everywhere ---------------------------------------------------------

SCALARS = {
    "int": (3, 3.0),
    "float": (2.5, 2.5),
    "numpy float32": (np.float32(2.5), 2.5),
    "numpy int64": (np.int64(3), 3.0),
    "numpy array": (np.array([2.5]), 2.5),
    "numpy array without axes": (np.array(2.5), 2.5),
    **readers.scalars(),
}


def plotting(data, **values):
    """A training in which all of these are plotted."""

    class Trainer(d2l.Trainer):
        def fit_epoch(self):
            for key, value in values.items():
                self.model.plot(key, value, train=False)
            super().fit_epoch()

    trainer = Trainer(max_epochs=2, progress=False)
    trainer.fit(over(d2l.RNNLM, data), data)
    return trainer


def test_any_scalar_can_be_plotted(data):
    (*_, row) = plotting(data, **{name: value for name, (value, _) in SCALARS.items()}).history
    assert {name: row[f"val_{name}"] for name in SCALARS} == {n: x for n, (_, x) in SCALARS.items()}


@pytest.mark.parametrize("name", SCALARS)
def test_any_scalar_can_be_drawn(name):
    value, expected = SCALARS[name]
    board = d2l.ProgressBoard(display=False)
    board.draw(value, value, "line")
    assert board.data["line"] == [(expected, expected)]


@pytest.mark.parametrize("value", [np.ones(2), np.ones(0), "text", None])
def test_what_is_no_scalar_is_not_plotted(value, data):
    with pytest.raises(ArgumentError, match=r"mine"):
        plotting(data, mine=value)
    with pytest.raises(ArgumentError):
        d2l.ProgressBoard(display=False).draw(0, value, "line")


def test_zero_points_an_epoch(data):
    model = over(d2l.RNNLM, data)
    model.plot_train_per_epoch = 0
    history = fit(model, data).history
    assert set(model.board.data) == {"val_ppl"}
    assert history[-1]["train_ppl"] > 1


# 11. A hook takes what the book's takes -----------------------------------------------------------


def test_to_tokens_takes_a_row_of_the_frameworks(data):
    X, _ = next(iter(data.val_dataloader()))
    expected = data.vocab.to_tokens(d2l.numpy(X).tolist())
    assert data.vocab.to_tokens(X) == expected
    assert data.vocab.to_tokens(X[0]) == expected[0]
    assert data.vocab.to_tokens(X[0][1]) == expected[0][1]


def test_output_layer_takes_one_tensor_or_a_list_of_steps(data):
    """10.3 from scratch gives it a tensor (num_steps, batch_size, num_hiddens)."""
    model = make_model("RNNScratch", len(data.vocab))
    hiddens = np.random.RandomState(0).randn(3, 2, NUM_HIDDENS).astype(np.float32)
    as_list = readers.output_layer(model, [d2l.tensor(h) for h in hiddens])
    as_tensor = readers.output_layer(model, d2l.tensor(hiddens))
    np.testing.assert_allclose(as_tensor, as_list, atol=1e-6)
    assert as_tensor.shape == (2, 3, len(data.vocab))


@pytest.mark.parametrize("device", ["cpu", None])
def test_predict_takes_a_device_by_name(device, data):
    model = make_model("RNN", len(data.vocab))
    text = model.predict("it has", 5, data.vocab, device)
    assert text == model.predict("it has", 5, data.vocab, d2l.cpu())


def test_root_is_a_folder(tmp_path, data):
    assert isinstance(data.root, str) and data.root  # to which the book's cells add a name
    assert d2l.DataModule(root=tmp_path).root == str(tmp_path)


# A lesson in threads ------------------------------------------------------------------------------


def lesson(data, results, index):
    model = make_model("RNN", len(data.vocab))
    trainer = fit(model, data)
    results[index] = (trainer.batch_losses, model.predict("it has", 10, data.vocab))


def test_a_lesson_in_threads(data):
    results, num_threads = {}, 2
    threads = [threading.Thread(target=lesson, args=(data, results, i)) for i in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lesson(data, results, "here")
    assert len(results) == num_threads + 1
    for one, other in itertools.pairwise(results.values()):
        assert one == other
