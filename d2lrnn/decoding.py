"""Decoding, the same for every model: the likeliest token each time, samples, beams (sections 9.5.5, 10.8).

A model is decoded through its `step`: from tokens (batch_size,) and a state to logits (batch_size,
vocab_size) and the next state. A whole language model of the library needs no framework for that:
`stepper` makes its step out of its weights, in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from d2lrnn import cells
from d2lrnn.arguments import check, check_given, shown
from d2lrnn.errors import ArgumentError

if TYPE_CHECKING:
    from d2lrnn.data import Vocab

Array = np.ndarray[Any, Any]
# From a token's index and a state to the logits (vocab_size,) of the token after it, and the next state.
Step = Callable[[int, Any], tuple[Array, Any]]


def stepper(weights: Mapping[str, Array], activation: str = "tanh") -> Step:
    """The step of a language model, out of its canonical weights; its state is None at the beginning.

    Args:
        weights: `rnn. ...`, `linear.W_hq` and `linear.b_q`.
        activation: of the recurrent layer, where it has one: 'tanh' or 'relu'.

    Raises:
        KeyError: the weights are not those of a language model of chapters 9 and 10.
    """
    check(weights=weights, activation=activation)
    network = cells.Network(weights, "rnn.", activation)
    others = {name for name in weights if not name.startswith("rnn.")}
    if others != {"linear.W_hq", "linear.b_q"}:
        raise KeyError(f"{sorted(others)} are not the weights of one output layer")
    if network.two_way:
        raise KeyError("a network in both directions reads the future, and cannot be continued")
    layers = [both[0] for both in network.layers]
    lowest, above, is_lstm = layers[0], layers[1:], layers[0].kind == "lstm"
    cell, W_h, W_hq, b_q = lowest.step, lowest.W_h, weights["linear.W_hq"], weights["linear.b_q"]
    rows = list(lowest.W_x + lowest.b)  # what each token adds to the argument of the lowest cell
    start = [one.zero_state() for one in layers]

    def step(token: int, states: Any) -> tuple[Array, Any]:
        states = start if states is None else states
        state = cell(rows[token], states[0], W_h)
        output, new = state[0] if is_lstm else state, [state]  # (num_hiddens,)
        for index, one in enumerate(above, 1):
            state = one.step(output @ one.W_x + one.b, states[index], one.W_h)
            output = state[0] if one.kind == "lstm" else state
            new.append(state)
        return output @ W_hq + b_q, new

    return step


def continuation(
    step: Step,
    prefix: str | Sequence[str],
    num_preds: int,
    vocab: Vocab,
    temperature: float | None = None,
    seed: int | None = None,
) -> str:
    """`prefix` and what follows it; the arguments and errors are those of `LanguageModel.predict`.

    A text is read as the vocabulary's own was, and given back as it was typed.
    """
    check(step=step)
    prompt = check_prompt(prefix, num_preds, vocab, temperature, seed)
    joiner = getattr(vocab, "joiner", "")  # a reader's own class, as the book's, is of characters
    typed = prefix if isinstance(prefix, str) else joiner.join(prefix)
    if num_preds == 0:
        return typed
    if seed is not None and temperature is None:
        temperature = 1.0
    choose = Sampler(temperature, seed) if temperature else np.ndarray.argmax
    new: list[int] = []
    unk, state = vocab.unk, None
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told below
        for index in vocab[prompt]:  # warm-up
            logits, state = step(int(index), state)
        for remaining in reversed(range(num_preds)):
            logits[unk] = -math.inf  # never predicted
            index = int(choose(logits))
            if not math.isfinite(logits[index]):  # a NaN, if there is one, is chosen
                raise _not_finite()
            new.append(index)
            if remaining:
                logits, state = step(index, state)
    return joiner.join([typed, *vocab.to_tokens(new)])


def _not_finite() -> ArgumentError:
    """The error of a model whose largest logit is no number."""
    return ArgumentError(
        "The model's logits are not finite: its weights are broken, probably by a "
        "training that diverged. Train it anew with a smaller lr or with clipping."
    )


def check_prompt(
    prefix: str | Sequence[str],
    num_preds: int,
    vocab: Vocab,
    temperature: float | None,
    seed: int | None,
) -> list[str]:
    """The tokens of `prefix`, after a check of the arguments of `predict`."""
    check(prefix=prefix, vocab=vocab, num_preds=num_preds)
    check_given(temperature=temperature, seed=seed)
    if len(vocab) == 1:
        raise ArgumentError(
            f"vocab has one token, {vocab.to_tokens([0])[0]!r}: there is nothing to continue a text with. "
            "Make it of a text, with a lower min_freq."
        )
    split = getattr(vocab, "split", list)
    tokens = split(prefix) if isinstance(prefix, str) else list(prefix)
    if not tokens and num_preds != 0:
        raise ArgumentError(
            f"prefix={prefix!r} has no token; give at least one to start from, such as 'it has'."
        )
    if seed is not None and temperature == 0:
        raise ArgumentError(
            f"seed={seed!r} has no effect at temperature=0, which always takes the likeliest "
            "token. Leave the seed out, or raise the temperature."
        )
    return tokens


class Sampler:
    """Draws an index from softmax(logits / temperature), by the Gumbel-max trick."""

    def __init__(self, temperature: float, seed: int | None) -> None:
        self.temperature = temperature
        self.random = np.random.RandomState(seed)

    def __call__(self, logits: Array) -> int:
        noise = self.random.gumbel(size=logits.shape)
        return int(np.argmax(logits.astype(np.float64) / self.temperature + noise))


class Kept(NamedTuple):
    """A sequence that beam search kept in one step: one that it had kept in the step before, and a token.

    Attributes:
        parent: the place of that one among those of the step before; 0 in the first step.
        token: the token that was added.
        log_probability: of the whole sequence, in nats.
        ended: whether the token ends it.
    """

    parent: int
    token: Any
    log_probability: float
    ended: bool


class Candidate(NamedTuple):
    """A sequence that beam search has found.

    Attributes:
        tokens: without the one that ends it.
        log_probability: of the sequence with it, in nats.
        kept: what the search kept in each step, the likeliest first; `show_beams` draws it.
    """

    tokens: list[int]
    log_probability: float
    kept: list[list[Kept]]


def beam_search(
    step: Callable[[Array, Any], tuple[Array, Any]],
    state: Any,
    first: Array,
    end: int | None,
    num_steps: int,
    beams: int,
    alpha: float = 0.75,
    followed: Callable[[Any, Array], Any] = lambda state, rows: state,
) -> list[Candidate]:
    """The best sequence of each example, by beam search (book, section 10.8.3), of all at once.

    Of the continuations of the `beams` likeliest sequences the `beams` likeliest are followed; those that
    end are candidates, and so are those that are left after `num_steps` tokens. The best candidate has the
    highest log P / L^alpha, L its number of tokens, the last included (equation 10.8.4). One beam is greedy.

    Args:
        step: from tokens (n * beams,) and a state to logits (n * beams, vocab_size) and the next state.
        state: at the beginning; the rows of an example lie side by side.
        first: the token with which each example begins (n,).
        end: the token that ends a sequence; None if none does, and all have `num_steps` tokens.
        num_steps: the most tokens of a sequence.
        beams: k, how many are followed.
        alpha: 0 compares the log-probabilities themselves, which are higher for short sequences.
        followed: from a state and rows (n * beams,) to the state of these rows.
    """
    check(step=step, num_steps=num_steps, beams=beams, alpha=alpha, followed=followed)
    check_given(end=end)
    if np.ndim(first) != 1 or np.asarray(first).dtype.kind not in "iu" or not len(first):
        raise ArgumentError(
            f"Expected first to be tokens (n,), n at least 1. Received: first={shown(first)}."
        )
    n = len(first)
    scores = np.full((n, beams), -math.inf)  # log P of each sequence; at first there is one
    scores[:, 0] = 0
    tokens = np.repeat(first, beams)
    sequences: list[list[list[int]]] = [[[] for _ in range(beams)] for _ in range(n)]
    kept: list[list[list[Kept]]] = [[] for _ in range(n)]
    best = [(-math.inf, Candidate([], -math.inf, of_one)) for of_one in kept]
    for length in range(1, num_steps + 1):
        logits, state = step(tokens, state)
        logits = np.asarray(logits, np.float64)
        largest = logits.max(axis=-1, keepdims=True)
        if not np.isfinite(largest).all():
            raise _not_finite()
        log_p = logits - largest - np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True))
        vocab_size = logits.shape[-1]
        total = (scores[:, :, None] + log_p.reshape(n, beams, -1)).reshape(n, -1)
        order = np.argsort(-total, axis=-1, kind="stable")[:, :beams]  # (n, beams)
        scores = np.take_along_axis(total, order, axis=-1)
        parents, chosen = np.divmod(order, vocab_size)
        for i in range(n):
            sequences[i] = [
                [*sequences[i][parent], int(token)]
                for parent, token in zip(parents[i], chosen[i], strict=True)
            ]
            if scores[i, 0] > -math.inf:  # else all of this example have ended
                kept[i].append([])
            for j, sequence in enumerate(sequences[i]):
                log_probability, ended = float(scores[i, j]), sequence[-1] == end
                if log_probability == -math.inf:
                    continue
                step_of = Kept(int(parents[i, j]), sequence[-1], log_probability, ended)
                kept[i][-1].append(step_of)
                if not ended and length < num_steps:
                    continue
                tokens_of = sequence[:-1] if ended else sequence
                candidate = Candidate(tokens_of, log_probability, kept[i])
                best[i] = max(
                    best[i], (log_probability / length**alpha, candidate), key=lambda b: b[0]
                )
                scores[i, j] = -math.inf  # it is followed no further
        if not np.isfinite(scores).any():
            break
        tokens = chosen.reshape(-1)
        state = followed(state, (parents + beams * np.arange(n)[:, None]).reshape(-1))
    return [candidate for _, candidate in best]
