"""The Mona Lisa, pixel by pixel: wide against deep.

In 2012 a network learned to paint the Mona Lisa, one pixel at a time: it was told a place,
from 0 to 1 across and down, and corrected by the colour there
(evolvingstuff.blogspot.com/2012/12, github.com/evolvingstuff/MonaLisa). Shallow or deep was
the question of these years: one hidden layer of 6000 relu, or three hidden layers of 300
leaky relu? Both get the same seconds here, on 100 x 100 pixels, with today's default network
beside them. Then a part of the picture is hidden from them, single pixels and whole patches,
to see what each has understood and what it invents. A network that can fit anything has no
reason to put anything sensible where nothing was asked.

    python examples/mona_lisa.py [picture] [--seconds 8] [--faithful] [--quick]

--faithful adds the deep network trained as it was: one pixel a step, plain gradient descent,
each layer's rate 0.1 / sqrt(fan_in + 1).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import optax
from _picture import curve, film_race, keep, options, patches, picture, race

import coordnet as cn
from coordnet.trainers import per_fan_in

Fit = Callable[..., Iterator[cn.Snapshot]]


def main() -> None:
    parser = options(__file__, __doc__, seconds=8)
    parser.add_argument("--faithful", action="store_true", help="also one pixel at a time")
    args = parser.parse_args()
    seconds = args.seconds or (0.25 if args.quick else 8.0)
    large = square(picture(args, "mona_lisa.jpg", side=1600, quick_side=400))
    large = cn.read_image(large, max_side=200 if args.quick else 800)
    image = cn.downscale_area(large, (100, 100))

    fits: dict[str, Fit] = {
        "1 x 6000 relu": partial(cn.fitting, net="mona_lisa_shallow", seconds=seconds),
        "3 x 300 leaky relu": partial(cn.fitting, net="mona_lisa_deep", seconds=seconds),
        "default": partial(cn.fitting, seconds=seconds),
    }
    if args.faithful:
        # The source follows the gradient of half the sum of the channels' squared errors; the
        # loss here is their mean, of which that is channels / 2. It shuffles all pixels for each
        # of its 500 rounds; here each is drawn anew.
        rule = optax.chain(per_fan_in(), optax.sgd(0.1 * image.shape[2] / 2))
        fits["3 x 300, pixel by pixel"] = partial(
            fits["3 x 300 leaky relu"], trainer=rule, sampling="pixels(points=1)"
        )
    wide_against_deep(args.out, image, large, fits)
    hidden_parts(args.out, image, fits)


def square(image: np.ndarray) -> np.ndarray:
    """Cut the largest square out, at the top, where portraits have their face."""
    height, width, _ = image.shape
    side = min(height, width)
    left = (width - side) // 2
    return image[:side, left : left + side]


def wide_against_deep(
    out: Path, image: np.ndarray, large: np.ndarray, fits: dict[str, Fit]
) -> None:
    """Fit the small picture, and draw it as large as the one that it was made from."""
    side = len(large)
    # with a mask that hides nothing, one compiled program serves here and where parts are hidden
    mask = np.ones(image.shape[:2], bool)
    # few looks: the PSNR of all pixels costs these wide networks as much as several steps
    racers = {label: race(partial(fit, image, mask=mask), 60) for label, fit in fits.items()}
    ends = {label: shots[-1] for label, shots in racers.items()}
    for label, end in ends.items():
        assert isinstance(end.net, cn.CoordNet)  # a snapshot may also hold somebody's own module
        weights = f"{end.net.spec.parameters:,} weights"
        print(f"{label}: {weights}, {end.psnr:.1f} dB after {end.step:,} steps")
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
    film_race(out / "learning.mp4", racers, min(side, 400), frames=30 if side < 400 else 125)


def hidden_parts(out: Path, image: np.ndarray, fits: dict[str, Fit]) -> None:
    """Hide pixels, then patches, and look at what is drawn there."""
    rng = np.random.default_rng(2012)
    masks = {
        "half of the pixels": rng.random(image.shape[:2]) < 0.5,
        "a quarter, in patches": patches(image.shape[:2], share=0.25, side=14, seed=2012),
    }
    # where it was shown, the picture is drawn pale and grey, so that the inventions stand out
    pale = 0.6 + 0.4 * cn.read_image(image, grey=True)
    drawn, titles, invented = [], [], []
    for hidden, mask in masks.items():
        shown = mask[..., None]
        drawn.append(np.where(shown, image, 1.0))
        titles.append(f"hidden: {hidden}")
        for label, fit in fits.items():
            *_, end = fit(image, mask=mask)
            drawing = cn.render(end.net)
            drawn.append(drawing)
            titles.append(f"{label}\n{end.psnr:.1f} dB shown, {end.hidden_psnr:.1f} dB hidden")
            print(f"{hidden}: {titles[-1]}".replace("\n", ": "))
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
