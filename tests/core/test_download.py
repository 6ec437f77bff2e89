"""`download`, `extract`, and where The Time Machine comes from; the network is a local server."""

import gzip
import hashlib
import http.server
import importlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

from d2lrnn.data import DATA_URL, DataModule, TimeMachine, cache_dir, download, extract
from d2lrnn.errors import ArgumentError, DataError, DownloadError

download_module = importlib.import_module("d2lrnn.data.download")
time_machine = importlib.import_module("d2lrnn.data.time_machine")

CONTENT = b"The Time Machine, by H. G. Wells: a stand-in of a few words. " * 40
SHA1 = hashlib.sha1(CONTENT).hexdigest()


class Site(http.server.BaseHTTPRequestHandler):
    """Answers by the path; `requested` keeps what was asked for."""

    requested: list[str]

    def do_GET(self):
        self.requested.append(self.path)
        if self.path.startswith("/missing"):
            return self.send_error(404)
        if self.path.startswith("/slow"):
            time.sleep(1)
        if self.path.startswith("/drops"):  # a byte now and then: never silent, never done
            self.wfile.write(b"HTTP/1.0 200 OK\r\n" + b"\r\n" * ("body" in self.path))
            for _ in range(20):
                self.wfile.write(b"x")
                time.sleep(0.02)
            return None
        if self.path.startswith("/round"):
            self.send_response(302)
            self.send_header(
                "Location", {"file": "file:///etc/passwd"}.get(self.path[7:], self.path)
            )
            return self.end_headers()
        if self.path.startswith("/endless"):
            self.send_response(200)
            self.end_headers()
            return self.wfile.write(CONTENT * 100)
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if self.path.startswith("/broken") else CONTENT)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(monkeypatch):
    """The address of a server on this machine."""
    monkeypatch.setattr(Site, "requested", [], raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(monkeypatch):
    """An address at which nobody listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/"


def use(monkeypatch, url, sha1=SHA1):
    """Let TimeMachine believe that the book's file lies at `url` and has `sha1`."""
    monkeypatch.setattr(time_machine, "DATA_URL", url)
    monkeypatch.setattr(time_machine, "SHA1", sha1)


# download


def test_the_address_is_the_books():
    assert DATA_URL == "http://d2l-data.s3-accelerate.amazonaws.com/"
    assert time_machine.SHA1 == "090b5e7e70c295757f55df93cb0a180b9691891a"


def test_a_file_is_downloaded_once_and_whole(site, no_data):
    path = download(site + "a.txt", sha1_hash=SHA1)
    assert path == str(no_data / "a.txt") and Path(path).read_bytes() == CONTENT
    assert download(site + "a.txt", sha1_hash=SHA1) == path
    assert Site.requested == ["/a.txt"]
    assert os.listdir(no_data) == ["a.txt"]


def test_a_folder_given_is_made_and_used(site, no_data, tmp_path):
    path = download(site + "a.txt?version=2", tmp_path / "new" / "folder", SHA1)
    assert path == str(tmp_path / "new" / "folder" / "a.txt") and os.path.exists(path)
    assert not no_data.exists()


def test_the_data_folder_comes_first_without_the_network(nowhere, no_data, tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRNN_DATA", str(tmp_path))
    (tmp_path / "a.txt").write_bytes(CONTENT)
    assert download(nowhere + "a.txt", sha1_hash=SHA1) == str(tmp_path / "a.txt")
    assert download(nowhere + "a.txt", tmp_path / "other", SHA1) == str(tmp_path / "a.txt")


@pytest.mark.parametrize("where", ["D2LRNN_DATA", "folder"])
def test_a_users_own_file_that_differs_is_an_error_and_kept(
    site, no_data, tmp_path, monkeypatch, where
):
    (tmp_path / "a.txt").write_text("mine")
    if where == "D2LRNN_DATA":
        monkeypatch.setenv("D2LRNN_DATA", str(tmp_path))
    with pytest.raises(DataError, match=rf"a\.txt is not.*{SHA1}.*TextFile.*--text"):
        download(site + "a.txt", tmp_path, SHA1)
    assert (tmp_path / "a.txt").read_text() == "mine" and not Site.requested


def test_a_damaged_file_in_the_cache_is_downloaded_anew(site, no_data):
    no_data.mkdir()
    (no_data / "a.txt").write_bytes(CONTENT[:10])
    assert Path(download(site + "a.txt", sha1_hash=SHA1)).read_bytes() == CONTENT
    assert Site.requested == ["/a.txt"]


def test_a_data_folder_that_does_not_exist_is_an_error(no_data, tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRNN_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match=r"D2LRNN_DATA=.*typo is not a folder"):
        download("http://127.0.0.1/a.txt")


@pytest.mark.parametrize(
    ("name", "sha1", "cause"),
    [
        ("missing.txt", None, "404"),
        ("broken.txt", None, "IncompleteRead"),
        ("other.txt", "0" * 40, f"expected SHA-1 {'0' * 40}, received {SHA1}"),
    ],
)
def test_a_failure_names_address_cause_and_way_out_and_leaves_nothing(
    site, no_data, name, sha1, cause
):
    with pytest.raises(DownloadError) as caught:
        download(site + name, sha1_hash=sha1)
    message = str(caught.value)
    assert site + name in message and cause in message and "D2LRNN_DATA" in message
    assert not no_data.exists() or os.listdir(no_data) == []


def test_a_damaged_file_stays_until_there_is_a_better_one(nowhere, no_data):
    no_data.mkdir()
    (no_data / "a.txt").write_bytes(b"damaged")
    with pytest.raises(DownloadError, match="in the cache is damaged"):
        download(nowhere + "a.txt", sha1_hash=SHA1)
    assert os.listdir(no_data) == ["a.txt"]


def test_without_a_network_it_fails_fast(nowhere, no_data):
    start = time.perf_counter()
    with pytest.raises(DownloadError, match="ConnectionError"):
        download(nowhere + "a.txt")
    assert time.perf_counter() - start < 2


def test_a_server_that_says_nothing_times_out(site, no_data, monkeypatch):
    monkeypatch.setattr(download_module, "TIMEOUTS", (4, 0.1))
    with pytest.raises(DownloadError, match="timed out"):
        download(site + "slow.txt")


def test_a_cache_that_cannot_be_written_is_a_download_error(site, no_data):
    no_data.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="cache is where a folder should be"):
        download(site + "a.txt")


@pytest.mark.parametrize("url", ["a.txt", "ftp://host/a.txt", "http://host/", "http://host/.."])
def test_an_address_without_a_file_is_an_error(url, no_data):
    with pytest.raises(ArgumentError, match="Expected the http address of a file"):
        download(url)


def test_the_cache_folder_is_the_users_unless_told(monkeypatch, tmp_path):
    monkeypatch.setenv("D2LRNN_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("D2LRNN_CACHE")
    assert "d2lrnn" in cache_dir().parts


def test_importing_the_data_imports_nothing_slow():
    code = "import sys, d2lrnn.data; print([*sys.modules])"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "'d2lrnn.data.vocab'" in modules
    for name in ("requests", "rich", "platformdirs", "torch", "jax", "mxnet", "tensorflow"):
        assert f"'{name}'" not in modules


# Where The Time Machine comes from


def test_from_the_network_then_from_the_cache(site, no_data, monkeypatch):
    use(monkeypatch, site)
    data = TimeMachine(2, 3, 10, 5)
    assert f"from {site}timemachine.txt" in data.source
    assert data.vocab.to_tokens(data.corpus[:3]) == ["t", "h", "e"]
    assert "from the cache" in TimeMachine(2, 3, 10, 5).source
    assert Site.requested == ["/timemachine.txt"]


def test_from_root(nowhere, no_data, monkeypatch, tmp_path):
    use(monkeypatch, nowhere)
    (tmp_path / "timemachine.txt").write_bytes(CONTENT)
    assert "the folder given" in TimeMachine(2, 3, 10, 5, root=tmp_path).source
    (tmp_path / "timemachine.txt").write_bytes(b"another text")
    with pytest.raises(DataError, match="not the expected file"):
        TimeMachine(2, 3, 10, 5, root=tmp_path)


def test_a_data_folder_without_the_file_falls_through_and_says_so(
    site, no_data, monkeypatch, tmp_path
):
    use(monkeypatch, site)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("D2LRNN_DATA", str(tmp_path / "empty"))
    assert "empty has no timemachine.txt" in TimeMachine(2, 3, 10, 5).source


def test_another_text_under_the_name_is_an_error(site, no_data, monkeypatch, tmp_path):
    use(monkeypatch, site)
    monkeypatch.setenv("D2LRNN_DATA", str(tmp_path))
    (tmp_path / "timemachine.txt").write_text("It was a dark and stormy night.")
    with pytest.raises(DataError, match=r"not the expected file.*--text"):
        TimeMachine(2, 3, 10, 5)


def test_the_bundled_text_comes_with_a_warning(nowhere, no_data, monkeypatch, tmp_path):
    use(monkeypatch, nowhere)
    monkeypatch.setenv("D2LRNN_DATA", str(tmp_path))
    with pytest.warns(UserWarning) as caught:
        data = TimeMachine(1024, 32)  # the sizes of section 9.6
    message = str(caught[0].message)
    for part in ("The Tide Clock", "The Time Machine", nowhere, "ConnectionError", "D2LRNN_DATA"):
        assert part in message
    assert f"{tmp_path} has no timemachine.txt" in message and "\n" not in message
    assert data.source == "The Tide Clock, bundled with d2lrnn, not The Time Machine"  # said once
    assert len(data.corpus) >= 40_000 and len(data.vocab) == 28
    assert data.num_windows >= 15_000


def test_a_site_that_answers_everything_does_not_pass_for_the_book(site, no_data, monkeypatch):
    use(monkeypatch, site, sha1="1" * 40)
    with pytest.warns(UserWarning, match="what came is another file"):
        assert "The Tide Clock" in TimeMachine(1024, 32).source


# What a server may do


@pytest.mark.parametrize(
    ("path", "limits", "reason"),
    [
        ("drops/head", {"max_seconds": 0.2}, "more than max_seconds=0.2"),
        ("drops/body", {"max_seconds": 0.2}, "more than max_seconds=0.2"),
        ("slow", {"max_seconds": 0.2}, "more than max_seconds=0.2"),
        ("large", {"max_bytes": len(CONTENT) - 1}, f"has {len(CONTENT):,} bytes, and max_bytes="),
        ("endless", {"max_bytes": 5000}, "has more than max_bytes=5,000"),
        ("broken", {}, f"100.*{len(CONTENT) - 100}|100 of its {len(CONTENT):,}"),
        ("round/loop", {}, "TooManyRedirects"),
        ("round/file", {}, "InvalidSchema"),
    ],
)
def test_a_server_is_given_limits(site, no_data, path, limits, reason):
    began = time.monotonic()
    with pytest.raises(DownloadError, match=rf"{path}.*(?:{reason}).*\n.*D2LRNN_DATA"):
        download(f"{site}{path}/a.txt" if "round" not in path else site + path, **limits)
    assert time.monotonic() - began < 5
    assert not no_data.exists() or not os.listdir(no_data)


def test_a_file_within_its_limits_comes(site, no_data):
    path = download(site + "a.txt", max_bytes=len(CONTENT), max_seconds=60)
    assert Path(path).read_bytes() == CONTENT


def test_a_sha1_may_be_in_capitals(site, no_data):
    for _ in range(2):
        assert Path(download(site + "a.txt", sha1_hash=SHA1.upper())).read_bytes() == CONTENT
    assert Site.requested == ["/a.txt"]
    with pytest.raises(DownloadError, match=f"expected SHA-1 {'ab' * 20}, received {SHA1}"):
        download(site + "b.txt", sha1_hash="AB" * 20)
    with pytest.raises(ArgumentError, match="sha1_hash to be 40 hexadecimal digits"):
        download(site + "b.txt", sha1_hash=SHA1[:-1])


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://[::1",
            "http://h:port/a",
            "http://h:99999/a",
            "http:///a.txt",
            "//h/a.txt",
            "a.txt",
        ),
        *("http://h/%2e", "http://h/a%00b", "http://h/a%0ab", "http://h/..%2fa", "http://h/\ud800"),
        *(
            "file:///etc/passwd",
            "ftp://h/a.txt",
            f"http://h/{'a' * 256}",
            "",
            None,
            1,
            b"http://h/a",
        ),
    ],
)
def test_an_odd_address_is_an_error(url, no_data):
    with pytest.raises(
        ArgumentError, match=r"Expected the http address of a file\. Received: url="
    ):
        download(url)
    assert not no_data.exists()


