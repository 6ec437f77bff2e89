"""What a framework needs before it is imported, done in time also where a reader's cell imports it.

`import d2lrnn` loads no backend, so a cell may import the framework before it touches a backend's
name. A backend that must prepare for its framework does so in `prepare.py`, a script of its own.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from d2lrnn.backend import DEFAULT_ORDER, found


class Preparation(MetaPathFinder):
    """Finds no module, but runs `prepare.py` when the framework of a backend's name is looked for."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        point = found().get(fullname) if fullname in DEFAULT_ORDER else None
        package = find_spec(point.module) if point else None
        if package and package.origin:
            script = Path(package.origin).with_name("prepare.py")
            if script.is_file():
                runpy.run_path(str(script))


@contextlib.contextmanager
def without_log_lines() -> Iterator[None]:
    """Hold back what a framework's C++ writes to standard error while it is imported, unless that fails."""
    try:
        standard_error = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as lines:
        sys.stderr.flush()
        os.dup2(lines.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            if failed:
                lines.seek(0)
                sys.stderr.write(lines.read().decode(errors="replace"))


sys.meta_path.insert(0, Preparation())
