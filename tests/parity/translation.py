"""Encoder, decoder and attention in float64, each sentence by itself, so that there is nothing to mask.

With x_t and y_t for the embedded tokens of source and target, and c for the context:

    h_1 ... h_n, s = the encoder's cells over x_1 ... x_n
    10.7:  c = h_n for every t
    11.4:  a_{t,i} = softmax_i w_v^T tanh(W_q s_{t-1} + W_k h_i),  c_t = sum_i a_{t,i} h_i,
           where s_{t-1} is the hidden state of the decoder's last layer
    o_t = the decoder's cells over [y_t, c] in 10.7, over [c_t, y_t] in 11.4, and W_hq, b_q
"""

import numpy as np
import oracle

from d2lrnn import cells


def shapes(kind, num_layers, attention, src_size, tgt_size, embed_size, num_hiddens):
    """The shape of each canonical weight."""
    h = num_hiddens
    found = {
        "encoder.embedding.W": (src_size, embed_size),
        "decoder.embedding.W": (tgt_size, embed_size),
    }
    for part, num_inputs in ("encoder", embed_size), ("decoder", embed_size + h):
        of_layers = oracle.shapes(kind, num_inputs, h, num_layers)
        found |= {f"{part}.{n}": s for n, s in of_layers.items() if n.startswith("rnn.")}
    found |= {"decoder.dense.W_hq": (h, tgt_size), "decoder.dense.b_q": (tgt_size,)}
    if attention:
        found |= {f"decoder.attention.{n}": (h, h) for n in ("W_q", "W_k")}
        found["decoder.attention.w_v"] = (h, 1)
    return found


def of_one(weights, src, tgt):
    """The logits (num_steps, tgt_size), the encoder's state, and attention weights, of one sentence."""
    encoder, decoder = (cells.Network(weights, f"{part}.rnn.") for part in ("encoder", "decoder"))
    H, state = encoder.run(weights["encoder.embedding.W"][src][:, None])  # (n, 1, num_hiddens)
    begun, Y, given = state, weights["decoder.embedding.W"][tgt][:, None], []
    if "decoder.attention.W_q" in weights:
        W_q, W_k, w_v = (weights[f"decoder.attention.{n}"] for n in ("W_q", "W_k", "w_v"))
        outputs = []
        for y in Y:
            top = (state[0] if isinstance(state, tuple) else state)[-1]  # (1, num_hiddens)
            a = oracle.softmax(np.tanh(top @ W_q + H[:, 0] @ W_k) @ w_v[:, 0])  # (n,)
            output, state = decoder.run(np.concatenate([a[None] @ H[:, 0], y], -1)[None], state)
            outputs.append(output[0])
            given.append(a)
    else:
        outputs, _ = decoder.run(
            np.concatenate([Y, np.broadcast_to(H[-1], (len(Y), *H[-1].shape))], -1), state
        )
    logits = np.array(outputs)[:, 0] @ weights["decoder.dense.W_hq"] + weights["decoder.dense.b_q"]
    return logits, begun, np.array(given)


def loss(weights, src, tgt, valid_lens, labels, pad):
    """The mean cross-entropy of the labels that are no padding; complex where the weights are."""
    total, count = 0, (labels != pad).sum()
    for X, Y, n, label in zip(src, tgt, valid_lens, labels, strict=True):
        logits, _, _ = of_one(weights, X[:n], Y)
        total = total + oracle.losses(logits, label)[label != pad].sum()
    return total / count


def gradients(weights, *batch, h=1e-30):
    """Im L(w + ih) / h for each number of each weight."""
    weights = {name: oracle.precise(w) for name, w in weights.items()}

    def derivative(name, index):
        stepped = weights[name].astype(complex)
        stepped[index] += 1j * h
        return loss({**weights, name: stepped}, *batch).imag / h

    return {
        name: np.array([derivative(name, i) for i in np.ndindex(w.shape)]).reshape(w.shape)
        for name, w in weights.items()
    }


class Adam:
    """w - lr m / (sqrt(v) + eps), m and v the means of g and g^2 that lean to the last, unbiased."""

    def __init__(self, lr, b1=0.9, b2=0.999, eps=1e-8):
        self.lr, self.b1, self.b2, self.eps = lr, b1, b2, eps
        self.t, self.m, self.v = 0, {}, {}

    def step(self, weights, grads):
        self.t += 1
        new = {}
        for name, g in grads.items():
            m = self.m[name] = self.b1 * self.m.get(name, 0) + (1 - self.b1) * g
            v = self.v[name] = self.b2 * self.v.get(name, 0) + (1 - self.b2) * g**2
            m, v = m / (1 - self.b1**self.t), v / (1 - self.b2**self.t)
            new[name] = weights[name] - self.lr * m / (np.sqrt(v) + self.eps)
        return new
