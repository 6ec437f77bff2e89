"""How the backend is chosen, and what is said where it cannot be (d2lrnn/backend.py).

Each test runs Python in a world of its own: a folder with the core, fake frameworks and fake
distributions, and without `site-packages` (`python -S`).
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import d2lrnn

OWN = ["torch", "jax", "tensorflow", "mxnet"]
SAY_WHICH = "import d2lrnn as d2l\nprint(d2l.RNN, d2l.backend.name())"


class World:
    """A folder that is all a Python process can import from, besides the standard library."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "d2lrnn").symlink_to(Path(d2lrnn.__file__).parent)
        self.distribution("d2lrnn", {name: f"d2lrnn_{name}" for name in OWN}, extras=OWN)
        for name in OWN:
            self.backend(f"d2lrnn_{name}", needs=name)

    def module(self, name, code=""):
        (self.folder / f"{name}.py").write_text(code, encoding="utf-8")

    def backend(self, package, needs="sys", lacks=(), one="1"):
        """A package with every name that a backend must provide, but for those in `lacks`."""
        self.module(
            package,
            f"import {needs}\n"
            "from d2lrnn.backend import REQUIRED\n"
            f"__all__ = [name for name in REQUIRED if name not in {list(lacks)!r}]\n"
            f"globals().update(dict.fromkeys([*__all__, 'ops', 'optimizers', 'weights'], {package!r}))\n"
            "versions = lambda: dict(framework='fake 1.0', devices=['CPU (fake)'])\n"
            f"ones = lambda shape: {one}\n",
        )

    def distribution(self, name, backends, extras=(), origin=None):
        folder = self.folder / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir(exist_ok=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        (folder / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        lines = ["[d2lrnn.backends]", *(f"{key} = {value}" for key, value in backends.items())]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin), encoding="utf-8")

    def run(self, code, chosen=None, flags=("-S",), environment=()):
        unset = ("D2LRNN_BACKEND", "D2LRNN_DATA", "PYTHONSTARTUP", "PYTHONHOME")
        kept = {key: value for key, value in os.environ.items() if key not in unset}
        chosen = {} if chosen is None else {"D2LRNN_BACKEND": chosen}
        arguments = ["-c", code] if isinstance(code, str) else code
        return subprocess.run(
            [sys.executable, *flags, *arguments],
            env={**kept, "PYTHONPATH": str(self.folder), **chosen, **dict(environment)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def says(self, code, chosen=None):
        child = self.run(code, chosen)
        assert child.returncode == 0, child.stderr
        return child.stdout.strip()

    def error(self, code, chosen=None):
        """The type and the message of the error that `code` ends with."""
        child = self.run(
            f"try:\n    exec({code!r})\nexcept BaseException as error:\n"
            "    print(type(error).__name__, isinstance(error, ImportError), error)",
            chosen,
        )
        assert child.returncode == 0, child.stderr
        kind, is_import_error, message = child.stdout.strip().split(" ", 2)
        assert (kind in ("BackendError", "NotInstalled"), is_import_error) == (True, "True"), (
            message
        )
        return message


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


# Unset ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "installed, first",
    [
        (OWN, "torch"),
        (["mxnet", "jax", "tensorflow"], "jax"),
        (["mxnet", "tensorflow"], "tensorflow"),
        (["mxnet"], "mxnet"),
    ],
)
def test_unset_takes_the_first_installed(world, installed, first):
    for name in installed:
        world.module(name)
    assert world.says(SAY_WHICH) == f"d2lrnn_{first} {first}"
    assert world.says(SAY_WHICH, chosen=" ") == f"d2lrnn_{first} {first}"


def test_unset_and_nothing_installed_lists_every_way_out(world):
    message = world.error(SAY_WHICH)
    for name in OWN:
        assert f"-m pip install 'd2lrnn[{name}]'" in message


def test_unset_prefers_the_own_backends_to_those_of_others(world):
    world.distribution("aaa", {"aaa": "aaa_backend"})
    world.backend("aaa_backend")
    world.module("mxnet")
    assert world.says(SAY_WHICH) == "d2lrnn_mxnet mxnet"


def test_no_backend_is_announced(world):
    shutil.rmtree(world.folder / "d2lrnn-1.0.dist-info")
    assert "pip install -e ." in world.error(SAY_WHICH)
    assert "expected one of (none found)" in world.error(SAY_WHICH, chosen="torch")


# Chosen --------------------------------------------------------------------------------------------


def test_the_environment_chooses(world):
    for name in OWN:
        world.module(name)
    for name in OWN:
        assert world.says(SAY_WHICH, chosen=name) == f"d2lrnn_{name} {name}"


def test_only_the_chosen_framework_is_imported(world):
    for name in OWN:
        world.module(name)
    code = "import d2lrnn as d2l, sys; d2l.RNN; print([n for n in sys.modules if n in {!r}])"
    assert world.says(code.format(OWN), chosen="jax") == "['jax']"


def test_the_explicit_form(world):
    for name in OWN:
        world.module(name)
    code = "from d2lrnn import jax as d2l\nfrom d2lrnn import RNNLM\nprint(d2l.RNN, RNNLM)"
    assert world.says(code) == "d2lrnn_jax d2lrnn_jax"
    assert world.says(code, chosen="torch") == "d2lrnn_jax d2lrnn_jax"  # it stands in the code


def test_an_unknown_name_lists_what_exists_and_suggests_the_nearest(world):
    message = world.error(SAY_WHICH, chosen="pytorch")
    assert "Unknown backend 'pytorch'" in message
    assert "torch, jax, tensorflow, mxnet" in message
    assert message.endswith("Did you mean 'torch'?")
    assert "mean 'tensorflow'" in world.error(SAY_WHICH, chosen="TensorFlow2")
    assert "mean" not in world.error(SAY_WHICH, chosen="zzz")


def test_a_name_that_no_backend_has(world):
    world.module("torch")
    code = "import d2lrnn as d2l\ntry: d2l.no_such\nexcept AttributeError as e: print(e)"
    assert world.says(code) == "d2lrnn has no name 'no_such', nor has its backend 'torch'"


# Not installed -------------------------------------------------------------------------------------


def test_not_installed_gives_the_pip_command(world):
    world.module("torch")  # another one is installed, and is not taken instead
    message = world.error(SAY_WHICH, chosen="jax")
    assert "'jax', which is not installed" in message
    assert message.endswith("-m pip install 'd2lrnn[jax]'")
    assert world.error("from d2lrnn import jax") == message


def test_the_pip_command_calls_this_python(world):
    assert f"with: {sys.executable} -m pip" in world.error(SAY_WHICH, chosen="jax")
    world_with_path = {"PATH": str(Path(sys.executable).parent)}
    child = world.run(SAY_WHICH, "jax", environment=world_with_path)
    if shutil.which("python", path=world_with_path["PATH"]) == sys.executable:
        assert "with: python -m pip" in child.stderr


@pytest.mark.parametrize(
    "origin, requirement",
    [
        ({"url": "file:///a%20b/c", "dir_info": {"editable": True}}, "-e '/a b/c[jax]'"),
        ({"url": "file:///c", "dir_info": {}}, "'/c[jax]'"),
        (
            {"url": "https://host/c.git", "vcs_info": {"vcs": "git"}},
            "'d2lrnn[jax] @ git+https://host/c.git'",
        ),
    ],
    ids=["editable", "folder", "git"],
)
def test_the_pip_command_names_where_d2lrnn_came_from(world, origin, requirement):
    world.distribution("d2lrnn", {"jax": "d2lrnn_jax"}, extras=["jax"], origin=origin)
    assert world.error(SAY_WHICH, chosen="jax").endswith(f"-m pip install {requirement}")


# Broken --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, shown",
    [
        (
            "raise ImportError('libcudnn.so.9: cannot open')",
            "ImportError: libcudnn.so.9: cannot open",
        ),
        ("import no_such_dependency", "ModuleNotFoundError: No module named 'no_such_dependency'"),
        ("raise ModuleNotFoundError('no distutils', name='distutils')", "no distutils"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit('wrong CPU')", "SystemExit: wrong CPU"),
    ],
    ids=["library", "dependency", "raised", "bug", "exit"],
)
def test_the_error_of_a_broken_framework_is_shown(world, code, shown):
    world.module("jax", code)
    for message in (world.error(SAY_WHICH, chosen="jax"), world.error(SAY_WHICH)):
        assert "'jax'" in message
        assert shown in message
        assert "not installed" not in message
        assert "pip install" not in message


def test_a_broken_framework_is_not_passed_over(world):
    world.module("torch", "1 / 0")
    world.module("jax")
    assert "ZeroDivisionError" in world.error(SAY_WHICH)
    assert world.says(SAY_WHICH, chosen="jax") == "d2lrnn_jax jax"


def test_a_backend_whose_own_package_is_gone_is_broken(world):
    (world.folder / "d2lrnn_jax.py").unlink()
    assert "No module named 'd2lrnn_jax'" in world.error(SAY_WHICH, chosen="jax")


def test_a_backend_that_lacks_names_fails_when_it_is_loaded(world):
    world.module("jax")
    world.backend("d2lrnn_jax", lacks=["RNNLM", "matmul"])
    message = world.error("from d2lrnn import jax")
    assert "does not provide matmul, RNNLM" in message
    assert "d2lrnn_jax" in message


# A second framework --------------------------------------------------------------------------------


def test_a_second_framework_by_import(world):
    for name in OWN:
        world.module(name)
    code = "from d2lrnn import torch as d2l\nd2l.RNN\nfrom d2lrnn import jax"
    message = world.error(code)
    assert "already runs the backend 'torch'" in message
    assert "new process" in message


def test_a_second_framework_by_environment(world):
    for name in OWN:
        world.module(name)
    code = "import os, d2lrnn as d2l\nd2l.RNN\nos.environ['D2LRNN_BACKEND'] = {!r}\nprint(d2l.RNN)"
    message = world.error(code.format("jax"))
    assert "already runs the backend 'torch'" in message
    assert "D2LRNN_BACKEND=jax" in message
    assert world.says(code.format("torch")) == "d2lrnn_torch"
    assert world.says(code.format("")) == "d2lrnn_torch"


def test_the_same_framework_twice(world):
    world.module("jax")
    code = "from d2lrnn import jax as a\nfrom d2lrnn import jax as b\nprint(a is b, a.RNN)"
    assert world.says(code) == "True d2lrnn_jax"


# Backends of others --------------------------------------------------------------------------------


def test_a_backend_of_another_distribution(world):
    world.distribution("d2lrnn-mlx", {"mlx": "d2lrnn_mlx"})
    world.backend("d2lrnn_mlx", needs="mlx")
    assert world.error(SAY_WHICH, chosen="mlx").endswith("-m pip install mlx")
    world.module("mlx")
    assert world.says(SAY_WHICH, chosen="mlx") == "d2lrnn_mlx mlx"
    assert world.says("from d2lrnn import mlx as d2l; print(d2l.RNN)") == "d2lrnn_mlx"
    assert world.says(SAY_WHICH) == "d2lrnn_mlx mlx"  # none of the own is installed
    assert "mxnet, mlx" in world.error(SAY_WHICH, chosen="zzz")


@pytest.mark.parametrize(
    "value", ["bad_backend", "gone_backend", "no module at all!", "bad_backend:no_such"]
)
def test_a_broken_backend_of_another_disturbs_nobody(world, value):
    world.distribution("aaa", {"bad": value})
    world.module("bad_backend", "raise RuntimeError('bad at import')")
    world.module("jax")
    assert world.says(SAY_WHICH) == "d2lrnn_jax jax"
    assert world.says(SAY_WHICH, chosen="jax") == "d2lrnn_jax jax"
    assert "'bad'" in world.error(SAY_WHICH, chosen="bad")
    (world.folder / "jax.py").unlink()
    everything = world.error(SAY_WHICH)
    assert "'bad'" in everything
    assert "d2lrnn[torch]" in everything
    world.distribution("zzz", {"good": "good_backend"})
    world.backend("good_backend")
    assert world.says(SAY_WHICH) == "good_backend good"


def test_nobody_takes_the_place_of_an_own_backend(world):
    world.distribution("aaa", {"jax": "their_jax"})
    world.backend("their_jax")
    world.module("jax")
    assert world.says(SAY_WHICH, chosen="jax") == "d2lrnn_jax jax"


# d2lrnn doctor -------------------------------------------------------------------------------------


@pytest.fixture
def doctor(world, tmp_path):
    """Runs `d2lrnn doctor` where the third-party packages of this environment are there too."""
    world.distribution(
        "other", {"good": "good_backend", "bad": "bad_backend", "gone": "gone_backend"}
    )
    world.backend("good_backend")
    world.backend("gone_backend", needs="no_such_framework")
    world.module("bad_backend", "raise RuntimeError('bad at import')")

    def run(chosen=None, **environment):
        environment = {"D2LRNN_CACHE": str(tmp_path / "cache"), **environment}
        return world.run(["-m", "d2lrnn", "doctor"], chosen, flags=(), environment=environment)

    return run


def line_of(child, name):
    (line,) = [line for line in child.stdout.splitlines() if line.strip().startswith(f"{name} ")]
    return line


def test_the_doctor_tells_the_state_of_each_backend(doctor):
    child = doctor("good")
    assert (child.returncode, child.stderr) == (0, "")
    assert f"d2lrnn {d2lrnn.__version__}, Python" in child.stdout
    assert "fake 1.0, on CPU (fake)" in line_of(child, "good")
    assert "broken: RuntimeError: bad at import" in line_of(child, "bad")
    assert "-m pip install no_such_framework" in line_of(child, "gone")
    assert "Active: good (D2LRNN_BACKEND=good)" in child.stdout


def test_the_doctor_says_what_to_do_about_the_choice(doctor):
    child = doctor("gone")
    assert child.returncode == 0  # another backend works
    assert "Install gone: " in child.stdout
    assert "export D2LRNN_BACKEND=" in child.stdout
    child = doctor("goood")
    assert "Did you mean 'good'?" in child.stdout
    child = doctor("bad")
    assert "Mend the installation of bad" in child.stdout


def test_the_doctor_fails_where_no_backend_works(world, doctor):
    world.backend("good_backend", needs="no_such_framework")
    for name in OWN:
        world.backend(f"d2lrnn_{name}", needs=f"no_such_{name}")
    child = doctor()
    assert child.returncode == 1
    assert "Active: none" in child.stdout
    assert "Install a backend: " in child.stdout
    assert "-m pip install 'd2lrnn[torch]'" in child.stdout


def test_the_doctor_survives_a_framework_that_kills_its_process(world, doctor):
    world.module("bad_backend", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert "ended the process with status -9" in line_of(doctor("good"), "bad")


@pytest.mark.parametrize(
    "one, is_told",
    [("__import__('numpy').ones(shape)", True), ("1", False), ("[]", False)],
    ids=["refused by NumPy", "taken", "refused by the framework"],
)
def test_the_doctor_tells_of_a_numpy_that_refuses_int_of_one_element(world, doctor, one, is_told):
    assert np.lib.NumpyVersion(np.__version__) >= "2.4.0"  # the one that this environment tests
    world.backend("good_backend", one=one)
    assert ("-m pip install 'numpy<2.4'" in doctor("good").stdout) == is_told


def test_the_doctor_does_not_wait_for_ever(world):
    world.distribution("other", {"slow": "slow_backend"})
    world.module("slow_backend", "import time\ntime.sleep(60)")
    code = "from d2lrnn.doctor import examine\nprint(examine('slow', time_out=1))"
    assert "did not end within 1 seconds" in world.says(code)


def test_the_doctor_tells_where_texts_come_from(doctor, tmp_path):
    child = doctor("good")
    assert "is not set" in line_of(child, "D2LRNN_DATA")
    assert "not made yet" in line_of(child, "cache")
    assert "timemachine.txt" in child.stdout  # how to get it
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "timemachine.txt").write_text("another text", encoding="utf-8")
    child = doctor("good", D2LRNN_DATA=str(folder))
    assert "(12 bytes, NOT the book's text" in line_of(child, "D2LRNN_DATA")
    child = doctor("good", D2LRNN_DATA=str(folder / "none"))
    assert "is not a folder" in line_of(child, "D2LRNN_DATA")
    assert "unset D2LRNN_DATA" in child.stdout
    assert child.returncode == 0


# The command line without a framework ----------------------------------------------------------------


def test_the_command_line_says_what_to_install(world):
    for name in OWN:
        world.backend(f"d2lrnn_{name}", needs=f"no_such_{name}")
    for command in (["train"], ["train", "--backend", "jax"]):
        child = world.run(["-m", "d2lrnn", *command], flags=())
        assert (child.returncode, child.stdout) == (1, "")
        assert child.stderr.startswith("Error: ")
        assert "-m pip install 'd2lrnn[jax]'" in child.stderr
        assert "Traceback" not in child.stderr
    child = world.run(["-m", "d2lrnn", "train", "--backend", "jaxx"], flags=())
    assert child.returncode == 2
    assert "Did you mean 'jax'?" in child.stderr
