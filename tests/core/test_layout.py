"""The core imports no framework and no backend, and names none in its logic (DESIGN.md)."""

import ast
from pathlib import Path

import pytest

import d2lrnn

FRAMEWORKS = {
    "torch",
    "mxnet",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "tensorflow",
    "keras",
}
CORE = Path(d2lrnn.__file__).parent
MODULES = sorted(CORE.rglob("*.py"))


def faults(source):
    """The lines of `source` that import a framework or a backend, or say the name of one as a value.

    The one place for such names is the order of preference, `DEFAULT_ORDER`. A comparison such as
    `if backend == "jax"` or `import_module("jax")` cannot be written without one.
    """
    found = []
    allowed = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEFAULT_ORDER":
            allowed |= set(ast.walk(node.value))
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
            if node.module == "d2lrnn":
                names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if node not in allowed else []
        else:
            continue
        for name in names:
            package = name.split(".")[0]
            if package in FRAMEWORKS or (package.startswith("d2lrnn_") and package.isidentifier()):
                found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(CORE)) for path in MODULES])
def test_a_module_of_the_core_knows_no_framework(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import jax.numpy as jnp",
        "from keras import layers",
        "import d2lrnn_torch",
        "from d2lrnn_jax.rnn import RNN",
        "from d2lrnn import mxnet as d2l",
        "def f():\n    if backend == 'jax':\n        pass",
        "match backend:\n    case 'mxnet':\n        pass",
        "CASES = {'tensorflow': 1}",
        "importlib.import_module('torch.nn')",
        "importlib.import_module('d2lrnn_torch')",
    ],
)
def test_the_check_finds_what_it_looks_for(source):
    assert len(faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""Runs on torch, jax, ..."""',
        "import torchlight",
        "from .jax import f",
        'DEFAULT_ORDER = ("torch", "jax")',
        "prefix = f'.d2lrnn_{name}.part'",
    ],
)
def test_the_check_finds_nothing_else(source):
    assert faults(source) == []
