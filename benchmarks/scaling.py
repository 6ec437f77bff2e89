"""Seconds an epoch of section 10.2's GRU takes on one device and on several, and whether more pay.

    python benchmarks/scaling.py [--hiddens 32,256,1024] [--devices 1,2] [--gpus] [--epochs 5]

The framework is that of D2LRNN_BACKEND; on CPU devices, or with --gpus on GPUs. The minibatch is the whole
one, cut over the devices. "Besides" is what an epoch takes beyond its n-th part of one device's: adding up
the gradients, and all that does not shrink.
"""

import argparse
import statistics

import numpy as np

import d2lrnn as d2l


def epoch(hiddens, devices, gpus, data, epochs):
    """Seconds, the median over the epochs but the first, in which graphs are made."""
    rnn = d2l.GRU(num_inputs=len(data.vocab), num_hiddens=hiddens, num_layers=1)
    model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=1)
    where = {"num_gpus": devices} if gpus else {"devices": devices}
    trainer = d2l.Trainer(epochs + 1, gradient_clip_val=1, progress=False, **where)
    trainer.fit(model, data)
    megabytes = sum(w.nbytes for w in model.get_weights().values()) / 1e6
    return statistics.median(row["seconds"] for row in trainer.history[1:]), megabytes


def numbers(text):
    return [int(number) for number in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hiddens", type=numbers, default=[32, 128, 512, 1024])
    parser.add_argument("--devices", type=numbers, default=[1, 2])
    parser.add_argument("--gpus", action="store_true")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--train", type=int, default=4096, help="how many windows an epoch has")
    given = parser.parse_args()
    if not given.gpus:
        d2l.Trainer(1, devices=max(given.devices))  # made before anything is computed
    data = d2l.TimeMachine(batch_size=1024, num_steps=32, num_train=given.train, num_val=0)
    print("hiddens  devices  seconds  besides  MB of gradients a step")
    for hiddens in given.hiddens:
        alone = None
        for devices in given.devices:
            seconds, megabytes = epoch(hiddens, devices, given.gpus, data, given.epochs)
            alone = seconds if devices == 1 else alone
            besides = np.nan if alone is None else seconds - alone / devices
            verdict = "" if alone is None or devices == 1 or seconds < alone else "  does not pay"
            print(
                f"{hiddens:7}  {devices:7}  {seconds:7.3f}  {besides:7.3f}  {megabytes:10.2f}{verdict}",
                flush=True,
            )


if __name__ == "__main__":
    main()
