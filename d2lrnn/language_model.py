"""Perplexity, decoding and inspection, the same for every language model (book, sections 9.3, 9.5).

A backend's `RNNLMScratch` derives from its `Classifier` and from `LanguageModel`, and adds the one
recurrent step that decoding needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from d2lrnn.errors import ArgumentError
from d2lrnn.module import keeps_library_step
from d2lrnn.weights import CANONICAL, Weights

if TYPE_CHECKING:
    from d2lrnn.data import Vocab

Step = Callable[[int, Any], tuple[np.ndarray[Any, Any], Any]]


class LanguageModel:
    """A model of token sequences that can be continued token by token."""

    metric = "ppl"
    rnn: Any
    vocab_size: int
    get_weights: Callable[[], Weights]

    def picks_rows(self) -> bool:
        """Whether the recurrent layer is given tokens, and picks their rows of W_xh.

        That is what the product of a one-hot vector with W_xh comes to (book, section 9.5.2), and of a
        large vocabulary the vectors alone would fill the memory. Where the vocabulary is no larger than
        the layer the vectors cost no more, so they are made, as in the book; so they are where
        `one_hot` or the layer is the reader's.
        """
        return (
            keeps_library_step(self, "one_hot")
            and self.has_layer_as_built()
            and self.vocab_size > int(self.rnn.num_hiddens)
        )

    def has_layer_as_built(self) -> bool:
        """Whether nothing of the recurrent layer is the reader's, and it is for this vocabulary."""
        is_as_built = getattr(self.rnn, "is_as_built", None)
        return is_as_built is not None and bool(is_as_built(self.vocab_size))

    def step(self, token: int, state: Any, device: Any = None) -> tuple[np.ndarray[Any, Any], Any]:
        """One recurrent step: the logits (vocab_size,) after `token`, and the new hidden state.

        `state` is None at the beginning of a sequence, then what the last call returned.
        """
        raise NotImplementedError

    def stepper(self, device: Any = None) -> Step:
        """`step` as a function of a token and a state; a backend may prepare here for many of them."""
        return lambda token, state: self.step(token, state, device)

    def is_as_built(self) -> bool:
        """Whether the library wrote all that a step is made of: then it is equations 9.4.5 and 9.4.6.

        H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),  O_t = H_t W_hq + b_q, with the canonical weights.
        """
        hooks = ("init_params", "one_hot", "output_layer", "step")
        return (
            all(keeps_library_step(self, hook) for hook in hooks)
            and self.has_layer_as_built()
            and tuple(self.get_weights()) == CANONICAL
        )

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
        choose = _Sampler(temperature, seed) if temperature else np.ndarray.argmax
        step, unk = self.stepper(device), vocab.unk
        outputs = [int(index) for index in vocab[tokens]]
        state = None
        for index in outputs:  # warm-up
            logits, state = step(index, state)
        for remaining in reversed(range(num_preds)):
            if not logits.flags.writeable:
                logits = logits.copy()
            logits[unk] = -math.inf
            index = int(choose(logits))
            if not math.isfinite(logits[index]):  # a NaN, if there is one, is chosen
                raise ArgumentError(
                    "The model's logits are not finite: its weights are broken, probably by a "
                    "training that diverged. Train it anew with a smaller lr or with clipping."
                )
            outputs.append(index)
            if remaining:
                logits, state = step(index, state)
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
        noise = self.random.gumbel(size=logits.shape)
        return int(np.argmax(logits.astype(np.float64) / self.temperature + noise))


def single_state(state: Any) -> Any:
    """The hidden state (batch_size, num_hiddens) of one layer, however it is handed over.

    Readers pass it as it is, as a tuple (H,) as in the book, or as (1, batch_size, num_hiddens).
    """
    if isinstance(state, tuple | list):
        (state,) = state
    return state[0] if len(state.shape) == 3 else state
