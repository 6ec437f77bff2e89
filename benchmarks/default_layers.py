"""What the defaults of the four frameworks' recurrent layers do to the training of section 9.6.

    D2LRNN_BACKEND=torch python benchmarks/default_layers.py [--max-epochs 100] [--seeds 3]

The backends compute the same thing from the same weights, so the effect of each default can be
measured on one of them, with everything else held fixed: the initialiser of each framework, the
second bias that PyTorch and MXNet train, the ReLU of MXNet. PyTorch serves, because there the second
bias can be let go with one line.
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

import d2lrnn as d2l

NUM_HIDDENS = 32


def uniform(random, shape, bound):
    return random.uniform(-bound, bound, shape)


def glorot_uniform(random, shape):
    return uniform(random, shape, np.sqrt(6 / sum(shape)))


def lecun_normal(random, shape):
    """Of variance 1/fan_in, truncated at two standard deviations, as Flax draws it."""
    z = random.standard_normal(shape)
    while (outside := np.abs(z) > 2).any():
        z[outside] = random.standard_normal(outside.sum())
    return z / 0.87962566103423978 / np.sqrt(shape[0])


def orthogonal(random, size):
    q, r = np.linalg.qr(random.standard_normal((size, size)))
    return q * np.sign(np.diag(r))


def torch_weights(random, v, h):
    """torch.nn.RNN and torch.nn.Linear: all from U(-1/sqrt(h), 1/sqrt(h)); two biases, added."""
    b = h**-0.5
    W_xh, W_hh, W_hq = (uniform(random, s, b) for s in ((v, h), (h, h), (h, v)))
    return W_xh, W_hh, uniform(random, h, b) + uniform(random, h, b), W_hq, uniform(random, v, b)


def mxnet_weights(random, v, h):
    """gluon's default initialiser: U(-0.07, 0.07), biases zero."""
    W_xh, W_hh, W_hq = (uniform(random, s, 0.07) for s in ((v, h), (h, h), (h, v)))
    return W_xh, W_hh, np.zeros(h), W_hq, np.zeros(v)


def tensorflow_weights(random, v, h):
    """Keras: Glorot uniform, W_hh orthogonal, biases zero."""
    return (
        glorot_uniform(random, (v, h)),
        orthogonal(random, h),
        np.zeros(h),
        glorot_uniform(random, (h, v)),
        np.zeros(v),
    )


def jax_weights(random, v, h):
    """Flax: LeCun normal, W_hh orthogonal, biases zero."""
    return (
        lecun_normal(random, (v, h)),
        orthogonal(random, h),
        np.zeros(h),
        lecun_normal(random, (h, v)),
        np.zeros(v),
    )


INITIALISERS = {
    "PyTorch": torch_weights,
    "MXNet": mxnet_weights,
    "TensorFlow": tensorflow_weights,
    "JAX/Flax": jax_weights,
}
NAMES = ("rnn.W_xh", "rnn.W_hh", "rnn.b_h", "linear.W_hq", "linear.b_q")
LAYERS = {
    "one bias, tanh": {},
    "second bias trained": {"second_bias": True},
    "ReLU": {"activation": "relu"},
}


def train(data, draw, seed, max_epochs, activation="tanh", second_bias=False):
    """The last epoch's perplexities in training and validation."""
    v = len(data.vocab)
    rnn = d2l.RNN(num_inputs=v, num_hiddens=NUM_HIDDENS, activation=activation)
    model = d2l.RNNLM(rnn, vocab_size=v, lr=1)
    weights = draw(np.random.RandomState(seed), v, NUM_HIDDENS)
    model.set_weights(dict(zip(NAMES, weights, strict=True)))
    if second_bias:
        rnn.rnn.bias_hh_l0.requires_grad_(True)
    trainer = d2l.Trainer(max_epochs, gradient_clip_val=1, progress=False)
    trainer.fit(model, data)
    return trainer.history[-1]["train_ppl"], trainer.history[-1]["val_ppl"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    data = d2l.TimeMachine(batch_size=1024, num_steps=32)
    table = Table("initialiser", *LAYERS, title=f"train / validation perplexity, {data.source}")
    for name, draw in INITIALISERS.items():
        cells = []
        for options in LAYERS.values():
            runs = [
                train(data, draw, seed, arguments.max_epochs, **options)
                for seed in range(arguments.seeds)
            ]
            mean, spread = np.mean(runs, 0), np.ptp(runs, 0)
            cells.append(
                " / ".join(f"{m:.2f}±{s / 2:.2f}" for m, s in zip(mean, spread, strict=True))
            )
        table.add_row(name, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
