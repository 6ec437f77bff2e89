"""What noxfile.py says to a Python that d2lrnn does not run on."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

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
