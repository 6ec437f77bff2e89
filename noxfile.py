"""What is done with this repository: `nox -l` lists it, `nox` does what CI does.

Every framework has one environment, `.nox/<name>`, which all its sessions share and later runs
reuse; `core` is the one without a framework, `book` the one of the site. A session starts with
`environment`, which makes it, or updates it when the dependencies have changed.
"""

from __future__ import annotations

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):  # before imports that an older one lacks
    sys.exit(
        f"d2lrnn needs Python 3.11, 3.12 or 3.13, and this is {'.'.join(map(str, sys.version_info[:3]))} "
        f"({sys.executable}): remove .venv and make it with another one: python3.11 -m venv .venv"
    )

import argparse
import atexit
import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import NamedTuple, TextIO

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "none"  # `environment` makes them, since sessions share them
nox.options.reuse_venv = "yes"
# nox looks for uv, which nothing here uses, and says so where there is none.
logging.getLogger("nox").addFilter(lambda record: "uv binary" not in str(record.msg))

ROOT = Path(__file__).parent
LENT = os.environ.get("D2LRNN_NOX")  # the .nox of the checkout of which this is a copy (`bare`)
NOX = Path(LENT or ROOT / ".nox")
TOOLS = (
    *("hypothesis", "mypy", "pytest", "pytest-timeout", "pytest-xdist"),
    *("ruff", "types-requests", "ipykernel", "nbclient", "nbformat"),
)
BOOK = (
    *("sphinx", "furo", "myst-nb", "sphinx-autoapi", "sphinx-copybutton"),
    *("sphinx-mathjax-offline", "playwright", "axe-playwright-python", "pytest", "pytest-timeout"),
)


class Framework(NamedTuple):
    extra: str
    megabytes: int  # what its CPU build and all that d2lrnn runs on are to download, on Linux
    gpu_extra: str | None = None  # None where no GPU build can be installed
    last_python: tuple[int, int] = (3, 13)
    machines: tuple[str, ...] | None = None  # None where there are packages for all


FRAMEWORKS = {
    "torch": Framework("torch", 250, "torch-cuda"),
    "jax": Framework("jax", 210, "jax-cuda"),
    "mxnet": Framework(
        *("mxnet", 100),
        last_python=(3, 12),
        machines=("linux x86_64", "linux aarch64", "darwin x86_64"),
    ),
    "tensorflow": Framework("tensorflow-cpu", 370, "tensorflow-cuda"),
}
DEMO = "jax"  # the smallest that runs on every Python and machine that d2lrnn runs on

# Frameworks and Matplotlib write here, not in the home folder, and read no settings from there.
STATE = {
    "CUDA_CACHE_PATH": str(NOX / "state" / "cuda"),
    # Most of the time of JAX's tests goes into compiling the same small programs again.
    "JAX_COMPILATION_CACHE_DIR": str(NOX / "state" / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "KERAS_HOME": str(NOX / "state" / "keras"),
    "MPLCONFIGDIR": str(NOX / "state" / "matplotlib"),
    "MPLBACKEND": None,
    # What is installed in environments that are lent is the other checkout.
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")]) if LENT else None,
}


# Whole suites run in two processes: their matrices are small, and the threads of one wait for each other.
SIDE_BY_SIDE = ("-n", "2", "--dist", "worksteal")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
# JAX compiles hundreds of small programs for the tests, each of which then runs for milliseconds.
COMPILED_FAST = {
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # which lines each operation comes from
}
XLA_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


# Sessions ---------------------------------------------------------------------------------------


@nox.session
def environments(session: nox.Session) -> None:
    """Make all environments, two at a time; a session by itself makes those that it needs."""
    names = [*largest_first(backends(session)), "core"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(environment, session), names))


@nox.session
def lint(session: nox.Session) -> None:
    """Rules, formatting, and the types of the core."""
    python = environment(session, "core")
    session.run(python, "-m", "ruff", "check", ".", external=True)
    session.run(python, "-m", "ruff", "format", "--check", ".", external=True)
    session.run(python, "-m", "mypy", external=True)


