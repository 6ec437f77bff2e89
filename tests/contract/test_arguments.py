"""What every public constructor, method and function says of an argument that it cannot take.

The text stands here once, so it is the same on every framework. Each argument is tried with all of
`VALUES` but those that it may be: no error comes from deep inside, and nothing is taken silently.
"""

import inspect
import math

import numpy as np
import pytest
from kinds import BIG, HUGE, VALUES, Kind, assert_told

import d2lrnn as d2l
from d2lrnn import backend, decoding
from d2lrnn.backend import CLASSES, DEVICES, TENSOR_FUNCTIONS
from d2lrnn.data import minibatches, tokenizer
from d2lrnn.errors import ArgumentError

NUMBERS = (1.5, np.float32(2), BIG, HUGE)
SIZE = Kind("an integer of at least 1", (BIG, HUGE))  # for which there are bytes to be told
COUNT = Kind("an integer from 1 to 2**31 - 1")
COUNT_OR_0 = Kind("an integer from 0 to 2**31 - 1", (0,))
SEED = Kind("an integer from 0 to 2**32 - 1", (0,))
POSITIVE = Kind("a positive number", NUMBERS)
FROM_0 = Kind("a number of at least 0", (0, *NUMBERS))
SHARE = Kind("a number of at least 0 and below 1", (0,))
FLAG = Kind("True or False", (True, np.bool_(True)))
ACTIVATION = Kind("one of {'tanh', 'relu'}")
CELL = Kind("one of {'gru', 'lstm'}")
TOKENS = Kind("one of {'char', 'word'}")
LAYER = Kind("a layer")
PATH = Kind("a path", ("3",))
TEXT = Kind("a str", ("", "3"))
SENTENCES = Kind("a list of sentences", ([],))
PREFIX = Kind("a str or a list of tokens", ("", "3", []))
VOCAB = Kind("a vocabulary")
DATA, MODEL = Kind("data"), Kind("a model")
WEIGHTS = Kind("a dict of arrays", ({},))
FUNCTION = Kind("a function")
ARRAY = Kind("numbers, at least one", (0, -1, *NUMBERS[:-1], math.nan, math.inf), by_shape=True)
TOKEN_ARRAY = Kind("tokens, whole numbers (batch_size, num_steps), at least one", by_shape=True)
TOKEN = TOKEN_ARRAY._replace(fine=(0, -1, BIG))  # of one token or several
STATE = Kind(
    "1 array(s) (1, 2, 4), (num_layers, batch_size, num_hiddens), as this model returned it",
    (None,),
)
BEGUN = Kind("one that `encode` or `step` returned")
LENGTHS = Kind("whole numbers (batch_size,), from 1 to the number of tokens of a source", (None,))
DEVICE = Kind("that of the model, or None", (None,))
BATCH = Kind("tensors (source, decoder input, valid lengths)")

SCRATCH = {"num_inputs": SIZE, "num_hiddens": SIZE, "sigma": POSITIVE, "seed": SEED.or_none()}
HIGH_LEVEL = {
    "num_inputs": SIZE.or_none(),
    "num_hiddens": SIZE,
    "num_layers": SIZE,
    "dropout": SHARE,
    "seed": SEED.or_none(),
}
ATTENTION = {"query_size": SIZE.or_none(), "key_size": SIZE.or_none(), "seed": SEED.or_none()}
LANGUAGE = {"rnn": LAYER, "vocab_size": SIZE, "lr": POSITIVE, "seed": SEED.or_none()}
CODER = {
    **dict.fromkeys(("vocab_size", "embed_size", "num_hiddens", "num_layers"), SIZE),
    "dropout": SHARE,
    "cell": CELL,
    "seed": SEED.or_none(),
}
PLOTS = {"plot_train_per_epoch": FROM_0, "plot_valid_per_epoch": FROM_0}
SPLIT = {"num_train": COUNT, "num_val": COUNT_OR_0, "seed": SEED, "root": PATH.or_none()}
OF_TEXT = {
    "batch_size": COUNT,
    "num_steps": COUNT,
    **SPLIT,
    "num_train": COUNT.or_none(),
    "num_val": COUNT_OR_0.or_none(),
    "tokens": TOKENS,
    "min_freq": COUNT_OR_0,
    "keep_case": FLAG,
    "keep_punctuation": FLAG,
    "vocab": VOCAB.or_none(),
}
OF_PAIRS = {"batch_size": COUNT.or_none(), "num_steps": COUNT, **SPLIT, "as_in_the_book": FLAG}

