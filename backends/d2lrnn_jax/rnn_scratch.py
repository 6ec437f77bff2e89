"""The recurrent network from scratch, in Flax (book, section 9.5)."""

from __future__ import annotations

from dataclasses import field
from functools import partial

import jax
from flax import linen as nn
from jax import numpy as jnp

from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import check_one_of, check_positive, check_sizes
from d2lrnn.language_model import LanguageModel, single_state
from d2lrnn.module import keeps_library_step, library_step
from d2lrnn.weights import draw

from .module import Classifier, Module
from .ops import from_numpy, matmul, numpy, stack, zeros
from .weights import by_canonical_name

ACTIVATIONS = {"tanh": jnp.tanh, "relu": nn.relu}


class RNNScratch(Module):
    """A recurrent layer written out (book, section 9.5.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    Args:
        num_inputs: size of X_t.
        num_hiddens: size of H_t.
        sigma: standard deviation of the initial weights.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights, which are the same on every backend; None leaves them to the key
            that `init` is given.
    """

    num_inputs: int
    num_hiddens: int
    sigma: float = 0.01
    activation: str = field(default="tanh", kw_only=True)
    seed: int | None = field(default=0, kw_only=True)

    def __post_init__(self):
        check_sizes(num_inputs=self.num_inputs, num_hiddens=self.num_hiddens)
        check_positive(sigma=self.sigma)
        check_one_of("activation", self.activation, ACTIVATIONS)
        super().__post_init__()

    def setup(self):
        W_xh, W_hh = (drawn(name, self.sigma, self.seed) for name in ("W_xh", "W_hh"))
        self.W_xh = self.param("W_xh", W_xh, (self.num_inputs, self.num_hiddens))
        self.W_hh = self.param("W_hh", W_hh, (self.num_hiddens, self.num_hiddens))
        self.b_h = self.param("b_h", nn.initializers.zeros, (self.num_hiddens,))

    @library_step
    def forward(self, inputs, state=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from `state` (batch_size, num_hiddens).

        Tokens (num_steps, batch_size) stand for their one-hot vectors.

        Returns the hidden states (num_steps, batch_size, num_hiddens), and the last of them.
        """
        phi = ACTIVATIONS[self.activation]
        batch_size = inputs.shape[1]
        H = zeros((batch_size, self.num_hiddens)) if state is None else single_state(state)

        def step(H, X):  # (batch_size, num_hiddens), (batch_size, num_inputs)
            H = phi(times(X, self.W_xh) + matmul(H, self.W_hh) + self.b_h)
            return H, H  # the state for the next step, and the output of this one

        # `for X in inputs` would do, but would compile each step of a long sequence by itself.
        H, outputs = jax.lax.scan(step, H, inputs)
        return outputs, H

    def is_as_built(self, num_inputs):
        """Whether it is the library's, of inputs of this size, and nothing of it is the reader's."""
        keeps = all(keeps_library_step(self, method) for method in ("__call__", "forward"))
        return keeps and num_inputs == self.num_inputs


class RNNLMScratch(LanguageModel, Classifier):
    """A language model over a recurrent layer (book, section 9.5.2).

    O_t = H_t W_hq + b_q are the logits of the token that follows X_t.

    Args:
        rnn: a recurrent layer: called with (num_steps, batch_size, vocab_size) and a state.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of the initial weights, which are the same on every backend; None leaves them to the key
            that `init` is given.
    """

    rnn: nn.Module
    vocab_size: int
    lr: float = 0.01
    seed: int | None = field(default=0, kw_only=True)

    def __post_init__(self):
        check_sizes(vocab_size=self.vocab_size)
        check_positive(lr=self.lr)
        super().__post_init__()

    def setup(self):
        self.init_params()

    @library_step
    def init_params(self):
        W_hq = drawn("W_hq", self.rnn.sigma, self.seed)
        self.W_hq = self.param("W_hq", W_hq, (self.rnn.num_hiddens, self.vocab_size))
        self.b_q = self.param("b_q", nn.initializers.zeros, (self.vocab_size,))

    @library_step
    def one_hot(self, X):
        """Tokens (batch_size, num_steps) as vectors (num_steps, batch_size, vocab_size)."""
        return jax.nn.one_hot(X.T, self.vocab_size)

    def picks_rows(self):
        """As `LanguageModel.picks_rows`; here rows are always faster, once the weights have been drawn."""
        is_drawing = self.scope is not None and self.is_initializing()
        return not is_drawing and keeps_library_step(self, "one_hot") and self.has_layer_as_built()

    def layer_inputs(self, X):
        """What the recurrent layer is run over: the one-hot vectors of `X`, or `X` time-major."""
        return X.T if self.picks_rows() else self.one_hot(X)

    @library_step
    def output_layer(self, rnn_outputs):
        """Hidden states, num_steps of (batch_size, num_hiddens), to (batch_size, num_steps, vocab_size)."""
        return matmul(stack(rnn_outputs, 1), self.W_hq) + self.b_q

    def forward(self, X, state=None):
        """Logits (batch_size, num_steps, vocab_size) of the tokens X (batch_size, num_steps)."""
        rnn_outputs, _ = self.rnn(self.layer_inputs(X), state)
        return self.output_layer(rnn_outputs)

    def dummy_input(self):
        return (zeros((1, 1), dtype=jnp.int32),)

    def predict(
        self, prefix, num_preds, vocab, params=None, *, device=None, temperature=None, seed=None
    ):
        """Continue `prefix` by `num_preds` tokens; see `LanguageModel.predict` of the core.

        Args:
            params: as in the book, parameters such as `trainer.state.params`; by default the model's
                own. A device, fourth as on the other frameworks, is taken too.
        """
        model = self
        if isinstance(params, jax.Device | str):
            device = params
        elif params is not None:
            model = self.with_params(params)
        options = {"device": device, "temperature": temperature, "seed": seed}
        return LanguageModel.predict(model, prefix, num_preds, vocab, **options)

    @library_step
    @nn.nowrap  # what linen does around each call would cost more than the step
    def step(self, token, state, device=None):
        self.check_device(device)

        def step(model, token, state):
            X = jnp.reshape(token, (1, 1))
            rnn_outputs, state = model.rnn(model.layer_inputs(X), state)
            return model.output_layer(rnn_outputs).reshape(-1), state  # (vocab_size,)

        logits, state = self._run(step, token, state)
        return numpy(logits), state

    @nn.nowrap
    def stepper(self, device=None):
        if not self.is_as_built():
            return super().stepper(device)
        self.check_device(device)
        run, weights = NEXT_TOKEN[self.rnn.activation], self._tensors(*self.get_weights().values())
        zero_state = jax.device_put(zeros(self.rnn.num_hiddens), self.device)

        def step(token, H):
            logits, H = run(weights, token, zero_state if H is None else H)
            return numpy(logits), H

        return step

    def check_device(self, device):
        if device is not None and device != self.device:
            raise ArgumentError(
                f"device={device}: the model is on {self.device}. Leave device out, or train it with "
                "a Trainer of another num_gpus."
            )

    def recurrence(self, X, state=None):
        def recurrence(model, X, state):
            outputs, state = model.rnn(model.layer_inputs(X), state)
            outputs = jnp.asarray(outputs)  # (num_steps, batch_size, num_hiddens)
            return outputs, jnp.reshape(state, (-1, *outputs.shape[1:]))

        outputs, state = self._run(recurrence, *self._tensors(X, state))
        return numpy(outputs), numpy(state)

    def logits(self, X, state=None):
        def logits(model, X, state):
            return model(X, state)

        return numpy(self._run(logits, *self._tensors(X, state)))

    def gradients(self, X, Y, state=None):
        from .trainer import train_state

        X, Y, state = self._tensors(X, Y, state)
        batch = (X, Y) if state is None else (X, state, Y)
        (loss, _), grads = self.loss_and_gradients(
            self.params, batch, train_state(self, jax.random.key(0))
        )
        return float(loss), by_canonical_name(grads)

    @nn.nowrap
    def _run(self, method, *inputs):
        """`method(model, *inputs)` on the model with its parameters, compiled once and not training."""

        def run(params, *inputs):
            model = self.clone(training=False) if "training" in self.__dataclass_fields__ else self
            return model.apply({"params": params}, *inputs, method=method)

        return self.compiled(method.__name__, run)(self.params, *inputs)

    def _tensors(self, *arrays):
        return [None if a is None else from_numpy(a, self.device) for a in arrays]


def times(X, W_xh):
    """X W_xh (batch_size, num_hiddens); of tokens X (batch_size,), the rows that their vectors pick."""
    return W_xh[X] if X.ndim == 1 else matmul(X, W_xh)


def drawn(name, sigma, seed):
    """The initialiser of the scratch weight `name`: N(0, sigma^2), in NumPy unless `seed` is None."""
    if seed is None:
        return nn.initializers.normal(sigma)
    return lambda _, shape: jnp.asarray(draw(name, shape, sigma, seed))


def next_token(phi, weights, token, H):
    """The logits (vocab_size,) of the token after `token`, and the next state, of H (num_hiddens,)."""
    W_xh, W_hh, b_h, W_hq, b_q = weights
    H = phi(W_xh[token] + matmul(H, W_hh) + b_h)
    return matmul(H, W_hq) + b_q, H


# Compiled once for all models of the same sizes.
NEXT_TOKEN = {name: jax.jit(partial(next_token, phi)) for name, phi in ACTIVATIONS.items()}
