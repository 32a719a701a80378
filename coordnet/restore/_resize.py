"""Pictures at other sizes, by the cubic that the field's bicubic figures are of."""

import numpy as np
from jaxtyping import Float
from PIL import Image


def resized(
    picture: Float[np.ndarray, "h w c"],
    size: tuple[int, int],
    how: Image.Resampling = Image.Resampling.BICUBIC,
) -> Float[np.ndarray, "h2 w2 c"]:
    """Return a picture at ``size``: in float32, averaged where it becomes smaller, not clipped.

    >>> resized(np.ones((4, 6, 2), np.float32), (3, 9)).shape
    (3, 9, 2)
    """
    out = np.empty((*size, picture.shape[2]), np.float32)
    for k in range(picture.shape[2]):
        plane = Image.fromarray(np.ascontiguousarray(picture[..., k], np.float32))
        out[..., k] = np.asarray(plane.resize((size[1], size[0]), how))
    return out


def brought_back(
    large: Float[np.ndarray, "h w c"],
    small: Float[np.ndarray, "h2 w2 c"],
    part: float,
    *,
    blur: int = 1,
    rounds: int = 3,
) -> None:
    """Change a picture so that it is another one when it is reduced again.

    Back-projection (Irani and Peleg 1991): what it lacks of that, enlarged, is added, ``rounds``
    times over. Of noise that lacks everything, three leave 0.15, six 0.06.

    Args:
        large: Changed in place.
        small: What it is to be when it is reduced.
        part: How much of what it lacks is added.
        blur: Pixels of ``small`` over which what it lacks is averaged.
        rounds: Of adding.
    """
    coarse = tuple(-(-n // blur) for n in small.shape[:2])
    for k in range(large.shape[2]):  # a plane at a time: they may be a hundred million pixels
        plane, wanted = large[..., k : k + 1], small[..., k : k + 1]
        for _ in range(rounds):
            lacks = wanted - resized(plane, wanted.shape[:2])
            if blur > 1:
                lacks = resized(lacks, (coarse[0], coarse[1]), Image.Resampling.BOX)
            plane += np.float32(part) * resized(lacks, plane.shape[:2])
