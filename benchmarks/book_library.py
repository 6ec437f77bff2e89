"""Seconds that the book's own library, the package `d2l`, takes to train section 9.6.

    python benchmarks/book_library.py torch|mxnet|tensorflow|jax [--epochs 100] [--data FOLDER]
        [--no-plot]

Trains the book's model on the book's data, as section 9.6 does, only through the library's public
names, and prints one line of JSON. For JAX the library has no section 9.6, so the model is that of
section 9.5, of the same sizes. FOLDER is where timemachine.txt lies; without it, the library looks
into ../data and downloads.

What the library draws is part of what it costs, and stays: three times an epoch it adds a line for
each curve to its plot, takes none away, and has IPython turn the whole plot into SVG, as in a
notebook, so its epochs get slower as it trains: the last of 100 makes three drawings of 1 MB each.
Here Matplotlib's backend is Agg, and what a notebook would be sent is thrown away. `--no-plot` leaves
the drawing out, by the library's own switch, to tell the training from the plot.

It wants Python 3.11 and an environment of its own for each framework, with what d2l 1.0.3 names
(numpy 1.23.5, matplotlib 3.7.2, matplotlib-inline 0.1.6, pandas 2.0.3, requests 2.31.0, scipy
1.10.1; of jupyter, which it names too, IPython 8.37 does), then d2l itself with `--no-deps`, and

    torch       torch 2.13.0; for `import torchvision`, which 9.6 does not use, an empty package with an
                empty module `transforms` will do
    mxnet       mxnet 1.9.1
    tensorflow  tensorflow-cpu 2.15.1: the last whose Keras, 2, knows SimpleRNN(time_major=True)
    jax         jax and jaxlib 0.4.13, flax 0.7.2, optax 0.1.7, chex 0.1.7, orbax-checkpoint 0.3.5,
                tensorflow-cpu 2.15.1, tensorflow-datasets 4.9.4, tensorflow-metadata 1.14.0
"""

import argparse
import atexit
import contextlib
import importlib
import importlib.metadata
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("framework", choices=["torch", "mxnet", "tensorflow", "jax"])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--data", type=Path, help="the folder of timemachine.txt")
    parser.add_argument("--no-plot", action="store_true", help="ProgressBoard(display=False)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # after IPython's own end
    os.environ |= {"MPLBACKEND": "Agg", "IPYTHONDIR": str(folder)}
    if arguments.data:  # the library looks into ../data
        (folder / "data").symlink_to(arguments.data.resolve())
        (folder / "work").mkdir()
        os.chdir(folder / "work")
    figures = train(arguments.framework, arguments.epochs, not arguments.no_plot)
    print(json.dumps(figures))


def train(framework, epochs, plot):
    started = time.perf_counter()
    d2l = importlib.import_module(f"d2l.{framework}")
    imported = time.perf_counter()
    if framework == "mxnet":
        d2l.npx.set_np()
    data = d2l.TimeMachine(batch_size=1024, num_steps=32)
    vocab_size = len(data.vocab)
    if framework == "jax":
        rnn = d2l.RNNScratch(num_inputs=vocab_size, num_hiddens=32)
        model = d2l.RNNLMScratch(rnn, vocab_size=vocab_size, lr=1)
    else:
        inputs = {"num_inputs": vocab_size} if framework == "torch" else {}
        model = d2l.RNNLM(d2l.RNN(**inputs, num_hiddens=32), vocab_size=vocab_size, lr=1)
    model.board.display = plot
    trainer = d2l.Trainer(max_epochs=epochs, gradient_clip_val=1)
    fit_epoch, seconds, last = trainer.fit_epoch, [], {}

    def timed():
        started = time.perf_counter()
        fit_epoch()
        # What it has plotted last, train_ppl over half an epoch; reading it waits for the framework.
        last.update((name, float(points[-1].y)) for name, points in model.board.data.items())
        seconds.append(time.perf_counter() - started)

    trainer.fit_epoch = timed
    ready = time.perf_counter()
    with open(os.devnull, "w") as devnull, contextlib.redirect_stdout(devnull):
        trainer.fit(model, data)
    total = time.perf_counter() - ready
    return {
        "framework": framework,
        "framework_version": importlib.import_module(framework).__version__,
        "d2l": importlib.metadata.version("d2l"),
        "section": "9.5" if framework == "jax" else "9.6",
        "epochs": epochs,
        "plot": plot,
        "cores": len(os.sched_getaffinity(0)),
        "seconds_import": imported - started,
        "seconds_data_and_model": ready - imported,
        "seconds_epoch": statistics.median(seconds[1:] or seconds),
        "seconds_first_epoch": seconds[0],
        "seconds_last_epoch": seconds[-1],
        "seconds_fit": total,
        **last,
    }


if __name__ == "__main__":
    main()