@nox.session
def core(session: nox.Session) -> None:
    """The tests of what needs no framework, where none is installed."""
    python = environment(session, "core")
    tests = session.posargs or [*SIDE_BY_SIDE, "tests/core", "tests/parity/test_oracle.py"]
    pytest(session, python, "-W", "error", *tests, D2LRNN_BACKEND=None)


def tests(session: nox.Session, name: str) -> None:
    """The shared suite on one framework."""
    python = environment(session, name)
    cells = [str(path) for path in (ROOT / "tests/textbook").glob(f"test_d2lrnn_{name}*.py")]
    # `core` runs the oracle's own.
    shared = ("tests/contract", "tests/parity", "--ignore=tests/parity/test_oracle.py")
    tests = session.posargs or [*SIDE_BY_SIDE, *shared, *sorted(cells)]
    pytest(session, python, *tests, D2LRNN_BACKEND=name, **ONE_THREAD, **COMPILED_FAST)


for _name in FRAMEWORKS:

    @nox.session(name=f"tests-{_name}")
    def _tests(session: nox.Session, name: str = _name) -> None:
        tests(session, name)

    _tests.__doc__ = f"The shared suite on the backend {_name}."


def notebooks(session: nox.Session, name: str) -> None:
    """Run the notebooks: with fewer epochs, or in full, for the site, after `-- --full`."""
    quick = "--full" not in session.posargs
    chosen = [word for word in session.posargs if word != "--full"]
    folder = f"build/notebooks{'-quick' if quick else ''}/{name}"
    env = {"D2LRNN_BACKEND": name, "D2LRNN_QUICK": "1" if quick else None, **real_text()}
    if quick:  # most of it is compiling
        env |= COMPILED_FAST | {"XLA_FLAGS": f"{COMPILED_FAST['XLA_FLAGS']} {XLA_ONE_THREAD}"}
    run(session, environment(session, name), "notebooks/execute.py", folder, *chosen, **env)


for _name in FRAMEWORKS:

    @nox.session(name=f"notebooks-{_name}")
    def _notebooks(session: nox.Session, name: str = _name) -> None:
        notebooks(session, name)

    _notebooks.__doc__ = f"Every notebook on the backend {_name}; `-- --full` trains in full."


@nox.session
def demo(session: nox.Session) -> None:
    """The main job: train section 9.6 on the backend of D2LRNN_BACKEND, on JAX where it is unset.

    It has a small environment of its own, `.nox/demo-<name>`: the framework on the CPU and what d2lrnn
    needs to run. What follows `--` are options of `d2lrnn train`.
    """
    name = os.environ.get("D2LRNN_BACKEND", "").strip() or DEMO
    python = demo_environment(session, name)
    train = (python, "-m", "d2lrnn", "train", *session.posargs)
    run(session, *train, quiet=True, D2LRNN_BACKEND=name)


@nox.session
def exchange(session: nox.Session) -> None:
    """Sections 9.6 to 10.3 on all frameworks from common weights; each reads what every other wrote.

    `-- --backends torch,jax` chooses the frameworks, `-- --max-epochs 100` trains as the book does. Two
    run at a time, each with one thread, except on a GPU; what each said comes when it has ended.
    """
    options = arguments(session, backends=None, max_epochs="20")
    names = backends(session, options["backends"])
    folder = Path(session.create_tmp())
    env = {"D2LRNN_EXCHANGE": str(folder), "D2LRNN_EXCHANGE_BACKENDS": ",".join(names)}
    env |= {**real_text(), **ONE_THREAD, "XLA_FLAGS": XLA_ONE_THREAD}
    pythons = {name: environment(session, name) for name in names}
    train = ("tests/exchange/train.py", str(folder), options["max_epochs"])
    read = ("-m", "pytest", "tests/exchange/test_reading.py")

    def said(name: str, command: tuple[str, ...]) -> str:
        return run(session, pythons[name], *command, silent=True, D2LRNN_BACKEND=name, **env)

    names = largest_first(names)
    with ThreadPoolExecutor(1 if has_gpu() else 2) as pool:
        for command in train, read:
            for output in pool.map(said, names, [command] * len(names)):
                print(output, flush=True)
    pytest(session, environment(session, "core"), "-s", "tests/exchange/test_agreement.py", **env)


