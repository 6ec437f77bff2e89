"""How the cost of an epoch grows: `epoch.py` for larger layers, longer sequences and more data.

    D2LRNN_BACKEND=torch python benchmarks/growth.py --json FILE [--only words,book]

Runs `epoch.py` once for each setting, in a process of its own, and adds its figures to FILE, of which
`table.py` makes a table. Every setting of the grid trains on as many tokens an epoch, 65,536, so that
the times can be compared; by token they are in the table.
"""

import argparse
import subprocess
import sys
from pathlib import Path

TOKENS = 65536  # an epoch of the grid
HIDDENS = (32, 256, 1024)
STEPS = (32, 128, 512)

SETTINGS = {
    "grid": [
        {
            "batch_size": 128,
            "num_steps": num_steps,
            "num_train": TOKENS // num_steps,
            "num_val": 128,
            "num_hiddens": num_hiddens,
        }
        for num_hiddens in HIDDENS
        for num_steps in STEPS
    ],
    "words": [{"tokens": "word", "num_train": 4096, "num_val": 1024}],
    "book": [{"num_train": 158000, "num_val": 15000}],  # of The Time Machine's 173,396 windows
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", required=True, help="add the figures to this file")
    parser.add_argument("--only", default=",".join(SETTINGS), help=f"of {', '.join(SETTINGS)}")
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    epoch = Path(__file__).with_name("epoch.py")
    for name in arguments.only.split(","):
        for setting in SETTINGS[name]:
            options = [f"--{key.replace('_', '-')}={value}" for key, value in setting.items()]
            options += [f"--epochs={arguments.epochs}", f"--json={arguments.json}"]
            print(f"{name}: {' '.join(options)}", flush=True)
            subprocess.run([sys.executable, str(epoch), *options], check=True)


if __name__ == "__main__":
    main()
