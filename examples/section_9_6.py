"""Section 9.6 as a plain script, the same on every framework.

`D2LRNN_BACKEND=torch python examples/section_9_6.py --epochs 100`
"""

import argparse

import d2lrnn as d2l

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--epochs", type=int, default=100, help="how long to train (default: 100)")
arguments = parser.parse_args()

data = d2l.TimeMachine(batch_size=1024, num_steps=32)
rnn = d2l.RNN(num_inputs=len(data.vocab), num_hiddens=32)
model = d2l.RNNLM(rnn, vocab_size=len(data.vocab), lr=1)
print("before:", model.predict("it has", 20, data.vocab))

trainer = d2l.Trainer(max_epochs=arguments.epochs, gradient_clip_val=1, num_gpus=1)
trainer.fit(model, data)

last = trainer.history[-1]
print(f"perplexity: {last['train_ppl']:.2f} in training, {last['val_ppl']:.2f} in validation")
print("after:", model.predict("it has", 20, data.vocab))
