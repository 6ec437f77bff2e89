"""`Trainer` in MXNet (book, sections 3.2.4 and 9.5.3)."""

import contextlib
import threading

import mxnet
import numpy as onp
from mxnet import autograd, gluon, np

from d2lrnn import trainer as core
from d2lrnn.module import nested

from .devices import Replicas, launched, of_workers
from .ops import concat, cpu, numpy, reshape, stack, to
from .optimizers import OfArrays, arrays_in, memory, set_learning_rate
from .weights import places

drawing = threading.RLock()  # MXNet's global stream is one for all threads


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    on_many = True

    def count_shares(self):
        if not launched():
            return super().count_shares()
        self.rank = of_workers().rank
        return super().count_shares() * of_workers().num_workers

    def prepare_model(self, model):
        devices = self.gpus or [cpu(i) for i in range(self.devices)]
        self.device = devices[0]
        model.trainer = self
        model.reset_ctx(self.device)
        self.model = model
        self.replicas = Replicas(model, devices) if self.num_shares > 1 else None
        self.optim = model.configure_optimizers()

    def prepare_batch(self, batch):
        return nested(lambda x: to(x, self.device) if isinstance(x, np.ndarray) else x, batch)

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

    def own_epoch(self, train):
        if self.replicas is None:
            return super().own_epoch(train)
        loader = self.train_dataloader if train else self.val_dataloader
        run = self.update_shares if train else self.evaluate_shares
        self.replicas.send_weights()
        losses = [
            run(self.replicas.own_part(shares), block.arrays)
            for block in loader.blocks()
            for shares in self.shares(block)
        ]
        return self.replicas.over_all(self.to_host(losses))

    def update_shares(self, shares, arrays):
        """`update`, of a minibatch that is cut over several devices."""
        with autograd.record():
            loss, parts = self.replicas.loss(shares, arrays)
        self.replicas.backward(parts)
        if self.gradient_clip_val > 0:
            self.clip_gradients(self.gradient_clip_val, self.model)
        self.optim.step(1)
        self.replicas.send_weights()
        return loss

    def evaluate_shares(self, shares, arrays):
        """`evaluate`, likewise."""
        loss, _ = self.replicas.loss(shares, arrays)
        return loss

    def set_learning_rate(self, lr):
        set_learning_rate(self, lr)

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
        with drawing:
            after = int(np.random.randint(2**31 - 1))
            mxnet.random.seed(onp.random.RandomState([seed, epoch]).randint(2**31))
            try:
                yield
            finally:
                mxnet.random.seed(after)

    def record(self, key, value, train):
        # As it is now, without what it was made of: it is read at the end of the epoch.
        value = value.data() if isinstance(value, gluon.Parameter) else value
        if isinstance(value, mxnet.nd.NDArray):
            with autograd.pause():
                value = value.as_np_ndarray().copy()
        super().record(key, value, train)

    def to_host(self, scalars):
        if len({scalar.dtype for scalar in scalars}) > 1:
            return onp.array([scalar.item() for scalar in scalars])
        return numpy(stack([reshape(s, ()) for s in scalars])) if scalars else onp.empty(0)

    def optimizer_state(self):
        if isinstance(self.optim, OfArrays):
            return self.optim.arrays()
        if not isinstance(self.optim, gluon.Trainer):
            return core.numbers_of(self.optim)
        (updater,) = self.optim._updaters
        optimizer, state = updater.optimizer, {}
        for part, numbers in {"all": optimizer, "schedule": optimizer.lr_scheduler}.items():
            if numbers is not None:
                state |= {f"{part}/{name}": a for name, a in core.numbers_of(numbers).items()}
        for path, index in self._indices().items():
            parameter = self.optim._params[index]
            state[f"{path}/lr_mult"] = onp.asarray(parameter.lr_mult)
            state[f"{path}/wd_mult"] = onp.asarray(parameter.wd_mult)
            if index in updater.states:
                state[f"{path}/count"] = onp.asarray(optimizer._index_update_count[index])
                own = updater.states[index]
                state |= {f"{path}/{name}": numpy(array) for name, array in arrays_in(own)}
        return state

    def set_optimizer_state(self, state):
        if isinstance(self.optim, OfArrays):
            return self.optim.set_arrays(state)
        if not isinstance(self.optim, gluon.Trainer):
            return core.set_numbers(self.optim, state)
        (updater,) = self.optim._updaters
        optimizer, indices = updater.optimizer, self._indices()
        weights = {path: (i, self.optim._params[i].data()) for path, i in indices.items()}
        states, shapes = memory(optimizer, weights, state)
        core.check_state(state, {n: a.shape for n, a in self.optimizer_state().items()} | shapes)
        for part, owner in {"all": optimizer, "schedule": optimizer.lr_scheduler}.items():
            numbers = {n.partition("/")[2]: a for n, a in state.items() if n.startswith(f"{part}/")}
            core.set_numbers(owner, numbers)
        for path, index in indices.items():
            parameter = self.optim._params[index]
            parameter.lr_mult = state[f"{path}/lr_mult"].item()
            parameter.wd_mult = state[f"{path}/wd_mult"].item()
            if path in states:
                optimizer._index_update_count[index] = state[f"{path}/count"].item()
                updater.states[index], updater.states_synced[index] = states[path], True
                for name, array in arrays_in(states[path]):
                    array[:] = state[f"{path}/{name}"]

    def _indices(self):
        """Under which number gluon's trainer knows each parameter, which follows from names that it makes."""
        paths = {id(getattr(*place)): path for path, place in places(self.model).items()}
        return {paths.get(id(p), p.name): index for index, p in enumerate(self.optim._params)}
