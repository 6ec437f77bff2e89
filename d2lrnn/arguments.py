"""What the arguments of models, data, trainings and functions may be, said once, by their names.

Constructors of the library check what they save by this table (`HyperParameters.save_hyperparameters`),
functions what they are given (`check`), and the command line makes its options of it.
"""

from __future__ import annotations

import math
import numbers
import operator
import os
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from d2lrnn.errors import ArgumentError

COUNT = 2**31 - 1  # what every framework can count to


def is_bool(value: Any) -> bool:
    """Whether it is True or False, Python's or NumPy's."""
    return type(value).__name__ in ("bool", "bool_")


class Rule:
    """What an argument may be; as a str, in words."""

    def accepts(self, value: Any) -> bool:
        """Whether it may be `value`."""
        raise NotImplementedError

    def plain(self, value: Any) -> Any:
        """An accepted `value` as Python's own, of NumPy's too."""
        return value

    def read(self, text: str) -> Any:
        """The value that is typed as `text`; `ValueError` if it is none."""
        return text


@dataclass(frozen=True)
class Integer(Rule):
    """An integer of at least `minimum` and at most `maximum`."""

    minimum: int
    maximum: int | None = None

    def __str__(self) -> str:
        if self.maximum is None:
            return f"an integer of at least {self.minimum}"
        power = self.maximum.bit_length()
        ends_a_type = self.maximum > 2**16 and self.maximum == 2**power - 1
        last = f"2**{power} - 1" if ends_a_type else self.maximum
        return f"an integer from {self.minimum} to {last}"

    def accepts(self, value: Any) -> bool:
        if is_bool(value):
            return False
        try:
            number = operator.index(value)
        except TypeError:
            return False
        return self.minimum <= number and (self.maximum is None or number <= self.maximum)

    def plain(self, value: Any) -> int:
        return operator.index(value)

    def read(self, text: str) -> int:
        return int(text)


@dataclass(frozen=True)
class Number(Rule):
    """A number of at least 0, or above it, that is finite in the 32 bits of a weight."""

    above_0: bool

    def __str__(self) -> str:
        return "a positive number" if self.above_0 else "a number of at least 0"

    def accepts(self, value: Any) -> bool:
        if is_bool(value) or not isinstance(value, numbers.Real):
            return False
        try:
            number = float(value)
        except OverflowError:
            return False
        return 0 <= number < 2**128 and not (self.above_0 and number == 0)

    def plain(self, value: Any) -> float:
        return operator.index(value) if isinstance(value, numbers.Integral) else float(value)

    def read(self, text: str) -> float:
        return float(text)


@dataclass(frozen=True)
class Share(Number):
    """A share of a whole that leaves some of it."""

    above_0: bool = False

    def __str__(self) -> str:
        return "a number of at least 0 and below 1"

    def accepts(self, value: Any) -> bool:
        return super().accepts(value) and bool(value < 1)


@dataclass(frozen=True)
class OneOf(Rule):
    """One of some words."""

    choices: tuple[str, ...]

    def __str__(self) -> str:
        return f"one of {{{', '.join(map(repr, self.choices))}}}"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str) and value in self.choices


@dataclass(frozen=True)
class Flag(Rule):
    """True or False."""

    def __str__(self) -> str:
        return "True or False"

    def accepts(self, value: Any) -> bool:
        return is_bool(value)

    def plain(self, value: Any) -> bool:
        return bool(value)


@dataclass(frozen=True)
class Text(Rule):
    """A str."""

    def __str__(self) -> str:
        return "a str"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str)


@dataclass(frozen=True)
class File(Rule):
    """The path of a file or a folder."""

    def __str__(self) -> str:
        return "a path"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, str | os.PathLike) and bool(os.fspath(value))


@dataclass(frozen=True)
class Words(Rule):
    """A list or a tuple of str; where `or_text`, also a str."""

    what: str
    or_text: bool = False

    def __str__(self) -> str:
        return f"a list of {self.what}" if not self.or_text else f"a str or a list of {self.what}"

    def accepts(self, value: Any) -> bool:
        if isinstance(value, str):
            return self.or_text
        return isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)


@dataclass(frozen=True)
class Pair(Rule):
    """Two numbers: sizes, which are positive, or the ends of an axis, of which None is left open."""

    of_sizes: bool

    def __str__(self) -> str:
        return "two positive numbers" if self.of_sizes else "two numbers, an end and the other"

    def accepts(self, value: Any) -> bool:
        if (
            isinstance(value, str | dict)
            or not hasattr(value, "__len__")
            or isinstance(value, type)
        ):
            return False
        return len(value) == 2 and all(map(self._accepts_one, value))

    def _accepts_one(self, value: Any) -> bool:
        if value is None:
            return not self.of_sizes
        is_number = isinstance(value, numbers.Real) and not is_bool(value)
        return is_number and math.isfinite(value) and not (self.of_sizes and value <= 0)


