"""Netpbm's formats, PBM PGM PPM PFM, from and to bytes.

Pillow reads most of them, but colour at 8 bits only and colour PFM not at all.
"""

import math
import re
from io import BufferedIOBase

import numpy as np

_HEADER = 64 * 1024  # bytes in which a header, comments included, must end
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_TOKEN = rb"([^\s#]+)"
_SIZE = re.compile(rb"P([1-6fF])" + _GAP + _TOKEN + _GAP + _TOKEN)
_SCALE = re.compile(_GAP + _TOKEN)
_MODES = {"1": "1", "4": "1", "2": "L", "5": "L", "3": "RGB", "6": "RGB", "f": "F", "F": "RGB"}


def is_pnm(prefix: bytes) -> bool:
    """Say whether a file that begins with ``prefix`` is one of the formats of this module."""
    return re.match(rb"P[1-6fF][\s#]", prefix) is not None


def decode_pnm(file: BufferedIOBase, max_pixels: int) -> tuple[np.ndarray, int, str]:
    """Read a picture from the start of a seekable file.

    Returns:
        float32 ``(h, w, 1 or 3)``, 1.0 for white; the bits of a sample, 1, 8, 16 or, for
        PFM, 32; and the name of the kind of picture: ``"1"``, ``"L"``, ``"RGB"``, ``"F"``.
        PFM samples are as stored, beyond [0, 1] and NaN included.

    Raises:
        ValueError: the file is broken, cut short, or larger than ``max_pixels``.
    """
    head = file.read(_HEADER)
    match = _SIZE.match(head)
    if match is None:
        message = "the PNM header is broken: expected a width and a height"
        raise ValueError(message)
    kind = match[1].decode()
    width, height = (_whole_number(match[i], "a width and a height") for i in (2, 3))
    if width * height > max_pixels:
        message = (
            f"declares {width} x {height} pixels, more than max_pixels={max_pixels}; "
            "if you trust the file, pass a larger max_pixels="
        )
        raise ValueError(message)
    scale, end = b"1", match.end()
    if kind not in "14":
        match = _SCALE.match(head, end)
        if match is None:
            message = "the PNM header is broken: expected the value of white"
            raise ValueError(message)
        scale, end = match[1], match.end()
    file.seek(end + 1)  # one white space ends the header
    channels = 3 if kind in "36F" else 1
    mode = _MODES[kind]
    if kind in "fF":
        return _floats(file, (height, width, channels), scale), 32, mode
    white = _whole_number(scale, "a value of white from 1 to 65535")
    if white > 65535:
        message = f"the PNM header is broken: white is {white}, expected 1 to 65535"
        raise ValueError(message)
    readers = {"1": _plain_bits, "2": _plain, "3": _plain, "4": _packed}
    samples = readers.get(kind, _binary)(file, (height, width, channels), white)
    if samples.max() > white:
        message = f"holds a sample of {samples.max()}, above the declared white, {white}"
        raise ValueError(message)
    if mode == "1":
        samples = 1 - samples  # 1 is black in a bitmap
    bits = 1 if mode == "1" else 8 if white < 256 else 16
    return samples.astype(np.float32) / np.float32(white), bits, mode


def _whole_number(token: bytes, expected: str) -> int:
    if not re.fullmatch(rb"[0-9]{1,9}", token) or int(token) == 0:
        message = f"the PNM header is broken: expected {expected}, got {token[:20]!r}"
        raise ValueError(message)
    return int(token)


def _read(file: BufferedIOBase, count: int) -> bytes:
    """Read ``count`` bytes, none of them allocated when the file has fewer."""
    start = file.tell()
    available = file.seek(0, 2) - start
    if available < count:
        message = f"is cut short: its pixels take {count} bytes and {max(available, 0)} are there"
        raise ValueError(message)
    file.seek(start)
    return file.read(count)


def _floats(file: BufferedIOBase, shape: tuple[int, int, int], scale: bytes) -> np.ndarray:
    try:
        factor = float(scale)
    except ValueError:
        factor = 0.0
    if factor == 0 or not np.isfinite(factor):
        message = f"the PFM header is broken: expected a scale other than 0, got {scale[:20]!r}"
        raise ValueError(message)
    height, width, channels = shape
    # the sign tells the byte order; the magnitude is a physical unit, not applied to samples
    order = "<f4" if factor < 0 else ">f4"
    data = _read(file, 4 * height * width * channels)
    return np.frombuffer(data, order).reshape(shape)[::-1].astype(np.float32)  # bottom row first


def _binary(file: BufferedIOBase, shape: tuple[int, int, int], white: int) -> np.ndarray:
    dtype = np.dtype(">u2" if white > 255 else "u1")
    height, width, channels = shape
    data = _read(file, dtype.itemsize * height * width * channels)
    return np.frombuffer(data, dtype).reshape(shape)


def _packed(file: BufferedIOBase, shape: tuple[int, int, int], white: int) -> np.ndarray:
    height, width, _ = shape
    stride = (width + 7) // 8  # rows are padded to whole bytes
    rows = np.frombuffer(_read(file, stride * height), np.uint8).reshape(height, stride)
    return np.unpackbits(rows, axis=1, count=width)[..., None]


def _plain_bits(file: BufferedIOBase, shape: tuple[int, int, int], white: int) -> np.ndarray:
    digits = b"".join(_plain_text(file).split())  # they may stand without spaces between them
    bits = np.frombuffer(digits, np.uint8)[: math.prod(shape)] - np.uint8(ord("0"))
    return _as_picture(bits, shape)


def _plain(file: BufferedIOBase, shape: tuple[int, int, int], white: int) -> np.ndarray:
    try:
        samples = np.fromstring(_plain_text(file), np.int64, sep=" ")
    except ValueError as error:
        message = "holds a sample that is no whole number"
        raise ValueError(message) from error
    return _as_picture(samples[: math.prod(shape)], shape)


def _plain_text(file: BufferedIOBase) -> bytes:
    return re.sub(rb"#[^\r\n]*", b"", file.read())


def _as_picture(samples: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    if samples.size < math.prod(shape):
        message = f"is cut short: expected {math.prod(shape)} samples, read {samples.size}"
        raise ValueError(message)
    if samples.min() < 0:
        message = f"holds a sample of {samples.min()}, below 0"
        raise ValueError(message)
    return samples.reshape(shape)


def encode_pnm(samples: np.ndarray) -> bytes:
    """Write uint8 or uint16 ``(h, w, 1 or 3)`` as binary PGM or PPM."""
    height, width, channels = samples.shape
    magic = "P5" if channels == 1 else "P6"
    white = np.iinfo(samples.dtype).max
    order = ">u2" if samples.dtype == np.uint16 else "u1"
    return f"{magic}\n{width} {height}\n{white}\n".encode() + samples.astype(order).tobytes()
