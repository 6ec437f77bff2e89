"""`Vocab` (section 9.2)."""

import collections
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrnn.data import Tokenizer, Vocab
from d2lrnn.data import tokenizer as tokenizer_module
from d2lrnn.errors import ArgumentError, DataError

WORDS = "the time traveller for so it will be convenient to speak of the time the".split()


def test_indices_follow_the_sorted_tokens():
    assert Vocab(WORDS).idx_to_token == sorted({"<unk>", *WORDS})
    assert Vocab("ba a").idx_to_token == [" ", "<unk>", "a", "b"]


def test_token_freqs_fall_and_equal_counts_follow_the_tokens():
    freqs = Vocab(WORDS).token_freqs
    assert freqs[:4] == [("the", 3), ("time", 2), ("be", 1), ("convenient", 1)]
    assert dict(freqs) == collections.Counter(WORDS)


def test_min_freq_drops_rare_tokens_but_never_reserved_ones():
    assert Vocab(WORDS, min_freq=2).idx_to_token == ["<unk>", "the", "time"]
    vocab = Vocab(WORDS, min_freq=3, reserved_tokens=["<pad>", "be"])
    assert vocab.idx_to_token == ["<pad>", "<unk>", "be", "the"]
    assert len(vocab.token_freqs) == len(set(WORDS))
    assert Vocab("aab", min_freq=2).idx_to_token == ["<unk>", "a"]


def test_both_ways_with_lists_and_nested_lists():
    vocab = Vocab(WORDS)
    assert vocab["the"] == vocab.token_to_idx["the"]
    assert vocab.to_tokens(vocab[WORDS]) == WORDS
    nested = [["the", "time"], [], ["so"]]
    assert vocab[nested] == [[vocab["the"], vocab["time"]], [], [vocab["so"]]]
    assert vocab.to_tokens(vocab[nested]) == nested
    assert vocab[("so",)] == [vocab["so"]]
    assert vocab[np.array(["so", "it"])] == vocab[["so", "it"]]


@pytest.mark.parametrize(
    "vocab, text, tokens",
    [
        (Vocab("the tide", reserved_tokens=["[PAD]"]), "the", ["t", "h", "e"]),
        (Vocab(list("the tide"), reserved_tokens=["<pad>", "[PAD]"]), "the", ["t", "h", "e"]),
        (Vocab(["<b>", "<i>"]), "<b> <i>", ["<b>", "<i>"]),
        (Vocab(["c", "d"], tokenizer=Tokenizer("word")), "c d", ["c", "d"]),
        (Vocab(["e\u0301", "a"]), "ae\u0301", ["a", "e\u0301"]),
        (Vocab(["e\u0301t", "a"]), "a e\u0301t", ["a", "e\u0301t"]),
        (Vocab("ab", tokenizer=Tokenizer("char", "a-z")), "A, b!", ["a", " ", "b", " "]),
    ],
)
def test_a_text_is_cut_as_the_tokens_are(vocab, text, tokens):
    assert vocab.split(text) == tokens


def test_a_stored_vocabulary_keeps_its_tokenizer():
    tokenizer = Tokenizer("word", "any")
    vocab = Vocab.from_list(Vocab(["c", "d"]).to_list(), tokenizer)
    assert vocab.split("C, d!") == ["c", "d"] and vocab.joiner == " "
    assert Vocab.from_list(["<pad>", "<unk>", "a"]).split("aa") == ["a", "a"]  # guessed


@pytest.mark.parametrize("arguments", [{"tokens": "chars"}, {"letters": "A-Z"}])
def test_bad_arguments_of_a_tokenizer(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ArgumentError, match=f"{name}='{value}'"):
        Tokenizer(**arguments)


def test_unknown_tokens_become_unk():
    vocab = Vocab(WORDS)
    assert vocab["machine"] == vocab.unk == vocab["<unk>"]
    assert vocab.to_tokens(vocab[["the", "machine"]]) == ["the", "<unk>"]
    assert list(vocab.encode(["machine", "the"])) == [vocab.unk, vocab["the"]]


def test_to_tokens_takes_numpy_integers_and_arrays():
    vocab = Vocab("abc")
    assert vocab.to_tokens(np.int64(1)) == vocab.to_tokens(np.array(1)) == "a"
    assert vocab.to_tokens(np.array([1])) == ["a"]
    assert vocab.to_tokens(np.array([[1, 2], [3, 0]])) == [["a", "b"], ["c", "<unk>"]]


@pytest.mark.parametrize("index", [4, -1, [0, 4], 1.5, "a", None])
def test_an_index_outside_is_an_error(index):
    with pytest.raises(ArgumentError, match=r"\[0, 4\).*Received"):
        Vocab("abc").to_tokens(index)


def test_a_list_of_lists_is_taken_token_by_token():
    assert Vocab([["b", "a"], [], ["b"]]).token_freqs == [("b", 2), ("a", 1)]
    assert list(Vocab("ab").encode([["b"], ["a", "b"]])) == [2, 1, 2]


def test_it_is_a_container_of_its_tokens():
    vocab = Vocab("ab")
    assert list(vocab) == ["<unk>", "a", "b"]
    assert "a" in vocab and "z" not in vocab and 0 not in vocab
    assert len(Vocab()) == 1


def test_list_round_trip_through_json():
    vocab = Vocab("häß", reserved_tokens=["<pad>"])
    again = Vocab.from_list(json.loads(json.dumps(vocab.to_list())))
    assert again == vocab and again.unk == vocab.unk
    assert np.array_equal(again.encode("häßx"), vocab.encode("häßx"))
    assert vocab != Vocab("häx") and vocab != ["<unk>"]


@pytest.mark.parametrize("stored", [["a", "b"], ["<unk>", "a", "a"], ["<unk>", 1], "abc", None])
def test_a_stored_vocabulary_is_checked(stored):
    with pytest.raises(DataError, match="stored vocabulary"):
        Vocab.from_list(stored)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_freq": -1}, "min_freq=-1"),
        ({"min_freq": 1.5}, "min_freq=1.5"),
        ({"reserved_tokens": [1]}, "Received: 1, of type int"),
        ({"reserved_tokens": "<pad>"}, r"\['<pad>'\]"),
        ({"tokens": [1, 2]}, "Received: 1, of type int"),
        ({"tokens": [("a", "b")]}, "of type tuple"),
        ({"tokens": [["a"], "bc"]}, "mixture"),
        ({"tokens": ["a", ["b"]]}, "unhashable"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Vocab(**arguments)


@given(st.text(), st.integers(0, 3), st.text())
def test_a_str_counts_as_the_list_of_its_characters(text, min_freq, other):
    fast, plain = Vocab(text, min_freq), Vocab(list(text), min_freq)
    assert fast == plain and fast.token_freqs == plain.token_freqs
    for tokens in (text, other):
        codes = fast.encode(tokens)
        assert codes.dtype == np.int32 and codes.tolist() == fast[list(tokens)]
        assert fast.encode(list(tokens)).tolist() == codes.tolist()


def test_blocks_do_not_show(monkeypatch):
    text = "the time machine ∂ \U0001f570 " * 5
    whole = Vocab(text)
    codes = whole.encode(text)
    monkeypatch.setattr(tokenizer_module, "BLOCK", 7)
    assert Vocab(text).token_freqs == whole.token_freqs
    assert np.array_equal(whole.encode(text), codes)
