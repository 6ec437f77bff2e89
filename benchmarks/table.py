"""One table of what `epoch.py --json FILE` has measured: `python benchmarks/table.py FILE [TABLE.md]`."""

import json
import sys
from pathlib import Path

HEADER = [
    "backend",
    "setting",
    "d2lrnn s/epoch",
    "by hand s/epoch",
    "ratio",
    "first epoch s",
    "peak memory MB",
]


def row(figures):
    setting = "{tokens}, {num_hiddens} hiddens, {num_steps} steps, {num_train} windows".format(
        **figures
    )
    ours, hand = figures["d2lrnn"], figures["by hand"]
    return [
        figures["versions"]["framework"],
        setting,
        f"{ours['median']:.3f}",
        f"{hand['median']:.3f}",
        f"{hand['ratio']:.3f}",
        f"{ours['first']:.2f}",
        f"{figures['peak_memory'] / 1e6:.0f}",
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
