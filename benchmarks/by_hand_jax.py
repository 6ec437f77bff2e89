"""Sections 9.6 to 11.4 in plain JAX, an epoch a call: the yardstick of `benchmarks/epoch.py`."""

import jax
import numpy as np
import optax
from jax import numpy as jnp
from jax.nn import sigmoid

# Steps a turn of a scan; all of them are hardly faster and take twice as long to compile.
UNROLL = 4
lecun_normal, orthogonal = jax.nn.initializers.lecun_normal(), jax.nn.initializers.orthogonal()
xavier = jax.nn.initializers.xavier_uniform()


@jax.custom_vjp
def recurrence(W_xh, W_hh, b_h, X):
    """All hidden states, from zero, of tokens X (num_steps, batch_size)."""

    def step(H, x):  # the rows of W_xh that one-hot vectors pick: a sixth faster than their product
        H = jnp.tanh(W_xh[x] + H @ W_hh + b_h)
        return H, H

    _, hiddens = jax.lax.scan(step, jnp.zeros((X.shape[1], len(W_hh))), X, unroll=UNROLL)
    return hiddens


def forward(W_xh, W_hh, b_h, X):
    hiddens = recurrence(W_xh, W_hh, b_h, X)
    return hiddens, (W_xh, W_hh, X, hiddens)


def backward(saved, gradient):
    """By hand, for JAX would take a small product for each step's part of a weight's gradient."""
    W_xh, W_hh, X, hiddens = saved

    def step(dH, of_step):
        dO, H = of_step
        dZ = (dH + dO) * (1 - H * H)
        return dZ @ W_hh.T, dZ

    _, dZ = jax.lax.scan(
        step, jnp.zeros_like(hiddens[0]), (gradient, hiddens), reverse=True, unroll=UNROLL
    )
    before, after = (A.reshape(-1, len(W_hh)) for A in (hiddens[:-1], dZ[1:]))
    dW_xh = jnp.zeros_like(W_xh).at[X].add(dZ)
    return dW_xh, before.T @ after, dZ.sum((0, 1)), None


recurrence.defvjp(forward, backward)


@jax.custom_vjp
def loss_of_steps(hiddens, W, b, Y):
    """The mean loss of hiddens (num_steps, batch_size, num_hiddens), by the logits of a step at a time."""
    return loss_and_gradients(hiddens, W, b, Y)[0]


def loss_and_gradients(hiddens, W, b, Y):
    """Both at once: a step's logits are made, and gone through, while they are in the cache."""

    def step(sums, of_step):
        H, y = of_step
        logits = H @ W + b
        exp = jnp.exp(logits - logits.max(-1, keepdims=True))
        total = exp.sum(-1, keepdims=True)
        p = exp / total
        loss = -jnp.log(jnp.take_along_axis(p, y[:, None], -1)).sum() / Y.size
        d = (p - jax.nn.one_hot(y, len(b))) / Y.size
        return jax.tree.map(jnp.add, sums, (loss, H.T @ d, d.sum(0))), d @ W.T

    zeros = jax.tree.map(jnp.zeros_like, (0.0, W, b))
    (loss, dW, db), d_hiddens = jax.lax.scan(step, zeros, (hiddens, Y))
    return loss, (d_hiddens, dW, db)


loss_of_steps.defvjp(loss_and_gradients, lambda grads, g: (*(g * grad for grad in grads), None))


