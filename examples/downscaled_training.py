"""Learn from a small picture, draw a large one.

A picture reduced four times has a sixteenth of the pixels, so a method that looks at all of
them makes sixteen times as many steps in the same time. A network that could not hold the
detail anyway loses nothing by never seeing it; one that could is held to what the small
picture knew, and is then one more way to enlarge: bicubic interpolation is the one to beat.

    python examples/downscaled_training.py [picture] [--seconds 15] [--quick]
"""

from functools import partial

from PIL import Image

import coordnet as cn
from _picture import curve, keep, options, picture, race, resized


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
    for name in ("lenna", "grid"):
        races, drawn, titles = {}, [image], ["the picture"]
        for size, small in taught.items():
            shots = race(partial(cn.fitting, small, name, seconds=seconds), 24 if args.quick else 60)
            # what counts is the full picture, which the small ones never showed
            races[f"taught at {size}"] = [
                shot._replace(psnr=cn.psnr(image, cn.render(shot.net, (height, width))))
                for shot in shots
            ]
            drawn.append(cn.render(shots[-1].net, (height, width)))
            titles.append(f"taught at {size}: {races[f'taught at {size}'][-1].psnr:.1f} dB")
            print(f"{name}, {titles[-1]}, {shots[-1].step:,} steps")
        for size in ("half", "a quarter"):
            drawn.append(resized(taught[size], (height, width), Image.Resampling.BICUBIC))
            titles.append(f"bicubic from {size}: {cn.psnr(image, drawn[-1]):.1f} dB")
            print(titles[-1])
        keep(args.out / f"{name}.png", cn.show(*drawn, titles=titles, columns=3))
        curve(args.out / f"{name}_curve.png", races)


if __name__ == "__main__":
    main()
