"""Sequence to sequence learning on the active backend: padding, dropout, decoding, files (10.5 to 11.4)."""

import copy
import io
import json
import pickle
import sys

import numpy as np
import pytest
from small_models import assert_same_weights, with_larger_weights

import d2lrnn as d2l
from d2lrnn.cli import main
from d2lrnn.errors import ArgumentError, WeightsError

PAIRS = [
    ("go .", "va !"),
    ("i lost .", "j'ai perdu ."),
    ("he is calm .", "il est calme ."),
    ("i am home .", "je suis chez moi ."),
    ("she is calm .", "elle est calme ."),
    ("i am calm .", "je suis calme ."),
    ("she lost .", "elle a perdu ."),
    ("go home .", "va chez toi !"),
    ("he is home .", "il est chez lui ."),
    ("is he calm ?", "est-il calme ?"),
]
SOURCES = [source for source, _ in PAIRS]
DECODERS = {"plain": "Seq2SeqDecoder", "attention": "Seq2SeqAttentionDecoder"}
EMBED, HIDDENS = 7, 9

decoders = pytest.mark.parametrize("decoder", DECODERS)


@pytest.fixture
def make_data(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("\n".join("\t".join(pair) for pair in PAIRS * 3), encoding="utf-8")

    def make(num_steps=6, num_train=20, num_val=4):
        return d2l.PairFile(path, 4, num_steps, num_train, num_val)

    return make


def translator(
    data, decoder="plain", cell="gru", num_layers=1, dropout=0, lr=0.03, seed=0, hiddens=HIDDENS
):
    sizes = EMBED, hiddens, num_layers, dropout
    return d2l.Seq2Seq(
        d2l.Seq2SeqEncoder(len(data.src_vocab), *sizes, cell=cell, seed=seed),
        getattr(d2l, DECODERS[decoder])(len(data.tgt_vocab), *sizes, cell=cell, seed=seed),
        tgt_pad=data.tgt_vocab["<pad>"],
        lr=lr,
    )


def fit(model, data, max_epochs=2, **options):
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1, progress=False)
    trainer.fit(model, data, **options)
    return trainer


# Padding ----------------------------------------------------------------------------------------------


def validated(model, data):
    return d2l.Trainer(max_epochs=1, progress=False).validate(model, data)["val_loss"]


@pytest.mark.parametrize(
    "decoder, cell, num_layers", [("plain", "lstm", 2), ("attention", "gru", 1)]
)
def test_a_longer_padding_changes_nothing(decoder, cell, num_layers, make_data):
    short, long = make_data(num_steps=6), make_data(num_steps=11)
    model = translator(short, decoder, cell, num_layers)
    (X, given, n, _), (X_2, given_2, n_2, _) = short.arrays, long.arrays
    np.testing.assert_array_equal(n, n_2)
    states = [np.array(model.encode(*one)[1]) for one in ((X, n), (X_2, n_2))]
    np.testing.assert_allclose(states[0], states[1], atol=1e-6)
    assert validated(model, short) == pytest.approx(validated(model, long), abs=1e-6)
    np.testing.assert_allclose(
        model.logits(X, given, n), model.logits(X_2, given_2[:, :6], n_2), atol=1e-5
    )
    # Batches of other sentences, too: each is what it is by itself.
    alone = model.logits(X[:1, : n[0]], given[:1], n[:1])
    np.testing.assert_allclose(model.logits(X, given, n)[:1], alone, atol=1e-5)


def test_what_stands_in_the_padding_changes_nothing(make_data):
    data = make_data()
    X, given, n, _ = data.arrays
    model = translator(data)
    other = np.where(np.arange(X.shape[1]) < n[:, None], X, 1)
    assert (other != X).any()
    np.testing.assert_allclose(model.logits(other, given, n), model.logits(X, given, n), atol=1e-6)


def test_a_minibatch_weighs_as_many_tokens_as_count_in_it(make_data):
    data = make_data()
    model = translator(data, lr=1e-12)
    trainer = fit(model, data, max_epochs=1)
    *inputs, labels = data.arrays
    logits = model.logits(*inputs).astype(np.float64)  # (num_sentences, num_steps, vocab_size)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log_p, labels[..., None], -1)[..., 0]
    counts = labels != data.tgt_vocab["<pad>"]
    for split, rows in ("train", slice(data.num_train)), ("val", slice(data.num_train, None)):
        expected = losses[rows][counts[rows]].mean()
        assert trainer.history[-1][f"{split}_loss"] == pytest.approx(expected, abs=1e-5)


