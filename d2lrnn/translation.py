"""What a model of encoder and decoder is, whatever the framework: translations and their score.

A backend's `EncoderDecoder` derives from its `Classifier` and from `Translator`. Its `encoder` makes
outputs and a state of the source; its `decoder` begins with `init_state` of these and makes logits of
the tokens before (book, sections 10.6 and 10.7). An encoder is given the valid lengths of the sources.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from d2lrnn import backend, decoding
from d2lrnn.arguments import Words, check, shown
from d2lrnn.cells import names_of
from d2lrnn.data.minibatches import Minibatches
from d2lrnn.data.pairs import BOS, EOS, sources_in
from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import as_array, check_numbers, check_tokens, on_host
from d2lrnn.module import is_library_code, is_whole, nested
from d2lrnn.weights import ATTENTION, Weights, recurrent_parts, to_canonical

Array = np.ndarray[Any, Any]


class Translation(NamedTuple):
    """A sentence and its translation.

    Attributes:
        source: the tokens of the sentence, with `<eos>`.
        tokens: those of the translation, without it.
        log_probability: of the translation with its `<eos>`, in nats.
        weights: of attention: for each token of the translation and its `<eos>`, how much each of the
            source counted, (tokens + 1, source), rows sum to 1. None without attention.
        kept: what beam search kept in each step, with tokens for their indices; `show_beams` draws it.
    """

    source: list[str]
    tokens: list[str]
    log_probability: float
    weights: Array | None
    kept: list[list[decoding.Kept]]

    def __str__(self) -> str:
        return " ".join(self.tokens)


class Translator:
    """A model that makes a target sequence of a source sequence."""

    loss_is_of_tokens = True  # so that exp of it is a perplexity
    encoder: Any
    decoder: Any
    evaluator: Callable[..., Any]
    check_device: Callable[[Any], None]
    gradients_of: Callable[..., tuple[float, Weights]]
    _sized: Callable[[], Any]

    def logits(self, src: Any, tgt: Any, valid_lens: Any = None) -> Array:
        """The logits (batch_size, num_steps, vocab_size) after each of the tokens `tgt`, in NumPy.

        Args:
            src: the source, tokens (batch_size, num_steps).
            tgt: what the decoder is given, `<bos>` and the target (batch_size, num_steps).
            valid_lens: the lengths of the sources without padding (batch_size,).
        """
        src, valid_lens = self.check_source(src, valid_lens)
        tgt = self.check_target("tgt", tgt, len(src))
        logits: Array = self.evaluator(_logits)(src, tgt, valid_lens)
        return logits

    def encode(self, src: Any, valid_lens: Any = None) -> Any:
        """The state in which the decoder begins, after the source, in NumPy."""
        return self.evaluator(_encode)(*self.check_source(src, valid_lens))

    def step(self, tokens: Any, state: Any) -> tuple[Array, Any]:
        """The logits (batch_size, vocab_size) of what follows `tokens` (batch_size,), and the new state."""
        tokens = self.check_target("tokens", as_array("tokens", tokens).reshape(-1, 1))
        logits, state = self.evaluator(_decode)(tokens, check_begun(state))
        return logits[:, -1], state

    def gradients(self, *batch: Any) -> tuple[float, Weights]:
        """The mean loss of a minibatch of arrays, and its gradients by canonical name, not clipped."""
        own = self._sized()
        if not batch:
            raise ArgumentError("Expected the arrays of a minibatch. Received: none.")
        arrays = [check_numbers("batch", array) for array in batch]
        self.check_arrays(arrays)
        loss, gradients = self.gradients_of(*arrays)
        layout = [p for p in own.layout(self) if p.names and p.path in gradients]
        return loss, to_canonical(layout, gradients)

    def infer_sizes(self) -> None:
        """Give layers that wait for their first input their sizes, by a run over one token."""
        one = np.zeros((1, 1), np.int32)
        self.logits(one, one, np.ones(1, np.int32))

    def num_tokens(self, labels: Any) -> Array:
        """How many tokens of each sentence count in the loss: those that are no padding."""
        pad = getattr(self, "tgt_pad", None)
        if not isinstance(labels, np.ndarray):  # of a reader's step, before they are on the device
            labels = backend.active().numpy(labels)
        of_all = np.ones(labels.shape, bool) if pad is None else labels != pad
        counted: Array = of_all.sum(axis=1)
        return counted

    def is_whole(self) -> bool:
        """Whether the library wrote all of the model, and a reader replaced or hooked into no part of it.

        Its weights are then those of the equations, and no others.
        """
        d2l = backend.active()
        decoders = d2l.Seq2SeqDecoder, d2l.Seq2SeqAttentionDecoder
        parts = (self, d2l.Seq2Seq), (self.encoder, d2l.Seq2SeqEncoder), (self.decoder, *decoders)
        if not all(is_whole(part, *classes) for part, *classes in parts):
            return False
        inside = [getattr(part, "rnn", None) for part in (self.encoder, self.decoder)]
        inside.append(getattr(self.decoder, "attention", None))
        layers = d2l.GRU, d2l.LSTM, d2l.AdditiveAttention
        if not all(part is None or is_whole(part, *layers) for part in inside):
            return False
        found = sorted(name for piece in self._sized().layout(self) for name in piece.names)
        return found == sorted(self._own_names()) and not d2l.weights.has_hooks(self)

    def _own_names(self) -> list[str]:
        """The names of the weights of a model that the library made."""
        names = ["decoder.dense.W_hq", "decoder.dense.b_q"]
        if _attends(self.decoder):
            names += [f"decoder.attention.{name}" for name in ATTENTION]
        for side in "encoder", "decoder":
            part, kind = getattr(self, side), {"gru": "gru_after", "lstm": "lstm"}
            names.append(f"{side}.embedding.W")
            for *_, prefix in recurrent_parts(f"{side}.rnn.", part.num_layers):
                names += names_of(kind[part.cell], prefix)
        return names

    # Decoding -------------------------------------------------------------------------------------------

    def predict_step(
        self,
        batch: Any,
        device: Any = None,
        num_steps: int = 9,
        save_attention_weights: bool = False,
    ) -> tuple[Any, list[Any]]:
        """The likeliest token each time, `num_steps` of them (book, section 10.7.6).

        Args:
            batch: source, decoder input, whose first tokens are taken, and valid lengths, as tensors.
            device: where to compute: where the model is.
            num_steps: how many tokens.
            save_attention_weights: whether to return those as well.

        Returns:
            Tokens (batch_size, num_steps), and for each step the list of the decoder's attention weights,
            one tensor (batch_size, 1, num_keys).
        """
        self.check_device(device)
        check(num_steps=num_steps, save_attention_weights=save_attention_weights)
        if not isinstance(batch, list | tuple) or len(batch) < 3:
            raise ArgumentError(
                "Expected batch to be tensors (source, decoder input, valid lengths). Received: batch="
                f"{shown(batch)}."
            )
        d2l = backend.active()
        src, tgt, valid_lens = map(_whole, batch[:3])
        tgt = self.check_target("batch[1]", tgt)
        state, tokens = self.encode(src, valid_lens), [tgt[:, 0]]
        weights: list[Any] = []
        for _ in range(num_steps):
            if save_attention_weights:
                weights.append([d2l.tensor(self.attention_weights(tokens[-1][:, None], state))])
            logits, state = self.step(tokens[-1], state)
            tokens.append(logits.argmax(axis=-1).astype(np.int32))
        return d2l.tensor(np.stack(tokens[1:], axis=1)), weights

    def attention_weights(self, tgt: Any, state: Any) -> Array:
        """How much each key counts for each of the tokens `tgt` (batch_size, num_steps), from `state`.

        Returns:
            Weights (batch_size, num_steps, num_keys), in NumPy.
        """
        if not _attends(self.decoder):
            raise ArgumentError(
                f"{type(self.decoder).__name__} has no attention: use d2l.Seq2SeqAttentionDecoder."
            )
        weights: Array = self.evaluator(_attend)(self.check_target("tgt", tgt), check_begun(state))
        return weights

    def translate(
        self, sentences: Sequence[str], data: Any, beams: int = 1, alpha: float = 0.75
    ) -> list[str]:
        """Translate sentences, all in one minibatch; the arguments are those of `translations`."""
        return [str(one) for one in self.translations(sentences, data, beams, alpha)]

    def translations(
        self, sentences: Sequence[str], data: Any, beams: int = 1, alpha: float = 0.75
    ) -> list[Translation]:
        """Translate sentences, and tell how.

        Args:
            sentences: of the language of the sources.
            data: that the model was trained on, for its vocabularies, and how its text was read.
            beams: k, how many sequences are followed (book, section 10.8.3); 1 is greedy decoding.
            alpha: of the score log P / L^alpha, by which sequences of different lengths L are compared.

        Raises:
            ArgumentError: no sentences, or one that is empty; beams below 1.
        """
        if isinstance(sentences, str):
            raise ArgumentError(
                f"Expected sentences to be a list of sentences. Received: sentences={sentences!r}; write "
                f"[{sentences!r}]."
            )
        check(sentences=sentences, data=data, beams=beams, alpha=alpha)
        if not sentences:
            raise ArgumentError("Expected at least one sentence. Received: none.")
        batch = data.build(sentences, ["."] * len(sentences))
        typed = sources_in(data, sentences)
        src, tgt, valid_lens = map(_whole, batch[:3])
        found = decoding.beam_search(
            self.step,
            self.encode(*(np.repeat(array, beams, axis=0) for array in (src, valid_lens))),
            np.full(len(src), data.tgt_vocab[BOS]),
            data.tgt_vocab[EOS],
            data.num_steps,
            beams,
            alpha,
            followed=_followed,
        )
        weights = self._weights_of([one.tokens for one in found], src, valid_lens, tgt[0, 0])
        return [
            Translation(
                [*tokens[: int(length) - 1], EOS],
                data.tgt_vocab.to_tokens(one.tokens),
                one.log_probability,
                None if weight is None else weight[: len(one.tokens) + 1, : int(length)],
                _named(one.kept, data.tgt_vocab),
            )
            for tokens, length, one, weight in zip(typed, valid_lens, found, weights, strict=True)
        ]

    def _weights_of(
        self, translations: list[list[int]], src: Array, valid_lens: Array, first: int
    ) -> list[Array | None]:
        """The attention weights of each translation, of all steps at once."""
        if not _attends(self.decoder):
            return [None] * len(translations)
        given = np.full((len(src), 1 + max(map(len, translations))), first, np.int32)
        for row, tokens in zip(given, translations, strict=True):
            row[1 : 1 + len(tokens)] = tokens
        return list(self.attention_weights(given, self.encode(src, valid_lens)))

    # Checks ---------------------------------------------------------------------------------------------

    def check_data(self, data: Any, train_loader: Any, val_loader: Any) -> None:
        """Raise an ArgumentError if the vocabularies or the tokens are not of this model's sizes."""
        for side, part in ("src", self.encoder), ("tgt", self.decoder):
            vocab, size = getattr(data, f"{side}_vocab", None), getattr(part, "vocab_size", None)
            if vocab is not None and size is not None and len(vocab) != size:
                raise ArgumentError(
                    f"The data's {side}_vocab has {len(vocab)} tokens, the {type(part).__name__} was made "
                    f"for vocab_size={size}. Make it with vocab_size=len(data.{side}_vocab)."
                )
        for loader in train_loader, val_loader:
            if isinstance(loader, Minibatches):
                self.check_arrays(loader.arrays)

    def check_batch(self, batch: Any) -> None:
        """Raise an ArgumentError if a minibatch does not hold tokens of this model."""
        if isinstance(batch, tuple | list):
            self.check_arrays([on_host(tensor) for tensor in batch])

    def check_arrays(self, arrays: Sequence[Any]) -> None:
        """As `check_batch`, of arrays (source, decoder input, ..., label)."""
        if not is_library_code(getattr(self, "forward", None)):
            return  # a reader's model takes what it takes
        if len(arrays) < 3:
            raise ArgumentError(
                "Expected minibatches (source, decoder input, valid lengths, label). Received: "
                f"{len(arrays)} array(s) of shapes {[array.shape for array in arrays]}."
            )
        parts = (
            (0, "source", self.encoder),
            (1, "decoder input", self.decoder),
            (-1, "label", self.decoder),
        )
        for index, name, part in parts:
            size = getattr(part, "vocab_size", None)
            if size:
                check_tokens(f"The {name}", _whole(arrays[index]), size)

    def check_source(self, src: Any, valid_lens: Any) -> tuple[Array, Array | None]:
        """The source and its valid lengths as arrays; an ArgumentError if they are none of the encoder's."""
        if not is_library_code(type(self.encoder)):
            return np.asarray(src), None if valid_lens is None else np.asarray(valid_lens)
        src = check_tokens("src", src, self.encoder.vocab_size)
        if valid_lens is None:
            return src, None
        lengths = as_array("valid_lens", valid_lens)
        is_one_of_each = lengths.shape == (len(src),) and lengths.dtype.kind in "iu"
        if not is_one_of_each or not 1 <= lengths.min() <= lengths.max() <= src.shape[1]:
            raise ArgumentError(
                "Expected valid_lens to be whole numbers (batch_size,), from 1 to the number of tokens of a "
                f"source. Received: valid_lens={shown(valid_lens)}, for src of shape {src.shape}."
            )
        return src, lengths

    def check_target(self, name: str, tgt: Any, batch_size: int | None = None) -> Array:
        """Tokens of the target as an array; an ArgumentError if they are none of the decoder's."""
        if not is_library_code(type(self.decoder)):
            return np.asarray(tgt)
        tokens = check_tokens(name, tgt, self.decoder.vocab_size)
        if batch_size not in (None, len(tokens)):
            raise ArgumentError(
                f"Expected {name} to have a row for each of the {batch_size} sources. Received: {name} of "
                f"shape {tokens.shape}."
            )
        return tokens


