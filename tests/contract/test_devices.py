"""Training on two CPU devices: the numbers of one, dropout, checkpoints, and what is refused.

The trainings are made by `on_devices.py`, once, in a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_models import make_model

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError

SCRIPT = Path(__file__).with_name("on_devices.py")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    if not d2l.Trainer.on_many:
        pytest.skip("this backend trains on one device, and says so")
    folder = tmp_path_factory.mktemp("devices")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, SCRIPT, folder]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "found.json").read_text("utf-8"))


def test_two_devices_take_the_steps_of_one(found):
    """Twenty, clipped, at a falling rate; 13 examples over two, a last one of one, a text in two blocks."""
    assert len(found["apart"]) == 2
    for name, (weights, losses) in found["apart"].items():
        assert weights < 1e-5 and losses < 1e-5, name


def test_each_device_drops_its_own_as_the_seed_and_the_epoch_decide(found):
    losses = found["dropout"]
    assert losses["first"] == losses["again"]
    assert abs(losses["first"][0] - losses["first"][1]) > 1e-5
    # Were the draws of both the same, it would not matter which has which half of the minibatch.
    assert abs(losses["first"][0] - losses["swapped"][0]) > 1e-5


def test_a_label_that_is_too_improbable_for_float32(found):
    """Where a graph's loss is infinite, each device trains by the plain model."""
    one, two = found["improbable"]
    assert one[0] > 100
    np.testing.assert_allclose(two, one, rtol=1e-5)


def test_a_training_on_two_continues_on_two_bit_for_bit_and_on_one(found):
    assert found["resumed"]["2"] == 0
    assert 0 < found["resumed"]["1"] < 1e-5


def test_a_readers_own_step_is_not_cut(data):
    model = make_model("RNN", len(data.vocab))
    trainer = d2l.Trainer(1, progress=False)
    trainer.num_shares = 2  # as where there are devices

    class Reader(type(model)):
        def training_step(self, *args):
            raise AssertionError("it is run")

    model.__class__ = Reader
    with pytest.raises(ArgumentError, match=r"Reader.training_step is your own.*2 devices"):
        trainer.fit(model, data)


def test_more_gpus_than_there_are():
    number = d2l.num_gpus() + 2
    with pytest.raises(ArgumentError, match=rf"num_gpus={number}: there (is|are) {number - 2} "):
        d2l.Trainer(1, num_gpus=number)
    with pytest.raises(ArgumentError, match="devices=2 are CPUs, and num_gpus=1"):
        d2l.Trainer(1, num_gpus=1, devices=2)