# The arguments of each class, besides those that are fine.
CONSTRUCTORS = {
    **dict.fromkeys(("LSTMScratch", "GRUScratch", "BiRNNScratch"), SCRATCH),
    **dict.fromkeys(("LSTM", "GRU", "BiGRU", "BiLSTM"), HIGH_LEVEL),
    "RNNScratch": {**SCRATCH, "activation": ACTIVATION},
    "RNN": {**HIGH_LEVEL, "activation": ACTIVATION},
    "StackedRNNScratch": {**SCRATCH, "num_layers": SIZE},
    "RNNLMScratch": LANGUAGE,
    "RNNLM": LANGUAGE,
    **dict.fromkeys(("Seq2SeqEncoder", "Seq2SeqDecoder", "Seq2SeqAttentionDecoder"), CODER),
    "EncoderDecoder": {"encoder": LAYER, "decoder": LAYER, **PLOTS},
    "Seq2Seq": {"encoder": LAYER, "decoder": LAYER, "tgt_pad": COUNT_OR_0, "lr": POSITIVE},
    "DotProductAttention": {"dropout": SHARE, "seed": SEED.or_none()},
    "AdditiveAttention": {"num_hiddens": SIZE, "dropout": SHARE, **ATTENTION},
    **dict.fromkeys(("Module", "Classifier", "Encoder", "Decoder", "AttentionDecoder"), PLOTS),
    "LinearRegressionScratch": {
        "num_inputs": SIZE,
        "lr": POSITIVE,
        "sigma": POSITIVE,
        "seed": SEED.or_none(),
    },
    "LinearRegression": {"lr": POSITIVE},
    "SGD": {"lr": POSITIVE},
    "SyntheticRegressionData": {
        "w": ARRAY,
        "b": ARRAY,
        "noise": FROM_0,
        "num_train": COUNT,
        "num_val": COUNT_OR_0,
        "batch_size": COUNT,
        "seed": SEED,
    },
    "DataModule": {"root": PATH.or_none(), "num_workers": COUNT_OR_0, "seed": SEED},
    "TimeMachine": OF_TEXT,
    "TextFile": {"path": PATH, **OF_TEXT},
    "MTFraEng": OF_PAIRS,
    "PairFile": {"path": PATH, **OF_PAIRS},
    "Trainer": {
        "max_epochs": COUNT,
        "num_gpus": COUNT_OR_0,
        "gradient_clip_val": FROM_0,
        "progress": FLAG,
        "patience": COUNT_OR_0,
        "checkpoint_every": COUNT,
        "keep": COUNT,
        "devices": COUNT,
        "lr_schedule": Kind("one of {'constant', 'linear', 'cosine'}"),
    },
}

GOOD = {
    "num_inputs": 3,
    "num_hiddens": 4,
    "num_layers": 1,
    "vocab_size": 3,
    "embed_size": 2,
    "lr": 1,
    "w": np.ones(2, np.float32),
    "b": 0.5,
    "max_epochs": 1,
    "tgt_pad": 0,
    "path": "sea.txt",
    "batch_size": 2,
    "num_steps": 3,
    "num_train": 4,
    "num_val": 2,
}
# Not numbers and the like: what a class of one framework alone has, or Flax's own.
OTHERS = {
    "prefix",
    "params",
    "kernel_init",
    "parent",
    "name",
    "training",
    "half",
    "options",
    "args",
    "kwargs",
}


@pytest.fixture(scope="module")
def parts():
    encoder, decoder = d2l.Seq2SeqEncoder(5, 3, 4, 1), d2l.Seq2SeqDecoder(6, 3, 4, 1)
    return {"rnn": d2l.RNNScratch(3, 4, 0.5), "encoder": encoder, "decoder": decoder}


