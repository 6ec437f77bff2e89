"""The loss of the twin of sections 9.5 and 9.6, in PyTorch: with many classes step by step.

The logits of a word-level minibatch, 600 MB over all its steps, would go through memory several times.
"""

import torch
from torch.nn import functional as F

FEW = 128  # up to so many classes, one product over all steps is faster


def mean_loss(outputs, W_qh, b_q, Y):
    """The mean loss of outputs (num_steps, batch_size, num_hiddens) and labels Y (num_steps, batch_size).

    They are time-major as they come: a mean has no order.
    """
    if len(b_q) <= FEW:
        logits = F.linear(outputs, W_qh, b_q)  # (num_steps, batch_size, vocab_size)
        return F.cross_entropy(logits.flatten(0, 1), Y.flatten())
    if torch.is_grad_enabled():
        return OfSteps.apply(outputs, W_qh, b_q, Y)
    steps = zip(outputs, Y, strict=True)
    losses = [F.cross_entropy(F.linear(H, W_qh, b_q), y, reduction="sum") for H, y in steps]
    return sum(losses) / Y.numel()


class OfSteps(torch.autograd.Function):
    """The loss and, taken while the logits of a step are there, its gradients."""

    @staticmethod
    def forward(ctx, outputs, W_qh, b_q, Y):
        loss = outputs.new_zeros(())
        d_outputs, dW_qh, db_q = map(torch.zeros_like, (outputs, W_qh, b_q))
        for H, labels, dH in zip(outputs, Y[..., None], d_outputs, strict=True):
            log_p = F.log_softmax(F.linear(H, W_qh, b_q), 1)  # (batch_size, vocab_size)
            loss -= log_p.gather(1, labels).sum()
            d_logits = log_p.exp_()  # p - 1 of the label, p of the others
            d_logits.scatter_add_(1, labels, d_logits.new_full(labels.shape, -1))
            torch.mm(d_logits, W_qh, out=dH)
            dW_qh.addmm_(d_logits.T, H)
            db_q += d_logits.sum(0)
        ctx.save_for_backward(d_outputs, dW_qh, db_q)
        ctx.num_tokens = Y.numel()
        return loss / ctx.num_tokens

    @staticmethod
    def backward(ctx, d_loss):
        share = d_loss / ctx.num_tokens
        return *(share * gradient for gradient in ctx.saved_tensors), None
