"""From a caller's arguments to a fit with every choice made, each argument checked."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from ._calls import unknown
from ._checkpoint import fingerprint
from ._color import check_image
from ._nets import CoordNet, Spec, check_seed
from ._presets import PRESETS, Preset, preset_for
from ._problem import LOSSES, Problem, make_problem
from ._problem import sampling as parse_sampling
from .trainers import Genetic, LeastSquares, Ridge, as_trainer, least_squares
from .trainers import trainer as named_trainer
from .trainers._gradient import Trainer

_ADDRESS = re.compile(" at 0x[0-9a-f]+")  # of a function: another in each process


class Plan(NamedTuple):
    """A fit with every choice made."""

    net: nnx.Module
    trainer: Trainer
    problem: Problem
    mask: np.ndarray | None
    channels: int
    belongs: Callable[[], dict[str, str]]  # what a checkpoint is told by; asked only for one
    seed: int


@dataclass(frozen=True)
class Budget:
    steps: int | None
    seconds: float | None
    psnr: float | None
    patience: int | None


def check_picture(image: Any) -> np.ndarray:
    """Return the picture of a fit: an image that lies in [0, 1]."""
    array = check_image(image)
    low, high = float(array.min()), float(array.max())
    if low < -1e-6 or high > 1 + 1e-6:  # float32 arithmetic may end a rounding outside
        msg = f"`image` must be in [0, 1], got {low:g} to {high:g}; divide bytes by 255"
        raise ValueError(msg)
    return array


def _check_mask(mask: Any, image: np.ndarray) -> np.ndarray | None:
    if mask is None:
        return None
    array = np.asarray(mask)
    if array.dtype != bool or array.shape != image.shape[:2]:
        msg = (
            f"`mask` must be of booleans, True where the picture is fitted, of shape "
            f"{image.shape[:2]}, got {array.dtype} {array.shape}; of numbers: mask > 0"
        )
        raise ValueError(msg)
    if not array.any():
        msg = "`mask` hides every pixel; nothing is left to fit"
        raise ValueError(msg)
    return array


def _network(
    net: str | Spec | nnx.Module | None, init: nnx.Module | None, image: np.ndarray, seed: int
) -> tuple[nnx.Module, Preset]:
    """Return the network to start from and the preset whose habits it has."""
    height, width, channels = image.shape
    size = {"channels": channels, "size": (height, width)}
    if init is not None and not isinstance(init, nnx.Module):
        msg = f"`init` must be a network, got {type(init).__name__}; read a file with coordnet.load"
        raise TypeError(msg)
    if isinstance(net, nnx.Module):
        if init is not None:
            msg = "give the network to start from once, as `net` or as `init`; got both"
            raise ValueError(msg)
        init, net = net, None
    if net is None and init is not None:
        spec = getattr(init, "spec", None)
        preset = preset_for(spec) if isinstance(spec, Spec) else PRESETS["siren"]
    elif net is None or isinstance(net, str):
        name = "grid" if net is None else net
        if name not in PRESETS:
            raise ValueError(unknown("preset", name, PRESETS))
        preset = PRESETS[name]
        spec = preset.spec(height, width, channels)
    elif isinstance(net, Spec):
        spec, preset = net, preset_for(net)
    else:
        msg = f"`net` must be a preset's name, a Spec or an nnx.Module, got {type(net).__name__}"
        raise TypeError(msg)
    if init is None:
        assert isinstance(spec, Spec)
        return CoordNet(dataclasses.replace(spec, **size), seed=seed), preset
    return _continued(init, spec if net is not None else None, (height, width), channels), preset


def _continued(
    init: nnx.Module, spec: Spec | None, size: tuple[int, int], channels: int
) -> nnx.Module:
    """Return a copy of ``init``, after checking that it can be fitted to the picture."""
    moving = nnx.split(init, (nnx.RngState, nnx.BatchStat), ...)[1]
    if jax.tree.leaves(moving):
        msg = (
            f"{type(init).__name__} holds random keys or running statistics, as dropout and batch "
            "norm do; a picture's network is a function of the point alone: leave them out"
        )
        raise ValueError(msg)
    out = jax.eval_shape(lambda n: n(jnp.zeros((2, 2))), init)  # type: ignore[operator]  # nnx declares no call
    if out.shape != (2, channels):
        msg = (
            f"the network maps (2, 2) points to {out.shape}; for this picture it must be "
            f"(2, {channels})"
        )
        raise ValueError(msg)
    if spec is not None:
        theirs = init.spec if isinstance(init, CoordNet) else None
        wanted = dataclasses.replace(spec, channels=channels, size=theirs and theirs.size)
        if wanted != theirs:
            found = theirs or type(init).__name__
            msg = f"`init` is {found}, not the {wanted} asked for; leave one of them out"
            raise ValueError(msg)
    graphdef, state = nnx.split(init)
    if isinstance(init, CoordNet) and init.spec.size != size:
        # of another size: the weights stay, the frame that they are asked in is the picture's
        sized = dataclasses.replace(init.spec, size=size)
        graphdef, expected = nnx.split(nnx.eval_shape(lambda: CoordNet(sized)))
        if jax.tree.map(jnp.shape, expected) != jax.tree.map(jnp.shape, state):
            msg = (
                f"the network is of a picture of {init.spec.size}, whose proportions its grid "
                f"has; it cannot go on with one of {size}"
            )
            raise ValueError(msg)
    return nnx.merge(graphdef, jax.tree.map(jnp.copy, state))


def make_budget(
    steps: int | None,
    seconds: float | None,
    psnr: float | None,
    patience: int | None,
    preset: Preset,
) -> Budget:
    for name, value, least, kind in (
        ("steps", steps, 0, Integral),
        ("seconds", seconds, 0, Real),
        ("psnr", psnr, 0, Real),
        ("patience", patience, 1, Integral),
    ):
        if value is not None and not (isinstance(value, kind) and value >= least):
            whole = "a whole number of " if kind is Integral else ""
            msg = f"`{name}` must be {whole}at least {least}, got {value!r}"
            raise ValueError(msg)
    if steps is None and seconds is None and psnr is None and patience is None:
        steps = preset.steps
    return Budget(None if steps is None else int(steps), seconds, psnr, patience)


# Where Levenberg-Marquardt beats Adam from some seconds on (docs/architecture.md has figures)
_SMALL = 3_000  # weights
_SMOOTH = ("tanh", "scaled_tanh")


def _trainer(asked: Any, net: nnx.Module, preset: Preset, plain: bool) -> Trainer:
    """Return the trainer: the preset's, one by name, one's own; or ``"auto"`` by the size."""
    if asked is None:
        return as_trainer(preset.trainer)
    if not isinstance(asked, str):
        return as_trainer(asked)
    if asked != "auto":
        return named_trainer(asked)
    if (
        plain
        and isinstance(net, CoordNet)
        and not net.tables  # layers alone
        and net.spec.activation.startswith(_SMOOTH)
        and net.spec.parameters <= _SMALL
    ):
        return least_squares()
    return as_trainer(preset.trainer)


def _check_serves(chosen: Trainer, net: nnx.Module, plain: bool, sampling: str | None) -> None:
    """Refuse a trainer that cannot do what is asked, before any work."""
    solves = isinstance(chosen, Ridge) or (isinstance(chosen, Genetic) and chosen.solve_last)
    if solves and not isinstance(net, CoordNet):
        msg = f"a last layer is solved for in a CoordNet, got {type(net).__name__}"
        raise TypeError(msg)
    inner = chosen.trainer if isinstance(chosen, Ridge) else chosen
    if isinstance(chosen, Ridge) and isinstance(inner, Genetic):
        msg = (
            "genetic() breeds from its own population, to which ridge() has no way; "
            "genetic(solve_last=True) solves for the last layer of each child"
        )
        raise ValueError(msg)
    if isinstance(inner, LeastSquares):
        if not plain:
            msg = "least_squares() lowers the squared error, loss='l2', in dtype='float32' alone"
            raise ValueError(msg)
        if not inner.iterations and not isinstance(net, CoordNet):
            msg = (
                f"least_squares() solves for the layers of a CoordNet, got {type(net).__name__}; "
                "least_squares(iterations=20) takes any module"
            )
            raise ValueError(msg)
    if isinstance(inner, LeastSquares | Genetic) and sampling not in (None, "full"):
        msg = f"{type(inner).__name__} draws samples of its own; leave out sampling={sampling!r}"
        raise ValueError(msg)


def _mesh() -> Mesh | None:
    devices = jax.local_devices()
    return Mesh(np.array(devices), ("batch",)) if len(devices) > 1 else None


def make_plan(
    image: Any,
    net: str | Spec | nnx.Module | None,
    *,
    trainer: Any = None,
    init: nnx.Module | None = None,
    sampling: str | None = None,
    loss: str = "l2",
    mask: Any = None,
    dtype: str = "float32",
    seed: int = 0,
) -> tuple[Plan, Preset]:
    image = check_picture(image)
    mask = _check_mask(mask, image)
    if loss not in LOSSES:
        raise ValueError(unknown("loss", loss, LOSSES))
    if dtype not in ("float32", "bfloat16"):
        msg = f"`dtype` must be 'float32' or 'bfloat16', got {dtype!r}"
        raise ValueError(msg)
    seed = check_seed(seed)
    start, preset = _network(net, init, image, seed)
    plain = loss == "l2" and dtype == "float32"
    chosen = _trainer(trainer, start, preset, plain and sampling in (None, "full"))
    _check_serves(chosen, start, plain, sampling)
    text = sampling or chosen.sampling or preset.sampling
    if not isinstance(start, CoordNet):
        if dtype != "float32":
            msg = "`dtype` is for CoordNet; give your own module its own dtype"
            raise ValueError(msg)
        if sampling is None and text.startswith("strips"):
            text = "pixels"
    graphdef, rest = split(start)[0::2]
    spec = getattr(start, "spec", None)
    problem = make_problem(
        image,
        graphdef,
        rest,
        sampled=parse_sampling(text),
        loss=loss,
        mask=mask,
        coordinates=spec.coordinates if isinstance(spec, Spec) else "centers",
        dtype=dtype,
        mesh=_mesh(),
    )
    given = net if isinstance(net, nnx.Module) else init
    began = "seed" if given is None else jax.tree.map(np.asarray, jax.tree.leaves(nnx.state(given)))

    def belongs() -> dict[str, str]:
        return {
            "picture": fingerprint(image),
            "mask": fingerprint(mask),
            "network": fingerprint(repr(spec) if spec else _ADDRESS.sub("", str(graphdef))),
            "trainer": fingerprint(chosen),
            "sampling": text,
            "loss": loss,
            "dtype": dtype,
            "seed": str(seed),
            "starting network": fingerprint(began),
        }

    return Plan(start, chosen, problem, mask, image.shape[2], belongs, seed), preset


def split(net: nnx.Module) -> tuple[Any, Any, Any]:
    graphdef, params, rest = nnx.split(net, nnx.Param, ...)
    return graphdef, params, rest
