"""Run notebooks on the backend of D2LRNN_BACKEND, and keep the executed copies.

`python notebooks/execute.py FOLDER [NOTEBOOK ...]` runs each notebook in a kernel of this very Python and
writes it, with its outputs, into FOLDER; one that fails is written as far as it came. The exit
code is 1 if any failed. Environment variables reach the kernels.

With D2LRNN_QUICK=1 a copy is a short run, and its metadata say so: in a cell with the tag `quick-20` no
`max_epochs=` is above 20, and cells with the tag `in-full`, which check what only a training in full
reaches, are left out. The copy keeps the cells as they are written. How many seconds it took stands
in its metadata, too.

Two run at a time, each with one thread, unless `--jobs` says otherwise. The matrices are small, and
where other programs are at work the threads of one training wait for each other, busily: an epoch of
section 9.5 on PyTorch cost 9.2 seconds of CPU time with two threads where it cost 0.55 with one.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

HERE = Path(__file__).resolve().parent
SECONDS_A_CELL = 1200
SECONDS_TO_START = 300  # a kernel, on a busy machine
HOME_FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
SHARING = {  # unless set otherwise: one thread each, and of a GPU no more memory than is needed
    "OMP_NUM_THREADS": "1",  # PyTorch, MXNet
    "TF_NUM_INTRAOP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",  # JAX
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


class ThisPython(AsyncKernelManager):
    """A kernel of the Python that runs this script, whatever kernels are installed on the machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        command += ["--log-level=40"]  # errors only
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def execute(path: Path, folder: Path) -> tuple[float, str | None]:
    """Run the notebook at `path` and write it into `folder`; returns the seconds it took and what failed."""
    started = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        timeout=SECONDS_A_CELL,
        startup_timeout=SECONDS_TO_START,
        resources={"metadata": {"path": str(HERE)}},  # where the notebooks lie
        record_timing=False,
    )
    failure = None
    written = [cell.source for cell in notebook.cells]
    notebook.metadata["d2lrnn"] = {}
    if os.environ.get("D2LRNN_QUICK"):
        notebook.metadata["d2lrnn"]["quick"] = True
        for cell in notebook.cells:
            cell.source = shortened(cell)
    try:
        client.execute()
    except CellExecutionError as error:
        failure = str(error)
    except (CellTimeoutError, RuntimeError) as error:  # the kernel died, or did not even start
        failure = f"{type(error).__name__}: {error}"
    for cell, source in zip(notebook.cells, written, strict=True):
        cell.source = source
    seconds = time.perf_counter() - started
    notebook.metadata["d2lrnn"]["seconds"] = round(seconds)
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / path.name)
    return seconds, failure


def shortened(cell: nbformat.NotebookNode) -> str:
    """The source of a cell as a short run executes it: see above."""
    tags = cell.metadata.get("tags", [])
    if "in-full" in tags:
        return ""
    for most in (int(tag.removeprefix("quick-")) for tag in tags if tag.startswith("quick-")):
        return re.sub(r"\bmax_epochs=(\d+)", partial(at_most, most), cell.source)
    return str(cell.source)


def at_most(most: int, found: re.Match[str]) -> str:
    return f"max_epochs={min(int(found[1]), most)}"


def trainings(path: Path) -> int:
    return path.read_text(encoding="utf-8").count("max_epochs=")


def execute_all(paths: list[Path], folder: Path, jobs: int) -> int:
    longest_first = sorted(paths, key=trainings, reverse=True)
    failed = []
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(execute, path, folder): path.name for path in longest_first}
        for done in as_completed(running):
            seconds, failure = done.result()
            name = running[done]
            print(f"{name}: {'FAILED' if failure else 'ran'} in {seconds:.1f} s", flush=True)
            if failure:
                failed.append(name)
                print(failure, file=sys.stderr, flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the executed copies go")
    parser.add_argument("notebooks", nargs="*", type=Path, help="by default, all")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    options = parser.parse_args()
    os.environ.update({name: os.environ.get(name, value) for name, value in SHARING.items()})
    with tempfile.TemporaryDirectory() as home:  # what IPython and Jupyter would read from home
        os.environ.update(dict.fromkeys(HOME_FOLDERS, home))
        paths = options.notebooks or sorted(HERE.glob("*.ipynb"))
        return execute_all(paths, options.folder, options.jobs)


if __name__ == "__main__":
    raise SystemExit(main())
