"""What test_devices.py looks at: trainings on one device and on two, in a process of their own.

A process of its own, since some frameworks must be told of their devices before they compute anything.
Typed by hand, `PYTHONPATH=tests:tests/parity python tests/contract/on_devices.py FOLDER --all` compares all
models of chapters 9 and 10.
"""

import json
import sys
from pathlib import Path

import numpy as np
from layers import LAYERS
from small_models import make_model, with_larger_weights

import d2lrnn as d2l
from d2lrnn.data import Minibatches, minibatches

BATCH_SIZE, NUM_EXAMPLES = 13, 40  # over two, 7 and 6; the last minibatch has one example
TEXT = "the clock on the quay has told the tides since before the town had a name . " * 3
WORDS = TEXT.split()[:16]
A_BLOCK = 2 * BATCH_SIZE  # and the rest, 14, another
STILL = 1e-12  # a learning rate that moves no weight
CELLS = ("gru", "lstm")


def text(folder):
    path = folder / "clock.txt"
    path.write_text(TEXT, encoding="utf-8")
    return d2l.TextFile(path, BATCH_SIZE, 5, num_train=NUM_EXAMPLES, num_val=13)


def language_model(layers, folder):
    data = text(folder)
    return with_larger_weights(make_model(layers, len(data.vocab), lr=0.5)), data


def translator(decoder, cell, folder, num_layers):
    """A model and sentences of 1 to 8 words: the shares of a minibatch have unequally many tokens."""
    random, path = np.random.RandomState(0), folder / "pairs.tsv"
    sides = [[" ".join(random.choice(WORDS, n)) for n in random.randint(1, 9, 60)] for _ in "ab"]
    path.write_text("".join(f"{a}\t{b}\n" for a, b in zip(*sides, strict=True)), encoding="utf-8")
    data = d2l.PairFile(path, BATCH_SIZE, 9, num_train=NUM_EXAMPLES, num_val=13)
    src, tgt = len(data.src_vocab), len(data.tgt_vocab)
    sizes, options = (6, 9, num_layers), {"cell": cell}
    parts = d2l.Seq2SeqEncoder(src, *sizes, **options), decoder(tgt, *sizes, **options)
    return d2l.Seq2Seq(*parts, tgt_pad=data.tgt_vocab["<pad>"], lr=0.005), data


def cases(folder, everything):
    layers = LAYERS if everything else ("GRU",)
    found = {name: lambda n=name: language_model(n, folder) for name in layers}
    for decoder in d2l.Seq2SeqDecoder, d2l.Seq2SeqAttentionDecoder:
        for cell in CELLS if everything else CELLS[: decoder is d2l.Seq2SeqDecoder]:
            name = f"{decoder.__name__}, {cell}"
            found[name] = lambda d=decoder, c=cell: translator(d, c, folder, 1 + everything)
    return found


def fit(devices, model, data, max_epochs=5, **options):
    settings = {"gradient_clip_val": 0.3, "lr_schedule": "cosine", "keep": 9, "progress": False}
    trainer = d2l.Trainer(max_epochs, devices=devices, **settings)
    trainer.fit(model, data, **options)
    return trainer


def apart(one, other):
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def how_far_apart(case, max_epochs=5, checkpoint=None):
    """The largest difference of a weight, and of a loss, between one device and two; the weights of two."""
    trained = []
    for devices in 1, 2:
        model, data = case()
        rows = fit(devices, model, data, max_epochs, checkpoint=checkpoint).history
        losses = np.array([(row["train_loss"], row["val_loss"]) for row in rows])
        trained.append((model.get_weights(), losses))
    (one, losses), (two, of_two) = trained
    return apart(one, two), float(np.abs(losses - of_two).max()), two


# Dropout ----------------------------------------------------------------------------------------------


class Rows(d2l.DataModule):
    """A minibatch of these rows of a text, in this order."""

    def __init__(self, data, rows):
        super().__init__()
        self.X, self.Y = (np.asarray(array)[rows] for array in (data.X, data.Y))

    def get_dataloader(self, train):
        return Minibatches([self.X, self.Y], len(self.X), False, convert=self.tensor)

    def val_dataloader(self):
        return None


def losses_with_dropout(data, rows):
    """The training losses of two epochs on two devices, of one minibatch and weights that stay."""
    sizes = {"num_inputs": len(data.vocab), "num_hiddens": 9, "num_layers": 2}
    rnn = d2l.GRU(**sizes, dropout=0.5)
    model = with_larger_weights(d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=STILL))
    return [row["train_loss"] for row in fit(2, model, Rows(data, rows), 2).history]


def dropout(folder):
    data = text(folder)
    one, other = [0, 3, 5], [9, 11, 20]
    return {
        "first": losses_with_dropout(data, one + other),
        "again": losses_with_dropout(data, one + other),
        "swapped": losses_with_dropout(data, other + one),
    }


# Numbers beyond float32 -------------------------------------------------------------------------------


def losses_of_the_improbable(folder):
    """The training losses on one device and on two, from weights that give labels the probability 0."""
    found = []
    for devices in 1, 2:
        random, (model, data) = np.random.RandomState(0), language_model("RNN", folder)
        weights = model.get_weights()
        model.set_weights({n: 300 * random.randn(*w.shape) for n, w in weights.items()})
        found.append([row["train_loss"] for row in fit(devices, model, data, 2).history])
    return found


# Checkpoints ------------------------------------------------------------------------------------------


def resumed(folder, whole):
    """How far those end from `whole` that go on after epoch 3 of it: on two devices, then on one."""
    found, path = {}, str(folder / "all-000003.safetensors")
    for devices in 2, 1:
        rest, data = language_model("GRU", folder)
        fit(devices, rest, data, resume=path)
        found[devices] = apart(whole, rest.get_weights())
    return found


def main(folder, everything):
    d2l.Trainer(1, devices=2)  # before anything is computed
    found, weights = {"apart": {}}, {}
    for name, case in cases(folder, everything).items():
        minibatches.BLOCK = A_BLOCK if name == "GRU" else NUM_EXAMPLES
        path = str(folder / "all.safetensors") if name == "GRU" else None
        *found["apart"][name], weights[name] = how_far_apart(case, checkpoint=path)
        if everything:
            print(name, *(f"{figure:.1e}" for figure in found["apart"][name]), flush=True)
    if everything:
        print("30 epochs", *how_far_apart(cases(folder, False)["GRU"], 30)[:2])
    minibatches.BLOCK = A_BLOCK
    found |= {"dropout": dropout(folder), "resumed": resumed(folder, weights["GRU"])}
    found["improbable"] = losses_of_the_improbable(folder)
    (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--all" in sys.argv)