# Dropout ----------------------------------------------------------------------------------------------


@decoders
def test_dropout_is_in_training_alone(decoder, make_data):
    data = make_data()
    models = [translator(data, decoder, "gru", 2, share, lr=1e-12) for share in (0.5, 0)]
    models[0].set_weights(models[1].get_weights())
    history, again = fit(models[0], data).history
    assert abs(history["train_loss"] - again["train_loss"]) > 1e-5  # the weights stay
    assert history["val_loss"] == pytest.approx(validated(models[1], data), abs=1e-5)
    X, given, n, _ = data.arrays
    logits = [model.logits(X, given, n) for model in models]
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-6)


# Training and decoding --------------------------------------------------------------------------------


@decoders
def test_sentences_are_learnt_and_translated(decoder, make_data):
    data = make_data(num_val=0)
    model = translator(data, decoder, hiddens=24)
    trainer = fit(model, data, max_epochs=50)
    assert trainer.history[-1]["train_loss"] < 0.1
    targets = [" ".join(target.split()) for _, target in PAIRS]
    assert model.translate(SOURCES, data) == targets
    assert model.translate(SOURCES, data, beams=3) == targets
    assert model.translate(["He is CALM."], data) == ["il est calme ."]
    assert d2l.bleu(model.translate(SOURCES[:1], data)[0], targets[0], k=2) == 1


@decoders
def test_predict_step_is_greedy_and_so_is_one_beam(decoder, make_data):
    data = make_data()
    model = with_larger_weights(translator(data, decoder))
    attends = decoder == "attention"
    batch = data.build(SOURCES, [target for _, target in PAIRS])
    preds, weights = model_predicts(model, batch, data.num_steps, attends)
    assert preds.shape == (len(PAIRS), data.num_steps)
    for row, one in zip(preds, model.translations(SOURCES, data), strict=True):
        words = data.tgt_vocab.to_tokens(row)
        assert one.tokens == (words[: words.index("<eos>")] if "<eos>" in words else words)
    if attends:
        assert len(weights) == data.num_steps
        assert d2l.numpy(weights[0][0]).shape == (len(PAIRS), 1, data.num_steps)


def model_predicts(model, batch, num_steps, save_attention_weights):
    """`predict_step`, whose arguments are the book's for each framework."""
    if hasattr(model, "with_params"):  # parameters are an argument
        preds, (weights, _) = model.predict_step(
            model.params, batch, num_steps, save_attention_weights
        )
    else:
        preds, weights = model.predict_step(batch, d2l.try_gpu(), num_steps, save_attention_weights)
    return d2l.numpy(preds), weights


def test_attention_weights_come_back(make_data):
    data = make_data()
    model = translator(data, "attention")
    for beams in 1, 3:
        for one, source in zip(model.translations(SOURCES, data, beams), SOURCES, strict=True):
            assert one.source == [*source.split(), "<eos>"]
            assert one.weights.shape[1] == len(one.source)
            assert one.weights.shape[0] in (len(one.tokens), len(one.tokens) + 1)
            np.testing.assert_allclose(one.weights.sum(axis=1), 1, atol=1e-5)
            assert one.log_probability < 0
    plain = translator(data)
    assert plain.translations(SOURCES[:1], data)[0].weights is None
    with pytest.raises(ArgumentError, match="Seq2SeqAttentionDecoder"):
        plain.attention_weights(data.arrays[1], plain.encode(*data.arrays[:3:2]))


def test_steps_are_the_logits(make_data):
    data = make_data()
    X, given, n, _ = data.arrays
    for decoder in DECODERS:
        model = translator(data, decoder, "lstm", 2)
        state, expected = model.encode(X, n), model.logits(X, given, n)
        for t in range(given.shape[1]):
            logits, state = model.step(given[:, t], state)
            np.testing.assert_allclose(logits, expected[:, t], atol=1e-5)


@pytest.mark.parametrize(
    ("sentences", "options", "message"),
    [
        ([], {}, "at least one sentence"),
        ("go .", {}, r"write \['go \.'\]"),
        ([""], {}, "Received: ''"),
        (["go ."], {"beams": 0}, "beams"),
    ],
)
def test_what_cannot_be_translated_is_told(sentences, options, message, make_data):
    data = make_data()
    with pytest.raises(ArgumentError, match=message):
        translator(data).translate(sentences, data, **options)


