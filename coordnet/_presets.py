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
    ``sampling`` fit it, for ``steps`` when the caller gives no budget. ``about`` says what
    it is and whose.
    """

    spec: Callable[[int, int, int], Spec]
    trainer: Trainer
    sampling: str = "pixels(points=8192)"
    steps: int = 2000
    about: str = ""


_SHARP = "gelu(sharpness=4)"


def _grid_spec(above: tuple[tuple[int, int], ...], coarse: int, **rest: Any) -> Spec:
    """Return a grid whose finest levels are ``above``, (cells, features) each.

    Below them stand levels of two features that halve from ``coarse`` to about 12 cells.
    """
    levels = [(coarse, 2)]
    while levels[0][0] > 24:
        levels.insert(0, (-(-levels[0][0] // 2), 2))
    cells, features = zip(*levels, *above, strict=True)
    encoding = f"grid(levels={cells},features={features})".replace(" ", "")
    return Spec(encoding=encoding, **rest)


def _share(longest: int, part: int) -> int:
    return max(2, round(longest / part))


def _grid(height: int, width: int, channels: int) -> Spec:
    # One feature at every pixel and two at every sixteenth, as lightness is finer than colour:
    # 0.4 weights for each sample of a colour picture, and nodes that lie on the pixels.
    # A grey picture has a third of the samples, so its finest level stands at half.
    side = max(height, width)
    finest = side if channels > 1 else _share(side, 2)
    # a sharp gelu: relu draws faint lines between the pixels where its slope breaks, and gelu
    # itself is smoother than pictures are (docs/architecture.md)
    return _grid_spec(((finest, 1),), _share(side, 4), width=32, depth=2, activation=_SHARP)


def _tiny(height: int, width: int, channels: int) -> Spec:
    coarse = _share(max(height, width), 8)
    return _grid_spec((), coarse, width=16, depth=2, activation="gelu")


def _best(height: int, width: int, channels: int) -> Spec:
    # two features at every pixel: 0.9 weights for each sample of a colour picture; a grey one
    # has a third of the samples, and takes its two at half the resolution
    side = max(height, width)
    levels = ((side, 2), 2) if channels > 1 else ((_share(side, 2), 2), 4)
    finest, coarse = levels
    return _grid_spec((finest,), _share(side, coarse), width=64, depth=2, activation=_SHARP)


def first_omega(height: int, width: int) -> float:
    """Return the first layer's omega: SIREN's 30 at its own 256 pixels, more for larger ones."""
    return round(min(max(30.0 * max(height, width) / 256, 30.0), 200.0), 1)


def _sines(
    activation: str, height: int, width: int, channels: int, units: int = 128, depth: int = 3
) -> Spec:
    first = first_omega(height, width)
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


#: Every preset by name; a user's own is one entry more. What each reaches: benchmarks/README.md.
PRESETS: dict[str, Preset] = {
    "grid": Preset(
        _grid,
        adam(1e-2),
        "strips",
        2000,
        "The default: splines on grids, one feature at every pixel and two at every sixteenth, "
        "0.4 weights a sample (after Müller et al., Instant Neural Graphics Primitives, 2022)",
    ),
    "tiny": Preset(
        _tiny,
        adam(1e-2),
        "strips",
        2000,
        "Grids up to an eighth of the resolution: some 50 kB at 512",
    ),
    "best": Preset(
        _best,
        adam(1e-2),
        "strips",
        4000,
        "Two features at every pixel, more below: 0.9 weights a sample",
    ),
    "siren": Preset(
        partial(_sines, "sine(omega=30,first={first})"),
        adam(3e-4, warmup=50),
        "pixels(points=8192)",
        2000,
        "Sine network (Sitzmann et al., Implicit Neural Representations, NeurIPS 2020)",
    ),
    "siren_scaled": Preset(
        partial(_sines, "sine(omega=30,first={first},scale=1.5)"),
        adam(3e-4, warmup=50),
        "pixels(points=8192)",
        2000,
        "Sine network of scaled start (Yeom et al., Fast Training of Sinusoidal Neural Fields, "
        "ICLR 2025)",
    ),
    "finer": Preset(
        partial(_sines, "finer(omega=30,first={first})"),
        adam(3e-4, warmup=50),
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
            width=6000, depth=1, activation="leaky_relu(slope=0.0)", coordinates="unit"
        ),
        adam(0.03, average=8.0, per_layer=True),
        "pixels(points=1024)",
        2000,
        "One hidden layer of 6000 relu, the Mona Lisa experiment's shallow network "
        "(github.com/evolvingstuff/MonaLisa, 2012): its start, its rates by fan-in",
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
