"""A text that need not fit into memory: read by blocks, its corpus in a file."""

import re
import tracemalloc
from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrnn.data import TextFile, Vocab, corpus, reading
from d2lrnn.data.tokenizer import Tokenizer
from d2lrnn.errors import DataError, WriteError

# What depends on its neighbours: capital sigma, which is another small letter at the end of a word, and what
# is looked past on the way there; what joins letters; characters of two bytes and more; runs of no letters.
TRICKY = st.sampled_from(
    "aZ \n\t.'7\u03a3\u03c3\u200c\u200d\u0301\u00ad\u0130\u4e2d\u30fc\U0001f570"
)


class Streamed(TextFile):
    largest_in_memory = 0


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRNN_CACHE", str(tmp_path / "cache"))

    def write(content):
        path = tmp_path / "text.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@contextmanager
def by_blocks_of(number_of_bytes):
    """Read so many at a time while it lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BYTES", number_of_bytes)
        patch.setattr(corpus, "BYTES", 4 * number_of_bytes)
        yield


@given(
    st.lists(st.text(TRICKY)),
    st.sampled_from(["char", "word"]),
    st.sampled_from(["a-z", "any", "all", None]),
    st.booleans(),
)
def test_blocks_have_the_tokens_of_the_whole(blocks, tokens, letters, keep_case):
    tokenizer = Tokenizer(tokens, letters, keep_case=keep_case)
    found = [token for part in corpus.tokens_of(blocks, tokenizer) for token in part]
    assert found == list(tokenizer("".join(blocks)))


@pytest.mark.parametrize("tokens, letters", list(product(("char", "word"), ("any", "all"))))
def test_a_text_is_cut_wherever_it_can_be(tokens, letters):
    """Else one that has no spaces, or no line ends, would be held whole."""
    text = {"char": "acgt" * 50 + "\u4e2d\u6587" * 50, "word": "ac gt " * 50}[tokens]
    blocks = [text[i : i + 10] for i in range(0, len(text), 10)]
    found = list(corpus.tokens_of(blocks, Tokenizer(tokens, letters)))
    assert max(map(len, found)) <= 12 and len(found) > len(blocks) / 2


@pytest.mark.parametrize("tokens", ["char", "word"])
@pytest.mark.parametrize("options", [{}, {"min_freq": 3}, {"keep_punctuation": True}, "vocab"])
@pytest.mark.parametrize("number_of_bytes", [1, 7, 1 << 22])
def test_a_streamed_text_is_that_in_memory(write, tokens, options, number_of_bytes):
    text = "The Clock, the \u039f\u0394\u039f\u03a3.\n\n 7 tides... \u4e2d\u6587\u200d! "
    path = write("\ufeff\ufeff" + 3 * text)
    if options == "vocab":
        options = {"vocab": Vocab("the" if tokens == "char" else ["the"])}
    whole = TextFile(path, 2, 3, None, None, tokens=tokens, **options)
    with by_blocks_of(number_of_bytes):
        streamed = Streamed(path, 2, 3, None, None, tokens=tokens, **options)
    assert isinstance(streamed.corpus.base, np.memmap) and not isinstance(
        whole.corpus.base, np.memmap
    )
    np.testing.assert_array_equal(streamed.corpus, whole.corpus)
    assert streamed.corpus.dtype == np.int32
    assert streamed.vocab == whole.vocab and streamed.vocab.token_freqs == whole.vocab.token_freqs
    assert streamed.tokenizer.__dict__ == whole.tokenizer.__dict__
    assert (streamed.num_train, streamed.source) == (whole.num_train, whole.source)
    assert list((path.parent / "cache").iterdir()) == []  # the corpus has no name


@pytest.mark.parametrize(
    "content",
    [
        "1 + 1 = 2",
        " \n \x0b ",
        "\ufeff",
        "the tide\n\u4e2d\x00\n\x01",
        b"the tide\nis caf\xe9 late \x00",
        b"the \x00\n tide \xe4\xb8",
        "the tide".encode("utf-16-le"),
    ],
)
@pytest.mark.parametrize("number_of_bytes", [1, 3, 1 << 22])
def test_what_is_no_text_is_refused_in_the_same_words(write, content, number_of_bytes):
    path, said = write(content), []
    for kind in TextFile, Streamed:
        number = number_of_bytes if kind is Streamed else 1 << 22
        with by_blocks_of(number), pytest.raises(DataError) as error:
            kind(path, 2, 2)
        # The encoding is guessed from the first block, which is a larger one than here.
        said.append(re.sub("(It looks like|These are).*", "", str(error.value)))
    assert said[0] == said[1]


def test_a_vocabulary_of_unknown_tokens_alone_is_refused_in_the_same_words(write):
    with pytest.raises(DataError, match="no token occurs min_freq=9 times in the 3 tokens"):
        Streamed(write("abc"), 2, 2, min_freq=9)


def test_who_replaced_a_method_has_it_called(write):
    class Shouted(Streamed):
        def _preprocess(self, text):
            return text.upper()

    assert Shouted(write("the clock"), 2, 2, 3, 0).vocab.to_tokens([1, 2]) == ["<unk>", "C"]


def test_neither_the_text_nor_the_corpus_is_held(write):
    path = write("the tide comes in. " * 100_000)  # 1.9 MB; the corpus has 7.2 MB
    tracemalloc.start()
    try:
        with by_blocks_of(1 << 16):
            data = Streamed(path, 16, 10, num_train=100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(data.corpus) == 1_800_000 and peak < 4e6


def test_a_disk_without_room_is_named(write, tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    path, before = write("the tide " * 1000), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (20_000, before[1])
    )  # bytes of a file; the corpus has 36,000
    try:
        with pytest.raises(WriteError, match=r"text.txt.corpus cannot be written.*make room there"):
            Streamed(path, 2, 2, root=tmp_path / "root")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "root").iterdir()) == []
