"""The command line: `d2lrnn train`, `generate`, `translate`, `models`, `doctor`, `compare`, `notebooks`.

Exit codes: 0, 1 for a failure in use, 2 for a wrong usage, 130 for Ctrl-C. What is heavy is imported
by the command that needs it, so that `--help` comes at once.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from d2lrnn import __version__, backend, shell
from d2lrnn.arguments import ARGUMENTS, Flag, OneOf, Rule
from d2lrnn.errors import BackendError, UserError
from d2lrnn.models import MODELS
from d2lrnn.notebooks import notebooks

if TYPE_CHECKING:
    from d2lrnn.run import Run

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None, command: click.Command | None = None) -> int:
    """Run the command line, or one command with its rules, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a text may have letters that the terminal lacks
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with warnings.catch_warnings():
        warnings.showwarning = _show_note  # type: ignore[assignment]
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # what frameworks tell programmers
            warnings.simplefilter("once", UserWarning)
        try:
            program, name = (command, None) if command else (cli, shell.d2lrnn())
            return int(program.main(arguments, prog_name=name, standalone_mode=False) or 0)
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except UserError as error:
            click.echo(f"Error: {error}", err=True)
            return 1
        except (KeyboardInterrupt, click.Abort):
            return INTERRUPTED


def _show_note(message: Warning | str, *_: Any) -> None:
    ctx = click.get_current_context(silent=True)
    click.echo(f"Note: {in_options(str(message), ctx.command) if ctx else message}", err=True)


def in_options(message: str, command: click.Command) -> str:
    """`message`, with the options of `command` in place of Python's arguments: lr=1 is --lr 1."""
    for param in command.params:
        option = param.opts[0]
        name = option.removeprefix("--").replace("-", "_")
        if name == option:
            continue  # it is no option
        message = re.sub(rf"(?<![\w.-]){name}=(?=\S)", f"{option} ", message)
        if "_" in name or name == "lr":  # the others are words of English, too
            message = re.sub(rf"(?<![\w./'\"-]){name}(?![\w./(=])", option, message)
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


def _option(section: str, *names: str, **settings: Any) -> Callable[[Decorated], Decorated]:
    settings.setdefault("show_default", settings.get("default") is not None)
    return click.option(*names, cls=SectionOption, section=section, **settings)


def _argument(section: str, name: str, **settings: Any) -> Callable[[Decorated], Decorated]:
    """The option of the argument `name`, as the table of arguments has it, or a flag."""
    settings = _of_table(name, **settings)
    return _option(section, f"--{name.replace('_', '-')}", **settings)


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


def _of_table(name: str, more: str = "", **settings: Any) -> dict[str, Any]:
    """The type and the help of an option, from the table of arguments; `more` is added to its help."""
    argument = ARGUMENTS[name]
    settings = {"help": argument.help + more, **settings}
    if isinstance(argument.rule, Flag):
        return {"is_flag": True, **settings}
    if isinstance(argument.rule, OneOf):
        return {"type": click.Choice(argument.rule.choices), **settings}
    return {"type": Typed(argument.rule), "metavar": "NUMBER", **settings}


def _announced(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            backend.entry_point(value)
        except BackendError as error:
            raise click.BadParameter(str(error)) from error
    return value


FILE = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)  # which the shell completes

MODEL, DATA, TRAINING, OUTPUT = "The model", "The data", "The training", "What is kept and shown"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="d2lrnn")
def cli() -> None:
    """Recurrent networks of "Dive into Deep Learning", the same on every framework.

    Train the character-level language model of section 9.6 on The Time Machine, then let it write:

    \b
      d2lrnn train
      d2lrnn generate runs/NAME --prefix "it has"

    The framework is the one that --backend or else the environment variable D2LRNN_BACKEND names,
    by default the first installed. `d2lrnn doctor` tells what is installed and how to add more.
    """