@nox.session
def bare(session: nox.Session) -> None:
    """What needs a text, as on a machine that has nothing: a copy, no texts, an empty cache, no network.

    In few epochs: the demo, the exchange between two frameworks, and the notebooks that read a text, on
    one. Only the environments are those of this checkout, since they are expensive.
    """
    names = backends(session)
    for name in ("core", *names):
        environment(session, name)
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [line.strip("/") for line in lines if line and not line.startswith("#")]
    notebooks = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        if any(
            f"{data}(" in path.read_text(encoding="utf-8") for data in ("TimeMachine", "MTFraEng")
        )
    ]
    proxies = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    unset = ("D2LRNN_BACKEND", "D2LRNN_DATA", "no_proxy", "NO_PROXY")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "d2lrnn"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", *ignored))
        env = {"D2LRNN_CACHE": str(Path(folder) / "cache"), "D2LRNN_NOX": str(NOX)}
        env |= dict.fromkeys(proxies, "http://127.0.0.1:9") | dict.fromkeys(unset)
        nox_there = (sys.executable, "-m", "nox", "-f", str(copy / "noxfile.py"), "-s")
        few = ("--", "--max-epochs", "2")
        run(session, *nox_there, "demo", *few, **env)
        run(session, *nox_there, "exchange", *few, "--backends", ",".join(names[:2]), **env)
        run(session, *nox_there, f"notebooks-{names[0]}", "--", *notebooks, **env)


@nox.session
def bench(session: nox.Session) -> None:
    """Sections 9.6 to 11.4 against loops written by hand, on all frameworks, in one table: build/bench/.

    An epoch of each model, prediction, and what it takes to start. `-- --backends torch,jax` chooses the
    frameworks, `--growth` measures larger models and more data as well, half an hour of work; every
    other option goes to benchmarks/epoch.py. The machine must have nothing else to do.
    """
    parser = argparse.ArgumentParser(prog="nox -s bench --", allow_abbrev=False, add_help=False)
    parser.add_argument("--backends")
    parser.add_argument("--growth", action="store_true")
    options, others = parser.parse_known_args(session.posargs)
    figures = ROOT / "build" / "bench" / "figures.jsonl"
    figures.parent.mkdir(parents=True, exist_ok=True)
    figures.unlink(missing_ok=True)
    core = environment(session, "core")
    run(session, core, "benchmarks/startup.py")
    for name in backends(session, options.backends):
        python, json_option = environment(session, name), ("--json", str(figures))
        # JAX is to compile, not to find what an earlier session has compiled.
        env = {"D2LRNN_BACKEND": name, "JAX_COMPILATION_CACHE_DIR": None, **real_text()}
        models = ("rnn", "lstm", "gru", "deep-gru", "seq2seq", "seq2seq-attention")
        for model in [None] if "--model" in others else models:
            chosen = () if model is None else ("--model", model)
            run(session, python, "benchmarks/epoch.py", *json_option, *chosen, *others, **env)
        run(session, python, "benchmarks/predict.py", *json_option, **env)
        if options.growth:
            run(session, python, "benchmarks/growth.py", *json_option, **env)
    run(session, core, "benchmarks/table.py", str(figures), str(figures.with_suffix(".md")))


