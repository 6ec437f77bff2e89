"""One table of what `epoch.py --json FILE` has measured: `python benchmarks/table.py FILE [TABLE.md]`."""

import json
import sys
from pathlib import Path

HEADER = [
    "backend",
    "device",
    "setting",
    "d2lrnn s/epoch",
    "by hand s/epoch",
    "ratio (quartiles)",
    "µs/token",
    "compile s",
    "by hand compile s",
    "peak memory MB",
    "by hand peak memory MB",
]


def row(figures):
    setting = "{tokens} {vocab_size}, {num_hiddens} hiddens, {num_steps} steps, {num_train} windows"
    ours, hand = figures["rivals"]["d2lrnn"], figures["rivals"]["by hand"]
    low, middle, high = hand["ratio"]
    tokens = (figures["num_train"] + figures["num_val"]) * figures["num_steps"]
    return [
        figures["versions"]["framework"],
        figures["device"],
        setting.format(**figures),
        f"{ours['median']:.3f}",
        f"{hand['median']:.3f}",
        f"{middle:.3f} ({low:.3f} to {high:.3f})",
        f"{1e6 * ours['median'] / tokens:.2f}",
        f"{ours['compile']:.2f}",
        f"{hand['compile']:.2f}",
        f"{ours['peak_memory'] / 1e6:.0f}",
        f"{hand['peak_memory'] / 1e6:.0f}",
    ]


def main(source, target=None):
    lines = Path(source).read_text(encoding="utf-8").splitlines()
    rows = [HEADER, ["---"] * len(HEADER), *(row(json.loads(line)) for line in lines)]
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
    print(table)
    if target:
        Path(target).write_text(table + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
