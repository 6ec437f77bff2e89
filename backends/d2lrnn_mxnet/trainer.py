"""`Trainer` in MXNet (book, sections 3.2.4 and 9.5.3)."""

import contextlib

import mxnet
import numpy as onp
from mxnet import autograd, gluon, np

from d2lrnn import trainer as core

from .ops import concat, cpu, from_numpy, numpy, reshape, stack, to


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    def prepare_model(self, model):
        self.device = self.gpus[0] if self.gpus else cpu()
        model.trainer = self
        model.reset_ctx(self.device)
        self.model = model
        self.optim = model.configure_optimizers()

    def prepare_batch(self, batch):
        return [to(array, self.device) for array in batch]

    def update(self, loss_of, batch):
        with autograd.record():
            loss = loss_of(batch)
        loss.backward()
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        self.optim.step(1)  # the loss is a mean already
        return loss.detach()

    def evaluate(self, loss_of, batch):
        return loss_of(batch)

    def clip_gradients(self, grad_clip_val, model):
        """Scale the gradients g by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        params = model.parameters()
        arrays = params if isinstance(params, list) else [p.data() for p in params.values()]
        gradients = [array.grad for array in arrays]
        everything = concat([reshape(g, -1) for g in gradients])
        # np.linalg.norm adds up naively: it loses digits of long vectors.
        norm = np.sqrt(np.dot(everything, everything))
        scale = np.minimum(1, grad_clip_val / norm)
        for g in gradients:
            g *= scale

    @contextlib.contextmanager
    def seeded_epoch(self, seed, epoch):
        """MXNet's stream can be seeded, but not be put back: afterwards, what came next seeds it."""
        after = int(np.random.randint(2**31 - 1))
        mxnet.random.seed(onp.random.RandomState([seed, epoch]).randint(2**31))
        try:
            yield
        finally:
            mxnet.random.seed(after)

    def to_host(self, scalars):
        return numpy(stack([reshape(s, ()) for s in scalars])) if scalars else onp.empty(0)

    def optimizer_state(self):
        if not isinstance(self.optim, gluon.Trainer):
            return {}
        (updater,) = self.optim._updaters
        state = {}
        for index, arrays in updater.states.items():
            if isinstance(arrays, tuple):
                state |= {f"{index}/{i}": numpy(array) for i, array in enumerate(arrays)}
            elif arrays is not None:
                state[f"{index}"] = numpy(arrays)
        if state or updater.optimizer.lr_scheduler is not None:
            counts = updater.optimizer._index_update_count  # these decide the next learning rate
            state |= {f"count/{index}": onp.array(count) for index, count in counts.items()}
        return state

    def set_optimizer_state(self, state):
        if not isinstance(self.optim, gluon.Trainer):
            return
        (updater,) = self.optim._updaters
        for name, array in state.items():
            index, _, part = name.partition("/")
            if index == "count":
                count = updater.optimizer._index_update_count[int(part)] = int(array)
                updater.optimizer.num_update = max(updater.optimizer.num_update, count)
                continue
            array = from_numpy(array, self.device).as_nd_ndarray()
            before = updater.states.get(int(index), ())
            updater.states[int(index)] = (*before, array) if part else array
            updater.states_synced[int(index)] = True
