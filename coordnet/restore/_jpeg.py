"""What a JPEG file stores: planes at their own sizes, tables of steps, bins of coefficients."""

import contextlib
import io
import struct
import warnings
from typing import Any, NamedTuple

import av
import av.error
import numpy as np
from jaxtyping import Bool, Float, Int, Num, UInt8
from PIL import Image, UnidentifiedImageError

from .._decode import ORIENTATION

BLOCK = 8  # pixels of a side

_FRAMES = range(0xC0, 0xD0)  # markers of a frame's header, and three others
_NO_FRAMES = (0xC4, 0xC8, 0xCC)
_READ = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive, all of Huffman codes
_ARITHMETIC = range(0xC9, 0xD0)
_ALONE = (0x01, *range(0xD0, 0xDA))  # markers that nothing follows
# of a step: how far from its bin a coefficient of the truth may lie, for libjpeg transforms in
# whole numbers (97.4 % of luma at quality 95 lay within the bins themselves)
_SLACK = 0.05
_BROKEN = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
_ROUNDS = 4  # of putting samples back beyond 0 and 255; eight find no more
_OFF = 1.1  # levels: decoders round in their own ways


class Jpeg(NamedTuple):
    """A decoded file.

    Attributes:
        planes: Y, or Y, Cb and Cr, as stored: chroma may be smaller.
        tables: Of each plane the steps of its coefficients, by vertical and horizontal frequency.
        size: (height, width).
        orientation: By which EXIF says to turn it upright, 1 to 8.
    """

    planes: tuple[UInt8[np.ndarray, "_ _"], ...]
    tables: tuple[Int[np.ndarray, "8 8"], ...]
    size: tuple[int, int]
    orientation: int = 1


def read_jpeg(data: bytes, name: str = "the file") -> Jpeg:
    """Decode a JPEG to its own planes; nothing is enlarged, no colour converted.

    Raises:
        ValueError: It is no JPEG, broken, cut short, or of a kind that is not read: arithmetic
            codes, 12 bits, lossless, CMYK.
    """
    _check_kind(data, name)
    orientation = 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd but harmless metadata
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
                picture.load()  # Pillow is strict: a file that is cut short raises
                steps = picture.quantization  # type: ignore[attr-defined]  # a JPEG has it
                layers = picture.layer  # type: ignore[attr-defined]  # as above
                size = picture.size[::-1]
                with contextlib.suppress(Exception):  # with damaged EXIF it is a picture still
                    orientation = picture.getexif().get(ORIENTATION, 1)
                mode = picture.mode
                # Adobe's mark says so, where no JFIF header is there to say the opposite
                marked = picture.info.get("adobe_transform") == 0 and "jfif" not in picture.info
    except UnidentifiedImageError as error:
        msg = f"{name}: cannot be read as a JPEG: its header is broken"
        raise ValueError(msg) from error
    except _BROKEN as error:
        msg = f"{name}: cannot be read as a JPEG: {error}"
        raise ValueError(msg) from error
    plain = [layer[0] for layer in layers] == [*b"RGB"] or (marked and len(layers) == 3)
    if mode not in ("L", "RGB") or plain:
        kind = "CMYK" if mode == "CMYK" else "stored as R, G and B"
        msg = (
            f"{name}: is {kind}, where grey and YCbCr are read; convert it to RGB and save it again"
        )
        raise ValueError(msg)
    tables = tuple(np.array(steps[layer[3]], np.int64).reshape(BLOCK, BLOCK) for layer in layers)
    if min(table.min() for table in tables) < 1:
        msg = f"{name}: cannot be read as a JPEG: it has a step of 0"
        raise ValueError(msg)
    return Jpeg(_planes(data, len(layers), name), tables, (size[0], size[1]), orientation)


