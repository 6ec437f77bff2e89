"""Faults at the n-th operation on files: `d2lrnn.atomic` does all of them, so its `os` is replaced."""

import errno
import os


class Killed(BaseException):
    """Stands for SIGKILL: it is caught by nobody, and no operation has an effect afterwards."""


class Faults:
    """`os`, but for the `at`-th operation on a file (from 1), at which `kind` happens; None counts only.

    "kill": it is not done, or half of it where it writes, and none that follows.
    "ctrl-c": KeyboardInterrupt, once; "ctrl-c twice": at the one that follows too.
    An error number: it fails, and so do all that follow, but those that remove.

    `done` lists the operations, `told` the names of the files that were put in their places. `fsync` is
    counted and left out: nobody pulls the plug of a test.
    """

    OPERATIONS = ("open", "write", "fsync", "replace", "rename", "link", "mkdir", "unlink")

    def __init__(self, kind=None, at=0):
        self.kind, self.at, self.done, self.told = kind, at, [], []

    def __getattr__(self, name):
        function = getattr(os, name)
        if name not in self.OPERATIONS:
            return function

        def operation(*args, **settings):
            if name == "open" and not args[1] & (os.O_WRONLY | os.O_RDWR):
                return function(*args, **settings)  # to lock, or to be synchronised
            self.done.append(name)
            number = len(self.done)
            if number >= self.at > 0:
                self.happen(name, args, number - self.at)
            if name == "replace":
                self.told.append(os.path.basename(args[1]))
            return None if name == "fsync" else function(*args, **settings)

        return operation

    def happen(self, name, args, after):
        if self.kind == "kill":
            if not after and name == "write":
                os.write(args[0], args[1][: len(args[1]) // 2])
            raise Killed
        if after <= {"ctrl-c": 0, "ctrl-c twice": 1}.get(self.kind, -1):
            raise KeyboardInterrupt
        if isinstance(self.kind, int) and name != "unlink":
            raise OSError(self.kind, os.strerror(self.kind))


FULL, READ_ONLY = errno.ENOSPC, errno.EROFS
