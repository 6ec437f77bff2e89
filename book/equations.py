r"""Sphinx extension: equations by their numbers.

A formula with `\tag{9.4.5}` can be linked to, and wherever the text of any page says (9.4.5) it is a
link. So the text is written as in a book, with no names for equations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

TAG = re.compile(r"\\tag\{(\d+(?:\.\d+)+)\}")
NUMBER = re.compile(r"\((\d+\.\d+\.\d+)\)")
NO_LINKS_IN = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.reference)

logger = logging.getLogger(__name__)


def equations(env: BuildEnvironment) -> dict[str, str]:
    """The pages on which equations stand, by number."""
    if not hasattr(env, "d2lrnn_equations"):
        env.d2lrnn_equations = {}
    return env.d2lrnn_equations


def anchor(number: str) -> str:
    return f"equation-{number.replace('.', '-')}"


class FindEquations(SphinxTransform):
    """Puts an anchor before a formula with a number, or one for each of several."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        known = equations(self.env)
        for formula in list(self.document.findall(nodes.math_block)):
            for number in TAG.findall(formula.astext()):
                if number in known:
                    logger.warning("There are two equations (%s).", number, location=formula)
                known[number] = self.env.docname
                place = nodes.target(ids=[anchor(number)])
                formula.parent.insert(formula.parent.index(formula), place)


class LinkEquations(SphinxPostTransform):
    """Makes links of the numbers that the text of a page names."""

    default_priority = 20
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        known = equations(self.env)
        for text in list(self.document.findall(nodes.Text)):
            inside = any(isinstance(one, NO_LINKS_IN) for one in parents(text))
            if NUMBER.search(text) and not inside:
                text.parent.replace(text, list(self.linked(text, known)))

    def linked(self, text: nodes.Text, known: dict[str, str]) -> Iterable[nodes.Node]:
        # The pieces between the matches, and the numbers that were matched, in turn.
        for i, piece in enumerate(NUMBER.split(text.astext())):
            if i % 2 == 0:
                yield nodes.Text(piece)
            elif piece in known:
                here, there = self.env.docname, known[piece]
                label = nodes.Text(f"({piece})")
                yield make_refnode(self.app.builder, here, there, anchor(piece), label)
            else:
                yield nodes.Text(f"({piece})")


def parents(node: nodes.Node) -> Iterable[nodes.Node]:
    while node.parent is not None:
        node = node.parent
        yield node


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


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    known = equations(env)
    for number in [number for number, page in known.items() if page == docname]:
        del known[number]


def merge_info(app: Sphinx, env: BuildEnvironment, docnames: Any, other: BuildEnvironment) -> None:
    equations(env).update(equations(other))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(FindEquations)
    app.add_post_transform(LinkEquations)
    app.add_post_transform(DisplayedMath)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge_info)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
