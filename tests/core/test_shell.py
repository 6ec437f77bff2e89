"""A command that is printed does what it says, wherever it is typed and whatever is on the PATH."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

import d2lrnn

PROGRAM = """#!/bin/sh
exec "$(dirname "$0")/python" -m d2lrnn "$@"
"""
ANOTHER = """#!/bin/sh
echo another >&2
exit 1
"""
SAY = "from d2lrnn import shell; print(shell.d2lrnn(), shell.python(), sep='\\n')"


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with an environment in `.venv`, as a reader has, and in `other` programs of another."""
    home = tmp_path_factory.mktemp("a reader's home")
    venv.create(home / ".venv", with_pip=False)
    write_program(home / ".venv" / "bin" / "d2lrnn", PROGRAM)
    for name in ("d2lrnn", "python"):
        write_program(home / "other" / name, ANOTHER)
    return home


@pytest.fixture
def typed(home):
    """What is printed for `d2lrnn` and `python`, once both are seen to work when typed."""

    def typed(folder=home, first_on_the_path=home / "other"):
        packages = [str(Path(d2lrnn.__file__).parents[1]), sysconfig.get_path("purelib")]
        environment = {
            **os.environ,
            "PATH": f"{first_on_the_path}{os.pathsep}{os.defpath}",
            "PYTHONPATH": os.pathsep.join(packages),
        }
        given = {"cwd": folder, "env": environment, "text": True}
        python = home / ".venv" / "bin" / "python"
        said = subprocess.check_output([python, "-c", SAY], **given).splitlines()
        for command, options, answer in zip(
            said,
            ("--version", "-c 'import sys; print(sys.prefix)'"),
            (f"d2lrnn, version {d2lrnn.__version__}", str(home / ".venv")),
            strict=True,
        ):
            done = subprocess.check_output(f"{command} {options}", shell=True, **given)
            assert done.strip() == answer
        return said

    return typed


def test_below_the_folder_where_it_is_typed(typed):
    assert typed() == [".venv/bin/d2lrnn", ".venv/bin/python"]


def test_elsewhere(typed, home, tmp_path):
    path = f"{home}/.venv/bin/".replace("'", "'\"'\"'")
    assert typed(tmp_path) == [f"'{path}d2lrnn'", f"'{path}python'"]  # the path has spaces


def test_in_its_own_folder(typed, home):
    assert typed(home / ".venv" / "bin") == ["./d2lrnn", "./python"]


def test_on_the_path(typed, home):
    assert typed(first_on_the_path=home / ".venv" / "bin") == ["d2lrnn", "python"]


def test_without_a_program(typed, home):
    program = home / ".venv" / "bin" / "d2lrnn"
    program.rename(home / "aside")
    try:
        assert typed() == [".venv/bin/python -m d2lrnn", ".venv/bin/python"]
    finally:
        (home / "aside").rename(program)
