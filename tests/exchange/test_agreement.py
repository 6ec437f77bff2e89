"""From the same initial weights and minibatches, every backend ends at the same perplexities."""

import json
import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ["D2LRNN_EXCHANGE"])
WRITERS = os.environ["D2LRNN_EXCHANGE_BACKENDS"].split(",")
REPORTS = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in WRITERS}

# A thousand steps let the last bits of float32 grow; what the book itself reaches is 5.8 and 7.2.
WITHIN = 0.02
BOUNDS = {"train_ppl": 6.1, "val_ppl": 7.4}


@pytest.mark.parametrize("perplexity", BOUNDS)
def test_all_agree(perplexity):
    values = {name: report[perplexity] for name, report in REPORTS.items()}
    print(values)
    assert max(values.values()) <= (1 + WITHIN) * min(values.values()), values


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("perplexity", BOUNDS)
def test_each_reaches_the_book(name, perplexity):
    report = REPORTS[name]
    if report["max_epochs"] < 100 or not report["source"].startswith("The Time Machine"):
        pytest.skip(f"{report['max_epochs']} epochs on: {report['source']}")
    assert report[perplexity] <= BOUNDS[perplexity]
