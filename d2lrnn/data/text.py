"""Text as training data: raw text, tokens, corpus, windows, minibatches (sections 9.2 and 9.3)."""

import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from d2lrnn.arguments import check
from d2lrnn.data.data_module import DataModule
from d2lrnn.data.minibatches import Minibatches
from d2lrnn.data.vocab import Vocab, code_points
from d2lrnn.errors import DataError


class TextData(DataModule):
    """A text, cut into overlapping windows of `num_steps` tokens (sections 9.2 and 9.3).

    The text runs through four methods, each of which a subclass or `add_to_class` may replace:
    `_download() -> raw_text`, `_preprocess(raw_text) -> text`, `_tokenize(text) -> tokens`, and
    `build(raw_text) -> (corpus, vocab)`, which calls the last two.

    `tokens` is 'char' or 'word'. Tokens that occur fewer than `min_freq` times become `<unk>`. A
    `vocab` given is used as it is. Training has the first `num_train` windows and validation the
    `num_val` that follow; with `num_val=0`, `val_dataloader()` is None. Without `batch_size` and
    `num_steps` nothing is read: the four methods can then be called one by one, as in 9.2.

    Attributes: `corpus`, the whole text as indices, int32, (n,); `vocab`; `X` and `Y`, int32 views
    of the corpus, (n - num_steps, num_steps), Y one token further than X; `num_windows`, their
    number; `source`, which says where the text came from.

    Raises `ArgumentError` for an argument out of its range, `DataError` for a text that has no
    letters or fewer windows than asked.
    """

    tokens: str = "char"
    min_freq: int = 0
    source: str = "a text of unknown origin"
    corpus: NDArray[np.int32]
    vocab: Any  # a Vocab, or what a reader's own build returns
    num_steps: int
    num_train: int
    num_val: int

    def __init__(
        self,
        batch_size: int | None = None,
        num_steps: int | None = None,
        num_train: int = 10000,
        num_val: int = 5000,
        *,
        tokens: str = "char",
        min_freq: int = 0,
        seed: int = 0,
        root: str | os.PathLike[str] | None = None,
        vocab: Any = None,
    ) -> None:
        super().__init__(root=root, seed=seed)
        self.save_hyperparameters(ignore=["vocab"])
        check(tokens=tokens, min_freq=min_freq)
        if batch_size is None and num_steps is None:
            return
        check(batch_size=batch_size, num_steps=num_steps, num_train=num_train, num_val=num_val)
        assert num_steps is not None  # it would not have passed

        corpus, self.vocab = self.build(self._download(), vocab)
        self.corpus = np.asarray(corpus, np.int32)  # (n,)
        self._check_split(len(self.corpus), num_steps, num_train, num_val)
        windows = sliding_window_view(self.corpus, num_steps)  # (n - num_steps + 1, num_steps)
        self.X, self.Y = windows[:-1], windows[1:]  # (n - num_steps, num_steps) each

    def _check_split(self, num_tokens: int, num_steps: int, num_train: int, num_val: int) -> None:
        num_windows = max(num_tokens - num_steps, 0)
        if num_train + num_val > num_windows:
            raise DataError(
                f"Too few windows: the text has {num_tokens} tokens, which gives {num_windows} "
                f"windows of num_steps={num_steps}; num_train={num_train} and num_val={num_val} "
                f"ask for {num_train + num_val}. Lower num_train, num_val or num_steps, or take a "
                f"longer text. It is {self.source}."
            )

    @property
    def num_windows(self) -> int:
        """How many windows the text has, those of training and validation included."""
        return len(self.X)

    def _download(self) -> str:
        """The raw text: to be overridden."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say where its text is: define _download(self), which "
            f"returns a str, or use d2l.TextFile(path, ...) for a file."
        )

    def _preprocess(self, text: str) -> str:
        """`text` in lower case, with one space for every run of characters that are not letters."""
        return _letters_and_spaces(text, self._is_letter).lower()

    @staticmethod
    def _is_letter(character: str) -> bool:
        """Whether it is a letter of any script, or a mark that spells one (as vowels in Hindi)."""
        if "\ufe00" <= character <= "\ufe0f":  # variation selectors, which follow emoji
            return False
        return unicodedata.category(character) in {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc"}

    def _tokenize(self, text: str) -> Sequence[str]:
        """`text` itself, a sequence of characters, or the list of its words, by `self.tokens`."""
        return text if self.tokens == "char" else text.split()

    def build(self, raw_text: str, vocab: Any = None) -> tuple[Any, Any]:
        """The corpus, int32 (n,), and the vocabulary of `raw_text`; made of it unless given."""
        tokens = self._tokenize(self._preprocess(raw_text))
        if len(tokens) == 0 or (isinstance(tokens, str) and tokens.isspace()):
            raise DataError(
                f"There are no letters in the {len(raw_text)} characters of the text. It is "
                f"{self.source}."
            )
        if vocab is None:
            vocab = Vocab(tokens, self.min_freq)
        if isinstance(vocab, Vocab):
            return vocab.encode(tokens), vocab
        return np.array([vocab[token] for token in tokens], np.int32), vocab  # a reader's own class

    def get_dataloader(self, train: bool) -> Minibatches | None:
        """Minibatches of (X, Y), each (batch_size, num_steps); None for no validation windows."""
        if not train and self.num_val == 0:
            return None
        end = self.num_train + self.num_val
        windows = slice(0, self.num_train) if train else slice(self.num_train, end)
        return self.get_tensorloader([self.X, self.Y], train, windows)


class TextFile(TextData):
    """The text in the file `path`, UTF-8; the other arguments are those of `TextData`.

    Raises `DataError` for a file that does not exist, is empty, or is not UTF-8.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        batch_size: int | None = None,
        num_steps: int | None = None,
        num_train: int = 10000,
        num_val: int = 5000,
        **options: Any,
    ) -> None:
        self.path = path = os.fspath(path)
        super().__init__(batch_size, num_steps, num_train, num_val, **options)
        self.save_hyperparameters(ignore=["options"])

    def _download(self) -> str:
        self.source = f"the file {self.path}"
        return read_text(self.path)


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file; `DataError` if it cannot be read, is empty, or is not UTF-8."""
    try:
        content = Path(path).expanduser().read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder; name a text file in it.") from None
    except OSError as error:
        raise DataError(f"The file {path} cannot be read: {error.strerror or error}.") from error
    if not content.strip():
        raise DataError(f"The file {path} is empty ({len(content)} bytes).")
    try:
        return content.decode("utf-8").removeprefix("\ufeff")  # a byte order mark is no text
    except UnicodeDecodeError as error:
        raise DataError(
            f"The file {path} is not UTF-8: byte 0x{content[error.start]:02x} at offset "
            f"{error.start}, line {content.count(10, 0, error.start) + 1}. Save it as UTF-8, for "
            f"instance with: iconv -f LATIN1 -t UTF-8 FILE > NEWFILE"
        ) from None


def _letters_and_spaces(text: str, is_letter: Callable[[str], bool]) -> str:
    """`text` with one space for every run of other characters.

    As `re.sub` would do it, but `re.sub` keeps a Python object for each word until the end: some
    gigabytes for a text of 100 MB.
    """
    known = np.full(sys.maxunicode + 1, -1, np.int8)  # 1: letter, 0: other, -1: not yet asked
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
