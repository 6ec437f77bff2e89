"""The processes that train together in PyTorch: how they are made, meet and end.

`torchrun` starts processes that run the whole script, on one machine or several. Where it has not,
`Trainer.fit` makes the others itself, as copies (forks) of this process at that moment, and ends them when it
ends.
"""

import atexit
import contextlib
import gc
import multiprocessing
import os
import signal
import tempfile
import traceback
import warnings
from datetime import timedelta

import torch
from torch import distributed

from d2lrnn import shell
from d2lrnn.errors import ArgumentError, UserError, WorkerError

from .ops import num_gpus

SILENCE = timedelta(minutes=5)  # a process that is not heard of for so long is taken for dead


def launched():
    """What torchrun tells: which process this is, of all and on this machine, and how many there are."""
    told = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1}
    return [int(os.environ.get(name, default)) for name, default in told.items()]


def check_launched(number, asked_for, gpus):
    """Raise an ArgumentError if another number is `asked_for`, or a process here would have no GPU."""
    if asked_for not in (1, number) or (gpus and launched()[1] >= num_gpus()):
        raise ArgumentError(
            f"torchrun has started {number} processes, each for one device; asked for are {asked_for}, with "
            f"{num_gpus()} GPUs on this machine. Start as many as there are devices, or give num_gpus=0."
        )


@contextlib.contextmanager
def joined(trainer, train):
    """While it lasts, this process and the others train together; `train` is what the others do then.

    Raises a WorkerError if one of the others dies; nothing goes on without it.
    """
    rank, _, number = launched()
    if number > 1:
        join(trainer, rank, number, "env://")
        yield
        return
    number, others = trainer.num_shares, []
    check_fork(trainer, number)
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Python's, of forks.
        warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
        meeting, context = f"file://{folder}/meeting", multiprocessing.get_context("fork")
        try:
            for rank in range(1, number):
                told, tell = context.Pipe(duplex=False)
                work = (trainer, rank, number, meeting, train, tell)
                other = context.Process(target=work_as, args=work, daemon=True)
                other.start()
                tell.close()
                others.append((other, told))
            torch.set_num_threads(max(threads // number, 1))
            join(trainer, 0, number, meeting)
            yield
        except UserError:
            raise
        except RuntimeError as error:
            raise_for_dead(others, number, error)
            raise
        finally:
            torch.set_num_threads(threads)
            for other, _ in others:  # at the end of the last epoch they have nothing left to give
                other.kill()
                other.join()
            leave(trainer)


def check_fork(trainer, number):
    """Raise an ArgumentError if this process cannot be copied."""
    if hasattr(os, "fork") and not (trainer.gpus and torch.cuda.is_initialized()):
        return
    reason = "CUDA is in use here already" if hasattr(os, "fork") else "this system has no fork"
    raise ArgumentError(
        f"The {number} processes of this training cannot be made: {reason}. Start a script, or the command "
        f"line as -m d2lrnn, by {shell.python()} -m torch.distributed.run --nproc-per-node {number} SCRIPT.py"
    )


def join(trainer, rank, number, meeting):
    """Make this process number `rank` of those that meet there."""
    if trainer.gpus:
        torch.cuda.set_device(trainer.own_gpu)
    if not distributed.is_initialized():
        options = {"rank": rank, "world_size": number, "timeout": SILENCE}
        kind = "nccl" if trainer.gpus else "gloo"
        distributed.init_process_group(kind, init_method=meeting, **options)
        atexit.register(leave, trainer)


def leave(trainer):
    """Take the connections down; a later copy of this process, without their threads, could not."""
    trainer.process = None
    gc.collect()
    if distributed.is_initialized():
        distributed.destroy_process_group()


def work_as(trainer, rank, number, meeting, train, tell):
    """What another process does: train as the first does, without a word."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first, which ends the others
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    gc.freeze()  # what the first process had is none of this one's to take down
    torch.set_num_threads(1)  # the threads of before are not in a copy
    trainer.rank = rank
    try:
        join(trainer, rank, number, meeting)
        train()
    except BaseException as error:
        tell.send(traceback.format_exception_only(error)[-1].strip())
        os._exit(1)
    os._exit(0)


def raise_for_dead(others, number, error):
    """Raise a WorkerError if another process has died, and is the reason for `error`."""
    for other, _ in others:
        other.join(timeout=1)
    dead = [(rank, other, told) for rank, (other, told) in enumerate(others, 1) if other.exitcode]
    # One that was ended by force comes first: the others ended because of it.
    for rank, other, told in sorted(dead, key=lambda one: one[1].exitcode):
        said = told.recv() if other.exitcode > 0 else ""
        if said and said.endswith(str(error)):  # the same went wrong in both
            return
        how = "ended" if said else f"was ended by {signal.Signals(-other.exitcode).name}"
        raise WorkerError(
            f"Process {rank} (pid {other.pid}), of 0 to {number - 1}, {how}, and so the training. {said}\n"
            "The model has the weights of its last step. Go on from a checkpoint: fit(..., resume=path)."
        ) from error
