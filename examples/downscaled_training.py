"""Learn from a small picture, draw a large one.

A picture reduced four times has a sixteenth of the pixels, so a method that looks at all of
them makes sixteen times as many steps in the same time. A network that could not hold the
detail anyway loses nothing by never seeing it; one that could is held to what the small
picture knew, and is then one more way to enlarge: bicubic interpolation is the one to beat.

    python examples/downscaled_training.py [picture] [--seconds 15] [--quick]
"""

from functools import partial

from _picture import curve, keep, options, picture, race, resized
from PIL import Image

import coordnet as cn


def main() -> None:
    parser = options(__file__, __doc__, seconds=15)
    args = parser.parse_args()
    seconds = args.seconds or (0.5 if args.quick else 15.0)
    image = picture(args, "lenna.png", side=512, quick_side=128)
    height, width, _ = image.shape
    taught = {
        "full size": image,
        "half": cn.read_image(image, downscale=2),
        "a quarter": cn.read_image(image, downscale=4),
    }
    if args.quick:
        del taught["half"]  # each size compiles programs of its own
    bicubic = {
        f"bicubic from {size}": resized(small, (height, width), Image.Resampling.BICUBIC)
        for size, small in list(taught.items())[1:]
    }
    levels = {how: cn.psnr(image, enlarged) for how, enlarged in bicubic.items()}

    looks = 20 if args.quick else 60
    for name in ("lenna", "grid"):
        races, drawn = {}, {"the picture": image}
        for size, small in taught.items():
            shots = race(partial(cn.fitting, small, name, seconds=seconds), looks)
            # what counts is the full picture, which the small ones never showed
            full = [cn.render(shot.net, (height, width)) for shot in shots]
            shots = [
                shot._replace(psnr=cn.psnr(image, each))
                for shot, each in zip(shots, full, strict=True)
            ]
            races[f"taught at {size}"] = shots
            drawn[f"taught at {size}: {shots[-1].psnr:.1f} dB"] = full[-1]
            print(f"{name}, taught at {size}: {shots[-1].psnr:.1f} dB, {shots[-1].step:,} steps")
        drawn |= {f"{how}: {levels[how]:.1f} dB": enlarged for how, enlarged in bicubic.items()}
        figure = cn.show(*drawn.values(), titles=list(drawn), columns=3)
        keep(args.out / f"{name}.png", figure)
        curve(args.out / f"{name}_curve.png", races, levels)


if __name__ == "__main__":
    main()
