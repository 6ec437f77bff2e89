"""Sphinx extension: cells that `merge.py` has given a tab become tabs of sphinx-design.

All sets are in step, on a page and from page to page, and the browser remembers the choice.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from docutils import nodes
from merge import FRAMEWORKS
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx_design.shared import create_component

SYNC_GROUP = "framework"


class CellsToTabs(SphinxTransform):
    """Wraps each run of cells of one tab set, which lie next to each other, in that set."""

    default_priority = 100

    def apply(self, **kwargs: Any) -> None:
        cells = [node for node in self.document.findall(nodes.container) if tab(node)]
        for _, run in groupby(cells, lambda cell: tab(cell)["set"]):
            members = list(run)
            first = members[0]
            where = first.parent.index(first)
            kind = "of-outputs" if not any(map(has_source, members)) else "of-cells"
            tab_set = create_component("tab-set", ["sd-tab-set", kind])
            for cell in members:
                cell.parent.remove(cell)
            first.parent.insert(where, tab_set)
            for framework, own in groupby(members, lambda cell: tab(cell)["of"]):
                tab_set += tab_item(framework, list(own))


def tab(node: nodes.Element) -> dict[str, Any] | None:
    return node.get("cell_metadata", {}).get("tab")


def has_source(cell: nodes.Element) -> bool:
    return any(child.get("nb_element") == "cell_code_source" for child in cell.children)


def tab_item(framework: str, children: list[nodes.Node]) -> nodes.container:
    """What the directive `tab-item` makes."""
    label = nodes.rubric("", FRAMEWORKS[framework], classes=["sd-tab-label"])
    label["sync_id"], label["sync_group"] = framework, SYNC_GROUP
    content = create_component("tab-content", ["sd-tab-content"], children=children)
    item = create_component("tab-item", ["sd-tab-item"], children=[label, content])
    item["selected"] = False
    return item


class DisplayedMath(SphinxPostTransform):
    r"""Leaves formulas to MathJax as they are.

    Sphinx would put those of several lines into a `split`, where MathJax allows no `\tag`.
    """

    default_priority = 100
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for formula in self.document.findall(nodes.math_block):
            formula["no-wrap"] = True
            formula[:] = [nodes.Text(rf"\[{formula.astext()}\]")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(CellsToTabs)
    app.add_post_transform(DisplayedMath)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
