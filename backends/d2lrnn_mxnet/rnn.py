"""The recurrent network on MXNet's own layer, `mxnet.gluon.rnn.RNN` (book, section 9.6)."""

from __future__ import annotations

import zlib

import numpy as onp
from mxnet import autograd, gluon, init, np
from mxnet.gluon import nn, rnn

from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.module import keeps_library_step, library_step

from .module import Module
from .ops import numpy, swapaxes
from .rnn_scratch import ACTIVATIONS, RNNLMScratch
from .weights import has_sizes, materialise


class RNN(Module):
    """A recurrent layer on `mxnet.gluon.rnn.RNN` (book, section 9.6.1).

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  phi = tanh or ReLU.

    `rnn.RNN` carries a second bias, h2h_bias, beside i2h_bias = b_h. It is held at zero and not
    trained. Its own default activation is ReLU, with which the book's MXNet run was made.

    Args:
        num_hiddens: size of H_t.
        num_inputs: size of X_t; if left out, taken from the first input.
        activation: 'tanh' or 'relu'.
        seed: of the initial weights, see `uniform`; None draws them from MXNet's global stream.
    """

    def __init__(self, num_hiddens, *, num_inputs=None, activation="tanh", seed=0):
        super().__init__()
        self.save_hyperparameters()
        check_sizes(num_hiddens=num_hiddens)
        if num_inputs is not None:
            check_sizes(num_inputs=num_inputs)
        check_one_of("activation", activation, ACTIVATIONS)
        self.rnn = rnn.RNN(
            num_hiddens,
            activation=activation,
            input_size=num_inputs or 0,  # 0: not known yet
            i2h_weight_initializer=uniform("i2h_weight", seed),
            h2h_weight_initializer=uniform("h2h_weight", seed),
        )
        self.rnn.l0_h2h_bias.grad_req = "null"
        self.initialize()

    @library_step
    def forward(self, inputs, H=None):
        """Run over `inputs` (num_steps, batch_size, num_inputs) from H (1, batch_size, num_hiddens).

        Returns all hidden states (num_steps, batch_size, num_hiddens), and the last (1, ...).
        """
        num_inputs = self.rnn.l0_i2h_weight.shape[1]
        if num_inputs > 0:  # known
            check_inputs(inputs.shape[-1], num_inputs)
        if H is None:
            (H,) = self.rnn.begin_state(inputs.shape[1], ctx=inputs.ctx)
        outputs, (H,) = self.rnn(inputs, (H,))
        return outputs, H


class RNNLM(RNNLMScratch):
    """A language model on MXNet's own layers (book, section 9.6.1): `RNN`, then `gluon.nn.Dense`.

    Args:
        rnn: the recurrent layer.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of the initial weights, see `uniform`; None draws them from MXNet's global stream.
    """

    def init_params(self):
        initializer = uniform("dense_weight", self.seed)
        self.linear = nn.Dense(self.vocab_size, flatten=False, weight_initializer=initializer)
        self.initialize()

    @library_step
    def output_layer(self, hiddens):
        """Hidden states (num_steps, batch_size, num_hiddens) to (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)

    def step(self, token, state, device=None):
        graph = self.next_token()
        if graph is None:
            return super().step(token, state, device)
        if device is not None:
            self.check_device(device)
        ctx = self.linear.weight.data().ctx
        if state is None:
            (state,) = self.rnn.rnn.begin_state(1, ctx=ctx)
        logits, state = graph(np.array([[token]], ctx=ctx), state)
        return numpy(logits), state

    def next_token(self):
        """The graph of one step; None while sizes are unknown, or where none can stand in."""
        if not self.compilable():
            return None
        graph = vars(self).get("_next_token")
        if graph is None or (graph.rnn, graph.linear) != (self.rnn.rnn, self.linear):
            if not has_sizes(self.rnn.rnn, self.linear):
                return None
            graph = vars(self)["_next_token"] = NextToken(self)  # set so, it is no layer to gluon
        return graph

    def compiled_loss(self):
        if not self.compilable():
            return None
        materialise(self)
        return CompiledLoss(self)

    def compilable(self):
        """Whether a graph can stand in for the model: its hooks and layers are the library's own."""
        hooks = ("one_hot", "forward", "output_layer", "loss")
        return (
            all(keeps_library_step(self, hook) for hook in hooks)
            and isinstance(self.rnn, RNN)
            and keeps_library_step(self.rnn, "forward")
            and type(getattr(self, "linear", None)) is nn.Dense
        )


# Compiled graphs ---------------------------------------------------------------------------------


class Graph(gluon.HybridBlock):
    """The layers of an `RNNLM`, to be compiled together."""

    def __init__(self, model):
        super().__init__()
        # Before it has layers, or they would be compiled too, each alone.
        self.hybridize(static_alloc=True, static_shape=True)
        self.vocab_size = model.vocab_size
        self.rnn = model.rnn.rnn
        self.linear = model.linear

    def recur(self, F, X, H):
        """Scores (num_steps, batch_size, vocab_size) after X (num_steps, batch_size), and the state."""
        embs = F.npx.one_hot(X, self.vocab_size)  # (num_steps, batch_size, vocab_size)
        hiddens, (H,) = self.rnn(embs, [H])  # (num_steps, batch_size, num_hiddens)
        return self.linear(hiddens), H


class NextToken(Graph):
    """From one token (1, 1) and a state to the logits (vocab_size,) of the next, and its state."""

    def hybrid_forward(self, F, X, H):
        logits, H = self.recur(F, X, H)
        return F.np.reshape(logits, (-1,)), H


class MeanLoss(Graph):
    """From tokens X, Y (batch_size, num_steps) to the mean loss.

    A token of probability below 1e-38 makes it infinite.
    """

    def hybrid_forward(self, F, X, Y, H):
        logits, _ = self.recur(F, F.np.transpose(X), H)
        p = F.npx.pick(F.npx.softmax(logits), F.np.transpose(Y))  # (num_steps, batch_size)
        return -F.np.mean(F.np.log(p))


class CompiledLoss:
    """`model.loss(model(X), Y)` of an `RNNLM` by compiled graphs.

    A graph lays out its memory in advance, and anew when the shape changes or gradients are wanted.
    So there is one for each case: the last minibatch is smaller, and validation needs no gradients.
    """

    def __init__(self, model):
        self.model = model
        self.graphs = {}

    def __call__(self, X, Y):
        case = X.shape, autograd.is_recording()
        if case not in self.graphs:
            (H,) = self.model.rnn.rnn.begin_state(X.shape[0], ctx=X.ctx)
            self.graphs[case] = MeanLoss(self.model), H
        graph, H = self.graphs[case]
        return graph(X, Y, H)


# Initial weights ---------------------------------------------------------------------------------


def uniform(name, seed):
    """Gluon's own default initialiser, Uniform(-0.07, 0.07), drawn from `seed` unless that is None.

    MXNet's global stream can be seeded, but not be put back as it was. So a seed draws in NumPy,
    from the same distribution.
    """
    return None if seed is None else SeededUniform(name=name, seed=seed)


class SeededUniform(init.Initializer):
    """Weights from Uniform(-scale, scale) in NumPy, decided by `name` and `seed` alone."""

    def __init__(self, name, seed, scale=0.07):
        super().__init__(name=name, seed=seed, scale=scale)
        self.name, self.seed, self.scale = name, seed, scale

    def _init_weight(self, _, array):
        random = onp.random.RandomState([self.seed, zlib.crc32(self.name.encode())])
        array[:] = random.uniform(-self.scale, self.scale, array.shape)
