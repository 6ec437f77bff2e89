"""The errors a user can cause. Each message says what was expected, what came, and the way out.

That of an argument reads "Expected lr to be a positive number. Received: lr=-1.", see `arguments`.

All derive from `UserError`, which the command line prints without a traceback, and from the built-in
exception that a Python programmer would expect in its place.
"""


class UserError(Exception):
    """A mistake that the user can mend; its message says how."""


class ArgumentError(UserError, ValueError):
    """An argument is out of its range or does not fit the others."""


class DataError(UserError, ValueError):
    """A text, a vocabulary or a split cannot be used as asked."""


class DownloadError(UserError, OSError):
    """A file could not be fetched, or is not the file that was expected."""


class WriteError(UserError, OSError):
    """A file or folder cannot be written: the disk is full, or it may not be written to."""


class BackendError(UserError, ImportError):
    """A backend is unknown, not installed, broken, or a second one was asked for."""


class WeightsError(UserError, ValueError):
    """A weights file does not fit the model."""


class RunError(UserError, ValueError):
    """A run folder exists already, or is not a run that can be read."""


class TrainingDiverged(UserError, ArithmeticError):
    """The loss became NaN or infinite."""


class WorkerError(UserError, RuntimeError):
    """One of the processes that train together has died."""
