"""The command line: `d2lrnn train`, `generate`, `translate`, `runs`, `models`, `compare` and others.

Exit codes: 0, 1 for a failure in use, 2 for a wrong usage, 130 for Ctrl-C. What is heavy is imported
by the command that needs it, so that `--help` comes at once.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from d2lrnn import __version__, backend, shell
from d2lrnn.errors import UserError
from d2lrnn.models import LEARNING_RATES, MODELS
from d2lrnn.notebooks import notebooks
from d2lrnn.options import (
    FILE,
    FOLDER,
    Command,
    Sections,
    argument,
    backend_option,
    in_options,
    of_table,
    option,
)

if TYPE_CHECKING:
    from d2lrnn.run import Run

INTERRUPTED = 130
COMPLETE = "_D2LRNN_COMPLETE"  # by which a shell asks what can follow


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
            if COMPLETE in os.environ:
                name = "d2lrnn"  # as the shell knows it
            code = program.main(arguments, name, COMPLETE, standalone_mode=False)
            return int(code or 0)
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

    Your shell completes commands, options, backends and models after one line, in bash:

    \b
      eval "$(_D2LRNN_COMPLETE=bash_source d2lrnn)"

    In zsh it is zsh_source; in fish: _D2LRNN_COMPLETE=fish_source d2lrnn | source
    """