# Weights, copies, checkpoints -------------------------------------------------------------------------


def test_encoder_and_decoder_do_not_start_as_copies_and_a_seed_decides(make_data):
    data = make_data()
    one, same, other = (
        translator(data, "attention", num_layers=2, seed=seed).get_weights() for seed in (0, 0, 1)
    )
    assert_same_weights(one, same)
    for name, weight in one.items():
        if not name.rpartition(".")[2].startswith("b_"):
            assert np.abs(weight - other[name]).max() > 1e-3, name
    assert np.abs(one["encoder.rnn.1.W_hn"] - one["decoder.rnn.1.W_hn"]).max() > 1e-3
    bound = np.sqrt(
        6 / (2 * HIDDENS)
    )  # of Xavier's, with each gate for itself or all three of a layer
    assert np.sqrt(6 / (4 * HIDDENS)) * 0.8 < np.abs(one["encoder.rnn.1.W_hn"]).max() <= bound


def test_a_file_and_a_copy_are_the_model(make_data, tmp_path):
    data, decoder = make_data(), "attention"
    model = translator(data, decoder)
    fit(model, data)
    path = tmp_path / "weights.safetensors"
    model.save(path)
    loaded = translator(data, decoder, seed=1)
    loaded.load(path)
    for other in loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model)):
        assert_same_weights(other.get_weights(), model.get_weights())
        assert other.translate(SOURCES, data) == model.translate(SOURCES, data)
    with pytest.raises(WeightsError, match=r"encoder\.rnn"):
        translator(data, decoder, "lstm").load(path)


def test_a_checkpoint_continues_bit_for_bit(make_data, tmp_path):
    data, decoder = make_data(), "attention"
    through = translator(data, decoder, num_layers=2, dropout=0.3)
    whole = fit(through, data, max_epochs=4)
    path = tmp_path / "checkpoint"
    fit(translator(data, decoder, num_layers=2, dropout=0.3), data, max_epochs=2, checkpoint=path)
    resumed = translator(data, decoder, num_layers=2, dropout=0.3)
    trainer = fit(resumed, data, max_epochs=4, resume=path)
    assert_same_weights(resumed.get_weights(), through.get_weights())
    assert trainer.batch_losses == whole.batch_losses


# What does not fit ------------------------------------------------------------------------------------


def test_a_model_of_another_vocabulary_is_refused_before_training(make_data):
    data = make_data()
    sizes = EMBED, HIDDENS, 1
    src, tgt = len(data.src_vocab), len(data.tgt_vocab)
    for wrong, message in ((1, 0), "src_vocab"), ((0, 1), "tgt_vocab"):
        model = d2l.Seq2Seq(
            d2l.Seq2SeqEncoder(src + wrong[0], *sizes),
            d2l.Seq2SeqDecoder(tgt + wrong[1], *sizes),
            tgt_pad=0,
            lr=0.01,
        )
        with pytest.raises(ArgumentError, match=message):
            fit(model, data)


@decoders
@pytest.mark.parametrize("other", [{"cell": "lstm"}, {"num_layers": 1}, {"num_hiddens": 8}])
def test_an_encoder_and_a_decoder_of_other_sizes_are_refused(decoder, other):
    sizes = {"embed_size": EMBED, "num_hiddens": HIDDENS, "num_layers": 2, "cell": "gru"}
    kind = getattr(d2l, DECODERS[decoder])
    ((name, value),) = other.items()
    with pytest.raises(ArgumentError) as refused:
        d2l.Seq2Seq(d2l.Seq2SeqEncoder(9, **sizes), kind(8, **{**sizes, **other}), 0, 0.1)
    assert f"Seq2SeqEncoder({name}={sizes[name]!r})" in str(refused.value)
    assert f"{DECODERS[decoder]}({name}={value!r})" in str(refused.value)
    assert f"both with {name}={value!r}" in str(refused.value)

    class Readers(kind):  # which may make a state of its own out of the encoder's
        def init_state(self, enc_all_outputs, *args):
            return super().init_state(enc_all_outputs, *args)

    readers = Readers(8, **{**sizes, **other})
    d2l.EncoderDecoder(d2l.Seq2SeqEncoder(9, **sizes), readers)
    d2l.EncoderDecoder(d2l.Encoder(), readers)  # of no sizes


