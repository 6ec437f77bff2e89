"""Put notebooks into the form in which they are kept: `python notebooks/clean.py [NOTEBOOK ...]`.

No outputs, no execution counts, no metadata but the kernel's and the tags of cells; one line of JSON for
each line of source, as Jupyter itself writes it. So a change of a cell is a change of its lines, and of
nothing else. Cells keep their identifiers; give a new cell one that can be read, such as `9-5-one-hot`.

With `--check` nothing is written, and the exit code tells whether there is something to do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def cleaned(text: str) -> str:
    """The notebook with JSON `text` in the form in which it is kept."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.nbformat_minor = 5  # with identifiers of cells
    notebook.metadata = METADATA
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = {"tags": tags} if tags else {}
        cell.source = "\n".join(line.rstrip() for line in cell.source.strip("\n").split("\n"))
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS)
    parser.add_argument("--check", action="store_true", help="write nothing, only tell")
    arguments = parser.parse_args()
    changed = 0
    for path in arguments.notebooks:
        text = path.read_text(encoding="utf-8")
        clean = cleaned(text)
        if clean != text:
            changed += 1
            print(f"{path}: {'not clean' if arguments.check else 'cleaned'}")
            if not arguments.check:
                path.write_text(clean, encoding="utf-8")
    return int(arguments.check and changed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
