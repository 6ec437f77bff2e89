"""Text as training data: raw text, tokens, corpus, windows, minibatches (sections 9.2 and 9.3)."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from d2lrnn.arguments import check, checked, shown
from d2lrnn.data import corpus
from d2lrnn.data.data_module import DataModule
from d2lrnn.data.minibatches import Minibatches
from d2lrnn.data.reading import read_text
from d2lrnn.data.tokenizer import Tokenizer
from d2lrnn.data.vocab import Vocab
from d2lrnn.errors import ArgumentError, DataError


class TextData(DataModule):
    """A text, cut into overlapping windows of `num_steps` tokens (sections 9.2 and 9.3).

    The text runs through four methods, each of which a subclass or `add_to_class` may replace:
    `_download() -> raw_text`, `_preprocess(raw_text) -> text`, `_tokenize(text) -> tokens`, and
    `build(raw_text) -> (corpus, vocab)`, which calls the last two.

    `tokens` is 'char' or 'word'. The text is read in lower case and as letters and spaces alone, unless
    `keep_case` or `keep_punctuation`. Tokens that occur fewer than `min_freq` times become `<unk>`. A
    `vocab` given is used as it is. Training has the first `num_train` windows and validation the
    `num_val` that follow; None for both splits the whole text, nine tenths to one, and None for one of them
    is what the other leaves, of validation at most a ninth of training. With `num_val=0`,
    `val_dataloader()` is None. Without `batch_size` and `num_steps` nothing is read: the four methods can
    then be called one by one, as in 9.2.

    Attributes: `corpus`, the whole text as indices, int32, (n,); `vocab`; `X` and `Y`, int32 views
    of the corpus, (n - num_steps, num_steps), Y one token further than X; `num_windows`, their
    number; `source`, which says where the text came from.

    Raises `ArgumentError` for an argument out of its range, `DataError` for a text that has no
    letters or fewer windows than asked.
    """

    tokens: str = "char"
    letters = "any"  # which characters are kept, see `Tokenizer`
    keep_case: bool = False
    keep_punctuation: bool = False
    optional = ("num_train", "num_val")
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
        num_train: int | None = 10000,
        num_val: int | None = 5000,
        *,
        tokens: str = "char",
        min_freq: int = 0,
        keep_case: bool = False,
        keep_punctuation: bool = False,
        seed: int = 0,
        root: str | os.PathLike[str] | None = None,
        vocab: Any = None,
    ) -> None:
        super().__init__(root=root, seed=seed)
        self.save_hyperparameters(ignore=["vocab"])
        if keep_punctuation:
            self.letters = "all"
        if isinstance(vocab, str | list | tuple | dict | type | np.ndarray | np.generic) or not (
            vocab is None or hasattr(vocab, "__getitem__")
        ):
            raise ArgumentError(
                f"Expected vocab to be a vocabulary. Received: vocab={shown(vocab)}. Make one: "
                "d2l.Vocab(tokens)."
            )
        if batch_size is None and num_steps is None:
            return
        check(batch_size=batch_size, num_steps=num_steps)
        assert num_steps is not None  # it would not have passed

        corpus, self.vocab = self._read(vocab)
        self.corpus = np.asarray(corpus, np.int32)  # (n,)
        self.num_train, self.num_val = self._split(len(self.corpus), num_steps)
        windows = sliding_window_view(self.corpus, num_steps)  # (n - num_steps + 1, num_steps)
        self.X, self.Y = windows[:-1], windows[1:]  # (n - num_steps, num_steps) each

    def _split(self, num_tokens: int, num_steps: int) -> tuple[int, int]:
        """How many windows training and validation have; `DataError` if the text is too short."""
        num_train: int | None = self.num_train
        num_val: int | None = self.num_val
        num_windows = max(num_tokens - num_steps, 0)
        if num_windows < 2 and num_train is None:
            raise DataError(
                f"Too short a text: it has {num_tokens} tokens, and a window takes num_steps={num_steps} and "
                f"the one that follows. Lower num_steps, or take a longer text. It is {self.source}."
            )
        if num_train is None:
            num_train = num_windows * 9 // 10 if num_val is None else max(num_windows - num_val, 1)
            num_val = num_windows - num_train if num_val is None else num_val
        elif num_val is None:
            num_val = max(min(num_windows - num_train, -(-num_train // 9)), 0)
        if num_train + num_val > num_windows:
            raise DataError(
                f"Too few windows: the text has {num_tokens} tokens, which gives {num_windows} "
                f"windows of num_steps={num_steps}; num_train={num_train} and num_val={num_val} "
                f"ask for {num_train + num_val}. Lower num_train, num_val or num_steps, or take a "
                f"longer text. It is {self.source}."
            )
        return num_train, num_val

    @property
    def vocabs(self) -> tuple[Any, ...]:
        """The vocabulary, one of one."""
        return (self.vocab,)

    @property
    def num_tokens(self) -> int:
        """How many tokens the text has."""
        return len(self.corpus)

    @property
    def indices(self) -> tuple[NDArray[np.int32], ...]:
        """All arrays that hold tokens: equal ones mean equal data."""
        return (self.corpus,)

    @property
    def num_windows(self) -> int:
        """How many windows the text has, those of training and validation included."""
        return len(self.X)

    def _read(self, vocab: Any) -> tuple[Any, Any]:
        """The corpus and the vocabulary, by the methods that a reader may replace."""
        return self.build(self._download(), vocab)

    def _download(self) -> str:
        """The raw text: to be overridden."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say where its text is: define _download(self), which "
            f"returns a str, or use d2l.TextFile(path, ...) for a file."
        )

    def _preprocess(self, text: str) -> str:
        """`text` in lower case, with one space for every run of characters that are not letters."""
        return self._own_tokenizer().preprocess(text)

    def _tokenize(self, text: str) -> Sequence[str]:
        """`text` itself, a sequence of characters, or the list of its words, by `self.tokens`."""
        return self._own_tokenizer().tokenize(text)

    def _own_tokenizer(self) -> Tokenizer:
        return Tokenizer(self.tokens, self.letters, keep_case=self.keep_case)

    @property
    def tokenizer(self) -> Tokenizer:
        """How the text becomes tokens, and a prompt likewise, by the methods that a reader may replace."""
        if all(method.__module__ == __name__ for method in (self._preprocess, self._tokenize)):
            return self._own_tokenizer()
        return OwnTokenizer(self)

    def build(self, raw_text: str, vocab: Any = None) -> tuple[Any, Any]:
        """The corpus, int32 (n,), and the vocabulary of `raw_text`; made of it unless given."""
        tokens = self._tokenize(self._preprocess(raw_text))
        if len(tokens) == 0 or (isinstance(tokens, str) and tokens.isspace()):
            raise self._no_letters(len(raw_text))
        if vocab is None:
            vocab = Vocab(tokens, self.min_freq, tokenizer=self.tokenizer)
            self._check_vocab(vocab, len(tokens))
        if isinstance(vocab, Vocab):
            return vocab.encode(tokens), vocab
        return np.array([vocab[token] for token in tokens], np.int32), vocab  # a reader's own class

    def _no_letters(self, num_characters: int) -> DataError:
        return DataError(
            f"There are no letters in the {num_characters} characters of the text. It is {self.source}."
        )

    def _check_vocab(self, vocab: Vocab, num_tokens: int) -> None:
        if len(vocab) == 1:
            raise DataError(
                f"The vocabulary would be <unk> alone: no token occurs min_freq={self.min_freq} times in "
                f"the {num_tokens} tokens of the text. Lower min_freq, or take a longer text. It is "
                f"{self.source}."
            )

    def get_dataloader(self, train: bool) -> Minibatches | None:
        """Minibatches of (X, Y), each (batch_size, num_steps); None for no validation windows."""
        check(train=train)
        if not train and self.num_val == 0:
            return None
        end = self.num_train + self.num_val
        windows = slice(0, self.num_train) if train else slice(self.num_train, end)
        arrays = [self.X, self.Y]
        if not self.get_tensorloader.__module__.startswith("d2lrnn"):  # a reader's takes tensors
            arrays = [self.tensor(array) for array in arrays]
        return self.get_tensorloader(arrays, train, windows)