class ByHand:
    def __init__(self, setting):
        self.s = setting
        keys = iter(jax.random.split(jax.random.key(0), 100))
        self.params = {
            **self.initial(keys),
            "W_hq": lecun_normal(next(keys), (setting.num_hiddens, setting.vocab_size)),
            "b_q": jnp.zeros(setting.vocab_size),
        }
        self.X, self.Y = jnp.asarray(setting.X), jnp.asarray(setting.Y)
        self.run = jax.jit(self._run)

    def initial(self, keys):
        v, h = self.s.vocab_size, self.s.num_hiddens
        W_xh, W_hh = lecun_normal(next(keys), (v, h)), orthogonal(next(keys), (h, h))
        return {"W_xh": W_xh, "W_hh": W_hh, "b_h": jnp.zeros(h)}

    def hiddens(self, params, X):
        """The last layer's (num_steps, batch_size, num_hiddens) of tokens X (num_steps, batch_size)."""
        return recurrence(params["W_xh"], params["W_hh"], params["b_h"], X)

    def loss(self, params, X, Y):
        hiddens = self.hiddens(params, X.T)
        if self.s.vocab_size > 128:
            return loss_of_steps(hiddens, params["W_hq"], params["b_q"], Y.T)
        hiddens = hiddens.reshape(-1, self.s.num_hiddens)  # steps below each other
        logits = hiddens @ params["W_hq"] + params["b_q"]
        logits -= jax.lax.stop_gradient(logits.max(-1, keepdims=True))
        of_labels = jnp.take_along_axis(logits, Y.T.reshape(-1, 1), -1)[:, 0]
        return (jnp.log(jnp.exp(logits).sum(-1)) - of_labels).mean()

    def update(self, params, rows):
        loss, grads = jax.value_and_grad(self.loss)(params, self.X[rows], self.Y[rows])
        scale = jnp.minimum(1, self.s.bound / optax.global_norm(grads))
        return jax.tree.map(lambda p, g: p - self.s.lr * scale * g, params, grads), loss

    def _run(self, params, order):
        size = self.s.batch_size
        full = len(order) // size * size
        params, losses = jax.lax.scan(self.update, params, order[:full].reshape(-1, size))
        if full < len(order):
            params, last = self.update(params, order[full:])
            losses = jnp.append(losses, last)
        rows = self.s.num_train + jnp.arange(self.s.num_val)
        full = len(rows) // size * size
        val = jax.lax.map(lambda rows: self.validate(params, rows), rows[:full].reshape(-1, size))
        if full < len(rows):
            val = jnp.append(val, self.validate(params, rows[full:]))
        return params, losses, val

    def validate(self, params, rows):
        return self.loss(params, self.X[rows], self.Y[rows])

    def epoch(self, order):
        """Train in this order, then validate; the losses."""
        self.params, losses, val = self.run(self.params, order)
        return np.asarray(losses), np.asarray(val)


class StepByStep(ByHand):
    """The same model trained minibatch by minibatch in Python; the loss is compiled, the update not,
    as in the book's JAX library."""

    def __init__(self, setting):
        super().__init__(setting)
        self.compiled_loss = jax.jit(super().loss)

    def loss(self, params, X, Y):
        return self.compiled_loss(params, X, Y)

    def epoch(self, order):
        train, val, size = [], [], self.s.batch_size
        for start in range(0, len(order), size):
            self.params, loss = self.update(self.params, order[start : start + size])
            train.append(float(loss))
        for i in range(self.s.num_train, len(self.X), size):
            val.append(float(self.loss(self.params, self.X[i : i + size], self.Y[i : i + size])))
        return np.array(train), np.array(val)


class Unjitted(StepByStep):
    """The same without any `jax.jit`; JAX then compiles the scan over time anew at each step."""

    def loss(self, params, X, Y):
        return ByHand.loss(self, params, X, Y)


class WrittenOut(StepByStep):
    """Without `jax.jit` and without a scan: Python sends off each operation of each time step."""

    def loss(self, params, X, Y):
        one_hot = jax.nn.one_hot(X.T, self.s.vocab_size)  # (num_steps, batch_size, vocab_size)
        H, hiddens = jnp.zeros((X.shape[0], self.s.num_hiddens)), []
        for x in one_hot:  # (batch_size, vocab_size)
            H = jnp.tanh(x @ params["W_xh"] + H @ params["W_hh"] + params["b_h"])
            hiddens.append(H)
        logits = jnp.stack(hiddens) @ params["W_hq"] + params["b_q"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, Y.T).mean()