def _whole(tensor: Any) -> Array:
    """An array of a reader's data, whole numbers as integers: MXNet's `np.array([1, 2])` makes floats."""
    array = on_host(tensor)
    if array.dtype.kind == "f" and (array % 1 == 0).all():
        return array.astype(np.int32)
    return array


def check_begun(state: Any) -> Any:
    """`state`; an ArgumentError unless it is one in which a decoder can begin."""
    if not isinstance(state, list | tuple) or len(state) < 2:
        raise ArgumentError(
            "Expected state to be one that `encode` or `step` returned. Received: state="
            f"{shown(state)}."
        )
    return state


def _named(kept: list[list[decoding.Kept]], vocab: Any) -> list[list[decoding.Kept]]:
    """What beam search kept, with tokens in place of their indices."""
    return [[k._replace(token=vocab.to_tokens([k.token])[0]) for k in step] for step in kept]


def check_fit(encoder: Any, decoder: Any) -> None:
    """Raise an ArgumentError if the library's `decoder` cannot begin with the state of its `encoder`.

    What a reader wrote, the whole or a method of it, may turn one state into another: it is not asked.
    """
    methods = (_forward(encoder), _forward(decoder), getattr(type(decoder), "init_state", None))
    if not all(map(is_library_code, methods)):
        return
    for name in "cell", "num_layers", "num_hiddens":
        one, other = (getattr(part, name, None) for part in (encoder, decoder))
        if one is not None and other is not None and one != other:
            raise ArgumentError(
                f"Expected an encoder and a decoder of the same {name}, for the decoder begins with the "
                f"encoder's state. Received: {type(encoder).__name__}({name}={one!r}) and "
                f"{type(decoder).__name__}({name}={other!r}). Make both with {name}={one!r}, or both with "
                f"{name}={other!r}."
            )