def as_jpeg(picture: UInt8[np.ndarray, "h w *c"], quality: int, **options: Any) -> bytes:
    r"""Compress a picture, or a grey one of shape (h, w), as Pillow does.

    ``subsampling=2`` is 4:2:0. What the original experiment undid, and Twitter did to a picture of
    higher quality, is ``quality=85, subsampling=2, progressive=True``.

    >>> as_jpeg(np.zeros((8, 8, 3), np.uint8), 85)[:2]
    b'\xff\xd8'
    """
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def _planes(data: bytes, many: int, name: str) -> tuple[np.ndarray, ...]:
    decoder = av.CodecContext.create("mjpeg", "r")
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
        planes = frames[0].planes[:many]
    except (av.error.FFmpegError, IndexError) as error:
        msg = f"{name}: cannot be read as a JPEG: {error}"
        raise ValueError(msg) from error
    rows = [np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size) for p in planes]
    return tuple(r[: p.height, : p.width].copy() for r, p in zip(rows, planes, strict=True))


def _check_kind(data: bytes, name: str) -> None:
    """Raise ValueError where the header of a frame is of a kind that is not read."""
    if not data.startswith(b"\xff\xd8"):
        found = f"begins with {data[:4].hex(' ')}" if data else "is empty"
        msg = f"{name}: is not a JPEG file, it {found}; only those can be cleaned"
        raise ValueError(msg)
    at = 2
    while at >= 0 and at + 9 < len(data):
        if data[at] != 0xFF:  # stray bytes are passed over, as libjpeg does
            at = data.find(b"\xff", at)
            continue
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES and marker not in _NO_FRAMES:
            bits = data[at + 4]
            if marker in _READ and bits == 8:
                return
            kind = "of arithmetic codes" if marker in _ARITHMETIC else "lossless or hierarchical"
            kind = f"of {bits} bits a sample" if marker in _READ else kind
            msg = (
                f"{name}: is a JPEG {kind}, where 8 bits, baseline or progressive, are read; "
                "decode it elsewhere and save it as one of those"
            )
            raise ValueError(msg)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    msg = f"{name}: cannot be read as a JPEG: it has no header of a frame"
    raise ValueError(msg)


def _cosines() -> Float[np.ndarray, "8 8"]:
    k, x = np.mgrid[:BLOCK, :BLOCK]
    waves = np.cos(np.pi * k * (2 * x + 1) / (2 * BLOCK)) / 2
    waves[0] /= np.sqrt(2)
    return waves.astype(np.float32)


_DCT = _cosines()  # orthonormal, as JPEG's is


def blocked(plane: Num[np.ndarray, "h w"]) -> Float[np.ndarray, "n m 8 8"]:
    """Return the whole blocks of a plane."""
    n, m = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    whole = plane[: n * BLOCK, : m * BLOCK].astype(np.float32)
    return whole.reshape(n, BLOCK, m, BLOCK).swapaxes(1, 2)


def coefficients(blocks: Float[np.ndarray, "*n 8 8"]) -> Float[np.ndarray, "*n 8 8"]:
    """Return the DCT of blocks in 0 to 255, by vertical and horizontal frequency.

    >>> float(coefficients(np.full((8, 8), 129, np.float32))[0, 0].round(4))
    8.0
    """
    return _DCT @ (blocks - 128) @ _DCT.T


def pixels(found: Float[np.ndarray, "*n 8 8"]) -> Float[np.ndarray, "*n 8 8"]:
    """Return blocks of coefficients as pixels, neither rounded nor clipped."""
    return _DCT.T @ found @ _DCT + 128


class Bins(NamedTuple):
    """What a file says of the whole blocks of a plane.

    Attributes:
        centres: The coefficients as stored: whole numbers of steps, in pixel units.
        known: Of which blocks they were found.
        table: The steps.
    """

    centres: Float[np.ndarray, "n m 8 8"]
    known: Bool[np.ndarray, "n m"]
    table: Int[np.ndarray, "8 8"]


