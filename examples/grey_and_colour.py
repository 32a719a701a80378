"""Does colour cost sharpness?

One network, twice: with three outputs for the colours and with one for the grey picture. The
hidden layers are the same, so the colours must share them. How much worse are the greys of
the colour network than those of the network that learns nothing else? Photographs give part
of the answer away: their three channels rise and fall together.

    python examples/grey_and_colour.py [picture] [--presets lenna siren] [--steps 1000] [--quick]
"""

import numpy as np

import coordnet as cn
from _picture import keep, options, picture


def main() -> None:
    parser = options(__file__, __doc__)
    parser.add_argument("--presets", nargs="+", default=["lenna", "siren"], metavar="NAME")
    parser.add_argument("--steps", type=int, default=None, help="of each fit (1000)")
    args = parser.parse_args()
    steps = args.steps or (60 if args.quick else 1000)
    image = picture(args, "lenna.png", side=256, quick_side=96)
    if image.shape[2] == 1:
        raise SystemExit("this picture has no colours; give another")
    grey = cn.read_image(image, grey=True)

    pictures, titles = [], []
    for name in args.presets:
        # of one seed: the two start alike but for their last layer
        in_colour = cn.fit(image, name, steps=steps)
        in_grey = cn.fit(grey, name, steps=steps)
        colours, greys = cn.render(in_colour), cn.render(in_grey)
        from_colours = cn.read_image(colours, grey=True)
        psnr = {
            "in colour": cn.psnr(image, colours),
            "its greys": cn.psnr(grey, from_colours),
            "in grey": cn.psnr(grey, greys),
        }
        counts = [net.spec.parameters for net in (in_colour, in_grey)]
        cost = psnr["in grey"] - psnr["its greys"]
        print(
            f"{name}: {counts[0]:,} weights in colour, {psnr['in colour']:.2f} dB, its greys "
            f"{psnr['its greys']:.2f} dB; {counts[1]:,} weights in grey, {psnr['in grey']:.2f} dB: "
            f"colour costs {cost:.2f} dB of the greys"
        )
        pictures += [colours, from_colours, greys, amplified(grey, from_colours, greys)]
        titles += [f"{name} {what}: {value:.1f} dB" for what, value in psnr.items()]
        titles.append("red: colour erred more, blue: less")
    keep(args.out / "grey_and_colour.png", cn.show(*pictures, titles=titles, columns=4))


def amplified(truth: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return where ``a`` errs more (red) and where ``b`` does (blue), on white."""
    more = (np.abs(a - truth) - np.abs(b - truth))[..., 0] * 5
    red, blue = np.clip(more, 0, 1), np.clip(-more, 0, 1)
    return np.stack([1 - blue, 1 - red - blue, 1 - red], axis=-1)


if __name__ == "__main__":
    main()
