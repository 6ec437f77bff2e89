"""One notebook a section, out of the copies that every framework has executed.

    python book/merge.py notebooks build/notebooks build/book/source --backends torch,jax

writes into `build/book/source/chapter-9` and so on.

A cell of all frameworks keeps its place and, where they all printed the same, its output; otherwise
its outputs follow it, a tab for each framework. Neighbouring cells of single frameworks become tabs,
too. Which cell belongs into which tab stands in its metadata, `{"tab": {"set": 3, "of": "jax"}}`;
`framework_tabs.py` draws them. Cells with the tag `remove-cell` check what the page says, and are not
seen on it. A page of short runs says so. Nothing is executed here.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
Notebook = dict[str, Any]
Output = dict[str, Any]

FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX", "mxnet": "MXNet", "tensorflow": "TensorFlow"}
ALL = frozenset(FRAMEWORKS)
SETUP = "%load_ext d2lrnn.tab"  # in the cell that installs what is missing
DOWNLOADS = "downloads"  # where, beside the pages, the notebooks lie as they are
SHORT = """:::{warning}
This page is of a short run: its models were trained for fewer epochs than its cells say, so figures and
texts are not those of a training in full.
:::"""
MAGIC = re.compile(r"%%tab\b(.*)\n?")


class CopyError(Exception):
    """An executed copy cannot be used; the message says which, why, and how to get a new one."""


def merge(source: Notebook, executed: Mapping[str, Notebook], name: str = "notebook") -> Notebook:
    """The page of a section.

    Args:
        source: the notebook as it stands in `notebooks/`, without outputs.
        executed: its copy with outputs, by framework. A framework that has none here is marked.
        name: what errors call it.

    Raises:
        CopyError: a copy was made from another version of the source, was not executed to its end,
            or stopped at an error.
    """
    outputs = {
        framework: outputs_by_id(source, notebook, f"the copy of {name} that {framework} executed")
        for framework, notebook in executed.items()
    }
    tab_sets = itertools.count()
    cells: list[Cell] = []
    seen = [cell for cell in source["cells"] if "remove-cell" not in tags(cell)]
    for belongs_to_some, run in itertools.groupby(seen, is_of_some_frameworks):
        if belongs_to_some:
            cells += tabs_of_cells(list(run), outputs, next(tab_sets))
        else:
            for cell in run:
                cells += common(cell, outputs, tab_sets)
    if any(is_quick(notebook) for notebook in executed.values()):
        cells.insert(1, {"cell_type": "markdown", "id": "quick", "metadata": {}, "source": SHORT})
    return {**source, "cells": cells}


def outputs_by_id(source: Notebook, notebook: Notebook, what: str) -> dict[str, list[Output]]:
    """The outputs of an executed copy, by the id of the cell; without what went to stderr."""
    again = "Execute it anew: nox -s book does."
    if sources(source) != sources(notebook):
        raise CopyError(f"{what} is of another version of the notebook. {again}")
    found = {}
    for cell in code_cells(notebook):
        left_out = is_quick(notebook) and "in-full" in tags(cell)
        if text(cell).strip() and cell.get("execution_count") is None and not left_out:
            raise CopyError(f"{what} ends before the cell {cell['id']}. {again}")
        found[cell["id"]] = joined(o for o in cell["outputs"] if o.get("name") != "stderr")
        if "raises-exception" not in tags(cell):
            for output in found[cell["id"]]:
                if output["output_type"] == "error":
                    error = f"{output['ename']}: {output['evalue']}"
                    raise CopyError(f"{what} stops at the cell {cell['id']} with {error}")
    return found


def common(
    cell: Cell, outputs: Mapping[str, Mapping[str, list[Output]]], tab_sets: Iterator[int]
) -> Iterator[Cell]:
    """A cell of all frameworks, and what it printed: once, or a tab for each of them."""
    cell = copy.deepcopy(cell)
    if cell["cell_type"] != "code":
        yield cell
        return
    cell["source"] = MAGIC.sub("", text(cell), count=1) if MAGIC.match(text(cell)) else text(cell)
    if SETUP in cell["source"]:
        yield tagged(cell, "hide-input")
        return
    printed = {framework: found[cell["id"]] for framework, found in outputs.items()}
    different = {json.dumps(comparable(one), sort_keys=True) for one in printed.values()}
    if different <= {"[]"} or (len(different) == 1 and printed.keys() == ALL):
        yield with_outputs(cell, next(iter(printed.values()), []))
        return
    yield with_outputs(cell, [])
    tab_set = next(tab_sets)
    for framework in FRAMEWORKS:
        shown = printed.get(framework, not_run()) or note("No output.")
        one = in_tab(with_outputs(cell, shown, framework), tab_set, framework)
        yield tagged(one, "remove-input")


def tabs_of_cells(
    run: list[Cell], outputs: Mapping[str, Mapping[str, list[Output]]], tab_set: int
) -> Iterator[Cell]:
    """Neighbouring cells of some frameworks, in tabs that each framework has."""
    for framework in FRAMEWORKS:
        own = [cell for cell in run if framework in frameworks(cell)]
        for cell in own:
            cell = {**copy.deepcopy(cell), "source": MAGIC.sub("", text(cell), count=1)}
            missing = not_run() if cell["id"] == own[-1]["id"] else []
            shown = outputs[framework][cell["id"]] if framework in outputs else missing
            yield in_tab(with_outputs(cell, shown, framework), tab_set, framework)
        if not own:
            empty = {"cell_type": "code", "id": run[0]["id"], "metadata": {}, "source": ""}
            empty = with_outputs(empty, note(f"{FRAMEWORKS[framework]} needs no cell of its own."))
            yield tagged(in_tab(empty, tab_set, framework), "remove-input")


# Cells and outputs ------------------------------------------------------------------------------


def text(cell: Cell) -> str:
    """The source of a cell, which may be stored as a list of lines."""
    return "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    return cell["metadata"].get("tags", [])


def is_quick(notebook: Notebook) -> bool:
    """Whether it was executed with fewer epochs than it says."""
    return bool(notebook["metadata"].get("d2lrnn", {}).get("quick"))


def code_cells(notebook: Notebook) -> Iterable[Cell]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


def sources(notebook: Notebook) -> list[tuple[str, str]]:
    """What was, or is to be, executed: the code cells by their ids."""
    return [(cell["id"], text(cell)) for cell in code_cells(notebook)]


def frameworks(cell: Cell) -> frozenset[str]:
    """For which frameworks a cell is: what follows its `%%tab`."""
    magic = MAGIC.match(text(cell)) if cell["cell_type"] == "code" else None
    names = frozenset(re.split(r"[,\s]+", magic[1].strip(" ,"))) if magic else {"all"}
    return ALL if "all" in names else frozenset(names)


def is_of_some_frameworks(cell: Cell) -> bool:
    return frameworks(cell) != ALL


def with_outputs(cell: Cell, outputs: list[Output], framework: str | None = None) -> Cell:
    """The cell with these outputs; a plot among them is described for who cannot see it."""
    metadata = dict(cell["metadata"])
    if described := plotted(outputs):
        where = f" on {FRAMEWORKS[framework]}" if framework else ""
        metadata["mystnb"] = {"image": {"alt": f"Plot{where}: {described}"}}
    return {**cell, "metadata": metadata, "outputs": outputs, "execution_count": None}


def in_tab(cell: Cell, tab_set: int, framework: str) -> Cell:
    metadata = {**cell["metadata"], "tab": {"set": tab_set, "of": framework}}
    return {**cell, "id": f"{cell['id']}-{framework}", "metadata": metadata}


def tagged(cell: Cell, tag: str) -> Cell:
    return {**cell, "metadata": {**cell["metadata"], "tags": [*tags(cell), tag]}}


def joined(outputs: Iterable[Output]) -> list[Output]:
    """What was printed in one go: a kernel sends it in as many pieces as it likes."""
    whole: list[Output] = []
    for output in outputs:
        is_printed = output["output_type"] == "stream"
        if is_printed and whole and whole[-1]["output_type"] == "stream":
            before, after = ("".join(one["text"]) for one in (whole[-1], output))
            whole[-1] = {**output, "text": before + after}
        else:
            whole.append(output)
    return whole


def note(words: str) -> list[Output]:
    data = {"text/html": f'<p class="note">{words}</p>', "text/plain": words}
    return [{"output_type": "display_data", "data": data, "metadata": {}}]


def not_run() -> list[Output]:
    return note("Not executed when this site was built.")


def comparable(outputs: list[Output]) -> list[Output]:
    """Outputs without what differs each time: counts, the dates of plots, and the ids in them."""
    plain = copy.deepcopy(outputs)
    for output in plain:
        output.pop("execution_count", None)
        data = output.get("data", {})
        if svg := "".join(data.get("image/svg+xml", "")):
            data["image/svg+xml"] = re.sub(
                r'<dc:date>.*?</dc:date>|(?<=[#"])[mp][0-9a-f]{10}\b', "", svg
            )
    return plain


def plotted(outputs: list[Output]) -> str:
    """The words that stand in the plots: names of axes and lines, not the numbers at the ticks."""
    words = []
    for output in outputs:
        svg = "".join(output.get("data", {}).get("image/svg+xml", ""))
        for comment, element in re.findall(r"<!-- (.+?) -->|<text[^>]*>([^<]+)<", svg):
            word = comment or element
            if (
                not re.fullmatch(r"[-\u2212\d.,]+|\$\\mathdefault\{.*\}\$", word)
                and word not in words
            ):
                words.append(word)
    return ", ".join(words)


def with_download(notebook: Notebook, name: str) -> Notebook:
    """The page with a link, below its first text, to the notebook that it is made of."""
    first, *others = notebook["cells"]
    link = f"\n\n{{download}}`Download the notebook <{DOWNLOADS}/{name}>` to work along in Jupyter."
    return {**notebook, "cells": [{**first, "source": text(first) + link}, *others]}


# The command ------------------------------------------------------------------------------------


def read(path: Path) -> Notebook:
    return json.loads(path.read_text(encoding="utf-8"))


def executed_copies(path: Path, folder: Path, backends: Iterable[str]) -> dict[str, Notebook]:
    """The copies of the notebook `path` that lie in `folder/<backend>/`.

    Raises:
        CopyError: a backend has none.
    """
    copies = {}
    for backend in backends:
        if not (found := folder / backend / path.name).exists():
            raise CopyError(f"{backend} has not executed {path.name}: there is no {found}.")
        copies[backend] = read(found)
    return copies


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebooks", type=Path, help="where the notebooks lie")
    parser.add_argument("executed", type=Path, help="where <backend>/ holds its executed copies")
    parser.add_argument("output", type=Path, help="where the merged ones go")
    parser.add_argument("--backends", default=",".join(FRAMEWORKS), help="those executed")
    parser.add_argument("--check", action="store_true", help="write nothing, only say what lacks")
    options = parser.parse_args()
    try:
        for path in sorted(options.notebooks.glob("*.ipynb")):
            copies = executed_copies(path, options.executed, options.backends.split(","))
            merged = with_download(merge(read(path), copies, path.name), path.name)
            if options.check:
                continue
            chapter = options.output / f"chapter-{path.name.partition('.')[0]}"
            (chapter / DOWNLOADS).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, chapter / DOWNLOADS)
            written = json.dumps(merged, ensure_ascii=False, indent=1)
            (chapter / path.name).write_text(written, encoding="utf-8")
        if not options.check and (figures := options.notebooks / "figures").is_dir():
            for chapter in options.output.glob("chapter-*"):
                shutil.copytree(figures, chapter / "figures", dirs_exist_ok=True)
    except CopyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
