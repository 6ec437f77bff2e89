"""How a shell calls the Python and the `d2lrnn` that run here: for every command that is printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path


def python() -> str:
    """What to type for this very Python, whatever `python` is."""
    return _typed("python", sys.executable) if sys.executable else "python"


def d2lrnn() -> str:
    """What to type for the `d2lrnn` of this very Python: its program, or the module if it has none."""
    import sysconfig

    program = shutil.which("d2lrnn", path=sysconfig.get_path("scripts"))
    return _typed("d2lrnn", program) if program else f"{python()} -m d2lrnn"


def quoted(word: str | os.PathLike[str]) -> str:
    """`word`, in quotes where the shell would not take it for one word as it is."""
    word = os.fspath(word)
    if os.name == "posix":
        return shlex.quote(word)
    return word if re.fullmatch(r"[\w@%+:./\\-]+", word) else f'"{word}"'


def _typed(name: str, program: str) -> str:
    """`name`, if the shell finds `program` by it; else its path, relative if it is below this folder."""
    if shutil.which(name) == program:
        return name
    path, here = Path(program), Path.cwd()
    if not path.is_relative_to(here):
        return quoted(path)
    relative = str(path.relative_to(here))
    # A bare name would be looked for on the PATH.
    return quoted(relative if os.sep in relative else os.path.join(os.curdir, relative))
