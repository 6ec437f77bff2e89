"""Sections 9.6 and 10.1 to 10.3 in plain JAX, an epoch a call: the yardstick of `benchmarks/epoch.py`."""

import jax
import numpy as np
import optax
from jax import numpy as jnp
from jax.nn import sigmoid

# Steps a turn of a scan; all of them are hardly faster and take twice as long to compile.
UNROLL = 4
lecun_normal, orthogonal = jax.nn.initializers.lecun_normal(), jax.nn.initializers.orthogonal()


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
        hiddens = self.hiddens(params, X.T).reshape(
            -1, self.s.num_hiddens
        )  # steps below each other
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
        rows = jnp.arange(self.s.num_train, len(self.X))
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


RIVALS = {"by hand": ByHand}
RIVALS_OF = {
    "rnn": RIVALS,
    "lstm": {"by hand": LSTM},
    "gru": {"by hand": GRU},
    "deep-gru": {"by hand": DeepGRU},
}
SLOW_RIVALS = {  # what they leave behind in memory slows down whoever comes next
    "loss compiled": StepByStep,
    "not compiled, no scan": WrittenOut,
    "not compiled": Unjitted,  # some 20 s an epoch
}
