"""Presets: a network's description, its trainer and its sampling under one name."""

from collections.abc import Callable
from typing import NamedTuple

from ._nets import Spec
from .trainers import adam
from .trainers._gradient import Trainer


class Preset(NamedTuple):
    """How a named network is made and fitted.

    ``spec(height, width, channels)`` describes it for a picture; ``trainer`` and
    ``sampling`` fit it, for ``steps`` when the caller gives no budget.
    """

    spec: Callable[[int, int, int], Spec]
    trainer: Trainer
    sampling: str = "pixels(points=8192)"
    steps: int = 2000
    about: str = ""


def grid_levels(longest: int, finest: float) -> tuple[int, ...]:
    """Return grid levels that halve from ``finest`` * ``longest`` down to about 12 cells.

    >>> grid_levels(512, 0.5)
    (16, 32, 64, 128, 256)
    """
    top = max(2, round(longest * finest))
    levels = [top]
    while levels[0] > 24:
        levels.insert(0, -(-levels[0] // 2))
    return tuple(levels)


def _grid(height: int, width: int, channels: int) -> Spec:
    """Multi-resolution grid to half the picture's resolution and a 2x32 network.

    0.4 weights per sample of a colour picture. After Müller et al. (Instant Neural
    Graphics Primitives, 2022) with dense levels, whose interpolation is two matrix products.
    """
    levels = grid_levels(max(height, width), 0.5)
    features = (2,) * (len(levels) - 1) + (4 if channels > 1 else 1,)
    return Spec(
        encoding=f"grid(levels={levels},features={features})".replace(" ", ""),
        width=32,
        depth=2,
        activation="relu",
    )


PRESETS: dict[str, Preset] = {
    "grid": Preset(_grid, adam(1e-2), "strips(points=8192)", 2000, "default"),
    "siren": Preset(lambda h, w, c: Spec(), adam(1e-3), "pixels(points=8192)", 2000, ""),
}


def preset_for(spec: Spec) -> Preset:
    """Return the preset whose trainer and sampling suit a network of this description.

    >>> preset_for(Spec(encoding="grid(levels=(8,))")) is PRESETS["grid"]
    True
    """
    return PRESETS["grid" if spec.encoding.startswith("grid") else "siren"]
