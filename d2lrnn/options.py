"""What the options of the command line are made of: their types, their help, and how errors name them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from d2lrnn import backend
from d2lrnn.arguments import ARGUMENTS, Flag, OneOf, Rule
from d2lrnn.errors import BackendError, UserError
from d2lrnn.models import MODELS

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def in_options(message: str, command: click.Command) -> str:
    """`message`, with the options of `command` in place of Python's arguments: lr=1 is --lr 1."""
    for param in command.params:
        typed = param.opts[0]
        name = typed.removeprefix("--").replace("-", "_")
        if name == typed:
            continue  # it is no option
        message = re.sub(rf"(?<![\w.-]){name}=(?=\S)", f"{typed} ", message)
        if "_" in name or name == "lr":  # the others are words of English, too
            message = re.sub(rf"(?<![\w./'\"-]){name}(?![\w./(=])", typed, message)
    return message


class Command(click.Command):
    """A command whose errors name its options."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            error.args = (in_options(str(error), self),)
            raise


class Sections(Command):
    """A command whose help lists its options under headings; `section` of an option names its own."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(param, "section", "Other"), []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


class SectionOption(click.Option):
    def __init__(self, *args: Any, section: str = "Other", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def option(section: str, *names: str, **settings: Any) -> Callable[[Decorated], Decorated]:
    """An option under the heading `section` of a command's help."""
    return click.option(*names, cls=SectionOption, section=section, **settings)


def argument(section: str, name: str, **settings: Any) -> Callable[[Decorated], Decorated]:
    """The option of the argument `name`, as the table of arguments has it."""
    return option(section, f"--{name.replace('_', '-')}", **of_table(name, **settings))


def backend_option(default_told: str, what: str = "Framework") -> dict[str, Any]:
    """The settings of an option that names a backend, for what `what` says."""

    def announced(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        if value is not None:
            try:
                backend.entry_point(value)
            except BackendError as error:
                raise click.BadParameter(str(error)) from error
        return value

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in backend.found() if name.startswith(begun)]

    names = "torch, jax, tensorflow, mxnet, or one of another package"
    text = f"{what}: {names}.  [default: {default_told}]"
    return {"metavar": "NAME", "callback": announced, "shell_complete": complete, "help": text}


def of_table(
    name: str, more: str = "", default_told: str | None = None, **settings: Any
) -> dict[str, Any]:
    """The settings of an option, from the table of arguments.

    Args:
        name: of the argument.
        more: what is added to its help.
        default_told: what the help says of the default, if that depends on other options.
    """
    row, default = ARGUMENTS[name], settings.get("default")
    if default_told is None and default is not None:
        default_told = f"{default:g}" if isinstance(default, float) else str(default)
        of_others = [(m, row.defaults[name]) for m, row in MODELS.items() if name in row.defaults]
        default_told += "".join(f"; {m}: {value}" for m, value in of_others)
    told = "" if default_told is None else f"  [default: {default_told}]"
    settings = {"help": row.help + more + told, **settings}
    if isinstance(row.rule, Flag):
        return {"is_flag": True, **settings}
    if isinstance(row.rule, OneOf):
        return {"type": click.Choice(row.rule.choices), **settings}
    return {"type": Typed(row.rule), "metavar": "NUMBER", **settings}


class Typed(click.ParamType):  # type: ignore[type-arg]
    """What may be typed for an argument of this rule."""

    name = "number"

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            read = self.rule.read(value) if isinstance(value, str) else value
        except ValueError:
            read = value
        if not self.rule.accepts(read):
            self.fail(f"expected {self.rule}. Received: {value}", param, ctx)
        return self.rule.plain(read)


FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)  # which the shell completes
