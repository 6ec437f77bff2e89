"""Characters a second of `predict`, against a stepper written by hand, in one process.

    D2LRNN_BACKEND=torch python benchmarks/predict.py [--num-preds 1000] [--repeat 9]

Both continue the same prefix from the same weights and must write the same text; they take turns.
The stepper is `Stepper` in `by_hand_<backend>.py`: one token at a time, its logits read by the host.
Then prefixes of other lengths are continued, and the calls timed one by one: a call that traced or
compiled anew for its prefix would stand out.
"""

import argparse
import importlib
import json
import time

import numpy as np
from rich.console import Console
from rich.table import Table

import d2lrnn as d2l


def seconds(function, *arguments):
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def by_hand(stepper, prefix, num_preds, vocab):
    """Greedy decoding: the loop that a reader would write around one step."""
    tokens, state = list(vocab[list(prefix)]), None
    for token in tokens:
        logits, state = stepper.step(token, state)
    for _ in range(num_preds):
        logits[vocab.unk] = -np.inf
        tokens.append(int(logits.argmax()))
        logits, state = stepper.step(tokens[-1], state)
    return "".join(vocab.to_tokens(tokens))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-preds", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--json", help="add the figures, one line of JSON, to this file")
    arguments = parser.parse_args()

    data = d2l.TimeMachine(batch_size=1024, num_steps=32)
    model = d2l.RNNLM(d2l.RNN(num_hiddens=32), vocab_size=len(data.vocab), lr=1)
    d2l.Trainer(max_epochs=3, gradient_clip_val=1, progress=False).fit(model, data)
    stepper = importlib.import_module(f"by_hand_{d2l.backend.name()}").Stepper(model.get_weights())

    call = ("it has", arguments.num_preds, data.vocab)
    first, text = seconds(model.predict, *call)
    assert text == by_hand(stepper, *call)
    ours, hand = [], []
    for _ in range(arguments.repeat):
        hand.append(seconds(by_hand, stepper, *call)[0])
        ours.append(seconds(model.predict, *call)[0])
    low, middle, high = np.percentile(np.array(ours) / hand, [25, 50, 75])
    prefixes = ["it has been a long day"[:length] for length in range(1, 23)]
    slowest = max(seconds(model.predict, prefix, 1, data.vocab)[0] for prefix in prefixes)

    rates = {
        name: arguments.num_preds / np.median(s)
        for name, s in (("d2lrnn", ours), ("by hand", hand))
    }
    versions = d2l.versions()
    table = Table(
        "", "characters a second", "time, d2lrnn / this (quartiles)", title=versions["framework"]
    )
    table.add_row("d2lrnn", f"{rates['d2lrnn']:.0f}", "")
    table.add_row("by hand", f"{rates['by hand']:.0f}", f"{middle:.3f} ({low:.3f} to {high:.3f})")
    console = Console(width=100)
    console.print(table)
    console.print(
        f"first call {first:.3f} s, later ones {np.median(ours):.3f} s; the slowest of {len(prefixes)} "
        f"calls with prefixes of other lengths, one character each: {1e3 * slowest:.1f} ms"
    )
    if arguments.json:
        figures = {"versions": versions, "rates": rates, "ratio": [low, middle, high]}
        with open(arguments.json, "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
