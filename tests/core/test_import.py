"""`import d2lrnn` imports no framework, nor anything heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import d2lrnn

FRAMEWORKS = ["torch", "mxnet", "jax", "flax", "optax", "tensorflow", "keras"]
HEAVY = ["numpy", "matplotlib", "msgspec", "rich", "requests", "safetensors", "platformdirs"]


@pytest.fixture
def modules_after(tmp_path):
    """What `sys.modules` holds after some code, run where every framework could be imported."""
    for name in FRAMEWORKS:
        (tmp_path / f"{name}.py").write_text("", encoding="utf-8")

    def run(code):
        paths = [str(tmp_path), str(Path(d2lrnn.__file__).parents[1])]
        child = subprocess.run(
            [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps([*sys.modules]))"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert child.returncode == 0, child.stderr
        return set(json.loads(child.stdout.splitlines()[-1]))

    return run


def test_importing_d2lrnn_imports_nothing_heavy(modules_after):
    assert modules_after("import d2lrnn as d2l").isdisjoint(FRAMEWORKS + HEAVY)


def test_the_help_imports_nothing_heavy(modules_after):
    code = "from d2lrnn.cli import main\nassert main(['train', '--help']) == 0"
    assert modules_after(code).isdisjoint(FRAMEWORKS + HEAVY)


def test_no_module_of_the_core_imports_a_framework(modules_after):
    code = (
        "import importlib, pkgutil, d2lrnn\n"
        "for module in pkgutil.walk_packages(d2lrnn.__path__, 'd2lrnn.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)"
    )
    assert modules_after(code).isdisjoint(FRAMEWORKS)


def test_the_names_of_the_core_import_no_framework(modules_after):
    code = (
        "import d2lrnn as d2l\n"
        "d2l.HyperParameters, d2l.add_to_class, d2l.check_len, d2l.Vocab, d2l.ProgressBoard\n"
        "d2l.plot, d2l.download, d2l.DATA_URL, d2l.data, d2l.backend, dir(d2l)\n"
        "from d2lrnn import errors, weights\n"
        "assert not hasattr(d2l, '_repr_html_') and not hasattr(d2l, '__wrapped__')"
    )
    assert modules_after(code).isdisjoint(FRAMEWORKS)
