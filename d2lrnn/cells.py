"""The recurrent cells of chapters 9 and 10 in NumPy: what every backend must compute, said once.

A cell is a function of A_t = X_t W_x + b (batch_size, gates * num_hiddens), which needs no state and
is had for all steps at once; of the state; and of W_h (num_hiddens, gates * num_hiddens). The gates of
a matrix lie side by side, in the order of `GATES`. Decoding runs these functions in float32, the
oracle of the tests in float64 and, for exact gradients, in complex128.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
State = Any  # H (batch_size, num_hiddens), of an LSTM the pair (H, C)
Cell = Callable[[Array, Any, Array], Any]


def sigmoid(A: Array) -> Array:
    """1 / (1 + exp(-A)), by tanh, which does not overflow."""
    half: Array = np.tanh(A / 2) / 2 + 0.5
    return half


def relu(A: Array) -> Array:
    """The larger of A and 0; of a complex number, by its real part."""
    positive: Array = A * (A.real > 0)
    return positive


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
    h = W_h.shape[-2]
    gates = sigmoid(A[..., : 3 * h])
    I, F, O = gates[..., :h], gates[..., h : 2 * h], gates[..., 2 * h :]
    C = F * C + I * np.tanh(A[..., 3 * h :])
    return O * np.tanh(C), C


def gru_before(A: Array, H: Array, W_h: Array) -> Array:
    """The book's GRU (section 10.2): H~ = tanh(A_h + (R * H_{t-1}) W_hh), the reset before the product."""
    h = W_h.shape[-2]
    gates = sigmoid(A[..., : 2 * h] + H @ W_h[..., : 2 * h])
    Z, R = gates[..., :h], gates[..., h:]
    H_tilde = np.tanh(A[..., 2 * h :] + (R * H) @ W_h[..., 2 * h :])
    H = Z * H + (1 - Z) * H_tilde
    return H


def gru_after(A: Array, H: Array, W_h: Array) -> Array:
    """The frameworks' GRU: H~ = tanh(A_n + R * (H_{t-1} W_hn)), the reset after the product."""
    h = W_h.shape[-2]
    B = H @ W_h  # (batch_size, 3 num_hiddens)
    gates = sigmoid(A[..., : 2 * h] + B[..., : 2 * h])
    Z, R = gates[..., :h], gates[..., h:]
    H_tilde = np.tanh(A[..., 2 * h :] + R * B[..., 2 * h :])
    H = Z * H + (1 - Z) * H_tilde
    return H


GATES = {"rnn": "h", "lstm": "ifoc", "gru_before": "zrh", "gru_after": "zrn"}


def kind_of(letters: set[str]) -> str | None:
    """The kind of layer whose weights have these `letters` after `W_x`; None if they are of none."""
    return next((kind for kind, gates in GATES.items() if letters == set(gates)), None)


def names_of(kind: str, prefix: str = "") -> list[str]:
    """The names of the weights of a layer of this kind: of each gate `W_x`, `W_h` and `b_`."""
    return [f"{prefix}{part}{gate}" for gate in GATES[kind] for part in ("W_x", "W_h", "b_")]


class Layer(NamedTuple):
    """One layer in one direction: its equations, and its gates' weights side by side."""

    kind: str
    step: Cell
    W_x: Array  # (num_inputs, gates * num_hiddens)
    W_h: Array  # (num_hiddens, gates * num_hiddens)
    b: Array  # (gates * num_hiddens,)

    def zero_state(self, *batch_size: int) -> State:
        """The state (of an LSTM, the two) at the beginning of a sequence; without a size, of one alone."""
        zeros = np.zeros((*batch_size, self.W_h.shape[-2]), self.W_h.dtype)
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
            outputs.append(state[0] if self.kind == "lstm" else state)
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
    steps: dict[str, Cell] = {
        "rnn": rnn(ACTIVATIONS[activation]),
        "lstm": lstm,
        "gru_before": gru_before,
        "gru_after": gru_after,
    }

    def beside(part: str) -> Array:
        return np.concatenate([weights[f"{prefix}{part}{gate}"] for gate in GATES[kind]], axis=-1)

    return Layer(kind, steps[kind], beside("W_x"), beside("W_h"), beside("b_"))


class Network:
    """The recurrent part of a model, out of weights by canonical name: layers, in one direction or two.

    Args:
        weights: by canonical name; those that begin with `prefix` are taken, all of them.
        prefix: of the recurrent part, with its dot.
        activation: 'tanh' or 'relu', of the layers of section 9.4.

    Raises:
        KeyError: the weights are those of no network of chapters 9 and 10.
    """

    def __init__(
        self, weights: Mapping[str, Array], prefix: str = "rnn.", activation: str = "tanh"
    ) -> None:
        names = {name for name in weights if name.startswith(prefix)}
        parts = [
            name.removeprefix(prefix).split(".")[:-1] for name in names
        ]  # [], [0], [f], [0, f]
        num_layers = len({part[0] for part in parts if part} - {"f", "b"})
        self.two_way = any(part[-1] in ("f", "b") for part in parts if part)
        self.layers: list[list[Layer]] = []
        for path in [f"{prefix}{index}." for index in range(num_layers)] or [prefix]:
            paths = [f"{path}f.", f"{path}b."] if self.two_way else [path]
            both = [layer(weights, path, activation) for path in paths]
            for one, path in zip(both, paths, strict=True):
                names.difference_update(names_of(one.kind, path))
            self.layers.append(both)
        if names:
            raise KeyError(f"{sorted(names)} are in no equation of the network.")

    def run(self, inputs: Array, state: Any = None) -> tuple[Array, Any]:
        """Run over tokens (num_steps, batch_size) or vectors (num_steps, batch_size, num_inputs).

        Args:
            inputs: tokens or vectors.
            state: the state to start from, as this function returns it; None is zeros.

        Returns:
            The last layer's outputs (num_steps, batch_size, num_hiddens), twice as wide in two
            directions, and the last state H (num_layers, batch_size, num_hiddens), of LSTMs (H, C). In
            two directions its first axis is layer 0 forward, layer 0 backward, layer 1 forward, ...
        """
        batch = inputs.shape[1:] if inputs.dtype.kind in "iu" else inputs.shape[1:-1]
        outputs, before, after = inputs, self.split(state, *batch), []
        for both in self.layers:
            ran = [
                one.run(outputs, next(before), backward=direction == 1)
                for direction, one in enumerate(both)
            ]
            outputs = np.concatenate([output for output, _ in ran], axis=-1)
            after += [last for _, last in ran]
        if isinstance(after[0], tuple):
            return outputs, tuple(np.stack(states) for states in zip(*after, strict=True))
        return outputs, np.stack(after)

    def split(self, state: Any, *batch_size: int) -> Iterator[State]:
        """The state of each layer in each direction, in turn."""
        if state is None:
            return (one.zero_state(*batch_size) for both in self.layers for one in both)
        return zip(*state, strict=True) if isinstance(state, tuple | list) else iter(state)
