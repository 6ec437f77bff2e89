"""Training on several devices in JAX: one mesh, all weights on each device, minibatches cut over them.

The epoch is compiled as on one device. It is told where each array lies, and XLA cuts the computation as the
minibatch is cut and adds up over the devices: a loss is the mean over the whole minibatch by itself, and so
are its gradients. What dropout draws follows from an example's place in the minibatch, on whichever device.

Started on several hosts, each process runs the whole script, and the mesh goes over the devices of all.
"""

import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from d2lrnn import trainer as core
from d2lrnn.errors import ArgumentError

from .ops import cpu

# Where the first host is; how many processes there are, and which this is, where JAX does not find it out
# from the cluster's own variables.
ADDRESS, NUMBERS = "JAX_COORDINATOR_ADDRESS", ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def start(devices):
    """Make so many CPU devices, and meet the other hosts; JAX takes neither once it has begun to compute."""
    try:
        if devices > 1 and jax.config.values["jax_num_cpu_devices"] != devices:
            jax.config.update("jax_num_cpu_devices", devices)
        if ADDRESS in os.environ and not jax.distributed.is_initialized():
            numbers = [int(os.environ[n]) if n in os.environ else None for n in NUMBERS]
            jax.distributed.initialize(os.environ[ADDRESS], *numbers)
    except RuntimeError:  # it has begun: is there what is wanted?
        pass
    found = len(jax.local_devices(backend="cpu"))
    if found < devices:
        raise ArgumentError(
            f"devices={devices}: JAX has begun to compute on {found} CPU, and makes no more of it now. "
            "Make this Trainer before anything is computed, or start Python with the variable "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}."
        )


def mesh_of(gpus, devices):
    """The devices of all processes that train together, in a row; None for one."""
    own = gpus or jax.local_devices(backend="cpu")[:devices]
    of_all = jax.devices(own[0].platform) if jax.process_count() > 1 else own
    return Mesh(np.array(of_all), ("devices",)) if len(of_all) > 1 else None


def everywhere(mesh):
    """Where the weights, the text and the order of an epoch are: whole on each device."""
    return NamedSharding(mesh, PartitionSpec())


def put(values, device):
    """`values` where `device` says; between hosts JAX takes them from NumPy alone."""
    return jax.device_put(jax.device_get(values) if jax.process_count() > 1 else values, device)


def cut(batch, mesh):
    """The tensors of a minibatch cut over the devices along their first axis, evenly or not."""
    return jax.lax.with_sharding_constraint(batch, NamedSharding(mesh, PartitionSpec("devices")))


class OnDevices(core.Trainer):
    """What a trainer does about its devices; on one, `mesh` is None."""

    on_many = True
    mesh = None

    def validate(self, model, data):
        try:
            return super().validate(model, data)
        finally:
            self.leave_mesh()

    validate.__doc__ = core.Trainer.validate.__doc__

    def leave_mesh(self):
        """Put what was trained on one device, where it is used."""
        if self.mesh is not None and hasattr(self, "_state"):
            self.state = jax.device_put(jax.device_get(self.state), self.first_device)

    def make_devices(self):
        start(self.devices)

    def count_shares(self):
        self.mesh, self.rank = mesh_of(self.gpus, self.devices), jax.process_index()
        return 1 if self.mesh is None else self.mesh.size

    @property
    def first_device(self):
        return self.gpus[0] if self.gpus else cpu()
