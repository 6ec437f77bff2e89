"""A faster twin of a reader's language model, in TensorFlow: its logits, and the cross-entropy of `fast.py`.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from d2lrnn.language_model import LanguageModel
from d2lrnn.module import is_library_code

from .fast import cross_entropy
from .ops import float32, reshape

FEW = 128  # of more classes than that, it holds more in memory


def twin(model):
    """A function equal to `model.batch_loss`, of a language model with the library's loss; else None."""
    if not (isinstance(model, LanguageModel) and is_library_code(model.loss)):
        return None
    if not is_library_code(model.batch_loss):
        return None

    def batch_loss(batch):
        Y_hat, Y = model(*batch[:-1]), batch[-1]  # (batch_size, num_steps, vocab_size)
        if Y_hat.dtype != float32 or None in Y_hat.shape or Y_hat.shape[-1] > FEW:
            return model.loss(Y_hat, Y)
        return cross_entropy(reshape(Y_hat, (-1, Y_hat.shape[-1])), reshape(Y, (-1,)))

    return batch_loss
