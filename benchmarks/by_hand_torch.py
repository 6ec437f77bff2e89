"""Section 9.6 in plain PyTorch: the yardstick of `benchmarks/epoch.py`."""

import torch
from torch import nn
from torch.nn import functional as F


class ByHand:
    def __init__(self, setting):
        self.s = setting
        self.X, self.Y = (torch.from_numpy(a.copy()).long() for a in (setting.X, setting.Y))
        v, h = setting.vocab_size, setting.num_hiddens
        # W_xh, where picking its rows is faster than making one-hot vectors.
        self.embedding = nn.Embedding(v, h) if v > h else None
        self.rnn = nn.RNN(h if self.embedding else v, h)
        self.rnn.bias_hh_l0.requires_grad_(False).zero_()
        self.linear = nn.Linear(h, v)
        self.parameters = [*self.rnn.parameters(), *self.linear.parameters()]
        if self.embedding:
            bound = h**-0.5
            nn.init.uniform_(self.embedding.weight, -bound, bound)
            nn.init.eye_(self.rnn.weight_ih_l0.requires_grad_(False))
            self.parameters.append(self.embedding.weight)
        self.parameters = [p for p in self.parameters if p.requires_grad]
        self.optimizer = torch.optim.SGD(self.parameters, lr=setting.lr)

    def loss(self, rows):
        X, Y = self.X[rows].T, self.Y[rows].T  # (num_steps, batch_size)
        if self.embedding:
            inputs = self.embedding(X)
        else:
            inputs = torch.zeros((*X.shape, self.s.vocab_size)).scatter_(2, X.unsqueeze(2), 1)
        hiddens, _ = self.rnn(inputs)  # (num_steps, batch_size, num_hiddens)
        return F.cross_entropy(self.linear(hiddens).flatten(0, 1), Y.flatten())

    def epoch(self, order):
        """Train in this order, then validate; the losses."""
        train, val = [], []
        for rows in torch.from_numpy(order).split(self.s.batch_size):
            self.optimizer.zero_grad()
            loss = self.loss(rows)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, self.s.bound)
            self.optimizer.step()
            train.append(loss.detach())
        with torch.no_grad():
            for rows in torch.arange(self.s.num_train, len(self.X)).split(self.s.batch_size):
                val.append(self.loss(rows))
        return torch.stack(train).numpy(), torch.stack(val).numpy()


class Stepper:
    """One token at a time from canonical weights: the yardstick of `predict.py`."""

    def __init__(self, weights):
        W_xh, W_hh, b_h, W_hq, b_q = map(torch.from_numpy, weights.values())
        self.rows = W_xh + b_h  # what a token adds to the next state
        self.W_hh, self.W_hq, self.b_q = W_hh.T.contiguous(), W_hq.T.contiguous(), b_q

    @torch.inference_mode()
    def step(self, token, H):
        H = self.rows[token] if H is None else torch.addmv(self.rows[token], self.W_hh, H)
        H = torch.tanh(H)  # (num_hiddens,)
        return torch.addmv(self.b_q, self.W_hq, H).numpy(), H


RIVALS = {"by hand": ByHand}