@dataclass(frozen=True)
class Styles(Rule):
    """A list or a tuple, not empty, of what Matplotlib takes."""

    what: str

    def __str__(self) -> str:
        return f"a list of {self.what}"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, list | tuple) and bool(value)


@dataclass(frozen=True)
class Having(Rule):
    """An object, not a class, that has these attributes; `what` it is in words."""

    what: str
    attributes: tuple[str, ...]

    def __str__(self) -> str:
        return self.what

    def accepts(self, value: Any) -> bool:
        has_all = all(hasattr(value, attribute) for attribute in self.attributes)
        return has_all and not isinstance(value, type)


SCALE = OneOf(("linear", "log", "symlog", "logit", "asinh"))
LAYER, FUNCTION = Having("a layer", ("__call__",)), Having("a function", ("__call__",))


class Argument(NamedTuple):
    """An argument: what it may be, and its help; `way_out` is what an error adds."""

    rule: Rule
    help: str
    way_out: str = ""


ARGUMENTS = {
    # The model
    "rnn": Argument(LAYER, "The recurrent layer.", "Such as d2l.RNN(...), made, not its class."),
    "encoder": Argument(
        LAYER, "What makes a state of a source.", "Such as d2l.Seq2SeqEncoder(...)."
    ),
    "decoder": Argument(LAYER, "What goes on from there.", "Such as d2l.Seq2SeqDecoder(...)."),
    "num_inputs": Argument(Integer(1), "d, the size of the inputs X_t."),
    "num_hiddens": Argument(Integer(1), "h, the size of the hidden state H_t."),
    "num_layers": Argument(
        Integer(1),
        "L, the number of layers; each but the first runs over the outputs of the one below.",
    ),
    "dropout": Argument(
        Share(),
        "The share of these outputs that is dropped, between two layers, in training.",
        "It is the share that is dropped, and 0 is for none.",
    ),
    "vocab_size": Argument(Integer(1), "The number of tokens in the vocabulary."),
    "embed_size": Argument(Integer(1), "The size of the vector that a token is embedded as."),
    "query_size": Argument(Integer(1), "The size of a query of attention."),
    "key_size": Argument(Integer(1), "The size of a key."),
    "cell": Argument(OneOf(("gru", "lstm")), "What the recurrent layers are made of."),
    "tgt_pad": Argument(Integer(0, COUNT), "The padding token of the target."),
    "activation": Argument(
        OneOf(("tanh", "relu")), "phi in H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h)."
    ),
    "sigma": Argument(
        Number(above_0=True),
        "Standard deviation of the initial weights; only with --model scratch.",
    ),
    # The data
    "letters": Argument(
        OneOf(("a-z", "any", "all")), "Which characters are kept; None: the text as it is."
    ),
    "keep_case": Argument(
        Flag(), "Tell capital letters from small ones; else the text is read in lower case."
    ),
    "keep_punctuation": Argument(
        Flag(),
        "Keep every character, for code, verse or music; else each run of what is no letter (digits, marks, "
        "line ends) is read as one space.",
    ),
    "joined": Argument(Flag(), "Whether a letter and the marks over it are one character."),
    "vocab": Argument(
        Having("a vocabulary", ("__getitem__", "__len__", "to_tokens")),
        "The table of tokens and indices.",
        "That of the data that the model was trained on is data.vocab.",
    ),
    "data": Argument(
        Having("data", ("train_dataloader", "val_dataloader")),
        "What gives minibatches.",
        "Such as d2l.TimeMachine(batch_size=1024, num_steps=32).",
    ),
    "shuffle": Argument(Flag(), "Whether the examples come in another order each epoch."),
    "convert": Argument(FUNCTION, "What makes a tensor of an array."),
    "tokens": Argument(OneOf(("char", "word")), "What a token is: a character or a word."),
    "min_freq": Argument(
        Integer(0, COUNT), "Tokens that occur fewer times than this become <unk>."
    ),
    "num_steps": Argument(
        Integer(1, COUNT),
        "T, the number of tokens in a window: how far gradients flow back in time.",
    ),
    "batch_size": Argument(Integer(1, COUNT), "n, the number of windows in a minibatch."),
    "num_train": Argument(
        Integer(1, COUNT),
        "Number of windows for training, from the beginning of the text, one token apart.",
    ),
    "num_val": Argument(
        Integer(0, COUNT), "Number of windows for validation, which follow them; 0 for none."
    ),
    "noise": Argument(Number(above_0=False), "Standard deviation of the noise of labels."),
    "num_workers": Argument(Integer(0, COUNT), "Of the book's signature; none are started."),
    "root": Argument(File(), "The folder for files of its own."),
    "path": Argument(File(), "The file."),
    "train": Argument(Flag(), "Whether the minibatches of training or of validation are wanted."),
    "as_in_the_book": Argument(Flag(), "Whether the arrays are those of the book to the letter."),
    # The training
    "model": Argument(
        Having("a model", ("configure_optimizers", "get_weights", "check_data")),
        "What is trained.",
        "Such as d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=1).",
    ),
    "key": Argument(Text(), "The name of a line of the plot."),
    "weights": Argument(Having("a dict of arrays", ("keys", "items", "get")), "Arrays by name."),
    "plot_train_per_epoch": Argument(Number(above_0=False), "Points an epoch; 0 plots none."),
    "plot_valid_per_epoch": Argument(Number(above_0=False), "Points an epoch; 0 plots none."),
    "progress": Argument(Flag(), "Whether the progress is shown."),
    "resume": Argument(File(), "The checkpoint to go on from."),
    "checkpoint": Argument(File(), "The file to keep the state of the training in."),
    "max_epochs": Argument(Integer(1, COUNT), "How many times to go over the training windows."),
    "patience": Argument(
        Integer(0, COUNT),
        "End early, when the validation loss has not fallen below its lowest for this many epochs; 0 for "
        "never.",
    ),
    "checkpoint_every": Argument(
        Integer(1, COUNT), "Write a checkpoint after every so many epochs."
    ),
    "keep": Argument(
        Integer(1, COUNT),
        "How many of the last checkpoints to keep, besides that of the lowest validation loss.",
    ),
    "epoch": Argument(Integer(0, COUNT), "How often the training windows were gone over before."),
    "lr": Argument(
        Number(above_0=True), "eta, the learning rate: each step of SGD is -eta times the gradient."
    ),
    "optimizer": Argument(
        OneOf(("sgd", "momentum", "adam")),
        "What makes a step of gradients: sgd takes them as they are, momentum adds up those before, each "
        "time 0.9 of them (section 12.6), adam also divides by their size (section 12.10).",
    ),
    "lr_schedule": Argument(
        OneOf(("constant", "linear", "cosine")),
        "How the learning rate falls from epoch to epoch, towards 0 at the last (section 12.11).",
    ),
    "gradient_clip_val": Argument(
        Number(above_0=False),
        "theta: gradients g are scaled by min(1, theta / ||g||), their global L2 norm; 0 for no "
        "clipping (section 9.5.3).",
        "It bounds the gradients' global L2 norm; 0 is for no clipping.",
    ),
    "num_gpus": Argument(
        Integer(0, COUNT),
        "n: the first n GPUs; of 1, the CPU where there is none; 0: the CPU.",
        "It is how many GPUs of this machine to train on, and 0 is for the CPU.",
    ),
    "devices": Argument(
        Integer(1, COUNT),
        "Over how many CPU devices each minibatch is cut; to try how several train together.",
    ),
    "seed": Argument(
        Integer(0, 2**32 - 1), "Decides the initial weights and the order of the minibatches."
    ),
    # Figures
    "xlabel": Argument(Text(), "The label of the horizontal axis."),
    "ylabel": Argument(Text(), "The label of the vertical axis."),
    "xlim": Argument(Pair(of_sizes=False), "The ends of the horizontal axis."),
    "ylim": Argument(Pair(of_sizes=False), "The ends of the vertical axis."),
    "xscale": Argument(SCALE, "The scale of the horizontal axis."),
    "yscale": Argument(SCALE, "The scale of the vertical axis."),
    "legend": Argument(Words("names", or_text=True), "The names of the lines."),
    "titles": Argument(Words("titles"), "Of the columns."),
    "label": Argument(Text(), "The name of a line."),
    "fmts": Argument(Styles("formats of lines"), "Used in turn."),
    "ls": Argument(Styles("styles of lines"), "Used in turn."),
    "colors": Argument(Styles("colours"), "Used in turn."),
    "cmap": Argument(Text(), "The name of a colour map."),
    "figsize": Argument(Pair(of_sizes=True), "The width and height of a figure in inches."),
    "axes": Argument(Having("axes of Matplotlib's", ("plot", "set_xlim")), "Where to draw."),
    "display": Argument(Flag(), "Whether a plot is shown."),
    # Prediction
    "prefix": Argument(Words("tokens", or_text=True), "The text to continue."),
    "sentences": Argument(Words("sentences"), "The sentences to translate."),
    "src_sentences": Argument(Words("sentences"), "Sentences of the source."),
    "tgt_sentences": Argument(Words("sentences"), "Their translations."),
    "translations": Argument(Words("translations"), "The translations to judge."),
    "pred_seq": Argument(Text(), "The tokens of a prediction, separated by spaces."),
    "label_seq": Argument(Text(), "The tokens of its reference."),
    "k": Argument(Integer(1, COUNT), "The longest sequence of tokens that is looked at."),
    "alpha": Argument(Number(above_0=False), "Of the score log P / L^alpha of a sequence."),
    "step": Argument(FUNCTION, "From tokens and a state to logits and the next state."),
    "followed": Argument(FUNCTION, "From a state and rows to the state of these rows."),
    "end": Argument(Integer(0, COUNT), "The token that ends a sequence."),
    "save_attention_weights": Argument(Flag(), "Whether these are returned too."),
    "num_preds": Argument(Integer(0, COUNT), "How many tokens to continue it by."),
    "temperature": Argument(
        Number(above_0=False),
        "Draw each token from softmax(O_t / temperature), O_t the logits: below 1 the likely become "
        "likelier, above 1 all become alike; 0 always takes the likeliest.",
        "0 always takes the likeliest token.",
    ),
    "beams": Argument(
        Integer(1, 1000),
        "k, how many sequences beam search follows; 1 takes the likeliest token each time.",
    ),
}


