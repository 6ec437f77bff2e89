"""Files from the network, kept in a cache, checked by their SHA-1; archives."""

import hashlib
import os
import posixpath
import sys
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from d2lrnn import atomic
from d2lrnn.errors import ArgumentError, DataError, DownloadError

DATA_URL = "http://d2l-data.s3-accelerate.amazonaws.com/"

TIMEOUTS = (4, 20)  # seconds to connect, seconds without a byte
CHUNK = 1 << 16  # bytes


def cache_dir() -> Path:
    """The folder for downloaded files: $D2LRNN_CACHE, or the user's cache. It may not exist yet."""
    import platformdirs

    chosen = os.environ.get("D2LRNN_CACHE")
    return Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("d2lrnn", False)


def data_folder() -> Path | None:
    """The folder in $D2LRNN_DATA, if it is set; `DataError` if it does not exist."""
    given = os.environ.get("D2LRNN_DATA")
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"D2LRNN_DATA={given} is not a folder. Set it to the folder with the data files, or "
            f"unset it to download them."
        )
    return folder


def download(
    url: str,
    folder: str | os.PathLike[str] | None = None,
    sha1_hash: str | None = None,
) -> str:
    """The path of the file at `url`, downloaded unless it is there already.

    It is looked for by its name, first in the folder in $D2LRNN_DATA, then in `folder` (by default
    the cache), and downloaded into `folder`. With `sha1_hash` its content is checked; a damaged
    file in the cache is downloaded anew.

    Raises `DataError` if a file in $D2LRNN_DATA or in a `folder` given has another SHA-1 (it is
    left as it is), `DownloadError` if the file cannot be fetched.
    """
    return str(locate(url, folder, sha1_hash)[0])


def locate(
    url: str,
    folder: str | os.PathLike[str] | None = None,
    sha1_hash: str | None = None,
) -> tuple[Path, str]:
    """As `download`: the path, and in words where the file was found."""
    parts = urlsplit(url)
    name = unquote(posixpath.basename(parts.path))
    if (
        parts.scheme not in ("http", "https")
        or name != os.path.basename(name)
        or name in ("", "..")
    ):
        raise ArgumentError(f"Expected the http address of a file. Received: url={url!r}.")
    remarks = ""

    given = data_folder()
    if given is not None:
        if (given / name).is_file():
            _check(given / name, sha1_hash)
            return given / name, "the folder in D2LRNN_DATA"
        remarks = f" (D2LRNN_DATA={given} has no {name})"

    kept = cache_dir() if folder is None else Path(folder).expanduser()
    target = kept / name
    if target.is_file():
        if kept != cache_dir():
            _check(target, sha1_hash)
            return target, f"the folder given{remarks}"
        if sha1_hash is None or _sha1(target) == sha1_hash:
            return target, f"the cache{remarks}"
        remarks += f" (the file {target} in the cache is damaged)"

    try:
        _fetch(url, target, sha1_hash)
    except DownloadError as error:
        raise DownloadError(
            f"Could not download {url}: {error}{remarks}.\nCheck the connection, or put {name} "
            f"into a folder by hand and set D2LRNN_DATA to that folder."
        ) from error
    return target, f"{url}{remarks}"


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def _check(path: Path, sha1_hash: str | None) -> None:
    if sha1_hash is not None and (received := _sha1(path)) != sha1_hash:
        raise DataError(
            f"{path} is not the expected file. Expected: SHA-1 {sha1_hash}. Received: SHA-1 "
            f"{received}. Remove it to have the right one downloaded; to use a text of your own, "
            f"take d2l.TextFile(path, ...) or, on the command line, --text FILE."
        )


def _fetch(url: str, target: Path, sha1_hash: str | None) -> None:
    """Download `url` to `target`, which is never seen half-written."""
    import requests
    from rich.console import Console
    from rich.progress import Progress

    terminal = sys.stderr.isatty()
    digest = hashlib.sha1(usedforsecurity=False)
    headers = {"Accept-Encoding": "identity"}  # an archive stays one, its length is what is said
    try:
        with (
            requests.get(url, stream=True, timeout=TIMEOUTS, headers=headers) as response,
            Progress(
                console=Console(stderr=True), transient=True, disable=not terminal
            ) as progress,
        ):
            response.raise_for_status()
            length = response.headers.get("Content-Length", "")
            task = progress.add_task(target.name, total=int(length) if length.isdigit() else None)
            with atomic.new_file(target) as part, part.open("wb") as file:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    progress.advance(task, len(chunk))
                if sha1_hash is not None and digest.hexdigest() != sha1_hash:
                    raise DownloadError(
                        f"what came is another file (expected SHA-1 {sha1_hash}, received "
                        f"{digest.hexdigest()})"
                    )
    except DownloadError:
        raise
    except (requests.RequestException, OSError) as error:
        failed = error.args[0] if error.args else None
        reason = getattr(failed, "reason", error)  # what urllib3 says, without its retries
        raise DownloadError(f"{type(error).__name__}, {reason}") from error


def extract(filename: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None) -> str:
    """Unpack a zip or tar archive into `folder`; returns that folder.

    By default that is the archive's own; of an archive in $D2LRNN_DATA, which is only read, the cache.

    Raises `DataError` if `filename` is no archive, or if it holds a link or a member that would
    lie outside `folder`: then nothing is unpacked.
    """
    path = Path(filename).expanduser()
    if folder is not None:
        target = Path(folder).expanduser()
    else:
        target = cache_dir() if path.parent == data_folder() else path.parent
    if not path.is_file():
        raise DataError(f"There is no file {filename}.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_members(path, target, archive.namelist())
                archive.extractall(target)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as tar:
                _check_members(path, target, tar.getnames())
                for member in tar:
                    if not (member.isfile() or member.isdir()):
                        raise DataError(f"The archive {path} holds a link or device: refused.")
                # Harmless modes and owners, too; Python before 3.11.4 has no such filter.
                tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                tar.extractall(target)
        else:
            raise DataError(f"Expected a zip or tar archive. Received: {filename}.")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"The archive {filename} cannot be unpacked: {error}.") from error
    return str(target)


def _check_members(archive: Path, folder: Path, names: list[str]) -> None:
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise DataError(f"The archive {archive} holds {name!r}, outside {folder}: refused.")
