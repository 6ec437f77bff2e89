"""A faster twin of the loss of section 11.4, in TensorFlow: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`. W_k is multiplied by
the keys once, and the cells run by themselves, without what Keras's layers do about each step.
"""

import tensorflow as tf

from d2lrnn.translation import Translator

from .attention import masked_softmax
from .ops import concat, swapaxes


def twin(model):
    """A function equal to `model.batch_loss` of a whole model that attends to its source; else None."""
    if not (isinstance(model, Translator) and model.is_whole()):
        return None
    if not hasattr(model.decoder, "attention"):  # Keras's layers take all steps at once
        return None

    def batch_loss(batch):
        if len(batch) != 4:
            return model.batch_loss(batch)
        src, tgt, valid_lens, labels = batch
        begin = model.encoder(src, valid_lens, training=model.training)
        logits = decoded(model.decoder, tgt, *begin, valid_lens, model.training)
        return model.loss(logits, labels)

    return batch_loss


def decoded(decoder, tgt, outputs, state, valid_lens, training):
    """Logits (batch_size, num_steps, vocab_size) after the tokens `tgt` (batch_size, num_steps)."""
    attention, layers = decoder.attention, tf.nest.flatten(decoder.rnn.rnn)
    values = swapaxes(outputs, 0, 1)  # (batch_size, num_keys, num_hiddens)
    keys = attention.W_k(values)  # the same in all steps
    parts = [tf.unstack(S) for S in (state if isinstance(state, tuple) else (state,))]
    states = [
        list(of_layer) for of_layer in zip(*parts, strict=True)
    ]  # [H] or [H, C] of each layer
    hiddens = []
    for x in tf.unstack(decoder.embedding(tgt), axis=1):  # (batch_size, embed_size)
        query = attention.W_q(states[-1][0])[:, None]
        scores = swapaxes(attention.w_v(tf.tanh(query + keys)), 1, 2)  # (batch_size, 1, num_keys)
        weights = attention.dropout(masked_softmax(scores, valid_lens), training=training)
        H = concat((tf.matmul(weights, values)[:, 0], x), -1)
        for i, layer in enumerate(layers):
            inputs = decoder.rnn.drop(H, training=training) if i else H
            H, states[i] = layer.cell(inputs, states[i])
        hiddens.append(H)
    return decoder.dense(tf.stack(hiddens, 1))
