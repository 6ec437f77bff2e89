"""What the figures show of the trained models that run in the pages: `python book/model_numbers.py COPY ...`

reads the weights in these executed copies of notebooks (see `page_models.py`), computes with the equations
of d2lrnn/cells.py, and keeps rounded numbers in `book/model_numbers.json`. `figures.py` draws them: the
pictures that stand where nothing runs.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from page_models import CELL, kept_by

from d2lrnn import cells
from d2lrnn.weights import read_weights

NUMBERS = Path(__file__).with_name("model_numbers.json")


def shown_of(model: str, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What the figure of a model shows, rounded."""
    W = {name: weights_of(file) for name, file in kept["files"].items()}
    if model == "11-4":
        return attention(W["trained"], kept["vocabs"], "one two three four five six seven eight")
    if model == "10-1":
        return text(W["trained"], *kept["vocabs"], "the time traveller smiled and said nothing", 0)
    shown = text(W["trained"], *kept["vocabs"], "it has", 20)
    if model == "9-6":
        sentence = "the time traveller smiled"
        tokens = [kept["vocabs"][0].index(character) for character in sentence]
        norms = {name: gradient_norms(each, tokens) for name, each in W.items()}
        shown["gradient"] = {"text": sentence, **norms}
    return shown


def weights_of(file: str) -> dict[str, Any]:
    """The weights of a file in base64, in float64."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(base64.b64decode(file))
        return {name: W.astype(np.float64) for name, W in read_weights(path).items()}


def text(W: dict[str, Any], vocab: list[str], prefix: str, num_preds: int) -> dict[str, Any]:
    """A text and its likeliest continuation: for each character a column, and what may come after the last.

    The columns are the states, of an LSTM the forget gates.
    """
    layer = cells.layer(W, "rnn.")
    state, tokens, columns = layer.zero_state(), [vocab.index(one) for one in prefix], []
    for t in range(len(prefix) + num_preds):
        A, before = layer.drive(np.array(tokens[t])), state
        state = layer.step(A, before, layer.W_h)
        if layer.kind == "lstm":
            gates = cells.sigmoid(A + before[0] @ layer.W_h)
            H, column = state[0], np.split(gates, 4)[cells.GATES["lstm"].index("f")]
        else:
            H = column = state
        columns.append(column.round(2).tolist())
        logits = H @ W["linear.W_hq"] + W["linear.b_q"]
        logits[vocab.index("<unk>")] = -np.inf
        if t + 1 == len(tokens):
            tokens.append(int(logits.argmax()))
    p = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    likeliest = (-p).argsort()[:8]
    return {
        "text": "".join(vocab[token] for token in tokens[: len(columns)]),
        "columns": columns,
        "next": [[vocab[i], round(float(p[i]), 3)] for i in likeliest],
    }


def gradient_norms(W: dict[str, Any], tokens: list[int]) -> list[float]:
    """The largest singular value of dh_T/dh_t, for t = T, ..., 1."""
    layer = cells.layer(W, "rnn.")
    H, J, norms = layer.zero_state(), np.eye(len(layer.W_h)), [1.0]
    states = [H := layer.step(layer.drive(np.array(token)), H, layer.W_h) for token in tokens]
    for H in states[:0:-1]:
        J = layer.W_h * (1 - H**2) @ J
        norms.append(float(f"{np.linalg.norm(J, 2):.3g}"))
    return norms


def attention(W: dict[str, Any], vocabs: list[list[str]], sentence: str) -> dict[str, Any]:
    """A translation, and the attention weights of its words."""
    (source, target), words = vocabs, [*sentence.split(), "<eos>"]
    encoder, decoder = (cells.Network(W, f"{part}.rnn.") for part in ("encoder", "decoder"))
    tokens = [source.index(word) for word in words]
    keys, state = encoder.run(W["encoder.embedding.W"][tokens][:, None])  # (n, 1, num_hiddens)
    W_q, W_k, w_v = (W[f"decoder.attention.{name}"] for name in ("W_q", "W_k", "w_v"))
    said, rows = ["<bos>"], []
    while said[-1] != "<eos>" and len(said) <= 16:
        scores = (np.tanh(state[-1] @ W_q + keys[:, 0] @ W_k) @ w_v)[:, 0]
        a = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        y = W["decoder.embedding.W"][[target.index(said[-1])]]
        outputs, state = decoder.run(np.concatenate([a[None] @ keys[:, 0], y], -1)[None], state)
        logits = outputs[0, 0] @ W["decoder.dense.W_hq"] + W["decoder.dense.b_q"]
        said.append(target[int(logits.argmax())])
        rows.append(a.round(2).tolist())
    return {"source": words, "target": said[1:], "rows": rows}


def main() -> int:
    found = {}
    for copy in sys.argv[1:]:
        notebook = json.loads(Path(copy).read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["id"].endswith(CELL) and (kept := kept_by(notebook, cell["id"])):
                model = cell["id"].removesuffix(CELL)
                found[model] = shown_of(model, kept)
    numbers = json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}
    lines = [
        f"{json.dumps(key)}: {json.dumps(one)}" for key, one in sorted((numbers | found).items())
    ]
    NUMBERS.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")
    print(f"{NUMBERS}: {', '.join(found)}; now run: python book/figures.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
