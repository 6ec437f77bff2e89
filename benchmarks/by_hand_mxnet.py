"""Sections 9.6 to 11.4 in plain MXNet, hybridised with static allocation: the yardstick of `epoch.py`."""

# isort: off
import d2lrnn_mxnet  # noqa: F401  gives MXNet 1.9.1 the names that NumPy has removed
import numpy as onp
from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn, rnn


class Loss(gluon.HybridBlock):
    """The mean cross-entropy of a minibatch, as one graph over layers that others share."""

    def __init__(self, embedding, layer, linear, vocab_size, num_steps):
        super().__init__()
        self.hybridize(static_alloc=True, static_shape=True)
        self.embedding, self.rnn, self.linear = embedding, layer, linear
        self.vocab_size = vocab_size
        # The logits of many classes are taken step by step, in the same memory.
        self.num_parts = num_steps if vocab_size > 512 else 1

    def hybrid_forward(self, F, X, Y, *state):
        # (num_steps, batch_size, gates * num_hiddens) or (num_steps, batch_size, vocab_size)
        inputs = self.embedding(X) if self.embedding else F.npx.one_hot(X, self.vocab_size)
        hiddens, _ = self.rnn(inputs, [*state])  # (num_steps, batch_size, num_hiddens)
        if self.num_parts == 1:
            return self.part(F, hiddens, Y)
        parts = zip(*(F.np.split(A, self.num_parts) for A in (hiddens, Y)), strict=True)
        return sum(self.part(F, *part) for part in parts) / self.num_parts

    def part(self, F, hiddens, Y):
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
            graph = Loss(self.embedding, self.rnn, self.linear, self.s.vocab_size, self.s.num_steps)
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
        rows = self.s.num_train + onp.arange(self.s.num_val)
        for start in range(0, len(rows), size):
            val.append(self.loss(rows[start : start + size], False).copy())
        return np.stack(train).asnumpy(), np.stack(val).asnumpy()


class OnLSTM(ByHand):
    layer, gates, options = rnn.LSTM, 4, {}


class OnGRU(ByHand):
    layer, gates, options = rnn.GRU, 3, {}


class OnTwoGRUs(OnGRU):
    num_layers = 2


class TranslatorsLoss(gluon.HybridBlock):
    """The mean loss of a minibatch of sentences (section 10.7), as one graph over layers that others share.

    A padded source does no harm: a state after the last valid token is one of its layer's outputs. Told of
    dropout, gluon's layers drop nothing on a CPU; so they stand one by one.
    """

    def __init__(self, layers, dropout, pad, num_keys, num_steps):
        super().__init__()
        self.hybridize(static_alloc=True, static_shape=True)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.share, self.pad, self.num_keys, self.num_steps = dropout, pad, num_keys, num_steps

    def hybrid_forward(self, F, src, tgt, lengths, labels, begin):
        outputs, state = self.source(src), []
        is_last = F.np.transpose(F.npx.one_hot(lengths - 1, self.num_keys))
        is_last = F.np.expand_dims(is_last, -1)  # (num_keys, batch_size, 1)
        for i, layer in enumerate((self.encoder_0, self.encoder_1)):
            outputs = self.drop(F, outputs) if i else outputs
            outputs, _ = layer(outputs, [begin])  # (num_keys, batch_size, num_hiddens)
            state.append(F.np.sum(outputs * is_last, axis=0))  # (batch_size, num_hiddens)
        embs = self.target(tgt)  # (num_steps, batch_size, num_hiddens)
        state = [F.np.expand_dims(H, 0) for H in state]
        logits = self.dense(self.decoded(F, embs, outputs, lengths, state))
        p = F.npx.pick(F.npx.softmax(logits), labels)
        mask = labels != self.pad
        return -F.np.sum(F.np.log(p) * mask) / F.np.sum(mask)

    def drop(self, F, x):
        return F.npx.dropout(x, self.share) if self.share else x

    def run(self, F, inputs, state):
        """The decoder's layers over `inputs`; their states, each (1, batch_size, num_hiddens)."""
        outputs, (state_0,) = self.decoder_0(inputs, [state[0]])
        outputs, (state_1,) = self.decoder_1(self.drop(F, outputs), [state[1]])
        return outputs, [state_0, state_1]

    def decoded(self, F, embs, outputs, lengths, state):
        context = F.np.concatenate([state[-1]] * self.num_steps)
        return self.run(F, F.np.concatenate([embs, context], axis=-1), state)[0]


