"""Files and folders that are never seen half-written, and are there after a power cut.

What is written goes into a part file beside its place, to the disk, and is then renamed. A part file is
locked by its writer as long as that lives: so the next writer of the same place can tell those that a
killed process has left, and removes them. On Windows, where this lock is missing, a file that is open
cannot be removed, which tells the same.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from d2lrnn.errors import WriteError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OF_THE_DISK = {*_FULL, errno.EROFS, errno.EIO}


def write(
    path: str | os.PathLike[str], content: bytes, also: Iterable[str | os.PathLike[str]] = ()
) -> None:
    """Make or replace the file `path`, and its folder if need be.

    Args:
        path: the file.
        content: all of it.
        also: further names in the same folder, which become the same file before `path` does; it takes
            its room once, where the disk has hard links.

    Raises:
        WriteError: the disk is full, or the folder cannot be written to; what was there stays.
    """
    with new_file(path, also) as part:
        file = os.open(part, os.O_WRONLY | getattr(os, "O_BINARY", 0))
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)


@contextmanager
def new_file(
    path: str | os.PathLike[str], also: Iterable[str | os.PathLike[str]] = ()
) -> Iterator[Path]:
    """The name of a file to write, which then becomes `path` in one step, and those of `also` before it.

    If writing it fails, it is removed, and what `path` was before stays as it was.

    Raises:
        WriteError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    with _explained(path):
        _make_folder(path.parent)
        _sweep(path)
        part, file = _new_part(path)
    try:
        with _explained(path, _OF_THE_DISK):
            yield part
        with _explained(path):
            os.fsync(file)
            if fcntl is None:
                os.close(file)  # Windows renames no file that is open
            for other in map(Path, also):
                _link(part, other)
            os.replace(part, path)
            _sync_folder(path.parent)
    finally:  # what fails here is left to the next writer
        with suppress(OSError):
            os.close(file)
        with suppress(OSError):
            os.unlink(part)


@contextmanager
def new_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which then becomes `path` in one step; if filling it fails, nothing is left.

    Raises:
        FileExistsError: there is a `path` already.
        WriteError: the folder that is to hold it cannot be written to.
    """
    path = Path(path)
    if os.path.lexists(path):
        raise FileExistsError(f"{path} exists already")
    part = _part(path)
    with _explained(path):
        _make_folder(path.parent)
        _sweep(path)
        os.mkdir(part)
    try:
        with hold(part):
            yield part
            with _explained(path):
                os.rename(part, path)
                _sync_folder(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def nameless_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file to write and read beside `path`, which it never becomes: it is gone when nobody uses it.

    Raises:
        WriteError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    with ExitStack() as opened:
        opened.enter_context(_explained(path, _OF_THE_DISK))
        with _explained(path):
            _make_folder(path.parent)
            file = opened.enter_context(tempfile.TemporaryFile(dir=path.parent))
        yield cast(BinaryIO, file)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make the folder `path`, and those above it, where they are missing.

    Raises:
        WriteError: it cannot be made; a file is in the way, for instance.
    """
    with _explained(path):
        _make_folder(Path(path))


def remove(path: str | os.PathLike[str]) -> None:
    """Remove the file `path`, if it is there."""
    with _explained(path), suppress(FileNotFoundError):
        os.unlink(path)


def is_part(path: Path) -> bool:
    """Whether `path` has the name of a part file or a part folder."""
    return re.fullmatch(r"\..+\.[0-9a-f]{16}\.part", path.name) is not None


@contextmanager
def hold(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep others from holding the folder, until the end of the block or of the process.

    Nobody is kept out on Windows, and on a disk without locks.

    Raises:
        BlockingIOError: another holds it, in this process or in another.
    """
    if fcntl is None:
        yield
        return
    file = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(file)


def is_held(folder: str | os.PathLike[str]) -> bool:
    """Whether someone holds the folder."""
    try:
        with hold(folder):
            return False
    except BlockingIOError:
        return True


@contextmanager
def _explained(path: str | os.PathLike[str], kinds: set[int] | None = None) -> Iterator[None]:
    """Turn an OSError, of all `kinds` or of these, into a WriteError that names `path` and the room left."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        if kinds is not None and (error.errno or 0) not in kinds:
            raise
        reason = error.strerror or str(error)
        if isinstance(error, FileExistsError):
            reason = f"the file {error.filename} is where a folder should be"
        message = f"{os.fspath(path)} cannot be written: {reason}."
        if error.errno in _FULL:
            place = next(above for above in Path(path).absolute().parents if above.is_dir())
            free = shutil.disk_usage(place).free
            message += f" On the disk of {place} {free / 1e6:,.1f} MB are free; make room there."
        raise WriteError(message) from error


# Part files ---------------------------------------------------------------------------------------


def _part(path: Path) -> Path:
    """A name beside `path` that no other process or thread has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


def _new_part(path: Path) -> tuple[Path, int]:
    """A new, empty part file for `path`, and a descriptor of it that holds its lock."""
    while True:
        part = _part(path)
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if fcntl is not None:
            with suppress(OSError):  # without locks, nobody sweeps
                fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.exists(part):  # else it was swept before it was locked
            return part, file
        os.close(file)


def _sweep(path: Path) -> None:
    """Remove the part files and part folders of `path` whose writers are gone."""
    start = f".{path.name}."
    for name in os.listdir(path.parent):
        part = path.with_name(name)
        if name.startswith(start) and is_part(part):
            with suppress(OSError):  # in use, or gone already
                file = None if fcntl is None else os.open(part, os.O_RDONLY)
                try:
                    if file is not None:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(part) if part.is_dir() else os.unlink(part)
                finally:
                    if file is not None:
                        os.close(file)


def _link(part: Path, other: Path) -> None:
    """Make `other` the same file as `part`; a copy, where the disk has no hard links."""
    _sweep(other)
    name = _part(other)
    try:
        os.link(part, name)
        os.replace(name, other)
    except OSError as error:
        with suppress(OSError):
            os.unlink(name)
        if error.errno in _OF_THE_DISK:
            raise
        write(other, part.read_bytes())


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    if path.parent != path:
        _make_folder(path.parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():
            raise
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Have the names in the folder `path` written to the disk, where a system does that."""
    if os.name == "nt":
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(file)
