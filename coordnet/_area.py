"""Reducing an image by averaging areas, exactly at any ratio."""

import numpy as np
from jaxtyping import Float, Float32


def downscale_area(
    image: Float[np.ndarray, "h w c"], size: tuple[int, int]
) -> Float32[np.ndarray, "h2 w2 c"]:
    """Reduce an image to ``size`` (height, width); each new pixel is the average of its area.

    Pixels that straddle two areas count in each by the part that lies there, so that any
    ratio is exact. Colours of a four-channel image count by their alpha; where nothing is
    opaque, colour is 0.

    Raises:
        ValueError: ``size`` is smaller than one pixel or larger than the image.

    >>> import numpy as np
    >>> downscale_area(np.array([[[0.0], [1.5], [0.75]]]), (1, 2)).ravel().tolist()
    [0.5, 1.0]
    """
    height, width, channels = image.shape
    if not (1 <= size[0] <= height and 1 <= size[1] <= width):
        message = f"size={size} for an image of {(height, width)}; give 1 to that, on each side"
        raise ValueError(message)
    if channels != 4:
        return _average(image, size)
    alpha = image[..., 3:]
    averaged = _average(np.concatenate([image[..., :3] * alpha, alpha], axis=-1), size)
    colour, alpha = averaged[..., :3], averaged[..., 3:]
    np.divide(colour, alpha, out=colour, where=alpha > 0)
    return averaged


def scaled_size(size: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Return (height, width) times ``factor`` in whole pixels, at least one.

    >>> scaled_size((300, 401), 0.5)
    (150, 200)
    """
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def fitted_size(size: tuple[int, ...], longest: int) -> tuple[int, int]:
    """Return (height, width) reduced, if need be, to a longer side of ``longest`` pixels.

    >>> fitted_size((300, 400), 100), fitted_size((30, 40), 100)
    ((75, 100), (30, 40))
    """
    return scaled_size(size, min(1.0, longest / max(size)))


def inscribed_size(size: tuple[int, ...], frame: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the same shape as ``size``, as large as fits into ``frame``.

    >>> inscribed_size((600, 400), (480, 640))
    (480, 320)
    """
    return scaled_size(size, min(frame[0] / size[0], frame[1] / size[1]))


def _average(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows_done = _average_rows(image, size[0])
    return _average_rows(rows_done.transpose(1, 0, 2), size[1]).transpose(1, 0, 2)


def _average_rows(image: np.ndarray, rows: int) -> np.ndarray:
    height, width, channels = image.shape
    flat = image.reshape(height, -1)
    result = np.empty((rows, flat.shape[1]), np.float32)
    for row in range(rows):
        # in units of 1/rows of a pixel everything is a whole number
        top, bottom = row * height, (row + 1) * height
        pixels = np.arange(top // rows, -(-bottom // rows))
        covered = np.minimum(bottom, (pixels + 1) * rows) - np.maximum(top, pixels * rows)
        result[row] = (covered / height) @ flat[pixels[0] : pixels[-1] + 1]
    return result.reshape(rows, width, channels)
