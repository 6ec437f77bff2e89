"""What noxfile.py says to a Python that d2lrnn does not run on, where MXNet cannot be had, and of pip."""

import ast
import io
import platform
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

NOXFILE = Path(__file__).parents[2] / "noxfile.py"

PRETEND = """
import runpy, sys
sys.modules["nox"] = sys.modules["tomllib"] = None  # importing them fails
sys.version_info = ({}, "final", 0)
runpy.run_path(sys.argv[1])
"""


@pytest.mark.parametrize("version", ["3, 10, 13", "3, 14, 0"])
def test_another_python_is_told_so_in_a_sentence(version):
    command = [sys.executable, "-c", PRETEND.format(version), str(NOXFILE)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert child.returncode == 1
    assert re.fullmatch(r"d2lrnn needs Python 3.11, .*: python3.11 -m venv .venv\n", child.stderr)
    assert f"this is {version.replace(', ', '.')} " in child.stderr


def test_old_ones_can_read_as_far_as_that():
    ast.parse(NOXFILE.read_text(encoding="utf-8"), feature_version=(3, 8))


def test_the_versions_are_those_of_the_package():
    project = tomllib.loads(NOXFILE.with_name("pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == ">=3.11,<3.14"  # as noxfile.py has it


@pytest.fixture
def nox(monkeypatch):
    """noxfile.py, loaded without nox, as in the environment of these tests."""

    def session(function=None, **_):
        return function or (lambda function: function)

    monkeypatch.setattr("atexit.register", lambda function: function)
    names = {"session": session, "Session": None, "options": SimpleNamespace()}
    monkeypatch.setitem(sys.modules, "nox", SimpleNamespace(**names))
    return lambda: runpy.run_path(str(NOXFILE))


@pytest.mark.parametrize(
    "version, machine, why",
    [
        ((3, 13, 2), "linux x86_64", "mxnet needs Python 3.12 or older"),
        ((3, 12, 1), "darwin arm64", "mxnet has no packages for darwin arm64"),
    ],
)
def test_without_mxnet_the_others_run_and_it_is_told_once(
    nox, monkeypatch, capsys, version, machine, why
):
    noxfile = nox()
    system, processor = machine.split()
    monkeypatch.setattr(sys, "version_info", (*version, "final", 0))
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    for name in "exchange", "bare":
        others = noxfile["backends"](SimpleNamespace(name=name))
        assert others == ["torch", "jax", "tensorflow"]
    monkeypatch.undo()
    noxfile["tell_what_was_left_out"]()
    assert capsys.readouterr().err.startswith(f"Left out of exchange, bare: {why}")


PIP = """\
Collecting jaxlib
  Downloading jaxlib-0.10.2-py3-none-any.whl (85.4 MB)
Progress 0 of 85448560
Progress 85448560 of 85448560
  Downloading six-1.17.0-py3-none-any.whl (11 kB)
"""


@pytest.mark.parametrize(
    "more, doing, error",
    [
        ("Progress 1000 of 11000\n", "six", ""),
        ("Installing collected packages: six, jaxlib\n", "unpacking", ""),
        ("  ERROR: No matching x\nERROR: Failed to build y\n", "six", "No matching x"),
        ("WARNING: Retrying (Retry(total=0)) after\nERROR: No x\n", "six", "no package registry"),
    ],
)
def test_what_pip_does_and_why_it_cannot_go_on(nox, more, doing, error):
    heard, log = nox()["Heard"](), io.StringIO()
    heard.hear((PIP + more).splitlines(keepends=True), log)
    assert (heard.doing, heard.error[: len(error) or None]) == (doing, error)
    assert heard.before + heard.now == 85448560 + (1000 if "1000" in more else 0)
    assert "Collecting jaxlib" in log.getvalue() and "Progress" not in log.getvalue()
