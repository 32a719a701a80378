"""Pictures kept exactly: what serves flat colour, drawings and noise better than a network."""

import lzma
import zlib

import numpy as np
from jaxtyping import UInt8

from .._files import FormatError

# What is subtracted from a sample before it is coded: bits of the first byte of the body.
_UP, _LEFT, _GREEN = 1, 2, 4
_RAW = 8  # nothing is, and nothing is coded
_GUESSED = 2**17  # samples on which the ways are compared
_DICTIONARY = 2**24  # bytes that the decoder must remember


def encode(samples: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Return the shortest of eight ways to say a picture exactly.

    >>> samples = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    >>> (decode(encode(samples), samples.shape) == samples).all()
    np.True_
    """
    planes = np.moveaxis(samples, 2, 0)
    rows = max(1, _GUESSED // planes[:, 0].size)
    top = (planes.shape[1] - rows) // 2 if rows < planes.shape[1] else 0
    part = planes[:, top : top + rows]
    greens = (0, _GREEN) if len(planes) >= 3 else (0,)
    ways = [way | green for way in range(_GREEN) for green in greens]
    way = min(ways, key=lambda way: len(zlib.compress(_subtracted(part, way).tobytes(), 6)))
    coded = lzma.compress(
        _subtracted(planes, way).tobytes(), lzma.FORMAT_RAW, filters=_filters(planes.size)
    )
    if len(coded) < planes.size:
        return bytes([way]) + coded
    return bytes([_RAW]) + planes.tobytes()


def decode(body: bytes, shape: tuple[int, int, int]) -> UInt8[np.ndarray, "h w c"]:
    """Return the picture of :func:`encode`.

    Raises:
        FormatError: The bytes are no such picture of that shape.
    """
    height, width, channels = shape
    size = height * width * channels
    way, coded = body[0] if body else -1, body[1:]
    if way == _RAW:
        data = coded
    elif 0 <= way < _RAW and not (way & _GREEN and channels < 3):
        data = _unpacked(coded, size)
    else:
        msg = f"the .cnet file keeps its picture in a way {way} that is not known"
        raise FormatError(msg)
    if len(data) != size:
        msg = f"the .cnet file holds {len(data):,} samples of a picture that has {size:,}"
        raise FormatError(msg)
    planes = np.frombuffer(data, np.uint8).reshape(channels, height, width).copy()
    if way != _RAW:
        # sums wrap at 256, as the differences did
        if way & _LEFT:
            np.cumsum(planes, axis=2, dtype=np.uint8, out=planes)
        if way & _UP:
            np.cumsum(planes, axis=1, dtype=np.uint8, out=planes)
        if way & _GREEN:
            planes[0] += planes[1]
            planes[2] += planes[1]
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2))


def _subtracted(planes: UInt8[np.ndarray, "c h w"], way: int) -> UInt8[np.ndarray, "c h w"]:
    out = planes.copy()
    if way & _GREEN:
        out[0] -= planes[1]
        out[2] -= planes[1]
    if way & _UP:
        out[:, 1:] -= out[:, :-1].copy()
    if way & _LEFT:
        out[:, :, 1:] -= out[:, :, :-1].copy()
    return out


def _filters(size: int) -> list[dict[str, int]]:
    # 4 KiB is the least that liblzma takes; a small picture needs no large window
    window = min(_DICTIONARY, max(2**12, 1 << (size - 1).bit_length()))
    return [{"id": lzma.FILTER_LZMA1, "dict_size": window, "lc": 0, "lp": 0, "pb": 0, "preset": 9}]


def _unpacked(coded: bytes, size: int) -> bytes:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(size))
    try:
        data = decoder.decompress(coded, max_length=size)
        longer = not decoder.eof and decoder.decompress(b"", max_length=1)
    except lzma.LZMAError as error:
        msg = f"the .cnet file is damaged: {error}"
        raise FormatError(msg) from error
    if longer or decoder.unused_data:
        msg = "the .cnet file goes on after its picture"
        raise FormatError(msg)
    return data