@nox.session
def compare(session: nox.Session) -> None:
    """Section 9.6 on all frameworks, and a report that lays them side by side.

    Each is trained from common initial weights and then from those of its own initialiser.
    `-- --backends torch,jax` chooses the frameworks, `--weights FILE` the common weights, and
    `--output DIR` the folder for all; every other option goes to `d2lrnn train`. A framework that
    fails is shown as failed, and the session then fails at its end.
    """
    parser = argparse.ArgumentParser(prog="nox -s compare --", allow_abbrev=False, add_help=False)
    parser.add_argument("--backends")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--output", type=Path)
    options, training = parser.parse_known_args(session.posargs)
    names = backends(session, options.backends)
    folder = (options.output or Path(f"runs/compare-{datetime.now():%Y-%m-%d-%H%M%S}")).absolute()
    if taken := {"--run", "--resume", "--backend"} & {word.split("=")[0] for word in training}:
        session.error(f"{taken.pop()} cannot be given here: this session sets it.")
    if folder.exists():
        session.error(f"There is a {folder} already; choose another folder with --output.")
    if not any(word.split("=")[0] == "--prefix" for word in training):
        training += THREE_TEXTS

    core = environment(session, "core")
    folder.mkdir(parents=True)
    common = options.weights or common_weights(session, folder, training, **real_text())
    failed = [
        name
        for name in names
        if not train(session, name, folder / f"{name}-common", *training, f"--weights={common}")
        or not train(session, name, folder / f"{name}-own", *training)
    ]
    runs = [folder / f"{name}-{start}" for start in ("common", "own") for name in names]
    made = [str(path) for path in runs if path.exists()]  # after a failure the second is not tried
    run(session, core, "-m", "d2lrnn", "compare", *made, "--output", str(folder / "report"))
    if failed:
        session.error(f"{', '.join(failed)} failed; the report shows how.")


THREE_TEXTS = [f"--prefix={text}" for text in ("it has", "time traveller", "the future")]
THREE_TEXTS += ["--num-preds=60"]


def common_weights(
    session: nox.Session, folder: Path, training: list[str], **env: str | None
) -> Path:
    """Initial weights for all frameworks, in `folder`, of a training with these options."""
    common = folder / "common.safetensors"
    core = environment(session, "core")
    run(session, core, "-m", "d2lrnn.comparison.initial", str(common), *training, **env)
    return common


def train(session: nox.Session, name: str, folder: Path, *options: str, **env: str | None) -> bool:
    """Train on the backend `name` into `folder`, and tell there, in failed.json, if that fails."""
    log = folder.with_suffix(".log")
    with log.open("w+", encoding="utf-8", errors="replace") as stderr:
        try:
            error = not_here(name)
            if error is None:
                session.run(
                    *(environment(session, name), "-m", "d2lrnn", "train"),
                    *("--backend", name, "--run", str(folder), *options),
                    # The report tells how long compiling takes: nothing may be compiled before.
                    env=STATE | {"JAX_COMPILATION_CACHE_DIR": None} | real_text() | env,
                    stderr=stderr,
                    external=True,
                    interrupt_timeout=60,
                )
        except nox.command.CommandFailed as failure:
            stderr.seek(0)
            error = "".join(stderr.readlines()[-40:]).strip() or str(failure)
    if error is not None:
        session.warn(f"{name} failed: {error}")
        folder.mkdir(exist_ok=True)
        told = json.dumps({"backend": name, "error": error})
        (folder / "failed.json").write_text(told, encoding="utf-8")
    return error is None


@nox.session
def browser(session: nox.Session) -> None:
    """The pages in headless Chromium; skipped where there is none, but not in CI."""
    if not has_chromium(session) and not os.environ.get("CI"):
        session.skip(NO_CHROMIUM)
    python = environment(session, "core")
    playwright = ("-c", "constraints/core.txt", "playwright")
    session.run(python, "-m", "pip", "install", "-q", *playwright, external=True)
    pytest(session, python, "-rs", *(session.posargs or ["tests/browser"]))


@nox.session
def book(session: nox.Session) -> None:
    """The site, in build/book/html, out of the notebooks as every framework executed them.

    Notebooks of which there is no such copy, or an older one, are executed first. `-- --backends
    torch,jax` makes do with some frameworks; the site says where the others were not executed.
    """
    names = backends(session, arguments(session, backends=None)["backends"])
    python = environment(session, "book")
    merge = (python, "book/merge.py", "notebooks", "build/notebooks", "build/book/source")
    for name in names:
        if subprocess.run([*merge, "--check", "--backends", name], cwd=ROOT).returncode != 0:
            execute = ("notebooks/execute.py", f"build/notebooks/{name}")
            python_of_it = environment(session, name)
            run(session, python_of_it, *execute, D2LRNN_BACKEND=name, **real_text())

    site, pages = ROOT / "build" / "book", shutil.ignore_patterns("*.py", "_*")
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "book", site / "source", ignore=pages)
    run(session, *merge, "--backends", ",".join(names))
    side_by_side(session, names, site / "source" / "report")
    sphinx = ("-m", "sphinx", "-q", "-W", "--keep-going", "-c", "book", "-d", "build/book/doctrees")
    run(session, python, *sphinx, "build/book/source", "build/book/html")
    has_chromium(session)
    html = str(site / "html")
    pytest(session, python, "-q", "-rs", "tests/browser/test_book.py", D2LRNN_BOOK=html)
    session.log(f"The site is {html}/index.html")


