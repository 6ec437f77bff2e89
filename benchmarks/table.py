"""Tables of what the scripts beside this one have measured with `--json FILE`.

python benchmarks/table.py FILE [TABLE.md]
"""

import json
import sys
from pathlib import Path


def epochs(figures):
    """A row of `epoch.py` or `growth.py`."""
    setting = "{model}: {tokens} {vocab_size}, {num_hiddens} hiddens, {num_steps} steps, {num_train} windows"
    ours, hand = figures["rivals"]["d2lrnn"], figures["rivals"]["by hand"]
    tokens = (figures["num_train"] + figures["num_val"]) * figures["num_steps"]
    return {
        "backend": figures["versions"]["framework"],
        "device": figures["device"],
        "setting": setting.format(**figures),
        "d2lrnn s/epoch": f"{ours['median']:.3f}",
        "by hand s/epoch": f"{hand['median']:.3f}",
        "ratio (quartiles)": quartiles(hand["ratio"]),
        "µs/token": f"{1e6 * ours['median'] / tokens:.2f}",
        "compile s": f"{ours['compile']:.2f}",
        "by hand compile s": f"{hand['compile']:.2f}",
        "peak memory MB": megabytes(ours["peak_memory"]),
        "by hand peak memory MB": megabytes(hand["peak_memory"]),
        "display": f"{figures['display'] / ours['median']:.2%}",
    }


def predictions(figures):
    """A row of `predict.py`."""
    return {
        "backend": figures["versions"]["framework"],
        "d2lrnn µs a character": f"{figures['micros']['d2lrnn']:.1f}",
        "by hand": f"{figures['micros']['by hand']:.1f}",
        "ratio of time (quartiles)": quartiles(figures["ratio"]),
        **{
            name: f"{value:.0f}"
            for name, value in figures["micros"].items()
            if name not in ("d2lrnn", "by hand")
        },
        "128 sentences by beam search, s": "{together:.2f}; one by one {one by one:.2f}".format(
            **figures["beam_search"]
        ),
    }


def megabytes(size):
    return "" if size is None else f"{size / 1e6:.0f}"


def quartiles(ratio):
    low, middle, high = ratio
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def table(rows):
    lines = [[*rows[0]], ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main(source, target=None):
    lines = map(json.loads, Path(source).read_text(encoding="utf-8").splitlines())
    of_epochs, of_predictions = [], []
    for figures in lines:
        if "rivals" in figures:
            of_epochs.append(epochs(figures))
        else:
            of_predictions.append(predictions(figures))
    text = "\n\n".join(table(rows) for rows in (of_epochs, of_predictions) if rows)
    print(text)
    if target:
        Path(target).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
