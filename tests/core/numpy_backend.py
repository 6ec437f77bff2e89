"""A backend in NumPy, for what the core decides in a training: it learns nothing, but depends on everything.

What its weights become follows from those before, the optimiser's momentum, each minibatch, in its order, and
what is drawn in the epoch, so a training that goes on from anything else ends elsewhere.
"""

from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np

from d2lrnn import models, module, optimizers, trainer
from d2lrnn.weights import Piece, draw


class Momentum:
    def __init__(self, lr):
        self.lr, self.memory = lr, {}


class Layer:
    def __init__(self, num_hiddens, activation, num_layers, dropout, seed):
        self.hparams = {"num_hiddens": num_hiddens, "activation": activation, "seed": seed}
        self.num_hiddens, self.activation, self.seed = num_hiddens, activation, seed


class RNNLM(module.Module):
    metric = "ppl"

    def __init__(self, rnn, vocab_size, lr, seed):
        self.save_hyperparameters()
        options = {"model": "rnn", "num_hiddens": rnn.num_hiddens}
        shapes = models.shapes(options, vocab_size)
        self.arrays = {name: draw(name, shape, 0.1, seed) for name, shape in shapes.items()}

    def configure_optimizers(self):
        return Momentum(self.lr)

    def predict(self, prefix, num_preds, vocab):
        return prefix + "." * num_preds


class Trainer(trainer.Trainer):
    def prepare_model(self, model):
        self.model, model.trainer = model, self
        self.optim = model.configure_optimizers()

    def prepare_batch(self, batch):
        return batch

    def update(self, loss_of, batch):
        arrays, memory = self.model.arrays, self.optim.memory
        for name, array in arrays.items():
            gradient = np.sin(array + np.float32(batch[0].sum() + self.random.random()))
            memory[name] = np.float32(0.9) * memory.get(name, np.float32(0)) + gradient
            arrays[name] = array - np.float32(1e-2 * self.optim.lr) * memory[name]
        return self.evaluate(loss_of, batch)

    def evaluate(self, loss_of, batch):
        return 2 + np.sin(100 * sum(float(array.sum()) for array in self.model.arrays.values()))

    @contextmanager
    def seeded_epoch(self, seed, epoch):
        self.random = np.random.RandomState([seed, epoch])
        yield

    def set_learning_rate(self, lr):
        self.optim.lr = lr

    def to_host(self, scalars):
        return np.array(scalars)

    def optimizer_state(self):
        return {**optimizers.numbers_of(self.optim), **self.optim.memory}

    def set_optimizer_state(self, state):
        optimizers.set_numbers(self.optim, {"lr": state["lr"]})
        self.optim.memory = {name: array for name, array in state.items() if name != "lr"}


def make(name="numpy"):
    """The package, as `d2lrnn.backend` would have found it."""
    package = ModuleType(name)
    package.weights = SimpleNamespace(
        layout=lambda model: [Piece(name, (name,)) for name in model.arrays],
        arrays=lambda model: model.arrays,
        assign=lambda model, arrays: model.arrays.update(arrays),
        settings=lambda model: {},
        has_sizes=lambda model: True,
        layers=lambda model: (),
    )
    package.ops = SimpleNamespace(
        from_numpy=lambda array, device=None: array, is_tensor=lambda x: False, numpy=np.asarray
    )
    package.RNN, package.RNNLM, package.Trainer, package.Module = (
        Layer,
        RNNLM,
        Trainer,
        module.Module,
    )
    package.num_gpus = lambda: 0
    package.versions = lambda: {"framework": "NumPy", "devices": ["CPU"]}
    return package
