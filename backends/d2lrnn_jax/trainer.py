"""`Trainer` in JAX (book, sections 3.2.4 and 9.5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax.training import train_state as flax_train_state
from jax import numpy as jnp

from d2lrnn import trainer as core
from d2lrnn.data import windows_of
from d2lrnn.errors import WeightsError

from .module import with_aux
from .ops import cpu, from_numpy, gpu, num_gpus, numpy
from .rnn import rolled


class TrainState(flax_train_state.TrainState):
    """Flax's `TrainState`, with what the book's models may use besides parameters."""

    batch_stats: Any
    dropout_rng: jax.Array


def train_state(model, dropout_rng):
    """The state in which a training of `model` begins."""
    return TrainState.create(
        apply_fn=model.apply,
        params=model.params,
        tx=model.configure_optimizers(),
        batch_stats=getattr(model, "batch_stats", {}),
        dropout_rng=dropout_rng,
    )


def keyed(state):
    """`state`, its epoch's key made that of its step: unlike a chain of keys, free if nothing is drawn."""
    return state.replace(dropout_rng=jax.random.fold_in(state.dropout_rng, state.step))


class Trainer(core.Trainer):
    __doc__ = core.Trainer.__doc__

    _key = None

    def available_gpus(self):
        return [gpu(i) for i in range(num_gpus())]

    def fit(self, model, data, key=None, *, resume=None, checkpoint=None):
        """Train `model` on `data`; see `d2lrnn.trainer.Trainer.fit`.

        `state` is then the flax `TrainState`, whose parameters are the model's.

        Args:
            key: as in the book, a random key: the model is trained from new parameters drawn from it.
                Without one, it is trained on from the parameters that it has.
        """
        self._key = key
        try:
            super().fit(model, data, resume=resume, checkpoint=checkpoint)
        finally:
            self._epochs = {}  # the data on the device

    def prepare_model(self, model):
        key, self._key = self._key, None
        self.device = self.gpus[0] if self.gpus else cpu()
        self.model = model
        model.trainer = self
        if key is not None or not model.has_params:
            dummy_input = model.dummy_input() or next(iter(self.train_dataloader))[:-1]
            variables = model.draw_variables(dummy_input, key)
            model.params, model.batch_stats = variables["params"], variables.get("batch_stats", {})
        root = jax.random.key(getattr(model, "seed", None) or 0) if key is None else key
        self._dropout_root = jax.device_put(root, self.device)
        self.state = jax.device_put(train_state(model, root), self.device)
        self._epochs = {}

    @property
    def state(self):
        """The `TrainState`; its parameters are the model's, whoever has set them."""
        return self._state.replace(params=self.model.params)

    @state.setter
    def state(self, state):
        self._state = state
        self.model.params, self.model.batch_stats = state.params, state.batch_stats

    def prepare_batch(self, batch):
        return jax.device_put(batch, self.device)

    def train_epoch(self):
        """Train over every minibatch once.

        In short::

            for each minibatch, in compiled code or, where the reader wrote `training_step`, in Python:
                loss, gradients
                clip the gradients by their global norm
                update the parameters
            read all losses
        """
        self.model.training = True
        dropout_rng = jax.random.fold_in(self._dropout_root, self.epoch)
        state = self.state.replace(step=self.train_batch_idx, dropout_rng=dropout_rng)
        if self.library_owns(self.model, "training_step", self.train_dataloader):
            state, losses = self._compiled_epoch(self._train, state, self.train_dataloader)
            losses = numpy(losses)  # the only place where the host waits for the device
            self.state = state
            self.replay(losses, train=True)
            return losses
        self.state, losses = state, []
        for batch in self.minibatches(train=True):
            state = keyed(self.state)
            value, grads = self.model.training_step(state.params, batch, state)
            loss, aux = with_aux(value)
            self.state = self._update(self.state, grads, aux)
            losses.append(loss)
        return self.to_host(losses)

    def validation_epoch(self):
        self.model.training = False
        state = self.state
        if self.library_owns(self.model, "validation_step", self.val_dataloader):
            _, losses = self._compiled_epoch(self._validate, state, self.val_dataloader)
            losses = numpy(losses)
            self.replay(losses, train=False)
            return losses
        losses = [
            self.model.validation_step(state.params, batch, state)
            for batch in self.minibatches(train=False)
        ]
        return self.to_host([loss for loss in losses if loss is not None])

    def clip_gradients(self, grad_clip_val, grads):
        """The gradients g scaled by min(1, grad_clip_val / ||g||) (book, equation 9.5.3)."""
        norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grads)))
        scale = jnp.minimum(1, grad_clip_val / norm)
        return jax.tree.map(lambda g: scale * g, grads)

    def to_host(self, scalars):
        return np.array(jax.device_get(scalars))

    def optimizer_state(self):
        leaves, _ = jax.tree_util.tree_flatten_with_path(self.state.opt_state)
        return {jax.tree_util.keystr(path): numpy(leaf) for path, leaf in leaves}

    def set_optimizer_state(self, state):
        if state.keys() != self.optimizer_state().keys():
            raise WeightsError(
                f"The optimiser's state has {sorted(state)}, the model's optimiser needs "
                f"{sorted(self.optimizer_state())}: it was written by another optimiser."
            )
        opt_state = jax.tree_util.tree_map_with_path(
            lambda path, _: jax.device_put(state[jax.tree_util.keystr(path)], self.device),
            self.state.opt_state,
        )
        self.state = self.state.replace(opt_state=opt_state)

    # One step, traced into a compiled epoch ----------------------------------------------------------

    def _train(self, state, batch):
        (loss, aux), grads = self.model.loss_and_gradients(state.params, batch, keyed(state))
        return self._update(state, grads, aux), loss

    def _validate(self, state, batch):
        loss, _ = with_aux(self.model.loss(state.params, batch[:-1], batch[-1], state))
        return state, loss

    def _update(self, state, grads, aux):
        if self.gradient_clip_val > 0:
            grads = self.clip_gradients(self.gradient_clip_val, grads)
        state = state.apply_gradients(grads=grads)
        if isinstance(aux, Mapping) and "batch_stats" in aux:
            state = state.replace(batch_stats=aux["batch_stats"])
        return state

    def _compiled_epoch(self, step, state, loader):
        """Run `step` over the minibatches of `loader`: the last state, and all losses on the device."""
        if step not in self._epochs:

            def prepared(state, batch):
                return step(state, self.prepare_batch(batch))

            self._epochs[step] = compile_epoch(prepared, loader, self.device)
        return self._epochs[step](state)


