"""Files and folders that are never seen half-written."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: str | os.PathLike[str], content: bytes) -> None:
    """Make or replace the file `path`, and its folder if need be."""
    with new_file(path) as part:
        part.write_bytes(content)


@contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The name of a file to write, which then becomes `path` in one step.

    If writing it fails, it is removed, and what `path` was before stays as it was.
    """
    part = _part(Path(path))
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which then becomes `path` in one step; if filling it fails, nothing is left.

    Raises:
        FileExistsError: there is a `path` already.
    """
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already")
    part = _part(Path(path))
    part.mkdir(parents=True)
    try:
        yield part
        os.rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part(path: Path) -> Path:
    """A name beside `path` that no other process or thread has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
