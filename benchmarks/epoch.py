"""Seconds of an epoch: `Trainer.fit` against a loop written by hand, in one process.

    D2LRNN_BACKEND=torch python benchmarks/epoch.py [--model rnn] [--epochs 30] [--num-hiddens 32] ...

The two take turns, epoch by epoch, on the same model, data and order of minibatches. `Trainer.fit`
runs with its defaults: history, plot and progress included; what these cost is measured as well. The
loop is in `by_hand_<backend>.py`; if a faster one is found, it belongs there. The first epoch of each
compiles: what it takes beyond the median is the time to compile. The peak memory is that of a process
of its own for each, so it holds the framework and the data too.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

import d2lrnn as d2l
from d2lrnn.run import peak_memory

# Sections 9.6, 10.1, 10.2 and 10.3: the layer, and its options.
MODELS = {"rnn": ("RNN", {}), "lstm": ("LSTM", {}), "gru": ("GRU", {})}
MODELS["deep-gru"] = ("GRU", {"num_layers": 2})
MODELS["readers-rnn"] = MODELS[
    "rnn"
]  # of section 9.6, in a class of a reader's with its own `forward`
# Sections 10.7 and 11.4, in the book's setting.
DECODERS = {"seq2seq": "Seq2SeqDecoder", "seq2seq-attention": "Seq2SeqAttentionDecoder"}
OF_TRANSLATORS = {"batch_size": 128, "num_steps": 9, "num_train": 512, "num_val": 128}
OF_TRANSLATORS |= {"num_hiddens": 256, "lr": 0.005}
CHOICES = {"tokens": ["char", "word"], "model": [*MODELS, *DECODERS]}
NO_OPTIONS = "lr", "bound", "dropout"


class Readers(d2l.RNNLM):
    """A model that is the library's in what it computes, which the library cannot know."""

    def forward(self, X, state=None):
        return super().forward(X, state)


@dataclass
class Setting:
    """What is trained: sizes, hyperparameters, and the windows X and Y, training ones first.

    Of a translator the data's own arrays; its embeddings are as large as its states.
    """

    batch_size: int = 1024
    num_steps: int = 32
    num_train: int = 10000
    num_val: int = 5000
    num_hiddens: int = 32
    tokens: str = "char"
    model: str = "rnn"
    lr: float = 1
    bound: float = 1
    dropout: float = 0.2  # of translators, of two layers

    def load(self):
        if self.model in DECODERS:
            sizes = self.batch_size, self.num_steps, self.num_train, self.num_val
            self.data = d2l.MTFraEng(*sizes)
            self.vocab_size = len(self.data.tgt_vocab)
            return self
        self.data = d2l.TimeMachine(
            self.batch_size, self.num_steps, self.num_train, self.num_val, tokens=self.tokens
        )
        used = self.num_train + self.num_val
        self.X, self.Y = self.data.X[:used], self.data.Y[:used]
        self.vocab_size = len(self.data.vocab)
        return self

    def made(self):
        if self.model in DECODERS:
            h, data = self.num_hiddens, self.data
            encoder = d2l.Seq2SeqEncoder(len(data.src_vocab), h, h, 2, self.dropout)
            decoder = getattr(d2l, DECODERS[self.model])(self.vocab_size, h, h, 2, self.dropout)
            return d2l.Seq2Seq(encoder, decoder, tgt_pad=data.tgt_vocab["<pad>"], lr=self.lr)
        layer, options = MODELS[self.model]
        rnn = getattr(d2l, layer)(num_hiddens=self.num_hiddens, **options)
        kind = Readers if self.model == "readers-rnn" else d2l.RNNLM
        return kind(rnn, vocab_size=self.vocab_size, lr=self.lr)

    def trainer(self, epochs, kind=d2l.Trainer):
        return kind(max_epochs=epochs, gradient_clip_val=self.bound, num_gpus=d2l.num_gpus() and 1)

    def options(self):
        """The options of the command line that give this setting."""
        sizes = {name: value for name, value in asdict(self).items() if name not in NO_OPTIONS}
        return [f"--{name.replace('_', '-')}={value}" for name, value in sizes.items()]


