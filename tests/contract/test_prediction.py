"""`predict`: greedy decoding as in the book, and sampling."""

import numpy as np
import pytest
from small_models import base_class, fit, greedy, make_model, with_larger_weights

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError


@pytest.fixture
def sure(model):
    """A model that finds some tokens much more probable than others, as one that was trained."""
    return with_larger_weights(model)


def test_greedy(model, data):
    fit(model, data, max_epochs=20, gradient_clip_val=1)
    text = model.predict("it has", 20, data.vocab)
    assert text == greedy(model, text, "it has", data.vocab) and len(text) == 26


def test_numpy_decodes_as_the_model_steps(sure, data):
    """What `predict` decodes a whole model with gives the logits of one `step` after another."""
    step, state, expected_state = sure.own_stepper(), None, None
    for token in data.vocab[list("it has two")]:
        logits, state = step(int(token), state)
        expected, expected_state = sure.step(int(token), expected_state)
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)  # float32, of order ten
        assert logits.shape == (len(data.vocab),)


def test_several_sequences_step_together(sure, data):
    tokens, state = data.X[:3], None  # (batch_size 3, num_steps)
    for t in range(tokens.shape[1]):
        logits, state = sure.step(tokens[:, t], state)
    np.testing.assert_allclose(logits, sure.logits(tokens)[:, -1], rtol=0, atol=1e-5)


def test_a_forward_of_the_readers_decodes(layers, data):
    """Decoding follows `forward`, where a reader has written that and no other part."""

    class Echo(base_class(layers)):
        def forward(self, X, state=None):
            return super().forward(X, state) + 1000 * d2l.swapaxes(self.one_hot(X), 0, 1)

    model = make_model(layers, len(data.vocab), base=Echo)
    assert model.own_stepper() is None
    assert model.predict("it", 3, data.vocab) == "itttt"


def test_the_weights_of_the_moment_decode(sure, data):
    sure.predict("it", 1, data.vocab)
    weights = sure.get_weights()
    weights["linear.b_q"] = np.eye(len(data.vocab), dtype=np.float32)[5] * 1000
    sure.set_weights(weights)
    assert sure.predict("it", 3, data.vocab) == "it" + 3 * data.vocab.to_tokens(5)


def test_a_layer_of_the_readers_decodes(layers, data):
    """What replaces a part of the model is used, not the equations that it replaces."""

    class Shifted(base_class(layers)):
        def output_layer(self, hiddens):
            bias = np.eye(len(data.vocab), dtype=np.float32)[7] * 1000
            return super().output_layer(hiddens) + d2l.tensor(bias)

    model = make_model(layers, len(data.vocab), base=Shifted)
    assert model.own_stepper() is None
    assert model.predict("it", 3, data.vocab) == "it" + 3 * data.vocab.to_tokens(7)


def test_broken_weights_predict_nothing(model, data):
    weights = model.get_weights()
    weights["linear.b_q"][3] = np.nan
    model.set_weights(weights)
    with pytest.raises(ArgumentError, match="not finite"):
        model.predict("it", 1, data.vocab)


def test_before_training(model, data):
    text = model.predict("it has", 20, data.vocab)
    assert text == greedy(model, text, "it has", data.vocab) and len(text) == 26


def test_nothing_to_predict(model, data):
    assert model.predict("it has", 0, data.vocab) == "it has"


def test_each_token_costs_one_step(layers, data):
    steps = []

    class Counting(base_class(layers)):
        def step(self, *args, **kwargs):
            steps.append(1)
            return super().step(*args, **kwargs)

    make_model(layers, len(data.vocab), base=Counting).predict("it has", 20, data.vocab)
    assert len(steps) == 6 + 20 - 1


def test_sampling(sure, data):
    texts = [sure.predict("it has", 30, data.vocab, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0] != sure.predict("it has", 30, data.vocab)


def test_temperature(sure, data):
    text = sure.predict("it has", 30, data.vocab, temperature=1e-4, seed=0)
    assert text == sure.predict("it has", 30, data.vocab)
    assert text == sure.predict("it has", 30, data.vocab, temperature=0)
    assert text != sure.predict("it has", 30, data.vocab, temperature=3.0, seed=0)


def test_unknown_characters(model, data):
    text = model.predict("it%has", 5, data.vocab)
    assert text.startswith("it%has") and "<unk>" not in text
    assert text[6:] == model.predict("it has", 5, data.vocab)[6:]  # as the text was read


def test_unknown_is_never_predicted(layers, data):
    class Puzzled(base_class(layers)):
        def output_layer(self, hiddens):
            logits = super().output_layer(hiddens)
            bias = np.zeros(len(data.vocab), np.float32)
            bias[data.vocab.unk] = 100
            return logits + d2l.tensor(bias)

    model = make_model(layers, len(data.vocab), base=Puzzled)
    assert "<unk>" not in model.predict("it has", 10, data.vocab)
    assert "<unk>" not in model.predict("it has", 10, data.vocab, temperature=5.0, seed=1)


def test_words(layers, text_file):
    data = d2l.TextFile(text_file, 4, 3, num_train=8, num_val=2, tokens="word")
    model = make_model(layers, len(data.vocab))
    words = model.predict("it has", 5, data.vocab).split(" ")
    assert words[:2] == ["it", "has"]
    assert len(words) == 7
    assert set(words) <= set(data.vocab.idx_to_token)


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"prefix": ""}, "prefix=''"),
        ({"num_preds": -1}, "num_preds=-1"),
        ({"num_preds": 1.5}, "num_preds=1.5"),
        ({"temperature": -1}, "temperature=-1"),
        ({"temperature": 0, "seed": 1}, "seed=1"),
        ({"vocab": d2l.Vocab("ab")}, "vocab has 3 tokens"),
    ],
)
def test_wrong_arguments(model, data, arguments, named):
    arguments = {"prefix": "it has", "num_preds": 4, "vocab": data.vocab, **arguments}
    with pytest.raises(ArgumentError, match=named):
        model.predict(**arguments)
