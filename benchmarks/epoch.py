"""Seconds of an epoch of section 9.6: `Trainer.fit` against a loop written by hand, in one process.

    D2LRNN_BACKEND=torch python benchmarks/epoch.py [--epochs 30] [--num-hiddens 32] ...

The two take turns, epoch by epoch, on the same model, data and order of minibatches. `Trainer.fit`
runs with its defaults: history, plot and progress included. The loop is in `by_hand_<backend>.py`;
if a faster one is found, it belongs there. The first epoch of each compiles and is told apart.
"""

import argparse
import importlib
import json
import os
import resource
import time
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

import d2lrnn as d2l


@dataclass
class Setting:
    """What is trained: sizes, hyperparameters, and the windows X and Y, training ones first."""

    batch_size: int
    num_steps: int
    num_train: int
    num_val: int
    num_hiddens: int
    tokens: str
    lr: float = 1
    bound: float = 1

    def load(self):
        self.data = d2l.TimeMachine(
            self.batch_size, self.num_steps, self.num_train, self.num_val, tokens=self.tokens
        )
        used = self.num_train + self.num_val
        self.X, self.Y = self.data.X[:used], self.data.Y[:used]
        self.vocab_size = len(self.data.vocab)
        return self

    def model(self):
        rnn = d2l.RNN(num_hiddens=self.num_hiddens)
        return d2l.RNNLM(rnn, vocab_size=self.vocab_size, lr=self.lr)


class TakingTurns(d2l.Trainer):
    """Runs one epoch of each rival before each epoch of its own, and times all."""

    def start(self, rivals):
        self.rivals = rivals
        self.seconds = {name: [] for name in ["d2lrnn", *rivals]}
        self.resumed = None

    def set_epoch(self, epoch):
        if self.resumed is not None:
            self.seconds["d2lrnn"].append(time.perf_counter() - self.resumed)
        super().set_epoch(epoch)
        order = self.train_dataloader.order(epoch)
        for name, rival in self.rivals.items():
            started = time.perf_counter()
            train, val = rival.epoch(order)
            self.seconds[name].append(time.perf_counter() - started)
            assert np.isfinite(train).all() and np.isfinite(val).all()
        self.resumed = time.perf_counter()

    def fit(self, model, data):
        super().fit(model, data)
        self.seconds["d2lrnn"].append(time.perf_counter() - self.resumed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--num-steps", type=int, default=32)
    parser.add_argument("--num-train", type=int, default=10000)
    parser.add_argument("--num-val", type=int, default=5000)
    parser.add_argument("--num-hiddens", type=int, default=32)
    parser.add_argument("--tokens", choices=["char", "word"], default="char")
    parser.add_argument("--slow", action="store_true", help="the slow rivals as well")
    parser.add_argument("--json", help="add the figures, one line of JSON, to this file")
    arguments = vars(parser.parse_args())
    epochs, target, slow = (arguments.pop(name) for name in ("epochs", "json", "slow"))

    setting = Setting(**arguments).load()
    by_hand = importlib.import_module(f"by_hand_{d2l.backend.name()}")
    chosen = by_hand.RIVALS | (getattr(by_hand, "SLOW_RIVALS", {}) if slow else {})
    rivals = {name: rival(setting) for name, rival in chosen.items()}
    trainer = TakingTurns(max_epochs=epochs, gradient_clip_val=setting.bound)
    trainer.start(rivals)
    trainer.fit(setting.model(), setting.data)
    report(setting, trainer.seconds, target)


def report(setting, seconds, target):
    ours = np.array(seconds["d2lrnn"][1:])
    versions = d2l.versions()
    table = Table(
        "", "median s", "first epoch s", "d2lrnn / this (quartiles)",
        title=f"{versions['framework']} on {', '.join(versions['devices'])}",
    )  # fmt: skip
    figures = {"backend": d2l.backend.name(), **asdict(setting), "versions": versions}
    for name, values in seconds.items():
        later = np.array(values[1:])
        low, middle, high = np.percentile(ours / later, [25, 50, 75])
        ratio = "" if name == "d2lrnn" else f"{middle:.3f} ({low:.3f} to {high:.3f})"
        table.add_row(name, f"{np.median(later):.4f}", f"{values[0]:.2f}", ratio)
        figures[name] = {"median": float(np.median(later)), "first": values[0], "ratio": middle}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    figures["peak_memory"] = peak
    console = Console(width=100)
    console.print(table)
    console.print(f"peak memory of the process: {peak / 1e6:.0f} MB; cores: {os.cpu_count()}")
    if target:
        with open(target, "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
