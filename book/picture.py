"""Draw the picture of README.md: `python book/picture.py RUN RUN RUN RUN` writes `book/four.svg`.

The runs are of section 9.6, one on each framework, from the same initial weights: those that `nox -s book`
leaves in `build/side-by-side/*-common`. Their curves are drawn upon each other, each narrower than the one
below, and under them stands what each model writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from figures import GATE, LINE, MEMORY, NODE, STATE, Drawing, Point

from d2lrnn.decoding import continuation
from d2lrnn.run import Run

PICTURE = Path(__file__).with_name("four.svg")
NAMES = {"torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow", "mxnet": "MXNet"}
LOOKS = ((MEMORY, 11), (GATE, 7.5), (NODE, 4.5), (STATE, 1.8))  # from the lowest to the uppermost
PREFIX, LENGTH, TEMPERATURE, SEED = "it has", 56, 0.5, 1
LEFT, RIGHT, TOP, BOTTOM = 62, 770, 24, 300
LOWEST, HIGHEST = 6, 17  # perplexities


def picture(runs: list[Run]) -> Drawing:
    epochs = len(runs[0].history)
    title = f"Validation perplexity of section 9.6 over {epochs} epochs on four frameworks"
    d = Drawing(800, 486, title)

    def at(epoch: int, perplexity: float) -> Point:
        share = (perplexity - LOWEST) / (HIGHEST - LOWEST)
        return LEFT + (RIGHT - LEFT) * epoch / epochs, round(BOTTOM - (BOTTOM - TOP) * share, 1)

    for perplexity in range(LOWEST, HIGHEST + 1, 2):
        d.line(at(0, perplexity), at(epochs, perplexity), arrow=False, wide=0.4)
        d.text(LEFT - 10, at(0, perplexity)[1], str(perplexity), anchor="end", size=14)
    for epoch in range(0, epochs + 1, 20):
        d.text(at(epoch, LOWEST)[0], BOTTOM + 18, str(epoch), size=14)
    d.text(RIGHT, BOTTOM + 38, "epochs", anchor="end", size=14)
    d.text(LEFT + 8, TOP - 10, "perplexity in validation", anchor="start", size=14)

    for i, (run, (color, wide)) in enumerate(zip(runs, LOOKS, strict=True)):
        points = [at(row["epoch"], row["val_ppl"]) for row in run.history]
        d.line(*points, color=color, wide=wide, arrow=False)
        y = 376 + 28 * i
        d.line((LEFT, y), (LEFT + 26, y), color=color, wide=wide, arrow=False)
        d.text(LEFT + 36, y, NAMES[run.backend], color, "start", 15)
        written = continuation(
            run.stepper(), PREFIX, LENGTH, run.vocab, temperature=TEMPERATURE, seed=SEED
        )
        d.text(LEFT + 132, y, written, LINE, "start", 15)
    d.text(LEFT, 350, f'What each writes after "{PREFIX}"', anchor="start", size=14)
    return d


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs=4, type=Path, help="folders that d2lrnn train has written")
    runs = {run.backend: run for run in map(Run.open, parser.parse_args().runs)}
    PICTURE.write_text(picture([runs[name] for name in NAMES]).svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
