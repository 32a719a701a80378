"""The one image type to Pillow's 8-bit pictures.

An image is ``float32 (height, width, channels)`` with values in [0, 1]; channels are 1 (grey),
3 (RGB) or 4 (RGBA).
"""

from numpy.typing import ArrayLike
from PIL import Image

from ._color import check_image, to_uint8


def to_pillow(image: ArrayLike) -> Image.Image:
    """Turn an image into Pillow's picture of mode L, RGB or RGBA.

    Args:
        image: shape (height, width, 1, 3 or 4), floating, values in [0, 1]; values outside are
            clipped, and each is rounded once to 8 bits.

    Raises:
        TypeError: the values are not floating.
        ValueError: the shape is another, a side is 0, or a value is not finite.

    >>> import numpy as np
    >>> to_pillow(np.ones((2, 3, 1), np.float32)).size
    (3, 2)
    """
    small = to_uint8(check_image(image))
    return Image.fromarray(small[..., 0] if small.shape[2] == 1 else small)
