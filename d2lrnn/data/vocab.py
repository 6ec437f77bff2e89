"""`Vocab`, the two-way table between tokens and indices (section 9.2)."""

import collections
import itertools
import operator
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from d2lrnn.arguments import Text, check, expect, shown
from d2lrnn.data.tokenizer import Tokenizer, code_points, guessed
from d2lrnn.errors import ArgumentError, DataError

UNKNOWN = "<unk>"
JOINERS = {"char": "", "word": " "}  # what stands between two tokens of a text


class Vocab:
    """The distinct tokens of a text, each with its index (section 9.2).

    `tokens` is a str (each character is a token), a list of tokens, or a list of such lists.
    Indices follow the sorted order of `<unk>`, the `reserved_tokens` and every token that occurs
    at least `min_freq` times.

    `tokenizer` says what a text is cut into, and how: see `Tokenizer`. Left out, the vocabulary is one
    of characters if each of its tokens (the reserved ones aside) is one, else of words.

    Attributes: `idx_to_token`, a list; `token_to_idx`, a dict; `token_freqs`, the pairs
    (token, count) of all tokens, by falling count, equal counts in the order of the tokens;
    `tokenizer`.

    Raises `ArgumentError` for a negative `min_freq` or tokens that are not strings.
    """

    def __init__(
        self,
        tokens: str | Iterable[Any] = (),
        min_freq: int = 0,
        reserved_tokens: Iterable[str] = (),
        *,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        check(min_freq=min_freq)
        if isinstance(reserved_tokens, str) or not isinstance(reserved_tokens, Iterable):
            way_out = f"; write [{reserved_tokens!r}]" if isinstance(reserved_tokens, str) else ""
            raise ArgumentError(
                f"Expected reserved_tokens to be a list of strings. Received: reserved_tokens="
                f"{shown(reserved_tokens)}{way_out}."
            )
        if not isinstance(tokens, Iterable):
            raise ArgumentError(
                "Expected tokens to be a str, a list of tokens, or a list of such lists. Received: tokens="
                f"{shown(tokens)}."
            )
        self._fill(_count(tokens), min_freq, list(reserved_tokens), tokenizer)

    def _fill(
        self,
        counts: Mapping[Any, int],
        min_freq: int,
        reserved: list[str],
        tokenizer: Tokenizer | None,
    ) -> None:
        for token in itertools.chain(reserved, counts):
            if not isinstance(token, str):
                raise ArgumentError(
                    f"Expected every token to be a str. Received: {token!r}, "
                    f"of type {type(token).__name__}."
                )
        self.token_freqs = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        frequent = [token for token, count in self.token_freqs if count >= min_freq]
        own = set(counts) - {UNKNOWN, *reserved}
        self._index(sorted({UNKNOWN, *reserved, *frequent}), tokenizer or guessed(own))

    def _index(self, idx_to_token: list[str], tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.idx_to_token = idx_to_token
        self.token_to_idx = {token: index for index, token in enumerate(idx_to_token)}

    def __len__(self) -> int:
        return len(self.idx_to_token)

    def __iter__(self) -> Iterator[str]:
        return iter(self.idx_to_token)

    def __contains__(self, token: object) -> bool:
        return token in self.token_to_idx

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocab):
            return NotImplemented
        return self.idx_to_token == other.idx_to_token

    def __repr__(self) -> str:
        return f"Vocab({len(self)} tokens: {', '.join(map(repr, self.idx_to_token[:5]))}, ...)"

    @property
    def unk(self) -> int:
        """The index of `<unk>`, which stands for every token that is not in the vocabulary."""
        return self.token_to_idx[UNKNOWN]

    @property
    def joiner(self) -> str:
        """What stands between two tokens of a text: nothing for characters, a space for words."""
        return JOINERS[self.tokenizer.tokens]

    def split(self, text: str) -> list[str]:
        """The tokens of `text`, read as the text was of which this vocabulary was made."""
        return list(self.tokenizer(expect("text", text, Text())))

    def __getitem__(self, tokens: Any) -> Any:
        """The index of a token; for a list or tuple of tokens, however nested, such a list."""
        if hasattr(tokens, "tolist"):
            tokens = tokens.tolist()
        if isinstance(tokens, (list, tuple)):
            return [self[token] for token in tokens]
        if not isinstance(tokens, Hashable):
            raise ArgumentError(
                f"Expected a token, or a list of tokens. Received: {shown(tokens)}."
            )
        index: Any = self.token_to_idx.get(tokens, self.unk)  # type: ignore[call-overload]
        return index

    def to_tokens(self, indices: Any) -> Any:
        """The token of an index; for a list or an array of indices, a list nested likewise.

        Raises `ArgumentError` for an index that is no integer in [0, len(vocab)).
        """
        for of_a_tensor in "tolist", "numpy":  # the names frameworks have for it
            if hasattr(indices, of_a_tensor):
                return self.to_tokens(np.asarray(getattr(indices, of_a_tensor)()).tolist())
        if hasattr(indices, "__len__") and not isinstance(indices, str):
            return [self.to_tokens(index) for index in indices]
        try:
            index = operator.index(indices)
        except TypeError:
            index = -1
        if not 0 <= index < len(self):
            raise ArgumentError(
                f"Expected an index in [0, {len(self)}), the size of the vocabulary. "
                f"Received: {indices!r}."
            )
        return self.idx_to_token[index]

    def encode(self, tokens: str | Iterable[Any]) -> NDArray[np.int32]:
        """The indices of a str (of its characters), or of a list of tokens or of lists: shape (n,).

        The same numbers as `vocab[list(tokens)]`, without a Python object for each.
        """
        if not isinstance(tokens, Iterable):
            raise ArgumentError(
                f"Expected tokens to be a str or a list. Received: tokens={shown(tokens)}."
            )
        if not isinstance(tokens, str):
            unk = self.unk
            return np.fromiter((self.token_to_idx.get(t, unk) for t in _flat(tokens)), np.int32)
        table = np.full(sys.maxunicode + 1, self.unk, np.int32)
        for token, index in self.token_to_idx.items():
            if len(token) == 1:
                table[ord(token)] = index
        encoded = np.empty(len(tokens), np.int32)
        for where, codes in code_points(tokens):
            encoded[where] = table[codes]
        return encoded

    def to_list(self) -> list[str]:
        """The tokens by index, to be kept as JSON."""
        return list(self.idx_to_token)

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], min_freq: int = 0, *, tokenizer: Tokenizer | None = None
    ) -> "Vocab":
        """The vocabulary of a text in which each token occurs so many times."""
        vocab = cls()
        vocab._fill(counts, min_freq, [], tokenizer)
        return vocab

    @classmethod
    def from_list(cls, idx_to_token: list[str], tokenizer: Tokenizer | None = None) -> "Vocab":
        """The vocabulary that `to_list` wrote; its `token_freqs` is empty.

        `tokenizer` is that of the vocabulary written; left out, it is guessed, and a token in angle
        brackets taken for a reserved one.

        Raises `DataError` if these are not distinct strings with `<unk>` among them.
        """
        if not isinstance(idx_to_token, list) or not all(isinstance(t, str) for t in idx_to_token):
            raise DataError("A stored vocabulary must be a list of strings.")
        if len(set(idx_to_token)) != len(idx_to_token) or UNKNOWN not in idx_to_token:
            raise DataError(
                f"A stored vocabulary must hold distinct tokens, {UNKNOWN!r} among them. "
                f"Received: {len(idx_to_token)} tokens, {len(set(idx_to_token))} distinct."
            )
        vocab = cls()
        own = {token for token in idx_to_token if not token.startswith("<") or len(token) == 1}
        vocab._index(list(idx_to_token), tokenizer or guessed(own))
        return vocab


def _count(tokens: str | Iterable[Any]) -> dict[Any, int]:
    """How often each token occurs."""
    if not isinstance(tokens, str):
        try:
            return collections.Counter(_flat(tokens))
        except TypeError as error:
            raise ArgumentError(f"Expected every token to be a str: {error}.") from error
    counts = np.zeros(sys.maxunicode + 1, np.int64)
    for _, codes in code_points(tokens):
        block = np.bincount(codes)
        counts[: len(block)] += block
    return {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}


def _flat(tokens: Iterable[Any]) -> Iterable[Any]:
    """A list of tokens as it is; the tokens of a list of lists, one after the other."""
    tokens = tokens if isinstance(tokens, list) else list(tokens)
    if not (tokens and isinstance(tokens[0], list)):
        return tokens
    if not all(isinstance(line, list) for line in tokens):
        raise ArgumentError("Expected a list of tokens or a list of lists. Received: a mixture.")
    return itertools.chain.from_iterable(tokens)
