"""The real text, and a network that is not there."""

import os
from pathlib import Path

import hypothesis
import numpy_backend
import pytest
from faults import Faults

from d2lrnn import atomic, backend

# How long an example takes is the machine's doing: a busy one is no failure.
hypothesis.settings.register_profile("d2lrnn", deadline=None)
hypothesis.settings.load_profile("d2lrnn")


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


@pytest.fixture
def numpy_library(monkeypatch):
    """The library on a backend in NumPy."""
    package = numpy_backend.make()
    monkeypatch.setattr(backend, "_active", ("numpy", package))
    monkeypatch.setattr(backend, "twin", lambda model: None)  # it has no `fast`
    monkeypatch.delenv("D2LRNN_BACKEND", raising=False)
    return package


@pytest.fixture
def inject(monkeypatch):
    """Replaces the operations on files by those of a `Faults`, and returns it."""

    def inject(kind=None, at=0):
        faults = Faults(kind, at)
        monkeypatch.setattr(atomic, "os", faults)
        return faults

    return inject
