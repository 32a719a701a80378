"""How far two pictures are apart: PSNR and SSIM, both of what an 8-bit file would show."""

import math

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from ._color import check_image, to_uint8

_SIGMA = 1.5  # pixels: the window of Wang et al. 2004
_REACH = 5  # pixels on each side: their 11 x 11 window


def _same(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both as 8-bit pixels."""
    a, b = check_image(a, "a"), check_image(b, "b")
    if a.shape != b.shape:
        msg = (
            f"two images of one shape are compared, got {a.shape} and {b.shape}; bring "
            "one to the size of the other first"
        )
        raise ValueError(msg)
    return to_uint8(a), to_uint8(b)


def psnr(a: Float[np.ndarray, "h w c"], b: Float[np.ndarray, "h w c"]) -> float:
    """Return the peak signal-to-noise ratio in dB of two images rounded to 8 bits.

    Infinite for equal pictures.

    Raises:
        TypeError: One is not an array of floats.
        ValueError: The shapes differ or are not those of images, or a value is not finite.

    >>> import numpy as np
    >>> round(psnr(np.zeros((4, 4, 3), np.float32), np.full((4, 4, 3), 0.1, np.float32)), 2)
    19.83
    """
    x, y = _same(a, b)
    error = np.mean(np.square(x.astype(np.float64) - y))
    return math.inf if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(a: Float[np.ndarray, "h w c"], b: Float[np.ndarray, "h w c"]) -> float:
    """Return the structural similarity of two images rounded to 8 bits, at most 1.

    Wang et al., Image Quality Assessment, 2004: Gaussian windows of 11 x 11 pixels, the
    mean over channels and over the windows that lie inside the picture.

    Raises:
        TypeError: One is not an array of floats.
        ValueError: As of :func:`psnr`, or a side is shorter than a window.

    >>> import numpy as np
    >>> image = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    >>> ssim(image, image)
    1.0
    """
    pixels = _same(a, b)
    if min(a.shape[:2]) < 2 * _REACH + 1:
        msg = f"SSIM needs sides of at least {2 * _REACH + 1} pixels, got {a.shape}"
        raise ValueError(msg)
    x, y = (v.astype(np.float64) / 255 for v in pixels)

    def blur(v: np.ndarray) -> np.ndarray:
        return gaussian_filter(v, (_SIGMA, _SIGMA, 0), truncate=3.5)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(score[_REACH:-_REACH, _REACH:-_REACH].mean())
