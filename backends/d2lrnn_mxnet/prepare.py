"""What MXNet needs before it is imported; `d2lrnn.backend` runs it, whoever imports MXNet."""

import numpy

# MXNet 1.9.1 uses names of built-in types that NumPy 1.24 has removed. They are given back.
for builtin in (bool, complex, float, int, object, str):
    vars(numpy).setdefault(builtin.__name__, builtin)
