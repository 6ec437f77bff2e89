"""`MTFraEng` and `PairFile`: sentences and their translations as training data (section 10.5)."""

import hashlib
import itertools
import os
import re
import warnings
import zipfile
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from d2lrnn.arguments import check, checked
from d2lrnn.data.archive import DAMAGED
from d2lrnn.data.data_module import DataModule
from d2lrnn.data.download import DATA_URL, cache_dir, data_folder, locate, not_had
from d2lrnn.data.minibatches import Minibatches
from d2lrnn.data.reading import read_text
from d2lrnn.data.tokenizer import Tokenizer
from d2lrnn.data.vocab import Vocab
from d2lrnn.errors import ArgumentError, DataError, DownloadError

PAD, BOS, EOS = "<pad>", "<bos>", "<eos>"
MOST = 1 << 26  # bytes read of an archive; the book's list has 11 million

Sentences = list[list[str]]
Arrays = tuple[NDArray[np.int32], ...]


class SentencePairs(DataModule):
    """Pairs of a source and a target sentence, cut or padded to `num_steps` tokens (section 10.5).

    The text has a pair on each line, the two separated by a tab; further columns are not read. It runs
    through methods that a subclass or `add_to_class` may replace: `_download() -> raw_text`,
    `_preprocess(raw_text) -> text`, `_tokenize(text) -> (source, target)`, lists of lists of tokens, and
    `_build_arrays(raw_text, src_vocab, tgt_vocab)`, which calls the last two.

    Training has the first `num_train` pairs and validation the `num_val` that follow; with `num_val=0`,
    `val_dataloader()` is None. Tokens that occur once become `<unk>`. Without `batch_size` nothing is read.

    `as_in_the_book=True` gives the book's own arrays, which differ in two things: there is one example
    more than was asked for, and a sentence that is cut loses its `<eos>`.

    Attributes: `arrays`, int32: the source (n, num_steps); what the decoder is given, `<bos>` and the
    target (n, num_steps); the valid lengths of the sources (n,), without padding; the label, the target
    (n, num_steps). `src_vocab` and `tgt_vocab`; `source`, which says where the text came from.

    Raises `ArgumentError` for an argument out of its range, `DataError` for too few pairs.
    """

    source: str = "a text of unknown origin"
    as_in_the_book: bool = False
    num_train: int
    num_steps: int
    num_val: int
    src_vocab: Any  # Vocab, or what a reader's own method returns
    tgt_vocab: Any
    arrays: Arrays

    def __init__(
        self,
        batch_size: int | None = None,
        num_steps: int = 9,
        num_train: int = 512,
        num_val: int = 128,
        *,
        as_in_the_book: bool = False,
        seed: int = 0,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(root=root, seed=seed)
        self.save_hyperparameters()
        if batch_size is not None:
            arrays, self.src_vocab, self.tgt_vocab = self._build_arrays(self.raw_text)
            self.arrays = tuple(map(self.array, arrays))

    @cached_property
    def raw_text(self) -> str:
        """The whole text, which is had once."""
        return self._download()

    @property
    def vocabs(self) -> tuple[Any, ...]:
        """The vocabularies of the source and of the target."""
        return self.src_vocab, self.tgt_vocab

    @property
    def num_tokens(self) -> int:
        """How many tokens the sentences and their translations have, without padding."""
        return int(self.arrays[2].sum() + (self.arrays[3] != self.tgt_vocab[PAD]).sum())

    @property
    def indices(self) -> Arrays:
        """All arrays that hold tokens, and the lengths: equal ones mean equal data."""
        return self.arrays

    def _download(self) -> str:
        """The raw text: to be overridden."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say where its sentences are: define _download(self), which "
            "returns a str, or use d2l.PairFile(path, ...) for a file."
        )

    def _preprocess(self, text: str) -> str:
        """`text` in lower case, with a space before each of `,.!?`, and no no-break spaces."""
        text = text.replace("\u202f", " ").replace("\xa0", " ").lower()
        return re.sub(r"(?<=[^ ])([,.!?])", r" \1", text)

    def _tokenize(self, text: str, max_examples: int | None = None) -> tuple[Sentences, Sentences]:
        """The tokens of the first `max_examples` pairs of `text`, source and target, each with `<eos>`."""
        most = None if not max_examples else max_examples + self.as_in_the_book
        columns = (line.split("\t") for line in text.split("\n"))
        pairs = itertools.islice((pair[:2] for pair in columns if _is_pair(pair)), most)
        source, target = [], []
        for one, other in pairs:
            source.append([*one.split(), EOS])
            target.append([*other.split(), EOS])
        return source, target

    def _build_arrays(
        self, raw_text: str, src_vocab: Any = None, tgt_vocab: Any = None
    ) -> tuple[Arrays, Any, Any]:
        """The four arrays, see `arrays`, and the vocabularies, made of the text unless they are given."""
        most = self.num_train + self.num_val if src_vocab is None else None
        source, target = self._tokenize(self._preprocess(raw_text), most)
        if most is not None and len(source) < most:
            raise DataError(
                f"Too few pairs: there are {len(source)}; num_train={self.num_train} and num_val="
                f"{self.num_val} ask for {most}. Lower them, or take a longer text: a pair a line, the "
                f"sentence, a tab, its translation. It is {self.source}."
            )
        X, src_vocab, valid_lens = self._build_array(source, src_vocab, [PAD, EOS])
        Y, tgt_vocab, _ = self._build_array(target, tgt_vocab, [PAD, BOS, EOS])
        first = np.full((len(Y), 1), tgt_vocab[BOS], np.int32)
        return (X, np.hstack([first, Y[:, :-1]]), valid_lens, Y), src_vocab, tgt_vocab

    def _build_array(
        self, sentences: Sentences, vocab: Any, reserved: Sequence[str]
    ) -> tuple[NDArray[np.int32], Any, NDArray[np.int32]]:
        """Tokens (n, num_steps), their vocabulary, and the valid lengths (n,)."""
        end = [] if self.as_in_the_book else [EOS]
        cut = [
            s if len(s) <= self.num_steps else [*s[: self.num_steps - len(end)], *end]
            for s in sentences
        ]
        if vocab is None:
            vocab = Vocab(cut, 2, reserved, tokenizer=Tokenizer("word"))
        valid_lens = np.array([len(s) for s in cut], np.int32)
        rows = [vocab[s + [PAD] * (self.num_steps - len(s))] for s in cut]
        return np.array(rows, np.int32).reshape(-1, self.num_steps), vocab, valid_lens

    def build(self, src_sentences: Sequence[str], tgt_sentences: Sequence[str]) -> tuple[Any, ...]:
        """The four arrays of these sentences, by the vocabularies of this data, as tensors."""
        check(src_sentences=src_sentences, tgt_sentences=tgt_sentences)
        if len(src_sentences) != len(tgt_sentences):
            raise ArgumentError(
                f"Expected a translation of each sentence. Received: {len(src_sentences)} in src_sentences "
                f"and {len(tgt_sentences)} in tgt_sentences."
            )
        for sentence in (*src_sentences, *tgt_sentences):
            if not sentence.strip() or {"\t", "\n"} & set(sentence):
                raise ArgumentError(
                    f"Expected sentences of one line each, without a tab. Received: {sentence!r}."
                )
        lines = ("\t".join(pair) for pair in zip(src_sentences, tgt_sentences, strict=True))
        arrays, _, _ = self._build_arrays("\n".join(lines), self.src_vocab, self.tgt_vocab)
        return tuple(self.tensor(self.array(array)) for array in arrays)

    def sentences(self, train: bool) -> tuple[list[str], list[str]]:
        """The sentences of training, or of validation, and their translations; tokens separated by spaces."""
        check(train=train)
        most = self.num_train + self.num_val
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        source, target = self._tokenize(self._preprocess(self.raw_text), most)
        return tuple([" ".join(one[:-1]) for one in side[rows]] for side in (source, target))  # type: ignore[return-value]

    def references(self, sentences: Sequence[str]) -> list[list[str]]:
        """All translations of each sentence that the whole text has, those not trained on too, in its order.

        Tokens are separated by spaces, as in what `translate` returns.
        """
        check(sentences=sentences)
        known: dict[str, list[str]] = {}
        for source, target in zip(*self._tokenize(self._preprocess(self.raw_text)), strict=True):
            known.setdefault(" ".join(source[:-1]), []).append(" ".join(target[:-1]))
        found = (known.get(" ".join(source[:-1]), []) for source in sources_in(self, sentences))
        return [list(dict.fromkeys(all_of_one)) for all_of_one in found]

    def get_dataloader(self, train: bool) -> Minibatches | None:
        """Minibatches of (source, decoder input, valid lengths, label); None for no validation pairs."""
        check(train=train)
        if not train and self.num_val == 0:
            return None
        rows = slice(0, self.num_train) if train else slice(self.num_train, None)
        arrays: Sequence[Any] = self.arrays
        if not self.get_tensorloader.__module__.startswith("d2lrnn"):  # a reader's takes tensors
            arrays = [self.tensor(array) for array in arrays]
        return self.get_tensorloader(arrays, train, rows)


def sources_in(data: Any, sentences: Sequence[str]) -> Sentences:
    """The tokens of sentences without translations, as `data` reads its own, each with `<eos>`."""
    source, _ = data._tokenize(data._preprocess("".join(f"{one}\t.\n" for one in sentences)))
    return list(source)


def _is_pair(columns: list[str]) -> bool:
    return len(columns) >= 2 and bool(columns[0].strip() and columns[1].strip())


class PairFile(SentencePairs):
    """The pairs in the file `path`, UTF-8, any two languages; the other arguments are `SentencePairs`'.

    Raises `DataError` for a file that does not exist, is no text, or has too few pairs.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        batch_size: int | None = None,
        num_steps: int = 9,
        num_train: int = 512,
        num_val: int = 128,
        **options: Any,
    ) -> None:
        self.path = path = os.fspath(checked("path", path))
        super().__init__(batch_size, num_steps, num_train, num_val, **options)
        self.save_hyperparameters(ignore=["options"])

    def _download(self) -> str:
        self.source = f"the file {self.path}"
        return read_text(self.path)


