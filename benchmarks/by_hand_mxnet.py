"""Sections 9.6 to 10.3 in plain MXNet, hybridised with static allocation: the yardstick of `epoch.py`."""

# isort: off
import d2lrnn_mxnet  # noqa: F401  gives MXNet 1.9.1 the names that NumPy has removed
import numpy as onp
from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn, rnn


class Loss(gluon.HybridBlock):
    """The mean cross-entropy of a minibatch, as one graph over layers that others share."""

    def __init__(self, embedding, layer, linear, vocab_size):
        super().__init__()
        self.hybridize(static_alloc=True, static_shape=True)
        self.embedding, self.rnn, self.linear = embedding, layer, linear
        self.vocab_size = vocab_size

    def hybrid_forward(self, F, X, Y, *state):
        # (num_steps, batch_size, gates * num_hiddens) or (num_steps, batch_size, vocab_size)
        inputs = self.embedding(X) if self.embedding else F.npx.one_hot(X, self.vocab_size)
        hiddens, _ = self.rnn(inputs, [*state])  # (num_steps, batch_size, num_hiddens)
        p = F.npx.softmax(self.linear(hiddens))  # faster on a CPU than log_softmax
        return -F.np.mean(F.np.log(F.npx.pick(p, Y)))


class ByHand:
    """Section 9.6; a subclass has another of gluon's recurrent layers."""

    layer, gates, num_layers, options = rnn.RNN, 1, 1, {"activation": "tanh"}

    def __init__(self, setting):
        self.s = setting
        v, h, width = setting.vocab_size, setting.num_hiddens, self.gates * setting.num_hiddens
        # W_x of all gates, where picking its rows is faster than making one-hot vectors.
        self.embedding = nn.Embedding(v, width) if v > width else None
        self.rnn = self.layer(h, self.num_layers, input_size=min(v, width), **self.options)
        self.linear = nn.Dense(v, flatten=False, in_units=h)
        layers = [layer for layer in (self.embedding, self.rnn, self.linear) if layer]
        for layer in layers:
            layer.initialize(init.Uniform(0.07))
        for bias in self.rnn.collect_params(".*h2h_bias").values():
            bias.grad_req = "null"
        if self.embedding:
            self.rnn.l0_i2h_weight.set_data(np.eye(width))
            self.rnn.l0_i2h_weight.grad_req = "null"
        parameters = {
            f"{i}{name}": parameter
            for i, layer in enumerate(layers)
            for name, parameter in layer.collect_params().items()
            if parameter.grad_req != "null"
        }
        self.gradients = [p.grad() for p in parameters.values()]
        self.trainer = gluon.Trainer(parameters, "sgd", {"learning_rate": setting.lr})
        self.graphs = {}

    def loss(self, rows, train):
        key = len(rows), train  # one static graph each
        if key not in self.graphs:
            graph = Loss(self.embedding, self.rnn, self.linear, self.s.vocab_size)
            self.graphs[key] = graph, self.rnn.begin_state(len(rows))
        graph, state = self.graphs[key]
        X, Y = (onp.ascontiguousarray(a[rows].T) for a in (self.s.X, self.s.Y))
        return graph(np.array(X, dtype="int32"), np.array(Y, dtype="int32"), *state)

    def clip(self):
        everything = np.concatenate([g.reshape(-1) for g in self.gradients])
        norm = np.sqrt(np.dot(everything, everything))
        scale = np.minimum(1, self.s.bound / norm)
        for g in self.gradients:
            g *= scale

    def epoch(self, order):
        """Train in this order, then validate; the losses."""
        size, train, val = self.s.batch_size, [], []
        for start in range(0, len(order), size):
            with autograd.record():
                loss = self.loss(order[start : start + size], True)
            loss.backward()
            self.clip()
            self.trainer.step(1)
            train.append(loss.detach())
        rows = onp.arange(self.s.num_train, len(self.s.X))
        for start in range(0, len(rows), size):
            val.append(self.loss(rows[start : start + size], False).copy())
        return np.stack(train).asnumpy(), np.stack(val).asnumpy()


class OnLSTM(ByHand):
    layer, gates, options = rnn.LSTM, 4, {}


class OnGRU(ByHand):
    layer, gates, options = rnn.GRU, 3, {}


class OnTwoGRUs(OnGRU):
    num_layers = 2


RIVALS = {"by hand": ByHand}
RIVALS_OF = {
    "rnn": RIVALS,
    "lstm": {"by hand": OnLSTM},
    "gru": {"by hand": OnGRU},
    "deep-gru": {"by hand": OnTwoGRUs},
}
