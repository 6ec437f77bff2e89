"""The language models of chapters 9 and 10 in float64, and their gradients to the last digit.

Every backend is compared with this file, so it is written to be read and not to be fast. The
recurrent part is `d2lrnn.cells`; with X, H and O for tokens, hidden states and logits:

    H_1 ... H_T = the network of cells over X_1 ... X_T
    O_t = H_t W_hq + b_q
    L   = -1/(batch_size num_steps) sum_{i,t} ln softmax(O_t)[i, Y_{i,t}]   (section 9.3, in nats)

Gradients are a complex step: L is made of analytic functions of each weight w, so that
L(w + ih) = L(w) + ih dL/dw + O(h^2), whose imaginary part has the gradient, with no difference in
which digits could cancel. Those of section 9.7, by hand, are kept beside it.

Weights are a dict by canonical name; float32 weights are computed with in float64.
"""

import numpy as np

from d2lrnn import cells

NAMES = ("rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q")  # of sections 9.5 and 9.6


def shapes(kind, vocab_size, num_hiddens, num_layers=1, two_way=False):
    """The shape of each canonical weight of a language model of this kind of layer, in `cells.GATES`."""
    width = (1 + two_way) * num_hiddens  # of what a layer gives
    found = {}
    for index in range(num_layers):
        num_inputs = width if index else vocab_size
        for direction in ("f.", "b.") if two_way else ("",):
            path = "rnn." + (f"{index}." if num_layers > 1 else "") + direction
            of_part = {
                "W_x": (num_inputs, num_hiddens),
                "W_h": (num_hiddens, num_hiddens),
                "b_": (num_hiddens,),
            }
            for name in cells.names_of(kind, path):
                found[name] = of_part[name.removeprefix(path)[:-1]]  # without the gate's letter
    return {**found, "linear.W_hq": (width, vocab_size), "linear.b_q": (vocab_size,)}


def initial_weights(shapes, seed, sigma):
    """Draw float32 weights from N(0, sigma^2), the biases too: at zero they would hide mistakes."""
    rng = np.random.RandomState(seed)  # its stream is frozen across NumPy versions
    return {name: rng.normal(0, sigma, shape).astype(np.float32) for name, shape in shapes.items()}


def forward(weights, X, state=None, activation="tanh"):
    """Run the recurrence and the output layer over a minibatch of tokens X (batch_size, num_steps).

    Returns outputs (num_steps, batch_size, num_hiddens), twice as wide in two directions, the last
    state and logits (batch_size, num_steps, vocab_size). A state is H (num_layers, batch_size,
    num_hiddens), of an LSTM (H, C), with directions as layers; None is zeros.
    """
    weights = {name: precise(w) for name, w in weights.items()}
    network = cells.Network(weights, "rnn.", activation)
    outputs, state = network.run(np.asarray(X).T, state if state is None else precise(state))
    logits = outputs @ weights["linear.W_hq"] + weights["linear.b_q"]
    return outputs, state, logits.swapaxes(0, 1)


def precise(array):
    """Float64, or complex128 where it is complex already; of the pair (H, C) both."""
    if isinstance(array, tuple):
        return tuple(map(precise, array))
    array = np.asarray(array)
    return array.astype(np.result_type(array, np.float64))


