"""What a language model is, whatever the framework: decoding and inspection (book, sections 9.3, 9.5).

A backend's `RNNLMScratch` derives from its `Classifier` and from `LanguageModel`. It is made of a
recurrent layer `rnn`, of `one_hot`, which makes its inputs of tokens, and of `output_layer`, which
makes logits of its outputs; `forward` runs the three.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from d2lrnn import backend, decoding
from d2lrnn.arguments import check, shown
from d2lrnn.data.minibatches import Minibatches, windows_of
from d2lrnn.errors import ArgumentError
from d2lrnn.hyperparameters import as_array, check_tokens, on_host
from d2lrnn.models import layer_classes, model_classes
from d2lrnn.module import flat_state, is_library_code, is_whole, nested
from d2lrnn.weights import Weights

if TYPE_CHECKING:
    from d2lrnn.data import Vocab

Array = np.ndarray[Any, Any]

# The weights of sections 9.5 and 9.6.
NAMES = ("rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q")


class LanguageModel:
    """A model of token sequences that can be continued token by token."""

    metric = "ppl"
    rnn: Any
    vocab_size: int
    device: Any
    get_weights: Callable[[], Weights]
    evaluator: Callable[..., Any]
    is_on: Callable[[Any], bool]
    check_device: Callable[[Any], None]
    forward: Callable[..., Any]
    one_hot: Callable[[Any], Any]

    def logits(self, X: Any, state: Any = None) -> Array:
        """The logits (batch_size, num_steps, vocab_size) of the tokens `X`, in NumPy."""
        tokens = self.check_tokens(X)
        logits: Array = self._evaluated(_logits, tokens, state)
        return logits

    def states(self, X: Any, state: Any = None) -> tuple[Array, Any]:
        """What the recurrent layer makes of the tokens `X` (batch_size, num_steps), in NumPy.

        Args:
            X: tokens.
            state: the state to start from, as this function returns it; None is zeros.

        Returns:
            All hidden states (num_steps, batch_size, num_hiddens), and the last state, each of its
            arrays (num_layers, batch_size, num_hiddens).
        """
        tokens = self.check_tokens(X)
        outputs, state = self._evaluated(_states, tokens, state)
        outputs = np.asarray(outputs)  # from scratch, a list of num_steps arrays
        return outputs, flat_state(state)

    recurrence = states  # its name in d2lrnn 0.1

    def _evaluated(self, function: Callable[..., Any], tokens: Array, state: Any) -> Any:
        def run(*arrays: Any) -> Any:
            return self.evaluator(function)(*arrays)

        run = backend.faster(self, run) if tokens.shape[1] > 1 else run
        return run(tokens, self.check_state(state, len(tokens)))

    def step(self, token: Any, state: Any, device: Any = None) -> tuple[Array, Any]:
        """One recurrent step, in evaluation mode: the logits after `token`, and the new state.

        A model whose `forward` the reader has written is run over the whole sequence for each token:
        nothing else is known to give what `forward` gives. Its state are the tokens so far.

        Args:
            token: a token, or several (batch_size,).
            state: None at the beginning of a sequence, then what the last call returned.
            device: where to compute: where the model is.

        Returns:
            The logits (vocab_size,), or (batch_size, vocab_size), and the state.
        """
        self.check_device(device)
        self.check_direction()
        tokens = as_array("token", token).reshape(-1, 1)
        tokens = self.check_tokens(tokens, "token")  # (batch_size, 1)
        if is_library_code(self.forward):
            logits, state = self.evaluator(_step)(tokens, self.check_state(state, len(tokens)))
        else:
            state = tokens if state is None else np.concatenate([state, tokens], axis=1)
            logits = self.logits(state)[:, -1]
        return (logits if np.ndim(token) else logits[0]), state

    def infer_sizes(self) -> None:
        """Give layers that wait for their first input their sizes, by a run over one token."""
        self.logits(np.zeros((1, 1), np.int32))

    def predict(
        self,
        prefix: str | Sequence[str],
        num_preds: int,
        vocab: Vocab,
        device: Any = None,
        *,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> str:
        """Continue `prefix` by `num_preds` tokens (book, section 9.5.5).

        The hidden state is warmed up on the prefix and carried along, so each token costs the same.

        Args:
            prefix: a text, which is read as that of the training was (lower case, letters only) and
                given back as it was typed, or a list of tokens; what `vocab` does not know is taken as
                `<unk>`.
            num_preds: how many tokens to add; 0 returns the prefix.
            vocab: the vocabulary that the model was trained with.
            device: where to compute; by default where the model is.
            temperature: None or 0 takes the likeliest token each time; a positive number samples
                from softmax(logits / temperature).
            seed: of the sampling; alone, it samples at temperature 1.

        Returns:
            The prefix and its continuation. `<unk>` is never predicted.

        Raises:
            ArgumentError: the prefix is empty, `num_preds` is negative, the vocabulary is of another
                size than the model's, or temperature and seed contradict each other.
        """
        check(vocab=vocab)
        if len(vocab) != self.vocab_size:
            raise ArgumentError(
                f"vocab has {len(vocab)} tokens, the model was made for vocab_size={self.vocab_size}. "
                "Pass the vocabulary of the data that the model was trained on."
            )
        self.check_device(device)
        self.check_direction()
        decoding.check_prompt(prefix, num_preds, vocab, temperature, seed)
        step = self.own_stepper() or self._stepper()
        return decoding.continuation(step, prefix, num_preds, vocab, temperature, seed)

    def is_whole(self) -> bool:
        """Whether the library wrote all of the model, and a reader replaced or hooked into no part of it."""
        whole = is_whole(self, *model_classes()) and is_whole(self.rnn, *layer_classes())
        sizes_fit = whole and self.rnn.num_inputs in (None, self.vocab_size)
        return sizes_fit and not backend.active().weights.has_hooks(self)

    def has_weights(self, *names: str) -> bool:
        """Whether its weights are those of `names` and no others: they tell its equations."""
        layout = backend.active().weights.layout(self)
        return sorted(name for piece in layout for name in piece.names) == sorted(names)

    def own_stepper(self) -> decoding.Step | None:
        """The step of a whole model on the CPU in NumPy, out of its weights of the moment; else None."""
        d2l = backend.active()
        if not self.is_whole() or not self.is_on(d2l.cpu()):
            return None
        try:
            return decoding.stepper(self.get_weights(), **d2l.weights.settings(self))
        except KeyError:  # a layer inside is another than the library makes
            return None

    def _stepper(self) -> decoding.Step:
        """The model's own step, made ready once for many tokens; a reader's `step` is called as it is."""
        own = is_library_code(self.step) and is_library_code(self.forward)
        run = self.evaluator(_step) if own else None

        def step(token: int, state: Any) -> tuple[Array, Any]:
            if run is None:
                logits, state = self.step(token, state)
            else:
                (logits,), state = run(np.array([[token]]), state)
            return np.array(logits), state  # a copy: a framework's may not be written to

        return step

    def check_direction(self) -> None:
        """Raise an ArgumentError if the recurrent layer reads its inputs in both directions."""
        if self.reads_the_future():
            raise ArgumentError(
                f"{type(self.rnn).__name__} reads its inputs in both directions: what it makes of a token "
                "follows from those after it, which are not there yet, so no text can be continued with it "
                "(section 10.4). Its outputs over a whole sequence are `model.states(X)` and "
                "`model.logits(X)`; a text is continued by a layer in one direction, such as d2l.GRU."
            )

    def reads_the_future(self) -> bool:
        """Whether what the recurrent layer makes of a token depends on the token after it.

        The library's layers say so; one of a reader's is tried, once.
        """
        layer = type(self.rnn)
        if is_library_code(layer) or not is_library_code(self.forward) or self.vocab_size < 2:
            return getattr(self.rnn, "bidirectional", False)
        tried: dict[type, bool] = self.__dict__.setdefault("_reads_the_future", {})
        if layer not in tried:
            logits = self.logits(np.array([[0, 0], [0, 1]]))  # (2, 2, vocab_size)
            difference = np.abs(logits[0, 0] - logits[1, 0]).max()
            tried[layer] = bool(difference > 1e-4 * np.abs(logits).max())
        return tried[layer]

    def check_data(self, data: Any, train_loader: Any, val_loader: Any) -> None:
        """Raise an ArgumentError if the vocabulary, the tokens or the layer are not of this model's size."""
        size, layer = self.vocab_size, getattr(self.rnn, "num_inputs", None)
        vocab = getattr(data, "vocab", None)
        if vocab is not None and hasattr(vocab, "__len__") and len(vocab) != size:
            raise ArgumentError(
                f"The data's vocabulary has {len(vocab)} tokens, the model was made for vocab_size={size}. "
                f"Make it with vocab_size={len(vocab)}: {type(self).__name__}(rnn, "
                "vocab_size=len(data.vocab))."
            )
        if layer is not None and layer != size and is_library_code(self.one_hot):
            raise ArgumentError(
                f"The layer was made for num_inputs={layer}, the model for vocab_size={size}: its inputs "
                "are one-hot vectors of that size. Make both with the size of the vocabulary."
            )
        for loader in train_loader, val_loader:
            if isinstance(loader, Minibatches):
                self.check_arrays(loader.arrays)

    def check_batch(self, batch: Any) -> None:
        """Raise an ArgumentError if a minibatch does not hold tokens of this model and their labels."""
        if isinstance(batch, tuple | list):
            self.check_arrays([on_host(tensor) for tensor in batch])

    def check_arrays(self, arrays: Sequence[Any]) -> None:
        """As `check_batch`, of arrays whose first are inputs and whose last are labels."""
        if not (is_library_code(self.one_hot) and is_library_code(self.forward)):
            return  # a reader's model takes what it takes
        if len(arrays) < 2:
            raise ArgumentError(
                f"Expected minibatches (X, Y) of tokens and the tokens that follow them. Received: "
                f"{len(arrays)} array(s) of shapes {[array.shape for array in arrays]}."
            )
        X, Y = _whole(arrays[0]), _whole(arrays[-1])
        for name, tokens in ("X", X), ("Y", Y):
            if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
                raise ArgumentError(
                    f"Expected {name} to be tokens, whole numbers (batch_size, num_steps). Received: "
                    f"{name} of shape {tokens.shape} and dtype {tokens.dtype}."
                )
            windows = windows_of(tokens)  # overlapping ones have each token many times
            self.check_tokens(tokens if windows is None else windows.sequence[None], name)
        if X.shape != Y.shape:
            raise ArgumentError(
                f"Expected a label for each token. Received: X of shape {X.shape} and Y of shape {Y.shape}."
            )

    def check_tokens(self, X: Any, name: str = "X") -> Array:
        """`X` as an array; an ArgumentError unless it holds tokens (batch_size, num_steps), at least one.

        Where the reader has replaced `one_hot`, `X` is whatever that takes.
        """
        if not is_library_code(self.one_hot):
            return np.asarray(X)
        return check_tokens(name, X, self.vocab_size)

    def check_state(self, state: Any, batch_size: int) -> Any:
        """`state` as arrays (num_layers, batch_size, num_hiddens); an ArgumentError if it is none.

        None, zeros, stays None, and the state of a reader's layer is what that takes.
        """
        layer = self.rnn
        if state is None or not is_library_code(type(layer)):
            return state
        d2l, ways = backend.active(), 1 + getattr(layer, "bidirectional", False)
        num_states = 2 if isinstance(layer, (d2l.LSTM, d2l.LSTMScratch, d2l.BiLSTM)) else 1
        shape = (getattr(layer, "num_layers", 1) * ways, batch_size, layer.num_hiddens // ways)
        try:
            found = flat_state(nested(np.asarray, state))
        except ValueError:  # parts of several shapes
            found = None
        parts = found if isinstance(found, tuple) else (found,)
        if [(np.shape(a), np.asarray(a).dtype.kind) for a in parts] != [(shape, "f")] * num_states:
            raise ArgumentError(
                f"Expected state to be {num_states} array(s) {shape}, (num_layers, batch_size, num_hiddens), "
                f"as this model returned it. Received: state={shown(state)}."
            )
        return parts if num_states > 1 else parts[0]


def _whole(tokens: Any) -> Array:
    """`tokens`, as integers if they are whole numbers in the type that this framework makes of such."""
    array = np.asarray(tokens)
    if array.dtype.kind != "f":
        return array
    d2l = backend.active()
    own = d2l.numpy(d2l.tensor([0])).dtype  # float32 on MXNet
    return (
        array.astype(np.int64) if array.dtype == own and (array == array.round()).all() else array
    )


# What `evaluator` runs: functions of a model and tensors.


def _logits(model: Any, X: Any, state: Any) -> Any:
    given = (X,) if state is None else (X, state)  # a reader's forward may take tokens alone
    return model(*given)  # (batch_size, num_steps, vocab_size)


def _states(model: Any, X: Any, state: Any) -> Any:
    return model.rnn(model.one_hot(X), state)


def _step(model: Any, X: Any, state: Any) -> Any:
    outputs, state = model.rnn(model.one_hot(X), state)  # of one step
    return model.output_layer(outputs)[:, 0], state  # (batch_size, vocab_size)
