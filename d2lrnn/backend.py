"""Which framework is active, how its package is found and loaded, and what it must provide.

One process runs one framework. `D2LRNN_BACKEND` names it; unset, it is the first installed of
`DEFAULT_ORDER`, then of the others. Packages announce themselves through the entry-point group
`d2lrnn.backends`, so a backend can come from any distribution.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from types import ModuleType
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from d2lrnn import shell
from d2lrnn.errors import BackendError

ENVIRONMENT = "D2LRNN_BACKEND"
GROUP = "d2lrnn.backends"
DEFAULT_ORDER = ("torch", "jax", "tensorflow", "mxnet")

TENSOR_FUNCTIONS = (
    "abs arange argmax astype batch_matmul concat cos cosh exp expand_dims eye float32 int32 int64 "
    "linspace log matmul meshgrid normal numpy ones ones_like rand randn reduce_mean reduce_sum repeat "
    "reshape sigmoid sin sinh size stack swapaxes tanh tensor to transpose zeros zeros_like"
).split()
DEVICES = "cpu gpu num_gpus".split()
CLASSES = (
    "AdditiveAttention AttentionDecoder BiGRU BiLSTM BiRNNScratch Classifier Decoder DotProductAttention "
    "Encoder EncoderDecoder GRU GRUScratch LinearRegression LinearRegressionScratch LSTM LSTMScratch "
    "masked_softmax Module nn_Module RNN RNNLM RNNLMScratch RNNScratch Seq2Seq Seq2SeqAttentionDecoder "
    "Seq2SeqDecoder Seq2SeqEncoder SGD StackedRNNScratch SyntheticRegressionData Trainer"
).split()
REQUIRED = (*TENSOR_FUNCTIONS, *DEVICES, *CLASSES, "versions")

State = Literal["works", "not installed", "broken"]

_DISTRIBUTION = "d2lrnn"

_active: tuple[str, ModuleType] | None = None
_environment_when_loaded: str | None = None


@cache
def found() -> dict[str, EntryPoint]:
    """The backends that some installed distribution announces, by name, in the order of preference.

    Where two announce the same name, d2lrnn's own is taken.
    """
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name not in points or (point.dist and point.dist.name == _DISTRIBUTION):
            points[point.name] = point
    preferred = [name for name in DEFAULT_ORDER if name in points]
    others = sorted(points.keys() - set(preferred))
    return {name: points[name] for name in preferred + others}


def entry_point(wanted: str) -> EntryPoint:
    """Where the backend `wanted` is announced.

    Raises:
        BackendError: none of that name is; the message lists those that are, and suggests the nearest.
    """
    points = found()
    if wanted in points:
        return points[wanted]
    near = difflib.get_close_matches(wanted.lower(), points, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise BackendError(
        f"Unknown backend {wanted!r}: expected one of {', '.join(points) or '(none found)'}.{hint}"
    )


def loaded() -> bool:
    """Whether a framework has been loaded into this process."""
    return _active is not None


def is_library(module: str | None) -> bool:
    """Whether the module of this name is the core's or the active backend's."""
    package = (module or "").split(".")[0]
    return package == _DISTRIBUTION or (_active is not None and package == _active[1].__name__)


def from_environment() -> str | None:
    """The backend that `D2LRNN_BACKEND` names; None where it is unset or empty."""
    return os.environ.get(ENVIRONMENT, "").strip() or None


def name() -> str:
    """The name of the active backend; loads it if none is."""
    active()
    assert _active is not None
    return _active[0]


def active() -> ModuleType:
    """The package of the active backend; the first call chooses and loads it.

    Raises:
        BackendError: the backend asked for is unknown, not installed or broken; none is installed;
            or `D2LRNN_BACKEND` was changed after another framework had been loaded.
    """
    wanted = from_environment()
    if _active is not None:
        if wanted not in (None, _active[0], _environment_when_loaded):
            raise _second_framework(_active[0], wanted, f"{ENVIRONMENT}={wanted}")
        return _active[1]
    return select(wanted) if wanted else _first_installed()


def select(wanted: str) -> ModuleType:
    """Make `wanted` the framework of this process, whatever `D2LRNN_BACKEND` says; return its package.

    Raises:
        BackendError: see `active`; also when another framework is active already.
    """
    global _active, _environment_when_loaded
    if _active is not None:
        if _active[0] != wanted:
            raise _second_framework(_active[0], wanted, f"`from d2lrnn import {wanted}`")
        return _active[1]
    package = _load(entry_point(wanted))
    _active = (wanted, package)
    _environment_when_loaded = from_environment()
    return package


def try_gpu(i: int = 0) -> Any:
    """The GPU of index `i` if there is one, otherwise the CPU (book, section 6.7)."""
    package = active()
    return package.gpu(i) if package.num_gpus() > i else package.cpu()


def twin(model: Any) -> Callable[..., Any] | None:
    """A faster function equal to `model.batch_loss`, if the backend has one for a model of its own."""
    for name in "fast", "fast_gated", "fast_translation":
        module = _room(name)
        found: Callable[..., Any] | None = module and module.twin(model)
        if found is not None:
            return found
    return None


def faster(model: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which calls the hooks of a reader's model: faster, if the backend knows how, and equal."""
    module = _room("fast_readers")
    return module.faster(model, function) if module else function


