"""Train the models of `MODELS` on the active backend from common initial weights, and write what they gave.

    python tests/exchange/train.py FOLDER [MAX_EPOCHS]

writes for each model, those of translation included, `FOLDER/<backend>-<model>.safetensors` (the trained
weights) and `.json` (what this backend says of them: perplexities, and the continuation of a prefix, or
translations). `test_reading.py` lets every backend read all of them; `test_agreement.py` compares the
perplexities, for which the first is trained anew from weights that are changed a little.
"""

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import d2lrnn as d2l
from d2lrnn import models
from d2lrnn.comparison.initial import initial_weights

NUM_HIDDENS = 32


class Model(NamedTuple):
    """A model of `d2lrnn.models.MODELS`, and how it is trained in full: as in its section."""

    options: dict[str, Any]
    max_epochs: int

    @property
    def build(self) -> dict[str, Any]:
        defaults = {"num_hiddens": NUM_HIDDENS, "seed": 0, "activation": "tanh"}
        return {**defaults, **self.options}


MODELS = {  # sections 9.6, 10.1, 10.2 and 10.3
    "rnn": Model({"model": "rnn", "lr": 1}, 100),
    "lstm": Model({"model": "lstm", "lr": 4}, 50),
    "gru": Model({"model": "gru", "lr": 4}, 50),
    "deep-gru": Model({"model": "gru", "lr": 2, "num_layers": 2}, 100),
}

# Section 11.4, smaller than the book's; without dropout, whose draws are each framework's own.
TRANSLATORS = {"attention": "Seq2SeqAttentionDecoder"}
SIZES = {"embed_size": 64, "num_hiddens": 64, "num_layers": 2}

PREFIX, NUM_PREDS = "it has", 200
SENTENCES = ["Go.", "I lost.", "He's calm.", "I'm home.", "Wait!", "I see.", "Who?", "I'm tired."]
CHANGE, CHANGES = 1e-6, 3  # relative, of the initial weights; how many such trainings


def section_9_6() -> d2l.TimeMachine:
    return d2l.TimeMachine(batch_size=1024, num_steps=32)


def model_of(name: str, data: d2l.TimeMachine) -> d2l.RNNLM:
    return models.build(MODELS[name].build, len(data.vocab))


def changed(weights: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """`weights`, each of them changed by up to `CHANGE` of itself."""
    random = np.random.RandomState(seed)
    return {
        name: (array * (1 + CHANGE * random.uniform(-1, 1, array.shape))).astype(np.float32)
        for name, array in weights.items()
    }


def trained(
    name: str, data: d2l.TimeMachine, weights: dict[str, np.ndarray], max_epochs: int, **options
):
    """A model trained from the initial `weights`, and its trainer."""
    model = model_of(name, data)
    model.set_weights(weights)
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1, **options)
    trainer.fit(model, data)
    return model, trainer


def pairs() -> d2l.MTFraEng:
    return d2l.MTFraEng(batch_size=128)


def translator_of(name: str, data: d2l.MTFraEng) -> d2l.Seq2Seq:
    encoder = d2l.Seq2SeqEncoder(len(data.src_vocab), **SIZES)
    decoder = getattr(d2l, TRANSLATORS[name])(len(data.tgt_vocab), **SIZES)
    return d2l.Seq2Seq(encoder, decoder, tgt_pad=data.tgt_vocab["<pad>"], lr=0.005)


def train_translator(name: str, data: d2l.MTFraEng, folder: Path, max_epochs: int) -> None:
    print(f"{name}: {max_epochs} epochs", flush=True)
    model, random = translator_of(name, data), np.random.RandomState(0)
    shapes = {n: w.shape for n, w in sorted(model.get_weights().items())}
    model.set_weights({n: random.normal(0, 0.1, s).astype(np.float32) for n, s in shapes.items()})
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1)
    trainer.fit(model, data)
    target = folder / f"{d2l.backend.name()}-{name}.safetensors"
    model.save(target)
    report = {
        "source": data.source,
        "translations": [model.translate(SENTENCES, data, beams) for beams in (1, 3)],
        "validated_loss": trainer.validate(model, data)["val_loss"],
        "history": trainer.history,
    }
    target.with_suffix(".json").write_text(json.dumps(report, indent=2))


def main(folder: str, max_epochs: str = "100") -> None:
    data = section_9_6()
    print(f"Text: {data.source}", flush=True)
    for name, model in MODELS.items():
        in_full = int(max_epochs) >= 100
        few = int(max_epochs) if name == "rnn" else max(int(max_epochs) // 10, 1)
        train(name, data, Path(folder), model.max_epochs if in_full else few, in_full)
    for name in TRANSLATORS:
        train_translator(name, pairs(), Path(folder), 30 if in_full else 4)


def train(name: str, data: d2l.TimeMachine, folder: Path, max_epochs: int, in_full: bool) -> None:
    print(f"{name}: {max_epochs} epochs", flush=True)
    weights = initial_weights(MODELS[name].build, len(data.vocab))
    model, trainer = trained(name, data, weights, max_epochs)
    histories = [trainer.history]
    for seed in range(1, 1 + CHANGES) if name == "rnn" else ():
        print(
            f"The same from initial weights changed by {CHANGE:g} of themselves, {seed}", flush=True
        )
        _, other = trained(name, data, changed(weights, seed), max_epochs, progress=False)
        histories.append(other.history)
    target = folder / f"{d2l.backend.name()}-{name}.safetensors"
    model.save(target)
    report = {
        "backend": d2l.backend.name(),
        "versions": d2l.versions(),
        "source": data.source,
        "in_full": in_full,
        "continuation": model.predict(PREFIX, NUM_PREDS, data.vocab),
        "validated_ppl": trainer.validate(model, data)["val_ppl"],
        "histories": histories,  # from the common weights; from each change of them
        **trainer.history[-1],
    }
    target.with_suffix(".json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