def check(**arguments: Any) -> None:
    """Raise `ArgumentError` for the first of `arguments` that is not what `ARGUMENTS` says."""
    check_room({name: checked(name, value) for name, value in arguments.items()})


def check_given(**arguments: Any) -> None:
    """As `check`, of arguments that may be left out, as None."""
    check(**{name: value for name, value in arguments.items() if value is not None})


def checked(name: str, value: Any) -> Any:
    """The argument `name` as Python's own number; `ArgumentError` if it is not what `ARGUMENTS` says."""
    found = expect(name, value, ARGUMENTS[name].rule, ARGUMENTS[name].way_out)
    check_room({name: found})
    return found


def check_layers(num_layers: Any, dropout: Any) -> None:
    """Raise `ArgumentError` unless there is something to drop; both are what they may be."""
    if dropout and num_layers == 1:
        raise ArgumentError(
            f"dropout={dropout!r} would change nothing: it acts between layers, and there is one. Give "
            "num_layers=2 or more, or leave dropout out."
        )


# The sides of what a model holds in one piece.
MATRICES = (
    ("num_hiddens", "num_hiddens"),
    ("num_hiddens", "num_inputs"),
    ("num_hiddens", "vocab_size"),
    ("embed_size", "vocab_size"),
    ("num_hiddens", "embed_size"),
    ("num_hiddens", "query_size"),
    ("num_hiddens", "key_size"),
)
SIZES = {"num_layers"}.union(*MATRICES)


