"""Pairs of sentences as data (section 10.5), without a framework."""

import zipfile

import numpy as np
import pytest

from d2lrnn.data import MTFraEng, PairFile, SentencePairs
from d2lrnn.data.pairs import BOS, EOS, PAD
from d2lrnn.errors import ArgumentError, DataError

TEXT = "Go.\tVa !\nI'm home.\tJe suis chez moi.\nWho?\tQui ?\tCC-BY\nno translation\n"
TEXT += "Run!\tCours\u202f!\nThe cat is here.\tLe chat est ici.\n"


class Few(SentencePairs):
    def _download(self):
        return TEXT


def few(num_steps=5, **options):
    return Few(batch_size=2, num_steps=num_steps, num_train=3, num_val=1, **options)


def words(vocab, row):
    return " ".join(vocab.to_tokens(row))


def test_a_text_is_read_as_in_the_book():
    assert few()._preprocess("Go.\tVa\u202f!\nAh, no?!") == "go .\tva !\nah , no ? !"
    source, target = few()._tokenize(
        "go .\tva !\nhi .\tsalut !\nonly one\n\tnothing\nwho ?\tqui ?\tby me", 3
    )
    assert source == [["go", ".", EOS], ["hi", ".", EOS], ["who", "?", EOS]]
    assert target == [["va", "!", EOS], ["salut", "!", EOS], ["qui", "?", EOS]]


def test_the_arrays():
    data = few()
    X, decoder_input, valid_lens, Y = data.arrays
    assert [a.shape for a in data.arrays] == [(4, 5), (4, 5), (4,), (4, 5)]
    assert {a.dtype for a in data.arrays} == {np.dtype(np.int32)}
    np.testing.assert_array_equal(valid_lens, [3, 4, 3, 3])
    assert set(data.src_vocab) >= {PAD, EOS, "<unk>", "."}
    assert (
        words(data.src_vocab, X[1]) == f"<unk> <unk> . {EOS} {PAD}"
    )  # what occurs once is unknown
    assert words(data.tgt_vocab, decoder_input[0]) == f"{BOS} <unk> ! {EOS} {PAD}"
    assert words(data.tgt_vocab, Y[0]) == f"<unk> ! {EOS} {PAD} {PAD}"
    np.testing.assert_array_equal(decoder_input[:, 1:], Y[:, :-1])
    assert data.src_vocab.joiner == " "


def test_a_sentence_that_is_cut_keeps_its_end_and_loses_it_as_in_the_book():
    right, book = few(num_steps=3), few(num_steps=3, as_in_the_book=True)
    assert words(right.src_vocab, right.arrays[0][1]).split()[-1] == EOS
    assert EOS not in words(book.src_vocab, book.arrays[0][1])
    np.testing.assert_array_equal(right.arrays[2], 3)


def test_as_many_examples_as_were_asked_for_and_one_more_as_in_the_book():
    assert len(few().arrays[0]) == 4
    assert len(few(as_in_the_book=True).arrays[0]) == 5


def test_minibatches():
    data = few()
    train, val = data.train_dataloader(), data.val_dataloader()
    assert [train.num_examples, val.num_examples] == [3, 1]
    assert [a.shape for a in next(iter(train))] == [(2, 5), (2, 5), (2,), (2, 5)]
    assert Few(2, 5, 4, 0).val_dataloader() is None


def test_sentences_of_a_reader_are_built_by_the_vocabularies_of_the_data():
    data = few()
    X, decoder_input, valid_lens, Y = data.build(["Who?", "Where is it?"], ["Qui ?", "Où ?"])
    assert words(data.src_vocab, X[0]) == f"<unk> <unk> {EOS} {PAD} {PAD}"
    np.testing.assert_array_equal(valid_lens, [3, 5])
    assert [len(a) for a in (decoder_input, Y)] == [2, 2]
    many = data.build(["go ."] * 50, ["va !"] * 50)  # more than the data has
    assert len(many[0]) == 50


