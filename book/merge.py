"""One notebook a section, out of the copies that every framework has executed.

    python book/merge.py notebooks build/notebooks build/book/source --backends torch,jax

writes into `build/book/source/chapter-9` and so on.

A cell of all frameworks keeps its place and, where they all printed the same, its output; otherwise
its outputs follow it, one for each framework. Neighbouring cells of single frameworks become one set,
too, of which the page shows the chosen framework's. What belongs to which stands in a cell's metadata,
`{"tab": {"set": 3, "of": "jax"}}`; `frameworks.py` draws them. Cells with the tag `remove-cell` check
what the page says, and are not seen on it.

Beside the pages it writes the notebooks to download, of all frameworks and of each alone; the table of
sections and frameworks (`matrix.html`); and, where some copy is of a short run, `short.txt`, upon which
every page of the site says so. Nothing is executed here.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import re
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import page_models

from d2lrnn.lesson import code, frameworks_of, lesson, tags, text, without_magic

Cell = dict[str, Any]
Notebook = dict[str, Any]
Output = dict[str, Any]

FRAMEWORKS = {"torch": "PyTorch", "jax": "JAX", "mxnet": "MXNet", "tensorflow": "TensorFlow"}
ALL = frozenset(FRAMEWORKS)
SETUP = "%load_ext d2lrnn.tab"  # in the cell that installs what is missing
DOWNLOADS = "downloads"  # where, beside the pages, the notebooks lie as they are
SHORT = (
    "This site is made of short runs: models were trained for fewer epochs than the cells say, so "
    "figures and texts are not those of a training in full."
)


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
    cell["source"] = without_magic(cell)
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
            cell = {**copy.deepcopy(cell), "source": without_magic(cell)}
            missing = not_run() if cell["id"] == own[-1]["id"] else []
            shown = outputs[framework][cell["id"]] if framework in outputs else missing
            yield in_tab(with_outputs(cell, shown, framework), tab_set, framework)
        if not own:
            empty = with_outputs(
                code(run[0]["id"], ""), note(f"{FRAMEWORKS[framework]} needs no cell of its own.")
            )
            yield tagged(in_tab(empty, tab_set, framework), "remove-input")


# Cells and outputs ------------------------------------------------------------------------------


def is_quick(notebook: Notebook) -> bool:
    """Whether it was executed with fewer epochs than it says."""
    return bool(notebook["metadata"].get("d2lrnn", {}).get("quick"))


def code_cells(notebook: Notebook) -> Iterable[Cell]:
    return (cell for cell in notebook["cells"] if cell["cell_type"] == "code")


def sources(notebook: Notebook) -> list[tuple[str, str]]:
    """What was, or is to be, executed: the code cells by their ids."""
    return [(cell["id"], text(cell)) for cell in code_cells(notebook)]


def frameworks(cell: Cell) -> frozenset[str]:
    names = frameworks_of(cell)
    return ALL if names is None else names


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


# Around the page --------------------------------------------------------------------------------


def with_links(page: Notebook, path: Path, executed: Mapping[str, Notebook]) -> Notebook:
    """The page with a line below its first text: how long it runs, and where its notebook is to be had."""
    first, *others = page["cells"]
    parts = [for_each({f: f"Runs in {spoken(s)} on {FRAMEWORKS[f]}" for f, s in times(executed)})]
    alone = {f: download(f"for {FRAMEWORKS[f]}", f"{f}/{path.name}") for f in FRAMEWORKS}
    parts += [f"Notebook {for_each(alone)} or {download('for all four', path.name)}"]
    if repository := project_urls().get("Source"):
        if found := re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)/?", repository):
            colab = f"https://colab.research.google.com/github/{found[1]}/blob/main/notebooks"
            parts += [f"[Open in Colab]({colab}/{path.name})"]
        parts += [f"[Source]({repository.rstrip('/')}/blob/main/notebooks/{path.name})"]
    line = " \N{MIDDLE DOT} ".join(part for part in parts if part)
    source = text(first) + f"\n\n:::{{container}} lesson\n{line}\n:::"
    return {**page, "cells": [{**first, "source": source}, *others]}


def download(words: str, file: str) -> str:
    return f"{{download}}`{words} <{DOWNLOADS}/{file}>`"


def for_each(words: Mapping[str, str]) -> str:
    """Markdown of which the page shows what is of the chosen framework."""
    spans = [f'<span class="for-framework for-{f}">{said}</span>' for f, said in words.items()]
    return "".join(spans)


def times(executed: Mapping[str, Notebook]) -> Iterator[tuple[str, float]]:
    """How many seconds the frameworks took over a notebook, those that executed it in full."""
    for framework in FRAMEWORKS:
        about = executed.get(framework, {}).get("metadata", {}).get("d2lrnn", {})
        if "seconds" in about and not about.get("quick"):
            yield framework, about["seconds"]


def spoken(seconds: float) -> str:
    """How long that is, as one says it: half a minute, a minute, 12 minutes."""
    if seconds < 45:
        return "half a minute" if seconds > 20 else "a few seconds"
    minutes = round(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def project_urls() -> dict[str, str]:
    """Where the project can be found, as `pyproject.toml` tells."""
    written = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(written)["project"].get("urls", {})


def matrix(sections: Mapping[Path, tuple[Notebook, Mapping[str, Notebook]]]) -> str:
    """Sections and frameworks as a table of HTML, each field a link to the page on that framework."""
    columns = "".join(f'<th scope="col">{label}</th>' for label in FRAMEWORKS.values())
    rows = []
    for path, (source, executed) in sections.items():
        page = f"{chapter(path)}/{path.stem}.html"
        title = escape(text(source["cells"][0]).partition("\n")[0].lstrip("# "))
        took = dict(times(executed))
        fields = []
        for framework, label in FRAMEWORKS.items():
            if framework not in executed:
                fields.append("<td>not executed</td>")
                continue
            said = "short run" if is_quick(executed[framework]) else "read"
            said = spoken(took[framework]) if framework in took else said
            whole = f'aria-label="{title} on {label}: {said}"'
            fields.append(f'<td><a href="{page}?framework={framework}" {whole}>{said}</a></td>')
        rows.append(f'<tr><th scope="row"><a href="{page}">{title}</a></th>{"".join(fields)}</tr>')
    return (
        '<div class="table-wrapper"><table class="docutils matrix">\n'
        f'<thead><tr><th scope="col">section</th>{columns}</tr></thead>\n'
        f"<tbody>{chr(10).join(rows)}</tbody>\n</table></div>\n"
    )


def chapter(path: Path) -> str:
    return f"chapter-{path.name.partition('.')[0]}"


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


def number(path: Path) -> tuple[int, ...]:
    """9.7 comes before 10.1."""
    return tuple(int(part) for part in path.name.partition("-")[0].split("."))


def write(path: Path, notebook: Notebook) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1), encoding="utf-8")


def write_around(
    output: Path,
    notebooks: Path,
    sections: Mapping[Path, tuple[Notebook, Mapping[str, Notebook]]],
) -> None:
    """What is beside the pages: figures, models, the table of the first page, and whether runs were short."""
    output.mkdir(parents=True, exist_ok=True)
    for source, copies in sections.values():
        page_models.write(source, copies, list(FRAMEWORKS), output / "_static" / "models")
    (output / "matrix.html").write_text(matrix(sections), encoding="utf-8")
    if any(is_quick(copy) for _, copies in sections.values() for copy in copies.values()):
        (output / "short.txt").write_text(SHORT, encoding="utf-8")
    if (figures := notebooks / "figures").is_dir():
        for folder in output.glob("chapter-*"):
            shutil.copytree(figures, folder / "figures", dirs_exist_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebooks", type=Path, help="where the notebooks lie")
    parser.add_argument("executed", type=Path, help="where <backend>/ holds its executed copies")
    parser.add_argument("output", type=Path, help="where the merged ones go")
    parser.add_argument("--backends", default=",".join(FRAMEWORKS), help="those executed")
    parser.add_argument("--check", action="store_true", help="write nothing, only say what lacks")
    options = parser.parse_args()
    sections = {}
    try:
        for path in sorted(options.notebooks.glob("*.ipynb"), key=number):
            copies = executed_copies(path, options.executed, options.backends.split(","))
            source = read(path)
            page = with_links(merge(source, copies, path.name), path, copies)
            sections[path] = (source, copies)
            if options.check:
                continue
            folder = options.output / chapter(path)
            write(folder / path.name, page)
            write(folder / DOWNLOADS / path.name, source)
            for framework in FRAMEWORKS:
                write(folder / DOWNLOADS / framework / path.name, lesson(source, framework))
        if not options.check:
            write_around(options.output, options.notebooks, sections)
    except CopyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
