"""Seconds that Python takes to start, to import d2lrnn, to show its help, and to generate from a run.

    python benchmarks/startup.py [--repeat 15] [--run RUN]

Each is a new process; what is told is the median, and what it takes beyond an empty Python.
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "an empty Python": [sys.executable, "-c", ""],
    "import d2lrnn": [sys.executable, "-c", "import d2lrnn"],
    "d2lrnn --help": [sys.executable, "-m", "d2lrnn", "--help"],
    "d2lrnn train --help": [sys.executable, "-m", "d2lrnn", "train", "--help"],
}


def seconds(command):
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--run", help="a run from which to generate 50 characters as well")
    repeat, run = vars(parser.parse_args()).values()
    if run:
        command = ["-m", "d2lrnn", "generate", run, "--prefix", "it has", "--num", "50"]
        COMMANDS["d2lrnn generate"] = [sys.executable, *command]
    measured = {name: [] for name in COMMANDS}
    for _ in range(repeat):
        for name, command in COMMANDS.items():
            measured[name].append(seconds(command))
    medians = {name: statistics.median(values) for name, values in measured.items()}
    for name, median in medians.items():
        beyond = median - medians["an empty Python"]
        print(f"{name:20} {median:.3f} s, {beyond:.3f} s beyond an empty Python")


if __name__ == "__main__":
    main()
