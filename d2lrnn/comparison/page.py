"""`report.html`: the comparison as one page that needs nothing else, and its part for a notebook."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

from d2lrnn.comparison import plots
from d2lrnn.comparison.report import Report


def render(report: Report) -> str:
    """The whole page."""
    return str(_environment().get_template("report.html.jinja").render(report=report))


def fragment(report: Report) -> str:
    """The plots and the tables of figures, for the output of a notebook's cell."""
    return str(_environment().get_template("notebook.html.jinja").render(report=report))


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("d2lrnn.comparison", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "colour": plots.colour,
        "code_colours": _code_colours,
        "data_uri": _data_uri,
    }
    environment.filters["highlighted"] = _highlighted
    return environment


def _data_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def _highlighted(code: str) -> Any:
    """Python source as HTML whose classes `_code_colours` colours."""
    from markupsafe import Markup
    from pygments import highlight  # type: ignore[import-untyped]
    from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

    return Markup(highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)))


def _code_colours(style: str) -> str:
    """The style sheet of a style of Pygments, without its paper."""
    from pygments.formatters import HtmlFormatter

    return "\n".join(HtmlFormatter(style=style).get_token_style_defs("pre"))
