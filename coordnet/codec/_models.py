"""The networks that a codec starts from, as floats and as the whole numbers of a decoder."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .._files import FormatError
from ._entropy import PHASES, WEIGHT_UNIT, EntropyNet, seen
from ._laplace import COARSE, LEAST_OCTAVE, LIMIT, SCALE_UNIT, SCALES, Precision
from ._pyramid import CHANNELS, LEVELS
from ._synthesis import UNIT, Synthesis

#: Of the entropy network.
INPUTS = seen(len(PHASES) - 1)

_SUM = WEIGHT_UNIT * COARSE.mean_unit  # of products of weights and magnitudes, or latents

#: How many whole numbers make 1, for each weight of a decoder.
UNITS_OF: dict[str, float] = {
    "own": UNIT**2, "passed": UNIT, "taps": UNIT, "hidden": UNIT, "hidden_bias": UNIT**2,
    "output": UNIT, "output_bias": UNIT**2, "past": UNIT, "around": UNIT, "around_bias": UNIT**2,
    "inner": WEIGHT_UNIT, "inner_bias": _SUM, "middle": WEIGHT_UNIT, "middle_bias": _SUM,
    "mean": _SUM, "mean_bias": _SUM, "mean_outer": WEIGHT_UNIT,
    "scale": WEIGHT_UNIT, "scale_bias": _SUM, "scale_outer": WEIGHT_UNIT,
    "top_mean": COARSE.mean_unit, "top_octave": SCALE_UNIT,
}  # fmt: skip


#: Squared error that a bit may cost, of the networks that ship, and the first level with a grid.
PRICES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-5, 0.1, 0.3)
FINEST = (0, 0, 0, 0, 1, 1, 0, 2, 2)
_SMALL = 2**14  # pixels


def rounding_step(price: float) -> float:
    """Return the step of a uniform rounding whose error falls by ``price`` with every bit.

    Of such a rounding the squared error is step**2 / 12, and falls by a factor of 4 a bit.

    >>> round(rounding_step(1e-3), 3)
    0.093
    """
    return float((12 * price / (2 * np.log(2))) ** 0.5)


@cache
def kept(model: int) -> dict[str, Any]:
    """Return networks that ship, in whole numbers.

    Raises:
        FormatError: There are none of that number.
    """
    if model >= len(PRICES):
        msg = f"the .cnet file needs networks {model}; this library has {len(PRICES)}"
        raise FormatError(msg)
    with np.load(Path(__file__).with_name("models.npz")) as found:
        mark = f"{model}."
        parts = {name[len(mark) :]: found[name] for name in found if name.startswith(mark)}
    return unflattened({name: value.astype(np.float64) for name, value in parts.items()})


@cache
def analysis() -> dict[str, Any]:
    """Return the network that guesses latents."""
    with np.load(Path(__file__).with_name("analysis.npz")) as found:
        return unflattened({name: found[name].astype(np.float32) for name in found})


def nearest(price: float, pixels: int) -> int:
    """Return the number of the networks that were trained nearest to a price.

    Not those of the highest for small pictures: one of their latents would be much of them, and no
    target met.

    >>> nearest(5e-4, 2**18), nearest(1.0, 2**18), nearest(1.0, 2**12)
    (1, 8, 5)
    """
    far = np.abs(np.log(price) - np.log(PRICES))
    return int(np.argmin(np.where((pixels < _SMALL) & (np.array(PRICES) >= 0.1), np.inf, far)))


def flattened(params: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return tensors by names that a file can hold: those of lists are numbered.

    >>> list(flattened({"own": [np.zeros(1), np.zeros(2)], "past": np.zeros(3)}))
    ['own.0', 'own.1', 'past']
    """
    out = {}
    for name, value in params.items():
        parts = {f"{name}.{i}": v for i, v in enumerate(value)} if isinstance(value, list) else {}
        out.update(parts or {name: value})
    return {name: np.asarray(value) for name, value in out.items()}


def unflattened(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return what :func:`flattened` was given."""
    out: dict[str, Any] = {}
    for full in found:  # in the order of the file
        name, dot, _ = full.partition(".")
        if dot:
            out.setdefault(name, []).append(found[full])
        else:
            out[name] = found[full]
    return out


def scaled(params: dict[str, Any], factor: float, finest: int) -> dict[str, Any]:
    """Return networks for latents whose rounding steps are ``factor`` times as large.

    Where ``finest`` is a level above theirs, the levels below it go.
    """
    out, octaves = dict(params), np.float32(np.log2(factor))
    out["own"] = [np.float32(factor) * v for v in params["own"]]
    for name in ("mean_bias", "top_mean"):
        out[name] = params[name] / np.float32(factor)
    for name in ("scale_bias", "top_octave"):
        out[name] = params[name] - octaves
    for _ in range(finest - (LEVELS - len(params["own"]))):
        gone = CHANNELS[LEVELS - len(out["own"])]
        mix = out["passed"][0]  # what it did is done by those that read it
        out["hidden"], out["past"] = out["hidden"] @ mix, out["past"] @ mix
        out["own"], out["passed"] = out["own"][1:], out["passed"][1:]
        for name in ("mean_bias", "inner_bias", "scale_bias"):
            out[name] = out[name][..., gone:]
    return out


def whole(params: dict[str, Any]) -> dict[str, Any]:
    """Return the weights in whole numbers, as float64 holds them.

    >>> whole({"taps": np.array([[0.5, 0.25, 0.0, 0.0]])})["taps"].tolist()
    [[2048.0, 1024.0, 0.0, 0.0]]
    """

    def one(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [one(name, part) for part in value]
        return np.rint(np.asarray(value, np.float64) * UNITS_OF[name])

    return {name: one(name, value) for name, value in params.items()}


def floats(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return what :func:`whole` was given, rounded to its units."""

    def one(name: str, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [one(name, part) for part in value]
        return (np.asarray(value, np.float64) / UNITS_OF[name]).astype(np.float32)

    return {name: one(name, value) for name, value in numbers.items()}


def synthesis_of(numbers: dict[str, Any]) -> Synthesis:
    """Return the network of a decoder that paints."""
    return Synthesis(**{name: numbers[name] for name in Synthesis._fields})


def entropy_of(numbers: dict[str, Any], precision: Precision) -> EntropyNet:
    """Return the network of a decoder that says what is expected."""
    finer, least = precision.mean_unit // COARSE.mean_unit, -LEAST_OCTAVE
    found = {name: numbers[name] for name in EntropyNet._fields if name in numbers}
    # products with magnitudes and hidden units are finer as these are: so must all else of a sum be
    for name in ("inner_bias", "middle_bias", "mean", "mean_bias"):
        found[name] = finer * numbers[name]
    scale_bias = finer * (numbers["scale_bias"] + least * UNITS_OF["scale_bias"])
    # a file may say anything
    most = LIMIT * precision.mean_unit
    top_mean = np.clip(finer * numbers["top_mean"], -most, most).astype(np.int64)
    top_scale = np.clip(numbers["top_octave"] + least * SCALE_UNIT, 0, SCALES - 1).astype(np.int64)
    return EntropyNet(**found | {
        "scale_bias": scale_bias, "top_mean": top_mean, "top_scale": top_scale,
        "precision": precision,
    })  # fmt: skip
