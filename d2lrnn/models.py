"""The models that runs, the command line and comparisons know by name, from chapters 9 to 11."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from d2lrnn import backend

# Times the perplexity of a model that knows nothing, which is the size of the vocabulary: above it, a
# training has diverged.
FAR = 1e6


class Model(NamedTuple):
    """A model of the table, by the names of its classes in a backend.

    Attributes:
        section: of the book.
        equations: of the book.
        title: what it is, in a few words.
        kind: the equations of its layer, see `d2lrnn.cells.GATES`.
        layer: the class of its recurrent layer.
        options: of `d2lrnn train`, those that the layer takes besides its sizes, and their defaults.
        whole: the class of the whole.
        num_inputs: whether the layer must be told the size of its inputs.
        numbered: whether its layers have numbers also where there is one, `rnn.0.W_xh`.
        translates: whether it makes a sentence of another, and does not continue a text.
        defaults: of further options of `d2lrnn train`, where they are others than those of most models.
    """

    section: str
    equations: str
    title: str
    kind: str
    layer: str
    options: Mapping[str, Any]
    whole: str = "RNNLM"
    num_inputs: bool = False
    numbered: bool = False
    translates: bool = False
    defaults: Mapping[str, Any] = {}


def _scratch(
    section: str, equations: str, title: str, kind: str, layer: str, **options: Any
) -> Model:
    options = {"sigma": 0.01, **options}
    return Model(section, equations, title, kind, layer, options, "RNNLMScratch", num_inputs=True)


_DEEP: Mapping[str, Any] = {"num_layers": 1, "dropout": 0.0}
_PHI: Mapping[str, Any] = {"activation": "tanh"}

MODELS = {
    "rnn": Model(
        *("9.6", "9.4.5", "a recurrent network on the framework's own layer", "rnn", "RNN"),
        {**_PHI, **_DEEP},
    ),
    "scratch": _scratch(
        *("9.5", "9.4.5", "a recurrent network from scratch", "rnn", "RNNScratch"), **_PHI
    ),
    "lstm": Model(
        "10.1", "10.1.1 to 10.1.4", "an LSTM on the framework's own layer", "lstm", "LSTM", _DEEP
    ),
    "lstm-scratch": _scratch(
        "10.1", "10.1.1 to 10.1.4", "an LSTM from scratch", "lstm", "LSTMScratch"
    ),
    "gru": Model(
        *("10.2", "10.2.1 to 10.2.3", "a GRU on the framework's own layer", "gru_after", "GRU"),
        _DEEP,
    ),
    "gru-scratch": _scratch(
        *("10.2", "10.2.1 to 10.2.3", "a GRU from scratch", "gru_before", "GRUScratch")
    ),
    "deep-scratch": _scratch(
        *("10.3", "10.3.1", "recurrent layers above each other, from scratch", "rnn"),
        *("StackedRNNScratch",),
        num_layers=2,
    )._replace(numbered=True),
    "seq2seq": Model(
        *("10.7", "10.7.1 to 10.7.3", "encoder and decoder of GRUs, to translate"),
        *("gru_after", "GRU"),
        {"num_layers": 2, "dropout": 0.2, "embed_size": 256, "attention": False},
        whole="Seq2Seq",
        translates=True,
        defaults={
            "num_hiddens": 256,
            "num_steps": 9,
            "batch_size": 128,
            "num_train": 512,
            "num_val": 128,
            "max_epochs": 30,
            "lr": 0.005,
            "optimizer": "adam",
            "tokens": "word",
            "min_freq": 2,
        },
    ),
}


# The learning rate that an optimiser takes if nobody says another.
LEARNING_RATES = {"sgd": 1.0, "momentum": 0.1, "adam": 0.01}


def build(options: Mapping[str, Any], *vocab_sizes: int) -> Any:
    """The untrained model `options["model"]`, on the active backend.

    Args:
        options: those of `d2lrnn train`: `model`, `num_hiddens`, `lr`, `seed`, and what the layer takes;
            of one that translates also `tgt_pad`.
        vocab_sizes: number of tokens; of one that translates, those of the source and of the target.
    """
    of_all = _translator if MODELS[options["model"]].translates else _language_model
    model = of_all(options, vocab_sizes)
    if options.get("optimizer") is not None:  # runs of an earlier d2lrnn do not tell
        model.optimizer_name = options["optimizer"]
    return model


def _language_model(options: Mapping[str, Any], vocab_sizes: tuple[int, ...]) -> Any:
    model, d2l = MODELS[options["model"]], backend.active()
    (vocab_size,) = vocab_sizes
    sizes = {"num_hiddens": options["num_hiddens"]}
    if model.num_inputs:
        sizes["num_inputs"] = vocab_size
    others = {
        name: default
        if options.get(name) is None
        else options[name]  # runs of d2lrnn 0.1 lack some
        for name, default in model.options.items()
    }
    layer = getattr(d2l, model.layer)(**sizes, **others, seed=options["seed"])
    whole = getattr(d2l, model.whole)
    return whole(layer, vocab_size=vocab_size, lr=options["lr"], seed=options["seed"])


def build_for(options: Mapping[str, Any], vocabs: Sequence[Any]) -> Any:
    """As `build`, for the vocabulary of a text or for those of pairs of sentences."""
    if MODELS[options["model"]].translates:
        # Not above: the command line lists the table without NumPy.
        from d2lrnn.data.pairs import PAD

        options = {**options, "tgt_pad": vocabs[-1][PAD]}
    return build(options, *map(len, vocabs))


def _translator(options: Mapping[str, Any], vocab_sizes: tuple[int, ...]) -> Any:
    d2l = backend.active()
    names = ("embed_size", "num_hiddens", "num_layers", "dropout", "seed")
    settings = {name: options[name] for name in names}
    src, tgt = vocab_sizes
    decoder = d2l.Seq2SeqAttentionDecoder if options["attention"] else d2l.Seq2SeqDecoder
    return d2l.Seq2Seq(
        d2l.Seq2SeqEncoder(src, **settings),
        decoder(tgt, **settings),
        tgt_pad=options["tgt_pad"],
        lr=options["lr"],
    )


def num_parameters(model: Model, *vocab_sizes: int, num_hiddens: int) -> int:
    """How many numbers a model of the table learns, as it is without options."""
    options = {**model.options, "num_hiddens": num_hiddens, **model.defaults}
    of_all = _translator_shapes if model.translates else partial(_shapes, model)
    return sum(math.prod(shape) for shape in of_all(options, *vocab_sizes).values())


def shapes(options: Mapping[str, Any], *vocab_sizes: int) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of that model by canonical name; no framework is needed to know them."""
    model = MODELS[options["model"]]
    of_all = _translator_shapes if model.translates else partial(_shapes, model)
    return of_all(options, *vocab_sizes)


