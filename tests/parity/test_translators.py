"""Translation on the active backend against its oracle: the same weights give the same numbers."""

import numpy as np
import oracle
import pytest
import translation

import d2lrnn as d2l

SRC, TGT, EMBED, HIDDENS, PAD = (
    6,
    5,
    2,
    2,
    0,
)  # as small as they can be and differ: the oracle is slow
KINDS = {"gru": "gru_after", "lstm": "lstm"}
MODELS = [  # each two of these choices together in one
    ("gru", 1, False),
    ("gru", 2, True),
    ("lstm", 1, True),
    ("lstm", 2, False),
]


def name(row):
    cell, num_layers, attention = row
    return f"{cell} of {num_layers}{' with attention' * attention}"


models = pytest.mark.parametrize("row", MODELS, ids=name)


def make(row, seed=0, lr=0.01):
    """A model and its weights, drawn by the oracle."""
    cell, num_layers, attention = row
    decoder = d2l.Seq2SeqAttentionDecoder if attention else d2l.Seq2SeqDecoder
    sizes = EMBED, HIDDENS, num_layers
    model = d2l.Seq2Seq(
        d2l.Seq2SeqEncoder(SRC, *sizes, cell=cell),
        decoder(TGT, *sizes, cell=cell),
        tgt_pad=PAD,
        lr=lr,
    )
    shapes = translation.shapes(KINDS[cell], num_layers, attention, SRC, TGT, EMBED, HIDDENS)
    weights = oracle.initial_weights(shapes, seed, sigma=0.7)
    model.set_weights(weights)
    return model, weights


def minibatch(seed=0, batch_size=3, num_steps=4):
    """Sentences of lengths 1, 2, ...; sources and labels end in padding."""
    rng = np.random.RandomState(seed)
    src, tgt, labels = (
        rng.randint(1, size, (batch_size, num_steps)).astype(np.int32) for size in (SRC, TGT, TGT)
    )
    valid_lens = (np.arange(batch_size) % num_steps + 1).astype(np.int32)
    for i, n in enumerate(valid_lens):
        src[i, n:], labels[i, num_steps - n + 1 :] = PAD, PAD
    return src, tgt, valid_lens, labels


@models
def test_weights_logits_states_and_attention(row):
    model, weights = make(row)
    assert {n: w.shape for n, w in model.get_weights().items()} == {
        n: w.shape for n, w in weights.items()
    }
    precise = {n: oracle.precise(w) for n, w in weights.items()}
    src, tgt, valid_lens, _ = minibatch()
    logits, state = model.logits(src, tgt, valid_lens), model.encode(src, valid_lens)
    given = model.attention_weights(tgt, state) if row[2] else None
    for i, n in enumerate(valid_lens):
        of_one, begun, attended = translation.of_one(precise, src[i, :n], tgt[i])
        np.testing.assert_allclose(logits[i], of_one, atol=1e-5)
        np.testing.assert_allclose(np.array(state[1])[..., [i], :], np.array(begun), atol=1e-5)
        if given is not None:
            np.testing.assert_allclose(given[i, :, :n], attended, atol=1e-5)
            np.testing.assert_array_equal(given[i, :, n:], 0)


@models
def test_loss_and_gradients(row):
    model, weights = make(row)
    batch = minibatch()
    loss, found = model.gradients(*batch)
    precise = {n: oracle.precise(w) for n, w in weights.items()}
    assert loss == pytest.approx(translation.loss(precise, *batch, PAD), rel=1e-5)
    expected = translation.gradients(weights, *batch, PAD)
    assert found.keys() == expected.keys()
    for name_, gradient in expected.items():
        np.testing.assert_allclose(
            found[name_], gradient, atol=1e-4 * np.abs(gradient).max() + 1e-7, err_msg=name_
        )


class Batches(d2l.DataModule):
    """The same minibatches, unshuffled, in training and in validation."""

    def __init__(self, arrays, batch_size):
        super().__init__()
        self.arrays, self.batch_size = arrays, batch_size

    def get_dataloader(self, train):
        return self.get_tensorloader(self.arrays, train=False)


def test_eight_clipped_steps_of_adam():
    model, weights = make(("gru", 1, True))
    arrays = minibatch(batch_size=5)
    halves = slice(0, 3), slice(3, 5)
    trainer = d2l.Trainer(max_epochs=4, gradient_clip_val=0.5, progress=False)
    trainer.fit(model, Batches(arrays, batch_size=3))
    precise = {n: oracle.precise(w) for n, w in weights.items()}
    adam, losses = translation.Adam(lr=0.01), []
    for _ in range(4):
        for rows in halves:
            batch = tuple(array[rows] for array in arrays)
            losses.append(translation.loss(precise, *batch, PAD))
            grads = translation.gradients(precise, *batch, PAD)
            precise = adam.step(precise, oracle.clip(grads, 0.5))
    np.testing.assert_allclose(trainer.batch_losses, losses[-2:], rtol=1e-3)  # of the last epoch
    counts = [(arrays[3][rows] != PAD).sum() for rows in halves]
    assert counts[0] != counts[1]
    assert trainer.history[-1]["train_loss"] == pytest.approx(
        np.average(losses[-2:], weights=counts), rel=1e-3
    )
    assert trainer.history[-1]["val_loss"] == pytest.approx(
        translation.loss(precise, *arrays, PAD), rel=1e-3
    )


def test_the_two_decoders_are_different_models():
    src, tgt, valid_lens, _ = minibatch()
    plain, attending = (make(("gru", 1, attention))[0] for attention in (False, True))
    shared = attending.get_weights()
    plain.set_weights({n: w for n, w in shared.items() if "attention" not in n})
    difference = plain.logits(src, tgt, valid_lens) - attending.logits(src, tgt, valid_lens)
    assert np.abs(difference).max() > 1e-2