def _configured(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Take the options in a file as what is given where nothing else is."""
    if path is None:
        return
    from d2lrnn import schema

    found = schema.read(path, schema.Header)
    options = found.get("options", found)  # those of a config.json, or they alone
    if not isinstance(options, dict):
        raise click.BadParameter(f"{path} holds no options, as a run's config.json does.")
    known = {p.opts[0].removeprefix("--").replace("-", "_"): p for p in ctx.command.params}
    ctx.default_map = {}
    for name, value in {"backend": found.get("backend"), **options}.items():
        if name not in known:
            raise click.BadParameter(f"{path} has {name!r}, which is no option of `d2lrnn train`.")
        if value is not None and name not in ("resume", "run"):  # which are of that run alone
            ctx.default_map[known[name].name] = value


@cli.command(cls=Sections)
@option(
    MODEL,
    "--backend",
    "backend_name",
    **backend_option("D2LRNN_BACKEND, else the first installed"),
)
@option(
    MODEL,
    "--model",
    type=click.Choice(list(MODELS)),
    default=next(iter(MODELS)),
    metavar="NAME",
    help="; ".join(f"{name}: {m.title} (section {m.section})" for name, m in MODELS.items())
    + f".  [default: {next(iter(MODELS))}]",
)
@argument(MODEL, "num_hiddens", default=32)
@argument(MODEL, "num_layers", default_told="1; deep-scratch and seq2seq: 2")
@argument(MODEL, "dropout", default_told="0; seq2seq: 0.2")
@argument(MODEL, "activation", default_told="tanh")
@argument(MODEL, "sigma", default_told="0.01")
@argument(MODEL, "embed_size", default_told="256")
@option(
    MODEL,
    "--attention",
    is_flag=True,
    default=None,
    help="Let the decoder attend to the source (section 11.4); only with --model seq2seq.",
)
@option(
    MODEL,
    "--config",
    type=FILE,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_configured,
    help="Take the options from FILE, the config.json of a run; those that are typed as well hold.",
)
@option(
    MODEL,
    "--weights",
    type=FILE,
    metavar="FILE",
    help="Start from these weights (safetensors, of a model of the same sizes, from any backend) "
    "instead of random ones.",
)
@option(
    DATA,
    "--text",
    type=FILE,
    metavar="FILE",
    help="A text of your own, in UTF-8, instead of The Time Machine: the whole of it. It is read in lower "
    "case, and as letters and spaces alone, those of any script; see --keep-case and --keep-punctuation.",
)
@option(
    DATA,
    "--pairs",
    type=FILE,
    metavar="FILE",
    help="Sentences and translations of your own, in UTF-8, a pair a line with a tab between, instead of the "
    "book's English and French; only with --model seq2seq.",
)
@argument(DATA, "keep_case")
@argument(DATA, "keep_punctuation")
@argument(DATA, "tokens", default="char", default_told="char")
@argument(DATA, "min_freq", default=0, default_told="0")
@argument(DATA, "num_steps", default=32)
@argument(
    DATA, "batch_size", default=1024, default_told="1024; seq2seq: 128; of a short --text fewer"
)
@argument(DATA, "num_train", default=10000, default_told="10000; seq2seq: 512; of --text 90 %")
@argument(DATA, "num_val", default=5000, default_told="5000; seq2seq: 128; of --text 10 %")
@argument(TRAINING, "max_epochs", default=100)
@argument(TRAINING, "optimizer", default="sgd")
@argument(
    *(TRAINING, "lr"), default=1.0, default_told="1; momentum: 0.1; adam: 0.01; seq2seq: 0.005"
)
@argument(TRAINING, "lr_schedule", default="constant")
@argument(TRAINING, "gradient_clip_val", default=1.0)
@argument(TRAINING, "num_gpus", default=1, default_told="1 if there is one, else 0")
@argument(TRAINING, "devices", default=1)
@argument(TRAINING, "seed", default=0)
@argument(TRAINING, "patience", default=0)
@option(
    TRAINING,
    "--resume",
    type=FILE,
    metavar="DIR",
    help="Finish the run in DIR, ended in any way and at any moment: from its last checkpoint up to "
    "--max-epochs. All that makes the training is taken from it. With --run it goes on in a new run, with "
    "--backend too on another framework.",
)
@option(
    OUTPUT,
    "--prefix",
    "prefixes",
    metavar="TEXT",
    multiple=True,
    help="Text to continue, or sentence to translate, before and after training; may be given several "
    "times.  [default: it has; of --text its first words]",
)
@argument(OUTPUT, "num_preds", default=20)
@option(
    OUTPUT,
    "--run",
    "run_path",
    type=FILE,
    metavar="DIR",
    help="The folder to write; it must not exist.  [default: runs/BACKEND-DATE-TIME]",
)
@option(
    OUTPUT,
    "--log",
    type=click.Choice(["csv", "tensorboard"]),
    help="Write the history while it is made: csv into history.csv in the run; tensorboard into event files "
    "there, which needs tensorboardX.",
)
@option(OUTPUT, "--quiet", is_flag=True, help="Print the folder of the run alone, at the end.")
@argument(OUTPUT, "checkpoint_every", default=1)
@argument(OUTPUT, "keep", default=1)
def train(
    quiet: bool,
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
    training = Training(options, with_prefixes, num_preds, run_path, earlier, quiet=quiet)
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
    if options["optimizer"] != "sgd" and not model.translates:
        defaults["lr"] = LEARNING_RATES[options["optimizer"]]
    if options["text"] is not None:  # the whole of it, in minibatches that fit
        sizes = ("num_train", "num_val", "batch_size")
        defaults |= dict.fromkeys(sizes)
    return {**options, **{name: v for name, v in defaults.items() if name not in given}}


def _given(ctx: click.Context) -> set[str]:
    """The names of the options that were typed."""
    typed = ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP  # or by --config
    return {p for p in ctx.params if ctx.get_parameter_source(p) in typed}


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
    is_given, own = _given(ctx), {"max_epochs", "patience", "checkpoint_every", "keep", "log"}
    own |= {"num_gpus", "devices"}  # whose numbers are those of one
    changes = {"backend_name", *given} - own
    if "run_path" in is_given:
        changes -= {"backend_name"}
    for param in ctx.command.params:
        if param.name in is_given & changes:
            raise click.UsageError(
                f"--resume takes {param.opts[0]} from the run; only --max-epochs, --patience, "
                "--checkpoint-every, --keep, --num-gpus, --devices, --log, --quiet, --prefix, --num-preds "
                "and --run can be given with it, and with --run also --backend."
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
    **of_table("num_preds", more=" Characters or words, as in the run.", default=20),
)
@click.option("--temperature", **of_table("temperature", default_told="0; 1 with --seed"))
@click.option("--seed", **of_table("seed", help="Of the drawing: the same seed, the same text."))
@click.option(
    "--best",
    is_flag=True,
    help="Take the weights of the lowest validation loss, of the checkpoint that was kept, not the last.",
)
@click.option(
    "--backend",
    "backend_name",
    **backend_option("none; the text is the same"),
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
@click.option("--beams", **of_table("beams", default=1))
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
    **backend_option("D2LRNN_BACKEND, else the first installed"),
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
    from d2lrnn.models import num_parameters
    from d2lrnn.overview import show

    rows = []
    for name, model in MODELS.items():
        options = ", ".join(f"--{option.replace('_', '-')}" for option in model.options)
        sizes = (194, 213) if model.translates else (28,)
        size = f"{num_parameters(model, *sizes, num_hiddens=32):,}"
        rows.append((name, model.title, model.section, model.equations, size, options))
    show(("--model", "What it is", "Section", "Equations", "Parameters", "Its own options"), rows)
    click.echo(
        "Parameters: of 32 hidden units over the 28 characters of The Time Machine; of seq2seq, of 256 over\n"
        "the 194 and 213 words of the book's pairs. The GRUs differ: the one from scratch resets before the\n"
        "product with W_hh, as the book's equation 10.2.2 does, the frameworks' after it; their weights are\n"
        "not exchanged."
    )


@cli.command(cls=Command)
@click.argument("folder", metavar="[DIR]", default="runs", type=FOLDER)
def runs(folder: Path) -> None:
    """List the runs in DIR, by default runs/: how each ended, and its perplexities.

    They are those after its last epoch, and the lowest of validation. A run that has not finished has the
    epochs up to its last checkpoint.
    """
    from d2lrnn.overview import COLUMNS, overview, show

    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}. `{shell.d2lrnn()} train` makes runs, in runs/."
        )
    rows = list(overview(folder))
    show(COLUMNS, rows)
    if not rows:
        click.echo(f"There are no runs in {folder}.")


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