def _shapes(
    model: Model, options: Mapping[str, Any], vocab_size: int
) -> dict[str, tuple[int, ...]]:
    from d2lrnn.cells import GATES  # not above: the command line lists the table without NumPy

    h = options["num_hiddens"]
    num_layers = options.get("num_layers") or 1
    found: dict[str, tuple[int, ...]] = {}
    for index in range(num_layers):
        path = f"rnn.{index}." if num_layers > 1 or model.numbered else "rnn."
        num_inputs = h if index else vocab_size
        of_gate = {"W_x": (num_inputs, h), "W_h": (h, h), "b_": (h,)}
        found |= {
            f"{path}{part}{g}": shape for g in GATES[model.kind] for part, shape in of_gate.items()
        }
    return {**found, "linear.W_hq": (h, vocab_size), "linear.b_q": (vocab_size,)}


def _translator_shapes(
    options: Mapping[str, Any], src: int, tgt: int
) -> dict[str, tuple[int, ...]]:
    h, embed = options["num_hiddens"], options["embed_size"]
    found: dict[str, tuple[int, ...]] = {}
    for part, size, num_inputs in ("encoder", src, embed), ("decoder", tgt, embed + h):
        found[f"{part}.embedding.W"] = (size, embed)
        layers = _shapes(MODELS["gru"], options, num_inputs)
        found |= {f"{part}.{name}": s for name, s in layers.items() if name.startswith("rnn.")}
    if options["attention"]:
        found |= {"decoder.attention.W_q": (h, h), "decoder.attention.W_k": (h, h)}
        found["decoder.attention.w_v"] = (h, 1)
    return {**found, "decoder.dense.W_hq": (h, tgt), "decoder.dense.b_q": (tgt,)}


def layer_classes() -> tuple[type, ...]:
    """The recurrent layers of the table, on the active backend."""
    return tuple({getattr(backend.active(), model.layer) for model in MODELS.values()})


def model_classes() -> tuple[type, ...]:
    """The language models of the table, on the active backend."""
    wholes = {model.whole for model in MODELS.values() if not model.translates}
    return tuple(getattr(backend.active(), name) for name in wholes)
