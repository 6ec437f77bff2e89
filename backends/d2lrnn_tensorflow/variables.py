"""The variables of a model: TensorFlow's own, Keras's, their gradients, and where they are and are kept."""

import tensorflow as tf

from d2lrnn.errors import WeightsError

from .ops import device_name, numpy
from .weights import attributes, is_held, layers, variables


def distinct(known, named):
    """Each variable once, where several attributes name it."""
    return list({id(v): v for v in (*known, *(v for _, v in named))}.values())


def dense(gradients, trained):
    """The gradients as tensors, those of rows that are held at zero left out.

    TensorFlow gives the gradient of picked rows as a list of rows and indices. A row that was picked
    twice stands there twice, so the list has another norm than the gradient.
    """
    tensors = [g if g is None else tf.convert_to_tensor(g) for g in gradients]
    pairs = zip(tensors, trained, strict=True)
    return [g * [[1.0], [0.0]] if is_held(v) and g is not None else g for g, v in pairs]


def storage(variable):
    """The `tf.Variable` that holds the numbers of a variable, Keras's or TensorFlow's own."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def move(model, device):
    """Put the variables of `model` on `device`, those of the layers inside it included.

    TensorFlow's variables stay where they are made, so they are made anew there.
    """

    def make(stored, trainable, name):
        with device:
            return tf.Variable(stored, trainable=trainable, name=name)

    def is_there(stored):
        spread = isinstance(stored, tf.distribute.DistributedValues)  # over several
        return not spread and device_name(stored.device) == device_name(device)

    remake(model, make, is_there)


def remake(model, make, is_there):
    """Make the variables of `model` anew, by `make(stored, trainable, name)`, but those that are there."""
    made = {}
    for variable in (*model.variables, *variables(model).values()):
        stored = storage(variable)
        if is_there(stored) or id(stored) in made:
            continue
        made[id(stored)] = make(stored, variable.trainable, stored.name.split(":")[0])
        if stored is not variable:
            variable._initialize(made[id(stored)])
    for _, layer in layers(model):
        for attribute, value in list(vars(layer).items()):
            if id(value) in made:
                setattr(layer, attribute, made[id(value)])
            elif isinstance(value, list) and any(id(item) in made for item in value):
                value[:] = [made.get(id(item), item) for item in value]


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
