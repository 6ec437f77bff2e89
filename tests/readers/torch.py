"""What a reader writes in PyTorch's own terms; `tests/contract/test_readers.py` says what is right then."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import d2lrnn as d2l

ENDLESS = None  # PyTorch's loaders do not tell that they are without end
OWN_SUFFIX = ".pt"


class Dropping(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.drop = nn.Dropout(0.5)

    def output_layer(self, hiddens):
        return super().output_layer(self.drop(hiddens))


class Normalised(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.norm = nn.BatchNorm1d(self.rnn.num_hiddens)

    def output_layer(self, hiddens):
        features = self.norm(hiddens.permute(0, 2, 1))  # (num_steps, num_hiddens, batch_size)
        return super().output_layer(features.permute(0, 2, 1))


class Decoder(d2l.RNNLM):
    def init_params(self):
        torch.manual_seed(self.seed)
        self.decoder = nn.Linear(self.rnn.num_hiddens, self.vocab_size)

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.decoder(hiddens), 0, 1)


class Momentum(d2l.RNNLM):
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Adam(d2l.RNNLM):
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class ReplacedAndAdam(Adam):
    def __init__(self, rnn, vocab_size, lr, seed):
        super().__init__(rnn, vocab_size, lr=lr, seed=seed)
        torch.manual_seed(seed)
        self.rnn.rnn = nn.GRU(vocab_size, rnn.num_hiddens)


class ReLU(d2l.RNN):
    def __init__(self, num_inputs, num_hiddens):
        super().__init__(num_inputs, num_hiddens)
        torch.manual_seed(0)
        self.rnn = nn.RNN(num_inputs, num_hiddens, nonlinearity="relu")


class Own(d2l.RNN):
    def __init__(self, num_inputs, num_hiddens):
        d2l.Module.__init__(self)
        self.save_hyperparameters()
        torch.manual_seed(0)
        self.rnn = nn.RNN(num_inputs, num_hiddens)


class WithoutBias(d2l.RNNLM):
    def init_params(self):
        torch.manual_seed(self.seed)
        self.linear = nn.Linear(self.rnn.num_hiddens, self.vocab_size, bias=False)


class LayerWithoutBias(d2l.RNN):
    def layer(self, num_inputs):
        return nn.RNN(num_inputs, self.num_hiddens, bias=False)


relu_inside = ReLU
own_layer = Own


def without_bias(part, num_inputs, num_hiddens):
    layer, model = {"recurrent": (LayerWithoutBias, d2l.RNNLM), "output": (d2l.RNN, WithoutBias)}[
        part
    ]
    return model(layer(num_inputs, num_hiddens), vocab_size=num_inputs, lr=0.5)


class Rows(IterableDataset):
    def __init__(self, arrays):
        self.arrays = arrays

    def __iter__(self):
        for X, Y in zip(*self.arrays, strict=True):
            yield torch.tensor(X), torch.tensor(Y)


def loaders_without_length(batch_size):
    return {"IterableDataset": lambda arrays: DataLoader(Rows(arrays), batch_size)}


def halve_lr(trainer):
    for group in trainer.optim.param_groups:
        group["lr"] /= 2


def save_own(model, path):
    torch.save(model.state_dict(), path)


def load_own(model, path):
    model.load_state_dict(torch.load(path))


def scalars():
    tensor = torch.tensor(2.5)
    return {
        "no axes": (tensor, 2.5),
        "shape (1,)": (tensor.reshape(1), 2.5),
        "shape (1, 1)": (tensor.reshape(1, 1), 2.5),
        "with a gradient": (torch.tensor(2.5, requires_grad=True) * 1, 2.5),
        "a parameter": (nn.Parameter(torch.tensor([2.5])), 2.5),
        "float64": (tensor.double(), 2.5),
        "bfloat16": (tensor.bfloat16(), 2.5),
        "int64": (torch.tensor(3), 3.0),
    }


def output_layer(model, outputs):
    return d2l.numpy(model.output_layer(outputs))