@pytest.mark.parametrize("host", ["a b", "-", ".example.com", "\N{SNOWMAN}" * 70, "%", "a" * 300])
def test_a_host_that_is_none_is_a_download_error(host, no_data):
    with pytest.raises(DownloadError, match="Could not download"):
        download(f"http://{host}/a.txt", max_seconds=5)


# extract


def make_zip(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, CONTENT)


def make_tar(path, names, kind=tarfile.REGTYPE, link=""):
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(CONTENT)
            archive.addfile(member, io.BytesIO(CONTENT))


@pytest.mark.parametrize(("make", "suffix"), [(make_zip, ".zip"), (make_tar, ".tar.gz")])
def test_an_archive_is_unpacked(make, suffix, tmp_path):
    archive = tmp_path / f"book{suffix}"
    make(archive, ["book/a.txt", "b.txt"])
    assert extract(str(archive)) == str(tmp_path)
    assert (tmp_path / "book" / "a.txt").read_bytes() == CONTENT
    assert extract(archive, tmp_path / "there") == str(tmp_path / "there")
    assert (tmp_path / "there" / "b.txt").read_bytes() == CONTENT


@pytest.mark.parametrize(("make", "suffix"), [(make_zip, ".zip"), (make_tar, ".tar.gz")])
@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/evil.txt"])
def test_a_member_outside_the_folder_is_refused_and_nothing_unpacked(make, suffix, name, tmp_path):
    archive = tmp_path / f"book{suffix}"
    make(archive, ["good.txt", name])
    with pytest.raises(DataError, match=r"evil\.txt.*outside.*refused"):
        extract(archive, tmp_path / "there")
    assert os.listdir(tmp_path) == [archive.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, tmp_path):
    archive = tmp_path / "book.tar.gz"
    make_tar(archive, ["link"], kind, link="../outside")
    with pytest.raises(DataError, match="link or device"):
        extract(archive)
    assert os.listdir(tmp_path) == [archive.name]


