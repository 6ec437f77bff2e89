"""Initial weights for all backends, drawn in NumPy: `python -m d2lrnn.comparison.initial FILE ...`.

After FILE come the options of `d2lrnn train`, which decide the sizes and the seed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np

from d2lrnn import cli, models, training
from d2lrnn.weights import Weights, draw, write_weights


def initial_weights(options: Mapping[str, Any], *vocab_sizes: int) -> Weights:
    """Weights from N(0, 1 / (3 num_hiddens)) and biases of zero, by canonical name.

    `options` are those of `d2lrnn train`: `model`, its sizes, and `seed`. The variance is that of a
    uniform draw from ±1 / sqrt(num_hiddens).
    """
    sigma, seed = 1 / math.sqrt(3 * options["num_hiddens"]), options["seed"]
    return {
        name: draw(name, shape, sigma, seed) if len(shape) > 1 else np.zeros(shape, np.float32)
        for name, shape in models.shapes(options, *vocab_sizes).items()
    }


@click.command(params=[click.Argument(["file"]), *cli.train.params])
def write(file: str, **options: Any) -> None:
    """Write initial weights to FILE, for a model and a text as `d2lrnn train` takes them."""
    options = cli.complete(cli.with_defaults(click.get_current_context(), options))
    vocabs = training.data_of(options).vocabs
    write_weights(file, initial_weights(options, *map(len, vocabs)))


def main(arguments: Sequence[str]) -> int:
    """Write the weights file that `arguments` ask for; returns the exit code."""
    return cli.main(arguments, write)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
