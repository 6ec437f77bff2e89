"""What may import what, and how long a file may be (DESIGN.md).

The core imports no framework and no backend, and names none in its logic. No imports form a circle, in
the core or in a backend; in a backend they run one way, from twins down to tensors.
"""

import ast
from graphlib import CycleError, TopologicalSorter
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


# Circles ------------------------------------------------------------------------------------------

BACKENDS = sorted(path.parent for path in CORE.parent.glob("backends/d2lrnn_*/__init__.py"))
PACKAGES = [CORE, *BACKENDS]
packages = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
backends = pytest.mark.parametrize("package", BACKENDS, ids=lambda path: path.name)


def at_import(tree):
    """The import statements that run when a module is imported.

    Not those in functions, which run later, when all modules are there, and not those for type checkers.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from at_import(ast.Module(node.orelse, []))
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from at_import(node)


def anywhere(tree):
    """All import statements, in functions too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def imports(sources, statements=at_import):
    """For each module of `sources`, by name (text, is a package), those among them that it imports.

    A package stands for its `__init__`. That its parents are imported before it makes no circle: only
    what a module takes out of them does.
    """
    graph = {}
    for name, (source, is_package) in sources.items():
        taken = set()
        for node in statements(ast.parse(source)):
            if isinstance(node, ast.Import):
                taken |= {alias.name for alias in node.names}
                continue
            above = name.split(".") if is_package else name.split(".")[:-1]
            above = above[: len(above) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                taken.add(inner if inner in sources else module)
        graph[name] = taken & sources.keys() - {name}
    return graph


def sources_of(package):
    """The modules of a package by dotted name: the text, and whether it is a package."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = (path.read_text(encoding="utf-8"), is_package)
    return found


def circle(graph):
    """A circle of imports as a list of modules, its first also its last; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


@packages
def test_no_imports_form_a_circle(package):
    assert circle(imports(sources_of(package))) == []


@pytest.mark.parametrize(
    "a, b",
    [
        ("from p import b", "from p import a"),
        ("from p.b import f", "import p.a"),
        ("from . import b", "from .a import f"),
        ("from .b import f", "try:\n    from p import a\nexcept ImportError:\n    pass"),
        ("class A:\n    import p.b", "if True:\n    from p.a import f"),
        ("from .b import f", "if TYPE_CHECKING:\n    pass\nelse:\n    from .a import f"),
        ("from p import VERSION", "pass"),  # which p defines, and p imports a
    ],
)
def test_a_circle_is_found(a, b):
    sources = {"p": ("from p import a", True), "p.a": (a, False), "p.b": (b, False)}
    assert circle(imports(sources)) != []


@pytest.mark.parametrize(
    "a, b",
    [
        ("from p import b", "pass"),
        ("from p import b", "def f():\n    from p import a"),
        ("from p import b", "class B:\n    def f(self):\n        import p.a"),
        ("from p import b", "if TYPE_CHECKING:\n    from p.a import A"),
        ("from .b import f", "from q.a import f"),
        ("import b", "import a"),  # others of the same name
    ],
)
def test_no_other_circle_is_found(a, b):
    sources = {"p": ("from p import a, b", True), "p.a": (a, False), "p.b": (b, False)}
    assert circle(imports(sources)) == []


# A backend ----------------------------------------------------------------------------------------

# From above to below: a file imports only those of lines below its own, and section files each other.
ORDER = [
    {"__init__"},
    {"fast_translation", "fast_readers"},
    {"fast_gated"},
    {"fast"},
    {"fast_loss"},
    {"trainer"},
    {"optimizers"},
    {
        "linear_regression",
        "rnn_scratch",
        "rnn",
        "lstm",
        "gru",
        "deep_rnn",
        "bi_rnn",
        "seq2seq",
        "attention",
    },
    {"devices"},
    # What frameworks have of their own for several devices: processes, copies of a model, a strategy.
    {"processes", "replicas", "strategy"},
    {"epoch"},
    {"module"},
    # And for a model: Flax's layers hold no parameters, gluon's know no arrays made by hand; TensorFlow makes
    # graphs of functions, and has variables that Keras does not know, copy or save.
    {"parameters", "graph", "copies"},
    {"weights"},
    {"variables"},
    {"ops"},
    {"prepare"},
]
SECTIONS = next(names for names in ORDER if "rnn" in names)
# Lines: what a learner reads in one sitting.
LONGEST = {"rnn": 90, "rnn_scratch": 120}
LONGEST_OF_ANY = 180
# What all sections of a backend share, with 9.5, 9.6 and their twins: what a reader of chapter 9 has before
# him. What a framework lacks for it, and what it needs for several devices, is in rooms of its own, see
# `ORDER`; twins of chapter 10 and for words, and the optimisers of chapter 12, are none of it.
CHAPTER_9 = "__init__ ops prepare weights module epoch trainer rnn_scratch rnn fast".split()
LACKING = "parameters graph variables copies".split()
LONGEST_OF_CHAPTER_9 = {"d2lrnn_torch": 700}
LONGEST_OF_A_BACKEND = 880
LONGEST_OF_LACKING = 300
# With these, and with what twins share: all that chapter 9 needs.
LONGEST_OF_ALL = {
    "d2lrnn_torch": 745,
    "d2lrnn_mxnet": 1020,
    "d2lrnn_jax": 1105,
    "d2lrnn_tensorflow": 1172,
}


def wrong_ways(graph):
    """The imports of a backend that run upward, as pairs; and files that have no place in it."""
    level = {name: index for index, names in enumerate(ORDER) for name in names}
    names = {module: module.partition(".")[2] or "__init__" for module in graph}
    found = [(name, "") for name in names.values() if name not in level]
    for module, taken in graph.items():
        for one, other in ((names[module], names[t]) for t in taken):
            if one in level and other in level:
                both_sections = {one, other} <= SECTIONS
                if level[one] >= level[other] and not both_sections:
                    found.append((one, other))
    return found


@backends
def test_the_imports_of_a_backend_run_one_way(package):
    assert wrong_ways(imports(sources_of(package), anywhere)) == []


@pytest.mark.parametrize(
    "imported",
    [("rnn", "fast"), ("module", "rnn"), ("weights", "module"), ("epoch", "trainer"), ("rnn", "")],
)
def test_an_import_the_wrong_way_is_found(imported):
    module, taken = (f"p.{name}" if name else "p" for name in imported)
    graph = {"p": {"p.rnn"}, "p.rnn": {"p.rnn_scratch"}, "p.rnn_scratch": {"p.module"}}
    assert wrong_ways(graph | {"p.module": {"p.ops"}, "p.ops": set()}) == []
    graph = {module: {taken}, taken: set()}
    assert wrong_ways(graph) == [(imported[0], imported[1] or "__init__")]


def test_an_import_in_a_function_is_found_too():
    sources = {"p.rnn": ("def f():\n    from . import fast", False), "p.fast": ("", False)}
    assert wrong_ways(imports(sources)) == []
    assert wrong_ways(imports(sources, anywhere)) == [("rnn", "fast")]


def test_a_file_that_no_other_backend_has_is_found():
    assert wrong_ways({"p.helpers": set()}) == [("helpers", "")]


@backends
def test_the_files_of_a_backend_are_short(package):
    lines = {path.stem: len(path.read_text("utf-8").splitlines()) for path in package.glob("*.py")}
    too_long = {name: n for name, n in lines.items() if n > LONGEST.get(name, LONGEST_OF_ANY)}
    assert too_long == {}
    of_chapter_9 = sum(n for name, n in lines.items() if name in CHAPTER_9)
    assert of_chapter_9 <= LONGEST_OF_CHAPTER_9.get(package.name, LONGEST_OF_A_BACKEND)
    lacking = sum(n for name, n in lines.items() if name in LACKING)
    assert lacking <= LONGEST_OF_LACKING
    in_all = of_chapter_9 + lacking + lines.get("fast_loss", 0)
    assert in_all <= LONGEST_OF_ALL.get(package.name, LONGEST_OF_A_BACKEND)