def zip_of(path, **settings):
    """A zip archive of one file, whose directory has these `settings`."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", CONTENT)
        for name, value in settings.items():
            setattr(archive.infolist()[0], name, value)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"flag_bits": 1}, "is encrypted; unpack it by hand: refused"),
        ({"compress_type": 99}, "compressed by method 99, which Python lacks: refused"),
        ({"external_attr": 0o120777 << 16}, "holds a link or device, 'a.txt': refused"),
        ({"file_size": 2**40}, "holds more than max_bytes=4,294,967,296: refused"),
        ({"CRC": 0}, "cannot be unpacked: Bad CRC"),
    ],
)
def test_a_zip_that_cannot_be_unpacked(settings, reason, tmp_path):
    archive = tmp_path / "a.zip"
    zip_of(archive, **settings)
    with pytest.raises(DataError, match=rf"a\.zip.*{reason}"):
        extract(archive, tmp_path / "there")


@pytest.mark.parametrize(("make", "suffix"), [(make_zip, ".zip"), (make_tar, ".tar.gz")])
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a" * 256], "a name of more than 255 bytes"),
        (["a", "a/b"], "'a/b' as a file and as a folder"),
        (["a/b", "a"], "'a' as a file and as a folder"),
        (["a/b/c", "a/b/c/d/e"], "as a file and as a folder"),
        ([f"{i}" for i in range(6)], "more than max_files=5 members"),
        (["a", "b", "c"], "more than max_bytes=5,000"),
    ],
)
def test_members_that_are_refused(make, suffix, names, reason, tmp_path):
    archive = tmp_path / f"book{suffix}"
    make(archive, names)
    with pytest.raises(DataError, match=rf"book.*{reason}.*refused"):
        extract(
            archive, tmp_path / "there", max_bytes=5000 if len(names) < 6 else 10**6, max_files=5
        )
    assert os.listdir(tmp_path) == [archive.name]


def test_a_file_where_a_folder_is_to_be(tmp_path):
    make_zip(tmp_path / "a.zip", ["a/b"])
    (tmp_path / "a").write_text("mine")
    with pytest.raises(
        DataError, match=r"a\.zip cannot be unpacked: (Not a directory|File exists)"
    ):
        extract(tmp_path / "a.zip")
    assert (tmp_path / "a").read_text() == "mine"


def test_a_name_as_long_as_a_film_is_not_read(tmp_path):
    member = tarfile.TarInfo("a")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write(member.tobuf() + bytes(1 << 16))
    with pytest.raises(DataError, match="cannot be unpacked: it describes a member in 1,073,741,8"):
        extract(tmp_path / "a.tar.gz")


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT)
    with pytest.raises(DataError, match="Expected a zip or tar archive"):
        extract(tmp_path / "a.zip")
    with pytest.raises(DataError, match="There is no file"):
        extract(tmp_path / "b.zip")


def test_what_lies_in_the_data_folder_is_unpacked_into_the_cache(tmp_path, monkeypatch):
    """The folder in D2LRNN_DATA is only read; a data module's root is where the files then are."""
    given, cache = tmp_path / "data", tmp_path / "cache"
    given.mkdir()
    with zipfile.ZipFile(given / "pairs.zip", "w") as archive:
        archive.writestr("pairs/pairs.txt", "tide\tmarée")
    monkeypatch.setenv("D2LRNN_DATA", str(given))
    monkeypatch.setenv("D2LRNN_CACHE", str(cache))
    root = DataModule().root
    assert root == str(cache)
    assert extract(download("http://example.org/pairs.zip", root)) == str(cache)
    assert (cache / "pairs" / "pairs.txt").read_text(encoding="utf-8") == "tide\tmarée"
    assert [path.name for path in given.iterdir()] == ["pairs.zip"]
