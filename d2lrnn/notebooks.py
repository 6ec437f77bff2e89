"""`d2lrnn notebooks DIR`: the notebooks of the book's sections, as they are or for one framework."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click

from d2lrnn import atomic, backend
from d2lrnn.errors import WriteError
from d2lrnn.lesson import lesson
from d2lrnn.options import backend_option

BESIDE = Path(__file__).resolve().parents[1]
SOURCES = BESIDE / "d2lrnn-notebooks", BESIDE / "notebooks"  # of an installation, of a checkout


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--backend",
    "backend_name",
    **backend_option(
        "none; all cells are kept", "Leave out the cells of all frameworks but this one"
    ),
)
def notebooks(folder: Path, backend_name: str | None) -> None:
    """Write the notebooks of chapters 9 to 11 into a folder, to be opened in Jupyter.

    With --backend each is a lesson for one framework: it has no cells of the others, none of those that
    check what the text says, and its first cell chooses the framework. Nothing is overwritten.
    """
    written = write(folder, backend_name)
    click.echo(f"{len(written)} notebooks are in {folder}.")


def write(folder: Path, backend_name: str | None = None) -> list[Path]:
    """Write all notebooks, and their figures, into `folder`; returns where they lie.

    Raises:
        BackendError: `backend_name` names no backend.
        WriteError: one of the files is there already, or cannot be written.
    """
    if backend_name is not None:
        backend.entry_point(backend_name)
    source = next(place for place in SOURCES if place.is_dir())
    targets = {path: folder / path.name for path in sorted(source.glob("*.ipynb"))}
    if there := [str(path) for path in targets.values() if path.exists()]:
        raise WriteError(
            f"{there[0]} exists already, and may have your work in it. Choose another folder, or "
            "move it away."
        )
    for path, target in targets.items():
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if backend_name is not None:
            notebook = lesson(notebook, backend_name)
        text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
        atomic.write(target, text.encode("utf-8"))
    try:
        shutil.copytree(source / "figures", folder / "figures", dirs_exist_ok=True)
    except OSError as error:
        raise WriteError(f"The figures cannot be written into {folder}: {error}") from error
    return list(targets.values())
