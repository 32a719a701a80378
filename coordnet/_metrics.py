"""How far two pictures are apart: PSNR, SSIM and MS-SSIM, of what an 8-bit file would show."""

import math

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from ._color import check_image, to_uint8

_SIGMA = 1.5  # pixels: the window of Wang et al. 2004
_REACH = 5  # pixels on each side: their 11 x 11 window
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of MS-SSIM, Wang et al. 2003


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
    x, y = (v / 255 for v in _same(a, b))
    _check_sides(a.shape, 2 * _REACH + 1, "SSIM")
    return float(_similarity(x, y)[0].mean())


def ms_ssim(a: Float[np.ndarray, "h w c"], b: Float[np.ndarray, "h w c"]) -> float:
    """Return the structural similarity over five scales of two images rounded to 8 bits.

    Wang, Simoncelli and Bovik, Multiscale structural similarity, 2003: at most 1, nearer to what
    is seen than :func:`ssim`; the mean over channels.

    Raises:
        TypeError: One is not an array of floats.
        ValueError: As of :func:`psnr`, or a side is shorter than 176 pixels, a window at the
            coarsest scale.

    >>> import numpy as np
    >>> image = np.linspace(0, 1, 176 * 176 * 3, dtype=np.float32).reshape(176, 176, 3)
    >>> ms_ssim(image, image)
    1.0
    """
    x, y = (v / 255 for v in _same(a, b))
    last = len(_SCALES) - 1
    _check_sides(a.shape, (2 * _REACH + 1) * 2**last, "MS-SSIM")
    product = np.ones(x.shape[2])
    for i, weight in enumerate(_SCALES):
        # what is as light is compared at the coarsest scale alone
        found = _similarity(x, y)[i < last].mean((0, 1))
        product *= np.maximum(found, 0) ** weight
        x, y = _halved(x), _halved(y)
    return float(product.mean())


def _check_sides(shape: tuple[int, ...], least: int, what: str) -> None:
    if min(shape[:2]) < least:
        msg = f"{what} needs sides of at least {least} pixels, got {shape}"
        raise ValueError(msg)


def _similarity(
    x: Float[np.ndarray, "h w c"], y: Float[np.ndarray, "h w c"]
) -> tuple[Float[np.ndarray, "h2 w2 c"], Float[np.ndarray, "h2 w2 c"]]:
    """Return SSIM, and its part that compares contrast and structure, of windows inside."""

    def blur(v: np.ndarray) -> np.ndarray:
        return gaussian_filter(v, (_SIGMA, _SIGMA, 0), truncate=3.5)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    inside = slice(_REACH, -_REACH)
    contrast = ((2 * cov + c2) / (vx + vy + c2))[inside, inside]
    light = ((2 * mx * my + c1) / (mx**2 + my**2 + c1))[inside, inside]
    return light * contrast, contrast


def _halved(v: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h2 w2 c"]:
    h, w = v.shape[0] // 2, v.shape[1] // 2
    return v[: 2 * h, : 2 * w].reshape(h, 2, w, 2, -1).mean((1, 3))
