"""The variables of a model: TensorFlow's own, Keras's, their gradients, and where they are."""

import tensorflow as tf

from .ops import device_name
from .weights import is_held, layers, variables


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
    name, made = device_name(device), {}
    for variable in (*model.variables, *variables(model).values()):
        stored = storage(variable)
        if device_name(stored.device) == name or id(stored) in made:
            continue
        with device:
            label = stored.name.split(":")[0]
            made[id(stored)] = tf.Variable(stored, trainable=variable.trainable, name=label)
        if stored is not variable:
            variable._initialize(made[id(stored)])
    for _, layer in layers(model):
        for attribute, value in list(vars(layer).items()):
            if id(value) in made:
                setattr(layer, attribute, made[id(value)])
            elif isinstance(value, list) and any(id(item) in made for item in value):
                value[:] = [made.get(id(item), item) for item in value]