class Own(d2l.DataModule):
    """Minibatches without vocabularies."""

    def __init__(self, arrays):
        super().__init__()
        self.arrays, self.batch_size = arrays, 4

    def get_dataloader(self, train):
        return self.get_tensorloader(self.arrays, train)


def test_tokens_outside_the_vocabulary_are_refused_before_training(make_data):
    data = make_data()
    for index, part in (0, "source"), (1, "decoder input"), (3, "label"):
        for token in -1, 1000:
            arrays = [array.copy() for array in data.arrays]
            arrays[index][2, 0] = token
            with pytest.raises(ArgumentError, match=part):
                fit(translator(data), Own(arrays))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "rnn"}, "cell"),
        ({"num_layers": 0}, "num_layers"),
        ({"hiddens": 0}, "num_hiddens"),
        ({"dropout": 1}, "dropout"),
        ({"lr": -1}, "lr"),
    ],
)
def test_arguments_out_of_range(options, message, make_data):
    with pytest.raises(ArgumentError, match=message):
        translator(make_data(), **options)


# The command line ---------------------------------------------------------------------------------------

SMALL = ["--embed-size", "5", "--num-hiddens", "6", "--num-layers", "1", "--dropout", "0"]
SMALL += [
    "--num-train",
    "20",
    "--num-val",
    "10",
    "--batch-size",
    "10",
]  # all minibatches of one size


def test_a_translator_on_the_command_line(make_data, tmp_path, capsys, monkeypatch):
    make_data()
    run, more = str(tmp_path / "run"), str(tmp_path / "more")
    train = [
        "train",
        "--model",
        "seq2seq",
        "--attention",
        "--pairs",
        str(tmp_path / "pairs.tsv"),
        *SMALL,
    ]
    assert main([*train, "--max-epochs", "2", "--run", run]) == 0
    shown = capsys.readouterr().out
    assert "a vocabulary of 14 and of" in shown
    assert "After:  go . => " in shown
    assert "BLEU" in shown
    history = json.loads((tmp_path / "run" / "history.json").read_text())
    assert history[1]["val_ppl"] == pytest.approx(np.exp(history[1]["val_loss"]))

    assert main(["translate", "--run", run, "Go.", "I lost."]) == 0
    typed = capsys.readouterr().out
    assert len(typed.splitlines()) == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("Go.\n\nI lost.\n"))
    assert main(["translate", "--run", run]) == 0
    assert capsys.readouterr().out == typed
    picture = tmp_path / "attention.svg"
    assert main(["translate", "--run", run, "--beams", "3", "--plot", str(picture), "Go."]) == 0
    assert "<svg" in picture.read_text(encoding="utf-8")

    assert main(["generate", "--run", run]) == 1
    assert "translate --run" in capsys.readouterr().err
    assert main(["train", "--resume", run, "--max-epochs", "3", "--run", more]) == 0
    assert len(json.loads((tmp_path / "more" / "history.json").read_text())) == 3
    assert main(["compare", run, more, "--output", str(tmp_path / "report")]) == 0
    assert "BLEU, k=2" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_a_text_is_no_list_of_pairs(capsys):
    assert main(["train", "--model", "seq2seq", "--text", "story.txt"]) == 2
    assert main(["train", "--pairs", "pairs.tsv"]) == 2
    assert "only with --model seq2seq" in capsys.readouterr().err


# Attention --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("valid_lens", [None, [2, 3], [[1, 3, 4], [2, 4, 1]]])
def test_a_masked_softmax(valid_lens):
    X = np.random.RandomState(0).normal(0, 2, (2, 3, 4)).astype(np.float32)
    tensor = d2l.tensor(X)
    lengths = None if valid_lens is None else d2l.tensor(np.array(valid_lens, np.int32))
    found = d2l.numpy(d2l.masked_softmax(tensor, lengths))
    n = np.broadcast_to(4 if valid_lens is None else np.array(valid_lens).reshape(2, -1), (2, 3))
    keys = np.arange(4) < n[..., None]
    expected = np.exp(X) * keys / (np.exp(X) * keys).sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(d2l.numpy(tensor), X)  # it is left as it is
