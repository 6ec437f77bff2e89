"""Sections 9.6 to 11.4 in plain PyTorch: the yardstick of `benchmarks/epoch.py`."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Recurrence(torch.autograd.Function):
    """H_t = tanh(W_xh[X_t] + b_h + H_{t-1} W_hh) and its gradients, of each weight one product."""

    @staticmethod
    def forward(ctx, X, W_xh, W_hh, b_h):
        outputs = F.embedding(X, W_xh + b_h)  # (num_steps, batch_size, num_hiddens)
        torch.tanh_(outputs[0])
        for H, A in pairwise(outputs):
            torch.tanh_(A.addmm_(H, W_hh))
        ctx.save_for_backward(X, outputs, W_hh)
        ctx.vocab_size = len(W_xh)
        return outputs

    @staticmethod
    def backward(ctx, d_outputs):
        X, outputs, W_hh = ctx.saved_tensors
        dA, dH, W_hh_T = torch.empty_like(outputs), d_outputs[-1], W_hh.T.contiguous()
        for t in reversed(range(len(outputs))):
            torch.ops.aten.tanh_backward.grad_input(dH, outputs[t], grad_input=dA[t])
            if t > 0:
                dH = torch.addmm(d_outputs[t - 1], dA[t], W_hh_T)
        flat = dA.flatten(0, 1)
        dW_xh = flat.new_zeros((ctx.vocab_size, flat.shape[1])).index_add_(0, X.flatten(), flat)
        dW_hh = outputs[:-1].flatten(0, 1).T @ dA[1:].flatten(0, 1)
        return None, dW_xh, dW_hh, flat.sum(0)


class LossOfSteps(torch.autograd.Function):
    """The summed loss of hidden states, and its gradients, with the logits of one step at a time."""

    @staticmethod
    def forward(ctx, hiddens, W_qh, b_q, Y):
        total = 0
        d_hiddens, dW, db = torch.empty_like(hiddens), torch.zeros_like(W_qh), torch.zeros_like(b_q)
        for t, H in enumerate(hiddens):
            log_p = torch.log_softmax(torch.addmm(b_q, H, W_qh.T), 1)
            total = total - log_p.gather(1, Y[t, :, None]).sum()
            d = log_p.exp_()
            d.scatter_add_(1, Y[t, :, None], d.new_full((len(H), 1), -1))
            torch.mm(d, W_qh, out=d_hiddens[t])
            dW.addmm_(d.T, H)
            db += d.sum(0)
        ctx.save_for_backward(d_hiddens, dW, db)
        return total

    @staticmethod
    def backward(ctx, gradient):
        return *(gradient * g for g in ctx.saved_tensors), None


class Loop:
    """Training and validation by hand; a subclass makes its `parameters` and has `loss`."""

    def __init__(self, setting):
        self.s = setting
        self.X, self.Y = (torch.from_numpy(a.copy()).long() for a in (setting.X, setting.Y))
        self.parameters = self.made(setting.vocab_size, setting.num_hiddens)
        self.optimizer = torch.optim.SGD(self.parameters, lr=setting.lr)

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
            for rows in torch.arange(self.s.num_train, self.s.num_train + self.s.num_val).split(
                self.s.batch_size
            ):
                val.append(self.loss(rows))
        return torch.stack(train).numpy(), torch.stack(val).numpy()


class ByHand(Loop):
    """Section 9.6."""

    def made(self, v, h):
        shapes = [(v, h), (h, h), (h,), (v, h), (v,)]  # W_xh, W_hh, b_h, W_hq transposed, b_q
        return [nn.Parameter(torch.empty(s).uniform_(-(h**-0.5), h**-0.5)) for s in shapes]

    def loss(self, rows):
        X, Y = self.X[rows].T, self.Y[rows].T  # (num_steps, batch_size)
        W_xh, W_hh, b_h, W_qh, b_q = self.parameters
        hiddens = Recurrence.apply(X, W_xh, W_hh, b_h)
        if self.s.vocab_size <= 128:
            return F.cross_entropy(F.linear(hiddens, W_qh, b_q).flatten(0, 1), Y.flatten())
        if torch.is_grad_enabled():
            return LossOfSteps.apply(hiddens, W_qh, b_q, Y) / Y.numel()
        each = (F.cross_entropy(F.linear(H, W_qh, b_q), y) for H, y in zip(hiddens, Y, strict=True))
        return sum(each) / len(Y)


class OnLayer(Loop):
    """PyTorch's own recurrent layer over one-hot vectors, with one bias a gate that trains."""

    layer, num_layers = nn.LSTM, 1

    def made(self, v, h):
        self.rnn, self.linear = self.layer(v, h, self.num_layers), nn.Linear(h, v)
        for name, parameter in self.rnn.named_parameters():
            if name.startswith("bias_hh"):
                nn.init.zeros_(parameter).requires_grad_(False)
        both = [*self.rnn.parameters(), *self.linear.parameters()]
        return [parameter for parameter in both if parameter.requires_grad]

    def loss(self, rows):
        X, Y = self.X[rows].T, self.Y[rows].T  # (num_steps, batch_size)
        outputs, _ = self.rnn(F.one_hot(X, self.s.vocab_size).float())
        return F.cross_entropy(self.linear(outputs).flatten(0, 1), Y.flatten())


