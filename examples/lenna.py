"""Lenna in 573 weights.

The founding experiment: a network of three hidden layers of 15 tanh units is shown the
place of a pixel, from -1 to 1 across and down, and learns to answer with its colour. Rprop
trained it on all pixels at once, in FANN, the C library of the day. After three hours there
was a soft hat and a shoulder, and its author concluded that "the real limitation is in the
training method".

Here it is again: the same network and the same method, on one clock with the same network
trained by least squares, which shows that he was right; with today's default network; and
with FANN itself where it is installed (Debian, Ubuntu: apt install libfann2).

    python examples/lenna.py [picture] [--seconds 30] [--quick]
"""

import importlib
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from _picture import curve, film_race, keep, options, picture, race

import coordnet as cn


def main() -> None:
    parser = options(__file__, __doc__, seconds=30)
    args = parser.parse_args()
    seconds = args.seconds or (1.0 if args.quick else 30.0)
    image = picture(args, "lenna.png", side=512, quick_side=128)

    # As it was: preset "lenna" is 3 x 15 tanh, a sigmoid at the end, pixel centres of the
    # first and last columns at -1 and 1, iRprop- with the gradient of the whole picture.
    small = race(partial(cn.fitting, image, "lenna", seconds=seconds))
    # The same weights to begin with, the same seconds, another training method.
    solved = race(partial(cn.fitting, image, "lenna", trainer="least_squares", seconds=seconds))
    # As it is today: the default network, as long.
    large = race(partial(cn.fitting, image, seconds=seconds))
    original_tool = fann(image, network(small), seconds)

    counts = [f"{network(shots).spec.parameters:,} weights" for shots in (small, large)]
    passed = next((shot for shot in large if shot.psnr > small[-1].psnr), large[-1])
    print(
        f"{counts[0]}: {small[-1].psnr:.1f} dB after {small[-1].step:,} steps, "
        f"{small[-1].seconds:.0f} s\n"
        f"the same by least squares: {solved[-1].psnr:.1f} dB after {solved[-1].step:,} steps\n"
        f"{counts[1]}: {large[-1].psnr:.1f} dB in as long; it passed the small network "
        f"after {passed.seconds:.2f} s, {passed.step} steps"
    )

    figure = cn.show(
        image,
        cn.render(small[-1].net),
        cn.render(solved[-1].net),
        cn.render(large[-1].net),
        titles=[
            f"the picture, {image.size:,} samples",
            f"3 x 15: {counts[0]}, Rprop, {small[-1].psnr:.1f} dB",
            f"3 x 15, least squares, {solved[-1].psnr:.1f} dB",
            f"default: {counts[1]}, {large[-1].psnr:.1f} dB",
        ],
        columns=4,
    )
    keep(args.out / "side_by_side.png", figure)
    fits = {
        f"the default, {counts[1]}": large,
        f"3 x 15 tanh, least squares, {solved[-1].step:,} steps": solved,
        f"3 x 15 tanh, iRprop-, {small[-1].step:,} steps": small,
        f"3 x 15 tanh in FANN, its Rprop, {len(original_tool):,} steps": original_tool,
    }
    curve(args.out / "curve.png", {label: shots for label, shots in fits.items() if shots})
    racers = {
        f"3 x 15: {counts[0]}, Rprop": small,
        "3 x 15, least squares": solved,
        f"default: {counts[1]}": large,
    }
    film_race(args.out / "learning.mp4", racers, frames=60 if args.quick else 125)


def network(shots: list[cn.Snapshot]) -> cn.CoordNet:
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
    shots, began = [], time.perf_counter()
    while not shots or shots[-1].seconds < seconds:
        (error,) = net.train(data, epochs=1)
        taken = time.perf_counter() - began
        psnr = float(-10 * np.log10(error))
        shots.append(cn.Snapshot(len(shots) + 1, taken, error, psnr, None, like))
    print(f"FANN: {shots[-1].psnr:.1f} dB after {len(shots):,} steps, {seconds:.0f} s")
    return shots


if __name__ == "__main__":
    main()
