"""What a reader writes in Flax's own terms; `tests/contract/test_readers.py` says what is right then."""

import flax.serialization
import jax
import optax
from flax import linen as nn
from jax import numpy as jnp

import d2lrnn as d2l
from d2lrnn_jax.rnn import RNNCell

ENDLESS = None  # JAX has no loaders of its own, so none that is without end or without a length
OWN_SUFFIX = ".msgpack"


class Dropping(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.drop = nn.Dropout(0.5)

    def output_layer(self, hiddens):
        return super().output_layer(self.drop(hiddens, deterministic=not self.training))


class Normalised(d2l.RNNLM):
    def init_params(self):
        super().init_params()
        self.norm = nn.BatchNorm()

    def output_layer(self, hiddens):
        return super().output_layer(self.norm(hiddens, use_running_average=not self.training))

    def loss(self, params, X, Y, state, averaged=True):
        """As section 8.5 has it: with the statistics that the model has moved."""
        variables = {"params": params, "batch_stats": state.batch_stats}
        Y_hat, moved = state.apply_fn(variables, *X, mutable=["batch_stats"])
        losses = optax.softmax_cross_entropy_with_integer_labels(Y_hat, Y)
        return (d2l.reduce_mean(losses) if averaged else losses), moved


class Decoder(d2l.RNNLM):
    def init_params(self):
        self.decoder = nn.Dense(self.vocab_size)

    def output_layer(self, hiddens):
        return d2l.swapaxes(self.decoder(hiddens), 0, 1)


class Momentum(d2l.RNNLM):
    """Optax keeps a learning rate where it can be changed if it is asked to."""

    def configure_optimizers(self):
        return optax.inject_hyperparams(optax.sgd)(self.lr, momentum=0.9)


class Adam(d2l.RNNLM):
    def configure_optimizers(self):
        return optax.inject_hyperparams(optax.adam)(self.lr)


class Gated(nn.Module):
    """A GRU of linen's."""

    num_hiddens: int

    @nn.compact
    def __call__(self, inputs, H=None):
        H = d2l.zeros((inputs.shape[1], self.num_hiddens)) if H is None else H
        scan = nn.scan(nn.GRUCell, variable_broadcast="params", split_rngs={"params": False})
        H, outputs = scan(self.num_hiddens)(H, inputs)
        return outputs, H


class ReplacedAndAdam(Adam):
    """Its layer is replaced when it has been given one; linen takes no other for it later."""

    def __post_init__(self):
        if isinstance(self.rnn, d2l.RNN):
            self.rnn = Gated(self.rnn.num_hiddens)
        super().__post_init__()


class ReLU(d2l.RNN):
    def layer(self):
        return RNNCell(self.num_hiddens, "relu", name="cell")


class Own(d2l.RNN):
    num_hiddens: int

    @nn.compact
    def __call__(self, inputs, H=None, training=False):
        H = d2l.zeros((1, inputs.shape[1], self.num_hiddens)) if H is None else H
        scan = nn.scan(nn.SimpleCell, variable_broadcast="params", split_rngs={"params": False})
        H, outputs = scan(self.num_hiddens)(H[0], inputs)
        return outputs, H[None]


class WithoutBias(d2l.RNNLM):
    def init_params(self):
        self.linear = nn.Dense(self.vocab_size, use_bias=False)


class CellWithoutBias(nn.Module):
    num_hiddens: int

    @nn.compact
    def __call__(self, H, X):
        i, h = (nn.Dense(self.num_hiddens, use_bias=False, name=name) for name in "ih")
        H = d2l.tanh(i(X) + h(H))
        return H, H


class LayerWithoutBias(d2l.RNN):
    def layer(self):
        return CellWithoutBias(self.num_hiddens)


def relu_inside(num_inputs, num_hiddens):
    return ReLU(num_hiddens, num_inputs=num_inputs)


def own_layer(num_inputs, num_hiddens):
    return Own(num_hiddens)


def without_bias(part, num_inputs, num_hiddens):
    layer, model = {"recurrent": (LayerWithoutBias, d2l.RNNLM), "output": (d2l.RNN, WithoutBias)}[
        part
    ]
    return model(layer(num_hiddens), vocab_size=num_inputs, lr=0.5)


def loaders_without_length(batch_size):
    return {}


def halve_lr(trainer):
    trainer.state.opt_state.hyperparams["learning_rate"] /= 2


def save_own(model, path):
    path.write_bytes(flax.serialization.to_bytes(model.params))


def load_own(model, path):
    model.params = flax.serialization.from_bytes(model.params, path.read_bytes())


def scalars():
    tensor = jnp.array(2.5)
    return {
        "no axes": (tensor, 2.5),
        "shape (1,)": (tensor.reshape(1), 2.5),
        "shape (1, 1)": (tensor.reshape(1, 1), 2.5),
        "of a gradient": (jax.grad(lambda x: 2.5 * x)(1.0), 2.5),
        "bfloat16": (tensor.astype(jnp.bfloat16), 2.5),
        "float16": (tensor.astype(jnp.float16), 2.5),
        "int32": (jnp.array(3), 3.0),
    }


def output_layer(model, outputs):
    return d2l.numpy(model.apply({"params": model.params}, outputs, method="output_layer"))
