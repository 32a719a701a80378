"""A picture without pixels.

A fitted network is a function of the place, so it can be drawn on any lattice: with a
sixteenth of the pixels (each the average of the function over its area) or with sixty-four
times as many, from one fit. From very near one sees what lies between the pixels: squares
for the stored picture, a blur for bicubic interpolation, and for the network what it made of
them.

    python examples/any_resolution.py [picture] [--at X Y] [--quick]

X and Y are the middle of the near view, from 0 to 1 across and down.
"""

import time

import numpy as np
from _picture import keep, options, picture, resized
from PIL import Image

import coordnet as cn

NEAR = 32  # native pixels of the near view, which is drawn with 16 times as many


def main() -> None:
    parser = options(__file__, __doc__)
    parser.add_argument("--at", nargs=2, type=float, default=(0.52, 0.52), metavar=("X", "Y"))
    args = parser.parse_args()
    image = picture(args, "lenna.png", side=512, quick_side=128)
    net = cn.fit(image, steps=200 if args.quick else 2000)
    print(f"{net.spec.parameters:,} weights, {net.fitted.psnr:.1f} dB")

    drawn = {}
    for scale in (0.25, 0.5, 1, 2, 4, 8):
        start = time.perf_counter()
        drawn[scale] = cn.render(net, scale=scale)
        height, width, _ = drawn[scale].shape
        print(f"{scale:g}x: {width} x {height} in {time.perf_counter() - start:.2f} s")
        keep(args.out / f"{scale:g}x.png", drawn[scale])

    box = around(image, args.at, NEAR * 4)
    titles = [f"{scale:g}x: {v.shape[1]} x {v.shape[0]}" for scale, v in drawn.items()]
    figure = cn.show(*(cut(v, box) for v in drawn.values()), titles=titles, columns=3)
    keep(args.out / "sizes.png", figure)
    keep(args.out / "near.png", near(image, net, around(image, args.at, NEAR)))


def around(image: np.ndarray, at: tuple[float, float], side: int) -> np.ndarray:
    """Return top, left, bottom, right of a square around a place, as shares of the picture."""
    size = np.array(image.shape[:2])
    side = min(side, *size)
    start = np.clip(np.round(size * at[::-1] - side / 2), 0, size - side)
    return np.concatenate([start, start + side]) / np.tile(size, 2)


def cut(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    top, left, bottom, right = np.round(box * np.tile(image.shape[:2], 2)).astype(int)
    return image[top:bottom, left:right]


def near(image: np.ndarray, net: cn.CoordNet, box: np.ndarray):
    """Draw a window 16 times as large as its pixels, beside two interpolations of them."""
    height, width, _ = image.shape
    side = min(16 * NEAR, 16 * height, 16 * width)
    # in a network's coordinates the longer side of the picture runs from -1 to 1
    top, left, bottom, right = (2 * box - 1) * np.tile([height, width], 2) / max(height, width)
    window = cn.Window(x=(left, right), y=(top, bottom))
    pictures = {"nearest": Image.Resampling.NEAREST, "bicubic": Image.Resampling.BICUBIC}
    # interpolate more than is shown: at its border an interpolation would miss its neighbours
    enlarged = {
        name: cut(resized(image, (16 * height, 16 * width), how), box)
        for name, how in pictures.items()
    }
    return cn.show(
        *enlarged.values(),
        cn.render(net, (side, side), window=window),
        titles=[*enlarged, f"the network, {net.spec.parameters:,} weights"],
    )


if __name__ == "__main__":
    main()