def _forward(part: Any) -> Any:
    return getattr(type(part), "forward", None) or type(part).__call__


def _followed(state: Any, rows: Array) -> Any:
    """The decoder's state with the hidden states of `rows`; the encoder's outputs are those of the sentence.

    In every hidden state the batch is the last axis but one.
    """
    outputs, hidden, *others = state
    hidden = nested(lambda array: np.take(array, rows, axis=-2), hidden)
    return type(state)((outputs, hidden, *others))


# What `evaluator` runs: functions of a model and tensors.


def _logits(model: Any, src: Any, tgt: Any, valid_lens: Any) -> Any:
    return model(src, tgt, valid_lens)


def _encode(model: Any, src: Any, valid_lens: Any) -> Any:
    return model.decoder.init_state(model.encoder(src, valid_lens), valid_lens)


def _decode(model: Any, tgt: Any, state: Any) -> Any:
    return model.decoder(tgt, state)


def _attend(model: Any, tgt: Any, state: Any) -> Any:
    if hasattr(model.decoder, "attend"):
        return model.decoder.attend(tgt, state)[-1]
    # A reader's, which leaves the weights of each step behind, as the book's.
    model.decoder(tgt, state)
    return backend.active().concat(list(model.decoder.attention_weights), 1)


def _attends(decoder: Any) -> bool:
    return hasattr(decoder, "attend") or hasattr(type(decoder), "attention_weights")