def side_by_side(session: nox.Session, names: list[str], report: Path) -> None:
    """A report of section 9.6 on these frameworks, of runs in build/side-by-side: those missing are made."""
    folder = Path("build/side-by-side")  # relative, as is the text: the report tells where they lay
    text = {key: os.path.relpath(path, ROOT) for key, path in real_text().items()}
    common, core = folder / "common.safetensors", environment(session, "core")
    (ROOT / folder).mkdir(parents=True, exist_ok=True)
    if not (ROOT / common).exists():
        common_weights(session, folder, THREE_TEXTS, **text)
    runs = []
    for start, more in (("common", [f"--weights={common}"]), ("own", [])):
        for name in names:
            runs.append(folder / f"{name}-{start}")
            if (ROOT / runs[-1] / "failed.json").exists():
                shutil.rmtree(ROOT / runs[-1])
            if not (ROOT / runs[-1]).exists():
                train(session, name, runs[-1], *THREE_TEXTS, *more, **text)
    run(session, core, "-m", "d2lrnn", "compare", *map(str, runs), "--output", str(report))


nox.options.sessions = [
    *("environments", "lint", "core"),
    *(f"tests-{name}" for name in FRAMEWORKS),
    *(f"notebooks-{name}" for name in FRAMEWORKS),
    *("exchange", "bare", "browser"),
]


# Running and installing -------------------------------------------------------------------------


def run(
    session: nox.Session,
    *command: str,
    quiet: bool = False,
    silent: bool = False,
    **env: str | None,
) -> str:
    """Run `command`, with `STATE` and `env` in its environment (None unsets a variable).

    `quiet` does not tell the command; `silent` returns what it prints, shown only if it fails.
    """
    # Ctrl-C reaches the command itself, which may take a moment to end cleanly.
    settings = {"external": True, "interrupt_timeout": 60, "log": not quiet, "silent": silent}
    return str(session.run(*command, env=STATE | env, **settings))


def pytest(session: nox.Session, python: str, *arguments: str, **env: str | None) -> None:
    run(session, python, "-m", "pytest", *arguments, **env)


def arguments(session: nox.Session, **defaults: str | None) -> dict[str, str | None]:
    """The options `-- --some-name value` of a session, over their `defaults`."""
    parser = argparse.ArgumentParser(prog=f"nox -s {session.name} --")
    for name, value in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), default=value)
    return vars(parser.parse_args(session.posargs))


def backends(session: nox.Session, chosen: str | None = None) -> list[str]:
    """The frameworks of a session: those of `chosen`, with commas between, or all that can be had here."""
    if chosen is not None:
        names = chosen.split(",")
        if unknown := [name for name in names if name not in FRAMEWORKS]:
            session.error(f"--backends {unknown[0]}: expected some of {', '.join(FRAMEWORKS)}.")
        return names
    for name in FRAMEWORKS:
        if why := not_here(name):
            left_out(session, why)
    return [name for name in FRAMEWORKS if not not_here(name)]


LEFT_OUT: dict[str, list[str]] = {}  # by why: in which sessions


def left_out(session: nox.Session, why: str) -> None:
    LEFT_OUT.setdefault(why, []).append(session.name)


NO_CHROMIUM = "there is no Chromium on the path; CONTRIBUTING.md tells how to get it."


