"""Files and folders that are never seen half-written (d2lrnn/atomic.py)."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from d2lrnn import atomic


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
