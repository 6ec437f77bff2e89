"""Run notebooks on the backend of D2LRNN_BACKEND, and keep the executed copies.

`python notebooks/execute.py FOLDER [NOTEBOOK ...]` runs each notebook in a kernel of this very Python and
writes it, with its outputs, into FOLDER; one that fails is written as far as it came. The exit
code is 1 if any failed. Environment variables reach the kernels: D2LRNN_QUICK=1 trains for fewer epochs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

HERE = Path(__file__).resolve().parent
SECONDS_A_CELL = 1200
HOME_FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")


class ThisPython(AsyncKernelManager):
    """A kernel of the Python that runs this script, whatever kernels are installed on the machine."""

    @property
    def kernel_spec(self) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        command += ["--log-level=40"]  # errors only
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def execute(path: Path, folder: Path) -> str | None:
    """Run the notebook at `path` and write it into `folder`; returns what failed, or None."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        timeout=SECONDS_A_CELL,
        resources={"metadata": {"path": str(HERE)}},  # where the notebooks lie
        record_timing=False,
    )
    failure = None
    try:
        client.execute()
    except CellExecutionError as error:
        failure = str(error)
    except (CellTimeoutError, DeadKernelError) as error:
        failure = f"{type(error).__name__}: {error}"
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / path.name)
    return failure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the executed copies go")
    parser.add_argument("notebooks", nargs="*", type=Path, help="by default, all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:  # what IPython and Jupyter would read from home
        os.environ.update(dict.fromkeys(HOME_FOLDERS, folder))
        return run_all(arguments.notebooks or sorted(HERE.glob("*.ipynb")), arguments.folder)


def run_all(paths: list[Path], folder: Path) -> int:
    failed = []
    for path in paths:
        started = time.perf_counter()
        failure = execute(path, folder)
        seconds = time.perf_counter() - started
        print(f"{path.name}: {'FAILED' if failure else 'ran'} in {seconds:.1f} s", flush=True)
        if failure:
            failed.append(path.name)
            print(failure, file=sys.stderr, flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
