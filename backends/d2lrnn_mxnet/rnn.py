"""The recurrent network on MXNet's own layer, `mxnet.gluon.rnn.RNN` (book, section 9.6)."""

from __future__ import annotations

import zlib

import numpy as onp
from mxnet import autograd, gluon, init, np, npx
from mxnet.gluon import nn, rnn

from d2lrnn.hyperparameters import check_inputs, check_one_of, check_sizes
from d2lrnn.module import keeps_library_step, library_step

from .module import Module
from .ops import swapaxes
from .rnn_scratch import ACTIVATIONS, RNNLMScratch
from .weights import materialise


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

        Once the sizes are known, tokens (num_steps, batch_size) stand for their one-hot vectors.

        Returns all hidden states (num_steps, batch_size, num_hiddens), and the last (1, ...).
        """
        if H is None:
            (H,) = self.rnn.begin_state(inputs.shape[1], ctx=inputs.ctx)
        if inputs.ndim == 2:
            weights = [parameter.data(inputs.ctx) for parameter in weights_of(self.rnn)]
            identity = np.eye(self.num_hiddens, ctx=inputs.ctx)
            return run_over_rows(npx, np, self.rnn, inputs, H, weights, identity)
        num_inputs = self.rnn.l0_i2h_weight.shape[1]
        if num_inputs > 0:  # known
            check_inputs(inputs.shape[-1], num_inputs)
        outputs, (H,) = self.rnn(inputs, (H,))
        return outputs, H

    def is_as_built(self, num_inputs):
        """Whether it is the library's, of inputs of this size, and nothing of it is the reader's."""
        layer = self.rnn
        return (
            keeps_library_step(self, "forward")
            and type(layer) is rnn.RNN  # not another that a reader has put in its place
            and layer.l0_i2h_weight.shape == (self.num_hiddens, num_inputs)
            and (layer._num_layers, layer._dir, layer._layout) == (1, 1, "TNC")
        )


def weights_of(layer):
    """The parameters of a `rnn.RNN`, in the order in which MXNet's operator wants them."""
    return layer.l0_i2h_weight, layer.l0_h2h_weight, layer.l0_i2h_bias, layer.l0_h2h_bias


def run_over_rows(npx, np, layer, tokens, H, weights, identity):
    """`layer` on the rows of W_xh that `tokens` (num_steps, batch_size) pick, by MXNet's own operator.

    The operator multiplies its inputs by weights; rows of W_xh are multiplied by the identity.
    `npx`, `np`, `weights` and the others are arrays' or, in a graph, symbols'.

    Returns all hidden states (num_steps, batch_size, num_hiddens), and the last (1, ...).
    """
    W_xh, W_hh, *biases = weights
    num_hiddens, vocab_size = layer.l0_i2h_weight.shape
    sizes = {"input_dim": vocab_size, "output_dim": num_hiddens}
    rows = npx.embedding(
        tokens, np.transpose(W_xh), **sizes
    )  # (num_steps, batch_size, num_hiddens)
    flat = np.concatenate([np.reshape(identity, (-1,)), np.reshape(W_hh, (-1,)), *biases], axis=0)
    kind = {"state_size": num_hiddens, "num_layers": 1, "mode": layer._mode}
    outputs, H = npx.rnn(rows, flat, H, state_outputs=True, **kind)
    return outputs, H


class RNNLM(RNNLMScratch):
    """A language model on MXNet's own layers (book, section 9.6.1): `RNN`, then `gluon.nn.Dense`.

    Args:
        rnn: the recurrent layer.
        vocab_size: number of tokens.
        lr: learning rate of SGD.
        seed: of the initial weights, see `uniform`; None draws them from MXNet's global stream.
    """

    @library_step
    def init_params(self):
        initializer = uniform("dense_weight", self.seed)
        self.linear = nn.Dense(self.vocab_size, flatten=False, weight_initializer=initializer)
        self.initialize()

    def is_as_built(self):
        return type(self.linear) is nn.Dense and super().is_as_built()

    @library_step
    def output_layer(self, hiddens):
        """Hidden states (num_steps, batch_size, num_hiddens) to (batch_size, num_steps, vocab_size)."""
        return swapaxes(self.linear(hiddens), 0, 1)

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


# The compiled loss ------------------------------------------------------------------------------


class MeanLoss(gluon.HybridBlock):
    """From tokens X, Y (batch_size, num_steps) to the mean loss of an `RNNLM`, its layers as one graph.

    A token of probability below 1e-38 makes it infinite.
    """

    def __init__(self, model):
        super().__init__()
        # Before it has layers, or they would be compiled too, each alone.
        self.hybridize(static_alloc=True, static_shape=True)
        self.vocab_size, self.picks_rows = model.vocab_size, model.picks_rows()
        self.layer = model.rnn.rnn
        self.linear = model.linear
        self.W_xh, self.W_hh, self.b_h, self.second_bias = weights_of(self.layer)

    def hybrid_forward(self, F, X, Y, H, W_xh, W_hh, b_h, second_bias):
        X, Y = F.np.transpose(X), F.np.transpose(Y)  # (num_steps, batch_size)
        if self.picks_rows:
            weights, identity = (W_xh, W_hh, b_h, second_bias), F.np.eye(self.layer._hidden_size)
            hiddens, _ = run_over_rows(F.npx, F.np, self.layer, X, H, weights, identity)
        else:
            hiddens, _ = self.layer(F.npx.one_hot(X, self.vocab_size), [H])
        logits = self.linear(hiddens)  # (num_steps, batch_size, vocab_size)
        return -F.np.mean(F.np.log(F.npx.pick(F.npx.softmax(logits), Y)))


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
