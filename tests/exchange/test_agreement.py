"""From the same initial weights and minibatches, every backend ends at the same perplexities."""

import json
import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ["D2LRNN_EXCHANGE"])
WRITERS = os.environ["D2LRNN_EXCHANGE_BACKENDS"].split(",")
REPORTS = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in WRITERS}

# Up to about the fiftieth epoch all compute the same, but for roundings. From there on training at
# learning rate 1 is chaotic: weights that differ by 1e-6 end some percent apart in validation, on one
# and the same backend as well.
WITHIN = {30: 1e-3, 100: 0.02}
BOUNDS = {"train_ppl": 6.1, "val_ppl": 7.4}  # after 100 epochs on the book's text
EARLY_BOUND = 28  # what knowing nothing gives: the size of the vocabulary


@pytest.mark.parametrize("perplexity", BOUNDS)
def test_all_agree(perplexity):
    values = {name: report[perplexity] for name, report in REPORTS.items()}
    print(values)
    (max_epochs,) = {report["max_epochs"] for report in REPORTS.values()}
    within = next(bound for epochs, bound in WITHIN.items() if max_epochs <= epochs)
    assert max(values.values()) <= (1 + within) * min(values.values()), values


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("perplexity", BOUNDS)
def test_each_reaches_the_book(name, perplexity):
    report = REPORTS[name]
    on_the_book = report["source"].startswith("The Time Machine") and report["max_epochs"] >= 100
    bound = BOUNDS[perplexity] if on_the_book else EARLY_BOUND
    assert report[perplexity] <= bound