class OnGRU(OnLayer):
    layer = nn.GRU


class OnTwoGRUs(OnGRU):
    num_layers = 2


class Translating(Loop):
    """Section 10.7: two layers of GRUs read the source, packed, and two write the target."""

    def __init__(self, setting):
        self.s = setting
        self.arrays = [torch.from_numpy(array).long() for array in setting.data.arrays]
        self.pad, h = setting.data.tgt_vocab["<pad>"], setting.num_hiddens
        self.layers = nn.ModuleDict(self.made(len(setting.data.src_vocab), setting.vocab_size, h))
        for name, parameter in self.layers.named_parameters():
            if "bias_hh" in name:
                nn.init.zeros_(parameter).requires_grad_(False)
        self.parameters = [p for p in self.layers.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=setting.lr)

    def made(self, src, tgt, h):
        return {
            "source": nn.Embedding(src, h),
            "encoder": nn.GRU(h, h, 2, dropout=self.s.dropout),
            "target": nn.Embedding(tgt, h),
            "decoder": nn.GRU(2 * h, h, 2, dropout=self.s.dropout),
            "dense": nn.Linear(h, tgt),
        }

    def loss(self, rows):
        self.layers.train(torch.is_grad_enabled())
        src, tgt, lengths, labels = (array[rows] for array in self.arrays)
        outputs, state = self.layers["encoder"](packed(self.layers["source"](src.T), lengths))
        of_labels = (labels != self.pad).sum(1)
        embs = packed(self.layers["target"](tgt.T), of_labels)
        logits = self.layers["dense"](self.decoded(embs, outputs, state, lengths))
        return F.cross_entropy(logits, packed(labels.T, of_labels).data)

    def decoded(self, embs, outputs, state, lengths):
        """The hidden states (tokens, num_hiddens) after the tokens, in the order of the packed `embs`."""
        of_all = state[-1][embs.sorted_indices]  # longer sentences first, as packed
        context = torch.cat([of_all[:n] for n in embs.batch_sizes])
        inputs = embs._replace(data=torch.cat((embs.data, context), -1))
        return self.layers["decoder"](inputs, state)[0].data


def packed(steps, lengths):
    """The steps (num_steps, batch_size, ...) of each sentence as far as it goes; padding costs time."""
    return pack_padded_sequence(steps, lengths, enforce_sorted=False)


class Attending(Translating):
    """Section 11.4: in each step the last layer's state asks for the outputs of the source."""

    def made(self, src, tgt, h):
        layers = super().made(src, tgt, h)
        for name, size in ("W_q", h), ("W_k", h), ("w_v", 1):
            layers[name] = nn.Linear(h, size, bias=False)
        return {**layers, "dropout": nn.Dropout(self.s.dropout)}

    def decoded(self, embs, outputs, state, lengths):
        order = embs.sorted_indices
        values = pad_packed_sequence(outputs, batch_first=True)[0][order]
        keys, state = self.layers["W_k"](values), state[:, order]  # keys are the same in all steps
        is_padding = torch.arange(values.shape[1]) >= lengths[order, None]
        hiddens = []
        for x in embs.data.split(embs.batch_sizes.tolist()):
            # (n, num_hiddens) of those not over yet
            n, state = len(x), state[:, : len(x)]
            query = self.layers["W_q"](state[-1])[:, None]
            scores = self.layers["w_v"](torch.tanh(query + keys[:n]))[..., 0]
            weights = scores.masked_fill(is_padding[:n], -1e6).softmax(-1)
            context = (self.layers["dropout"](weights)[:, None] @ values[:n])[:, 0]
            output, state = self.layers["decoder"](torch.cat((context, x), -1)[None], state)
            hiddens.append(output[0])
        return torch.cat(hiddens)


RIVALS = {"by hand": ByHand}
RIVALS_OF = {
    "rnn": RIVALS,
    "lstm": {"by hand": OnLayer},
    "gru": {"by hand": OnGRU},
    "deep-gru": {"by hand": OnTwoGRUs},
    "seq2seq": {"by hand": Translating},
    "seq2seq-attention": {"by hand": Attending},
}
