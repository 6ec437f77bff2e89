"""The site: Sphinx builds it from pages beside this file and from what `merge.py` writes.

`nox -s book` is the way to build it. Nothing is executed, no framework is imported, and no page
loads anything from a network.
"""

import importlib.util
import re
import sys
from pathlib import Path

from sphinx.ext.napoleon import GoogleDocstring

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

project = "d2lrnn"
author = "the d2lrnn authors"
copyright = author
init = (ROOT / "d2lrnn" / "__init__.py").read_text(encoding="utf-8")
version = release = re.search(r'__version__ = "(.+)"', init)[1]

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "autoapi.extension",
    "framework_tabs",
    "api_of_frameworks",
]
exclude_patterns = ["**/downloads"]

# Notebooks
nb_execution_mode = "off"
nb_code_prompt_show = "Show how it is set up"
nb_code_prompt_hide = "Hide how it is set up"
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# The API, read from the source
autoapi_dirs = [str(ROOT / "d2lrnn"), str(ROOT / "backends")]
autoapi_generate_api_docs = False  # the pages under api/ say what is shown
autoapi_add_toctree_entry = False
# Names that a backend passes on from its framework, which is not read here.
suppress_warnings = ["autoapi.python_import_resolution"]
autoapi_options = ["members"]
autoapi_python_class_content = "class"
add_module_names = False
autodoc_typehints = "none"
default_role = "literal"
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
toc_object_entries = False

# Pages
html_theme = "furo"
html_title = "d2lrnn"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = False
html_show_sphinx = False

html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5a99", "color-brand-content": "#1f5a99"},
    "dark_css_variables": {"color-brand-primary": "#7db4f0", "color-brand-content": "#7db4f0"},
}

# Formulas: one file, with no fonts beside it, which also a page opened from a disk may load.
mathjax = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
html_static_path.append(str(mathjax / "static" / "mathjax" / "tex-svg.js"))
mathjax_path = "tex-svg.js"
mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "global"}}


def skip_undocumented(app, what, name, obj, skip, options):
    """Attributes and methods of which nobody has said anything are no part of the API."""
    return skip or (obj.type in ("attribute", "data", "method") and not obj.docstring)


texts_of_properties = {}  # name -> lines


def set_aside(app, what, name, obj, options, lines):
    """Read the text of a property like that of a method: a colon in its first line ends no type."""
    if what in ("attribute", "data", "property"):
        text = GoogleDocstring(lines, app.config, app, "method", name, obj, options)
        texts_of_properties[name] = text.lines()


def put_back(app, what, name, obj, options, lines):
    lines[:] = texts_of_properties.pop(name, lines)


def setup(app):
    app.connect("autodoc-skip-member", skip_undocumented)
    app.connect("autodoc-process-docstring", set_aside, priority=400)  # Napoleon comes at 500
    app.connect("autodoc-process-docstring", put_back, priority=600)
