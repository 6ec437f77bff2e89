"""A reader's language model over the layers of sections 9.5 and 9.6 made faster, in JAX.

Nothing depends on this file. The reader's methods run as they are. Where they hand the library's layer the
very one-hot vectors that `one_hot` made, the tokens behind these pick rows, as in `fast_loss.py`; and over
all steps `nn.Dense` is one product, whose gradient is one, too.
"""

from flax import linen as nn

from d2lrnn.hyperparameters import check_inputs
from d2lrnn.language_model import LanguageModel
from d2lrnn.module import is_library_code, is_whole

from .fast_loss import recurrence
from .ops import expand_dims
from .rnn import RNN
from .rnn_scratch import RNNScratch


class Faster:
    """What Flax calls in place of each method, while `nn.intercept_methods` lasts."""

    tokens, vectors = None, object()  # the last that `one_hot` made vectors of, and these

    def __call__(self, method, args, kwargs, context):
        layer, name = context.module, context.method_name
        if kwargs or not args:
            return method(*args, **kwargs)
        if name == "one_hot" and is_library_code(type(layer).one_hot):
            self.tokens, self.vectors = args[0].T, method(*args)
            return self.vectors  # (num_steps, batch_size, vocab_size)
        inputs = args[0]
        if name == "forward" and inputs is self.vectors and args[1:2] in [(), (None,)]:
            has_weights = is_single(layer) and not layer.is_initializing()
            return self.run(layer) if has_weights else method(*args)
        if name == "__call__" and type(layer) is nn.Dense and getattr(inputs, "ndim", 0) > 2:
            outputs = method(inputs.reshape(-1, inputs.shape[-1]))
            return outputs.reshape(*inputs.shape[:-1], layer.features)
        return method(*args)

    def run(self, layer):
        """What `layer.forward` returns for the vectors of the tokens."""
        on_cell = isinstance(layer, RNN)
        params = layer.variables["params"]
        W_xh, W_hh, b_h = (
            (params["cell"] if on_cell else params)[name] for name in ("W_xh", "W_hh", "b_h")
        )
        check_inputs(self.vectors.shape[-1], len(W_xh))
        outputs = recurrence(layer.activation, W_xh, W_hh, b_h, self.tokens)
        return outputs, expand_dims(outputs[-1], 0) if on_cell else outputs[-1]


def is_single(layer):
    """Whether this is a single layer of section 9.5 or 9.6, as the library made it."""
    return is_whole(layer, RNN, RNNScratch) and getattr(layer, "num_layers", 1) == 1


def faster(model, function):
    """`function`, which calls the hooks of a language model over such a layer, made faster meanwhile."""
    if not (isinstance(model, LanguageModel) and is_single(getattr(model, "rnn", None))):
        return function

    def run(*args):
        plain = vars(model).setdefault("_compiled", {})
        # What is traced here stands apart from what was traced of the plain methods.
        vars(model)["_compiled"] = plain.setdefault("faster", {})
        try:
            with nn.intercept_methods(Faster()):
                return function(*args)
        finally:
            vars(model)["_compiled"] = plain

    return run
