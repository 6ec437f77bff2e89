"""`Trainer` in JAX (book, sections 3.2.4 and 9.5.3)."""

import contextlib
import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
from jax import numpy as jnp

from d2lrnn import trainer as core

from . import devices, optimizers
from .epoch import compile_epoch
from .module import with_aux


class Trainer(devices.OnDevices):
    __doc__ = core.Trainer.__doc__
    compiles = True

    _key = root = None  # what parameters are drawn from, and what is dropped

    def fit(self, model, data, key=None, *, resume=None, checkpoint=None):
        """As `d2lrnn.trainer.Trainer.fit`; `state` is then the flax `TrainState`.

        Args:
            key: as in the book, a random key: the model is trained from new parameters drawn from it.
                Without one, it is trained on from the parameters that it has.
        """
        # As in the book, plain numbers, which Flax's own files can hold.
        self._key = self.root = None if key is None else jax.random.key_data(key)
        try:
            super().fit(model, data, resume=resume, checkpoint=checkpoint)
        finally:
            self._key, self._epochs = None, {}  # and with them the data on the device
            self.leave_mesh()

    def prepare_model(self, model):
        self.device = self.first_device if self.mesh is None else devices.everywhere(self.mesh)
        self.model = model
        model.trainer = self
        if self._key is not None or not model.has_params:
            dummy_input = model.dummy_input() or next(iter(self.train_dataloader))[:-1]
            model.set_variables(model.draw_variables(dummy_input, self._key))
        self.state = devices.put(model.train_state(), self.device)
        self._epochs, self.configured = {}, self.optim

    @property
    def state(self):
        """The `TrainState`; its parameters and statistics are the model's, whoever has set them."""
        return self._state.replace(params=self.model.params, batch_stats=self.model.batch_stats)

    @state.setter
    def state(self, state):
        self._state = state
        self.model.params, self.model.batch_stats = state.params, state.batch_stats

    @property
    def optim(self):
        """The optimiser, which is part of `state`."""
        return self._state.tx

    @optim.setter
    def optim(self, optim):
        self.state = self.state.replace(tx=optim)

    def prepare_batch(self, batch):
        if self.mesh is not None:
            return devices.cut(batch, self.mesh)
        return jax.device_put(batch, self.device)

    def update(self, loss_of, batch):
        """Train on one minibatch; here `loss_of`, a `training_step`, gives the gradients as well."""
        self.model.training = True
        self.state, loss = self.step(loss_of, self.state, batch)
        return loss

    def step(self, loss_of, state, batch):
        """The state after a minibatch, with the variables that the loss returned, and its loss."""
        # Unlike a chain of keys, one made of the number of the step is free if nothing is drawn.
        key = jax.random.fold_in(state.dropout_rng, state.step)
        value, grads = loss_of(state.params, batch, state.replace(dropout_rng=key))
        loss, aux = with_aux(value)
        if self.gradient_clip_val > 0:
            grads = self.clip_gradients(self.gradient_clip_val, grads)
        state = state.apply_gradients(grads=grads)
        if isinstance(aux, Mapping) and "batch_stats" in aux:
            state = state.replace(batch_stats=aux["batch_stats"])
        return state, loss

    def evaluate(self, loss_of, batch):
        self.model.training = False
        return loss_of(self.state.params, batch, self.state)

    def clip_gradients(self, grad_clip_val, grads):
        """The gradients g scaled by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads)))
        scale = jnp.minimum(1, grad_clip_val / norm)
        return jax.tree.map(lambda g: scale * g, grads)

    @contextlib.contextmanager
    def seeded_epoch(self, seed, epoch):
        root = jax.random.PRNGKey(seed) if self.root is None else self.root
        dropout_rng = devices.put(jax.random.fold_in(root, epoch), self.device)
        self.state = self.state.replace(step=self.train_batch_idx, dropout_rng=dropout_rng)
        yield

    def own_epoch(self, train):
        """The epoch in one compiled call; the host waits for the device once, at its end."""
        self.model.training = train
        loader = self.train_dataloader if train else self.val_dataloader
        with_gradients = jax.value_and_grad(self.batch_loss, has_aux=True)
        now = self.state
        # Not with the model: JAX remembers the structure of all that it was called with.
        fields = dataclasses.fields(now)
        names = [f.name for f in fields if f.metadata.get("pytree_node", True)]

        def step(arrays, batch):
            state, batch = now.replace(**arrays), self.prepare_batch(batch)
            if train:
                state, loss = self.step(with_gradients, state, batch)
                return {name: getattr(state, name) for name in names}, loss
            return arrays, self.batch_loss(state.params, batch, state)[0]

        key = (
            train,
            loader,
            self.optim,
            *(number.item() for number in optimizers.numbers_of(self.optim).values()),
        )
        if key not in self._epochs:
            self._epochs[key] = compile_epoch(step, loader, self.device)
        arrays = {name: getattr(now, name) for name in names}
        arrays, losses = self._epochs[key](devices.put(arrays, self.device))
        if train:
            self.state = now.replace(**arrays)
        return losses

    def to_host(self, scalars):
        return np.array([float(s.reshape(())) for s in jax.device_get(scalars)])