# The score --------------------------------------------------------------------------------------------


def bleu(pred_seq: str, label_seq: str, k: int) -> float:
    """How much of the words and sequences of words in a prediction is right (book, equation 10.7.4).

    exp(min(0, 1 - len_label / len_pred)) * prod_{n=1}^{k} p_n^(1/2^n), where p_n is the share of the
    prediction's n-grams that the label has, each of the label's counted once. This is the book's, of one
    sentence and one reference, and not the BLEU of a corpus that papers report.

    Args:
        pred_seq: tokens, separated by spaces.
        label_seq: the reference, likewise.
        k: the longest sequence of tokens that is looked at.

    Returns:
        1 for equal sequences, 0 for those without a token, or an n-gram, in common.
    """
    check(pred_seq=pred_seq, label_seq=label_seq, k=k)
    pred, label = pred_seq.split(), label_seq.split()
    if not pred:
        return 0.0
    score = math.exp(min(0, 1 - len(label) / len(pred)))
    for n in range(1, min(k, len(pred)) + 1):
        counts = [
            collections.Counter(zip(*(tokens[i:] for i in range(n)), strict=False))
            for tokens in (pred, label)
        ]
        matches = sum((counts[0] & counts[1]).values())
        score *= (matches / (len(pred) - n + 1)) ** 0.5**n
    return score