class OwnTokenizer(Tokenizer):
    """The tokenizer of data whose reader has replaced a method."""

    def __init__(self, data: TextData) -> None:
        super().__init__(data.tokens, data.letters, keep_case=data.keep_case)
        self.data = data

    def preprocess(self, text: str) -> str:
        return self.data._preprocess(text)

    def tokenize(self, text: str) -> Sequence[str]:
        return self.data._tokenize(text)


class TextFile(TextData):
    """The text in the file `path`, UTF-8; the other arguments are those of `TextData`.

    A file of more than 64 MB is read by blocks, if none of the four methods is a reader's own: neither its
    text nor `corpus` is then held in memory. `corpus` is in a file without a name in the folder `root`, by
    default the cache, which takes four bytes a token, and is gone when the data are.

    Raises `DataError` for a file that does not exist, is empty, or is not UTF-8, `WriteError` where the
    disk has no room for the corpus of a large one.
    """

    largest_in_memory = 1 << 26  # bytes

    def __init__(
        self,
        path: str | os.PathLike[str],
        batch_size: int | None = None,
        num_steps: int | None = None,
        num_train: int | None = 10000,
        num_val: int | None = 5000,
        **options: Any,
    ) -> None:
        self.path = path = os.fspath(checked("path", path))
        super().__init__(batch_size, num_steps, num_train, num_val, **options)
        self.save_hyperparameters(ignore=["options", "num_train", "num_val"])  # as they are now

    def _read(self, vocab: Any) -> tuple[Any, Any]:
        methods = self._download, self._preprocess, self._tokenize, self.build
        is_own = all(method.__module__ == __name__ for method in methods)
        if not (is_own and type(vocab) in (type(None), Vocab) and self._is_large()):
            return super()._read(vocab)
        self.source = f"the file {self.path}"

        def vocab_of(counts: Mapping[str, int], num_characters: int) -> Vocab:
            if all(map(str.isspace, counts)):
                raise self._no_letters(num_characters)
            if vocab is not None:
                return cast(Vocab, vocab)
            own = Vocab.from_counts(counts, self.min_freq, tokenizer=self.tokenizer)
            self._check_vocab(own, sum(counts.values()))
            return own

        return corpus.stream(self.path, self.root, self._own_tokenizer(), vocab_of)

    def _is_large(self) -> bool:
        path = Path(self.path).expanduser()
        return os.path.isfile(path) and os.path.getsize(path) > self.largest_in_memory

    def _download(self) -> str:
        self.source = f"the file {self.path}"
        return read_text(self.path)
