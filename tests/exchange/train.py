"""Train section 9.6 on the active backend from the common initial weights, and write what it gave.

    python tests/exchange/train.py FOLDER [MAX_EPOCHS]

writes `FOLDER/<backend>.safetensors` (the trained weights) and `FOLDER/<backend>.json` (what this
backend says of them: perplexities, and the continuation of a prefix). `test_reading.py` lets every
backend read all of them; `test_agreement.py` compares the perplexities.
"""

import json
import sys
from pathlib import Path

import d2lrnn as d2l
from d2lrnn.comparison.initial import initial_weights

PREFIX, NUM_PREDS = "it has", 200
NUM_HIDDENS = 32


def section_9_6() -> d2l.TimeMachine:
    return d2l.TimeMachine(batch_size=1024, num_steps=32)


def model_of(data: d2l.TimeMachine) -> d2l.RNNLM:
    return d2l.RNNLM(d2l.RNN(num_hiddens=NUM_HIDDENS), vocab_size=len(data.vocab), lr=1)


def main(folder: str, max_epochs: str = "100") -> None:
    data = section_9_6()
    model = model_of(data)
    model.set_weights(initial_weights(len(data.vocab), NUM_HIDDENS, seed=0))
    trainer = d2l.Trainer(max_epochs=int(max_epochs), gradient_clip_val=1)
    trainer.fit(model, data)
    target = Path(folder) / f"{d2l.backend.name()}.safetensors"
    model.save(target)
    report = {
        "backend": d2l.backend.name(),
        "versions": d2l.versions(),
        "source": data.source,
        "max_epochs": int(max_epochs),
        "continuation": model.predict(PREFIX, NUM_PREDS, data.vocab),
        "validated_ppl": trainer.validate(model, data)["val_ppl"],
        **trainer.history[-1],
    }
    target.with_suffix(".json").write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
