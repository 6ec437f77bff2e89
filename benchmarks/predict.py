"""Characters a second of `predict`, against a loop over NumPy arrays written by hand, in one process.

    D2LRNN_BACKEND=torch python benchmarks/predict.py [--num-preds 10000] [--repeat 9]

Both continue the same prefix from the same weights and must write the same text; they take turns.
Then a reader's own model, which the library decodes through the framework, step by step: its rate, and
the slowest of calls with prefixes of other lengths, where tracing or compiling anew would stand out; and
the layers of chapter 10. Last, beam search of 128 sentences (section 10.8), all at once and one by one.
"""

import argparse
import json
import time

import numpy as np
from rich.console import Console
from rich.table import Table

import d2lrnn as d2l

CHAPTER_10 = {
    "LSTM": ("LSTM", {}),
    "GRU": ("GRU", {}),
    "GRU of 2 layers": ("GRU", {"num_layers": 2}),
}


class Own(d2l.RNNLM):
    """A reader's model: nothing is known of what it computes."""

    def output_layer(self, hiddens):
        return 2 * super().output_layer(hiddens)


def seconds(function, *arguments):
    started = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - started, result


def by_hand(weights, prefix, num_preds, vocab):
    """Greedy decoding, equations 9.4.5 and 9.4.6: the loop that a reader would write."""
    W_xh, W_hh, b_h, W_hq, b_q = weights.values()
    rows, tokens, H = list(W_xh + b_h), list(vocab[list(prefix)]), np.zeros(len(b_h), np.float32)
    for token in tokens:
        H = np.tanh(rows[token] + H @ W_hh)
    for _ in range(num_preds):
        logits = H @ W_hq + b_q
        logits[vocab.unk] = -np.inf
        token = int(logits.argmax())
        tokens.append(token)
        H = np.tanh(rows[token] + H @ W_hh)
    return "".join(vocab.to_tokens(tokens))


def beam_search(beams=5):
    """Seconds that 128 sentences take in one minibatch, and one by one; the translations must be equal."""
    data, h = d2l.MTFraEng(batch_size=128), 256
    model = d2l.Seq2Seq(
        d2l.Seq2SeqEncoder(len(data.src_vocab), h, h, 2),
        d2l.Seq2SeqAttentionDecoder(len(data.tgt_vocab), h, h, 2),
        tgt_pad=data.tgt_vocab["<pad>"],
        lr=0.005,
    )
    d2l.Trainer(max_epochs=3, gradient_clip_val=1, progress=False).fit(model, data)
    src, _, lengths, _ = (array[-128:] for array in data.arrays)
    words = [data.src_vocab.to_tokens(row[: n - 1]) for row, n in zip(src, lengths, strict=True)]
    sentences = [" ".join(sentence) for sentence in words]

    def one_by_one():
        return [model.translate([sentence], data, beams)[0] for sentence in sentences]

    model.translate(sentences, data, beams), model.translate(sentences[:1], data, beams)  # compile
    together, translations = seconds(model.translate, sentences, data, beams)
    alone, expected = seconds(one_by_one)
    same = sum(map(str.__eq__, translations, expected))
    assert same >= len(sentences) - 2, same  # but for ties and roundings
    return together, alone


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--num-preds", type=int, default=10000)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--json", help="add the figures, one line of JSON, to this file")
    arguments = parser.parse_args()

    data = d2l.TimeMachine(batch_size=1024, num_steps=32)
    models = [
        kind(d2l.RNN(num_hiddens=32), vocab_size=len(data.vocab), lr=1) for kind in (d2l.RNNLM, Own)
    ]
    d2l.Trainer(max_epochs=3, gradient_clip_val=1, progress=False).fit(models[0], data)
    weights = models[0].get_weights()
    models[1].set_weights(weights)

    call = ("it has", arguments.num_preds, data.vocab)
    assert models[0].predict(*call) == by_hand(weights, *call)
    ours, hand = [], []
    for _ in range(arguments.repeat):
        hand.append(seconds(by_hand, weights, *call)[0])
        ours.append(seconds(models[0].predict, *call)[0])
    low, middle, high = np.percentile(np.array(ours) / hand, [25, 50, 75])

    few = arguments.num_preds // 20
    first, _ = seconds(models[1].predict, "it has", few, data.vocab)
    own, _ = seconds(models[1].predict, "it has", few, data.vocab)
    prefixes = ["it has been a long day"[:length] for length in range(1, 23)]
    slowest = max(seconds(models[1].predict, prefix, 1, data.vocab)[0] for prefix in prefixes)

    micros = {
        "d2lrnn": 1e6 * np.median(ours) / arguments.num_preds,
        "by hand": 1e6 * np.median(hand) / arguments.num_preds,
        "a reader's model": 1e6 * own / few,
    }
    for name, (layer, options) in CHAPTER_10.items():
        rnn = getattr(d2l, layer)(num_hiddens=32, **options)
        model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=1)
        times = [seconds(model.predict, *call)[0] for _ in range(arguments.repeat)]
        micros[name] = 1e6 * np.median(times) / arguments.num_preds
    together, alone = beam_search()
    versions = d2l.versions()
    table = Table("", "µs a character", "d2lrnn / this (quartiles)", title=versions["framework"])
    ratios = {"by hand": f"{middle:.3f} ({low:.3f} to {high:.3f})"}
    for name, value in micros.items():
        table.add_row(name, f"{value:.1f}", ratios.get(name, ""))
    console = Console(width=100)
    console.print(table)
    console.print(
        f"A reader's model: first call {first:.3f} s, the next {own:.3f} s; the slowest of "
        f"{len(prefixes)} calls with prefixes of other lengths, one character each: "
        f"{1e3 * slowest:.1f} ms"
    )
    console.print(
        f"Beam search, k = 5, of 128 sentences: {together:.3f} s in one minibatch, {alone:.3f} s one by one"
    )
    if arguments.json:
        figures = {"versions": versions, "micros": micros, "ratio": [low, middle, high]}
        figures["beam_search"] = {"together": together, "one by one": alone}
        with open(arguments.json, "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
