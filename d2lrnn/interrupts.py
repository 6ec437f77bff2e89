"""Ctrl-C, which a framework may lose on its way, or make another error of."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from d2lrnn.errors import UserError


class Interrupts:
    """Whether a KeyboardInterrupt was raised by a signal."""

    raised = False

    def raise_lost(self) -> None:
        """Raise it again, if it got lost: Python drops what is raised while it deletes an object."""
        if self.raised:
            raise KeyboardInterrupt


@contextmanager
def heard() -> Iterator[Interrupts]:
    """Remember a KeyboardInterrupt that a signal raises, while it lasts.

    An error that comes after one is taken for it: TensorFlow, broken off while it makes a graph, has
    ended in a SystemError, and in a RuntimeError that knows no cause; nor is what Python, or a framework's
    C++, prints of one that it drops any news. Handlers that do not raise it stay as they are; signals are
    heard in the main thread alone.

    Raises:
        KeyboardInterrupt: after a signal, in place of any error but those of d2lrnn.
    """
    found, before = Interrupts(), {}
    is_main = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if is_main and callable(handler):
            before[number] = signal.signal(number, _remembering(found, handler))
    hooks = sys.excepthook, sys.unraisablehook
    sys.excepthook, sys.unraisablehook = (_silent_after(found, hook) for hook in hooks)
    try:
        yield found
    except Exception as error:
        if found.raised and not isinstance(error, UserError):
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.excepthook, sys.unraisablehook = hooks
        for number, handler in before.items():
            signal.signal(number, handler)


def _remembering(found: Interrupts, handler: Any) -> Any:
    def remembering(number: int, frame: Any) -> Any:
        try:
            return handler(number, frame)
        except KeyboardInterrupt:
            found.raised = True
            raise

    return remembering


def _silent_after(found: Interrupts, hook: Any) -> Any:
    return lambda *lost: None if found.raised else hook(*lost)
