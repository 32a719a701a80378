"""Clean pictures to what JPEG leaves of them, as they are met: once or twice, at any quality."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter

from ._cleaner import PERIOD, Crops, cells, seen
from ._jpeg import as_jpeg, read_jpeg
from ._planes import enlarged, reduced, to_rgb, to_ycc
from ._screens import screen
from ._stream import Folder

QUALITIES = (5, 95)  # that the network is for
_SOURCE = 256  # pixels a side of what is compressed for a batch
_SCREENS = 0.25  # of the batches' pictures
_GREY = 0.3
_TWICE = 0.25
# Of the photographs: grain as of film, and chroma that has no edges of luma, as of many cameras. A
# network that has seen neither takes grain for damage, and washes colours along edges (Kodak)
_GRAINY, _GRAIN = 0.2, (0.5, 5.0)  # levels
_SOFT = 0.5
_LOW = 0.5  # of the qualities are drawn by their logarithm: half of these are below 22
_SUBSAMPLINGS, _THEIRS = (2, 0, 1), (0.7, 0.2, 0.1)  # 4:2:0, 4:4:4, 4:2:2
_EVEN = 0.05  # of the chance of a crop does not go by its error


def _source(rng: np.random.Generator, folder: Folder) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a clean picture with room for a second grid to lie off the first."""
    side = _SOURCE + 8
    if rng.random() < _SCREENS:
        return screen(rng, (side, side))
    picture = folder.any(rng, side)
    spare = min(picture.shape[:2]) / side
    if spare > 1.5 and rng.random() < 0.3:  # finer detail than the photograph's own
        take = int(side * rng.uniform(1, min(2.0, spare)))
        y, x = (int(rng.integers(s - take + 1)) for s in picture.shape[:2])
        part = Image.fromarray(picture[y : y + take, x : x + take])
        picture = np.asarray(part.resize((side, side), Image.Resampling.BOX))
    y, x = (int(rng.integers(s - side + 1)) for s in picture.shape[:2])
    part = picture[y : y + side, x : x + side]
    part = part.swapaxes(0, 1) if rng.random() < 0.5 else part
    part = part[:, ::-1] if rng.random() < 0.5 else part
    if rng.random() < _SOFT:
        part = _softened(part)
    return _grainy(rng, part) if rng.random() < _GRAINY else part


def _softened(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture whose chroma was taken at half its size."""
    ycc = to_ycc(picture)
    size = picture.shape[0], picture.shape[1]
    half = (-(-size[0] // 2), -(-size[1] // 2))
    for k in (1, 2):
        ycc[..., k] = enlarged(reduced(ycc[..., k], half), size)
    return np.rint(to_rgb(ycc).clip(0, 255)).astype(np.uint8)


def _grainy(
    rng: np.random.Generator, picture: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture with noise up to a pixel wide, equal or independent in R, G and B."""
    many = 3 if rng.random() < 0.3 else 1
    noise = rng.normal(size=(*picture.shape[:2], many))
    noise = gaussian_filter(noise, (*[rng.uniform(0, 0.8)] * 2, 0))
    noise *= rng.uniform(*_GRAIN) / noise.std()
    return np.rint((picture + noise).clip(0, 255)).astype(np.uint8)


def crops(
    number: int, *, folder: Folder, seed: int, halo: int, side: int = 48, many: int = 16
) -> Crops:
    """Make a batch: two crops, drawn by their error, of each of half as many compressed pictures.

    Args:
        number: Of the batch; with ``seed`` it says all.
        folder: Clean pictures; a quarter are drawn screens.
        seed: Of the run.
        halo: Cells of margin that the network sees a crop with.
        side: Cells of a crop.
        many: Crops.
    """
    rng = np.random.default_rng([seed, number])
    made = []
    for _ in range(many // 2):
        clean = _source(rng, folder)
        grey = rng.random() < _GREY
        if grey:
            clean = np.asarray(Image.fromarray(clean).convert("L"))
        options = {"subsampling": int(rng.choice(_SUBSAMPLINGS, p=_THEIRS))}
        quality = _quality(rng)
        dirty = clean
        if rng.random() < _TWICE:
            first = as_jpeg(clean, int(rng.integers(20, 96)), **options)
            with Image.open(io.BytesIO(first)) as opened:
                dirty = np.asarray(opened)
        y, x = rng.integers(0, 8, 2)
        dirty, clean = (p[y : y + _SOURCE, x : x + _SOURCE] for p in (dirty, clean))
        shown = seen(read_jpeg(as_jpeg(np.ascontiguousarray(dirty), quality, **options)))
        truth = to_ycc(clean if clean.ndim == 3 else np.repeat(clean[..., None], 3, 2))
        found, wanted = cells((shown.planes - 128) / 255), cells((truth - 128) / 255)
        for corner in _corners(rng, found, wanted, halo, side):
            y, x = corner
            outer = found[y - halo : y + side + halo, x - halo : x + side + halo]
            made.append(Crops(outer, shown.told, corner - halo, wanted[y : y + side, x : x + side]))
    shown, told, corner, truth = (np.stack(part) for part in zip(*made, strict=True))
    return Crops(shown, told, (corner % PERIOD).astype(np.int32), truth)


def _quality(rng: np.random.Generator) -> int:
    least, most = QUALITIES
    if rng.random() < _LOW:
        return round(float(np.exp(rng.uniform(np.log(least), np.log(most)))))
    return int(rng.integers(least, most + 1))


def _corners(
    rng: np.random.Generator, found: np.ndarray, wanted: np.ndarray, halo: int, side: int
) -> np.ndarray:
    """Draw two corners of crops, by the root of the error there."""
    own = found.reshape(*found.shape[:2], 4, 5)[..., :3]
    error = np.square(own - wanted.reshape(own.shape)).mean((-2, -1))
    total = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    last = found.shape[0] - halo - side + 1
    starts = np.arange(halo, last)
    y, x = starts[:, None], starts[None]
    inside = total[y + side, x + side] - total[y, x + side] - total[y + side, x] + total[y, x]
    chance = np.sqrt(np.maximum(inside, 0)).ravel()
    chance = (1 - _EVEN) * chance / max(chance.sum(), 1e-9) + _EVEN / chance.size
    drawn = rng.choice(chance.size, 2, p=chance / chance.sum())
    return np.stack(np.unravel_index(drawn, (starts.size, starts.size)), 1) + halo