class MTFraEng(SentencePairs):
    """The book's English sentences and their French translations (section 10.5), of the Tatoeba project.

    The list comes from the first of these that has it: the folder in the environment variable D2LRNN_DATA;
    the folder `root`, by default the cache; the book's address; and, with a warning, another list, which
    comes with d2lrnn. It is `fra.txt`, by itself, in `fra-eng/`, or in `fra-eng.zip`, which is read as it is.

    Raises `DataError` if D2LRNN_DATA or `root` holds another file under one of these names.
    """

    archive = "fra-eng.zip", "94646ad1522d915e7b0f9296181140edcf86a4f5"
    member = "fra-eng/fra.txt", "c43f99dce27311d3afd4d3e0716848194cfcc103"

    def _download(self) -> str:
        names = "fra.txt", self.member[0], self.archive[0]
        for folder in filter(None, (data_folder(), Path(self.root))):
            for name in names:
                in_cache = name == self.archive[0] and folder == cache_dir()  # if damaged, had anew
                if (folder / name).is_file() and not in_cache:
                    return self._read(folder / name, "")
        try:
            path, origin = locate(DATA_URL + self.archive[0], self.root, self.archive[1])
        except DownloadError as error:
            self.source = "The Little Phrasebook, bundled with d2lrnn, not the book's list"
            instead = "list of sentences, The Little Phrasebook"
            warnings.warn(not_had("the book's list", instead, error), stacklevel=2)
            bundled = files("d2lrnn.data") / "bundled" / "the_little_phrasebook.txt"
            return bundled.read_text(encoding="utf-8")
        return self._read(path, f", from {origin}")

    def _read(self, path: Path, origin: str) -> str:
        """The book's list in the file or archive `path`."""
        self.source = f"the pairs of the Tatoeba project, {path}{origin}"
        try:
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive, archive.open(self.member[0]) as file:
                    content = file.read(MOST)
            else:
                content = path.read_bytes()
        except DAMAGED as error:
            raise DataError(f"{path} cannot be read: {error}. Remove it, or mend it.") from error
        received = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if received != self.member[1]:
            raise DataError(
                f"{path} is not the book's list of sentences. Expected: SHA-1 {self.member[1]} of fra.txt. "
                f"Received: SHA-1 {received}. Remove it to have the right one downloaded; to use sentences "
                "of your own, take d2l.PairFile(path, ...) or, on the command line, --pairs FILE."
            )
        return content.decode("utf-8")