def bins(plane: UInt8[np.ndarray, "h w"], table: Int[np.ndarray, "8 8"]) -> Bins:
    """Find the coefficients that a file stores from what it decodes to.

    Rounding to 8 bits moves coefficients by less than half a step. Clipping may move them by more:
    samples that were clipped are then put where the coefficients say, which brings those nearer
    to what they were, and again. A block is known when its coefficients decode to its samples. Of
    Kodak pictures that are 99.9 % of the blocks, of black text on white 85 to 99 %.

    >>> found = bins(np.full((8, 16), 100, np.uint8), np.full((8, 8), 16))
    >>> found.centres[0, :, 0, 0].tolist(), found.known.tolist()
    ([-224.0, -224.0], [[True, True]])
    """
    blocks = blocked(plane)
    centres = _nearest(blocks, table)
    again = ((blocks == 0) | (blocks == 255)).any((2, 3))
    those = blocks[again]
    for _ in range(_ROUNDS if those.size else 0):
        said = pixels(centres[again])
        beyond = np.where(
            those == 255, np.maximum(said, 255), np.where(those == 0, np.minimum(said, 0), those)
        )
        centres[again] = _nearest(beyond, table)
    off = np.abs(np.clip(pixels(centres), 0, 255) - blocks)
    return Bins(centres, np.asarray((off <= _OFF).all((2, 3))), table)


def _nearest(blocks: Float[np.ndarray, "*n 8 8"], table: Int[np.ndarray, "8 8"]) -> np.ndarray:
    return (np.rint(coefficients(blocks) / table) * table).astype(np.float32)


def project(plane: Float[np.ndarray, "h w"], said: Bins) -> Float[np.ndarray, "h w"]:
    """Return the nearest plane whose known blocks a file may have been made from.

    Each coefficient is clipped to what rounds to the file's: its bin, a twentieth wider. Blocks
    that the border cuts stay as they are: what the file says beyond the border is not known.

    >>> said = bins(np.full((8, 8), 100, np.uint8), np.full((8, 8), 16))
    >>> round(float(project(np.full((8, 8), 140, np.float32), said)[0, 0]), 2)
    101.1
    """
    result = np.array(plane, np.float32)
    half = (0.5 + _SLACK) * said.table.astype(np.float32)
    blocks = blocked(result)
    near = pixels(np.clip(coefficients(blocks), said.centres - half, said.centres + half))
    inside = np.where(said.known[..., None, None], near, blocks).swapaxes(1, 2)
    n, m = said.known.shape
    result[: n * BLOCK, : m * BLOCK] = inside.reshape(n * BLOCK, m * BLOCK)
    return result


def unrounded(plane: UInt8[np.ndarray, "h w"], said: Bins) -> Float[np.ndarray, "h w"]:
    """Return a decoded plane before it was rounded and clipped, where its blocks are known."""
    result = plane.astype(np.float32)
    inside = np.where(said.known[..., None, None], pixels(said.centres), blocked(plane))
    n, m = said.known.shape
    result[: n * BLOCK, : m * BLOCK] = inside.swapaxes(1, 2).reshape(n * BLOCK, m * BLOCK)
    return result


def flat(decoded: UInt8[np.ndarray, "h w"]) -> np.ndarray:
    """Return, for every pixel, whether its block and the eight about it have one value each."""
    h, w = decoded.shape
    n, m = -(-h // BLOCK), -(-w // BLOCK)
    whole = np.pad(decoded, ((0, n * BLOCK - h), (0, m * BLOCK - w)), mode="edge")
    blocks = whole.reshape(n, BLOCK, m, BLOCK)
    even = np.pad(blocks.max((1, 3)) == blocks.min((1, 3)), 1, constant_values=True)
    about = np.all([even[i : i + n, j : j + m] for i in range(3) for j in range(3)], axis=0)
    return np.repeat(np.repeat(about, BLOCK, 0), BLOCK, 1)[:h, :w]
