"""Files from the network, kept in a cache, checked by their SHA-1."""

import hashlib
import os
import posixpath
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from d2lrnn import atomic
from d2lrnn.arguments import File, Integer, Number, expect
from d2lrnn.errors import ArgumentError, DataError, DownloadError

DATA_URL = "http://d2l-data.s3-accelerate.amazonaws.com/"

TIMEOUTS = (4, 20)  # seconds to connect, seconds without a byte
CHUNK = 1 << 16  # bytes
MAX_SECONDS = 3600.0  # for a whole file, its redirects included
MAX_BYTES = 4 << 30  # of a file; the book's largest has 2 GB
LONGEST_NAME = 255  # bytes of a part of a path, the most that usual file systems take


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
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> str:
    """The path of the file at `url`, downloaded unless it is there already.

    It is looked for by its name, first in the folder in $D2LRNN_DATA, then in `folder` (by default
    the cache), and downloaded into `folder`. With `sha1_hash` its content is checked; a damaged
    file in the cache is downloaded anew. A download ends after `max_seconds`, or at `max_bytes`.

    Raises `DataError` if a file in $D2LRNN_DATA or in a `folder` given has another SHA-1 (it is
    left as it is), `DownloadError` if the file cannot be fetched, is too large or takes too long,
    `ArgumentError` if `url` is not the http address of a file, or `sha1_hash` no SHA-1.
    """
    return str(locate(url, folder, sha1_hash, max_bytes=max_bytes, max_seconds=max_seconds)[0])


def locate(
    url: str,
    folder: str | os.PathLike[str] | None = None,
    sha1_hash: str | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> tuple[Path, str]:
    """As `download`: the path, and in words where the file was found."""
    name = _name_at(url)
    if folder is not None:
        expect("folder", folder, File())
    expect("max_bytes", max_bytes, Integer(1))
    expect("max_seconds", max_seconds, Number(above_0=True))
    if sha1_hash is not None:
        if not (isinstance(sha1_hash, str) and re.fullmatch("[0-9a-fA-F]{40}", sha1_hash)):
            raise ArgumentError(
                f"Expected sha1_hash to be 40 hexadecimal digits. Received: sha1_hash={sha1_hash!r}."
            )
        sha1_hash = sha1_hash.lower()
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
        _fetch(url, target, sha1_hash, max_bytes, max_seconds)
    except DownloadError as error:
        raise DownloadError(
            f"Could not download {url}: {error}{remarks}.\nCheck the connection, or put {name} "
            "into a folder by hand and set D2LRNN_DATA to that folder."
        ) from error
    return target, f"{url}{remarks}"


def not_had(wanted: str, instead: str, error: DownloadError) -> str:
    """A warning, in one line, that what comes with d2lrnn stands in for `wanted`, and why."""
    why = " ".join(str(error).split())
    return f"Using another {instead}: {wanted} cannot be had, and results will differ. {why}"


def _name_at(url: str) -> str:
    """The name of the file at `url`; an ArgumentError if it is no http address of one."""
    try:
        parts = urlsplit(url)
        name = unquote(posixpath.basename(parts.path))
        if (
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0  # a ValueError if it is none
            and name == os.path.basename(name)
            and name not in ("", ".", "..")
            and name.isprintable()
            and len(os.fsencode(name)) <= LONGEST_NAME
        ):
            return name
    except (ValueError, TypeError, AttributeError):
        pass
    raise ArgumentError(f"Expected the http address of a file. Received: url={url!r}.")


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


def _fetch(
    url: str, target: Path, sha1_hash: str | None, max_bytes: int, max_seconds: float
) -> None:
    """Download `url` to `target`, which is never seen half-written."""
    from rich.console import Console
    from rich.progress import Progress

    terminal = sys.stderr.isatty()
    digest = hashlib.sha1(usedforsecurity=False)
    received = 0
    with (
        Progress(console=Console(stderr=True), transient=True, disable=not terminal) as progress,
        closing(_Transfer(url, max_seconds)) as transfer,
    ):
        length = transfer.begin()
        if length is not None and length > max_bytes:
            raise DownloadError(f"it has {length:,} bytes, and max_bytes={max_bytes:,}")
        task = progress.add_task(target.name, total=length)
        try:
            with atomic.new_file(target) as part, part.open("wb") as file:
                for chunk in transfer.chunks():
                    received += len(chunk)
                    if received > max_bytes:
                        raise DownloadError(f"it has more than max_bytes={max_bytes:,}")
                    file.write(chunk)
                    digest.update(chunk)
                    progress.advance(task, len(chunk))
                if length is not None and received != length:
                    raise DownloadError(f"only {received:,} of its {length:,} bytes came")
                if sha1_hash is not None and digest.hexdigest() != sha1_hash:
                    raise DownloadError(
                        f"what came is another file (expected SHA-1 {sha1_hash}, received "
                        f"{digest.hexdigest()})"
                    )
        except DownloadError:
            raise
        except OSError as error:
            raise DownloadError(f"{type(error).__name__}, {error}") from error


class _Transfer:
    """The bytes at an address, read by a thread of its own: no server keeps the caller waiting for ever.

    Names are looked up, redirects followed and headers read without a limit of time, and a server that
    sends a byte now and then is never silent for long.
    """

    def __init__(self, url: str, max_seconds: float) -> None:
        self.url = url
        self.max_seconds = max_seconds
        self.end = time.monotonic() + max_seconds
        self.closed = threading.Event()
        self.queue: queue.Queue[int | bytes | DownloadError | None] = queue.Queue(maxsize=16)
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self) -> int | None:
        """The length that the server tells, if it does."""
        length = self._next()
        assert not isinstance(length, bytes)
        return length

    def chunks(self) -> Iterator[bytes]:
        """The content, as it comes."""
        while isinstance(chunk := self._next(), bytes):
            yield chunk

    def close(self) -> None:
        """Let the thread end, once it has its next bytes."""
        self.closed.set()

    def _next(self) -> int | bytes | None:
        try:
            told = self.queue.get(timeout=max(self.end - time.monotonic(), 0))
        except queue.Empty:
            raise DownloadError(f"it took more than max_seconds={self.max_seconds:g}") from None
        if isinstance(told, DownloadError):
            raise told
        return told

    def _tell(self, what: int | bytes | DownloadError | None) -> None:
        while not self.closed.is_set():
            with suppress(queue.Full):
                return self.queue.put(what, timeout=0.1)

    def _run(self) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        headers = {
            "Accept-Encoding": "identity"
        }  # an archive stays one, its length is what is said
        try:
            with requests.get(self.url, stream=True, timeout=TIMEOUTS, headers=headers) as response:
                response.raise_for_status()
                length = response.headers.get("Content-Length", "")
                as_it_is = "Content-Encoding" not in response.headers
                is_told = as_it_is and re.fullmatch("[0-9]{1,18}", length)
                self._tell(int(length) if is_told else None)
                for chunk in response.iter_content(CHUNK):
                    self._tell(chunk)
                    if self.closed.is_set():
                        break
            self._tell(None)
        # UnicodeError, for one, is what a name of a host draws that is none.
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            failed = error.args[0] if error.args else None
            reason = str(getattr(failed, "reason", error))  # what urllib3 says, without its retries
            reason = re.sub(r"^HTTPS?Connection\(.*?\): ", "", reason)  # whose address is told
            self._tell(DownloadError(f"{type(error).__name__}, {reason}"))
