"""Train section 9.6 on the active backend from the common initial weights, and write what it gave.

    python tests/exchange/train.py FOLDER [MAX_EPOCHS]

writes `FOLDER/<backend>.safetensors` (the trained weights) and `FOLDER/<backend>.json` (what this
backend says of them: perplexities, and the continuation of a prefix). `test_reading.py` lets every
backend read all of them; `test_agreement.py` compares the perplexities, for which it is trained anew
from weights that are changed a little.
"""

import json
import sys
from pathlib import Path

import numpy as np

import d2lrnn as d2l
from d2lrnn.comparison.initial import initial_weights

PREFIX, NUM_PREDS = "it has", 200
NUM_HIDDENS = 32
CHANGE, CHANGES = 1e-6, 3  # relative, of the initial weights; how many such trainings


def section_9_6() -> d2l.TimeMachine:
    return d2l.TimeMachine(batch_size=1024, num_steps=32)


def model_of(data: d2l.TimeMachine) -> d2l.RNNLM:
    return d2l.RNNLM(d2l.RNN(num_hiddens=NUM_HIDDENS), vocab_size=len(data.vocab), lr=1)


def changed(weights: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """`weights`, each of them changed by up to `CHANGE` of itself."""
    random = np.random.RandomState(seed)
    return {
        name: (array * (1 + CHANGE * random.uniform(-1, 1, array.shape))).astype(np.float32)
        for name, array in weights.items()
    }


def trained(data: d2l.TimeMachine, weights: dict[str, np.ndarray], max_epochs: int, **options):
    """A model trained from the initial `weights`, and its trainer."""
    model = model_of(data)
    model.set_weights(weights)
    trainer = d2l.Trainer(max_epochs=max_epochs, gradient_clip_val=1, **options)
    trainer.fit(model, data)
    return model, trainer


def main(folder: str, max_epochs: str = "100") -> None:
    data = section_9_6()
    print(f"Text: {data.source}", flush=True)
    weights = initial_weights(len(data.vocab), NUM_HIDDENS, seed=0)
    model, trainer = trained(data, weights, int(max_epochs))
    histories = [trainer.history]
    for seed in range(1, 1 + CHANGES):
        print(
            f"The same from initial weights changed by {CHANGE:g} of themselves, {seed}", flush=True
        )
        _, other = trained(data, changed(weights, seed), int(max_epochs), progress=False)
        histories.append(other.history)
    target = Path(folder) / f"{d2l.backend.name()}.safetensors"
    model.save(target)
    report = {
        "backend": d2l.backend.name(),
        "versions": d2l.versions(),
        "source": data.source,
        "max_epochs": int(max_epochs),
        "continuation": model.predict(PREFIX, NUM_PREDS, data.vocab),
        "validated_ppl": trainer.validate(model, data)["val_ppl"],
        "histories": histories,  # from the common weights; from each change of them
        **trainer.history[-1],
    }
    target.with_suffix(".json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
