"""A reader's language model made faster, in PyTorch: by one-hot vectors that know their tokens.

Nothing depends on this file. The reader's methods run as they are. What `one_hot` returns is made only when
something reads it: a product with it, also that of PyTorch's own layer, picks rows instead.
"""

import torch
from torch.nn import functional as F

from d2lrnn.language_model import LanguageModel
from d2lrnn.module import is_whole, nested, standing_in

from .ops import indices
from .rnn import RNN
from .rnn_scratch import RNNScratch


def faster(model, function):
    """`function`, which calls the hooks of a language model, with the library's own made faster meanwhile."""
    layer = getattr(model, "rnn", None)
    if not (isinstance(model, LanguageModel) and is_whole(layer, RNN, RNNScratch)):
        return function
    plain = model.one_hot

    def one_hot(X):
        if torch.compiler.is_compiling():
            return plain(X)
        return OneHot(indices(X.T).clone(), model.vocab_size)

    def run(*args):
        with standing_in(model, one_hot=one_hot):
            return function(*args)

    return run


class OneHot(torch.Tensor):
    """The vectors (..., vocab_size) of tokens, time-major; `made` once something has read them."""

    def __new__(cls, tokens, vocab_size):
        options = {"dtype": torch.float32, "device": tokens.device}
        return cls._make_wrapper_subclass(cls, (*tokens.shape, vocab_size), **options)

    def __init__(self, tokens, vocab_size):
        self.tokens, self.made = tokens, None

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in OF_SHAPE:
            return super().__torch_function__(func, types, args, kwargs)
        known, *given = args or (None,)
        is_known = isinstance(known, OneHot) and known.made is None and not kwargs
        with torch._C.DisableTorchFunctionSubclass():
            if is_known and func in INSTEAD and (found := INSTEAD[func](known, *given)) is not None:
                return found
            return called(func, args, kwargs)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        """What PyTorch does without asking `__torch_function__`, such as `torch.tensor(vectors)`."""
        return called(func, args, kwargs)


def called(func, args, kwargs):
    """What a function of PyTorch's returns for arguments of which the vectors are made."""
    return func(*nested(read, args), **{n: nested(read, x) for n, x in (kwargs or {}).items()})


def read(x):
    """An argument, its vectors made: as by F.one_hot, which makes int64 first."""
    if not isinstance(x, OneHot):
        return x
    if x.made is None:
        zero = torch.zeros((), dtype=torch.float32, device=x.tokens.device)
        x.made = zero.expand(x.shape).scatter(-1, x.tokens[..., None], 1)
    return x.made


def steps(vectors, dim=0):
    """The vectors of each step."""
    if dim == 0 and vectors.tokens.ndim > 1:
        return [OneHot(tokens, vectors.shape[-1]) for tokens in vectors.tokens]
    return None


def product(vectors, W):
    """The rows of a matrix that the tokens pick; of a small one a product is faster."""
    is_matrix = isinstance(W, torch.Tensor) and W.ndim == 2
    fits = is_matrix and (len(W), W.dtype) == (vectors.shape[-1], vectors.dtype)
    if fits and len(W) > W.shape[1]:
        return F.embedding(vectors.tokens, W)
    return None


def layer_of(run):
    """The function of `nn.RNN`, which multiplies its inputs by weights: rows, by the identity."""

    def outputs(vectors, state, weights, has_biases, num_layers, *others):
        *_, bidirectional, batch_first = others
        is_single = num_layers == 1 and not (bidirectional or batch_first)
        W_xh, *further = weights
        rows = product(vectors, W_xh.T.contiguous()) if is_single else None
        if rows is None:
            return None
        eye = torch.eye(len(W_xh), device=rows.device, dtype=rows.dtype)
        return run(rows, state, (eye, *further), has_biases, num_layers, *others)

    return outputs


OF_SHAPE = {
    torch.Tensor.dim, torch.Tensor.size, torch.Tensor.__len__, torch.Tensor.shape.__get__,
    torch.Tensor.dtype.__get__, torch.Tensor.device.__get__, torch.Tensor.ndim.__get__,
}  # fmt: skip
INSTEAD = {
    torch.Tensor.unbind: steps,
    torch.matmul: product,
    torch.Tensor.matmul: product,
    torch.rnn_tanh: layer_of(torch.rnn_tanh),
    torch.rnn_relu: layer_of(torch.rnn_relu),
}
