"""The real text, and a network that is not there."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_text_folder():
    """The folder with the file that the book downloads; it is not part of the project."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("D2LRNN_DATA") or beside)
    if not (folder / "timemachine.txt").is_file():
        pytest.skip("needs timemachine.txt, the real text, in the folder D2LRNN_DATA")
    return folder


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """No D2LRNN_DATA, and an empty cache, whose folder is returned."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("D2LRNN_DATA", raising=False)
    monkeypatch.setenv("D2LRNN_CACHE", str(cache))
    return cache
