"""Runs made by hand, for tests of what reads them."""

import json

import numpy as np
import pytest

from d2lrnn import run
from d2lrnn.weights import write_weights

NUM_HIDDENS = 3
VOCAB = ["<unk>", " ", "a", "b", "c"]


def weights(seed):
    """Weights of a model with 3 hidden units and 5 tokens."""
    random = np.random.RandomState(seed)
    shapes = {
        "rnn.W_xh": (len(VOCAB), NUM_HIDDENS),
        "rnn.W_hh": (NUM_HIDDENS, NUM_HIDDENS),
        "rnn.b_h": (NUM_HIDDENS,),
        "linear.W_hq": (NUM_HIDDENS, len(VOCAB)),
        "linear.b_q": (len(VOCAB),),
    }
    return {name: random.randn(*shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def make_run(tmp_path, write_run):
    """`write_run` into a folder of the test's own, by its name."""
    return lambda name, *backend, **settings: write_run(tmp_path / name, *backend, **settings)


@pytest.fixture(scope="session")
def write_run():
    """Writes the folder of a finished run, as `d2lrnn train` leaves it, and returns its path.

    `initial` and `final` are seeds of its weights; `ppl` and `val_ppl` its perplexities, epoch by
    epoch; `after` its continuation of "a b"; `options` and `config` replace or add entries.
    """

    def write(
        path,
        backend="torch",
        *,
        initial=1,
        final=2,
        ppl=(5.0, 4.0, 3.0),
        val_ppl=(6.0, 4.5, 3.5),
        seconds=(1.0, 0.1, 0.3),
        after="a b abc abc",
        source="class RNN:\n    pass\n",
        options=(),
        config=(),
        vocab=VOCAB,
    ):
        path.mkdir(parents=True)

        def put(file, value):
            text = json.dumps(run._to_json(value), allow_nan=False)
            (path / file).write_text(text, encoding="utf-8")

        history = [
            {"epoch": i + 1, "train_loss": float(np.log(p)), "train_ppl": p, "seconds": s}
            for i, (p, s) in enumerate(zip(ppl, seconds, strict=True))
        ]
        for row, value in zip(history, val_ppl, strict=False):
            row |= {"val_loss": float(np.log(value)), "val_ppl": value}
        config_of_all = {
            "format": "d2lrnn run 1",
            "status": "finished",
            "backend": backend,
            "started": "2026-01-01T00:00:00+00:00",
            "data": {"source": "a text made by hand", "num_tokens": 100, "sha1": "0" * 40},
            "vocab_size": len(vocab),
            "device": "cpu",
            "interrupted": False,
            "peak_memory": 300_000_000,
        }
        options_of_all = {
            "model": "rnn",
            "num_hiddens": NUM_HIDDENS,
            "activation": "tanh",
            "sigma": None,
            "lr": 1.0,
            "seed": 0,
            "batch_size": 7,
            "num_steps": 4,
            "num_train": 20,
            "num_val": 10 if val_ppl else 0,
            "tokens": "char",
            "max_epochs": max(len(ppl), 1),
        }
        options = {**options_of_all, **dict(options)}
        put("config.json", {**config_of_all, "options": options, **dict(config)})
        put("vocab.json", vocab)
        put("history.json", history)
        put("samples.json", [{"prefix": "a b", "before": "a bbbb", "after": after, "num_preds": 8}])
        versions = {
            "framework": f"{backend} 1.0",
            "devices": ["CPU"],
            "python": "3.11",
            "numpy": "2",
        }
        put("versions.json", {**versions, "d2lrnn": "0.1.0", "platform": "Linux"})
        classes = {"RNN": source, "RNNLM": f"class RNNLM:  # {backend}\n    rnn: RNN\n"}
        module = f"d2lrnn_{backend}.rnn"
        put("sources.json", {n: {"module": module, "source": s} for n, s in classes.items()})
        write_weights(path / "initial.safetensors", weights(initial))
        write_weights(path / "weights.safetensors", weights(final))
        return path

    return write
