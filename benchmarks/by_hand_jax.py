"""Section 9.6 in plain JAX, one compiled scan an epoch: the yardstick of `benchmarks/epoch.py`."""

import jax
import numpy as np
import optax
from jax import numpy as jnp


class ByHand:
    def __init__(self, setting):
        self.s = setting
        v, h = setting.vocab_size, setting.num_hiddens
        keys = jax.random.split(jax.random.key(0), 3)
        self.params = {
            "W_xh": jax.nn.initializers.lecun_normal()(keys[0], (v, h)),
            "W_hh": jax.nn.initializers.orthogonal()(keys[1], (h, h)),
            "b_h": jnp.zeros(h),
            "W_hq": jax.nn.initializers.lecun_normal()(keys[2], (h, v)),
            "b_q": jnp.zeros(v),
        }
        self.X, self.Y = jnp.asarray(setting.X), jnp.asarray(setting.Y)
        self.unroll = setting.num_steps if setting.num_steps <= 64 else 16
        self.run = jax.jit(self._run)

    def loss(self, params, X, Y):
        def step(
            H, x
        ):  # the rows of W_xh that one-hot vectors pick: a sixth faster than their product
            H = jnp.tanh(params["W_xh"][x] + H @ params["W_hh"] + params["b_h"])
            return H, H

        H = jnp.zeros((X.shape[0], self.s.num_hiddens))
        _, hiddens = jax.lax.scan(step, H, X.T, unroll=self.unroll)
        logits = hiddens @ params["W_hq"] + params["b_q"]  # (num_steps, batch_size, vocab_size)
        return optax.softmax_cross_entropy_with_integer_labels(logits, Y.T).mean()

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
        validate = range(self.s.num_train, len(self.X), size)
        val = [self.loss(params, self.X[i : i + size], self.Y[i : i + size]) for i in validate]
        return params, losses, jnp.stack(val)

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


class Stepper:
    """One token at a time from canonical weights: the yardstick of `predict.py`."""

    def __init__(self, weights):
        weights = tuple(map(jnp.asarray, weights.values()))
        self.zeros = jnp.zeros(len(weights[2]))
        compiled = jax.jit(self._step)
        self.run = lambda token, H: compiled(weights, token, H)

    @staticmethod
    def _step(weights, token, H):
        W_xh, W_hh, b_h, W_hq, b_q = weights
        H = jnp.tanh(W_xh[token] + H @ W_hh + b_h)
        return H @ W_hq + b_q, H

    def step(self, token, H):
        logits, H = self.run(token, self.zeros if H is None else H)
        return np.array(logits), H


RIVALS = {"by hand": ByHand}
SLOW_RIVALS = {  # what they leave behind in memory slows down whoever comes next
    "loss compiled": StepByStep,
    "not compiled, no scan": WrittenOut,
    "not compiled": Unjitted,  # some 20 s an epoch
}
