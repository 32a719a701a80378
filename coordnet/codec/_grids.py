"""Where a fit keeps a picture and its latents: whole grids, of which a step sees windows."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ._pyramid import CELL, shapes
from ._synthesis import MARGIN

#: Pixels along a side of a window. What a step on one needs fits a cache: of 256 it is 84 MB, and
#: a picture takes half as long again. Small pictures are one window: the same compiled program.
WINDOW = 128
#: The nodes of a window inside its margin.
CORE = slice(MARGIN, -MARGIN)


class Grids:
    """Latents of one picture with slopes and moments, a margin about them, and the picture.

    They go on beyond the picture, so that whole windows cover it.

    Args:
        image: ``(3, h, w)`` in [0, 1].
        finest: The first level that has a grid.
    """

    def __init__(self, image: Float[np.ndarray, "3 h w"], finest: int):
        _, height, width = image.shape
        self.size = height, width
        self.finest = finest
        tall, wide = (-(-n // WINDOW) * WINDOW for n in self.size)
        beyond = (0, 0), (0, tall - height), (0, wide - width)
        self.image = np.pad(image.astype(np.float32, copy=False), beyond, mode="edge")
        self.values, self.slopes, self.first, self.second = (
            [
                np.zeros((c, h + 2 * MARGIN, w + 2 * MARGIN), np.float32)
                for c, h, w in shapes(tall, wide, finest)
            ]
            for _ in range(4)
        )

    def fill(self, latents: Sequence[Float[np.ndarray, "_ _ _"]]) -> None:
        """Begin with latents of the whole cells, without margins."""
        for values, found in zip(self.values, latents, strict=True):
            values[:, CORE, CORE] = found

    def places(self) -> Int[np.ndarray, "n 2"]:
        """Return the windows that cover the picture, by their first cells."""
        step = WINDOW // CELL
        rows, columns = (range(0, n // CELL, step) for n in self.image.shape[1:])
        return np.array([(top, left) for top in rows for left in columns])

    def cut(
        self, parts: list[Float[np.ndarray, "_ _ _"]], place: Int[np.ndarray, " 2"]
    ) -> list[Float[np.ndarray, "_ _ _"]]:
        """Return a window of all grids, with its margin."""
        out = []
        for i, part in enumerate(parts, self.finest):
            top, left = (int(n) * (CELL >> i) for n in place)
            n = (WINDOW >> i) + 2 * MARGIN
            out.append(part[:, top : top + n, left : left + n])
        return out

    def pixels(self, place: Int[np.ndarray, " 2"]) -> Float[np.ndarray, "3 s s"]:
        """Return the pixels of a window."""
        top, left = (int(n) * CELL for n in place)
        return self.image[:, top : top + WINDOW, left : left + WINDOW]

    def shown(self, place: Int[np.ndarray, " 2"]) -> int:
        """Return how many pixels of a window are the picture's."""
        starts = (int(n) * CELL for n in place)
        rows, columns = (min(WINDOW, n - start) for n, start in zip(self.size, starts, strict=True))
        return rows * columns