@cli.command(cls=Sections)
@_option(
    MODEL,
    "--backend",
    "backend_name",
    metavar="NAME",
    callback=_announced,
    help="Framework: torch, jax, tensorflow, mxnet, or one of another package. Default: "
    "D2LRNN_BACKEND, else the first installed.",
)
@_option(
    MODEL,
    "--model",
    type=click.Choice(list(MODELS)),
    default=next(iter(MODELS)),
    help="; ".join(f"{name}: {m.title} (section {m.section})" for name, m in MODELS.items()) + ".",
)
@_argument(MODEL, "num_hiddens", default=32)
@_argument(MODEL, "num_layers", more="  [default: 1; deep-scratch: 2]")
@_argument(MODEL, "dropout", more="  [default: 0]")
@_argument(MODEL, "activation", more="  [default: tanh]")
@_argument(MODEL, "sigma", more="  [default: 0.01]")
@_argument(MODEL, "embed_size", more="  [default: 256]")
@_option(
    MODEL,
    "--attention",
    is_flag=True,
    default=None,
    help="Let the decoder attend to the source (section 11.4); only with --model seq2seq.",
)
@_option(
    MODEL,
    "--weights",
    type=FILE,
    metavar="FILE",
    help="Start from these weights (safetensors, of a model of the same sizes, from any backend) "
    "instead of random ones.",
)
@_option(
    DATA,
    "--text",
    type=FILE,
    metavar="FILE",
    help="A text of your own, in UTF-8, instead of The Time Machine: the whole of it. It is read in lower "
    "case, and as letters and spaces alone, those of any script; see --keep-case and --keep-punctuation.",
)
@_option(
    DATA,
    "--pairs",
    type=FILE,
    metavar="FILE",
    help="Sentences and translations of your own, in UTF-8, a pair a line with a tab between, instead of the "
    "book's English and French; only with --model seq2seq.",
)
@_argument(DATA, "keep_case")
@_argument(DATA, "keep_punctuation")
@_argument(DATA, "tokens", default="char")
@_argument(DATA, "min_freq", default=0)
@_argument(DATA, "num_steps", default=32)
@_argument(DATA, "batch_size", default=1024, show_default="1024; fewer of a short --text")
@_argument(DATA, "num_train", default=10000, show_default="10000; of --text 90 %")
@_argument(DATA, "num_val", default=5000, show_default="5000; of --text 10 %")
@_argument(TRAINING, "max_epochs", default=100)
@_argument(TRAINING, "lr", default=1.0)
@_argument(TRAINING, "gradient_clip_val", default=1.0)
@_argument(TRAINING, "num_gpus", default=1, show_default="1 if there is one, else 0")
@_argument(TRAINING, "devices", default=1)
@_argument(TRAINING, "seed", default=0)
@_argument(TRAINING, "patience", default=0)
@_option(
    TRAINING,
    "--resume",
    type=FILE,
    metavar="DIR",
    help="Finish the run in DIR, ended in any way and at any moment: from its last checkpoint up to "
    "--max-epochs. All that makes the training is taken from it. With --run it goes on in a new run, with "
    "--backend too on another framework.",
)
@_option(
    OUTPUT,
    "--prefix",
    "prefixes",
    metavar="TEXT",
    multiple=True,
    help="Text to continue, or sentence to translate, before and after training; may be given several "
    "times.  [default: it has; of --text its first words]",
)
@_argument(OUTPUT, "num_preds", default=20)
@_option(
    OUTPUT,
    "--run",
    "run_path",
    type=FILE,
    metavar="DIR",
    help="The folder to write; it must not exist.  [default: runs/BACKEND-DATE-TIME]",
)
@_argument(OUTPUT, "checkpoint_every", default=1)
@_argument(OUTPUT, "keep", default=1)
def train(
    backend_name: str | None,
    run_path: Path | None,
    resume: Path | None,
    prefixes: tuple[str, ...],
    num_preds: int,
    **options: Any,
) -> int:
    """Train a language model, or one that translates, and keep the run.

    With no options this is section 9.6: minibatches of 1024 windows of 32 characters of The Time
    Machine, a hidden state of size 32, 100 epochs of SGD at learning rate 1, gradients clipped to
    norm 1. Its perplexity falls to about 5.8 in training and 7.2 in validation (a model that knows
    nothing has 28, the size of the vocabulary).

    `--model seq2seq` is section 10.7, with --attention section 11.4: English sentences and their French
    translations, 512 pairs, 30 epochs of Adam at learning rate 0.005, 256 hidden units in each of two layers.

    The run is a folder: config.json, history.json (losses in nats per token, perplexities, seconds
    an epoch), weights.safetensors, perplexity.svg and .png, samples.json, vocab.json, versions.json
    and a checkpoint. Ctrl-C, and SIGTERM, end the training early and keep what was learned.
    """
    from d2lrnn.run import Run
    from d2lrnn.training import Training

    ctx = click.get_current_context()
    given = _given(ctx)
    earlier = None
    if resume is not None:
        earlier = Run.open(resume, unfinished=True)
        options = _options_of(earlier, ctx, options)
        backend_name = backend_name or earlier.backend
        kept = earlier.config["options"]
        num_preds = num_preds if "num_preds" in given else kept.get("num_preds", num_preds)
        prefixes = prefixes if "prefixes" in given else tuple(kept.get("prefix", prefixes))
    else:
        options = complete(with_defaults(ctx, options))
        if options["devices"] > 1 and "num_gpus" not in given:
            options["num_gpus"] = 0
    if backend_name is not None:
        backend.select(backend_name)
    if options["num_gpus"] and "num_gpus" not in given and not backend.active().num_gpus():
        options["num_gpus"] = 0  # of what nobody asked for nothing is said
    with_prefixes = prefixes if "prefixes" in given or earlier is not None else None
    training = Training(options, with_prefixes, num_preds, run_path, earlier)
    try:
        return int(training.trainer.diverged) if training.carry_out() else INTERRUPTED
    except KeyboardInterrupt:
        click.echo(training.how_to_go_on, err=True)
        return INTERRUPTED