class AttendingLoss(TranslatorsLoss):
    """In each step the last layer's state asks for the outputs of the source (section 11.4)."""

    def decoded(self, F, embs, outputs, lengths, state):
        values = F.np.swapaxes(outputs, 0, 1)  # (batch_size, num_keys, num_hiddens)
        keys = self.W_k(values)  # the same in all steps
        hiddens = []
        for x in F.np.split(embs, self.num_steps):  # (1, batch_size, num_hiddens)
            query = F.np.swapaxes(self.W_q(state[-1]), 0, 1)
            scores = F.np.squeeze(self.w_v(F.np.tanh(query + keys)), -1)
            scores = F.npx.sequence_mask(scores, lengths, True, value=-1e6, axis=1)
            weights = F.np.expand_dims(self.drop(F, F.npx.softmax(scores)), 1)
            context = F.np.swapaxes(F.npx.batch_dot(weights, values), 0, 1)
            output, state = self.run(F, F.np.concatenate([context, x], axis=-1), state)
            hiddens.append(output)
        return F.np.concatenate(hiddens)


class Translating(ByHand):
    """Section 10.7."""

    graph = TranslatorsLoss

    def __init__(self, setting):
        self.s, h = setting, setting.num_hiddens
        src, tgt = len(setting.data.src_vocab), setting.vocab_size
        self.layers = self.made(src, tgt, h)
        for layer in self.layers.values():
            layer.initialize(init.Xavier())
        parameters = {
            f"{place} {name}": parameter
            for place, layer in self.layers.items()
            for name, parameter in layer.collect_params().items()
            if not name.endswith("h2h_bias")
        }
        for layer in self.layers.values():
            for bias in layer.collect_params(".*h2h_bias").values():
                bias.grad_req = "null"
        self.gradients = [p.grad() for p in parameters.values()]
        self.trainer = gluon.Trainer(parameters, "adam", {"learning_rate": setting.lr})
        self.pad, self.graphs = setting.data.tgt_vocab["<pad>"], {}

    def made(self, src, tgt, h):
        return {
            "source": nn.Embedding(src, h),
            "encoder_0": rnn.GRU(h, input_size=h),
            "encoder_1": rnn.GRU(h, input_size=h),
            "target": nn.Embedding(tgt, h),
            "decoder_0": rnn.GRU(h, input_size=2 * h),
            "decoder_1": rnn.GRU(h, input_size=h),
            "dense": nn.Dense(tgt, flatten=False, in_units=h),
        }

    def loss(self, rows, train):
        src, tgt, lengths, labels = (a[rows] for a in self.s.data.arrays)
        # No steps that are padding in all sentences; a graph for each shape.
        num_keys, num_steps = lengths.max(), (labels != self.pad).sum(1).max()
        key = len(rows), train, num_keys, num_steps
        if key not in self.graphs:
            graph = self.graph(self.layers, self.s.dropout, self.pad, int(num_keys), int(num_steps))
            self.graphs[key] = graph, np.zeros((1, len(rows), self.s.num_hiddens))
        graph, begin = self.graphs[key]
        cut = src[:, :num_keys], tgt[:, :num_steps], labels[:, :num_steps]
        src, tgt, labels = (np.array(onp.ascontiguousarray(a.T), dtype="int32") for a in cut)
        return graph(src, tgt, np.array(lengths, dtype="float32"), labels, begin)


class Attending(Translating):
    """Section 11.4."""

    graph = AttendingLoss

    def made(self, src, tgt, h):
        layers = super().made(src, tgt, h)
        for name, size in ("W_q", h), ("W_k", h), ("w_v", 1):
            layers[name] = nn.Dense(size, use_bias=False, flatten=False, in_units=h)
        return layers


RIVALS = {"by hand": ByHand}
RIVALS_OF = {
    "rnn": RIVALS,
    "lstm": {"by hand": OnLSTM},
    "gru": {"by hand": OnGRU},
    "deep-gru": {"by hand": OnTwoGRUs},
    "seq2seq": {"by hand": Translating},
    "seq2seq-attention": {"by hand": Attending},
}
