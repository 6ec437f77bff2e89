"""A faster twin of the loss of sections 9.5 and 9.6, in PyTorch: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from functools import partial
from itertools import pairwise

import torch
from torch.nn import functional as F

from d2lrnn.language_model import NAMES, LanguageModel

from .fast_loss import mean_loss
from .weights import layout, settings

# In place, and the slope phi'(A) by H = phi(A), times the gradient, into `grad_input`.
PHI = {"tanh": torch.tanh_, "relu": torch.relu_}
TIMES_SLOPE = {
    "tanh": torch.ops.aten.tanh_backward.grad_input,
    "relu": partial(torch.ops.aten.threshold_backward.grad_input, threshold=0),
}


class Recurrence(torch.autograd.Function):
    """H_t = phi(W_xh[X_t] + b_h + H_{t-1} W_hh) from zeros, for tokens X, and its gradients (section 9.7).

    Tokens pick rows, which is what the product of their one-hot vectors with W_xh comes to. Only the
    gradients by the argument of phi must be had step by step; a weight's is then one product over all.
    """

    @staticmethod
    def forward(ctx, X, W_xh, W_hh, b_h, activation):
        phi = PHI[activation]
        rows = (W_xh + b_h).contiguous()  # PyTorch's layer keeps W_xh transposed
        outputs = F.embedding(X, rows)  # (num_steps, batch_size, num_hiddens)
        phi(outputs[0])
        for H, A in pairwise(outputs):
            phi(A.addmm_(H, W_hh))
        ctx.save_for_backward(X, outputs, W_hh)
        ctx.activation, ctx.vocab_size = activation, len(W_xh)
        return outputs

    @staticmethod
    def backward(ctx, d_outputs):
        X, outputs, W_hh = ctx.saved_tensors
        times_slope, W_hh_T = TIMES_SLOPE[ctx.activation], W_hh.T.contiguous()
        dA = torch.empty_like(outputs)
        dH = d_outputs[-1]
        for t in range(len(outputs) - 1, -1, -1):
            times_slope(dH, outputs[t], grad_input=dA[t])
            if t > 0:
                dH = torch.addmm(d_outputs[t - 1], dA[t], W_hh_T)
        flat = dA.flatten(0, 1)  # (num_steps * batch_size, num_hiddens)
        dW_xh = flat.new_zeros((ctx.vocab_size, flat.shape[1])).index_add_(0, X.flatten(), flat)
        dW_hh = outputs[:-1].flatten(0, 1).T @ dA[1:].flatten(0, 1)
        return None, dW_xh, dW_hh, flat.sum(0), None


def twin(model):
    """A function equal to `model.batch_loss`, for a whole model of section 9.5 or 9.6; else None."""
    if not (isinstance(model, LanguageModel) and model.is_whole() and model.has_weights(*NAMES)):
        return None
    own = dict(model.named_parameters())
    pieces = {piece.names: piece for piece in layout(model)}
    if () in pieces and own[pieces[()].path].requires_grad:  # a second bias that a reader trains
        return None
    parts = [(own[pieces[name,].path], pieces[name,].transposed) for name in NAMES]
    (activation,) = settings(model).values()

    def batch_loss(batch):
        if len(batch) > 2:  # it begins with a state
            return model.batch_loss(batch)
        X, Y = (tokens.T for tokens in batch)  # (num_steps, batch_size)
        W_xh, W_hh, b_h, W_hq, b_q = (p.T if transposed else p for p, transposed in parts)
        outputs = Recurrence.apply(X, W_xh, W_hh, b_h, activation)
        return mean_loss(outputs, W_hq.T, b_q, Y)

    return batch_loss
