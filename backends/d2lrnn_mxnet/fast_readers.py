"""A reader's language model made faster, in MXNet: by one-hot vectors that know their tokens.

Nothing depends on this file. The reader's methods run as they are. What `one_hot` returns is made only when
something reads it: the layer of section 9.6 picks rows instead, where they are smaller than the vectors.
"""

from mxnet import gluon, np, npx

from d2lrnn.language_model import LanguageModel
from d2lrnn.module import is_whole, standing_in

from .ops import concat, float32, reshape, zeros
from .rnn import RNN
from .weights import has_hooks


def faster(model, function):
    """`function`, which calls the hooks of a language model, with rows picked by the library's meanwhile."""
    layer = getattr(model, "rnn", None)
    if not (isinstance(model, LanguageModel) and is_whole(layer, RNN)):
        return function

    def run(*args):
        if model.rnn is not layer:
            return function(*args)
        one_hot, forward = model.one_hot, layer.forward

        def vectors_of(X):
            return OneHot(one_hot, X.copy(), model.vocab_size)

        def run_layer(inputs, state=None):
            is_known = state is None and isinstance(inputs, OneHot)
            return (is_known and over_rows(layer, inputs)) or forward(inputs, state)

        with standing_in(model, one_hot=vectors_of), standing_in(layer, forward=run_layer):
            return function(*args)

    return run


def over_rows(layer, vectors):
    """What `layer` returns for one-hot vectors, by the rows that their tokens pick; None if it is another."""
    inner = layer.rnn
    is_single = type(inner) is gluon.rnn.RNN and (inner._num_layers, inner._dir) == (1, 1)
    if not is_single or inner._layout != "TNC" or vectors.made is not None or has_hooks(inner):
        return None
    num_hiddens, num_inputs = inner.l0_i2h_weight.shape
    if not num_hiddens < num_inputs == vectors.vocab_size:  # not known yet, another, or a small one
        return None
    parameters = inner.l0_i2h_weight, inner.l0_h2h_weight, inner.l0_i2h_bias, inner.l0_h2h_bias
    W_xh, *others = (parameter.data(vectors.ctx) for parameter in parameters)
    sizes = {"input_dim": num_inputs, "output_dim": num_hiddens}
    rows = npx.embedding(vectors.X.T, W_xh.T, **sizes)  # (num_steps, batch_size, num_hiddens)
    # MXNet's operator multiplies its inputs by weights: rows by 1.
    weights = [reshape(W, (-1,)) for W in (np.eye(num_hiddens, ctx=vectors.ctx), *others)]
    H = zeros((1, rows.shape[1], num_hiddens), ctx=vectors.ctx)
    options = {"state_size": num_hiddens, "num_layers": 1, "mode": inner._mode}
    outputs, H = npx.rnn(rows, concat(weights), H, state_outputs=True, **options)
    return outputs, H


class OneHot(np.ndarray):
    """What `one_hot(X)` returns, of tokens X (batch_size, num_steps); `made` once something has read it."""

    __slots__ = "X", "made", "one_hot", "vocab_size"

    def __init__(self, one_hot, X, vocab_size):
        self.one_hot, self.X, self.vocab_size = one_hot, X, vocab_size
        self.made, self.writable = None, True

    @property
    def __class__(self):
        """Of what MXNet takes out of it, such as a step."""
        return np.ndarray

    @property
    def handle(self):
        """MXNet's own, which all of its operators ask for."""
        if self.made is None:
            self.made = self.one_hot(self.X)
        return self.made.handle

    def __del__(self):
        """MXNet's would free what `made` frees."""

    @property
    def shape(self):
        return *self.X.shape[::-1], self.vocab_size

    @property
    def dtype(self):
        return float32

    @property
    def ctx(self):
        return self.X.ctx
