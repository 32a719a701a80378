"""Lenna in 573 weights.

The founding experiment: a network of three hidden layers of 15 tanh units is shown the
place of a pixel, from -1 to 1 across and down, and learns to answer with its colour. Rprop
trained it on all pixels at once, in FANN, the C library of the day. After three hours there
was a soft hat and a shoulder, and its author concluded that "the real limitation is in the
training method".

Here it is again, in four parts:

as it was   the same network and the same method, beside FANN itself where it is installed
            (Debian, Ubuntu: apt install libfann2), from the same first weights, as long
trainers    the same 573 weights by every training method: he was right
variations  what he tried next: black and white, a smaller picture to learn from, larger
            networks; and a picture drawn four times larger than it was shown
breeding    what he proposed: a population of networks, without any gradient, filmed

    python examples/lenna.py [picture] [--seconds 20] [--parts "as it was,breeding"] [--quick]
"""

import dataclasses
import importlib
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _picture import Numbers, Shots, curve, film_race, keep, options, picture, race, resized
from PIL import Image

import coordnet as cn

FEW = "pixels(points=4096)"  # of a step of the trainers that go by minibatches
CLASSIC = cn.Spec(width=15, depth=3, activation="tanh", output="sigmoid", coordinates="edges")


def main() -> None:
    parser = options(__file__, __doc__, seconds=20)
    parser.add_argument("--parts", help="some of them; --quick has the first two unless told")
    args = parser.parse_args()
    seconds = args.seconds or (0.4 if args.quick else 20.0)
    image = picture(args, "lenna.png", side=512, quick_side=96)
    numbers = Numbers()
    asked = args.parts.split(",") if args.parts else list(PARTS)[: 2 if args.quick else None]
    parts = [name.strip() for name in asked]
    if unknown := [name for name in parts if name not in PARTS]:
        parser.error(f"--parts: no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    for name in parts:
        print(f"-- {name}")
        PARTS[name](args.out, image, seconds, numbers, args.quick)
    numbers.write(args.out / "numbers.json")


def as_it_was(out: Path, image: np.ndarray, seconds: float, numbers: Any, quick: bool) -> None:
    """Train the classic network by Rprop, ours and FANN's, beside today's default."""
    # preset "lenna" is 3 x 15 tanh, a sigmoid at the end, pixel centres of the first and last
    # columns at -1 and 1, iRprop- with the gradient of the whole picture
    ours = race(partial(cn.fitting, image, "lenna", seconds=seconds))
    today = race(partial(cn.fitting, image, seconds=seconds))
    fits = {"the default network": today, "3 x 15, iRprop-": ours}
    original = fann(image, network(ours), seconds)
    if original:
        fits["3 x 15 in FANN, its Rprop"] = original
    numbers.add("as it was", fits)
    curve(out / "as_it_was.png", fits)
    curve(out / "as_it_was_by_epochs.png", fits, against="steps")
    titles = [f"{label}\n{shots[-1].psnr:.1f} dB" for label, shots in list(fits.items())[:2]]
    drawn = [cn.render(shots[-1].net) for shots in (today, ours)]
    keep(out / "pictures.png", cn.show(image, *drawn, titles=["the picture", *titles]))
    film_race(out / "learning.mp4", dict(list(fits.items())[:2]), frames=25 if quick else 125)


def trainers(out: Path, image: np.ndarray, seconds: float, numbers: Any, quick: bool) -> None:
    """Give the same first weights and the same seconds to every training method."""
    methods: dict[str, dict[str, Any]] = {
        "least squares": {"trainer": cn.least_squares()},
        "iRprop-": {"trainer": cn.rprop()},
        "Adam": {"trainer": cn.adam(1e-2), "sampling": FEW},
        "L-BFGS": {"trainer": cn.lbfgs()},
        "iRprop+": {"trainer": cn.rprop(variant="irprop+")},
        "Rprop-": {"trainer": cn.rprop(variant="rprop-")},
        "Rprop+": {"trainer": cn.rprop(variant="rprop+")},
        "SARPROP": {"trainer": cn.sarprop()},
        "Quickprop": {"trainer": cn.quickprop()},
        "Muon": {"trainer": cn.muon(), "sampling": FEW},
        "last layer solved, then Adam": {"trainer": cn.ridge(cn.adam(1e-2)), "sampling": FEW},
        "genetic": {"trainer": cn.genetic()},
        "genetic, last layer solved": {"trainer": cn.genetic(solve_last=True)},
        "genetic + gradient": {"trainer": cn.genetic(individuals=8, elites=4, gradient_steps=50)},
    }
    chosen = list(methods.items())[: 2 if quick else None]
    fits = {
        name: race(partial(cn.fitting, image, "lenna", seconds=seconds, **how))
        for name, how in chosen
    }
    fits = dict(sorted(fits.items(), key=lambda fit: -fit[1][-1].psnr))
    numbers.add("trainers", fits)
    curve(out / "trainers.png", fits)
    best, *_, worst = fits.items()
    figure = cn.show(
        image,
        *(cn.render(shots[-1].net) for _, shots in (best, worst)),
        titles=["the picture", *(f"{n}\n{s[-1].psnr:.1f} dB" for n, s in (best, worst))],
    )
    keep(out / "best_and_worst.png", figure)


def variations(out: Path, image: np.ndarray, seconds: float, numbers: Any, quick: bool) -> None:
    """Train on less, with more, and draw larger than what was shown."""
    grey = cn.read_image(image, grey=True)
    half = cn.read_image(image, downscale=2)
    fits: dict[str, Shots] = {}

    def learn(label: str, shown: np.ndarray, net: Any, **how: Any) -> np.ndarray:
        fits[label] = race(partial(cn.fitting, shown, net, seconds=seconds, **how))
        return cn.render(fits[label][-1].net, image.shape[:2])

    solve = {"trainer": "least_squares"}
    drawn = {
        "black and white": learn("3 x 15, black and white", grey, CLASSIC, **solve),
        "from half the size": learn("3 x 15, from half the size", half, CLASSIC, **solve),
    }
    if not quick:
        for width in (30, 60):
            spec = dataclasses.replace(CLASSIC, width=width)
            drawn[f"3 x {width}"] = learn(f"3 x {width}", image, spec, **solve)
    numbers.add("variations", fits)
    truth = {"black and white": grey}
    titles = [f"{k}\n{cn.psnr(v, truth.get(k, image)):.1f} dB" for k, v in drawn.items()]
    keep(out / "variations.png", cn.show(image, *drawn.values(), titles=["the picture", *titles]))
    four_times(out, image, seconds, numbers)


def four_times(out: Path, image: np.ndarray, seconds: float, numbers: Any) -> None:
    """Show a quarter of the size, draw the whole, and compare it with bicubic interpolation."""
    height, width = (4 * (side // 4) for side in image.shape[:2])
    image = image[:height, :width]
    small = cn.read_image(image, downscale=4)
    fits = {
        "default": race(partial(cn.fitting, small, seconds=seconds)),
        "3 x 15, least squares": race(
            partial(cn.fitting, small, "lenna", trainer="least_squares", seconds=seconds)
        ),
    }
    drawn = {name: cn.render(shots[-1].net, (height, width)) for name, shots in fits.items()}
    drawn["bicubic"] = resized(small, (height, width), Image.Resampling.BICUBIC)
    reached = {name: cn.psnr(large, image) for name, large in drawn.items()}
    numbers.add("four times", fits, full_size_psnr=reached)
    part = (slice(height // 4, height * 5 // 8), slice(width // 4, width * 5 // 8))
    figure = cn.show(
        image[part],
        *(large[part] for large in drawn.values()),
        titles=["never seen", *(f"{name}\n{db:.2f} dB" for name, db in reached.items())],
        columns=4,
    )
    keep(out / "four_times.png", figure)


def breeding(out: Path, image: np.ndarray, seconds: float, numbers: Any, quick: bool) -> None:
    """Film populations at work on a small picture: all of one, and the best of three kinds."""
    small = cn.read_image(image, max_side=32 if quick else 64)
    breeds = {
        "breeding alone": cn.genetic(),
        "last layer solved": cn.genetic(solve_last=True),
        "with steps of Adam": cn.genetic(individuals=8, elites=4, gradient_steps=50),
    }
    fits = {
        name: race(partial(cn.fitting, small, "lenna", trainer=trainer, seconds=seconds))
        for name, trainer in list(breeds.items())[: 1 if quick else None]
    }
    numbers.add("breeding", fits)
    curve(out / "breeding.png", fits)
    frames = 30 if quick else 125
    film_race(out / "breeding.mp4", fits, height=256, frames=frames)
    kept = 16
    many = cn.genetic(individuals=4 * kept, elites=kept)
    film_population(
        out / "population.mp4",
        race(partial(cn.fitting, small, "lenna", trainer=many, seconds=seconds), looks=frames),
    )


def film_population(path: Path, shots: Shots, side: int = 128) -> None:
    """Film those that live on, the best at the top left, a frame for each look."""
    across = math.isqrt(len(shots[0].population))
    with cn.Film(path) as film:
        for shot in shots:
            drawn = [cn.render(net, (side, side), progress=False) for net in shot.population]
            rows = [
                np.concatenate(drawn[i : i + across], axis=1) for i in range(0, len(drawn), across)
            ]
            caption = f"generation {shot.step:,}   the best {shot.psnr:.1f} dB"
            film.add(np.concatenate(rows), caption=caption, repeat=50 if shot is shots[-1] else 1)
    print(path)


PARTS: dict[str, Callable[..., None]] = {
    "as it was": as_it_was,
    "trainers": trainers,
    "variations": variations,
    "breeding": breeding,
}


def network(shots: Shots) -> cn.CoordNet:
    net = shots[-1].net
    assert isinstance(net, cn.CoordNet)  # a snapshot may also hold somebody's own module
    return net


def fann(image: np.ndarray, like: cn.CoordNet, seconds: float) -> list[cn.Snapshot]:
    """Train the same network by FANN's own Rprop from the same first weights."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
    tool = importlib.import_module("fann")
    if tool.why_missing():
        print(tool.why_missing(), "- its curve is left out")
        return []
    start = cn.CoordNet(like.spec)  # of seed 0, as the fit's
    layers = [(layer.weight[...], layer.bias[...]) for layer in start.layers]
    # its usual error function drives large errors harder; "linear" is the squared error
    net = tool.Fann(layers, error="linear")
    data = tool.Data(
        cn.grid(*image.shape[:2], coordinates="edges"), image.reshape(-1, image.shape[2])
    )
    shots: list[cn.Snapshot] = []
    taken = 0.0
    while taken < seconds:
        began = time.perf_counter()
        (error,) = net.train(data, epochs=1)  # that before the epoch
        taken += time.perf_counter() - began
        psnr = float(-10 * np.log10(net.test(data)))  # looks are off the clock, as ours are
        shots.append(cn.Snapshot(len(shots) + 1, taken, error, psnr, None, like))
    return shots


if __name__ == "__main__":
    main()
