"""`d2lrnn train`: a training that becomes a run, or the rest of one that was ended at any moment.

In short::

    read the data, make the model, let it write
    make the folder, or take up the one that is there
    train on from the last checkpoint, or else from the beginning
    let the model write again, and write all files
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from d2lrnn import backend, data, interrupts, shell
from d2lrnn.errors import RunError, TrainingDiverged, UserError, WriteError
from d2lrnn.logs import LOGS, check_log
from d2lrnn.models import MODELS, build_for
from d2lrnn.run import Run, check_free, default_path, sha1_of

if TYPE_CHECKING:
    from d2lrnn.data import Vocab

_OF_THE_TRAINER = (
    *("max_epochs", "num_gpus", "gradient_clip_val", "lr_schedule"),
    *("patience", "checkpoint_every", "keep", "devices"),
)
MINIBATCHES = 10  # at least so many an epoch, where nobody says how large they are
BATCH_SIZE = 1024
_NOTHING_YET = "Interrupted before the training began: nothing was written."


@dataclass
class Training:
    """A training by the options of the command line.

    Attributes:
        options: those of the run, see `d2lrnn.cli.complete`.
        prefixes: texts to continue or sentences to translate; None for the usual ones.
        num_preds: by how many tokens.
        path: the folder to make; None for one named by backend and time, or for that of `earlier`.
        earlier: the run to go on with, in its place unless there is a `path`.
        run: the run, once it is begun.
        quiet: say nothing but the folder of the run, at the end.
    """

    options: dict[str, Any]
    prefixes: tuple[str, ...] | None
    num_preds: int
    path: Path | None = None
    earlier: Run | None = None
    run: Run | None = None
    quiet: bool = False

    def carry_out(self) -> bool:
        """Do all of it, from now on ended by SIGTERM as by Ctrl-C; returns whether it came to its end.

        Raises:
            KeyboardInterrupt: it was ended while it was prepared or finished; `how_to_go_on` tells the rest.
            RunError: the run to go on with is complete, in training, or one of other data.
            TrainingDiverged: a loss became NaN or infinite; the run is marked as failed.
            WriteError: a file cannot be written; the run can be finished later.
        """
        with _sigterm_as_ctrl_c(), interrupts.heard() as heard:
            try:
                self._prepare()
                self._begin()
                heard.raise_lost()
                return self._train()
            except WriteError as error:
                if self.run is None or not self.run.is_begun:
                    raise
                raise WriteError(f"{error}\n{self.run.how_to_go_on}") from error
            finally:
                if self.run is not None:
                    self.run.release()

    @property
    def how_to_go_on(self) -> str:
        """What to say when it was broken off."""
        run = self.run or (self.earlier if self.path is None else None)
        return f"Interrupted. {run.how_to_go_on}" if run and run.is_begun else _NOTHING_YET

    @property
    def is_first(self) -> bool:
        """Whether this process is the one, of those that train together, that shows and writes."""
        return int(self.trainer.rank) == 0

    def say(self, text: str) -> None:
        if self.is_first and not self.quiet:
            click.echo(text)

    @property
    def translates(self) -> bool:
        return MODELS[self.options["model"]].translates

    def _prepare(self) -> None:
        options, d2l = self.options, backend.active()
        check_log(options.get("log"))
        # First of all: some frameworks can make devices only before they compute anything.
        self.trainer = d2l.Trainer(
            **{name: options[name] for name in _OF_THE_TRAINER}, progress=not self.quiet
        )
        if self.path is not None and self.is_first:
            check_free(self.path)
        self.say(f"Backend: {backend.name()} ({d2l.versions()['framework']})")
        self.data = data_of(options)
        smaller = options["batch_size"] is None and self.data.batch_size < BATCH_SIZE
        names = ("num_train", "num_val", "batch_size")
        options.update({name: getattr(self.data, name) for name in names})
        for line in _told(self.data, self.translates, smaller):
            self.say(line)
        if self.prefixes is None:
            self.prefixes = ("it has",)
            if self.translates:
                sources, _ = self.data.sentences(train=True)
                self.prefixes = tuple(dict.fromkeys(sources))[:4]
            elif options["text"] is not None:
                self.prefixes = (beginning(self.data),)
        if not self.translates and self.is_first:
            note_unknown(self.prefixes, self.data.vocab)
        if self.earlier is not None and self.is_first:
            self._check_earlier(self.earlier)
        self.model = build_for(options, self.data.vocabs)
        if self.earlier is not None and self.earlier.initial.is_file():
            self.model.load(self.earlier.initial)
        elif options["weights"] is not None:
            self.model.load(options["weights"])
        self.before = self._written()
        for prefix, text in zip(self.prefixes, self.before, strict=True):
            self.say(f"Before: {_shown(prefix, text, self.translates)}")

    def _check_earlier(self, run: Run) -> None:
        run.check_before_resuming()
        if run.config["data"]["sha1"] != sha1_of(self.data):
            raise RunError(
                f"The run {run.path} was trained on other data than is found now. It was "
                f"{run.config['data']['source']}."
            )
        done, wanted = run.epochs_of(run.checkpoint), self.options["max_epochs"]
        is_complete = self.path is not None or run.config["status"] == "finished"
        if done > wanted or (done == wanted and is_complete):
            raise RunError(
                f"The run {run.path} has {done} epochs already, and --max-epochs is {wanted}; give more "
                "to continue it."
            )

    def _begin(self) -> None:
        if not self.is_first:
            return
        options = {**self.options, "prefix": list(self.prefixes or ()), "num_preds": self.num_preds}
        device = (self.trainer.gpus or ["cpu"])[0]
        if self.earlier is not None and self.path is None:
            options["resume"] = self.earlier.config["options"].get("resume")
            self.earlier.resume(options, self.data, device)
            self.run = self.earlier
        else:
            options["resume"] = self.earlier and str(self.earlier.path.absolute())
            path = self.path or default_path(backend.name())
            self.run = Run.create(path, options, self.data, device)
            self.run.start(self.data)
        self.run.begin(self.model)
        if options.get("log"):
            self.trainer.logs.append(LOGS[options["log"]](self.run.path))

    def _train(self) -> bool:
        run, trainer = self.run, self.trainer
        if run is None:  # the first process has it
            earlier = self.earlier and self.earlier.checkpoint
            resume = str(earlier) if earlier and earlier.is_file() else None
            trainer.fit(self.model, self.data, resume=resume)
            return not trainer.interrupted
        start = (self.earlier or run).checkpoint
        try:
            with interrupts.heard():
                trainer.fit(
                    self.model,
                    self.data,
                    resume=str(start) if start.is_file() else None,
                    checkpoint=str(run.checkpoint),
                )
                after = self._written()
                samples = [
                    {"prefix": p, "before": b, "after": a, "num_preds": self.num_preds}
                    for p, b, a in zip(self.prefixes or (), self.before, after, strict=True)
                ]
                is_scored = self.translates and self.data.num_val
                scores = _scores(self.model, self.data) if is_scored else {}
                run.finish(
                    self.model,
                    trainer.history,
                    samples,
                    interrupted=trainer.interrupted,
                    ended_early=trainer.ended_early,
                    **scores,
                )
        except WriteError:  # the run can be finished
            raise
        except Exception as error:
            refused = isinstance(error, UserError) and not isinstance(error, TrainingDiverged)
            if run is not self.earlier or not refused:  # what could not be taken up is as it was
                run.fail(error, trainer.history)
                click.echo(f"The run in {run.path} is marked as failed.", err=True)
            raise
        if trainer.history:
            self.say(_perplexities(trainer.history[-1]))
        for prefix, text in zip(self.prefixes or (), after, strict=True):
            self.say(f"After:  {_shown(prefix, text, self.translates)}")
        if scores:
            self.say(
                "Validation sentences: the book's BLEU with k=2 {bleu_2:.3f}; of the corpus, against all "
                "known translations, BLEU {corpus_bleu:.1f} and chrF {chrf:.1f} of 100".format(
                    **scores
                )
            )
        self.say(_what_next(run, trainer.interrupted, (self.prefixes or ("it has",))[0]))
        if self.quiet:
            click.echo(run.path)
        return not trainer.interrupted

    def _written(self) -> list[str]:
        prefixes = self.prefixes or ()
        if self.translates:
            return list(self.model.translate(prefixes, self.data))
        return [self.model.predict(p, self.num_preds, self.data.vocab) for p in prefixes]


def data_of(options: dict[str, Any]) -> Any:
    """The text that `options` name, as a data module."""
    settings = {name: options[name] for name in ("num_steps", "num_train", "num_val", "seed")}
    settings["batch_size"] = options["batch_size"] or BATCH_SIZE
    if MODELS[options["model"]].translates:
        if options["pairs"] is not None:
            return data.PairFile(options["pairs"], **settings)
        return data.MTFraEng(**settings)
    settings |= {name: options[name] for name in ("tokens", "min_freq")}
    # Runs of an earlier d2lrnn kept neither.
    settings |= {n: bool(options.get(n)) for n in ("keep_case", "keep_punctuation")}
    if options["text"] is None:
        return data.TimeMachine(**settings)
    own = data.TextFile(options["text"], **settings)
    if options["batch_size"] is None:
        own.batch_size = max(min(BATCH_SIZE, own.num_train // MINIBATCHES), 1)
    return own


def _told(data: Any, translates: bool, smaller: bool) -> Iterator[str]:
    """What a training has before it: the text, and how it is cut."""
    sizes = " and of ".join(f"{len(vocab):,}" for vocab in data.vocabs)
    yield f"Text: {data.source}; {data.num_tokens:,} tokens, a vocabulary of {sizes}"
    what = "pairs" if translates else f"windows of {data.num_steps} tokens"
    validation = f"validation on {data.num_val:,}" if data.num_val else "no validation"
    why = ", small ones, since the text is short" if smaller else ""
    yield (
        f"Training on {data.num_train:,} {what}, {validation}, in minibatches of "
        f"{data.batch_size:,}{why}"
    )


def beginning(data: Any) -> str:
    """The first two words of a text or, of one that has no such, its first characters."""
    tokens = data.vocab.to_tokens(data.corpus[:40])
    text = (" " if data.tokens == "word" else "").join(tokens)
    return " ".join(text.split()[:2])[:20]


def _shown(prefix: str, text: str, translates: bool) -> str:
    return f"{prefix} => {text}" if translates else text


def _scores(model: Any, data: Any) -> dict[str, float]:
    """How good the translations of the validation sentences are."""
    from d2lrnn.translation import bleu, corpus_scores

    sources, targets = data.sentences(train=False)
    found = model.translate(sources, data)
    of_each = [bleu(one, target, k=2) for one, target in zip(found, targets, strict=True)]
    of_corpus = corpus_scores(found, data.references(sources))
    return {
        "bleu_2": sum(of_each) / len(of_each),
        "corpus_bleu": of_corpus.bleu,
        "chrf": of_corpus.chrf,
    }


def note_unknown(prefixes: Iterable[str], vocab: Vocab) -> None:
    unknown = sorted({t for prefix in prefixes for t in vocab.split(prefix) if t not in vocab})
    if unknown:
        click.echo(
            f"Note: the vocabulary does not know {', '.join(map(repr, unknown))} of the prefix: taken "
            "as <unk>.",
            err=True,
        )


def _perplexities(row: dict[str, float]) -> str:
    parts = [
        f"{split} {row[key]:{'.2f' if row[key] < 1e6 else '.2e'}}"
        for split, key in (("training", "train_ppl"), ("validation", "val_ppl"))
        if key in row
    ]
    return f"Perplexity after {row['epoch']} epochs: {', '.join(parts)}"


def _what_next(run: Run, interrupted: bool, prefix: str) -> str:
    program, folder = shell.d2lrnn(), shell.quoted(run.path)
    lines = [
        f"The run is in {run.path}. To let it write more, type:",
        f"  {program} generate {folder} --prefix {shell.quoted(prefix)} --num 200 --temperature 0.5 --seed 1",
    ]
    if run.translates:
        lines = [
            f"The run is in {run.path}. To let it translate, type:",
            f"  {program} translate --run {folder} {shell.quoted(prefix)}",
        ]
    if interrupted:
        lines.append(run.how_to_go_on)
    return "\n".join(lines)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """End by SIGTERM as by Ctrl-C, while it lasts; signals are heard in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
