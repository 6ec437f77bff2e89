"""`Tokenizer`: how a text, and a prompt like it, becomes tokens (section 9.2)."""

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from d2lrnn.arguments import Text, check, check_given, expect

BLOCK = 1 << 20  # characters turned into NumPy at a time: four bytes each, and indices eight


class Tokenizer:
    """How a text becomes tokens: `Tokenizer(tokens, letters)(text)` is a sequence of them (section 9.2).

    `tokens` is 'char' or 'word'. `letters` says what is kept before the text is cut, in lower case unless
    `keep_case`, with one space for every run of anything else: 'a-z', as in the book; 'any', letters of every
    script; 'all', every character. None keeps the text as it is.

    A character may be of several code points, a letter and what is written over it, where `joined` is
    set: what is cut then are such characters. A text of data is cut into code points.
    """

    def __init__(
        self,
        tokens: str = "char",
        letters: str | None = None,
        joined: bool = False,
        keep_case: bool = False,
    ) -> None:
        check(tokens=tokens, joined=joined, keep_case=keep_case)
        check_given(letters=letters)
        self.tokens, self.letters, self.joined = tokens, letters, joined
        self.keep_case = keep_case

    def __call__(self, text: str) -> Sequence[str]:
        return self.tokenize(self.preprocess(expect("text", text, Text())))

    def preprocess(self, text: str) -> str:
        """`text` in lower case, with a space for every run of characters that are no `letters`."""
        if self.letters is None:
            return text
        if self.letters != "all":
            text = letters_and_spaces(text, LETTERS[self.letters])
        return text if self.keep_case else text.lower()

    def tokenize(self, text: str) -> Sequence[str]:
        """`text` itself, a sequence of characters, or the list of its words."""
        if self.tokens == "word":
            return text.split()
        return _characters(text) if self.joined else text


def guessed(tokens: Iterable[str]) -> Tokenizer:
    """A tokenizer of characters if each of `tokens` is one, else of words."""
    several = [token for token in tokens if len(token) > 1]
    if any(len(_characters(token)) > 1 for token in several):
        return Tokenizer("word")
    return Tokenizer("char", joined=bool(several))


def _characters(text: str) -> list[str]:
    """The characters of `text`, each with the marks that are written over it."""
    characters: list[str] = []
    for code in text:
        if characters and unicodedata.category(code) in {"Mn", "Mc", "Me"}:
            characters[-1] += code
        else:
            characters.append(code)
    return characters


def is_ascii_letter(character: str) -> bool:
    """Whether it is one of A to Z, a to z: the book's rule."""
    return character.isascii() and character.isalpha()


def is_letter(character: str) -> bool:
    """Whether it is a letter of any script, or a mark that spells one (as vowels in Hindi)."""
    if "\ufe00" <= character <= "\ufe0f":  # variation selectors, which follow emoji
        return False
    return unicodedata.category(character) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc"}


LETTERS: dict[str, Callable[[str], bool]] = {"a-z": is_ascii_letter, "any": is_letter}
# Between two letters they say how these are written, and belong to the word (Persian, Hindi).
ZERO_WIDTH = re.compile("[\u200c\u200d]")


def letters_and_spaces(text: str, is_letter: Callable[[str], bool]) -> str:
    """`text` with one space for every run of other characters.

    As `re.sub` would do it, but `re.sub` keeps a Python object for each word until the end: some
    gigabytes for a text of 100 MB.
    """

    def belongs(match: re.Match[str]) -> str:
        around = (
            text[max(match.start() - 1, 0) : match.start()],
            text[match.end() : match.end() + 1],
        )
        return match[0] if all(map(is_letter, filter(None, around))) and all(around) else " "

    known = np.full(sys.maxunicode + 1, -1, np.int8)  # 1: letter, 0: other, -1: not yet asked
    if is_letter is not is_ascii_letter and ZERO_WIDTH.search(text):
        text = ZERO_WIDTH.sub(belongs, text)
        known[[0x200C, 0x200D]] = 1
    blocks = []
    follows_letter = True  # so that the run at the very beginning gives its space too
    for _, codes in code_points(text):
        for code in np.unique(codes[known[codes] < 0]):
            known[code] = is_letter(chr(code))
        letter = known[codes] == 1
        keep = letter.copy()  # the letters, and the first of every run of others
        keep[1:] |= letter[:-1]
        keep[0] |= follows_letter
        follows_letter = letter[-1]
        kept = np.where(letter, codes, ord(" "))[keep]
        blocks.append(kept.astype("<u4").tobytes().decode("utf-32-le"))
    return "".join(blocks)


def code_points(text: str) -> Iterator[tuple[slice, NDArray[np.uint32]]]:
    """The Unicode code points of `text`, block by block, each with its place in the text."""
    for start in range(0, len(text), BLOCK):
        block = text[start : start + BLOCK]
        codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), "<u4")
        yield slice(start, start + len(block)), codes