def compile_epoch(step, loader, device):
    """A function of a state that runs `step(state, batch)` over all minibatches in one compiled call.

    The examples of `loader` are put on the device here, once; an epoch sends only their order. It
    returns the last state and the losses (num_batches,).
    """
    examples, rows_of = zip(*(on_device(array, device) for array in loader.arrays), strict=True)

    @jax.jit
    def run(state, examples, order):
        def body(state, rows):  # (batch_size,)
            return step(state, [take(x, rows) for x, take in zip(examples, rows_of, strict=True)])

        full = len(order) - len(order) % loader.batch_size
        state, losses = jax.lax.scan(body, state, order[:full].reshape(-1, loader.batch_size))
        if full < len(order):  # the last, smaller minibatch
            with rolled():
                state, loss = body(state, order[full:])
            losses = jnp.append(losses, loss)
        return state, losses

    return lambda state: run(state, examples, from_numpy(loader.order(), device))


def on_device(array, device):
    """`array` (num_examples, ...) on the device, and a function that takes rows of it there.

    Overlapping windows of a text are put there as the text: one number a token, whatever num_steps is.
    """
    windows = windows_of(array)
    if windows is None:
        return from_numpy(array, device), lambda values, rows: values[rows]
    text, hop, width = windows

    def rows_of(text, rows):
        return text[hop * rows[:, None] + jnp.arange(width)]  # (batch_size, num_steps)

    return from_numpy(text, device), rows_of
