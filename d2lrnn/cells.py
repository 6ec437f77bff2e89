"""The recurrent cells of chapters 9 and 10 in NumPy: what every backend must compute, said once.

A cell is a function of A_t = X_t W_x + b (batch_size, gates * num_hiddens), which needs no state and
is had for all steps at once; of the state; and of W_h (num_hiddens, gates * num_hiddens). The gates of
a matrix lie side by side, in the order of `GATES`. Decoding runs these functions in float32, the
oracle of the tests in float64 and, for exact gradients, in complex128.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
State = Any  # H (batch_size, num_hiddens), of an LSTM (H, C); of several cells a tuple of such
Cell = Callable[[Array, Any, Array], Any]


def sigmoid(A: Array) -> Array:
    """1 / (1 + exp(-A)), by tanh, which does not overflow."""
    half: Array = np.tanh(A / 2) / 2 + 0.5
    return half


def relu(A: Array) -> Array:
    """The larger of A and 0; of a complex number, by its real part."""
    return np.where(A.real > 0, A, np.zeros((), A.dtype))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"tanh": np.tanh, "relu": relu}


def rnn(phi: Callable[[Array], Array]) -> Cell:
    """H_t = phi(A_t + H_{t-1} W_hh) (book, section 9.4)."""

    def step(A: Array, H: Array, W_h: Array) -> Array:
        return phi(A + H @ W_h)

    return step


def lstm(A: Array, state: tuple[Array, Array], W_h: Array) -> tuple[Array, Array]:
    """I, F, O, C~: C_t = F * C_{t-1} + I * C~, H_t = O * tanh(C_t) (book, section 10.1)."""
    H, C = state
    A = A + H @ W_h  # (batch_size, 4 num_hiddens)
    h = W_h.shape[0]
    gates = sigmoid(A[..., : 3 * h])
    I, F, O = gates[..., :h], gates[..., h : 2 * h], gates[..., 2 * h :]
    C = F * C + I * np.tanh(A[..., 3 * h :])
    return O * np.tanh(C), C


def gru_before(A: Array, H: Array, W_h: Array) -> Array:
    """The book's GRU (section 10.2): H~ = tanh(A_h + (R * H_{t-1}) W_hh), the reset before the product."""
    h = W_h.shape[0]
    gates = sigmoid(A[..., : 2 * h] + H @ W_h[:, : 2 * h])
    Z, R = gates[..., :h], gates[..., h:]
    return Z * H + (1 - Z) * np.tanh(A[..., 2 * h :] + (R * H) @ W_h[:, 2 * h :])


def gru_after(A: Array, H: Array, W_h: Array) -> Array:
    """The frameworks' GRU: H~ = tanh(A_n + R * (H_{t-1} W_hn)), the reset after the product."""
    h = W_h.shape[0]
    B = H @ W_h  # (batch_size, 3 num_hiddens)
    gates = sigmoid(A[..., : 2 * h] + B[..., : 2 * h])
    Z, R = gates[..., :h], gates[..., h:]
    return Z * H + (1 - Z) * np.tanh(A[..., 2 * h :] + R * B[..., 2 * h :])


GATES = {"rnn": "h", "lstm": "ifoc", "gru_before": "zrh", "gru_after": "zrn"}


def kind_of(letters: set[str]) -> str | None:
    """The kind of layer whose weights have these `letters` after `W_x`; None if they are of none."""
    return next((kind for kind, gates in GATES.items() if letters == set(gates)), None)


