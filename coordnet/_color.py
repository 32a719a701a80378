"""Conversions between the one image type and 8-bit pixels.

An image is ``float32 (height, width, channels)`` with values in [0, 1], sRGB as
stored; channels are 1 (grey), 3 (RGB) or 4 (RGBA).
"""

import numpy as np
from jaxtyping import Float, UInt8


def to_uint8(image: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Round an image to 8 bits: one clip, one rounding, half to even.

    >>> import numpy as np
    >>> to_uint8(np.full((1, 1, 3), 0.5, np.float32)).ravel().tolist()
    [128, 128, 128]
    """
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