class Gated(ByHand):
    """Layers with gates, whose weights lie side by side: one product with X_t and one with H_{t-1}.

    The scan is not unrolled, and products with the inputs are taken in it: both all at once and four
    steps at a time took up to twice as long, for more goes through memory.
    """

    num_gates: int
    num_layers = 1

    def initial(self, keys):
        v, h = self.s.vocab_size, self.s.num_hiddens

        def beside(initializer, rows):
            return jnp.concatenate(
                [initializer(next(keys), (rows, h)) for _ in range(self.num_gates)], axis=1
            )

        layers = [
            (beside(lecun_normal, n), beside(orthogonal, h), jnp.zeros(self.num_gates * h))
            for n in [v] + [h] * (self.num_layers - 1)
        ]
        return {"layers": layers}

    def hiddens(self, params, X):
        (W_x, W_h, b), *above = params["layers"]
        rows = W_x + b  # which tokens pick
        outputs = self.scan(lambda x: rows[x], W_h, X)
        for W_x, W_h, b in above:
            outputs = self.scan(lambda x, W_x=W_x, b=b: x @ W_x + b, W_h, outputs)
        return outputs

    def scan(self, drive, W_h, inputs):
        def step(state, x):
            return self.step(drive(x), state, W_h)

        zeros = jnp.zeros((inputs.shape[1], self.s.num_hiddens))
        return jax.lax.scan(step, self.begin_state(zeros), inputs)[1]

    def begin_state(self, zeros):
        return zeros


class LSTM(Gated):
    num_gates = 4

    def begin_state(self, zeros):
        return zeros, zeros

    def step(self, A, state, W_h):
        H, C = state
        I, F, O, C_tilde = jnp.split(A + H @ W_h, 4, -1)  # (batch_size, num_hiddens) each
        C = sigmoid(F) * C + sigmoid(I) * jnp.tanh(C_tilde)
        H = sigmoid(O) * jnp.tanh(C)
        return (H, C), H


class GRU(Gated):
    num_gates = 3

    def step(self, A, H, W_h):
        z, r, n = jnp.split(A, 3, -1)  # (batch_size, num_hiddens) each
        h_z, h_r, h_n = jnp.split(H @ W_h, 3, -1)
        Z, R = sigmoid(z + h_z), sigmoid(r + h_r)
        H = Z * H + (1 - Z) * jnp.tanh(n + R * h_n)
        return H, H


class DeepGRU(GRU):
    num_layers = 2


