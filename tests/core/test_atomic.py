"""Files and folders that are never seen half-written (d2lrnn/atomic.py)."""

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from faults import FULL, Killed

from d2lrnn import atomic
from d2lrnn.errors import WriteError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_made_and_replaced(tmp_path):
    path = tmp_path / "deep" / "file"
    atomic.write(path, b"first")
    atomic.write(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["file"]


def test_a_failure_leaves_what_was_there_before(tmp_path):
    atomic.write(tmp_path / "file", b"before")
    with pytest.raises(KeyboardInterrupt), atomic.new_file(tmp_path / "file") as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


def test_many_writers_of_one_file_do_not_meet(tmp_path):
    contents = [bytes([i]) * 100_000 for i in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: atomic.write(tmp_path / "file", content), contents))
    assert (tmp_path / "file").read_bytes() in contents
    assert names(tmp_path) == ["file"]


def test_a_folder_is_there_when_all_is_in_it(tmp_path):
    with atomic.new_folder(tmp_path / "deep" / "folder") as part:
        (part / "file").write_bytes(b"")
        assert not (tmp_path / "deep" / "folder").exists()
    assert names(tmp_path / "deep") == ["folder"]
    assert names(tmp_path / "deep" / "folder") == ["file"]
    with pytest.raises(FileExistsError), atomic.new_folder(tmp_path / "deep" / "folder"):
        pass


def test_a_folder_that_was_not_filled_is_gone(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic.new_folder(tmp_path / "folder") as part:
        (part / "file").write_bytes(b"")
        raise ZeroDivisionError
    assert names(tmp_path) == []


# After a power cut, after a kill ------------------------------------------------------------------------


def test_the_disk_has_all_of_a_file_before_its_name_and_then_the_name(
    tmp_path, inject, monkeypatch
):
    faults = inject()
    (tmp_path / "other").touch()
    atomic.write(tmp_path / "file", b"content", also=[tmp_path / "other"])
    assert faults.done == [
        *("open", "open", "write", "fsync"),  # a part file, its content
        *("link", "replace"),  # its other name
        *("replace", "fsync", "unlink"),  # its name, the folder; nothing is left to be removed
    ]


def test_a_new_folder_is_on_the_disk_too(tmp_path, inject):
    faults = inject()
    atomic.make_folder(tmp_path / "a" / "b")
    assert faults.done == ["mkdir", "fsync", "mkdir", "fsync"]


def test_what_a_killed_writer_left_is_swept_by_the_next(tmp_path, inject):
    inject("kill", 3)  # half of the content is written
    with pytest.raises(Killed):
        atomic.write(tmp_path / "file", b"content")
    inject()
    (left,) = tmp_path.iterdir()
    assert atomic.is_part(left) and left.read_bytes() == b"con"
    atomic.write(tmp_path / "another", b"")
    assert left.exists()
    atomic.write(tmp_path / "file", b"content")
    assert names(tmp_path) == ["another", "file"]


def test_a_folder_that_a_killed_process_left_is_swept(tmp_path):
    code = "from d2lrnn import atomic; import os, sys\nwith atomic.new_folder(sys.argv[1]): os._exit(9)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "folder"])
    assert len(names(tmp_path)) == 1
    with atomic.new_folder(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["folder"]


@pytest.mark.skipif(os.name == "nt", reason="there a lock is an open file, which nobody can remove")
def test_what_others_are_writing_is_not_swept(tmp_path):
    with (
        atomic.new_file(tmp_path / "file") as part,
        atomic.new_folder(tmp_path / "folder") as inner,
    ):
        atomic.write(tmp_path / "file", b"first")
        with pytest.raises(FileExistsError), atomic.new_folder(tmp_path / "folder"):
            (tmp_path / "folder").mkdir()
            raise FileExistsError
        (tmp_path / "folder").rmdir()
        part.write_bytes(b"second")
        assert inner.exists()
    assert (tmp_path / "file").read_bytes() == b"second"
    assert names(tmp_path) == ["file", "folder"]


def test_a_disk_without_hard_links_gets_a_copy(tmp_path, monkeypatch):
    def link(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    atomic.write(tmp_path / "file", b"content", also=[tmp_path / "other"])
    assert (tmp_path / "other").read_bytes() == b"content"
    assert names(tmp_path) == ["file", "other"]


def test_a_folder_is_held_by_one_until_it_ends(tmp_path):
    with atomic.hold(tmp_path):
        assert atomic.is_held(tmp_path)
        with pytest.raises(BlockingIOError), atomic.hold(tmp_path):
            pass
    assert not atomic.is_held(tmp_path)


@pytest.mark.parametrize("at", range(1, 5))
def test_what_was_there_stays_when_the_disk_is_full(tmp_path, inject, at):
    atomic.write(tmp_path / "file", b"before")
    inject(FULL, at)
    with pytest.raises(WriteError, match=r"file cannot be written: No space.* [\d,.]+ MB are free"):
        atomic.write(tmp_path / "file", b"after")
    assert (tmp_path / "file").read_bytes() == b"before"
    assert names(tmp_path) == ["file"]