def softmax(logits):
    """Probabilities over the last axis; without the maximum, exp cannot overflow."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def loss(logits, Y):
    """Mean cross-entropy in nats per token, over all tokens of the minibatch.

    L = mean_{i,t} (ln sum_j exp O_{i,t,j} - O_{i,t,Y_{i,t}})
    """
    return losses(logits, Y).mean().item()


def losses(logits, Y):
    """The cross-entropy of each token of logits (..., batch_size, num_steps, vocab_size).

    That of complex logits is complex: what is subtracted of all logits is a constant, the largest real part.
    """
    logits = logits - logits.real.max(axis=-1, keepdims=True)
    labels = np.broadcast_to(Y, logits.shape[:-1])[..., None]
    chosen = np.take_along_axis(logits, labels, axis=-1)[..., 0]
    return np.log(np.exp(logits).sum(axis=-1)) - chosen


def complex_steps(x, h=1e-30):
    """For each number of x a copy of it all, (n, *x.shape), with ih added to that one number."""
    return x + 1j * h * np.eye(x.size).reshape(x.size, *x.shape)


def gradients(weights, X, Y, state=None, activation="tanh", h=1e-30):
    """Of any network: the loss, its gradients by the names of the weights, and that of the state.

    Im L(w + ih) / h for each number w. All of an array go at once: weights have an axis of n variants
    before their own, biases (n, 1, num_hiddens), and states one before the minibatch. A function of a
    real number, such as relu off its kink, is analytic if it takes its branch by the real part.

    The state's gradient is that of zeros where it is None; of an LSTM it is one array (2, num_layers,
    batch_size, num_hiddens), for H and C.
    """
    weights = {name: precise(w) for name, w in weights.items()}
    _, last, logits = forward(weights, X, state, activation)
    pair = isinstance(last, tuple)
    state = precise(np.array(0 * np.array(last) if state is None else state))
    inputs = one_hot(X, len(logits[0, 0]))[:, None]  # (num_steps, 1, batch_size, vocab_size)

    def derivatives(name):
        x = state if name is None else weights[name]
        variants = {n: w[None] if w.ndim == 2 else w[None, None] for n, w in weights.items()}
        start = np.expand_dims(state, -3)
        if name is None:
            start = np.moveaxis(complex_steps(x, h), 0, -3)  # (..., n, batch_size, num_hiddens)
        else:
            steps = complex_steps(x, h)  # (n, *x.shape)
            variants[name] = steps if x.ndim == 2 else steps[:, None]
            # Gates lie side by side, so all of them have as many variants.
            variants = {n: np.broadcast_to(w, (x.size, *w.shape[1:])) for n, w in variants.items()}
        network = cells.Network(variants, "rnn.", activation)
        outputs, _ = network.run(inputs, tuple(start) if pair else start)
        O = outputs @ variants["linear.W_hq"] + variants["linear.b_q"]
        # O is (num_steps, n, batch_size, vocab_size): to (n, batch_size, num_steps, vocab_size)
        return (losses(O.transpose(1, 2, 0, 3), Y).mean(axis=(1, 2)).imag / h).reshape(x.shape)

    return loss(logits, Y), {name: derivatives(name) for name in weights}, derivatives(None)


def one_hot(tokens, size):
    """Tokens (batch_size, num_steps) as time-major unit vectors (num_steps, batch_size, size)."""
    return np.eye(size)[np.asarray(tokens).T]


def gradients_by_hand(weights, X, Y, state=None, activation="tanh"):
    """Backpropagation through time (section 9.7) of H_t = phi(A_t), A_t = X_t W_xh + H_{t-1} W_hh + b_h.

    With N = batch_size num_steps, and d_ short for the gradient of L:

        d_O_t     = (softmax(O_t) - one_hot(Y_t)) / N
        d_H_t     = d_O_t W_hq^T + d_A_{t+1} W_hh^T,     d_A_{T+1} = 0
        d_A_t     = d_H_t * phi'(A_t)
        d_W_xh    = sum_t X_t^T d_A_t          d_W_hq = sum_t H_t^T d_O_t
        d_W_hh    = sum_t H_{t-1}^T d_A_t      d_b_q  = sum_t d_O_t, over the minibatch too
        d_b_h     = sum_t d_A_t, likewise      d_H_0  = d_A_1 W_hh^T

    Returns what `gradients` returns.
    """
    W_hh, W_hq = (precise(weights[name]) for name in ("rnn.W_hh", "linear.W_hq"))
    H, _, logits = forward(weights, X, state, activation)
    H_0 = np.zeros((len(X), len(W_hh))) if state is None else precise(state)[0]
    H_before = np.concatenate([H_0[None], H[:-1]])  # (num_steps, batch_size, num_hiddens)
    vocab_size = W_hq.shape[1]
    # phi' as a function of H = phi(A), which for both needs no A
    slope = 1 - H**2 if activation == "tanh" else H > 0  # (num_steps, batch_size, num_hiddens)

    probs = softmax(logits).swapaxes(0, 1)  # (num_steps, batch_size, vocab_size)
    d_O = (probs - one_hot(Y, vocab_size)) / np.size(Y)  # (num_steps, batch_size, vocab_size)
    d_A = np.empty_like(H)  # (num_steps, batch_size, num_hiddens)
    from_later = np.zeros_like(H_0)  # d_A_{t+1} W_hh^T: (batch_size, num_hiddens)
    for t in reversed(range(len(H))):
        d_H = d_O[t] @ W_hq.T + from_later  # (batch_size, num_hiddens)
        d_A[t] = d_H * slope[t]
        from_later = d_A[t] @ W_hh.T

    grads = {
        "rnn.W_xh": np.einsum("tbv,tbh->vh", one_hot(X, vocab_size), d_A),
        "rnn.W_hh": np.einsum("tbg,tbh->gh", H_before, d_A),
        "rnn.b_h": d_A.sum(axis=(0, 1)),
        "linear.W_hq": np.einsum("tbh,tbv->hv", H, d_O),
        "linear.b_q": d_O.sum(axis=(0, 1)),
    }
    return loss(logits, Y), grads, from_later[None]


def global_norm(grads):
    """The L2 norm of all gradients as one vector."""
    return float(np.sqrt(sum(np.sum(np.square(g)) for g in grads.values())))


def clip(grads, bound):
    """Scale all gradients by min(1, bound / global norm) (section 9.5); 0 or None is no bound."""
    norm = global_norm(grads)
    if not bound or norm <= bound:
        return grads
    return {name: g * (bound / norm) for name, g in grads.items()}


def sgd(weights, grads, lr):
    """One step of gradient descent, w - lr d_w, as a new dict in float64."""
    return {name: precise(w) - lr * grads[name] for name, w in weights.items()}


def train(weights, batches, lr, bound, activation="tanh"):
    """One clipped step for each minibatch (X, Y), every one from a zero state.

    The gradients are those by hand where there are such, which are had much faster.

    Returns each minibatch's loss, taken before its step, and the weights after the last step.
    """
    losses, find = [], gradients_by_hand if set(weights) == set(NAMES) else gradients
    for X, Y in batches:
        batch_loss, grads, _ = find(weights, X, Y, activation=activation)
        weights = sgd(weights, clip(grads, bound), lr)
        losses.append(batch_loss)
    return losses, weights
