"""Optimisers and schedules of the learning rate: on each framework the steps of one rule, in NumPy."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from small_models import assert_same_weights, fit, make_model, with_larger_weights

import d2lrnn as d2l
from d2lrnn.errors import ArgumentError, WeightsError
from d2lrnn.weights import read_header, read_weights, write_weights

LR, EPOCHS = 0.02, 3
FACTORS = {
    "linear": [1, 2 / 3, 1 / 3],
    "cosine": [(1 + math.cos(math.pi * e / EPOCHS)) / 2 for e in range(EPOCHS)],
}
# Weights of order one after twelve steps of at most 0.02, each from gradients in float32. Adam divides by
# their size: where that is near its epsilon, frameworks place this differently, by some 1e-3 of a step.
TOLERANCE = {"sgd": 1e-6, "momentum": 2e-6, "adam": 1e-4}


def named(layers, data, optimizer):
    model = with_larger_weights(make_model(layers, len(data.vocab), lr=LR))
    model.optimizer_name = optimizer
    return model


class Rule:
    """What one step makes of a weight and its gradient."""

    def __init__(self, name):
        self.name, self.step, self.first, self.second = name, 0, {}, {}

    def __call__(self, weights, gradients, lr):
        self.step += 1
        return {n: w - lr * self.direction(n, gradients[n]) for n, w in weights.items()}

    def direction(self, name, g):
        if self.name == "sgd":
            return g
        if self.name == "momentum":
            self.first[name] = 0.9 * self.first.get(name, 0) + g
            return self.first[name]
        self.first[name] = 0.9 * self.first.get(name, 0) + 0.1 * g
        self.second[name] = 0.999 * self.second.get(name, 0) + 0.001 * g**2
        mean = self.first[name] / (1 - 0.9**self.step)
        return mean / (np.sqrt(self.second[name] / (1 - 0.999**self.step)) + 1e-8)


@pytest.mark.parametrize(
    "layers, optimizer, schedule",
    [
        ("RNN", "sgd", "linear"),
        ("RNN", "momentum", "cosine"),
        ("RNNScratch", "momentum", "cosine"),
        ("RNNScratch", "adam", "cosine"),
    ],
)
def test_the_steps_are_those_of_the_rule_and_resuming_continues_them(
    layers, optimizer, schedule, uneven, tmp_path
):
    data = uneven  # on which no gradient all but cancels: of such Adam knows few digits
    model, rule = named(layers, data, optimizer), Rule(optimizer)
    expected = {name: array.astype(np.float64) for name, array in model.get_weights().items()}
    for epoch in range(EPOCHS):
        for X, Y in data.train_dataloader().batches(epoch):
            _, gradients = model.gradients(X, Y)
            expected = rule(expected, gradients, LR * FACTORS[schedule][epoch])
            model.set_weights(expected)
    checkpoint = tmp_path / "half"

    class Stopped(d2l.Trainer):
        def fit_epoch(self):
            if self.epoch == 2:
                raise KeyboardInterrupt
            super().fit_epoch()

    trained = named(layers, data, optimizer)
    fit(trained, data, EPOCHS, lr_schedule=schedule)
    found = trained.get_weights()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, 0, TOLERANCE[optimizer], err_msg=name)

    stopped = Stopped(EPOCHS, progress=False, lr_schedule=schedule)
    stopped.fit(named(layers, data, optimizer), data, checkpoint=str(checkpoint))
    assert stopped.interrupted and len(stopped.history) == 2
    resumed = named(layers, data, optimizer)
    d2l.Trainer(EPOCHS, progress=False, lr_schedule=schedule).fit(
        resumed, data, resume=str(checkpoint)
    )
    assert_same_weights(resumed.get_weights(), found)
    with pytest.raises(WeightsError, match=f"lr_schedule: '{schedule} over 3 epochs' there"):
        d2l.Trainer(4, progress=False, lr_schedule=schedule).fit(
            resumed, data, resume=str(checkpoint)
        )


def test_an_optimiser_without_a_rate_cannot_follow_a_schedule():
    class Odd(d2l.Trainer):
        optim, state = object(), SimpleNamespace(opt_state=())

    with pytest.raises(
        ArgumentError, match=r"lr_schedule='linear' sets .* object, which the model's"
    ):
        Odd(1, lr_schedule="linear").set_learning_rate(0.1)


def test_half_a_state_is_refused_of_arrays_made_by_hand_too(data, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    trained = named("RNNScratch", data, "adam")
    d2l.Trainer(1, progress=False).fit(trained, data, checkpoint=str(path))
    state, arrays = read_header(path)["checkpoint"], read_weights(path)
    del arrays[next(n for n, a in arrays.items() if n.startswith("optimizer/") and a.ndim == 2)]
    told = {name: value for name, value in state.items() if name not in ("arrays", "crc32")}
    write_weights(path, arrays, checkpoint=told)
    model = named("RNNScratch", data, "adam")
    before = model.get_weights()
    with pytest.raises(WeightsError, match="state is not one of this model's optimiser"):
        d2l.Trainer(2, progress=False).fit(model, data, resume=str(path))
    assert_same_weights(model.get_weights(), before)
