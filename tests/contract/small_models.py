"""Models and data of sizes that are all different, and how the suite trains them."""

import dataclasses
from typing import Any

import numpy as np
from layers import LAYERS

import d2lrnn as d2l

BATCH_SIZE, NUM_STEPS, NUM_HIDDENS = 6, 5, 9
# Multiples of BATCH_SIZE: a minibatch of another size is compiled anew, which takes as long as all the rest.
NUM_TRAIN, NUM_VAL = 24, 12
UNEVEN = {"num_train": 20, "num_val": 13}  # the last minibatches are smaller, of 2 and of 1


def make_model(layers, vocab_size, lr=0.5, base=None, **options):
    """A language model on the layers of this name in the table; `base` is a subclass to make."""
    return LAYERS[layers].make(vocab_size, NUM_HIDDENS, lr, base, **options)


def base_class(layers):
    return LAYERS[layers].model_class


def make_layer(layers, num_inputs, **options):
    """The recurrent layer of this name alone."""
    return make_model(layers, num_inputs, **options).rnn


def over_each_other(lower, upper, inputs):
    """The outputs and the last state of `upper` over the outputs of `lower` over `inputs`."""
    outputs, _ = lower(inputs)
    if isinstance(outputs, list | tuple):  # from scratch, one for each step
        outputs = d2l.stack(outputs, 0)  # (num_steps, batch_size, num_hiddens)
    return upper(outputs)


# A reader's own container of library layers, as one is written where modules are dataclasses, and
# where they are not.
if dataclasses.is_dataclass(d2l.Module):

    class TwoLayers(d2l.Module):
        lower: Any
        upper: Any
        num_hiddens: int = NUM_HIDDENS
        sigma: float = 0.5

        def forward(self, inputs, state=None):
            return over_each_other(self.lower, self.upper, inputs)

else:

    class TwoLayers(d2l.Module):
        def __init__(self, lower, upper):
            super().__init__()
            self.lower, self.upper = lower, upper
            self.num_hiddens, self.sigma = NUM_HIDDENS, 0.5

        def forward(self, inputs, state=None):
            return over_each_other(self.lower, self.upper, inputs)


def fit(model, data, max_epochs=2, **options):
    trainer = d2l.Trainer(max_epochs=max_epochs, progress=False, **options)
    trainer.fit(model, data)
    return trainer


def greedy(model, text, prefix, vocab):
    """`prefix`, and what follows if after each token of `text` the most probable one comes.

    It is `text` itself if that was decoded greedily: one run over all, since each length is compiled anew.
    """
    logits = model.logits(np.array([vocab[list(text)]], np.int32))
    logits = logits[0].copy()  # (len(text), vocab_size)
    logits[:, vocab.unk] = -np.inf
    following = vocab.to_tokens(logits.argmax(-1).tolist())
    return prefix + "".join(following[len(prefix) - 1 : -1])


def with_larger_weights(model, sigma=0.5):
    """`model` with weights from N(0, sigma^2), the same on every backend.

    Some frameworks draw such small initial ones that in deep layers gradients vanish in rounding.
    """
    random = np.random.RandomState(0)
    weights = model.get_weights()
    model.set_weights({name: random.normal(0, sigma, w.shape) for name, w in weights.items()})
    return model


def lowest_W_x(weights):
    """That W_x of the lowest layer which makes its (candidate) state of the inputs."""
    return weights[min(name for name in weights if ".W_x" in name)]  # W_xc, W_xh, W_xn come first


def assert_same_weights(found, expected):
    """Bit for bit."""
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
