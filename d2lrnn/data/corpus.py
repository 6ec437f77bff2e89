"""The corpus of a text that need not fit into memory: read by blocks, kept in a file (section 9.2)."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from d2lrnn import atomic
from d2lrnn.data.reading import BYTES, text_blocks
from d2lrnn.data.tokenizer import LETTERS, Tokenizer
from d2lrnn.data.vocab import Vocab


def stream(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    tokenizer: Tokenizer,
    vocab_of: Callable[[Mapping[str, int], int], Vocab],
) -> tuple[NDArray[np.int32], Vocab]:
    """The corpus of the file `path`, int32 (n,), and its vocabulary, as of the whole text at once.

    In short::

        for each block of the text:
            number its tokens in any way, count them, write the numbers
        make the vocabulary of the counts
        write over each number the index that its token has in the vocabulary
        map the file into memory

    Args:
        path: of a UTF-8 file.
        folder: where the file is kept that the corpus is in; it has no name, and is gone with the corpus.
        tokenizer: how the text becomes tokens.
        vocab_of: gives the vocabulary of the counts of all tokens, and of the number of characters.

    Raises:
        DataError: the file cannot be read, is empty, or is no text.
        WriteError: the disk is full, or the folder cannot be written to.
    """
    num_characters = 0

    def blocks() -> Iterator[str]:
        nonlocal num_characters
        for text in text_blocks(path):
            num_characters += len(text)
            yield text

    known: defaultdict[str, int] = defaultdict()
    known.default_factory = known.__len__
    counts = np.zeros(0, np.int64)
    with atomic.nameless_file(Path(folder).expanduser() / f"{Path(path).name}.corpus") as file:
        for tokens in tokens_of(blocks(), tokenizer):
            numbers = _numbers(tokens, known)
            shorter, counts = sorted((counts, np.bincount(numbers)), key=len)
            counts[: len(shorter)] += shorter
            file.write(numbers.tobytes())
        used = np.flatnonzero(counts)
        names = list(known) if tokenizer.tokens == "word" else [chr(code) for code in used]
        vocab = vocab_of(dict(zip(names, counts[used].tolist(), strict=True)), num_characters)
        indices = np.zeros(len(counts), np.int32)
        indices[used] = vocab.encode(names)
        _replace(file, indices)
        return np.memmap(file, np.int32, "r+"), vocab


def _numbers(tokens: Sequence[str], known: Mapping[str, int]) -> NDArray[np.int32]:
    """A number for each token: of a character its code point, of a word how many were known before it."""
    if isinstance(tokens, str):
        return np.frombuffer(tokens.encode("utf-32-le"), "<i4").astype(np.int32, copy=False)
    return np.fromiter(map(known.__getitem__, tokens), np.int32, len(tokens))


def _replace(file: BinaryIO, indices: NDArray[np.int32]) -> None:
    """Write `indices[number]` over each number in the file."""
    # Not through a map of it: where a disk has no room for changes, that would end the process.
    for start in range(0, file.seek(0, os.SEEK_END), BYTES):
        file.seek(start)
        numbers = np.frombuffer(file.read(BYTES), np.int32)
        file.seek(start)
        file.write(indices[numbers].tobytes())
    file.flush()


def tokens_of(blocks: Iterable[str], tokenizer: Tokenizer) -> Iterator[Sequence[str]]:
    """The tokens of a text that comes in blocks: one after another, those of the whole text."""
    # Runs of other characters become one space, and may go on in the next block.
    squeezes = tokenizer.letters in LETTERS
    follows_space = False
    for block in _apart(blocks, tokenizer.tokens == "word"):
        text = tokenizer.preprocess(block)
        goes_on = squeezes and follows_space and text.startswith(" ")
        follows_space = text.endswith(" ")
        yield tokenizer.tokenize(text[goes_on:])


def _apart(blocks: Iterable[str], words: bool) -> Iterator[str]:
    """The same text in blocks that mean the same each by itself as in the whole; none is empty."""
    rest = ""
    for block in blocks:
        text = rest + block
        end = _last_border(text, words)
        if end:
            yield text[:end]
        rest = text[end:]
    if rest:
        yield rest


def _last_border(text: str, words: bool) -> int:
    """Where `text` can be cut the last time, so that nothing on one side depends on the other; 0: nowhere.

    Behind a space: no word goes over it, nothing that joins letters, and no small letter that is another at
    the end of a word (the Greek sigma). Characters can also be cut between two that are `_solid`.
    """
    end = max(text.rfind(" "), text.rfind("\n")) + 1
    if end or words:
        return end
    ends = range(len(text) - 1, 0, -1)
    return next((i for i in ends if _solid(text[i - 1]) and _solid(text[i])), 0)


def _solid(character: str) -> bool:
    """Whether it is a letter or digit that neither changes with what is beside it nor is looked past."""
    is_simple = character.isascii() and character.isalnum()
    return is_simple or unicodedata.category(character) == "Lo"
