"""Presets: a network's description, its trainer and its sampling under one name."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ._nets import Spec
from .trainers import adam, rprop
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
    levels = [max(2, round(longest * finest))]
    while levels[0] > 24:
        levels.insert(0, -(-levels[0] // 2))
    return tuple(levels)


def _grid_spec(size: tuple[int, int], finest: float, last: int, **rest: Any) -> Spec:
    """Return a grid of two features a level, ``last`` at the finest."""
    levels = grid_levels(max(size), finest)
    features = (2,) * (len(levels) - 1) + (last,)
    encoding = f"grid(levels={levels},features={features})".replace(" ", "")
    return Spec(encoding=encoding, **rest)


def _grid(height: int, width: int, channels: int) -> Spec:
    # half the picture's resolution (a little less keeps the weights under 0.4 of the samples);
    # gelu, because relu's kinks show between the pixels: 0.3 dB at twice the size
    last = 4 if channels > 1 else 1
    return _grid_spec((height, width), 0.49, last, width=32, depth=2, activation="gelu")


def _tiny(height: int, width: int, channels: int) -> Spec:
    return _grid_spec((height, width), 0.125, 2, width=16, depth=2, activation="gelu")


def _best(height: int, width: int, channels: int) -> Spec:
    # two features at every native pixel: 0.9 weights for each sample of a colour picture
    last = 2 if channels > 1 else 1
    return _grid_spec((height, width), 1.0, last, width=64, depth=2, activation="relu")


def _first_omega(height: int, width: int) -> float:
    """Return the first layer's omega: SIREN's 30 at its own 256 pixels, more for larger ones."""
    return round(min(max(30.0 * max(height, width) / 256, 30.0), 200.0), 1)


def _sines(
    activation: str, height: int, width: int, channels: int, units: int = 128, depth: int = 3
) -> Spec:
    first = _first_omega(height, width)
    return Spec(width=units, depth=depth, activation=activation.format(first=first))


def _fourier(height: int, width: int, channels: int) -> Spec:
    # the deviation that its authors tuned is 10 cycles at 512 pixels
    sigma = round(max(height, width) / 51.2, 2)
    return Spec(
        encoding=f"fourier(features=256,sigma={sigma})",
        width=128,
        depth=3,
        activation="relu",
        output="sigmoid",
    )


#: Every preset by name; a user's own is one entry more. See the README for what each reaches.
PRESETS: dict[str, Preset] = {
    "grid": Preset(
        _grid,
        adam(1e-2),
        "strips",
        2000,
        "The default: splines on grids up to half the picture's resolution, 0.4 weights a "
        "sample (after Müller et al., Instant Neural Graphics Primitives, 2022)",
    ),
    "tiny": Preset(
        _tiny, adam(1e-2), "strips", 2000, "The same to an eighth of the resolution: 60 kB at 512"
    ),
    "best": Preset(
        _best, adam(1e-2), "strips", 4000, "The same to the full resolution: 0.9 weights a sample"
    ),
    "siren": Preset(
        partial(_sines, "sine(omega=30,first={first})"),
        adam(1e-3, warmup=50),
        "pixels(points=8192)",
        2000,
        "Sine network (Sitzmann et al., Implicit Neural Representations, NeurIPS 2020)",
    ),
    "siren_scaled": Preset(
        partial(_sines, "sine(omega=30,first={first},scale=1.5)"),
        adam(1e-3, warmup=50),
        "pixels(points=8192)",
        2000,
        "Sine network of scaled start (Yeom et al., Fast Training of Sinusoidal Neural Fields, "
        "ICLR 2025)",
    ),
    "finer": Preset(
        partial(_sines, "finer(omega=30,first={first})"),
        adam(1e-3, warmup=50),
        "pixels(points=8192)",
        2000,
        "Sines of a variable period (Liu et al., FINER, CVPR 2024)",
    ),
    "fourier": Preset(
        _fourier,
        adam(2e-3),
        "strips(points=8192)",
        2000,
        "Random waves and a relu network (Tancik et al., Fourier Features, NeurIPS 2020)",
    ),
    "wire": Preset(
        lambda height, width, channels: Spec(width=128, depth=2, activation="gabor"),
        adam(5e-3),
        "pixels(points=8192)",
        2000,
        "Gabor wavelets, real ones (Saragadam et al., WIRE, CVPR 2023)",
    ),
    "gauss": Preset(
        lambda height, width, channels: Spec(width=128, depth=3, activation="gauss(scale=10)"),
        adam(5e-3),
        "pixels(points=8192)",
        2000,
        "Gaussians (Ramasinghe and Lucey, Beyond Periodicity, ECCV 2022)",
    ),
    "lenna": Preset(
        lambda height, width, channels: Spec(
            width=15, depth=3, activation="tanh", output="sigmoid", coordinates="edges"
        ),
        rprop(),
        "full",
        2000,
        "3 hidden layers of 15, Rprop on all pixels: the Lenna experiment, 573 weights",
    ),
    "mona_lisa_shallow": Preset(
        lambda height, width, channels: Spec(
            width=6000, depth=1, activation="relu", coordinates="unit"
        ),
        adam(1e-3, average=8.0),
        "pixels(points=1024)",
        2000,
        "One hidden layer of 6000: the Mona Lisa experiment's shallow network",
    ),
    "mona_lisa_deep": Preset(
        lambda height, width, channels: Spec(
            width=300, depth=3, activation="leaky_relu", coordinates="unit"
        ),
        adam(0.1, per_layer=True),
        "pixels(points=1024)",
        2000,
        "Three hidden layers of 300, rates by fan-in (github.com/evolvingstuff/MonaLisa, 2012)",
    ),
    "convnetjs": Preset(
        lambda height, width, channels: Spec(
            width=20, depth=7, activation="relu(bias=0.1,gain=1.0)"
        ),
        adam(1e-2),
        "pixels(points=4096)",
        2000,
        "Seven hidden layers of 20 relu: ConvNetJS's image painting (Karpathy, 2014)",
    ),
}


def preset_for(spec: Spec) -> Preset:
    """Return the preset whose trainer and sampling suit a network of this description.

    >>> preset_for(Spec(encoding="grid(levels=(8,))")) is PRESETS["grid"]
    True
    """
    if spec.encoding.startswith("grid"):
        return PRESETS["grid"]
    habits = {"finer": "finer", "gabor": "wire", "gauss": "gauss", "sine": "siren"}
    return PRESETS[habits.get(spec.activation.split("(")[0], "fourier")]