class Layer(NamedTuple):
    """One layer in one direction: its equations, and its gates' weights side by side."""

    kind: str
    step: Cell
    W_x: Array  # (num_inputs, gates * num_hiddens)
    W_h: Array  # (num_hiddens, gates * num_hiddens)
    b: Array  # (gates * num_hiddens,)

    def zero_state(self, *batch_size: int) -> State:
        """The state (of an LSTM, the two) at the beginning of a sequence; without a size, of one alone."""
        zeros = np.zeros((*batch_size, len(self.W_h)), self.W_h.dtype)
        return (zeros, zeros) if self.kind == "lstm" else zeros

    def drive(self, inputs: Array) -> Array:
        """A_t of vectors (..., num_inputs), or of tokens (...), which pick rows of W_x."""
        product = self.W_x[inputs] if inputs.dtype.kind in "iu" else inputs @ self.W_x
        drive: Array = product + self.b
        return drive

    def run(self, inputs: Array, state: State, backward: bool = False) -> tuple[Array, State]:
        """All outputs (num_steps, batch_size, num_hiddens), in the order of the inputs; the last state."""
        outputs = []
        A = self.drive(inputs)
        for A_t in A[::-1] if backward else A:  # (batch_size, gates * num_hiddens)
            state = self.step(A_t, state, self.W_h)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return np.stack(outputs[::-1] if backward else outputs), state


def layer(weights: Mapping[str, Array], prefix: str = "", activation: str = "tanh") -> Layer:
    """The layer whose weights are named `prefix` and then `W_xh`, `W_hh`, `b_h` and the like.

    Raises:
        KeyError: there are no weights of a layer under this prefix.
    """
    start = f"{prefix}W_x"
    letters = {name.removeprefix(start) for name in weights if name.startswith(start)}
    kind = kind_of(letters)
    if kind is None:
        raise KeyError(f"{start}...: {sorted(letters)} are the gates of no layer.")
    steps = {"lstm": lstm, "gru_before": gru_before, "gru_after": gru_after}
    step = rnn(ACTIVATIONS[activation]) if kind == "rnn" else steps[kind]

    def beside(part: str) -> Array:
        return np.concatenate([weights[f"{prefix}{part}{gate}"] for gate in GATES[kind]], axis=-1)

    return Layer(kind, step, beside("W_x"), beside("W_h"), beside("b_"))


class Network:
    """The recurrent part of a model, out of weights by canonical name: layers, in one direction or two.

    Args:
        weights: by canonical name; those that begin with `prefix` are taken.
        prefix: of the recurrent part, with its dot.
        activation: 'tanh' or 'relu', of the layers of section 9.4.

    Raises:
        KeyError: the weights are those of no network of chapters 9 and 10.
    """

    def __init__(
        self, weights: Mapping[str, Array], prefix: str = "rnn.", activation: str = "tanh"
    ) -> None:
        parts = {n.removeprefix(prefix).rpartition(".")[0] for n in weights if n.startswith(prefix)}
        indices = sorted({int(part.split(".")[0]) for part in parts if part[:1].isdigit()})
        self.two_way = any(part.split(".")[-1] in ("f", "b") for part in parts)
        self.layers: list[list[Layer]] = []
        for index in indices or [None]:
            path = prefix if index is None else f"{prefix}{index}."
            paths = [f"{path}f.", f"{path}b."] if self.two_way else [path]
            self.layers.append([layer(weights, path, activation) for path in paths])

    def zero_state(self, batch_size: int) -> list[list[State]]:
        """By layer and direction, the states at the beginning of a sequence."""
        return [[one.zero_state(batch_size) for one in both] for both in self.layers]

    def run(
        self, inputs: Array, state: list[list[State]] | None = None
    ) -> tuple[Array, list[list[State]]]:
        """Run over tokens (num_steps, batch_size) or vectors (num_steps, batch_size, num_inputs).

        Returns the last layer's outputs (num_steps, batch_size, num_hiddens), in two directions twice
        as wide, and by layer and direction the last states.
        """
        state = self.zero_state(inputs.shape[1]) if state is None else state
        outputs, states = inputs, []
        for both, before in zip(self.layers, state, strict=True):
            ran = [
                one.run(outputs, H, backward=direction == 1)
                for direction, (one, H) in enumerate(zip(both, before, strict=True))
            ]
            outputs = np.concatenate([out for out, _ in ran], axis=-1)
            states.append([last for _, last in ran])
        return outputs, states
