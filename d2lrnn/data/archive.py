"""Archives, unpacked with care: they may come from anywhere."""

import bz2
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, NoReturn

from d2lrnn.arguments import File, Integer, expect
from d2lrnn.data.download import LONGEST_NAME, MAX_BYTES, cache_dir, data_folder
from d2lrnn.errors import DataError

MAX_FILES = 200_000  # in an archive; the book's fullest has 100,000
# What Python's readers of archives raise for those that are damaged or not of their kind.
DAMAGED: tuple[type[Exception], ...] = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(
        NotImplementedError,
        RuntimeError,
        ValueError,
        OverflowError,
        struct.error,
        OSError,
        KeyError,
    ),
)
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
TAR_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
MOST_AT_ONCE = 1 << 20  # bytes; what describes a member of a tar archive is read at once


def extract(
    filename: str | os.PathLike[str],
    folder: str | os.PathLike[str] | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_files: int = MAX_FILES,
) -> str:
    """Unpack a zip or tar archive into `folder`; returns that folder.

    By default that is the archive's own; of an archive in $D2LRNN_DATA, which is only read, the cache.

    Raises `DataError` if `filename` is no archive, is encrypted or damaged, or if it holds a link, a
    member that would lie outside `folder`, one file inside another, more than `max_files` members or
    `max_bytes` in all: then nothing is unpacked, unless the damage is found only on the way.
    """
    path = Path(expect("filename", filename, File())).expanduser()
    if folder is not None:
        expect("folder", folder, File())
    if folder is not None:
        target = Path(folder).expanduser()
    else:
        target = cache_dir() if path.parent == data_folder() else path.parent
    if not path.is_file():
        raise DataError(f"There is no file {filename}.")
    expect("max_bytes", max_bytes, Integer(1))
    expect("max_files", max_files, Integer(1))
    check = _MemberCheck(path, target, max_bytes, max_files)
    try:
        (_unzip if zipfile.is_zipfile(path) else _untar)(path, target, check)
    except DAMAGED as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"The archive {filename} cannot be unpacked: {reason}.") from error
    return str(target)


class _MemberCheck:
    """Raises a DataError for a member of an archive that is not to be unpacked."""

    def __init__(self, archive: Path, folder: Path, max_bytes: int, max_files: int) -> None:
        self.archive, self.folder = archive, folder.resolve()
        self.max_bytes, self.max_files = max_bytes, max_files
        self.num_bytes = self.num_files = 0
        self.files: set[Path] = set()
        self.folders: set[Path] = set()

    def __call__(self, name: str, size: int, is_folder: bool, is_plain: bool) -> None:
        self.num_files += 1
        self.num_bytes += max(size, 0)
        if self.num_files > self.max_files:
            self.refuse(f"holds more than max_files={self.max_files:,} members")
        if self.num_bytes > self.max_bytes:
            self.refuse(f"holds more than max_bytes={self.max_bytes:,}")
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in name.split("/")):
            self.refuse(f"holds a name of more than {LONGEST_NAME} bytes, {name[:40]!r}...")
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            self.refuse(f"holds {name!r}, outside {self.folder}")
        if size < 0 or not is_plain:
            self.refuse(f"holds a link or device, {name!r}")
        (self.folders if is_folder else self.files).add(path)
        self.folders.update(path.parents)
        if path in (self.folders if not is_folder else self.files) or not self.files.isdisjoint(
            path.parents
        ):
            self.refuse(f"holds {name!r} as a file and as a folder")

    def refuse(self, reason: str) -> NoReturn:
        raise DataError(f"The archive {self.archive} {reason}: refused.")


def _unzip(path: Path, folder: Path, check: _MemberCheck) -> None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & 1:
                check.refuse("is encrypted; unpack it by hand")
            if info.compress_type not in ZIP_METHODS:
                check.refuse(f"is compressed by method {info.compress_type}, which Python lacks")
            kind = stat.S_IFMT(info.external_attr >> 16)
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR)
            check(info.filename, info.file_size, info.is_dir(), plain)
        archive.extractall(folder)


def _untar(path: Path, folder: Path, check: _MemberCheck) -> None:
    with path.open("rb") as file:
        start = file.read(6)
    opened: Any = next((o for magic, o in TAR_OPENERS.items() if start.startswith(magic)), open)
    with opened(path, "rb") as content:
        bounded: Any = _Bounded(content)
        try:
            tar = tarfile.TarFile(fileobj=bounded)
        except tarfile.ReadError:
            raise DataError(f"Expected a zip or tar archive. Received: {path}.") from None
        with tar:
            for member in tar:
                check(member.name, member.size, member.isdir(), member.isfile() or member.isdir())
            # Harmless modes and owners, too; Python before 3.11.4 has no such filter.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            tar.extractall(folder)


class _Bounded:
    """A file of which never much is read at once, whatever is said of the length of a name."""

    def __init__(self, file: Any) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._read = file.read

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MOST_AT_ONCE:
            raise tarfile.TarError(f"it describes a member in {size:,} bytes")
        content: bytes = self._read(size)
        return content
