"""Planes of luma and chroma: to RGB and back, chroma at the size of luma."""

from functools import cache

import numpy as np
from jaxtyping import Float, Num, Shaped
from scipy.ndimage import uniform_filter

# JFIF's, ITU-R BT.601 at full range
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
RGB_OF_YCC = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]], np.float32)
_HALF = np.array([0, 128, 128], np.float32)

_WINDOW = 5  # samples of chroma along an axis, to which a line is fitted
_NOISE = 10.0  # squared levels of luma that are no structure
_TRIED = 7  # samples of chroma along an axis, over which it is tried what luma says of it
_FLAT = 0.05  # squared levels of chroma below which nothing is told from it
# What part of luma's change serves a picture one scale below: of kodim02, 04 and 15, which guided
# chroma costs 2 to 3 dB, 0.20 to 0.38, of drawn screens 0.4 to 1.1, of four of the
# photographs to learn from, which it serves, 0.25 to 0.73
_NONE, _ALL = 0.3, 0.6


def to_ycc(rgb: Num[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Return Y, Cb and Cr of R, G and B, all 0 to 255.

    >>> to_ycc(np.array([255, 255, 255])).round(3).tolist()
    [255.0, 128.0, 128.0]
    """
    return rgb.astype(np.float32) @ _TO_YCC.T + _HALF


def to_rgb(ycc: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Return R, G and B of Y, Cb and Cr, neither rounded nor clipped."""
    return (ycc - _HALF) @ RGB_OF_YCC.T


@cache
def _between(few: int, many: int, times: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two samples of ``few`` that ``many`` finer ones lie between, and their share."""
    at = np.clip((np.arange(many) + 0.5) / times - 0.5, 0, few - 1)
    low = np.minimum(at.astype(int), max(few - 2, 0))
    return low, np.minimum(low + 1, few - 1), (at - low).astype(np.float32)


def enlarged(plane: Num[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "h2 w2"]:
    """Return stored chroma at the size of luma: linear between samples.

    So does libjpeg where chroma is halved.

    >>> enlarged(np.array([[0.0, 4.0]]), (1, 4)).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    plane = plane.astype(np.float32)
    for axis, many in enumerate(size):
        few = plane.shape[axis]
        times = factor(few, many)
        if times > 1:
            low, high, share = _between(few, many, times)
            share = share[:, None] if axis == 0 else share
            below = plane.take(low, axis)
            plane = below + share * (plane.take(high, axis) - below)
    return plane


def factor(few: int, many: int) -> int:
    """Return how many samples of luma a sample of chroma spans along an axis: 1, 2 or 4."""
    return next(f for f in (1, 2, 4, many) if -(-many // f) == few)


def spread(plane: Shaped[np.ndarray, "h w"], size: tuple[int, int]) -> Shaped[np.ndarray, "h2 w2"]:
    """Return each sample of chroma repeated for every pixel of luma that it spans."""
    for axis, many in enumerate(size):
        plane = np.repeat(plane, factor(plane.shape[axis], many), axis)
    return plane[: size[0], : size[1]]


def reduced(plane: Float[np.ndarray, "h w"], size: tuple[int, int]) -> Float[np.ndarray, "h2 w2"]:
    """Return the means of luma over the samples of chroma: what JPEG stores of a plane."""
    plane = plane.astype(np.float32)
    for axis, few in enumerate(size):
        many = plane.shape[axis]
        times = factor(few, many)
        pad = [(0, 0), (0, 0)]
        pad[axis] = (0, few * times - many)
        split = list(plane.shape)
        split[axis : axis + 1] = [few, times]
        plane = np.pad(plane, pad, mode="edge").reshape(split).mean(axis + 1)
    return plane


def guided(
    luma: Float[np.ndarray, "h w"], chroma: Num[np.ndarray, "h2 w2"]
) -> Float[np.ndarray, "h w"]:
    """Return stored chroma at the size of luma, with luma's edges.

    About each sample chroma is a line in luma, whose slope is fitted as in the guided filter (He,
    Sun and Tang 2010) at chroma's size. What luma has more than its own enlargement, times
    that slope, is added to the enlargement of chroma.

    >>> edge = np.where(np.arange(8) < 3, 0.0, 90.0)[None].repeat(8, 0)
    >>> small = reduced(edge, (4, 4))
    >>> found = guided(edge, small), enlarged(small, edge.shape)
    >>> [round(float(np.abs(f - edge).max()), 1) for f in found]
    [0.2, 33.8]
    """
    size = chroma.shape[0], chroma.shape[1]
    small, said = reduced(luma, size), chroma.astype(np.float32)

    def mean(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, _WINDOW, mode="nearest")

    middle = mean(small)
    slope = (mean(small * said) - middle * mean(said)) / (mean(small**2) - middle**2 + _NOISE)
    shape = luma.shape[0], luma.shape[1]
    return enlarged(said, shape) + enlarged(slope, shape) * (luma - enlarged(small, shape))


def checked(
    luma: Float[np.ndarray, "h w"], chroma: Float[np.ndarray, "h2 w2"]
) -> tuple[Float[np.ndarray, "h w"], float]:
    """Return chroma with luma's edges as far as that serves this picture, else enlarged linearly.

    And how far that is in the mean of the picture, 0 to 1.

    What luma says is tried on the stored chroma itself: reduced once more, and guided by luma at
    chroma's size, it should come back. How much of the change does so best, by least squares over
    the picture and about each sample, is how much of it is made one scale above. Chroma of film and
    of many cameras has no edges of luma there, whatever it has below.

    >>> edge = np.where(np.arange(32) < 13, 0.0, 90.0)[None].repeat(32, 0)
    >>> small = reduced(edge, (16, 16))
    >>> bool(np.abs(checked(edge, small)[0] - edge).max() < 2)
    True
    """
    size, shape = (chroma.shape[0], chroma.shape[1]), (luma.shape[0], luma.shape[1])
    fewer = reduced(chroma, (-(-size[0] // 2), -(-size[1] // 2)))
    linear = enlarged(fewer, size)
    change, lacks = guided(reduced(luma, size), fewer) - linear, chroma - linear
    both, own = change * lacks, change**2
    whole = float(both.mean() / (own.mean() + _FLAT))
    local = uniform_filter(both, _TRIED, mode="nearest")
    local /= uniform_filter(own, _TRIED, mode="nearest") + _FLAT
    served = float(np.clip((whole - _NONE) / (_ALL - _NONE), 0, 1))
    trust = (served * np.clip(local, 0, 1) ** 2).astype(np.float32)
    plain = enlarged(chroma, shape)
    return plain + enlarged(trust, shape) * (guided(luma, chroma) - plain), served
