"""A faster twin of the losses of sections 10.7 and 11.4 with GRUs, in MXNet: the plain models' numbers.

Nothing depends on this file: without it every model trains by its own `batch_loss`. One graph instead of
some hundred operations, each layer of the encoder at one go instead of step by step, and no steps that are
padding in all sentences of a minibatch.
"""

from mxnet import autograd, gluon, np

from d2lrnn.translation import Translator

from .ops import numpy
from .weights import own

LARGE = -1e6  # as in `masked_softmax`
PARTS = "i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias"


class MeanLoss(gluon.HybridBlock):
    """From tokens (batch_size, steps), lengths and the weights to the mean loss, as one graph.

    A padded source does no harm: a GRU's state after the last valid token is one of its outputs.
    """

    def __init__(self, model, paths, num_keys, num_steps):
        super().__init__()
        self.hybridize(static_alloc=True, static_shape=True)
        sides = {"encoder": model.encoder, "decoder": model.decoder}
        self.sizes = {name: (side.vocab_size, side.embed_size) for name, side in sides.items()}
        self.dropout = {name: side.dropout for name, side in sides.items()}
        self.num_layers, self.num_hiddens = model.encoder.num_layers, model.encoder.num_hiddens
        self.paths, self.pad = paths, model.tgt_pad
        self.attends = hasattr(model.decoder, "attention")
        self.num_keys, self.num_steps = num_keys, num_steps

    def hybrid_forward(self, F, src, tgt, valid_lens, labels, H, *weights):
        W = dict(zip(self.paths, weights, strict=True))
        last = F.np.transpose(F.npx.one_hot(valid_lens - 1, self.num_keys))
        last = F.np.expand_dims(last, -1)  # (num_keys, batch_size, 1)
        outputs, state = self.embedding(F, W, "encoder", src), []
        for i in range(self.num_layers):
            outputs = self.drop(F, "encoder", outputs) if i else outputs
            outputs, _ = self.layer(F, outputs, self.flat(F, W, "encoder", i), H)
            state.append(F.np.sum(outputs * last, axis=0, keepdims=True))
        embs = self.embedding(F, W, "decoder", tgt)  # (num_steps, batch_size, embed_size)
        flat = [self.flat(F, W, "decoder", i) for i in range(self.num_layers)]
        if self.attends:
            hiddens = self.attended(F, W, flat, embs, outputs, valid_lens, state)
        else:
            context = F.np.concatenate([state[-1]] * self.num_steps)  # of every step
            hiddens, _ = self.run(F, flat, F.np.concatenate([embs, context], axis=-1), state)
        dense = W["decoder.dense.weight"], W["decoder.dense.bias"]
        options = {"num_hidden": self.sizes["decoder"][0], "flatten": False}
        logits = F.npx.fully_connected(hiddens, *dense, **options)
        labels = F.np.transpose(labels)  # (num_steps, batch_size)
        counted = labels != self.pad
        p = F.npx.pick(F.npx.softmax(logits), labels)  # 0 where it is tiny, see `fast`
        p = F.np.where(counted, p, F.np.ones_like(p))  # of padding log p = 0
        return -F.np.sum(F.np.log(p)) / F.np.sum(counted)

    def embedding(self, F, W, side, tokens):
        """(steps, batch_size, embed_size) of tokens (batch_size, steps)."""
        sizes = dict(zip(("input_dim", "output_dim"), self.sizes[side], strict=True))
        return F.npx.embedding(F.np.transpose(tokens), W[f"{side}.embedding.weight"], **sizes)

    def flat(self, F, W, side, i):
        """The weights of a layer as MXNet's operator wants them."""
        arrays = [W[f"{side}.rnn.rnn.l{i}_{part}"] for part in PARTS]
        return F.np.concatenate([F.np.reshape(array, (-1,)) for array in arrays])

    def layer(self, F, inputs, flat, H):
        options = {"mode": "gru", "num_layers": 1, "state_outputs": True}
        return F.npx.rnn(inputs, flat, H, state_size=self.num_hiddens, **options)

    def run(self, F, flat, outputs, before):
        """The outputs of the decoder's layers, and the state of each (1, batch_size, num_hiddens)."""
        after = []
        for i, H in enumerate(before):
            outputs = self.drop(F, "decoder", outputs) if i else outputs
            outputs, H = self.layer(F, outputs, flat[i], H)
            after.append(H)
        return outputs, after

    def attended(self, F, W, flat, embs, outputs, valid_lens, state):
        """All hidden states (num_steps, batch_size, num_hiddens), each from what was attended to."""
        values = F.np.swapaxes(outputs, 0, 1)  # (batch_size, num_keys, num_hiddens)
        keys = self.product(F, W, "W_k", values)  # the same in all steps
        hiddens = []
        for x in F.np.split(embs, self.num_steps) if self.num_steps > 1 else [embs]:
            query = F.np.swapaxes(self.product(F, W, "W_q", state[-1]), 0, 1)
            scores = self.product(F, W, "w_v", F.np.tanh(query + keys))  # (batch_size, num_keys, 1)
            scores = F.npx.sequence_mask(scores, valid_lens, True, value=LARGE, axis=1)
            weights = F.npx.softmax(F.np.swapaxes(scores, 1, 2))
            context = F.npx.batch_dot(self.drop(F, "decoder", weights), values)
            inputs = F.np.concatenate([F.np.swapaxes(context, 0, 1), x], axis=-1)
            output, state = self.run(F, flat, inputs, state)
            hiddens.append(output)  # (1, batch_size, num_hiddens)
        return F.np.concatenate(hiddens)

    def product(self, F, W, name, inputs):
        num_outputs = 1 if name == "w_v" else self.num_hiddens
        options = {"num_hidden": num_outputs, "no_bias": True, "flatten": False}
        return F.npx.fully_connected(inputs, W[f"decoder.attention.{name}.weight"], **options)

    def drop(self, F, side, x):
        share = self.dropout[side]
        return F.npx.dropout(x, share) if share else x


def twin(model):
    """A function equal to `model.batch_loss` of a whole translator with GRUs; else None."""
    if not (isinstance(model, Translator) and model.is_whole() and model.encoder.cell == "gru"):
        return None
    weights, graphs = own(model), {}

    def batch_loss(batch):
        if len(batch) != 4:
            return model.batch_loss(batch)
        src, tgt, valid_lens, labels = batch
        lengths, counted = numpy(valid_lens), numpy(labels) != model.tgt_pad
        if lengths.min() < 1 or not counted.any():
            return model.batch_loss(batch)
        num_keys = rounded(lengths.max(), src.shape[1])
        num_steps = rounded(counted.any(axis=0).nonzero()[0][-1] + 1, tgt.shape[1])
        # A graph lays out its memory in advance, and anew when the shape changes or gradients are wanted.
        case = len(src), num_keys, num_steps, autograd.is_recording()
        if case not in graphs:
            H = np.zeros((1, len(src), model.encoder.num_hiddens), ctx=src.ctx)
            graphs[case] = MeanLoss(model, [*weights], num_keys, num_steps), H
        graph, H = graphs[case]
        src, tgt, labels = src[:, :num_keys], tgt[:, :num_steps], labels[:, :num_steps]
        return graph(src, tgt, valid_lens.astype("float32"), labels, H, *weights.values())

    return batch_loss


def rounded(steps, most):
    """At least `steps`, in sixteen sizes: of each there is a graph."""
    size = -(-most // 16)
    return int(min(most, -(-steps // size) * size))