class TakingTurns(d2l.Trainer):
    """Runs one epoch of each rival before each epoch of its own, and times all."""

    def start(self, rivals):
        self.rivals = rivals
        self.seconds = {name: [] for name in ["d2lrnn", *rivals]}
        self.display_seconds = []  # of history, plot and progress
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

    def _finish_epoch(self, seconds):
        started = time.perf_counter()
        super()._finish_epoch(seconds)
        self.display_seconds.append(time.perf_counter() - started)

    def fit(self, model, data):
        super().fit(model, data)
        self.seconds["d2lrnn"].append(time.perf_counter() - self.resumed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=30)
    for name, value in asdict(Setting()).items():
        if isinstance(value, str):
            parser.add_argument(f"--{name}", choices=CHOICES[name], default=value)
        elif name not in NO_OPTIONS:
            parser.add_argument(f"--{name.replace('_', '-')}", type=int)
    parser.add_argument("--slow", action="store_true", help="the slow rivals as well")
    parser.add_argument("--json", help="add the figures, one line of JSON, to this file")
    parser.add_argument(
        "--memory", default="d2lrnn,by hand", help="whose peak memory to measure (default: both)"
    )
    parser.add_argument("--alone", metavar="NAME", help="train only this; print the peak memory")
    arguments = vars(parser.parse_args())
    epochs, target, slow, alone, memory = (
        arguments.pop(name) for name in ("epochs", "json", "slow", "alone", "memory")
    )

    given = {name: value for name, value in arguments.items() if value is not None}
    books = OF_TRANSLATORS if arguments["model"] in DECODERS else {}
    setting = Setting(**{**books, **given}).load()
    by_hand = importlib.import_module(f"by_hand_{d2l.backend.name()}")
    chosen = dict(by_hand.RIVALS_OF[setting.model.removeprefix("readers-")])
    if slow and setting.model == "rnn":
        chosen |= getattr(by_hand, "SLOW_RIVALS", {})
    if alone:
        return train_alone(setting, chosen.get(alone), epochs)
    rivals = {name: rival(setting) for name, rival in chosen.items()}
    trainer = setting.trainer(epochs, TakingTurns)
    trainer.start(rivals)
    trainer.fit(setting.made(), setting.data)
    report(setting, trainer, target, memory.split(","))


def train_alone(setting, rival, epochs):
    """Train one of them, and print the peak memory of this process in bytes."""
    if rival is None:
        setting.trainer(epochs).fit(setting.made(), setting.data)
    else:
        loop = rival(setting)
        for epoch in range(epochs):
            loop.epoch(setting.data.train_dataloader().order(epoch))
    print(peak_memory())


def peak_memory_alone(setting, name):
    command = [sys.executable, __file__, *setting.options(), "--epochs=2", f"--alone={name}"]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(child.stdout.splitlines()[-1])


def report(setting, trainer, target, memory):
    seconds = trainer.seconds
    ours = np.array(seconds["d2lrnn"][1:])
    versions = d2l.versions()
    device = ", ".join(versions["devices"]) if trainer.gpus else "CPU"
    title = f"{setting.model}: {versions['framework']} on {device}, {os.cpu_count()} cores"
    columns = ("median s", "compile s", "d2lrnn / this (quartiles)", "peak memory MB")
    table = Table("", *columns, title=title)
    figures = {"backend": d2l.backend.name(), **asdict(setting), "versions": versions}
    figures |= {"device": device, "vocab_size": setting.vocab_size, "rivals": {}}
    for name, values in seconds.items():
        later = np.array(values[1:])
        median = float(np.median(later))
        low, middle, high = map(float, np.percentile(ours / later, [25, 50, 75]))
        ratio = "" if name == "d2lrnn" else f"{middle:.3f} ({low:.3f} to {high:.3f})"
        compile_seconds = max(values[0] - median, 0)
        peak = peak_memory_alone(setting, name) if name in memory else None
        shown = "" if peak is None else f"{peak / 1e6:.0f}"
        table.add_row(name, f"{median:.4f}", f"{compile_seconds:.2f}", ratio, shown)
        figures["rivals"][name] = {
            "median": median,
            "compile": compile_seconds,
            "ratio": [low, middle, high],
            "peak_memory": peak,
        }
    display = float(np.median(trainer.display_seconds[1:]))
    figures["display"] = display
    console = Console(width=100)
    console.print(table)
    share = display / np.median(ours)
    console.print(f"history, plot and progress: {1e3 * display:.2f} ms an epoch, {share:.2%} of it")
    if target:
        with open(target, "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
