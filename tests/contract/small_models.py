"""Models and data of sizes that are all different, and how the suite trains them."""

import numpy as np

import d2lrnn as d2l

BATCH_SIZE, NUM_STEPS, NUM_HIDDENS = 6, 5, 9
NUM_TRAIN, NUM_VAL = 20, 13  # neither is a multiple of BATCH_SIZE


def make_model(layers, vocab_size, lr=0.5, base=None, **options):
    """A language model on the scratch or on the high-level layers; `base` is a subclass to make."""
    if layers == "scratch":
        rnn = d2l.RNNScratch(num_inputs=vocab_size, num_hiddens=NUM_HIDDENS, sigma=0.5, **options)
        return (base or d2l.RNNLMScratch)(rnn, vocab_size=vocab_size, lr=lr)
    rnn = d2l.RNN(num_inputs=vocab_size, num_hiddens=NUM_HIDDENS, **options)
    return (base or d2l.RNNLM)(rnn, vocab_size=vocab_size, lr=lr)


def base_class(layers):
    return d2l.RNNLMScratch if layers == "scratch" else d2l.RNNLM


def fit(model, data, max_epochs=2, **options):
    trainer = d2l.Trainer(max_epochs=max_epochs, progress=False, **options)
    trainer.fit(model, data)
    return trainer


def assert_same_weights(found, expected):
    """Bit for bit."""
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
