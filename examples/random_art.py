"""Pictures that nobody drew.

A network of random weights, never trained, is a picture already: one of the oldest pleasures
of the field (Stanley, compositional pattern-producing networks, 2007). A number is all there
is to it, so a sheet of small ones is quickly looked through, the best drawn as large as a
wall, and the way from one to another is a film: the weights wander, not the pixels.

    python examples/random_art.py [--hand silk] [--seeds 2 0] [--size 2048] [--quick]
"""

from pathlib import Path

import jax
import numpy as np
from _picture import keep, options
from flax import nnx

import coordnet as cn

# What folds the plane, how deep and how hard, is the hand; the seed is the picture.
HANDS = {
    "glass": {},  # random_art as it comes: tanh
    "dusk": {"contrast": 1.3},
    "cloud": {"activation": "sine(omega=1,first=1)", "contrast": 1.2},
    "silk": {"activation": "gauss(scale=1)", "contrast": 1.8, "depth": 3},
}


def main() -> None:
    parser = options(__file__, __doc__)
    parser.add_argument("--hand", choices=HANDS, default="silk", help="(%(default)s)")
    parser.add_argument("--seeds", nargs=2, type=int, default=(2, 0), help="from, to")
    parser.add_argument("--size", type=int, default=2048, help="of the large one (%(default)s)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    columns, side = (4, 96) if args.quick else (8, 256)

    sheet = {
        f"{hand} {seed}": cn.render(cn.random_art(seed, **how), (side, side))
        for hand, how in HANDS.items()
        for seed in range(columns)
    }
    figure = cn.show(*sheet.values(), titles=list(sheet), columns=columns)
    keep(args.out / "sheet.png", figure)

    first, second = (cn.random_art(seed, **HANDS[args.hand]) for seed in args.seeds)
    large = min(args.size, 512) if args.quick else args.size
    keep(args.out / f"{args.hand}_{args.seeds[0]}.png", cn.render(first, (large, large)))
    film_morph(args.out / "morph.mp4", first, second, frames=40 if args.quick else 150)


def film_morph(path: Path, first: cn.CoordNet, second: cn.CoordNet, frames: int) -> None:
    """Film the way from one network to another and back, so that the film can run in a loop."""
    graphdef, a = nnx.split(first)
    b = nnx.state(second)
    with cn.Film(path, fps=25) as film:
        for turn in np.linspace(0, np.pi, frames, endpoint=False):
            # along the circle, not the chord: half way the weights are as wide as at the ends,
            # where a mean of two random networks would be pale
            quarter = np.pi / 2 * np.sin(turn) ** 2
            mix = jax.tree.map(lambda u, v, q=quarter: np.cos(q) * u + np.sin(q) * v, a, b)
            film.add(cn.render(nnx.merge(graphdef, mix), (512, 512), progress=False))
    print(path)


if __name__ == "__main__":
    main()
