"""The one image type: what it is, and its 8-bit form.

An image is ``float32 (height, width, channels)`` with values in [0, 1], sRGB as
stored; channels are 1 (grey), 3 (RGB) or 4 (RGBA).
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

_OFF = 1.0  # beyond 0 to 1: what overshoots less is clipped, what goes further is no picture


def check_image(image: Any, name: str = "image") -> Float32[np.ndarray, "h w c"]:
    """Return an image as float32, or raise what is wrong with it; its range is the caller's.

    Raises:
        TypeError: It is not an array of floating point numbers.
        ValueError: Its shape is another, a side is 0, or a value is not finite.

    >>> import numpy as np
    >>> check_image(np.zeros((2, 3)))
    Traceback (most recent call last):
    ValueError: `image` must have shape (height, width, 1, 3 or 4), got (2, 3); a grey ...
    """
    array = np.asarray(image)
    if array.dtype.kind in "USO":  # text or Python objects: no array at all
        msg = (
            f"`{name}` must be an array (height, width, channels) in [0, 1], got "
            f"{type(image).__name__}; read a file with coordnet.read_image"
        )
        raise TypeError(msg)
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        msg = (
            f"`{name}` must be of floats in [0, 1], got {array.dtype}; divide bytes by 255, or "
            "make it one with coordnet.read_image"
        )
        raise TypeError(msg)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        hint = "; a grey picture is image[..., None]" if array.ndim == 2 else ""
        msg = f"`{name}` must have shape (height, width, 1, 3 or 4), got {array.shape}{hint}"
        raise ValueError(msg)
    array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        msg = f"`{name}` must be of finite numbers, got {bad:,} NaN or infinite values; mend them"
        raise ValueError(msg)
    return array


def check_picture(image: Any) -> Float32[np.ndarray, "h w c"]:
    """Return an image as float32, or raise what is wrong with it, its range too.

    Raises:
        TypeError: It is not an array of floating point numbers.
        ValueError: Its shape is another, or values are not finite or far outside [0, 1].

    >>> import numpy as np
    >>> check_picture(np.full((2, 2, 3), 255.0))
    Traceback (most recent call last):
    ValueError: `image` must be in [0, 1], got values from 255 to 255; divide bytes by 255
    """
    found = check_image(image)
    low, high = float(found.min()), float(found.max())
    if low < -_OFF or high > 1 + _OFF:
        hint = "; divide bytes by 255" if high > 2 else ""
        msg = f"`image` must be in [0, 1], got values from {low:g} to {high:g}{hint}"
        raise ValueError(msg)
    return found


def to_uint8(image: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Round an image to 8 bits: one clip, one rounding, half to even.

    >>> import numpy as np
    >>> to_uint8(np.full((1, 1, 3), 0.5, np.float32)).ravel().tolist()
    [128, 128, 128]
    """
    return np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