def made(name, parts, **arguments):
    """An object of the class of this name; what it needs besides `arguments` is fine."""
    cls = getattr(d2l, name)
    known = inspect.signature(cls).parameters
    if name == "SGD" and "params" in known:
        arguments["params"] = ()
    return cls(**{n: v for n, v in {**GOOD, **parts}.items() if n in known} | arguments)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_an_argument_of_a_constructor(name, parts):
    known = inspect.signature(getattr(d2l, name)).parameters
    for argument, kind in CONSTRUCTORS[name].items():
        if argument in known or "options" in known:
            assert_told(kind, argument, lambda v, n=argument: made(name, parts, **{n: v}))


def test_every_argument_of_every_constructor_is_in_the_table():
    missing = {
        name: others
        for name in (*CLASSES, *d2l._OF_TENSORS)
        if inspect.isclass(getattr(d2l, name))
        and name != "nn_Module"
        and (
            others := inspect.signature(getattr(d2l, name)).parameters.keys()
            - CONSTRUCTORS[name].keys()
            - OTHERS
        )
    }
    assert missing == {}


@pytest.mark.parametrize("size", [BIG, HUGE])
def test_sizes_whose_weights_no_machine_holds_are_refused_in_bytes(size, parts):
    tried = 0
    for name, arguments in CONSTRUCTORS.items():
        known = inspect.signature(getattr(d2l, name)).parameters
        for argument, kind in arguments.items():
            if kind.said == SIZE.said and argument in known:
                tried += 1
                said = rf"^{argument}={size} is too large: the weights would take [\d,]+ bytes, more than"
                with pytest.raises(ArgumentError, match=said):
                    made(name, parts, **{argument: size})
    assert tried > 40


NOT_TWO = ("dropout", "num_workers", "num_gpus", "devices")  # of what there is less here


@pytest.mark.filterwarnings("ignore:Using another text")  # as where the book's cannot be had
@pytest.mark.parametrize(
    "name", [n for n in CONSTRUCTORS if n not in ("TextFile", "PairFile", "MTFraEng")]
)
def test_numbers_of_numpy_are_taken_and_kept_as_pythons(name, parts):
    kinds = {SIZE.said: np.int64(2), COUNT.said: np.int32(2), COUNT_OR_0.said: np.uint8(2)}
    kinds |= {SEED.said: np.uint32(2), POSITIVE.said: np.float32(0.5), SHARE.said: np.float64(0.5)}
    kinds |= {FROM_0.said: np.int64(2), FLAG.said: np.False_}
    known = inspect.signature(getattr(d2l, name)).parameters
    given = {
        argument: kinds[kind.said]
        for argument, kind in CONSTRUCTORS[name].items()
        if kind.said in kinds and argument in known and argument not in NOT_TWO
    }
    found = made(name, parts, **given)
    for argument, value in given.items():
        if argument == "num_hiddens" and getattr(found, "bidirectional", False):
            value = 2 * value
        kept = getattr(found, argument, value.item())
        assert kept == value and type(kept) is type(value.item()), argument


# Methods and functions --------------------------------------------------------------------------------

WORDS = "the sea has told the tides since before the town had a name\n"
SENTENCE_PAIRS = "go .\tva !\n" * 4 + "i lost .\tj'ai perdu .\n" * 4


@pytest.fixture(scope="module")
def things(tmp_path_factory, parts):
    """What has methods, made once."""
    folder = tmp_path_factory.mktemp("arguments")
    (folder / "sea.txt").write_text(WORDS, encoding="utf-8")
    (folder / "pairs.tsv").write_text(SENTENCE_PAIRS, encoding="utf-8")
    data = d2l.TextFile(folder / "sea.txt", 2, 3, 8, 4)
    pairs = d2l.PairFile(folder / "pairs.tsv", 2, 4, 6, 2)
    size = len(data.vocab)
    model = d2l.RNNLM(d2l.RNN(num_inputs=size, num_hiddens=4, num_layers=1), vocab_size=size, lr=1)
    encoder = d2l.Seq2SeqEncoder(len(pairs.src_vocab), 3, 4, 1)
    decoder = d2l.Seq2SeqAttentionDecoder(len(pairs.tgt_vocab), 3, 4, 1)
    return {
        "data": data,
        "pairs": pairs,
        "regression": d2l.SyntheticRegressionData(np.ones(2, np.float32), 1, 0.1, 4, 4),
        "model": model,
        "translator": d2l.Seq2Seq(encoder, decoder, tgt_pad=0, lr=0.1),
        "trainer": d2l.Trainer(max_epochs=1, progress=False),
        "vocab": data.vocab,
        "loader": minibatches.Minibatches([TWO], 1, shuffle=True),
    }


