"""How the cost of an epoch grows: larger layers, longer sequences, smaller minibatches, more data.

    D2LRNN_BACKEND=torch python benchmarks/growth.py --json FILE [--only words,book]

Runs `epoch.py` once for each setting, in a process of its own, and adds its figures to FILE, of which
`table.py` makes a table. Layers and sequences of all sizes are trained on as many tokens an epoch, 65,536.
The memory is that of `Trainer.fit` alone.
"""

import argparse
import subprocess
import sys
from pathlib import Path

TOKENS = 65536  # an epoch of layers and sequences of all lengths


def sizes(num_hiddens, num_steps):
    num_train = TOKENS // num_steps
    sizes = {"num_hiddens": num_hiddens, "num_steps": num_steps, "num_train": num_train}
    return {"batch_size": 128, "num_val": 128, **sizes}


SETTINGS = {
    "layers": [sizes(32, 32), sizes(256, 32), sizes(1024, 32)],
    "sequences": [sizes(32, 128), sizes(32, 512)],
    "both": [sizes(256, 128), sizes(256, 512), sizes(1024, 128), sizes(1024, 512)],
    "minibatches": [{"batch_size": 32}, {"batch_size": 256}],
    "lstm": [{**sizes(h, t), "model": "lstm"} for h, t in [(32, 32), (256, 32), (32, 512)]],
    "readers": [{"model": "readers-rnn"}],
    "words": [{"tokens": "word", "num_train": 4096, "num_val": 1024}],
    "book": [{"num_train": 158000, "num_val": 15000}],  # of The Time Machine's 173,396 windows
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", required=True, help="add the figures to this file")
    parser.add_argument("--only", default=",".join(SETTINGS), help=f"of {', '.join(SETTINGS)}")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    epoch = Path(__file__).with_name("epoch.py")
    for name in arguments.only.split(","):
        for setting in SETTINGS[name]:
            options = [f"--{key.replace('_', '-')}={value}" for key, value in setting.items()]
            options += [
                f"--epochs={arguments.epochs}",
                f"--json={arguments.json}",
                "--memory=d2lrnn",
            ]
            print(f"{name}: {' '.join(options)}", flush=True)
            subprocess.run([sys.executable, str(epoch), *options], check=True)


if __name__ == "__main__":
    main()
