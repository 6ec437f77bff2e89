"""The parameters of a model, which Flax keeps outside of it, and how they are drawn."""

import zlib
from typing import Any, ClassVar

import jax
import numpy as np
from flax import linen as nn
from flax.core import unfreeze
from flax.training import train_state
from jax import numpy as jnp

from d2lrnn import language_model as core
from d2lrnn.errors import ArgumentError
from d2lrnn.module import methods_of
from d2lrnn.weights import draw, path_below, prefix_of

from .ops import cpu, get_key, int32, once, zeros
from .weights import book_path


class TrainState(train_state.TrainState):
    """Flax's `TrainState`, with what the book's models may use besides parameters."""

    batch_stats: Any
    dropout_rng: jax.Array


class Parameters:
    """What makes a linen module own its parameters, so that it can also be used by itself.

    `model.apply({"params": params}, X)` is ordinary linen; `model.params` holds the parameters that a
    trainer has left there or, before any training, new ones drawn from the seed of the model. So does
    `model.batch_stats`, the running statistics of a normalisation.
    """

    batch_stats: ClassVar = {}

    @property
    def params(self):
        """The parameters of this model, a dict of JAX arrays: drawn from its seed at first need."""
        if not self.has_params:
            if self.dummy_input() is None:
                raise ArgumentError(
                    f"{type(self).__name__} has no parameters yet: their shapes follow from the data. "
                    "Train it with Trainer.fit, or set model.params = model.init(key, X)['params']."
                )
            self.set_variables(self.draw_variables(self.dummy_input()))
        return self.__dict__["_params"]

    @params.setter
    def params(self, params):
        self.__dict__["_params"] = jax.tree.map(jnp.asarray, params)  # Flax reads a file as NumPy's

    def set_variables(self, variables):
        """Take the parameters and the running statistics of what `init` or `draw_variables` returns."""
        self.params, self.batch_stats = variables["params"], variables.get("batch_stats", {})

    @property
    def has_params(self):
        return "_params" in self.__dict__

    @property
    def device(self):
        """Where the parameters are."""
        return next((d for p in jax.tree.leaves(self.params) for d in p.devices()), cpu())

    def is_on(self, device):
        """Whether this is the device, or its name: 'cpu', 'gpu', 'gpu:0'."""
        own = self.device
        return device in (own, own.platform, f"{own.platform}:{own.id}")

    def dummy_input(self):
        """Inputs, a tuple, from which the parameters' shapes follow; None if only data can tell."""
        return None

    def apply_init(self, dummy_input, key):
        """The variables of a new model, `{"params": ...}`, for inputs like the tuple `dummy_input`."""
        return self.init(key, *dummy_input)

    def draw_variables(self, dummy_input, key=None):
        """New variables, on the CPU: drawn from `key` or, without one, from the layers' seeds."""
        model = self if key is None else unseeded(self)
        if key is None:
            seeds = [getattr(part, "seed", 0) for part in parts_of(self)]
            seed = getattr(self, "seed", None if None in seeds else 0)
            key = get_key() if seed is None else jax.random.key(seed)
        keys = dict(zip(("params", "dropout"), jax.random.split(key), strict=True))
        dummy_input, keys = jax.device_put((tuple(dummy_input), keys), cpu())
        return {"params": {}} | unfreeze(once(model.apply_init, dummy_input, keys))

    def set_weights(self, weights):
        """`Module.set_weights`; a model that is given all its weights draws none, which takes compiling."""
        if self.has_params or self.dummy_input() is None:
            return super().set_weights(weights)
        shapes = jax.eval_shape(self.apply_init, self.dummy_input(), jax.random.key(0))
        blank = self.with_params({})
        blank.set_variables(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))
        blank.set_weights(weights)
        self.params, self.batch_stats = blank.params, blank.batch_stats

    def with_params(self, params):
        """This model with other parameters; what is compiled for one of the two serves both."""
        self.__dict__.setdefault("_compiled", {})
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other.params = params
        return other

    @nn.nowrap
    def compiled(self, name, function):
        """`function` under `jax.jit`, traced once for this model and `name`.

        It is traced anew in the other mode, training or not, and after a method has been replaced.
        """
        key = (name, getattr(self, "training", None), *map(methods_of, parts_of(self)))
        functions = self.__dict__.setdefault("_compiled", {})
        return functions.get(key) or functions.setdefault(key, jax.jit(function, inline=True))

    def train_state(self):
        """The state in which a training of this model begins; each epoch brings its own key for dropout."""
        optimizer, params = self.configure_optimizers(), self.params
        more = {"batch_stats": self.batch_stats, "dropout_rng": jax.random.PRNGKey(0)}
        state = TrainState.create(apply_fn=self.apply, params=params, tx=optimizer, **more)
        # A reader's SGD, as in section 3.4, gives the class of an empty state, which JAX takes for no value.
        return state.replace(
            opt_state=jax.tree.map(lambda s: s() if isinstance(s, type) else s, state.opt_state)
        )


class LanguageModel(core.LanguageModel):
    """A model of token sequences: tokens tell its parameters' shapes, and it decodes with those given."""

    def dummy_input(self):
        return (zeros((1, 1), dtype=int32),)

    def predict(self, prefix, num_preds, vocab, params=None, device=None, **options):
        """See `d2lrnn.language_model`; fourth may stand parameters, such as `trainer.state.params`."""
        if isinstance(params, jax.Device | str):
            params, device = None, params
        model = self if params is None else self.with_params(params)
        return core.LanguageModel.predict(model, prefix, num_preds, vocab, device, **options)


# Initialisers, which draw a layer's weight by its name in the model, so that no two start as copies.


def seeded(layer, name, initializer):
    """`initializer`, drawing from the layer's seed; of a layer without one, from the key of `init`.

    A number sigma stands for N(0, sigma^2), drawn in NumPy, for every backend alike.
    """
    is_sigma = not callable(initializer)
    if layer.seed is None:
        return nn.initializers.normal(initializer) if is_sigma else initializer
    name = path_below(prefix_of(book_path(layer.path)) + name)
    if is_sigma:
        return lambda _, shape: jnp.asarray(draw(name, shape, initializer, layer.seed))
    key = jax.random.fold_in(jax.random.key(layer.seed), zlib.crc32(name.encode()))
    return lambda _, *args: initializer(key, *args)


def parts_of(module):
    """A module, and the modules that are its fields."""
    fields = (value for name, value in vars(module).items() if name != "parent")
    return [module, *(value for value in fields if isinstance(value, nn.Module))]


def unseeded(module):
    """`module`, but with the initial weights of all its layers left to the key given to `init`."""
    inner = {n: getattr(module, n) for n in module.__dataclass_fields__.keys() - {"parent"}}
    changes = {n: unseeded(layer) for n, layer in inner.items() if isinstance(layer, nn.Module)}
    return module.clone(**changes, **({"seed": None} if "seed" in inner else {}))
