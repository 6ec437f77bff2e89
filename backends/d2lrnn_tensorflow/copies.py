"""What Keras does with the variables it knows, done with all that a model has: copied, listed and saved."""

import copyreg

import tensorflow as tf

from d2lrnn import backend
from d2lrnn.errors import WeightsError

from .ops import numpy
from .variables import attributes, is_held, variables


class Weights(dict):
    """Weights by name and, as Keras lists them, by number: the book's `get_weights()[0]` (section 3.5)."""

    def __missing__(self, key):
        if isinstance(key, int):
            return self.listed[key]
        raise KeyError(key)


class Kept:
    """What Keras does with the variables it knows, done with all that a model has at the moment."""

    def __setattr__(self, name, value):
        """Keras would go on training a layer in whose place another is put."""
        before = vars(self).get(name)
        super().__setattr__(name, value)
        if isinstance(before, list | tf.keras.layers.Layer):
            kept = {id(v) for n, v in attributes(self) if not n.startswith("_layers.")}
            for old in before if isinstance(before, list) else [before]:
                if id(old) not in kept:
                    self._tracker.untrack(old)

    def __reduce__(self):
        return copyreg.__newobj__, (type(self),), self.__getstate__()

    def __getstate__(self):
        """What a copy is made of: not what Keras notes down, which it does anew; and what is held at zero."""
        new, own = backend.active().Module(), super().__getstate__()
        noted = vars(new).keys() - {"hparams", *new.hparams}
        held = [path for path, variable in variables(self).items() if is_held(variable)]
        return {name: plain(own[name]) for name in own if name not in noted}, held

    def __setstate__(self, state):
        backend.active().Module.__init__(self)
        # By itself, or Keras would train layers in it.
        vars(self)["hparams"] = state[0].pop("hparams")
        for name, value in state[0].items():
            setattr(self, name, value)
        for path in state[1]:
            variables(self)[path].held = True

    def get_weights(self):
        weights = Weights(super().get_weights())
        weights.listed = tf.keras.Model.get_weights(self)
        return weights

    def set_weights(self, weights):
        if isinstance(weights, list):  # in Keras's order
            return tf.keras.Model.set_weights(self, weights)
        super().set_weights(weights)

    def save_own_variables(self, store):
        for name, variable in variables(self, deep=False).items():
            store[name] = numpy(variable)

    def load_own_variables(self, store):
        own = variables(self, deep=False)
        if own.keys() != set(store.keys()):
            raise WeightsError(f"{self.name} has {sorted(own)}, the file {sorted(store.keys())}.")
        for name, variable in own.items():
            variable.assign(store[name])


def plain(value):
    """Lists and the like as Python's own, without what Keras and TensorFlow note down in them.

    Of a tensor that a layer noted down in a graph nothing can be copied: it has no numbers.
    """
    if tf.is_symbolic_tensor(value):
        return None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    kind = next((kind for kind in (list, tuple, set) if isinstance(value, kind)), None)
    return value if kind is None or hasattr(value, "_fields") else kind(map(plain, value))