def _room(name: str) -> Any:
    """A module of the active backend that may be absent; None if it is."""
    path = f"{active().__name__}.{name}"
    return None if importlib.util.find_spec(path) is None else importlib.import_module(path)


class NotInstalled(BackendError):
    """A backend is known, but its framework is not installed; `command` installs it."""

    def __init__(self, point: EntryPoint, module: str) -> None:
        self.command = install_command(point, module)
        super().__init__(
            f"The backend {point.name!r} needs {module!r}, which is not installed. "
            f"Install it with: {self.command}"
        )


def choice(state: Callable[[str], State]) -> str | None:
    """The name of the backend that a process uses: that of `D2LRNN_BACKEND`, else the first installed.

    `state` tells that of a backend. A broken one of `DEFAULT_ORDER` is not passed over, that of a
    stranger is. None if there is none.
    """

    def is_usable(name: str) -> bool:
        of_name = state(name)
        return of_name == "works" or (of_name == "broken" and name in DEFAULT_ORDER)

    return from_environment() or next(filter(is_usable, found()), None)


def _first_installed() -> ModuleType:
    errors: dict[str, BackendError] = {}

    def state(candidate: str) -> State:
        try:
            select(candidate)
        except BackendError as error:
            errors[candidate] = error
            return "not installed" if isinstance(error, NotInstalled) else "broken"
        return "works"

    chosen = choice(state)
    if chosen in errors:
        raise errors[chosen]
    if chosen is not None:
        return select(chosen)
    if not errors:
        raise BackendError(
            "No backend is announced to d2lrnn: its installation carries no entry points. In a "
            f"checkout, install it with: {shell.python()} -m pip install -e ."
        )
    missing = map(str, errors.values())
    raise BackendError("\n".join([f"{ENVIRONMENT} is unset and no backend can be used.", *missing]))


def _load(point: EntryPoint) -> ModuleType:
    try:
        package: ModuleType = point.load()
    except ModuleNotFoundError as error:
        if _raised_by(error, point.module.split(".")[0]):
            raise NotInstalled(point, str(error.name)) from error
        raise _broken(point, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(point, error) from error
    lacking = [
        required
        for required in (*REQUIRED, "ops", "optimizers", "weights", "__all__")
        if not hasattr(package, required)
    ]
    if lacking:
        raise BackendError(
            f"The backend {point.name!r} ({point.value}) does not provide {', '.join(lacking)}. "
            "CONTRIBUTING.md tells what a backend must provide."
        )
    return package


def install_command(point: EntryPoint, module: str = "", extra: str = "") -> str:
    """The pip command that installs what the backend `point` needs.

    Args:
        point: as `found` gives it.
        module: what is missing, for a distribution that has no extra for its backend.
        extra: the extra to install instead of the one named as the backend.
    """
    extra = extra or point.name
    wanted = module or point.name
    if point.dist and extra in (point.dist.metadata.get_all("Provides-Extra") or []):
        wanted = _requirement(point.dist, extra)
    return f"{shell.python()} -m pip install {wanted}"


def _requirement(dist: Distribution, extra: str) -> str:
    """What pip calls `dist` with `extra`: by its name or, if it came from elsewhere, by its origin."""
    origin = json.loads(dist.read_text("direct_url.json") or "{}")
    url = urlsplit(origin.get("url", ""))
    if url.scheme == "file":
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"{editable}{shell.quoted(f'{unquote(url.path)}[{extra}]')}"
    if url.scheme:
        vcs = origin.get("vcs_info", {}).get("vcs")
        address = f"{vcs}+{url.geturl()}" if vcs else url.geturl()
        return shell.quoted(f"{dist.name}[{extra}] @ {address}")
    return shell.quoted(f"{dist.name}[{extra}]")


def _raised_by(error: ModuleNotFoundError, package_name: str) -> bool:
    """Whether the import that failed stands in the backend's own package, not in its framework's."""
    importer = ""
    traceback = error.__traceback__
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        if module.split(".")[0] != "importlib":
            importer = module
        traceback = traceback.tb_next
    missing = (error.name or "").split(".")[0]
    return importer.split(".")[0] == package_name and missing not in (
        _DISTRIBUTION,
        package_name,
        "",
    )


def _broken(point: EntryPoint, error: BaseException) -> BackendError:
    return BackendError(
        f"The backend {point.name!r} ({point.value}) is installed, but importing it fails with "
        f"{type(error).__name__}: {error}. Mend that installation, or choose another backend "
        f"with {ENVIRONMENT}."
    )


def _second_framework(loaded: str, wanted: str, how: str) -> BackendError:
    return BackendError(
        f"This process already runs the backend {loaded!r}; {how} asks for a second framework. "
        f"Start a new process (in a notebook: restart the kernel) to use {wanted!r}."
    )
