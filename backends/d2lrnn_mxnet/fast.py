"""Faster twins of the losses of sections 9.5 to 10.3, in MXNet: the same numbers as the plain models'.

Nothing depends on this file: without it every model trains by its own `batch_loss`.

A label's probability is 0 where -log p is above 87, and the loss then infinite: `Trainer.own_epoch` has
such an epoch done by the plain model. A graph that is always finite, by `log_softmax` or with the maximum
taken off, made an epoch of section 9.6 2.5 times as long on a CPU; one that is asked at each minibatch, 1.07.
"""

from itertools import chain, pairwise
from typing import NamedTuple

from mxnet import autograd, gluon, np

from d2lrnn import weights as core
from d2lrnn.language_model import LanguageModel

from .rnn_scratch import RNNScratch
from .weights import GATES, has_sizes, layout, own

FEW = 512  # up to so many classes, the logits of all steps at once are faster


class Kind(NamedTuple):
    """What a recurrent layer is, in the terms of MXNet's operator."""

    mode: str
    gates: str
    num_layers: int
    num_hiddens: int


def kind_of(layer):
    """The kind of a layer on one of gluon's without dropout, or of section 9.5's; else None."""
    inner = getattr(layer, "rnn", None)
    if type(layer) is RNNScratch:
        return Kind(f"rnn_{layer.activation}", "h", 1, layer.num_hiddens)
    if type(inner) in GATES and not (layer.dropout or inner._dropout):
        return Kind(inner._mode, GATES[type(inner)], inner._num_layers, inner._hidden_size)
    return None


class MeanLoss(gluon.HybridBlock):
    """From tokens X, Y (batch_size, num_steps) and the weights to the mean loss, as one graph."""

    def __init__(self, kind, vocab_size, transposed, num_steps):
        super().__init__()
        self.hybridize(static_alloc=True, static_shape=True)
        self.kind, self.vocab_size = kind, vocab_size
        self.num_parts = num_steps if vocab_size > FEW else 1
        self.transposed = transposed  # which weights are (out, in), as MXNet's operators want them

    def hybrid_forward(self, F, X, Y, H, *weights):
        X, Y = F.np.transpose(X), F.np.transpose(Y)  # (num_steps, batch_size)
        given = zip(weights, self.transposed, strict=True)
        W_hq, b_q, *layers = (w if t else F.np.transpose(w) for w, t in given)
        W_x, W_h, *biases = (layers[i::4] for i in range(4))  # of each layer
        width = len(self.kind.gates) * self.kind.num_hiddens
        if self.vocab_size > width:
            # The operator multiplies its inputs by weights: rows of W_x, which X picks, by 1.
            rows = F.np.transpose(W_x[0])  # (vocab_size, width)
            inputs = F.npx.embedding(X, rows, input_dim=self.vocab_size, output_dim=width)
            W_x[0] = F.np.eye(width)
        else:
            inputs = F.npx.one_hot(X, self.vocab_size)
        in_order = chain(*zip(W_x, W_h, strict=True), *zip(*biases, strict=True))
        flat = F.np.concatenate([F.np.reshape(w, (-1,)) for w in in_order], axis=0)
        sizes = {"state_size": self.kind.num_hiddens, "num_layers": self.kind.num_layers}
        options = {"mode": self.kind.mode, "state_outputs": True}
        states = [H] * (2 if self.kind.mode == "lstm" else 1)
        outputs = F.npx.rnn(inputs, flat, *states, **sizes, **options)[0]
        options = {"num_hidden": self.vocab_size, "flatten": False}
        n, losses = self.num_parts, []
        # Of many classes step by step: their logits then share memory. A split into one takes long.
        parts = (F.np.split(steps, n) if n > 1 else [steps] for steps in (outputs, Y))
        for hiddens, labels in zip(*parts, strict=True):
            logits = F.npx.fully_connected(hiddens, W_hq, b_q, **options)
            losses.append(-F.np.mean(F.np.log(F.npx.pick(F.npx.softmax(logits), labels))))
        return sum(losses[1:], losses[0]) / n


def twin(model):
    """A function equal to `model.batch_loss` of a whole model over a layer that has a kind; else None."""
    if not (isinstance(model, LanguageModel) and model.is_whole()):
        return None
    if not has_sizes(model):
        model.infer_sizes()
    kind = kind_of(model.rnn)
    found = weights_of(model, kind) if kind else None
    if found is None:
        return None
    weights, transposed = found
    graphs = {}

    def batch_loss(batch):
        X, *state, Y = batch
        if state:
            return model.batch_loss(batch)
        # A graph lays out its memory in advance, and anew when the shape changes or gradients are wanted.
        case = X.shape, autograd.is_recording()
        if case not in graphs:
            H = np.zeros((kind.num_layers, X.shape[0], kind.num_hiddens), ctx=X.ctx)
            graphs[case] = MeanLoss(kind, model.vocab_size, transposed, X.shape[1]), H
        graph, H = graphs[case]
        return graph(X, Y, H, *weights)

    return batch_loss


def weights_of(model, kind):
    """The arrays W_hq, b_q and W_x, W_h, b and second b of each layer, and which are (out, in).

    None if the model has others.
    """
    names = [("linear.W_hq",), ("linear.b_q",)]
    for *_, part in core.recurrent_parts("rnn.", kind.num_layers):
        names += [core.gates_of(part, letter, kind.gates) for letter in ("W_x", "W_h", "b_")]
    if not model.has_weights(*chain(*names)):
        return None
    pieces, arrays, weights = {}, own(model), []
    for piece, after in pairwise([*layout(model), None]):
        pieces[piece.names] = piece, after if after and not after.names else None
    for key in names:
        piece, second = pieces[key]
        array = arrays[piece.path]
        weights.append((array, piece.transposed or array.ndim == 1))
        if array.ndim == 1 and key != ("linear.b_q",):
            weights.append((arrays[second.path] if second else np.zeros_like(array), True))
    return zip(*weights, strict=True)
