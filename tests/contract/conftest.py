"""What the shared suite runs on: a small text, and models of sizes that are all different.

The suite names no framework. It runs once in the environment of each backend, which
`D2LRNN_BACKEND` chooses, and compares NumPy arrays.
"""

import pytest
from layers import FEW_LAYERS
from small_models import BATCH_SIZE, NUM_STEPS, NUM_TRAIN, NUM_VAL, UNEVEN, make_model

import d2lrnn as d2l

TEXT = """The clock on the quay has told the tides since before the town had a name. It has two hands,
one for the ebb and one for the flood, and nobody has ever seen it wrong."""


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "clock.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def data(text_file):
    return d2l.TextFile(text_file, BATCH_SIZE, NUM_STEPS, num_train=NUM_TRAIN, num_val=NUM_VAL)


@pytest.fixture
def uneven(text_file):
    """As `data`, for tests in which the last, smaller minibatch matters."""
    return d2l.TextFile(text_file, BATCH_SIZE, NUM_STEPS, **UNEVEN)


@pytest.fixture(params=FEW_LAYERS)
def layers(request):
    return request.param


@pytest.fixture
def model(layers, data):
    return make_model(layers, len(data.vocab))
