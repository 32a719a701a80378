"""The one image type to Pillow's 8-bit pictures.

An image is ``float32 (height, width, channels)`` with values in [0, 1]; channels are 1 (grey),
3 (RGB) or 4 (RGBA).
"""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from ._color import to_uint8


def to_pillow(image: ArrayLike) -> Image.Image:
    """Turn an image into Pillow's picture of mode L, RGB or RGBA.

    Args:
        image: shape (height, width, 1, 3 or 4), floating, values in [0, 1]; values outside are
            clipped, and each is rounded once to 8 bits.

    Raises:
        TypeError: the values are not floating.
        ValueError: the shape is another, a side is 0, or a value is not finite.

    >>> to_pillow(np.ones((2, 3, 1), np.float32)).size
    (3, 2)
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        hint = "; use image[..., None] for a grey picture" if pixels.ndim == 2 else ""
        msg = (
            "an image must have the shape (height, width, channels) with 1, 3 or 4 channels and "
            f"no side of 0, got {pixels.shape}{hint}"
        )
        raise ValueError(msg)
    if pixels.dtype.kind != "f":
        msg = (
            f"an image must hold floating values in [0, 1], got {pixels.dtype}; "
            "divide 8-bit values by 255 and convert to float32"
        )
        raise TypeError(msg)
    if not np.isfinite(pixels).all():
        msg = "an image must hold finite values, got nan or inf; has the fit diverged?"
        raise ValueError(msg)
    small = to_uint8(pixels)
    return Image.fromarray(small[..., 0] if small.shape[2] == 1 else small)