class CorpusScores(NamedTuple):
    """How good all translations of a text are together, from 0 to 100, by sacrebleu.

    Attributes:
        bleu: BLEU of the corpus, sequences of up to four tokens (Papineni et al., 2002).
        chrf: chrF2, sequences of up to six characters (Popovic, 2015).
    """

    bleu: float
    chrf: float


def corpus_scores(translations: Sequence[str], references: Sequence[Sequence[str]]) -> CorpusScores:
    """The scores that papers report, over the tokens as they are.

    Args:
        translations: tokens separated by spaces, one str a sentence.
        references: for each sentence its right translations, one or more; see `data.references`.

    Raises:
        ArgumentError: no translations, or one without a reference.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    check(translations=translations)
    if not isinstance(references, list | tuple):
        raise ArgumentError(
            f"Expected references to be a list. Received: references={shown(references)}."
        )
    if not translations or len(translations) != len(references):
        raise ArgumentError(
            f"Expected references for each of one or more translations. Received: {len(translations)} "
            f"translations and references for {len(references)}."
        )
    for translation, of_one in zip(translations, references, strict=True):
        if not of_one or not Words("translations").accepts(of_one):
            raise ArgumentError(
                f"Expected a list of right translations for each. Received: {shown(of_one)} for "
                f"{translation!r}."
            )
    most = max(map(len, references))
    streams = [[of_one[i] if i < len(of_one) else "" for of_one in references] for i in range(most)]
    scores = [
        metric.corpus_score(list(translations), streams).score
        for metric in (BLEU(tokenize="none", force=True), CHRF())
    ]
    return CorpusScores(*scores)
