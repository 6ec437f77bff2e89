"""A text of 1 GB, read and trained on by a process that has 2 GB of memory.

    python benchmarks/streaming.py [--gigabytes 1] [--memory 2] [--tokens char] [--of-each 5]

The framework is that of D2LRNN_BACKEND. The text is made up and lies, as its corpus does, in a temporary
folder: five bytes a character. What memory the process has for itself is held to so many GB: RLIMIT_DATA of
Linux, its heap and its private maps, touched or not; the corpus, a shared map of a file, is none of it. How
much of it was in use at most (RssAnon in /proc) is printed. An epoch goes over all blocks of the text, one
after another; since it would take hours, it takes the first five minibatches of each.
"""

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

WORDS, AT_ONCE = 50_000, 1_000_000
BATCH_SIZE, NUM_STEPS = 256, 32


def write_text(path, size):
    """Lines of ten words, the r-th 1 / r times as often as the first; a million, again and again."""
    random = np.random.RandomState(0)
    letters = random.choice(list("abcdefghijklmnopqrstuvwxyz"), (WORDS, 12))
    lengths = random.randint(1, 13, WORDS)
    words = np.array(["".join(word[:n]) for word, n in zip(letters, lengths, strict=True)])
    share = np.cumsum(1 / np.arange(1, WORDS + 1))
    drawn = words[np.searchsorted(share, random.uniform(0, share[-1], AT_ONCE))]
    text = "\n".join(map(" ".join, drawn.reshape(-1, 10))) + "\n"
    with path.open("w", encoding="ascii") as file:
        while file.tell() < size:
            file.write(text)


class Memory(threading.Thread):
    """How much memory this process has had for itself, at most, in MB; it looks every 20 ms."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = 0.0

    def run(self):
        while True:
            status = Path("/proc/self/status").read_text(encoding="ascii")
            self.peak = max(self.peak, int(status.partition("RssAnon:")[2].split()[0]) / 1e3)
            time.sleep(0.02)


def take_of_each_block(number):
    """Let an epoch take so many minibatches of each block, by its order, whoever cuts them."""
    from d2lrnn.data import Minibatches

    order, batches = Minibatches.order, Minibatches.batches

    def some(loader, epoch=None):
        for block in loader.blocks(epoch):
            yield from itertools.islice(batches(block, epoch), number)

    Minibatches.order = lambda self, epoch=None: order(self, epoch)[: number * self.batch_size]
    Minibatches.batches = some


def read_and_train(path, given):
    limit = int(given.memory * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    memory = Memory()
    memory.start()

    import d2lrnn as d2l

    trainer = d2l.Trainer(1, gradient_clip_val=1, progress=False)
    start = time.perf_counter()
    options = {"num_train": None, "num_val": BATCH_SIZE, "tokens": given.tokens, "min_freq": 100}
    data = d2l.TextFile(path, BATCH_SIZE, NUM_STEPS, **options)
    print(
        f"{time.perf_counter() - start:.0f} s to read {data.num_tokens:,} tokens, a vocabulary of "
        f"{len(data.vocab):,}; at most {memory.peak:,.0f} MB",
        flush=True,
    )
    take_of_each_block(given.of_each)
    rnn = d2l.RNN(num_inputs=len(data.vocab), num_hiddens=32)
    model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=1)
    start = time.perf_counter()
    trainer.fit(model, data)
    (row,) = trainer.history
    print(
        f"{time.perf_counter() - start:.0f} s for {len(trainer.batch_losses)} minibatches of "
        f"{data.train_dataloader().num_blocks} blocks; perplexity {row['train_ppl']:.2f} in training, "
        f"{row['val_ppl']:.2f} after it; at most {memory.peak:,.0f} MB of {given.memory * 1e3:,.0f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--memory", type=float, default=2.0, help="GB")
    parser.add_argument("--tokens", default="char")
    parser.add_argument("--of-each", type=int, default=5, help="how many minibatches of a block")
    parser.add_argument("--text", type=Path, help="a text that is there, instead of one made up")
    given = parser.parse_args()
    if given.text is not None:
        return read_and_train(given.text, given)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        write_text(text, given.gigabytes * 1e9)
        environment = {**os.environ, "D2LRNN_CACHE": folder}
        command = [sys.executable, __file__, *sys.argv[1:], "--text", text]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
