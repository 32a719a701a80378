"""The Mona Lisa, pixel by pixel: wide against deep.

In 2012 a network learned to paint the Mona Lisa, one pixel at a time: it was told a place,
from 0 to 1 across and down, and corrected by the colour there
(evolvingstuff.blogspot.com/2012/12, github.com/evolvingstuff/MonaLisa). Shallow or deep was
the question of these years: one hidden layer of 6000 relu, or three hidden layers of 300
leaky relu? The deep one has five times the weights, so one of 3 x 132 with as many as the
shallow one stands beside it, and today's default network. All get the same seconds, on
100 x 100 pixels and on the whole picture. The deep network is also trained as it was: one
pixel a step, plain gradient descent, each layer's rate 0.1 / sqrt(fan_in + 1).

Then a part of the picture is hidden, single pixels and whole patches, to see what each has
understood and what it invents. A network that can fit anything has no reason to put anything
sensible where nothing was asked.

    python examples/mona_lisa.py [picture] [--seconds 8] [--quick]
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import optax
from _picture import Numbers, curve, film_race, keep, options, patches, picture, race

import coordnet as cn
from coordnet.trainers import per_fan_in

Fit = Callable[..., Iterator[cn.Snapshot]]


def main() -> None:
    parser = options(__file__, __doc__, seconds=8)
    args = parser.parse_args()
    seconds = args.seconds or (0.25 if args.quick else 8.0)
    large = square(picture(args, "mona_lisa.jpg", side=1600, quick_side=400))
    large = cn.read_image(large, max_side=200 if args.quick else 800)
    image = cn.downscale_area(large, (100, 100))

    deep = cn.PRESETS["mona_lisa_deep"]
    fits: dict[str, Fit] = {
        "1 x 6000 relu": partial(cn.fitting, net="mona_lisa_shallow", seconds=seconds),
        "3 x 300 leaky relu": partial(cn.fitting, net="mona_lisa_deep", seconds=seconds),
        "default": partial(cn.fitting, seconds=seconds),
    }
    numbers = Numbers()
    if not args.quick:
        spec = dataclasses.replace(deep.spec(*image.shape), width=132)
        fits["3 x 132 leaky relu"] = partial(
            cn.fitting, net=spec, trainer=deep.trainer, sampling=deep.sampling, seconds=seconds
        )
        numbers.add(
            "whole picture", {label: race(partial(f, large), 20) for label, f in fits.items()}
        )
        # The source follows the gradient of half the sum of the channels' squared errors; the
        # loss here is their mean, of which that is channels / 2. It shuffles all pixels for each
        # of its 500 rounds; here each is drawn anew.
        rule = optax.chain(per_fan_in(), optax.sgd(0.1 * image.shape[2] / 2))
        fits["3 x 300, pixel by pixel"] = partial(
            fits["3 x 300 leaky relu"], trainer=rule, sampling="pixels(points=1)"
        )
    wide_against_deep(args.out, image, large, fits, numbers)
    hidden_parts(args.out, image, fits, numbers)
    if not args.quick:
        every_preset(args.out, image, seconds, numbers)
    numbers.write(args.out / "numbers.json")


def square(image: np.ndarray) -> np.ndarray:
    """Cut the largest square out, at the top, where portraits have their face."""
    height, width, _ = image.shape
    side = min(height, width)
    left = (width - side) // 2
    return image[:side, left : left + side]


def wide_against_deep(
    out: Path, image: np.ndarray, large: np.ndarray, fits: dict[str, Fit], numbers: Numbers
) -> None:
    """Fit the small picture, and draw it as large as the one that it was made from."""
    side = len(large)
    # with a mask that hides nothing, one compiled program serves here and where parts are hidden
    mask = np.ones(image.shape[:2], bool)
    # few looks: the PSNR of all pixels costs these wide networks as much as several steps
    racers = {label: race(partial(fit, image, mask=mask), 60) for label, fit in fits.items()}
    ends = {label: shots[-1] for label, shots in racers.items()}
    numbers.add("100 x 100", racers)
    figure = cn.show(
        image,
        *(cn.render(end.net) for end in ends.values()),
        large,
        *(cn.render(end.net, side) for end in ends.values()),
        titles=[
            "the picture, 100 x 100",
            *(f"{label}\n{end.psnr:.1f} dB" for label, end in ends.items()),
            f"at {side} x {side}: never seen",
            *[f"drawn at {side} x {side}"] * len(ends),
        ],
        columns=1 + len(ends),
    )
    keep(out / "wide_against_deep.png", figure)
    curve(out / "curve.png", racers)
    film_race(out / "learning.mp4", racers, min(side, 400), frames=20 if side < 400 else 125)


def masks_for(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return what is shown: True where it is."""
    rng = np.random.default_rng(2012)
    return {
        "half of the pixels": rng.random(image.shape[:2]) < 0.5,
        "a quarter, in patches": patches(image.shape[:2], share=0.25, side=14, seed=2012),
    }


def every_preset(out: Path, image: np.ndarray, seconds: float, numbers: Numbers) -> None:
    """Fit every preset to what is shown, and look at the patches that were not."""
    drawn: list[np.ndarray] = []
    titles: list[str] = []
    masks = masks_for(image)
    for hidden, mask in masks.items():
        fits = {
            name: list(cn.fitting(image, name, mask=mask, seconds=seconds)) for name in cn.PRESETS
        }
        numbers.add(f"every preset, hidden: {hidden}", fits)
        drawn = [cn.render(shots[-1].net) for shots in fits.values()]
        titles = [f"{name}\n{shots[-1].hidden_psnr:.1f} dB hidden" for name, shots in fits.items()]
    shown = np.where(masks["a quarter, in patches"][..., None], image, 1.0)
    figure = cn.show(image, shown, *drawn, titles=["the picture", "shown", *titles], columns=5)
    keep(out / "every_preset.png", figure)


def hidden_parts(out: Path, image: np.ndarray, fits: dict[str, Fit], numbers: Numbers) -> None:
    """Hide pixels, then patches, and look at what is drawn there."""
    masks = masks_for(image)
    # where it was shown, the picture is drawn pale and grey, so that the inventions stand out
    pale = 0.6 + 0.4 * cn.read_image(image, grey=True)
    drawn, titles, invented = [], [], []
    for hidden, mask in masks.items():
        shown = mask[..., None]
        drawn.append(np.where(shown, image, 1.0))
        titles.append(f"hidden:\n{hidden}")
        courses = {label: list(fit(image, mask=mask)) for label, fit in fits.items()}
        numbers.add(f"hidden: {hidden}", courses)
        for label, (*_, end) in courses.items():
            drawing = cn.render(end.net)
            drawn.append(drawing)
            titles.append(f"{label}\n{end.psnr:.1f} dB shown\n{end.hidden_psnr:.1f} dB hidden")
            invented.append(np.where(shown, pale, drawing))
    columns = 1 + len(fits)
    keep(out / "hidden.png", cn.show(*drawn, titles=titles, columns=columns))
    truth = np.where(masks["a quarter, in patches"][..., None], pale, image)
    figure = cn.show(
        truth, *invented[-len(fits) :], titles=["what was hidden", *fits], columns=columns
    )
    keep(out / "invented.png", figure)


if __name__ == "__main__":
    main()
