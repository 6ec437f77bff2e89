"""A faster twin of the losses of sections 10.7 and 11.4, in JAX: the same numbers as the plain models'.

Nothing depends on this file: without it every model trains by its own `batch_loss`. The gates of a layer
lie side by side, each layer of the encoder is one scan, and W_k is multiplied by the keys once.
"""

import jax
from flax.traverse_util import flatten_dict
from jax import numpy as jnp

from d2lrnn.cells import GATES
from d2lrnn.translation import Translator
from d2lrnn.weights import gates_of, recurrent_parts

from .attention import masked_softmax
from .fast_gated import CELLS
from .module import cross_entropy_of
from .weights import layout

KINDS = {"gru": "gru_after", "lstm": "lstm"}


def twin(model):
    """A function equal to `model.batch_loss` of a whole model that translates; else None."""
    if not (isinstance(model, Translator) and model.is_whole()):
        return None
    paths = {name: piece.path for piece in layout(model) for name in piece.names}

    def batch_loss(params, batch, state):
        if len(batch) != 4:
            return model.batch_loss(params, batch, state)
        flat = flatten_dict(params, sep=".")
        weights = {name: flat[path] for name, path in paths.items()}
        return Pass(model, weights, state.dropout_rng).loss(*batch), {}

    return batch_loss


class Pass:
    """A model's pass over a minibatch, with its weights by canonical name."""

    def __init__(self, model, weights, key):
        self.model, self.weights = model, weights
        self.kind = KINDS[model.encoder.cell]
        self.keys = list(jax.random.split(key, 3)) if model.training else [None] * 3

    def loss(self, src, tgt, valid_lens, labels):
        outputs, state = self.encoded(src.T, valid_lens)
        embs = self.weights["decoder.embedding.W"][tgt.T]  # (num_steps, batch_size, embed_size)
        run = self.attended if "decoder.attention.W_k" in self.weights else self.decoded
        hiddens = run(embs, outputs, state, valid_lens)  # (num_steps, batch_size, num_hiddens)
        W_hq, b_q = (self.weights[f"decoder.dense.{name}"] for name in ("W_hq", "b_q"))
        labels = labels.T.reshape(-1)
        losses = cross_entropy_of(hiddens.reshape(-1, len(W_hq)) @ W_hq + b_q, labels)
        return losses.mean(where=labels != self.model.tgt_pad)

    def layers(self, side):
        """W_x, W_h and b of each layer, the gates side by side."""
        for *_, part in recurrent_parts(f"{side}.rnn.", getattr(self.model, side).num_layers):
            names = (gates_of(part, letter, GATES[self.kind]) for letter in ("W_x", "W_h", "b_"))
            yield tuple(jnp.concatenate([self.weights[n] for n in gates], -1) for gates in names)

    def encoded(self, src, valid_lens):
        """All outputs of the source (num_steps, batch_size, num_hiddens), and each layer's last valid state.

        Padding does no harm: it comes after the states that count.
        """
        outputs, last = self.weights["encoder.embedding.W"][src], []
        rows, key = jnp.arange(src.shape[1]), self.keys[0]
        for i, layer in enumerate(self.layers("encoder")):
            if i > 0:
                key, own = (None, None) if key is None else jax.random.split(key)
                outputs = self.drop("encoder", own, outputs)
            H = jnp.zeros((src.shape[1], len(layer[1])))
            begin = (H, H) if self.kind == "lstm" else H
            states = jax.lax.scan(self.step(layer), begin, outputs)[1]
            last.append(jax.tree.map(lambda S: S[jnp.maximum(valid_lens, 1) - 1, rows], states))
            outputs = top(states)
        return outputs, last

    def step(self, layer):
        W_x, W_h, b = layer

        def step(state, x):
            state, _ = CELLS[self.kind](x @ W_x + b, state, W_h)
            return state, state

        return step

    def drop(self, side, key, x):
        share = getattr(self.model, side).dropout
        if key is None or not share:
            return x
        return jnp.where(jax.random.bernoulli(key, 1 - share, x.shape), x / (1 - share), 0)

    def decoded(self, embs, outputs, state, valid_lens):
        """The last layer's hidden states (num_steps, batch_size, num_hiddens) after the tokens."""
        context, key, outputs = top(state[-1]), self.keys[1], embs
        for i, (W_x, W_h, b) in enumerate(self.layers("decoder")):
            if i == 0:  # what the context adds is the same in all steps
                W_x, b = W_x[: embs.shape[-1]], b + context @ W_x[embs.shape[-1] :]
            else:
                key, own = (None, None) if key is None else jax.random.split(key)
                outputs = self.drop("decoder", own, outputs)
            outputs = top(jax.lax.scan(self.step((W_x, W_h, b)), state[i], outputs)[1])
        return outputs

    def attended(self, embs, outputs, state, valid_lens):
        """As `decoded`, each from what was attended to."""
        W_q, W_k, w_v = (self.weights[f"decoder.attention.{n}"] for n in ("W_q", "W_k", "w_v"))
        steps = [self.step(layer) for layer in self.layers("decoder")]
        values = outputs.swapaxes(0, 1)  # (batch_size, num_keys, num_hiddens)
        keys = values @ W_k  # the same in all steps

        def step(state, inputs):
            x, key = inputs  # (batch_size, embed_size)
            own = (
                [None] * (1 + len(steps)) if key is None else jax.random.split(key, 1 + len(steps))
            )
            query = (top(state[-1]) @ W_q)[:, None]
            scores = (jnp.tanh(query + keys) @ w_v).swapaxes(1, 2)  # (batch_size, 1, num_keys)
            weights = self.drop("decoder", own[0], masked_softmax(scores, valid_lens))
            outputs, new = jnp.concatenate(((weights @ values)[:, 0], x), -1), []
            for i, run in enumerate(steps):
                outputs = self.drop("decoder", own[i + 1], outputs) if i else outputs
                new.append(run(state[i], outputs)[0])
                outputs = top(new[-1])
            return new, outputs

        key = self.keys[2]
        each = None if key is None else jax.random.split(key, len(embs))
        return jax.lax.scan(step, state, (embs, each))[1]


def top(state):
    """H, which a cell gives out, of H or (H, C)."""
    return state[0] if isinstance(state, tuple) else state
