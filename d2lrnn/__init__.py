"""Recurrent networks of *Dive into Deep Learning*, the same on every framework.

`import d2lrnn as d2l` imports no framework. The first name of a backend that is touched (`d2l.RNN`,
`d2l.tensor`, ...) loads the one that `D2LRNN_BACKEND` chooses; `from d2lrnn import jax as d2l` is the
explicit form and gives the same names.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from d2lrnn import backend as backend
from d2lrnn import preparation as preparation

__version__ = "0.1.0"

# The core's own public names and where each is defined; every other public name is the backend's.
_CORE = {
    "HyperParameters": "hyperparameters",
    "add_to_class": "hyperparameters",
    "check_len": "hyperparameters",
    "check_shape": "hyperparameters",
    "ProgressBoard": "board",
    "compare": "comparison",
    "plot": "figures",
    "plt": "figures",
    "set_axes": "figures",
    "set_figsize": "figures",
    "show_beams": "figures",
    "show_heatmaps": "figures",
    "show_list_len_pair_hist": "figures",
    "use_svg_display": "figures",
    "beam_search": "decoding",
    "bleu": "translation",
    "corpus_scores": "translation",
    "try_gpu": "backend",
    "DATA_URL": "data",
    "Vocab": "data",
    "download": "data",
    "extract": "data",
    "DataModule": "data",
    "MTFraEng": "data",
    "PairFile": "data",
    "TextFile": "data",
    "TimeMachine": "data",
}
# Of these the minibatches are tensors of the active backend, which is loaded for them.
_OF_TENSORS = "DataModule", "MTFraEng", "PairFile", "TextFile", "TimeMachine"


def __getattr__(name: str) -> Any:
    if name.startswith("_"):  # what Python, IPython and others ask any object for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _CORE:
        value = getattr(importlib.import_module(f"d2lrnn.{_CORE[name]}"), name)
        if name in _OF_TENSORS:
            backend.active()
        else:
            globals()[name] = value
        return value
    if backend.loaded() and name in backend.active().__all__:
        return getattr(backend.active(), name)
    if importlib.util.find_spec(f"{__name__}.{name}"):  # from d2lrnn import data
        return importlib.import_module(f"{__name__}.{name}")
    if name in backend.found():  # from d2lrnn import jax as d2l
        backend.select(name)
        return sys.modules[__name__]
    if name in backend.active().__all__:
        return getattr(backend.active(), name)
    raise AttributeError(f"d2lrnn has no name {name!r}, nor has its backend {backend.name()!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_CORE, *backend.REQUIRED, *backend.found()})
