"""`TimeMachine`, the text of chapter 9: H. G. Wells, *The Time Machine* (section 9.2)."""

import warnings
from importlib.resources import files

from d2lrnn.data.download import DATA_URL, locate, not_had
from d2lrnn.data.reading import read_text
from d2lrnn.data.text import TextData
from d2lrnn.errors import DownloadError

NAME = "timemachine.txt"
SHA1 = "090b5e7e70c295757f55df93cb0a180b9691891a"


class TimeMachine(TextData):
    """The Time Machine, in windows (sections 9.2 and 9.3); the arguments are those of `TextData`.

    The text comes from the first of these that has it: the folder in the environment variable
    D2LRNN_DATA; the folder `root`, by default the cache; the book's address; and, with a warning,
    another story that comes with d2lrnn. `source` tells which.

    Raises `DataError` if D2LRNN_DATA or `root` holds another text under this name.
    """

    letters = "a-z"  # the book's rule

    def _download(self) -> str:
        try:
            path, origin = locate(DATA_URL + NAME, self.root, SHA1)
        except DownloadError as error:
            self.source = "The Tide Clock, bundled with d2lrnn, not The Time Machine"
            warnings.warn(not_had("The Time Machine", "text, The Tide Clock", error), stacklevel=2)
            bundled = files("d2lrnn.data") / "bundled" / "the_tide_clock.txt"
            return bundled.read_text(encoding="utf-8")
        self.source = f"The Time Machine, {path}, from {origin}"
        return read_text(path)