TWO = np.zeros((2, 3), np.int32)
SOURCE = {"src": TWO, "tgt": TWO, "valid_lens": np.array([3, 1])}
PREDICTION = {"prefix": "the", "num_preds": 2}
SENTENCE = {"sentences": ["go ."]}
SAMPLING = {"temperature": FROM_0.or_none(), "seed": SEED.or_none()}
BEAMS = {"beams": Kind("an integer from 1 to 1000"), "alpha": FROM_0}
SAMPLED = {"prefix": PREFIX, "num_preds": COUNT_OR_0, "vocab": VOCAB, **SAMPLING}
SEARCH = {"step": len, "state": None, "first": [0], "end": 0, "num_steps": 2, "beams": 1}
STEP_OF_BATCH = {"token": [0, 1], "state": None}

# Whose method of what name, arguments that are fine, and what each may be.
METHODS = [
    ("model", "logits", {"X": TWO}, {"X": TOKEN_ARRAY, "state": STATE}),
    ("model", "states", {"X": TWO}, {"X": TOKEN_ARRAY, "state": STATE}),
    ("model", "step", STEP_OF_BATCH, {"token": TOKEN, "state": STATE, "device": DEVICE}),
    ("model", "gradients", {"X": TWO, "Y": TWO}, {"X": ARRAY, "Y": ARRAY, "state": STATE}),
    ("model", "predict", {**PREDICTION, "vocab": "vocab"}, {**SAMPLED, "device": DEVICE}),
    ("model", "save", {}, {"path": PATH}),
    ("model", "load", {}, {"path": PATH}),
    ("model", "set_weights", {}, {"weights": WEIGHTS._replace(fine=({}, []))}),
    ("model", "plot", {"key": "loss", "value": 1, "train": True}, {"key": TEXT, "train": FLAG}),
    (
        "translator",
        "logits",
        SOURCE,
        {**dict.fromkeys(("src", "tgt"), TOKEN_ARRAY), "valid_lens": LENGTHS},
    ),
    ("translator", "encode", {"src": TWO}, {"src": TOKEN_ARRAY, "valid_lens": LENGTHS}),
    ("translator", "step", {"tokens": [0], "state": ()}, {"tokens": TOKEN, "state": BEGUN}),
    (
        "translator",
        "attention_weights",
        {"tgt": TWO, "state": ()},
        {"tgt": TOKEN_ARRAY, "state": BEGUN},
    ),
    ("translator", "predict_step", {"batch": ()}, {"batch": BATCH, "num_steps": COUNT}),
    ("translator", "predict_step", {"batch": ()}, {"save_attention_weights": FLAG}),
    (
        "translator",
        "translate",
        {**SENTENCE, "data": "pairs"},
        {"sentences": SENTENCES, "data": DATA},
    ),
    ("translator", "translate", {**SENTENCE, "data": "pairs"}, BEAMS),
    ("trainer", "fit", {"model": "model", "data": "data"}, {"model": MODEL, "data": DATA}),
    (
        "trainer",
        "fit",
        {"model": "model", "data": "data"},
        {"resume": PATH.or_none(), "checkpoint": PATH.or_none()},
    ),
    ("trainer", "validate", {"model": "model", "data": "data"}, {"model": MODEL, "data": DATA}),
    ("trainer", "save_checkpoint", {}, {"path": PATH}),
    *((owner, "get_dataloader", {}, {"train": FLAG}) for owner in ("data", "pairs", "regression")),
    ("data", "get_tensorloader", {"tensors": (TWO,)}, {"train": FLAG}),
    ("pairs", "sentences", {}, {"train": FLAG}),
    ("pairs", "references", {}, {"sentences": SENTENCES}),
    ("pairs", "build", {"tgt_sentences": ["va !"]}, {"src_sentences": SENTENCES}),
    ("pairs", "build", {"src_sentences": ["go ."]}, {"tgt_sentences": SENTENCES}),
    (
        d2l,
        "bleu",
        {"pred_seq": "a", "label_seq": "a", "k": 1},
        {"pred_seq": TEXT, "label_seq": TEXT, "k": COUNT},
    ),
    (
        d2l,
        "corpus_scores",
        {"references": [["a"]]},
        {"translations": Kind("a list of translations", ([],))},
    ),
    (d2l, "corpus_scores", {"translations": ["a"]}, {"references": Kind("a list", ([],))}),
    (d2l, "Vocab", {}, {"min_freq": COUNT_OR_0}),
    (
        d2l,
        "Vocab",
        {},
        {"reserved_tokens": Kind("a list of strings", ([], {}, *VALUES[-2:]))},
    ),
    (
        decoding,
        "beam_search",
        SEARCH,
        {"step": FUNCTION, "followed": FUNCTION, "end": COUNT_OR_0.or_none()},
    ),
    (decoding, "beam_search", SEARCH, {"num_steps": COUNT, **BEAMS}),
    (
        decoding,
        "continuation",
        {"step": len, **PREDICTION, "vocab": "vocab"},
        {"step": FUNCTION, **SAMPLED},
    ),
    (decoding, "stepper", {"weights": {}}, {"weights": WEIGHTS, "activation": ACTIVATION}),
    (
        minibatches,
        "Minibatches",
        {"arrays": [TWO], "batch_size": 1, "shuffle": True},
        {"batch_size": COUNT},
    ),
    (minibatches, "Minibatches", {"arrays": [TWO], "batch_size": 1}, {"shuffle": FLAG}),
    (
        minibatches,
        "Minibatches",
        {"arrays": [TWO], "batch_size": 1, "shuffle": True},
        {"seed": SEED},
    ),
    ("loader", "set_epoch", {}, {"epoch": COUNT_OR_0}),
    (
        tokenizer,
        "Tokenizer",
        {},
        {
            "tokens": TOKENS,
            "letters": Kind("one of {'a-z', 'any', 'all'}", (None,)),
            "joined": FLAG,
        },
    ),
    ("vocab", "split", {}, {"text": TEXT}),
]