def check_room(sizes: Mapping[str, Any]) -> None:
    """Raise `ArgumentError` if weights of these sizes, which are checked, need more than all memory."""
    if SIZES.isdisjoint(sizes):  # as of what is plotted, which is checked once a minibatch
        return
    given = {name: sizes[name] for sides in MATRICES for name in sides if sizes.get(name)}
    layers = {"num_layers": sizes["num_layers"]} if sizes.get("num_layers") else {}
    of_each = (math.prod(given.get(name, 1) for name in sides) for sides in MATRICES)
    num_bytes = 4 * max(of_each) * layers.get("num_layers", 1)
    if num_bytes > memory():
        name, value = max((given | layers).items(), key=lambda item: item[1])
        raise ArgumentError(
            f"{name}={value} is too large: the weights would take {num_bytes:,} bytes, more than this "
            "machine's memory. Give a smaller one."
        )


def memory() -> int:
    """The memory of this machine in bytes; where it does not tell, more than any has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 2**42


def expect(name: str, value: Any, rule: Rule, way_out: str = "") -> Any:
    """`value` as Python's own; `ArgumentError` for the argument `name` unless `rule` accepts it."""
    if not rule.accepts(value):
        message = f"Expected {name} to be {rule}. Received: {name}={shown(value)}. {way_out}"
        raise ArgumentError(message.rstrip())
    return rule.plain(value)


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 200


def shown(value: Any) -> str:
    """`repr(value)`, of what is long its beginning and its end."""
    return _Short().repr(value)