class Translating(ByHand):
    """Section 10.7: two layers of GRUs read the source, two write the target.

    A padded source does no harm: a state after the last valid token is one of its layer's outputs.
    """

    attends = False

    def __init__(self, setting):
        self.s, self.key = setting, jax.random.key(0)
        self.arrays = [jnp.asarray(array) for array in setting.data.arrays]
        self.pad = setting.data.tgt_vocab["<pad>"]
        src, tgt, h = len(setting.data.src_vocab), setting.vocab_size, setting.num_hiddens
        keys = iter(jax.random.split(jax.random.key(0), 100))
        params = {
            "source": jax.random.normal(next(keys), (src, h)),
            "encoder": [self.gru(keys, h), self.gru(keys, h)],
            "target": jax.random.normal(next(keys), (tgt, h)),
            "decoder": [self.gru(keys, 2 * h), self.gru(keys, h)],
            "dense": (xavier(next(keys), (h, tgt)), jnp.zeros(tgt)),
        }
        if self.attends:
            sizes = {"W_q": (h, h), "W_k": (h, h), "w_v": (h, 1)}
            params |= {name: xavier(next(keys), shape) for name, shape in sizes.items()}
        self.optimizer = optax.adam(setting.lr)
        self.params = params, self.optimizer.init(params), self.key
        self.run = jax.jit(self._run)

    def gru(self, keys, num_inputs):
        """W_x, W_h and b of the three gates side by side."""
        h = self.s.num_hiddens
        W_x, W_h = (
            jnp.concatenate([xavier(next(keys), (n, h)) for _ in range(3)], 1)
            for n in (num_inputs, h)
        )
        return W_x, W_h, jnp.zeros(3 * h)

    def update(self, state, rows):
        params, optimizer, key = state
        key, dropped = jax.random.split(key)
        loss, grads = jax.value_and_grad(self.loss)(params, rows, dropped)
        scale = jnp.minimum(1, self.s.bound / optax.global_norm(grads))
        grads = jax.tree.map(lambda g: scale * g, grads)
        updates, optimizer = self.optimizer.update(grads, optimizer)
        return (optax.apply_updates(params, updates), optimizer, key), loss

    def validate(self, state, rows):
        return self.loss(state[0], rows)

    def drop(self, key, x):
        if key is None or not self.s.dropout:
            return x
        keep = 1 - self.s.dropout
        return jnp.where(jax.random.bernoulli(key, keep, x.shape), x / keep, 0)

    def loss(self, params, rows, key=None):
        src, tgt, lengths, labels = (array[rows] for array in self.arrays)
        keys = [None] * 2 if key is None else jax.random.split(key)
        outputs, state = params["source"][src.T], []  # (num_steps, batch_size, num_hiddens)
        for i, layer in enumerate(params["encoder"]):
            inputs = self.drop(keys[0], outputs) if i else outputs
            _, outputs = jax.lax.scan(gru_step(layer), jnp.zeros_like(outputs[0]), inputs)
            state.append(outputs[lengths - 1, jnp.arange(len(rows))])
        embs = params["target"][tgt.T]
        hiddens = self.decoded(params, embs, outputs, lengths, state, keys[1])
        W_hq, b_q = params["dense"]
        logits = hiddens.reshape(-1, self.s.num_hiddens) @ W_hq + b_q
        labels = labels.T.reshape(-1)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(where=labels != self.pad)

    def decoded(self, params, embs, outputs, lengths, state, key):
        lowest, above = params["decoder"]
        W_x, W_h, b = lowest
        of_state = state[-1] @ W_x[self.s.num_hiddens :] + b  # the same in all steps
        layer = W_x[: self.s.num_hiddens], W_h, of_state
        _, outputs = jax.lax.scan(gru_step(layer), state[0], embs)
        return jax.lax.scan(gru_step(above), state[1], self.drop(key, outputs))[1]


class Attending(Translating):
    """Section 11.4: in each step the last layer's state asks for the outputs of the source."""

    attends = True

    def decoded(self, params, embs, outputs, lengths, state, key):
        lowest, above = map(gru_step, params["decoder"])
        values = outputs.swapaxes(0, 1)  # (batch_size, num_steps, num_hiddens)
        keys = values @ params["W_k"]  # the same in all steps
        is_valid = jnp.arange(len(outputs)) < lengths[:, None]

        def step(state, inputs):
            x, key = inputs
            of_weights, of_outputs = (None, None) if key is None else jax.random.split(key)
            query = (state[1] @ params["W_q"])[:, None]
            scores = (jnp.tanh(query + keys) @ params["w_v"])[..., 0]
            weights = jax.nn.softmax(jnp.where(is_valid, scores, -1e6))
            context = jnp.einsum("bk,bkh->bh", self.drop(of_weights, weights), values)
            H, _ = lowest(state[0], jnp.concatenate((context, x), -1))
            top, _ = above(state[1], self.drop(of_outputs, H))
            return (H, top), top

        each = None if key is None else jax.random.split(key, len(embs))
        return jax.lax.scan(step, tuple(state), (embs, each))[1]


def gru_step(layer):
    """A step of a GRU, whose product with the inputs is taken in it; see `Gated`."""
    W_x, W_h, b = layer

    def step(H, x):
        return GRU.step(None, x @ W_x + b, H, W_h)

    return step


RIVALS = {"by hand": ByHand}
RIVALS_OF = {
    "rnn": RIVALS,
    "lstm": {"by hand": LSTM},
    "gru": {"by hand": GRU},
    "deep-gru": {"by hand": DeepGRU},
    "seq2seq": {"by hand": Translating},
    "seq2seq-attention": {"by hand": Attending},
}
SLOW_RIVALS = {  # what they leave behind in memory slows down whoever comes next
    "loss compiled": StepByStep,
    "not compiled, no scan": WrittenOut,
    "not compiled": Unjitted,  # some 20 s an epoch
}