def with_defaults(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """`options`, with the defaults of the model in place of what was not given."""
    model, given = MODELS[options["model"]], _given(ctx)
    of_texts = ("text", "tokens", "min_freq", "num_preds", "keep_case", "keep_punctuation")
    for name in of_texts if model.translates else ("pairs",):
        if name in given:
            takers = [m for m, row in MODELS.items() if row.translates != model.translates]
            raise _without_effect(name, takers, options)
    defaults = dict(model.defaults)
    if options["text"] is not None:  # the whole of it, in minibatches that fit
        sizes = ("num_train", "num_val", "batch_size")
        defaults |= dict.fromkeys(sizes)
    return {**options, **{name: v for name, v in defaults.items() if name not in given}}


def _given(ctx: click.Context) -> set[str]:
    """The names of the options that were typed."""
    return {p for p in ctx.params if ctx.get_parameter_source(p) is ParameterSource.COMMANDLINE}


def _without_effect(name: str, takers: Iterable[str], options: dict[str, Any]) -> click.UsageError:
    models = " or ".join(f"--model {taker}" for taker in takers)
    return click.UsageError(
        f"--{name.replace('_', '-')} has an effect only with {models}: --model {options['model']} does not "
        "take it."
    )


def complete(options: dict[str, Any]) -> dict[str, Any]:
    """The options as a run keeps them: absolute paths, and those of other models only where unset."""
    own = MODELS[options["model"]].options
    for name in {name for model in MODELS.values() for name in model.options}:
        if options[name] is None:
            options[name] = own.get(name)
        elif name not in own:
            takers = [other for other, model in MODELS.items() if name in model.options]
            raise _without_effect(name, takers, options)
    if options["dropout"] and options["num_layers"] == 1:
        raise click.UsageError(
            f"--dropout {options['dropout']} would change nothing: it acts between layers, and there is "
            "one. Give --num-layers 2 or more as well."
        )
    for name in ("text", "weights", "pairs"):
        options[name] = options[name] and str(options[name].absolute())
    return options


def _options_of(run: Run, ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """The options of `run`, with those given that change no number of it; any other given is an error."""
    is_given, own = _given(ctx), {"max_epochs", "patience", "checkpoint_every", "keep"}
    own |= {"num_gpus", "devices"}  # whose numbers are those of one
    changes = {"backend_name", *given} - own
    if "run_path" in is_given:
        changes -= {"backend_name"}
    for param in ctx.command.params:
        if param.name in is_given & changes:
            raise click.UsageError(
                f"--resume takes {param.opts[0]} from the run; only --max-epochs, --patience, "
                "--checkpoint-every, --keep, --num-gpus, --devices, --prefix, --num-preds and --run can be "
                "given with it, and with --run also --backend."
            )
    # Those that a run of an older d2lrnn lacks are as they were: the defaults.
    options = {name: run.config["options"].get(name, default) for name, default in given.items()}
    return {**options, **{name: given[name] for name in own & is_given}}


@cli.command(cls=Command)
@click.argument("run_path", metavar="RUN", type=FOLDER, required=False)
@click.option("--run", "run_option", type=FOLDER, hidden=True)  # as it was called before
@click.option(
    "--prefix",
    "prefixes",
    metavar="TEXT",
    multiple=True,
    help="Text to continue; may be given several times.  [default: the lines of a pipe or a file on standard "
    "input; else the first prefix that the training had]",
)
@click.option(
    "--num",
    **_of_table("num_preds", more=" Characters or words, as in the run.", default=20),
    show_default=True,
)
@click.option("--temperature", **_of_table("temperature", more="  [default: 0; 1 with --seed]"))
@click.option("--seed", **_of_table("seed", help="Of the drawing: the same seed, the same text."))
@click.option(
    "--best",
    is_flag=True,
    help="Take the weights of the lowest validation loss, of the checkpoint that was kept, not the last.",
)
@click.option(
    "--backend",
    "backend_name",
    metavar="NAME",
    callback=_announced,
    help="Compute on this framework.  [default: on none; the text is the same]",
)
def generate(
    run_path: Path | None,
    run_option: Path | None,
    prefixes: tuple[str, ...],
    num: int,
    temperature: float | None,
    seed: int | None,
    best: bool,
    backend_name: str | None,
) -> None:
    """Continue a text with the model of RUN, the folder that `d2lrnn train` has written, on any backend.

    Prints each prefix with its continuation, and nothing else, on standard output.
    """
    from functools import partial

    from d2lrnn.decoding import continuation
    from d2lrnn.training import note_unknown

    path = run_path or run_option
    if path is None or (run_path and run_option):
        raise click.UsageError("Name one RUN, a folder: d2lrnn generate RUN.")
    run = _trained(path, best).expect(translates=False)
    own = run.config["options"].get("prefix") or ["it has"]
    prefixes = prefixes or tuple(_piped_lines() or own[:1])
    note_unknown(prefixes, run.vocab)
    if backend_name is not None:
        backend.select(backend_name)
        predict = run.model().predict
    else:
        predict = partial(continuation, run.stepper())  # no framework is needed
    for prefix in prefixes:
        click.echo(predict(prefix, num, run.vocab, temperature=temperature, seed=seed))


def _piped_lines() -> list[str]:
    """The lines of standard input, if it is a pipe or a file: a terminal, or what is neither, is not read."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # there is none
        return []
    is_given = stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
    return [line for line in sys.stdin.read().splitlines() if line.strip()] if is_given else []


def _trained(path: Path, best: bool) -> Run:
    """A run that has weights; a note says so where they are not those of its end."""
    from d2lrnn.run import Run

    run = Run.open(path, unfinished=True)
    if run.config["status"] == "failed":
        Run.open(path)  # says why
    run.best = best
    if best or not run.has_ended:
        state = "" if run.has_ended else f"The run {path} has not finished. "
        epochs = run.epochs_of(run.trained)
        click.echo(f"Note: {state}The weights are those after epoch {epochs}.", err=True)
    return run


@cli.command(cls=Command)
@click.argument("sentences", metavar="[SENTENCE ...]", nargs=-1)
@click.option(
    "--run",
    "run_path",
    type=FILE,
    metavar="DIR",
    required=True,
    help="The folder of the run, as `d2lrnn train --model seq2seq` has written it, on any backend.",
)
@click.option("--beams", **_of_table("beams", default=1), show_default=True)
@click.option(
    "--plot",
    type=FILE,
    metavar="FILE",
    help="Draw the attention weights of one sentence into FILE, .svg or .png; of a model without "
    "--attention the tree of what beam search kept.",
)
@click.option(
    "--best",
    is_flag=True,
    help="Take the weights of the lowest validation loss, of the checkpoint that was kept, not the last.",
)
@click.option(
    "--backend",
    "backend_name",
    metavar="NAME",
    callback=_announced,
    help="Compute on this framework.  [default: D2LRNN_BACKEND, else the first installed]",
)
def translate(
    sentences: tuple[str, ...],
    run_path: Path,
    beams: int,
    plot: Path | None,
    best: bool,
    backend_name: str | None,
) -> None:
    """Translate sentences with the model of a run; without any, the lines of standard input.

    Prints a translation a line, and nothing else, on standard output.
    """
    run = _trained(run_path, best).expect(translates=True)
    if plot is not None and (len(sentences) != 1 or plot.suffix not in (".svg", ".png")):
        raise click.UsageError(
            "--plot FILE takes one SENTENCE, and a FILE that ends in .svg or .png."
        )
    if backend_name is not None:
        backend.select(backend_name)
    data = run.pairs()
    given = sentences or tuple(line for line in sys.stdin.read().splitlines() if line.strip())
    found = run.model().translations(given, data, beams)
    for translation in found:
        click.echo(str(translation))
    if plot is not None:
        _draw(found[0], plot)


def _draw(translation: Any, path: Path) -> None:
    from matplotlib.figure import Figure

    from d2lrnn import atomic, figures

    if translation.weights is None:
        figures.show_beams(translation)
        figure = figures.plt.gcf()
    else:
        rows = [*translation.tokens, "<eos>"][: len(translation.weights)]
        size = 2 + len(translation.source) / 2, 1.5 + len(rows) / 2
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.imshow(translation.weights, cmap="Reds", vmin=0, vmax=1)
        plain = {"parse_math": False}  # a dollar is a dollar
        axes.set_xticks(range(len(translation.source)), translation.source, rotation=45, **plain)
        axes.set_yticks(range(len(rows)), rows, **plain)
        axes.set(xlabel="source", ylabel="translation")
        figure.colorbar(drawn, shrink=0.6)
    atomic.write(path, figures.picture(figure, "png" if path.suffix == ".png" else "svg"))


@cli.command(cls=Command)
def models() -> None:
    """List the models of `d2lrnn train`: section and equations of the book, size, options."""
    from rich.console import Console
    from rich.table import Column, Table

    from d2lrnn.models import num_parameters

    # What is typed is written out, however narrow the terminal.
    names = Column("--model", no_wrap=True)
    title, options_of = (
        Column(head, overflow="fold") for head in ("What it is", "Its own options")
    )
    table = Table(names, "Section", "Equations", "Parameters", title, options_of)
    for name, model in MODELS.items():
        options = ", ".join(f"--{option.replace('_', '-')}" for option in model.options)
        size = f"{num_parameters(model, *((194, 213) if model.translates else (28,)), num_hiddens=32):,}"
        row = (name, model.section, model.equations, size, model.title, options)
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(
        "Parameters: of 32 hidden units over the 28 characters of The Time Machine; of seq2seq, of 256 over "
        "the 194 and 213 words of the book's pairs. The GRUs differ: the one "
        "from scratch resets before the product with W_hh, as the book's equation 10.2.2 does, the "
        "frameworks' after it; their weights are not exchanged.",
        highlight=False,
    )


@cli.command(cls=Command)
def doctor() -> int:
    """Tell what works here, and what to type where something does not.

    Lists the versions, each backend with its devices, which of them is active, and where texts are
    looked for. The exit code is 0 if at least one backend works, else 1.
    """
    from d2lrnn.doctor import report

    text, works = report()
    click.echo(text)
    return 0 if works else 1


@cli.command(cls=Command)
@click.argument("run_paths", metavar="RUN RUN ...", nargs=-1, required=True, type=FILE)
@click.option(
    "--output",
    type=FILE,
    metavar="DIR",
    help="The folder of the report; it must not exist.  [default: runs/compare-DATE-TIME]",
)
def compare(run_paths: tuple[Path, ...], output: Path | None) -> None:
    """Lay finished runs side by side, whichever backends trained them.

    Prints their perplexities, times and differences, and writes a report: report.html, which needs
    nothing else to be read, report.md, report.json, and the plots as SVG and PNG. Runs of different
    data get separate plots, and different models are named; a run that failed is shown with its error,
    one that diverged up to there.
    """
    from rich.console import Console

    from d2lrnn.comparison import compare, terminal
    from d2lrnn.run import default_path

    comparison = compare(run_paths)
    report = comparison.write(output or default_path("compare"))
    terminal.show(comparison, Console())
    click.echo(f"The report is {report}.")


cli.add_command(notebooks)