def has_chromium(session: nox.Session) -> bool:
    """Whether the tests in a browser can run; where not, it is told at the end."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = "D2LRNN_BROWSER" in os.environ or any(map(shutil.which, names))
    if not found:
        left_out(session, NO_CHROMIUM)
    return found


@atexit.register
def tell_what_was_left_out() -> None:
    """Once, below all that the sessions have printed."""
    for why, sessions in LEFT_OUT.items():
        print(f"Left out of {', '.join(sessions)}: {why}", file=sys.stderr)


def real_text() -> dict[str, str]:
    """Where the real text lies, if it is known: in D2LRNN_DATA, or in `../shared/data`."""
    shared = ROOT.parent / "shared" / "data"
    if "D2LRNN_DATA" not in os.environ and (shared / "timemachine.txt").is_file():
        return {"D2LRNN_DATA": str(shared)}
    return {}


def environment(session: nox.Session, name: str) -> str:
    """Make, update or reuse an environment: a framework's, `core` or `book`; returns its Python."""
    if name not in ("core", "book", *FRAMEWORKS):
        session.error(
            f"There is no backend {name!r} here; expected one of {', '.join(FRAMEWORKS)}."
        )
    framework = FRAMEWORKS.get(name)
    skip_unless_here(session, name)
    folder = NOX / name
    python = python_of(folder)
    if LENT:
        return str(python)

    with_gpu = framework is not None and framework.gpu_extra is not None and has_gpu()
    extra = f"[{framework.gpu_extra if with_gpu else framework.extra}]" if framework else ""
    constraints = "tools" if with_gpu else name  # GPU builds have versions of their own
    tools = BOOK if name == "book" else TOOLS
    made_from = {
        "interpreter": [sys.base_prefix, platform.python_version(), platform.machine(), str(ROOT)],
        "with_gpu": with_gpu,
        "packages": [extra, *tools, *inputs(f"{constraints}.txt", "tools.txt")],
    }

    stamp = folder / "d2lrnn.json"
    was_made_from = json.loads(stamp.read_text()) if stamp.exists() and python.exists() else {}
    if was_made_from == made_from:
        return str(python)
    if any(was_made_from.get(key) != made_from[key] for key in ("interpreter", "with_gpu")):
        shutil.rmtree(folder, ignore_errors=True)
        session.run(sys.executable, "-m", "virtualenv", "-q", str(folder), external=True)
    stamp.unlink(missing_ok=True)
    session.run(
        *(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"),
        *("-c", f"constraints/{constraints}.txt", "-e", f".{extra}", *tools),
        external=True,
    )
    stamp.write_text(json.dumps(made_from))
    return str(python)


def demo_environment(session: nox.Session, name: str) -> str:
    """Make or reuse the environment of the demo, telling how far it is; returns its Python."""
    if LENT:
        return environment(session, name)
    if name not in FRAMEWORKS:
        session.error(f"D2LRNN_BACKEND={name}: expected one of {', '.join(FRAMEWORKS)}")
    skip_unless_here(session, name)
    folder = NOX / f"demo-{name}"
    python, stamp = python_of(folder), folder / "d2lrnn.json"
    interpreter = [sys.base_prefix, platform.python_version(), platform.machine(), str(ROOT)]
    made_from = {"interpreter": interpreter, "packages": inputs(f"{name}.txt", "tools.txt")}
    if stamp.exists() and python.exists() and json.loads(stamp.read_text()) == made_from:
        return str(python)
    size = f"about {FRAMEWORKS[name].megabytes} MB to download"
    if name == "torch" and sys.platform == "linux":
        size += (
            ", and gigabytes from an index of builds for CUDA, as PyPI is: see book/guide/start.md"
        )
    print(f"Installing {name} into {shown(folder)}, this once: {size}.", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    make = (sys.executable, "-m", "virtualenv", "-q", str(folder))
    session.run(*make, external=True, log=False)
    install = (str(python), "-m", "pip", "install", "--disable-pip-version-check")
    packages = ("-c", f"constraints/{name}.txt", "-e", f".[{FRAMEWORKS[name].extra}]")
    log = folder / "pip.log"
    error = with_bar(
        [*install, "--progress-bar", "raw", *packages], log, FRAMEWORKS[name].megabytes
    )
    if error is not None:
        session.error(
            f"{name} could not be installed: {error.rstrip('.')}. All that pip said is in {shown(log)}"
        )
    stamp.write_text(json.dumps(made_from))
    return str(python)


class Heard:
    """What pip has said so far: what it does, how many bytes it has downloaded, and why it cannot go on."""

    def __init__(self) -> None:
        self.doing, self.before, self.now, self.error = "preparing", 0, 0, ""

    def hear(self, output: Iterable[str], log: TextIO) -> None:
        """Take in the lines of `output` up to its end, and write them to `log`."""
        for line in output:
            word, *words = line.split() or [""]
            if word == "Progress":  # such as: Progress 1048576 of 85448560
                self.now = int(words[0])
                continue
            log.write(line)
            self.before, self.now = self.before + self.now, 0
            if word == "Downloading":
                self.doing = words[0].partition("-")[0]
            elif word == "Installing" and words[0] == "collected":
                self.doing = "unpacking"
            elif "Retrying (Retry" in line:
                self.error = "no package registry answers, as without a network"
            elif word == "ERROR:":  # the first is why, the last what did not happen for it
                self.error = self.error or " ".join(words)


def with_bar(pip: list[str], path: Path, megabytes: int) -> str | None:
    """Run `pip`, whose output goes to `path`, and show in one line how far it is; its error, if it fails.

    The line tells `megabytes` as what there is to download: pip knows it of each file alone.
    """
    heard, started, bar = Heard(), monotonic(), ""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with path.open("w") as log, subprocess.Popen(pip, cwd=ROOT, **piped) as child:
        reader = Thread(target=heard.hear, args=(child.stdout, log))
        reader.start()
        while reader.is_alive():
            done, seconds = (heard.before + heard.now) / 1e6, int(monotonic() - started)
            share = 1.0 if heard.doing == "unpacking" else min(done / megabytes, 1.0)
            told = f"{done:3.0f} of {megabytes} MB {seconds // 60}:{seconds % 60:02} {heard.doing}"
            if sys.stdout.isatty():
                bar = f"[{'#' * round(20 * share):20}] {told}"[:58]
                print(f"\r{bar:58}", end="", flush=True)
            reader.join(timeout=0.25)
    print(f"\r{'':58}\r" if bar else "", end="")
    if child.returncode != 0:
        return heard.error or f"pip ended with status {child.returncode}."
    print(f"Installed in {monotonic() - started:.0f} seconds.", flush=True)
    return None


def skip_unless_here(session: nox.Session, name: str) -> None:
    if why := not_here(name):
        left_out(session, why)
        session.skip(why)


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def shown(path: Path) -> Path:
    """`path` from where nox is typed, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def not_here(name: str) -> str | None:
    """Why the framework cannot be installed here, if so."""
    framework = FRAMEWORKS.get(name)
    if framework is None:
        return None
    if sys.version_info[:2] > framework.last_python:
        newest = ".".join(map(str, framework.last_python))
        return f"{name} needs Python {newest} or older; nox runs on {sys.version.split()[0]}."
    machine = f"{sys.platform} {platform.machine()}"
    if framework.machines is not None and machine not in framework.machines:
        return f"{name} has no packages for {machine}; it has for {', '.join(framework.machines)}."
    return None


def inputs(*constraints: str) -> list[str]:
    """Hashes of what decides an installation: parts of pyproject.toml, and the constraints."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packaging = [project["build-system"], project["project"], project["tool"]["hatch"]]
    texts = [(ROOT / "constraints" / name).read_text(encoding="utf-8") for name in constraints]
    return [
        hashlib.sha256(text.encode()).hexdigest()
        for text in (json.dumps(packaging, sort_keys=True), *texts)
    ]


def largest_first(names: Iterable[str]) -> list[str]:
    """Of frameworks of which two are at work at a time: the largest takes longest, and so begins first."""
    return sorted(names, key=lambda name: FRAMEWORKS[name].megabytes, reverse=True)


@cache
def has_gpu() -> bool:
    """Whether nvidia-smi is there, answers, and lists a GPU."""
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and "GPU" in answer.stdout