@pytest.mark.parametrize(
    "owner, name, good, kinds",
    METHODS,
    ids=[f"{getattr(o, '__name__', o)}.{n}" for o, n, *_ in METHODS],
)
def test_an_argument_of_a_method(owner, name, good, kinds, things):
    function = getattr(things[owner] if isinstance(owner, str) else owner, name)
    known = inspect.signature(function).parameters
    good = {n: things.get(v, v) if isinstance(v, str) else v for n, v in good.items()}
    if "params" in known and name == "predict_step":
        good["params"] = things[owner].params
    for argument, kind in kinds.items():
        if argument in known:
            assert_told(kind, argument, lambda v, n=argument: function(**{**good, n: v}))


# What is public and not tried here, by the reason.
ELSEWHERE = {
    "takes tensors, of which the framework itself says what is wrong": [
        *(*TENSOR_FUNCTIONS, *DEVICES, "try_gpu", "masked_softmax", "nn_Module", "init_seq2seq"),
        *("GRUCell", "LSTMCell", "RNNCell", "get_key", "set_seed", "versions"),
    ],
    "is the core's, the same on all: tests/core/test_arguments.py": [
        *("plot", "set_axes", "set_figsize", "show_beams", "show_heatmaps", "ProgressBoard"),
        *("show_list_len_pair_hist", "compare", "download", "extract", "check_len", "check_shape"),
    ],
    "takes a class or names of the reader's: tests/core/test_hyperparameters.py": [
        *("HyperParameters", "add_to_class"),
    ],
    "takes nothing": ["use_svg_display"],
    "is tried as that of its module": ["beam_search"],
}


def test_every_public_name_is_tried_or_has_a_reason():
    public = {*d2l._CORE, *backend.active().__all__}
    functions = {name for name in public if callable(getattr(d2l, name))}
    tried = {*CONSTRUCTORS, *(name for owner, name, *_ in METHODS if owner is d2l)}
    reasons = {name for names in ELSEWHERE.values() for name in names}
    assert functions - tried - reasons == set()
    assert tried & reasons == set()
