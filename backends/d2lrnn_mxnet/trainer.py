"""`Trainer` in MXNet (book, sections 3.2.4 and 9.5.3)."""

from __future__ import annotations

import numpy as onp
from mxnet import autograd, gluon, np

from d2lrnn import trainer as core

from .ops import concat, cpu, from_numpy, gpu, num_gpus, numpy, reshape, stack, to


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    def available_gpus(self):
        return [gpu(i) for i in range(num_gpus())]

    def prepare_model(self, model):
        self.device = self.gpus[0] if self.gpus else cpu()
        model.trainer = self
        model.reset_ctx(self.device)
        self.model = model
        self.optim = model.configure_optimizers()
        self.compiled_loss = model.compiled_loss()

    def prepare_batch(self, batch):
        return [to(array, self.device) for array in batch]

    def train_epoch(self):
        """Train over every minibatch once.

        In short::

            for each minibatch:
                loss, gradients; by a compiled graph where the library owns the step
                clip the gradients by their global norm
                update the parameters
            read all losses

        MXNet computes behind the host's back: while it does, the host cuts the next minibatch.
        """
        compiled = self.compiled("training_step", self.train_dataloader)
        losses = []
        for batch in self.compiled_minibatches(True) if compiled else self.minibatches(train=True):
            with autograd.record():
                loss = self.compiled_loss(*batch) if compiled else self.model.training_step(batch)
            loss.backward()
            if self.gradient_clip_val > 0:
                self.clip_gradients(self.gradient_clip_val, self.model)
            self.optim.step(1)  # the loss is a mean already
            losses.append(loss.detach())
        losses = self.to_host(losses)  # the only place where the host waits for the device
        if compiled:
            self.replay(losses, train=True)
        return losses

    def validation_epoch(self):
        if self.compiled("validation_step", self.val_dataloader):
            losses = [self.compiled_loss(*batch) for batch in self.compiled_minibatches(False)]
            losses = self.to_host(losses)
            if onp.isfinite(losses).all():
                self.replay(losses, train=False)
                return losses
            # A token was too improbable for the compiled loss, but not for the model's.
        losses = [self.model.validation_step(batch) for batch in self.minibatches(train=False)]
        return self.to_host([loss for loss in losses if loss is not None])

    def compiled(self, step, loader):
        """Whether `step` is taken by `self.compiled_loss`: the library owns it, and can compile it."""
        return (
            self.compiled_loss is not None
            and self.library_owns(self.model, step, loader)
            and len(loader.arrays) == 2
        )

    def compiled_minibatches(self, train):
        return map(self.prepare_batch, self.train_dataloader if train else self.val_dataloader)

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
