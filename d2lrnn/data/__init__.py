"""Texts, vocabularies and minibatches, the same on every backend (sections 9.2, 9.3 and 10.5)."""

from d2lrnn.data.archive import extract
from d2lrnn.data.data_module import DataModule
from d2lrnn.data.download import DATA_URL, cache_dir, download
from d2lrnn.data.minibatches import Minibatches, windows_of
from d2lrnn.data.pairs import MTFraEng, PairFile, SentencePairs
from d2lrnn.data.text import TextData, TextFile
from d2lrnn.data.time_machine import TimeMachine
from d2lrnn.data.tokenizer import Tokenizer
from d2lrnn.data.vocab import Vocab

__all__ = [
    "DATA_URL",
    "DataModule",
    "MTFraEng",
    "Minibatches",
    "PairFile",
    "SentencePairs",
    "TextData",
    "TextFile",
    "TimeMachine",
    "Tokenizer",
    "Vocab",
    "cache_dir",
    "download",
    "extract",
    "windows_of",
]
