"""A faster twin of the loss of sections 9.5 and 9.6, in MXNet: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

import math

from mxnet import autograd, gluon, np

from d2lrnn.language_model import NAMES, LanguageModel

from .weights import has_sizes, layout, own, settings


class MeanLoss(gluon.HybridBlock):
    """From tokens X, Y (batch_size, num_steps) and the weights to the mean loss, as one graph.

    A token of probability below 1e-38 makes it infinite.
    """

    def __init__(self, model, transposed):
        super().__init__()
        self.hybridize(static_alloc=True, static_shape=True)
        self.transposed = transposed  # which weights are (out, in), as MXNet's operators want them
        self.vocab_size, self.num_hiddens = model.vocab_size, model.rnn.num_hiddens
        self.mode = f"rnn_{settings(model)['activation']}"

    def hybrid_forward(self, F, X, Y, H, *weights):
        X, Y = F.np.transpose(X), F.np.transpose(Y)  # (num_steps, batch_size)
        given = zip(weights, self.transposed, strict=True)
        W_xh, W_hh, b_h, W_hq, b_q = (w if t else F.np.transpose(w) for w, t in given)
        if self.vocab_size > self.num_hiddens:
            # The operator multiplies its inputs by weights: rows of W_xh, which X picks, by 1.
            sizes = {"input_dim": self.vocab_size, "output_dim": self.num_hiddens}
            inputs = F.npx.embedding(X, F.np.transpose(W_xh), **sizes)
            W_xh = F.np.eye(self.num_hiddens)
        else:
            inputs = F.npx.one_hot(X, self.vocab_size)
        weights = [F.np.reshape(w, (-1,)) for w in (W_xh, W_hh, b_h, F.np.zeros_like(b_h))]
        flat = F.np.concatenate(weights, axis=0)
        kind = {"state_size": self.num_hiddens, "num_layers": 1, "mode": self.mode}
        outputs, _ = F.npx.rnn(inputs, flat, H, state_outputs=True, **kind)
        # (num_steps, batch_size, vocab_size)
        kind = {"num_hidden": self.vocab_size, "flatten": False}
        logits = F.npx.fully_connected(outputs, W_hq, b_q, **kind)
        return -F.np.mean(F.np.log(F.npx.pick(F.npx.softmax(logits), Y)))


def twin(model):
    """A function equal to `model.batch_loss`, for a whole model of section 9.5 or 9.6; else None."""
    if not (isinstance(model, LanguageModel) and model.is_whole() and model.has_weights(*NAMES)):
        return None
    if not has_sizes(model):
        inputs = np.zeros((1, 1, model.vocab_size), ctx=model.device)
        model.output_layer(model.rnn(inputs, None)[0])
    arrays, pieces = own(model), {piece.names: piece for piece in layout(model)}
    if () in pieces and arrays[pieces[()].path].grad is not None:  # a bias that a reader trains
        return None
    weights = [arrays[pieces[name,].path] for name in NAMES]
    transposed = [pieces[name,].transposed or name[-3:-1] == "b_" for name in NAMES]
    graphs, too_improbable = {}, []

    def batch_loss(batch):
        X, *state, Y = batch
        if state or too_improbable:
            return model.batch_loss(batch)
        # A graph lays out its memory in advance, and anew when the shape changes or gradients are wanted.
        case = X.shape, autograd.is_recording()
        is_new = case not in graphs
        if is_new:
            H = np.zeros((1, X.shape[0], model.rnn.num_hiddens), ctx=X.ctx)
            graphs[case] = MeanLoss(model, transposed), H
        graph, H = graphs[case]
        loss = graph(X, Y, H, *weights)
        # Weights as large as that are so from the start, or are found in validation: only there the host
        # waits. From then on the model's own loss is taken, for which no token is too improbable.
        if (is_new or not autograd.is_recording()) and not math.isfinite(loss):
            too_improbable.append(True)
            return model.batch_loss(batch)
        return loss

    return batch_loss