def test_all_translations_of_a_sentence():
    class Twice(Few):
        def _download(self):
            return TEXT + "Go.\tAllez !\nGo.\tVa !\n"

    data = Twice(2, 5, 3, 1)
    assert data.references(["Go.", "go .", "Never seen."]) == [["va !", "allez !"]] * 2 + [[]]


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ((["go ."], []), "1 in src_sentences and 0 in tgt_sentences"),
        (([" "], ["va !"]), "Received: ' '"),
        ((["go\t."], ["va !"]), "without a tab"),
    ],
)
def test_sentences_that_are_none(sentences, message):
    with pytest.raises(ArgumentError, match=message):
        few().build(*sentences)


def test_too_few_pairs():
    with pytest.raises(DataError, match="there are 5; num_train=7 and num_val=1 ask for 8"):
        Few(2, 5, 7, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"num_steps": 0}, "num_steps"),
        ({"num_train": 1.5}, "num_train"),
        ({"num_val": -1}, "num_val"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ArgumentError, match=message):
        Few(**{"batch_size": 2, **options})


def test_a_file_of_the_readers(tmp_path):
    path = tmp_path / "own.tsv"
    path.write_text("Guten Tag.\tGod dag.\r\n" * 6, encoding="utf-8")
    data = PairFile(path, 2, 4, 4, 2)
    assert words(data.src_vocab, data.arrays[0][0]) == f"guten tag . {EOS}"
    assert words(data.tgt_vocab, data.arrays[3][0]) == f"god dag . {EOS}"
    with pytest.raises(DataError, match="There is no file"):
        PairFile(tmp_path / "none.tsv", 2)


# Where the book's list comes from -------------------------------------------------------------------


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """No texts, an empty cache, no network."""
    monkeypatch.delenv("D2LRNN_DATA", raising=False)
    monkeypatch.setenv("D2LRNN_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_without_the_books_list_another_is_used_and_said_so(nothing):
    with pytest.warns(UserWarning, match="The Little Phrasebook"):
        data = MTFraEng(batch_size=128)
    assert [len(a) for a in data.arrays] == [640] * 4
    assert "not the book's" in data.source
    assert {"<unk>", "je"} <= set(data.tgt_vocab)


def test_the_bundled_list_is_of_pairs_that_differ(nothing):
    with pytest.warns(UserWarning, match="The Little Phrasebook"):
        lines = MTFraEng(batch_size=128)._download().splitlines()
    assert len(lines) == len(set(lines)) >= 700
    assert all(line.count("\t") == 1 for line in lines)


def known(monkeypatch, text=TEXT):
    """Take `text` for the book's list."""
    import hashlib

    monkeypatch.setattr(
        MTFraEng, "member", ("fra-eng/fra.txt", hashlib.sha1(text.encode()).hexdigest())
    )


def zipped(folder):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "fra-eng.zip", "w") as archive:
        archive.writestr("fra-eng/fra.txt", TEXT)


@pytest.mark.parametrize("form", ["fra.txt", "fra-eng/fra.txt", "fra-eng.zip"])
def test_the_folder_of_the_data_is_read_and_nothing_is_written_there(form, nothing, monkeypatch):
    folder = nothing / "data"
    if form.endswith("zip"):
        zipped(folder)
    else:
        (folder / form).parent.mkdir(parents=True)
        (folder / form).write_text(TEXT, encoding="utf-8")
    before = sorted(folder.rglob("*"))
    monkeypatch.setenv("D2LRNN_DATA", str(folder))
    known(monkeypatch)
    data = MTFraEng(2, 5, 3, 1)
    assert len(data.arrays[0]) == 4
    assert str(folder) in data.source
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("damage", ["another list", "no archive", "an empty archive"])
def test_a_file_that_is_not_the_books_is_refused(damage, nothing, monkeypatch):
    folder = nothing / "data"
    zipped(folder)
    if damage == "no archive":
        (folder / "fra-eng.zip").write_bytes(b"nothing")
    elif damage == "an empty archive":
        zipfile.ZipFile(folder / "fra-eng.zip", "w").close()
    monkeypatch.setenv("D2LRNN_DATA", str(folder))
    with pytest.raises(DataError, match=r"fra-eng.zip (is not the book's list|cannot be read)"):
        MTFraEng(batch_size=128)
