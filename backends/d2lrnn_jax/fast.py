"""A faster twin of the loss of sections 9.5 and 9.6, in JAX: the same numbers as the plain model's.

Nothing depends on this file: without it every model trains by its own `batch_loss`.
"""

from d2lrnn.language_model import NAMES

from .fast_loss import is_plain, loss_over, recurrence
from .weights import settings


def twin(model):
    """A function equal to `model.batch_loss`, of a whole model of section 9.5 or 9.6; else None."""
    if not (is_plain(model) and model.has_weights(*NAMES)):
        return None
    activation = settings(model).get("activation")

    def outputs_of(weights, X):
        return recurrence(activation, *(weights[name] for name in NAMES[:3]), X)

    return loss_over(model, outputs_of)
