"""The variables of a model, TensorFlow's own and Keras's: by path, where they are, and how they begin."""

import tensorflow as tf
from tensorflow.keras import layers as kl
from tensorflow.keras.initializers import GlorotUniform, Orthogonal

from d2lrnn import weights as core

from .ops import device_name


def variables(model, deep=True):
    """The variables of `model`, each once, by path: the attributes that lead to it; or its own alone."""
    found = {}  # by identity: several attributes may name one
    for path, layer in layers(model) if deep else [("", model)]:
        for name, variable in own_variables(layer):
            found.setdefault(id(variable), (f"{path}.{name}" if path else name, variable))
    return dict(found.values())


def own_variables(layer):
    """The variables, by name, that are attributes of `layer`, or stand in a list that is one."""
    return [
        (name.removeprefix("_"), value)  # `_kernel`, as some layers of Keras's call it
        for name, value in attributes(layer)
        if hasattr(type(value), "assign") and isinstance(value, tf.Variable | tf.keras.Variable)
    ]


def attributes(layer):
    """Names and values of the attributes, Keras's records last; a list or dict is given item by item."""

    def rank(item):
        return item[0].startswith("_"), isinstance(item[1], list | dict)

    return core.items_of(dict(sorted(vars(layer).items(), key=rank)))


def layers(model):
    """`model` and the layers inside it, each once, by path."""

    def named(layer):  # those of a Sequential by number
        return ((name.removeprefix("_layers."), value) for name, value in attributes(layer))

    return core.layers_in(model, kl.Layer, named)


def is_held(variable):
    """Whether the second row of `variable` is held at zero."""
    return getattr(variable, "held", False)


def has_sizes(model):
    """Whether every layer has its variables; those of Keras's may wait for their first input."""
    return all(layer.built for _, layer in layers(model))


def has_hooks(model):
    """Whether a reader has put another `call` into `model`, or into a layer inside it."""
    return any("call" in vars(layer) for _, layer in layers(model))


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


# Initial weights ----------------------------------------------------------------------------------


def stream(seed, index):
    """The seed of one of several independent initialisers; None stays None."""
    return None if seed is None else 3 * int(seed) + index


def glorot(seed, index):
    """Keras's own initialiser of matrices, drawing from one of the streams of `seed`."""
    return GlorotUniform(seed=stream(seed, index))


def drawn(name, shape, sigma, seed):
    """A variable drawn from N(0, sigma^2) by its `name` and `seed`."""
    return tf.Variable(core.draw(name, shape, sigma, seed))


def recurrent_options(seed, start):
    """Of a recurrent layer of Keras's: what it draws from at `start`, its place, and that it returns all."""
    seed = core.seed_at(seed, start)
    return {
        "kernel_initializer": glorot(seed, 0),
        "recurrent_initializer": Orthogonal(seed=stream(seed, 1)),
        "seed": stream(seed, 0),  # of dropout inside, which is off
        "return_sequences": True,
        "return_state": True,
    }
