"""Parameters made by hand beside gluon's own, in MXNet: moved, copied and saved with them."""

import warnings

import mxnet
from mxnet import gluon, np, npx

from d2lrnn.errors import WeightsError
from d2lrnn.weights import check_weights

from .ops import cpu, numpy
from .weights import SeededUniform, arrays, assign, is_by_hand, layers, own, places


class Initialized:
    """What a block does with library layers inside it, which have their initial weights already."""

    def initialize(self, init=None, ctx=None, verbose=False, force_reinit=False):
        """`Block.initialize`; without `init` what has its values already keeps them, without a warning.

        With it, it draws those of the library's layers anew that are as they were made.
        """
        if init is not None:
            for parameter in filter(is_as_drawn, self.collect_params().values()):
                parameter.init = None
                parameter.initialize(ctx=ctx, default_init=init, force_reinit=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is already initialized")
            super().initialize(init or mxnet.init.Uniform(), ctx, verbose, force_reinit)


def is_as_drawn(parameter):
    """Whether a parameter of a library layer's has the weights that it was made with, or waits for them."""
    if not isinstance(parameter.init, SeededUniform):
        return False
    if not gluon.utils.shape_is_known(parameter.shape):
        return True
    drawn = np.zeros(parameter.shape)
    parameter.init._init_weight(None, drawn)
    return bool((parameter.data() == drawn.as_in_ctx(parameter.data().ctx)).all())


def made_by_hand(blocks):
    """The arrays made by hand in `blocks`, pairs of a path and a block; each once."""
    named = (pair for _, block in blocks for pair in vars(block).items())
    return list({id(value): value for name, value in named if is_by_hand(name, value)}.values())


def own_gradients(model):
    """The gradient of each parameter of `model` that is trained."""
    params = model.parameters()
    arrays = params if isinstance(params, list) else [p.data() for p in params.values()]
    return [array.grad for array in arrays]


class Parameters(Initialized):
    """What a block does with its parameters: those of gluon layers, and arrays that are attributes (`W_xh`).

    An array is trained if it has a gradient attached.
    """

    def collect_params(self, select=None):
        """`Block.collect_params`; where there are arrays made by hand, what it returns refuses to be saved.

        Warns of gluon's own layers in a list, tuple or dict: gluon does not look there.
        """
        with warnings.catch_warnings():
            # gluon's warns of layers made by hand, too, which are found here.
            warnings.filterwarnings("ignore", message=".*unregistered container")
            found = super().collect_params(select)
        inside = [*layers(self)]
        for path, block in inside:
            if not select and block.params.keys() - found.keys():
                warnings.warn(
                    f"{path} is not trained: gluon finds no layers in a list, tuple or dict. Put them into "
                    "gluon.nn.Sequential, or call register_child.",
                    stacklevel=3,
                )
        params = Incomplete() if made_by_hand(inside) else gluon.ParameterDict()
        params.update(found)
        return params

    def parameters(self):
        """The parameters that are trained: gluon's, or a list of arrays where some are made by hand."""
        params, found = gluon.ParameterDict(), self.collect_params()
        params.update({n: p for n, p in found.items() if p.grad_req != "null"})
        by_hand = self.get_scratch_params() if isinstance(found, Incomplete) else ()
        arrays = [array for array in by_hand if array.grad is not None]
        if not arrays:
            return params
        if params.keys():
            self._sized()
        return [p.data() for p in params.values()] + arrays

    def get_scratch_params(self):
        """The arrays that are attributes of this module or of one inside it."""
        return made_by_hand(layers(self))

    # Where they are -------------------------------------------------------------------------------

    def reset_ctx(self, ctx):
        """Move all parameters to the device `ctx`."""
        self.collect_params().reset_ctx(ctx)
        for block, name in places(self).values():
            array = getattr(block, name)
            if isinstance(array, np.ndarray) and array.ctx != ctx:
                moved = array.as_in_ctx(ctx)
                if array.grad is not None:
                    moved.attach_grad()
                setattr(block, name, moved)

    @property
    def device(self):
        """Where the parameters are."""
        arrays = self.get_scratch_params()
        params = self.collect_params().values()
        return next((a.ctx for a in arrays), None) or next((p.list_ctx()[0] for p in params), cpu())

    def is_on(self, device):
        return mxnet.Context(device) == self.device

    # Copies and files -----------------------------------------------------------------------------

    def __getstate__(self):
        """What a copy keeps; besides, which arrays are trained, for MXNet's copies have no gradients.

        The parameters forget the optimiser of the training that was, which would be copied with them.
        """
        for parameter in self.collect_params().values():
            parameter._set_trainer(None)
        found = {path: getattr(*place) for path, place in places(self).items()}
        trained = [p for p, a in found.items() if isinstance(a, np.ndarray) and a.grad is not None]
        return {**super().__getstate__(), "_trained": trained}

    def __setstate__(self, state):
        vars(self).update(state)
        found = places(self)
        for path in vars(self).pop("_trained"):
            getattr(*found[path]).attach_grad()

    def save_parameters(self, filename, *args, **options):
        """`Block.save_parameters`, with arrays made by hand, which gluon's own leaves out."""
        if not self.get_scratch_params():
            return super().save_parameters(filename, *args, **options)
        self._sized()
        npx.save(filename, own(self))

    def load_parameters(
        self, filename, ctx=None, allow_missing=False, ignore_extra=False, **options
    ):
        """`Block.load_parameters`, with arrays made by hand.

        Raises:
            WeightsError: of a model with such arrays, a name is missing or unknown, or a shape differs.
        """
        if not self.get_scratch_params():
            return super().load_parameters(filename, ctx, allow_missing, ignore_extra, **options)
        self._sized()
        wanted = arrays(self)
        found = {path: numpy(array) for path, array in npx.load(filename).items()}
        if ignore_extra:
            found = {path: array for path, array in found.items() if path in wanted}
        if allow_missing:
            found = wanted | found
        shapes, types = ({p: getattr(a, k) for p, a in wanted.items()} for k in ("shape", "dtype"))
        assign(self, check_weights(found, shapes, types))
        if ctx is not None:
            self.reset_ctx(mxnet.Context(ctx))


class Incomplete(gluon.ParameterDict):
    """The gluon parameters of a model that has arrays made by hand as well."""

    def save(self, filename, *args, **options):
        raise WeightsError(
            "collect_params() leaves out this model's arrays made by hand, so that the file would lack "
            f"them. Use model.save_parameters({filename!r}) and model.load_parameters({filename!r})."
        )

    load = save
