"""Write the golden files: small cases with the oracle's answers, read on every backend.

    python tests/parity/make_golden.py

There is one file for each activation and each way to clip. It is a flat .npz whose keys are paths:

    activation, lr, bound (0 is off), batch_size
    X, Y                  tokens (num_windows, num_steps): 20 minibatches, the last one smaller
    weights/NAME          the five initial weights, float32
    state                 an initial state (batch_size, num_hiddens) of the first minibatch, float32
    without_state/...     of the first minibatch: outputs, state, logits, loss, norm,
                          gradients/NAME, gradient_of_state
    with_state/...        the same from `state`
    after_one_step/NAME   weights after the first minibatch (training starts from a zero state)
    losses                of the 20 minibatches, each taken before its step
    after_training/NAME   weights after the 20 minibatches
"""

from pathlib import Path

import numpy as np
import oracle

FOLDER = Path(__file__).parent / "golden"
# All different, so that no two axes can be confused.
BATCH_SIZE, NUM_STEPS, NUM_HIDDENS, VOCAB_SIZE = 4, 3, 5, 7
NUM_MINIBATCHES, LAST_BATCH_SIZE = 20, 2
SIGMA = 0.5  # large enough for the state to matter, small enough for tanh not to saturate
LR = 0.5

# The bound as a multiple of the first gradient's norm.
CLIPPING = {"unclipped": 0, "below_norm": 0.5, "above_norm": 2}

# A ReLU whose argument is closer to zero than this could be off in float32 and on in float64.
KINK = 1e-3
# The seeds of the ReLU cases are chosen so that no argument, in training too, comes that close.
SEEDS = {
    ("tanh", "unclipped"): 0,
    ("tanh", "below_norm"): 1,
    ("tanh", "above_norm"): 2,
    ("relu", "unclipped"): 5,
    ("relu", "below_norm"): 6,
    ("relu", "above_norm"): 8,
}


def case(activation, clipping, seed):
    """One golden case as a nested dict."""
    rng = np.random.RandomState(seed)
    num_windows = (NUM_MINIBATCHES - 1) * BATCH_SIZE + LAST_BATCH_SIZE
    # Each token is one or two more than the last: something that can be learnt in 20 steps.
    tokens = np.cumsum(rng.randint(1, 3, num_windows + NUM_STEPS)) % VOCAB_SIZE
    windows = np.lib.stride_tricks.sliding_window_view(tokens, NUM_STEPS + 1).astype(np.int32)
    windows = rng.permutation(windows)  # (num_windows, num_steps + 1)
    X, Y = windows[:, :-1], windows[:, 1:]
    weights = oracle.initial_weights(oracle.shapes("rnn", VOCAB_SIZE, NUM_HIDDENS), seed, SIGMA)
    state = rng.normal(0, 1, (BATCH_SIZE, NUM_HIDDENS)).astype(np.float32)
    first = X[:BATCH_SIZE], Y[:BATCH_SIZE]

    without_state = answers(weights, *first, None, activation)
    with_state = answers(weights, *first, state, activation)
    bound = round(CLIPPING[clipping] * without_state["norm"], 3)
    after_one_step = oracle.train(weights, [first], LR, bound, activation)[1]
    losses, after_training = oracle.train(
        weights, minibatches(X, Y, BATCH_SIZE), LR, bound, activation
    )
    return {
        "activation": activation,
        "lr": LR,
        "bound": bound,
        "batch_size": BATCH_SIZE,
        "X": X,
        "Y": Y,
        "weights": weights,
        "state": state,
        "without_state": without_state,
        "with_state": with_state,
        "after_one_step": after_one_step,
        "losses": np.array(losses),
        "after_training": after_training,
    }


def answers(weights, X, Y, state, activation):
    """What the oracle says of one minibatch; its states are those of the one layer."""
    state = None if state is None else state[None]  # (num_layers 1, batch_size, num_hiddens)
    outputs, (final_state,), logits = oracle.forward(weights, X, state, activation)
    loss, grads, (gradient_of_state,) = oracle.gradients(weights, X, Y, state, activation)
    return {
        "outputs": outputs,
        "state": final_state,
        "logits": logits,
        "loss": loss,
        "norm": oracle.global_norm(grads),
        "gradients": grads,
        "gradient_of_state": gradient_of_state,
    }


def minibatches(X, Y, batch_size):
    """Consecutive minibatches in order, the last one as small as it comes."""
    starts = range(0, len(X), batch_size)
    return [(X[i : i + batch_size], Y[i : i + batch_size]) for i in starts]


def distance_from_kink(weights, X, state=None):
    """The smallest |A_t| of a ReLU recurrence, A_t = X_t W_xh + H_{t-1} W_hh + b_h.

    The state is that of the one layer, (batch_size, num_hiddens).
    """
    outputs, _, _ = oracle.forward(weights, X, None if state is None else state[None], "relu")
    H_0 = np.zeros_like(outputs[0]) if state is None else state
    H_before = np.concatenate([H_0[None], outputs[:-1]])  # (num_steps, batch_size, num_hiddens)
    embs = oracle.one_hot(X, len(weights["rnn.W_xh"]))  # (num_steps, batch_size, vocab_size)
    A = embs @ weights["rnn.W_xh"] + H_before @ weights["rnn.W_hh"] + weights["rnn.b_h"]
    return float(np.abs(A).min())


def smallest_distance(golden):
    """The smallest distance from the kink in anything that a ReLU case computes."""
    X, Y, batch_size = golden["X"], golden["Y"], golden["batch_size"]
    weights = golden["weights"]
    distances = [distance_from_kink(weights, X[:batch_size], golden["state"])]
    for batch in minibatches(X, Y, batch_size):
        distances.append(distance_from_kink(weights, batch[0]))
        weights = oracle.train(weights, [batch], golden["lr"], golden["bound"], "relu")[1]
    return min(distances)


def cases():
    """All golden cases by file name, each checked to be what its name says."""
    made = {}
    for (activation, clipping), seed in SEEDS.items():
        name = f"{activation}-{clipping}.npz"
        golden = case(activation, clipping, seed)
        norm = golden["without_state"]["norm"]
        assert {
            "unclipped": golden["bound"] == 0,
            "below_norm": 0 < golden["bound"] < norm,
            "above_norm": golden["bound"] > norm,
        }[clipping], f"{name}: bound {golden['bound']} against a norm of {norm}"
        if activation == "relu":
            distance = smallest_distance(golden)
            assert distance > KINK, f"{name}: an argument of ReLU is {distance:.1e} from zero"
        made[name] = golden
    return made


def flatten(tree, prefix=""):
    """A nested dict as a flat one, its keys joined by '/'."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}/")
        else:
            flat[prefix + key] = np.asarray(value)
    return flat


def read(path):
    """A golden file as the nested dict that `case` made; scalars are Python's."""
    tree = {}
    with np.load(path) as arrays:
        for key in arrays.files:
            *parents, name = key.split("/")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[name] = arrays[key] if arrays[key].ndim else arrays[key].item()
    return tree


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, golden in cases().items():
        np.savez_compressed(FOLDER / name, **flatten(golden))
        print(f"{FOLDER.name}/{name}: {(FOLDER / name).stat().st_size} bytes")
