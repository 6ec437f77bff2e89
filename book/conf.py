"""The site: Sphinx builds it from pages beside this file and from what `merge.py` writes.

`nox -s book` is the way to build it. Nothing is executed, no framework is imported, and no page
loads anything from a network.
"""

import base64
import importlib.util
import re
import shutil
import sys
from html import escape
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
    "sphinx_copybutton",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "autoapi.extension",
    "frameworks",
    "equations",
    "api_of_frameworks",
]
exclude_patterns = ["**/downloads", "report"]

# Notebooks
nb_execution_mode = "off"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
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
toc_object_entries = False

# Pages
html_theme = "furo"
html_title = "d2lrnn"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["book.css", "model.css"]
html_js_files = ["book.js", "model.js"]
html_copy_source = False
html_show_sphinx = False

html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f5a99", "color-brand-content": "#1f5a99"},
    "dark_css_variables": {"color-brand-primary": "#7db4f0", "color-brand-content": "#7db4f0"},
}

# Formulas: what MathJax needs for TeX and no more, since all of it is two megabytes.
mathjax_path = "mathjax/startup.js"
mathjax3_config = {
    "loader": {
        "load": ["core", "input/tex-base", "[tex]/ams", "output/chtml", "a11y/assistive-mml"]
    },
    "tex": {"packages": ["base", "ams"]},
}


USUAL_FONTS = (
    *("Zero", "Main-Regular", "Main-Bold", "Math-Italic", "AMS-Regular", "Calligraphic-Regular"),
    *("Size1-Regular", "Size2-Regular", "Size3-Regular", "Size4-Regular"),
)


def copy_mathjax(app, exception):
    """Put it into the site, its usual fonts inside a script: Firefox lets no page on a disk load any."""
    if exception is not None or app.builder.name != "html":
        return
    package = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent
    whole, ours = package / "static" / "mathjax", Path(app.outdir) / "_static" / "mathjax"
    fonts, names_of_fonts = "output/chtml/fonts/woff-v2", "output/chtml/fonts/tex.js"
    shutil.copytree(whole / fonts, ours / fonts, dirs_exist_ok=True)
    scripts = ("startup.js", "core.js", "input/tex-base.js", "input/tex/extensions/ams.js")
    for name in (*scripts, "output/chtml.js", names_of_fonts, "a11y/assistive-mml.js"):
        (ours / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / name, ours / name)
    script = (ours / names_of_fonts).read_text(encoding="utf-8")
    for font in USUAL_FONTS:
        file = f"MathJax_{font}.woff"
        inside = base64.b64encode((whole / fonts / file).read_bytes()).decode("ascii")
        script = script.replace(f"%%URL%%/{file}", f"data:font/woff;base64,{inside}")
    (ours / names_of_fonts).write_text(script, encoding="utf-8")


def copy_report(app, exception):
    """The report of `d2lrnn compare`, which is a page of its own, beside the pages."""
    report = Path(app.srcdir) / "report" / "report.html"
    if exception is None and app.builder.name == "html":
        (Path(app.outdir) / "report").mkdir(exist_ok=True)
        shutil.copy(report, Path(app.outdir) / "report")


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


def say_that_runs_were_short(app, config):
    """What `merge.py` has found out stands above every page."""
    if (short := Path(app.srcdir) / "short.txt").is_file():
        config.html_theme_options["announcement"] = escape(short.read_text(encoding="utf-8"))


def take_models(app, config):
    """What `merge.py` wrote of the notebooks' models for `_static/model.js` lies beside the pages."""
    if (written := Path(app.srcdir) / "_static").is_dir():
        config.html_static_path.append(str(written))


def setup(app):
    app.connect("config-inited", take_models)
    app.connect("config-inited", say_that_runs_were_short, priority=400)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", copy_report)
    app.connect("autodoc-skip-member", skip_undocumented)
    app.connect("autodoc-process-docstring", set_aside, priority=400)  # Napoleon comes at 500
    app.connect("autodoc-process-docstring", put_back, priority=600)
