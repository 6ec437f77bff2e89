"""A faster twin of the losses of sections 10.7 and 11.4, in PyTorch: the same numbers as the plain models'.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from functools import partial

import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from d2lrnn.module import nested
from d2lrnn.translation import Translator

from .attention import masked_softmax
from .ops import concat


def twin(model):
    """A function equal to `model.batch_loss` of a whole model that translates; else None."""
    if not (isinstance(model, Translator) and model.is_whole()):
        return None
    return partial(batch_loss, model)


def batch_loss(model, batch):
    """`model.batch_loss`, but no step is run after the last label of a sentence that counts."""
    if len(batch) != 4:
        return model.batch_loss(batch)
    src, tgt, valid_lens, labels = batch
    outputs, state = model.encoder(src, valid_lens)
    steps = torch.arange(1, labels.shape[1] + 1, device=labels.device)
    lengths = (steps * (labels != model.tgt_pad)).amax(1).clamp(min=1).cpu()  # (batch_size,)
    embs = packed(model.decoder.embedding(tgt.T.long()), lengths)
    run = attended if hasattr(model.decoder, "attention") else decoded
    logits = model.decoder.dense(run(model.decoder, embs, outputs, state, valid_lens))
    labels = packed(labels.T.long(), lengths).data
    return F.cross_entropy(logits, labels, ignore_index=model.tgt_pad)


def packed(steps, lengths):
    """The steps (num_steps, batch_size, ...) of each sentence as far as it goes, longer sentences first."""
    return pack_padded_sequence(steps, lengths, enforce_sorted=False)


def decoded(decoder, embs, outputs, state, valid_lens):
    """The hidden states (tokens, num_hiddens) after the packed tokens."""
    of_all = outputs[-1][embs.sorted_indices]
    context = concat([of_all[:n] for n in embs.batch_sizes])  # (tokens, num_hiddens)
    inputs = embs._replace(data=concat((embs.data, context), -1))
    return decoder.rnn.rnn(inputs, state)[0].data


def attended(decoder, embs, outputs, state, valid_lens):
    """As `decoded`, with attention: keys that are padding in all sentences are left out."""
    attention, order = decoder.attention, embs.sorted_indices
    valid_lens = valid_lens[order]
    values = outputs[: valid_lens.max(), order].transpose(0, 1)  # (batch_size, keys, num_hiddens)
    keys = attention.W_k(values)  # the same in all steps
    state = nested(lambda S: S[:, order], state)
    hiddens = []
    for x in embs.data.split(embs.batch_sizes.tolist()):  # (n, embed_size) of those not over yet
        n = len(x)
        state = nested(lambda S: S[:, :n], state)  # noqa: B023
        query = attention.W_q((state[0] if isinstance(state, tuple) else state)[-1])
        scores = attention.w_v(torch.tanh(query[:, None] + keys[:n]))  # (n, keys, 1)
        weights = masked_softmax(scores.transpose(1, 2), valid_lens[:n])
        context = attention.dropout(weights) @ values[:n]  # (n, 1, num_hiddens)
        output, state = decoder.rnn.rnn(concat((context[:, 0], x), -1)[None], state)
        hiddens.append(output[0])
    return concat(hiddens)
