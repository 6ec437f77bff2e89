"""`d2lrnn doctor`: what works here, and what to type where something does not.

One process runs one framework, so each backend is tried in a process of its own: this module, run
with the backend's name, prints what it found as a line of JSON.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from pathlib import Path
from typing import Any, TypedDict

from d2lrnn import __version__, backend, shell
from d2lrnn.errors import BackendError, DataError

TIME_OUT = 120  # seconds; a framework's first import on a slow disk takes many


class Finding(TypedDict):
    """What was found out about a backend."""

    state: backend.State
    detail: str  # the framework's version; the pip command; the error
    devices: list[str]
    to_do: list[str]


def examine(name: str, time_out: float = TIME_OUT) -> Finding:
    """Try the backend `name` in a process of its own."""
    command = [sys.executable, "-m", "d2lrnn.doctor", name]
    try:
        child = subprocess.run(command, capture_output=True, timeout=time_out, errors="replace")
    except subprocess.TimeoutExpired:
        return _finding("broken", f"its import did not end within {time_out:g} seconds")
    try:
        finding: Finding = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError):  # the framework took the whole process down
        last = (child.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return _finding(
            "broken", f"its import ended the process with status {child.returncode}: {last}"
        )
    return finding


def _examine_here(name: str) -> Finding:
    try:
        package = backend.select(name)
        versions, to_do = package.versions(), _older_numpy(name, package)
        return _finding("works", versions["framework"], versions["devices"], to_do)
    except backend.NotInstalled as error:
        return _finding("not installed", error.command)
    except Exception as error:  # where the framework's own error is known, it is told
        cause = error.__cause__ or error
        return _finding("broken", f"{type(cause).__name__}: {cause}")


def _finding(
    state: backend.State, detail: str, devices: Sequence[str] = (), to_do: Sequence[str] = ()
) -> Finding:
    return {"state": state, "detail": detail, "devices": [*devices], "to_do": [*to_do]}


def _older_numpy(name: str, package: Any) -> list[str]:
    """A way out if NumPy refuses, for the backend, `int()` of an array of one element (section 9.5)."""
    import numpy as np

    said = []
    for one in (np.ones(1), package.ones(1)):
        try:
            int(one)
        except TypeError as error:
            said.append(str(error))
    if len(said) < 2 or said[0] != said[1]:  # one of them takes it, or the framework itself refuses
        return []
    return [
        f"Let int() take arrays of one element of {name}, as the book's predict (9.5) does and NumPy "
        f"{np.__version__} refuses: {shell.python()} -m pip install {shell.quoted('numpy<2.4')}"
    ]


def report() -> tuple[str, bool]:
    """What is to be told, and whether at least one backend works."""
    names = list(backend.found())
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        findings = dict(zip(names, pool.map(examine, names), strict=True))
    works = any(finding["state"] == "works" for finding in findings.values())
    active, to_do = _active(findings)
    data, to_do_for_data = _data()
    to_do += [line for finding in findings.values() for line in finding["to_do"]]
    to_do += [*_unused_gpus(findings), *to_do_for_data]
    lines = [
        f"d2lrnn {__version__}, Python {platform.python_version()} ({sys.executable})",
        platform.platform(),
        "",
        "Backends",
        *_backends(findings),
        f"Active: {active}",
        "",
        "Data",
        *data,
    ]
    if to_do:
        lines += ["", "What to do", *(f"  {line}" for line in to_do)]
    return "\n".join(lines), works


def _backends(findings: Mapping[str, Finding]) -> Iterator[str]:
    width = max(map(len, findings), default=0)
    for name, finding in findings.items():
        if finding["state"] == "works":
            says = f"{finding['detail']}, on {', '.join(finding['devices'])}"
        elif finding["state"] == "not installed":
            says = f"not installed; to install it: {finding['detail']}"
        else:
            says = "broken: " + finding["detail"].replace("\n", f"\n  {'':{width}}  ")
        yield f"  {name:{width}}  {says}"
    if not findings:
        yield "  none is announced to d2lrnn"


def _active(findings: Mapping[str, Finding]) -> tuple[str, list[str]]:
    """Which backend `import d2lrnn` would use, or why none; and what to do about the latter."""
    chosen = backend.choice(lambda name: findings[name]["state"])
    if chosen is None:
        installs = [f["detail"] for f in findings.values() if f["state"] == "not installed"]
        return "none, as no backend can be used", [f"Install a backend: {i}" for i in installs[:1]]
    working = [name for name, finding in findings.items() if finding["state"] == "works"]
    instead = [f"Use a backend that works: export {backend.ENVIRONMENT}={w}" for w in working[:1]]
    try:
        backend.entry_point(chosen)
    except BackendError as error:
        return f"none. {backend.ENVIRONMENT} is wrong: {error}", instead
    why = f"the first installed, as {backend.ENVIRONMENT} is unset"
    if backend.from_environment():
        why = f"{backend.ENVIRONMENT}={chosen}"
    finding = findings[chosen]
    if finding["state"] == "works":
        return f"{chosen} ({why})", []
    to_do = f"Mend the installation of {chosen}; its error stands above."
    if finding["state"] == "not installed":
        to_do = f"Install {chosen}: {finding['detail']}"
    return f"none. {chosen} ({why}) is {finding['state']}.", [to_do, *instead]


def _unused_gpus(findings: Mapping[str, Finding]) -> Iterator[str]:
    """Hints for backends that see no GPU where there is one, if an extra brings its support."""
    if shutil.which("nvidia-smi") is None:
        return
    for name, finding in findings.items():
        point, extra = backend.found()[name], f"{name}-cuda"
        has_extra = point.dist and extra in (point.dist.metadata.get_all("Provides-Extra") or [])
        only_cpu = all("cpu" in device.lower() for device in finding["devices"])
        if has_extra and finding["state"] == "works" and only_cpu:
            yield f"Let {name} use the GPU: {backend.install_command(point, extra=extra)}"


def _data() -> tuple[list[str], list[str]]:
    """Lines about the folders that texts are looked for in, and what to do to get the book's."""
    from d2lrnn.data.download import DATA_URL, cache_dir, data_folder
    from d2lrnn.data.time_machine import NAME

    to_do = []
    try:
        given = data_folder()
        given_line = f"  D2LRNN_DATA  {_contents(given)}" if given else "  D2LRNN_DATA  is not set"
    except DataError as error:
        given, given_line = None, f"  D2LRNN_DATA  {error}"
        to_do.append("Set it right, or unset it: unset D2LRNN_DATA")
    if not any(folder and (folder / NAME).is_file() for folder in (given, cache_dir())):
        to_do += [
            f"The Time Machine is not here yet; its first use downloads {DATA_URL}{NAME}.",
            "Without a network, bring that file here in a folder and type: export D2LRNN_DATA=FOLDER",
        ]
    return [given_line, f"  cache        {_contents(cache_dir())}"], to_do


def _contents(folder: Path, at_most: int = 8) -> str:
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except FileNotFoundError:
        return f"{folder}: not made yet"
    except OSError as error:
        return f"{folder}: cannot be read ({error.strerror})"
    told = [_describe(path) for path in files[:at_most]]
    told += [f"and {len(files) - at_most} more"] if len(files) > at_most else []
    return f"{folder}: {', '.join(told) or 'empty'}"


def _describe(path: Path) -> str:
    from d2lrnn.data.time_machine import NAME, SHA1

    said = f"{path.stat().st_size:,} bytes"
    if path.name == NAME:
        with path.open("rb") as file:
            right = file_digest(file, "sha1").hexdigest() == SHA1
        said += ", as in the book" if right else ", NOT the book's text: remove it"
    return f"{path.name} ({said})"


def _main(arguments: list[str]) -> Any:
    print("\n" + json.dumps(_examine_here(arguments[0])), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1:])
