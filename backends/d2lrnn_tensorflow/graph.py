"""Functions as graphs, where TensorFlow can make one of them."""

import re
import warnings

import tensorflow as tf

from d2lrnn.errors import UserError


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
