"""Sphinx extension: what is of one framework, and the one switch on a page that chooses among them.

Whatever is of a framework stands in a container `for-framework for-jax`. Neighbouring ones lie in
`of-frameworks`. They are made of the cells to which `merge.py` has given a framework, by the directive
`for-framework`, and by `api_of_frameworks.py`. A page that has any gets the switch at its top, whose
script (`_static/frameworks.js`) shows one framework; without it all are seen, one below the other.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from docutils import nodes
from merge import FRAMEWORKS
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective

CLASS = "for-framework"


class CellsOfFrameworks(SphinxTransform):
    """Wraps each run of cells of one set, which lie next to each other."""

    default_priority = 100

    def apply(self, **kwargs: Any) -> None:
        cells = [node for node in self.document.findall(nodes.container) if of(node)]
        for _, run in groupby(cells, lambda cell: of(cell)["set"]):
            members = list(run)
            kind = "of-cells" if any(map(has_source, members)) else "of-outputs"
            wrapper = nodes.container(classes=["of-frameworks", kind])
            first = members[0]
            first.parent.insert(first.parent.index(first), wrapper)
            for cell in members:
                cell.parent.remove(cell)
            for framework, own in groupby(members, lambda cell: of(cell)["of"]):
                wrapper += for_framework(framework, list(own))


def of(node: nodes.Element) -> dict[str, Any] | None:
    return node.get("cell_metadata", {}).get("tab")


def has_source(cell: nodes.Element) -> bool:
    return any(child.get("nb_element") == "cell_code_source" for child in cell.children)


def for_framework(framework: str, children: list[nodes.Node]) -> nodes.container:
    """What is seen while `framework` is chosen, under its name."""
    name = nodes.paragraph("", FRAMEWORKS[framework], classes=["framework-name"])
    return nodes.container("", name, *children, classes=[CLASS, f"for-{framework}"])


class ForFramework(SphinxDirective):
    """`for-framework:: jax`, and below it what is of that framework"""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        (framework,) = self.arguments
        if framework not in FRAMEWORKS:
            raise self.error(f"Expected one of {', '.join(FRAMEWORKS)}. Received: {framework}.")
        return [for_framework(framework, self.parse_content_to_nodes())]


def add_switch(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Puts the switch above a page that has something of a framework."""
    if CLASS in context.get("body", ""):
        script = context["pathto"]("_static/frameworks.js", 1)
        # Plots of frameworks that are not chosen are not even loaded.
        body = context["body"].replace("<img ", '<img loading="lazy" ')
        context["body"] = SWITCH.format(script=script) + body


CHOICES = "\n".join(
    f'<label><input type="radio" name="framework" value="{name}"{" checked" * (name == "torch")}>'
    f"<span>{label}</span></label>"
    for name, label in FRAMEWORKS.items()
)
# The script stands here, not at the end, so that a page never shows one framework and then another.
SWITCH = f"""<form class="framework-switch" hidden>
<fieldset><legend>Framework</legend>
{CHOICES}
</fieldset>
</form>
<script src="{{script}}"></script>
"""


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(CellsOfFrameworks)
    app.add_directive("for-framework", ForFramework)
    app.connect("html-page-context", add_switch)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
