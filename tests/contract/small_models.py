"""Models and data of sizes that are all different, and how the suite trains them."""

import numpy as np
from layers import LAYERS

import d2lrnn as d2l

BATCH_SIZE, NUM_STEPS, NUM_HIDDENS = 6, 5, 9
NUM_TRAIN, NUM_VAL = 20, 13  # neither is a multiple of BATCH_SIZE


def make_model(layers, vocab_size, lr=0.5, base=None, **options):
    """A language model on the layers of this name in the table; `base` is a subclass to make."""
    return LAYERS[layers].make(vocab_size, NUM_HIDDENS, lr, base, **options)


def base_class(layers):
    return LAYERS[layers].model_class


def fit(model, data, max_epochs=2, **options):
    trainer = d2l.Trainer(max_epochs=max_epochs, progress=False, **options)
    trainer.fit(model, data)
    return trainer


def assert_same_weights(found, expected):
    """Bit for bit."""
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
