"""What a reader writes in MXNet's own terms; `tests/contract/test_readers.py` says what is right then."""

import mxnet
from mxnet import autograd, gluon, np
from mxnet.gluon import nn
from mxnet.gluon import rnn as layers

import d2lrnn as d2l

ENDLESS = None  # MXNet's loaders do not tell that they are without end
OWN_SUFFIX = ".params"


class Dropping(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.drop = nn.Dropout(0.5)

    def output_layer(self, hiddens):
        return super().output_layer(self.drop(hiddens))


class Normalised(d2l.RNNLM):
    def init_params(self):
        self.norm = nn.BatchNorm(axis=2)
        super().init_params()

    def output_layer(self, hiddens):
        return super().output_layer(self.norm(hiddens))


class Decoder(d2l.RNNLM):
    def init_params(self):
        mxnet.random.seed(self.seed)
        self.decoder = nn.Dense(self.vocab_size, flatten=False, in_units=self.rnn.num_hiddens)
        self.decoder.initialize()

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.decoder(hiddens), 0, 1)


class Momentum(d2l.RNNLM):
    def configure_optimizers(self):
        options = {"learning_rate": self.lr, "momentum": 0.9}
        return gluon.Trainer(self.parameters(), "sgd", options)


class Adam(d2l.RNNLM):
    def configure_optimizers(self):
        return gluon.Trainer(self.collect_params(), "adam", {"learning_rate": self.lr})


class ReplacedAndAdam(Adam):
    def __init__(self, rnn, vocab_size, lr, seed):
        super().__init__(rnn, vocab_size, lr=lr, seed=seed)
        # Gluon takes no layer of another class in the place of one: "Changing attribute type".
        self.rnn.rnn = seeded(layers.RNN(rnn.num_hiddens, input_size=vocab_size), seed)


def seeded(layer, seed=0):
    mxnet.random.seed(seed)
    layer.initialize()
    return layer


class ReLU(d2l.RNN):
    def __init__(self, num_inputs, num_hiddens):
        super().__init__(num_hiddens, num_inputs=num_inputs)
        self.rnn = seeded(layers.RNN(num_hiddens, input_size=num_inputs))  # relu is gluon's default


class Own(d2l.RNN):
    def __init__(self, num_inputs, num_hiddens):
        d2l.Module.__init__(self)
        self.save_hyperparameters(ignore="num_inputs")
        self.rnn = seeded(layers.RNN(num_hiddens, activation="tanh", input_size=num_inputs))


class WithoutBias(d2l.RNNLM):
    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, use_bias=False, flatten=False)
        self.initialize()
        mxnet.random.seed(self.seed)


class LayerWithoutBias(d2l.RNN):
    def layer(self, num_inputs):
        """Gluon's recurrent layers always have biases, zero at first: they are not trained."""
        layer = super().layer(num_inputs)
        layer.collect_params(".*bias").setattr("grad_req", "null")
        return layer


relu_inside = ReLU
own_layer = Own


def without_bias(part, num_inputs, num_hiddens):
    layer, model = {"recurrent": (LayerWithoutBias, d2l.RNNLM), "output": (d2l.RNN, WithoutBias)}[
        part
    ]
    return model(layer(num_hiddens, num_inputs=num_inputs), vocab_size=num_inputs, lr=0.5)


class Rows:
    """A sampler of minibatches of consecutive rows, of which it is not known how many there are."""

    def __init__(self, num_rows, batch_size):
        self.num_rows, self.batch_size = num_rows, batch_size

    def __iter__(self):
        for start in range(0, self.num_rows, self.batch_size):
            yield range(start, min(start + self.batch_size, self.num_rows))


def loaders_without_length(batch_size):
    def by_sampler(arrays):
        dataset = gluon.data.ArrayDataset(*arrays)
        return gluon.data.DataLoader(dataset, batch_sampler=Rows(len(arrays[0]), batch_size))

    return {"DataLoader of a sampler": by_sampler}


def halve_lr(trainer):
    trainer.optim.set_learning_rate(trainer.optim.learning_rate / 2)


def save_own(model, path):
    model.save_parameters(str(path))


def load_own(model, path):
    model.load_parameters(str(path))


def scalars():
    tensor = np.array(2.5)
    trained = np.array([2.5])
    trained.attach_grad()
    with autograd.record():
        with_gradient = trained * 1
    return {
        "no axes": (tensor, 2.5),
        "shape (1,)": (tensor.reshape(1), 2.5),
        "shape (1, 1)": (tensor.reshape(1, 1), 2.5),
        "with a gradient": (with_gradient, 2.5),
        "a parameter": (trained, 2.5),
        "float64": (np.array(2.5, dtype="float64"), 2.5),
        "float16": (np.array(2.5, dtype="float16"), 2.5),
        "int32": (np.array(3, dtype="int32"), 3.0),
        "an array of MXNet's older kind": (mxnet.nd.array([2.5]), 2.5),
    }


def output_layer(model, outputs):
    return d2l.numpy(model.output_layer(outputs))
