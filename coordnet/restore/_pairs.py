"""Clean pictures to small ones and what they were, at any scale, damaged as files are."""

import io
from functools import cache

import jax
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

from .._cells import axis_at
from ._jpeg import as_jpeg, read_jpeg
from ._resize import resized
from ._stream import Folder
from ._upscaler import MOST_DETAIL, MOST_SCALE, WAVES, Pairs, told_of

_WHOLE = 0.4  # of the scales are 2, 3 or 4; the others lie anywhere from 1 to 4
_COARSER = 0.5  # of the pictures are reduced first: other structures are lost in them
_DAMAGED = 0.4
_BEST, _WORST = 95, 10  # JPEG quality of the least and the most damage
_NOISE = 8.0  # levels of the most damage, in half of what is damaged
_GREY = 0.1
_EDGE = 2  # pixels that a cubic sees beyond a crop, which is not there
_DRAWN = 3  # places, of which the one with the most detail is learnt from
_FILTERS = [
    getattr(Image.Resampling, name) for name in ("BICUBIC", "BOX", "BILINEAR", "HAMMING", "LANCZOS")
]


def pairs(
    number: int,
    *,
    folder: Folder,
    seed: int,
    halo: int,
    side: int = 48,
    points: int = 64,
    many: int = 16,
) -> Pairs:
    """Make a batch.

    Args:
        number: Of the batch; with ``seed`` it says all.
        folder: Clean pictures.
        seed: Of the run.
        halo: Pixels of margin that the network sees a small picture with.
        side: Pixels of a small picture within the halo.
        points: Rows and columns that are learnt from: some of those of the clean picture, so that
            batches of all scales have one shape, and compile once.
        many: Small pictures.
    """
    rng = np.random.default_rng([seed, number])
    made = [_pair(rng, folder, halo, side, points) for _ in range(many)]
    return jax.tree.map(lambda *parts: np.stack(parts), *made)


def _pair(rng: np.random.Generator, folder: Folder, halo: int, side: int, points: int) -> Pairs:
    whole = rng.random() < _WHOLE
    scale = float(rng.integers(2, int(MOST_SCALE) + 1) if whole else rng.uniform(1, MOST_SCALE))
    outer = side + 2 * (halo + _EDGE)
    size = round(scale * outer)
    scale = size / outer
    clean, detail = _source(rng, folder, size)
    damage = rng.uniform(0, 1) if rng.random() < _DAMAGED else 0.0
    small = _damaged(rng, clean, outer, damage).astype(np.float32) / 255
    base = resized(small, (size, size))
    rows, columns = (_some(rng, scale, side, halo, points) for _ in range(2))
    truth = clean.astype(np.float32) / 255
    down, across = (
        axis_at((at + 0.5) / scale - 0.5 - halo - _EDGE, side, WAVES) for at in (rows, columns)
    )
    there = np.ix_(rows, columns)
    seen = small[_EDGE:-_EDGE, _EDGE:-_EDGE]
    return Pairs(seen, told_of(scale, detail, damage), down, across, base[there], truth[there])


def _some(rng: np.random.Generator, scale: float, side: int, halo: int, points: int) -> np.ndarray:
    """Draw rows of a clean picture whose cells are all within the halo, in their order."""
    edge = halo + _EDGE
    first = np.ceil((edge + 0.5) * scale - 0.5)
    last = np.floor((edge + side - 0.5) * scale - 0.5)
    inside = np.arange(int(first), int(last) + 1)
    return np.sort(rng.choice(inside, points, replace=points > inside.size))


def _source(
    rng: np.random.Generator, folder: Folder, size: int
) -> tuple[UInt8[np.ndarray, "s s 3"], float]:
    """Draw a clean square, and how many pixels of the scan one of it stands for."""
    picture = folder.any(rng, size)
    spare = min(min(picture.shape[:2]) / size, MOST_DETAIL)
    detail = float(np.exp(rng.uniform(0, np.log(spare)))) if rng.random() < _COARSER else 1.0
    take = int(size * detail)
    drawn = []
    for _ in range(_DRAWN):
        y, x = (int(rng.integers(n - take + 1)) for n in picture.shape[:2])
        part = picture[y : y + take, x : x + take]
        drawn.append((_busy(part), part))
    _, part = max(drawn, key=lambda one: one[0])
    if take > size:
        square = Image.fromarray(np.ascontiguousarray(part))
        part = np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
    if rng.random() < _GREY:
        part = np.repeat(
            np.asarray(Image.fromarray(np.ascontiguousarray(part)).convert("L"))[..., None], 3, 2
        )
    part = part.swapaxes(0, 1) if rng.random() < 0.5 else part
    return part[:, ::-1] if rng.random() < 0.5 else part, take / size


def _busy(part: UInt8[np.ndarray, "h w c"]) -> float:
    """Return how much neighbours differ, on every third row."""
    rows = part[::3, :, 1].astype(np.int16)
    return float(np.abs(np.diff(rows, axis=1)).mean())


def _damaged(
    rng: np.random.Generator, clean: UInt8[np.ndarray, "s s 3"], side: int, damage: float
) -> UInt8[np.ndarray, "n n 3"]:
    """Return a small picture as it may be met in a file."""
    how = _FILTERS[int(rng.integers(len(_FILTERS)))] if damage else Image.Resampling.BICUBIC
    picture = Image.fromarray(np.ascontiguousarray(clean)).resize((side, side), how)
    small = np.asarray(picture)
    if not damage:
        return small
    if rng.random() < 0.5:
        noise = rng.normal(scale=_NOISE * damage * rng.random(), size=small.shape)
        small = np.rint((small + noise).clip(0, 255)).astype(np.uint8)
    data = as_jpeg(small, quality_of(damage), subsampling=int(rng.choice([0, 2])))
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


def quality_of(damage: float) -> int:
    """Return the JPEG quality that damages a picture so much.

    >>> quality_of(1.0), quality_of(0.0)
    (10, 95)
    """
    return round(_BEST - (_BEST - _WORST) * damage)


def damage_of(table: Int[np.ndarray, "8 8"]) -> float:
    """Return the damage of a file by its steps of luma: the inverse of :func:`quality_of`.

    >>> damage_of(steps_of(95)), damage_of(steps_of(10)), round(damage_of(steps_of(52)), 1)
    (0.0, 1.0, 0.5)
    """
    qualities = np.arange(1, 101)
    sums = np.array([steps_of(int(q)).sum() for q in qualities])
    quality = qualities[np.argmin(np.abs(np.log(table.sum() / sums)))]
    return float(np.clip((_BEST - quality) / (_BEST - _WORST), 0, 1))


@cache
def steps_of(quality: int) -> Int[np.ndarray, "8 8"]:
    """Return libjpeg's steps of luma at a quality."""
    return read_jpeg(as_jpeg(np.zeros((8, 8), np.uint8), quality)).tables[0]
