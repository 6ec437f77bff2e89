"""The examples of a training on the device, and its epochs as graphs, in TensorFlow."""

import re
import warnings

import numpy as np
import tensorflow as tf

from d2lrnn.data import windows_of
from d2lrnn.errors import UserError

from .ops import device_name, from_numpy, numpy
from .weights import is_held, layers

MINIBATCHES_PER_CALL = 16  # between two calls, Ctrl-C is heard
LARGEST_COPY = 2**24  # entries of overlapping windows; gathering from copies is a little faster


class Traced:
    """A function as a graph; the function itself, with a warning, if TensorFlow can make none of it.

    Args:
        model: whose code runs in the function.
        function: of tensors.
        signature: of the tensors, if the graph is to hold for several shapes.
    """

    # What is raised where a reader's code reads a tensor's value, iterates over a tensor, and the like.
    FAULTS = TypeError, ValueError, AttributeError, NotImplementedError

    def __init__(self, model, function, signature=None):
        self.model, self.function = model, function
        self.call = tf.function(function, input_signature=signature, autograph=False)

    def __call__(self, *args):
        try:
            return self.call(*args)
        except self.FAULTS as fault:
            if self.call is self.function or isinstance(fault, UserError):
                raise
            # Keras writes a heading and the arguments around the message, and makes it bold.
            lines = [*re.sub(r"\x1b\[\dm", "", str(fault)).splitlines(), ""]
            said = next(
                line for line in lines if not line.startswith("Exception encountered") and line
            )
            warnings.warn(
                f"TensorFlow can make no graph of {type(self.model).__name__}, which is run operation "
                f"by operation instead, more slowly: {type(fault).__name__}: {said.split('. ')[0]}",
                stacklevel=2,
            )
            self.call = self.function
            return self.function(*args)


class Epoch:
    """`loss_of(batch)` over the minibatches of a loader's epoch, in one graph for each batch size.

    One for any size would be a tenth slower.
    """

    def __init__(self, model, loader, loss_of):
        self.model, self.loader, self.loss_of = model, loader, loss_of
        self.examples = [Rows(array) for array in loader.arrays]
        self.graphs = {}

    def __call__(self):
        """The losses (num_minibatches,) of the loader's epoch."""
        order, size = self.loader.order(), self.loader.batch_size
        full, rest = np.split(order, [len(order) // size * size])
        full = full.reshape(-1, size)  # (num_minibatches, batch_size)
        calls = np.split(full, range(MINIBATCHES_PER_CALL, len(full), MINIBATCHES_PER_CALL))
        losses = [self.losses(rows) for rows in [*calls, rest[None]] if rows.size]
        return numpy(tf.concat(losses, 0))  # the only place where the host waits for the device

    def losses(self, rows):
        """The losses (num_minibatches,) of the examples `rows` (num_minibatches, batch_size)."""
        size = rows.shape[1]
        if size not in self.graphs:
            signature = [tf.TensorSpec((None, size), tf.int64)]
            self.graphs[size] = Traced(self.model, self.each_loss, signature)
        return self.graphs[size](tf.constant(rows, tf.int64))

    def each_loss(self, rows):
        if tf.executing_eagerly():  # where map_fn would translate the reader's code by AutoGraph
            return tf.stack([self.one_loss(batch) for batch in rows])
        return tf.map_fn(self.one_loss, rows, parallel_iterations=1, fn_output_signature=tf.float32)

    def one_loss(self, rows):  # (batch_size,)
        loss = self.loss_of([examples[rows] for examples in self.examples])
        check_draws()
        return tf.reshape(tf.cast(loss, tf.float32), ())


def check_draws():
    """Raise a TypeError in a graph that draws from TensorFlow's own stream: its seed would be fixed."""
    if tf.executing_eagerly():
        return
    graph = tf.compat.v1.get_default_graph().as_graph_def()
    nodes = [
        *graph.node,
        *(node for function in graph.library.function for node in function.node_def),
    ]
    draws = {node.op for node in nodes if "seed2" in node.attr}
    if draws:
        raise TypeError(
            f"{', '.join(sorted(draws))} would draw the same numbers in a graph whatever the seed of the "
            "epoch; Keras's layers and tf.keras.random.SeedGenerator draw others."
        )


class Rows:
    """The rows of an array, on the device; overlapping windows, if large, as the sequence they view."""

    def __init__(self, array):
        self.windows = windows_of(array) if array.size > LARGEST_COPY else None
        self.array = from_numpy(array if self.windows is None else self.windows.sequence)

    def __getitem__(self, rows):
        if self.windows is not None:
            steps = tf.range(self.windows.width, dtype=rows.dtype)
            rows = self.windows.hop * rows[:, None] + steps  # (batch_size, num_steps)
        return tf.gather(self.array, rows)


def dense(gradients, variables):
    """The gradients as tensors, those of rows that are held at zero left out.

    TensorFlow gives the gradient of picked rows as a list of rows and indices. A row that was picked
    twice stands there twice, so the list has another norm than the gradient.
    """
    tensors = [g if g is None else tf.convert_to_tensor(g) for g in gradients]
    pairs = zip(tensors, variables, strict=True)
    return [g * [[1.0], [0.0]] if is_held(v) and g is not None else g for g, v in pairs]


def storage(variable):
    """The `tf.Variable` that holds the numbers of a variable, Keras's or TensorFlow's own."""
    return variable if isinstance(variable, tf.Variable) else variable.value


def move(model, device):
    """Put the variables of `model` on `device`, those of the layers inside it included.

    TensorFlow's variables stay where they are made, so they are made anew there.
    """
    name = device_name(device)

    def elsewhere(value):
        return isinstance(value, tf.Variable) and device_name(value.device) != name

    def moved(variable):
        label = variable.name.split(":")[0]
        return tf.Variable(variable, trainable=variable.trainable, name=label)

    with device:
        for variable in model.variables:
            if elsewhere(storage(variable)) and storage(variable) is not variable:
                variable._initialize(moved(variable.value))
        for _, layer in layers(model):
            for attribute, value in list(vars(layer).items()):
                if elsewhere(value):
                    setattr(layer, attribute, moved(value))
                elif isinstance(value, list) and any(map(elsewhere, value)):
                    value[:] = [moved(item) if elsewhere(item) else item for item in value]
