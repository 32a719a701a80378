"""A flight into a network.

Each frame is drawn by the network itself, none is an enlargement of another: pixels never
appear, however near one comes. At the end one looks at some twenty pixels of the picture it
was fitted to.

    python examples/zoom_film.py [picture] [--to X Y] [--scale 24] [--quick]

X and Y are the place to fly to, from 0 to 1 across and down.
"""

import numpy as np
from _picture import keep, options, picture

import coordnet as cn


def main() -> None:
    parser = options(__file__, __doc__)
    parser.add_argument("--to", nargs=2, type=float, default=(0.52, 0.52), metavar=("X", "Y"))
    parser.add_argument("--scale", type=float, default=24.0, help="(%(default)g)")
    args = parser.parse_args()
    image = picture(args, "lenna.png", side=512, quick_side=128)
    net = cn.fit(image, steps=200 if args.quick else 2000)
    print(f"{net.spec.parameters:,} weights, {net.fitted.psnr:.1f} dB")

    height, width, _ = image.shape
    # in a network's coordinates the longer side of the picture runs from -1 to 1
    to = tuple((2 * np.array(args.to) - 1) * (width, height) / max(height, width))
    count = 50 if args.quick else 200
    frames = cn.zoom(net, to=to, scale=args.scale, frames=count)
    path = args.out / "zoom.mp4"
    stations = []
    with cn.Film(path, fps=25) as film:
        for i, frame in enumerate(frames):
            ends = i in (0, count - 1)
            film.add(frame, repeat=25 if ends else 1)  # a second to see where one is
            if i in np.linspace(0, count - 1, 8).round():
                stations.append((f"{args.scale ** (i / (count - 1)):.1f}x", frame))
    print(path)
    titles, pictures = zip(*stations, strict=True)
    keep(args.out / "stations.png", cn.show(*pictures, titles=titles, columns=4))


if __name__ == "__main__":
    main()
