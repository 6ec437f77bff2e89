"""Perplexity, decoding and inspection, the same for every language model (book, sections 9.3, 9.5).

A backend's `RNNLMScratch` derives from its `Classifier` and from `LanguageModel`, and adds the one
recurrent step that decoding needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from d2lrnn.errors import ArgumentError
from d2lrnn.weights import Weights

if TYPE_CHECKING:
    from d2lrnn.data import Vocab


class LanguageModel:
    """A model of token sequences that can be continued token by token."""

    metric = "ppl"
    vocab_size: int

    def step(self, token: int, state: Any, device: Any = None) -> tuple[np.ndarray[Any, Any], Any]:
        """One recurrent step: the logits (vocab_size,) after `token`, and the new hidden state.

        `state` is None at the beginning of a sequence, then what the last call returned.
        """
        raise NotImplementedError

    def recurrence(self, X: Any, state: Any = None) -> tuple[Any, Any]:
        """The hidden states of a minibatch, in NumPy.

        Args:
            X: tokens (batch_size, num_steps).
            state: the initial hidden state (num_layers, batch_size, num_hiddens), or None for zeros.

        Returns:
            All hidden states (num_steps, batch_size, num_hiddens) and the last one
            (num_layers, batch_size, num_hiddens).
        """
        raise NotImplementedError

    def logits(self, X: Any, state: Any = None) -> np.ndarray[Any, Any]:
        """The logits (batch_size, num_steps, vocab_size) of the tokens `X`, in NumPy."""
        raise NotImplementedError

    def gradients(self, X: Any, Y: Any, state: Any = None) -> tuple[float, Weights]:
        """The mean loss in nats per token and its gradients by canonical name, not clipped."""
        raise NotImplementedError

    def predict(
        self,
        prefix: str | Sequence[str],
        num_preds: int,
        vocab: Vocab,
        device: Any = None,
        *,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> str:
        """Continue `prefix` by `num_preds` tokens (book, section 9.5.5).

        The hidden state is warmed up on the prefix and carried along, so each token costs the same.

        Args:
            prefix: a text (for a vocabulary of words: split at spaces) or a list of tokens; what
                `vocab` does not know becomes `<unk>`.
            num_preds: how many tokens to add; 0 returns the prefix.
            vocab: the vocabulary that the model was trained with.
            device: where to compute; by default where the model is.
            temperature: None or 0 takes the likeliest token each time; a positive number samples
                from softmax(logits / temperature).
            seed: of the sampling; alone, it samples at temperature 1.

        Returns:
            The prefix and its continuation. `<unk>` is never predicted.

        Raises:
            ArgumentError: the prefix is empty, `num_preds` is negative, the vocabulary is of another
                size than the model's, or temperature and seed contradict each other.
        """
        tokens = self._check_prediction(prefix, num_preds, vocab, temperature, seed)
        if seed is not None and temperature is None:
            temperature = 1.0
        choose = _Sampler(temperature, seed) if temperature else np.argmax
        outputs = [int(index) for index in vocab[tokens]]
        state = None
        for index in outputs:  # warm-up
            logits, state = self.step(index, state, device)
        for remaining in reversed(range(num_preds)):
            if not np.isfinite(logits).all():
                raise ArgumentError(
                    "The model's logits are not finite: its weights are broken, probably by a "
                    "training that diverged. Train it anew with a smaller lr or with clipping."
                )
            logits = np.array(logits, dtype=np.float64)
            logits[vocab.unk] = -np.inf
            outputs.append(int(choose(logits)))
            if remaining:
                logits, state = self.step(outputs[-1], state, device)
        return vocab.joiner.join(vocab.to_tokens(outputs))

    def _check_prediction(
        self,
        prefix: str | Sequence[str],
        num_preds: int,
        vocab: Vocab,
        temperature: float | None,
        seed: int | None,
    ) -> list[str]:
        if len(vocab) != self.vocab_size:
            raise ArgumentError(
                f"vocab has {len(vocab)} tokens, the model was made for vocab_size={self.vocab_size}. "
                "Pass the vocabulary of the data that the model was trained on."
            )
        tokens = vocab.split(prefix) if isinstance(prefix, str) else list(prefix)
        if not tokens:
            raise ArgumentError(
                f"prefix={prefix!r} has no token; give at least one to start from, such as 'it has'."
            )
        if (
            isinstance(num_preds, bool)
            or not isinstance(num_preds, int | np.integer)
            or num_preds < 0
        ):
            raise ArgumentError(f"num_preds={num_preds!r}: expected a whole number of at least 0.")
        if temperature is not None and not (0 <= temperature < np.inf):
            raise ArgumentError(
                f"temperature={temperature!r}: expected 0 (the likeliest token) or a positive number."
            )
        if seed is not None and temperature == 0:
            raise ArgumentError(
                f"seed={seed!r} has no effect at temperature=0, which always takes the likeliest "
                "token. Leave the seed out, or raise the temperature."
            )
        return tokens


class _Sampler:
    """Draws an index from softmax(logits / temperature), by the Gumbel-max trick."""

    def __init__(self, temperature: float, seed: int | None) -> None:
        self.temperature = temperature
        self.random = np.random.RandomState(seed)

    def __call__(self, logits: np.ndarray[Any, Any]) -> int:
        return int(np.argmax(logits / self.temperature + self.random.gumbel(size=logits.shape)))


def single_state(state: Any) -> Any:
    """The hidden state (batch_size, num_hiddens) of one layer, however it is handed over.

    Readers pass it as it is, as a tuple (H,) as in the book, or as (1, batch_size, num_hiddens).
    """
    if isinstance(state, tuple | list):
        (state,) = state
    return state[0] if len(state.shape) == 3 else state
