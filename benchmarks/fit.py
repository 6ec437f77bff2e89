"""Seconds from `fit` to finished, compilation included, of 100 epochs of section 9.6.

    D2LRNN_BACKEND=torch python benchmarks/fit.py [--epochs 100]

Prints one line of JSON, to be laid beside that of `book_library.py`.
"""

import argparse
import json
import time

import d2lrnn as d2l


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=100)
    epochs = parser.parse_args().epochs
    data = d2l.TimeMachine(batch_size=1024, num_steps=32)
    model = d2l.RNNLM(d2l.RNN(num_hiddens=32), vocab_size=len(data.vocab), lr=1)
    trainer = d2l.Trainer(max_epochs=epochs, gradient_clip_val=1)
    started = time.perf_counter()
    trainer.fit(model, data)
    seconds = time.perf_counter() - started
    figures = {"framework": d2l.versions()["framework"], "epochs": epochs, "seconds_fit": seconds}
    last = trainer.history[-1]
    print(json.dumps(figures | {name: last[name] for name in ("train_ppl", "val_ppl")}))


if __name__ == "__main__":
    main()
