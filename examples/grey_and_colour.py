"""Does colour cost sharpness?

One network, twice: with three outputs for the colours and with one for the grey picture. The
hidden layers are the same, so the colours must share them. How much worse are the greys of
the colour network than those of the network that learns nothing else? Photographs give part
of the answer away: their three channels rise and fall together. And the luck of the first
weights can be larger than the price, so it takes several seeds to see it.

    python examples/grey_and_colour.py [picture] [--presets lenna siren] [--seeds 3] [--quick]
"""

import numpy as np
from _picture import keep, options, picture

import coordnet as cn


def main() -> None:
    parser = options(__file__, __doc__)
    parser.add_argument("--presets", nargs="+", default=["lenna", "siren"], metavar="NAME")
    parser.add_argument("--seeds", type=int, help="how many (3)")
    parser.add_argument("--steps", type=int, help="of each fit (500)")
    args = parser.parse_args()
    steps = args.steps or (60 if args.quick else 500)
    seeds = args.seeds or (1 if args.quick else 3)
    image = picture(args, "lenna.png", side=256, quick_side=96)
    if image.shape[2] == 1:
        parser.error("this picture has no colours; give another")

    pictures, titles = [], []
    for name in args.presets:
        tries = [compare(image, name, steps, seed) for seed in range(seeds)]
        costs = [found["in grey"][1] - found["its greys"][1] for found in tries]
        for what in ("in colour", "its greys", "in grey"):
            values = " ".join(f"{found[what][1]:.1f}" for found in tries)
            print(f"{name} {what}: {values} dB")
        print(f"{name}: colour costs {np.median(costs):.1f} dB of the greys, the median")
        found = tries[int(np.argsort(costs)[seeds // 2])]
        pictures += [drawn for drawn, _ in found.values()]
        pictures.append(difference(cn.read_image(image, grey=True), *pictures[-2:]))
        titles += [f"{name} {what}: {psnr:.1f} dB" for what, (_, psnr) in found.items()]
        titles.append("red: colour erred more, blue: less")
    keep(args.out / "grey_and_colour.png", cn.show(*pictures, titles=titles, columns=4))


def compare(
    image: np.ndarray, preset: str, steps: int, seed: int
) -> dict[str, tuple[np.ndarray, float]]:
    """Return drawings and their PSNR; the two fits start alike but for their last layer."""
    grey = cn.read_image(image, grey=True)
    colours = cn.render(cn.fit(image, preset, steps=steps, seed=seed))
    greys = cn.render(cn.fit(grey, preset, steps=steps, seed=seed))
    its_greys = cn.read_image(colours, grey=True)
    return {
        "in colour": (colours, cn.psnr(image, colours)),
        "its greys": (its_greys, cn.psnr(grey, its_greys)),
        "in grey": (greys, cn.psnr(grey, greys)),
    }


def difference(truth: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return where ``a`` errs more (red) and where ``b`` does (blue), on white."""
    more = (np.abs(a - truth) - np.abs(b - truth))[..., 0] * 5
    red, blue = np.clip(more, 0, 1), np.clip(-more, 0, 1)
    return np.stack([1 - blue, 1 - red - blue, 1 - red], axis=-1)


if __name__ == "__main__":
    main()
