"""The recurrent language model of sections 9.4 to 9.7 in float64 NumPy, its gradients by hand.

Every backend is compared with this file, so it is written to be read and not to be fast. One
notation throughout, with X, H and O for tokens, hidden states and logits:

    H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h)        phi = tanh or relu      (section 9.4)
    O_t = H_t W_hq + b_q
    L   = -1/(batch_size num_steps) sum_{i,t} ln softmax(O_t)[i, Y_{i,t}]   (section 9.3, in nats)

Weights are a dict with the five canonical names; float32 weights are computed with in float64.
"""

import numpy as np

NAMES = ("rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q")

# name: (phi, the derivative of phi as a function of H = phi(A), which for both needs no A)
ACTIVATIONS = {
    "tanh": (np.tanh, lambda H: 1 - H**2),
    "relu": (lambda A: np.maximum(A, 0), lambda H: (H > 0).astype(np.float64)),
}


def initial_weights(vocab_size, num_hiddens, seed, sigma):
    """Draw float32 weights from N(0, sigma^2), the biases too: at zero they would hide mistakes."""
    shapes = (
        (vocab_size, num_hiddens),  # W_xh
        (num_hiddens, num_hiddens),  # W_hh
        (num_hiddens,),  # b_h
        (num_hiddens, vocab_size),  # W_hq
        (vocab_size,),  # b_q
    )
    rng = np.random.RandomState(seed)  # its stream is frozen across NumPy versions
    return {
        name: rng.normal(0, sigma, shape).astype(np.float32)
        for name, shape in zip(NAMES, shapes, strict=True)
    }


def one_hot(tokens, size):
    """Tokens (batch_size, num_steps) as time-major unit vectors (num_steps, batch_size, size)."""
    return np.eye(size)[np.asarray(tokens).T]


def forward(weights, X, state=None, activation="tanh"):
    """Run the recurrence and the output layer over a minibatch.

        H_t = phi(X_t W_xh + H_{t-1} W_hh + b_h),    O_t = H_t W_hq + b_q

    X is (batch_size, num_steps) token indices; state is H_0 (batch_size, num_hiddens), by default
    zeros. Returns outputs (num_steps, batch_size, num_hiddens), final state (batch_size,
    num_hiddens) and logits (batch_size, num_steps, vocab_size).
    """
    W_xh, W_hh, b_h, W_hq, b_q = _float64(weights)
    phi, _ = ACTIVATIONS[activation]
    embs = one_hot(X, len(W_xh))  # (num_steps, batch_size, vocab_size)
    H = _initial_state(state, X, W_hh)  # (batch_size, num_hiddens)
    outputs = []
    for X_t in embs:  # (batch_size, vocab_size)
        H = phi(X_t @ W_xh + H @ W_hh + b_h)  # (batch_size, num_hiddens)
        outputs.append(H)
    outputs = np.stack(outputs)  # (num_steps, batch_size, num_hiddens)
    logits = outputs @ W_hq + b_q  # (num_steps, batch_size, vocab_size)
    return outputs, H, logits.swapaxes(0, 1)


def softmax(logits):
    """Probabilities over the last axis; without the maximum, exp cannot overflow."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def loss(logits, Y):
    """Mean cross-entropy in nats per token, over all tokens of the minibatch.

    L = mean_{i,t} (ln sum_j exp O_{i,t,j} - O_{i,t,Y_{i,t}})

    logits is (batch_size, num_steps, vocab_size), Y (batch_size, num_steps).
    """
    logits = logits - logits.max(axis=-1, keepdims=True)  # (batch_size, num_steps, vocab_size)
    chosen = np.take_along_axis(logits, np.asarray(Y)[..., None], axis=-1)[..., 0]
    return float(np.mean(np.log(np.exp(logits).sum(axis=-1)) - chosen))


def gradients(weights, X, Y, state=None, activation="tanh"):
    """Backpropagation through time (section 9.7), over all steps of the minibatch.

    With A_t the argument of phi, N = batch_size num_steps, and d_ short for the gradient of L:

        d_O_t     = (softmax(O_t) - one_hot(Y_t)) / N
        d_H_t     = d_O_t W_hq^T + d_A_{t+1} W_hh^T,     d_A_{T+1} = 0
        d_A_t     = d_H_t * phi'(A_t)
        d_W_xh    = sum_t X_t^T d_A_t          d_W_hq = sum_t H_t^T d_O_t
        d_W_hh    = sum_t H_{t-1}^T d_A_t      d_b_q  = sum_t d_O_t, over the minibatch too
        d_b_h     = sum_t d_A_t, likewise      d_H_0  = d_A_1 W_hh^T

    Returns the loss, a dict of gradients in the names and shapes of the weights, and the gradient
    of the initial state (batch_size, num_hiddens).
    """
    W_xh, W_hh, _, W_hq, _ = _float64(weights)
    _, slope = ACTIVATIONS[activation]
    H, _, logits = forward(weights, X, state, activation)
    H_0 = _initial_state(state, X, W_hh)  # (batch_size, num_hiddens)
    H_before = np.concatenate([H_0[None], H[:-1]])  # (num_steps, batch_size, num_hiddens)
    embs = one_hot(X, len(W_xh))  # (num_steps, batch_size, vocab_size)

    probs = softmax(logits).swapaxes(0, 1)  # (num_steps, batch_size, vocab_size)
    d_O = (probs - one_hot(Y, len(W_xh))) / np.size(Y)  # (num_steps, batch_size, vocab_size)
    d_A = np.empty_like(H)  # (num_steps, batch_size, num_hiddens)
    from_later = np.zeros_like(H_0)  # d_A_{t+1} W_hh^T: (batch_size, num_hiddens)
    for t in reversed(range(len(H))):
        d_H = d_O[t] @ W_hq.T + from_later  # (batch_size, num_hiddens)
        d_A[t] = d_H * slope(H[t])
        from_later = d_A[t] @ W_hh.T

    grads = {
        "rnn.W_xh": np.einsum("tbv,tbh->vh", embs, d_A),
        "rnn.W_hh": np.einsum("tbg,tbh->gh", H_before, d_A),
        "rnn.b_h": d_A.sum(axis=(0, 1)),
        "linear.W_hq": np.einsum("tbh,tbv->hv", H, d_O),
        "linear.b_q": d_O.sum(axis=(0, 1)),
    }
    return loss(logits, Y), grads, from_later


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
    return {name: np.asarray(w, np.float64) - lr * grads[name] for name, w in weights.items()}


def train(weights, batches, lr, bound, activation="tanh"):
    """One clipped step for each minibatch (X, Y), every one from a zero state.

    Returns each minibatch's loss, taken before its step, and the weights after the last step.
    """
    losses = []
    for X, Y in batches:
        batch_loss, grads, _ = gradients(weights, X, Y, activation=activation)
        weights = sgd(weights, clip(grads, bound), lr)
        losses.append(batch_loss)
    return losses, weights


def _float64(weights):
    return [np.asarray(weights[name], np.float64) for name in NAMES]


def _initial_state(state, X, W_hh):
    if state is None:
        return np.zeros((len(X), len(W_hh)))
    return np.asarray(state, np.float64)
