"""Sphinx extension: two directives for what every framework has in its own way.

`of-frameworks:: RNN` documents a class as each backend writes it, of which the page shows one;
`tensor-functions::` lays the backends' `ops.py` side by side. Both read the source; no framework is
imported.
"""

from __future__ import annotations

import ast
from pathlib import Path

from docutils import nodes
from merge import FRAMEWORKS
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BACKENDS = Path(__file__).parent.parent / "backends"


class OfFrameworks(SphinxDirective):
    """`.. of-frameworks:: RNN`, or the name of a function"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        kind, members = ("function", "") if name.islower() else ("class", "         :members:")
        lines = [".. container:: of-frameworks", ""]
        for framework in FRAMEWORKS:
            lines += [
                f"   .. for-framework:: {framework}",
                "",
                f"      .. autoapi{kind}:: d2lrnn_{framework}.{name}",
                members,
                "",
            ]
        return self.parse_text_to_nodes("\n".join(lines))


class TensorFunctions(SphinxDirective):
    """`.. tensor-functions:: arange argmax ...`"""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        columns = {}
        for framework in FRAMEWORKS:
            path = BACKENDS / f"d2lrnn_{framework}" / "ops.py"
            self.env.note_dependency(str(path))
            columns[framework] = definitions(ast.parse(path.read_text(encoding="utf-8")))
        lines = [
            ".. list-table::",
            "   :class: functions",
            "   :header-rows: 1",
            "   :stub-columns: 1",
            "",
        ]
        rows = [["name", *FRAMEWORKS.values()]]
        for name in self.arguments[0].split():
            rows.append([f"``{name}``", *(column.get(name, "") for column in columns.values())])
        for row in rows:
            lines += ["   * - " + "\n     - ".join(row)]
        return self.parse_text_to_nodes("\n".join(lines))


def definitions(module: ast.Module) -> dict[str, str]:
    """What each name of an `ops.py` is, in a few words of reST: `torch.cat`, or what it returns."""
    found = {}
    module = WrittenOut(module).visit(module)
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = f"``{ast.unparse(value)}``"
            case ast.FunctionDef(name=name, body=[*_, ast.Return(value=value)]):
                said = (ast.get_docstring(statement) or "").partition("\n")[0]
                found[name] = said or f"``{ast.unparse(value)}``"
            case ast.FunctionDef(name=name):
                found[name] = (ast.get_docstring(statement) or "").partition("\n")[0]
    return found


class WrittenOut(ast.NodeTransformer):
    """Names that were imported from a package stand with it: `np.exp` is MXNet's `mxnet.np.exp`."""

    def __init__(self, module: ast.Module) -> None:
        self.packages = {
            alias.name: statement.module
            for statement in module.body
            if isinstance(statement, ast.ImportFrom)
            for alias in statement.names
            if alias.asname is None
        }

    def visit_Name(self, name: ast.Name) -> ast.Name:
        package = self.packages.get(name.id)
        return ast.Name(f"{package}.{name.id}") if package else name


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("of-frameworks", OfFrameworks)
    app.add_directive("tensor-functions", TensorFunctions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
