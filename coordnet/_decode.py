"""Files to pixels: what Pillow reads, upright and at the depth that the file holds."""

import contextlib
import dataclasses
import math
import re
import struct
import sys
from collections.abc import Callable
from io import BufferedIOBase
from typing import IO, Any, cast

import numpy as np
from PIL import Image, ImageFile

from ._pnm import decode_pnm, is_pnm

# These are programs and drawings; Pillow runs Ghostscript or Windows to paint them.
_NOT_PIXELS = {"EPS", "WMF"}

ORIENTATION, _BITS, _PHOTOMETRIC, _PLANES = 274, 258, 262, 284
# What a TIFF says about its subject; its other tags describe the file that holds it.
_TIFF_EXIF = (270, 271, 272, 305, 306, 315, 316, 33432, 34665, 34853)

#: What turns a stored picture upright, by its EXIF orientation.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}

# Raw modes of 16 bits that Pillow cuts to 8 while it unpacks them.
_DEEP = re.compile(r"(RGB|RGBA|RGBX|RGBa|CMYK|LA);16([BLN])")


@dataclasses.dataclass(frozen=True)
class ImageInfo:
    r"""What a picture's file said beside its pixels.

    Attributes:
        bits: Bits of a sample: 1, 8, 12, 16 or, for float files, 32.
        mode: Pillow's name for the kind of picture in the file, such as ``"L"``, ``"P"``,
            ``"RGBA"``, ``"CMYK"``.
        icc_profile: The colour profile.
        dpi: Horizontal and vertical dots per inch of the upright picture.
        exif: The EXIF block, from its ``b"Exif\0\0"`` on, without the orientation, which
            reading has applied. ``None`` where it is missing or too damaged to read.

    >>> ImageInfo(bits=8, mode="RGB").dpi is None
    True
    """

    bits: int
    mode: str
    icc_profile: bytes | None = dataclasses.field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    exif: bytes | None = dataclasses.field(default=None, repr=False)


def decode(file: BufferedIOBase, max_pixels: int) -> tuple[np.ndarray, ImageInfo]:
    """Read the first picture of a seekable file.

    Returns:
        float32 ``(h, w, 1, 3 or 4)``, 1.0 for white, and what the file says beside. Float
        files come as stored, beyond [0, 1] and NaN included.

    Raises:
        Exception: of any class, as the decoders for some forty formats raise them. Warnings
            are theirs too. The caller makes one error of all of these.
    """
    start = file.read(3)
    if not start:
        message = "the file is empty"
        raise ValueError(message)
    if is_pnm(start):
        file.seek(0)
        image, bits, mode = decode_pnm(file, max_pixels)
        return image, ImageInfo(bits, mode)
    try:
        return _decode_pillow(file, max_pixels)
    except Image.DecompressionBombError as error:
        message = (
            f"declares more pixels than Pillow itself decodes in this format ({error}); "
            "if you trust the file, raise PIL.Image.MAX_IMAGE_PIXELS too"
        )
        raise ValueError(message) from error


def _decode_pillow(file: BufferedIOBase, max_pixels: int) -> tuple[np.ndarray, ImageInfo]:
    picture = _open(file)
    width, height = picture.size
    if width < 1 or height < 1:
        message = f"declares {width} x {height} pixels"
        raise ValueError(message)
    if width * height > max_pixels:
        message = (
            f"declares {width} x {height} pixels, more than max_pixels={max_pixels}; "
            "if you trust the file, pass a larger max_pixels="
        )
        raise ValueError(message)
    if picture.format in _NOT_PIXELS:
        message = f"is a drawing ({picture.format}), not pixels; export it as PNG first"
        raise ValueError(message)
    mode = picture.mode
    image, bits = _pixels(picture, file)
    orientation, info = _metadata(picture, bits, mode)
    return UPRIGHT.get(orientation, lambda image: image)(image), info


def _open(file: BufferedIOBase) -> ImageFile.ImageFile:
    """Open a file as ``Image.open`` does, but with no process-wide limit to its size.

    That limit is a global of Pillow's, the user's to set; ``max_pixels`` takes its place.
    """
    file.seek(0)
    prefix = file.read(16)
    reasons: list[str] = []
    tried: set[str] = set()
    for register in (Image.preinit, Image.init):  # the five common formats, then all
        register()
        for name in [name for name in Image.ID if name not in tried]:
            tried.add(name)
            factory, accepts = Image.OPEN[name]
            verdict = accepts is None or accepts(prefix)
            if not verdict or isinstance(verdict, str):
                continue
            file.seek(0)
            try:
                return factory(cast("IO[bytes]", file), "")
            except (SyntaxError, IndexError, TypeError, struct.error) as error:
                # Pillow's way of saying "not mine"; of interest if the prefix was its own
                if accepts is not None:
                    reasons.append(f"{name}: {error}")
    message = "not a picture of any known format"
    if reasons:
        message = f"broken, or of an unsupported kind ({'; '.join(reasons)})"
    raise ValueError(message)


def _tags(picture: ImageFile.ImageFile) -> Any:
    """Return the tags of a TIFF, nothing for another format."""
    return getattr(picture, "tag_v2", {})


def _pixels(picture: ImageFile.ImageFile, file: BufferedIOBase) -> tuple[np.ndarray, int]:
    """Decode an opened picture: float32 ``(h, w, c)`` and the bits of a sample."""
    tags = _tags(picture)
    if tags.get(_PLANES) == 2 and max(tags.get(_BITS, (8,))) == 16:
        message = "is a TIFF of 16 bits with its planes apart; save it with interleaved samples"
        raise ValueError(message)
    raw_mode = _raw_mode(picture)
    deep = _DEEP.fullmatch(raw_mode)
    if deep is not None:
        return _deep(picture, file, deep[1], deep[2]), 16
    if picture.mode.startswith("I;16"):
        return _grey16(picture)
    if picture.mode == "F":
        return np.asarray(picture, np.float32)[..., None], 32
    if picture.mode == "I":
        message = (
            "holds signed or 32-bit integers, of which no value is white; scale them to [0, 1] "
            "and pass the array"
        )
        raise ValueError(message)
    if raw_mode in ("L;2", "L;4") and "transparency" in picture.info:
        # Pillow widens the pixels to 8 bits, the grey that a PNG names transparent it does not
        picture.info["transparency"] *= 255 // (2 ** int(raw_mode[-1]) - 1)
    return shallow(picture)


def _raw_mode(picture: ImageFile.ImageFile) -> str:
    """Return how the samples lie in the file, in Pillow's words; empty where it does not say."""
    args = picture.tile[0].args if picture.tile else None
    return str(args[0] if isinstance(args, tuple) and args else args or "")


def shallow(picture: Image.Image) -> tuple[np.ndarray, int]:
    """Return the samples ``(h, w, c)`` of a Pillow image of at most 8 bits, and these bits."""
    picture.load()
    bits = 1 if picture.mode == "1" else 8
    grey = "L" if picture.mode in ("1", "L") else "RGB"
    mode = "RGBA" if picture.has_transparency_data else grey
    converted = picture if picture.mode == mode else picture.convert(mode)
    samples = np.asarray(converted)
    samples = samples[..., None] if samples.ndim == 2 else samples
    return np.divide(samples, np.float32(255), dtype=np.float32), bits


def _grey16(picture: ImageFile.ImageFile) -> tuple[np.ndarray, int]:
    """Decode grey of 9 to 16 bits, with the one transparent value that a PNG may name."""
    tags = _tags(picture)
    bits = max(tags.get(_BITS, (16,)))
    samples = np.asarray(picture)
    grey = np.divide(samples, np.float32(2**bits - 1), dtype=np.float32)[..., None]
    if tags.get(_PHOTOMETRIC) == 0:  # 0 is white, which Pillow heeds up to 8 bits only
        grey = 1 - grey
    transparent = picture.info.get("transparency")
    if transparent is None:
        return grey, bits
    return _with_alpha(grey, samples != transparent), bits


def _with_alpha(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    height, width, _ = colour.shape
    rgb = np.broadcast_to(colour, (height, width, 3))
    return np.concatenate([rgb, alpha[..., None]], axis=-1, dtype=np.float32)


def _deep(picture: ImageFile.ImageFile, file: BufferedIOBase, kind: str, order: str) -> np.ndarray:
    """Decode 16-bit colour, which Pillow cuts to 8 bits.

    Pillow unpacks ``RGB;16B`` by taking the first byte of each sample and ``RGB;16L`` by
    taking the second. So the file is decoded twice, once for each half of its samples.
    """
    if kind == "LA":  # there is but one raw mode; four bytes are as good as two samples
        quadruples = np.ascontiguousarray(_unpacked(picture, "RGBA"))
        samples = quadruples.view(">u2")
    else:
        raw = "RGBA" if kind == "RGBa" else kind
        little = order == "L" or (order == "N" and sys.byteorder == "little")
        first = _unpacked(picture, f"{raw};16B")
        second = _unpacked(_open(file), f"{raw};16L")
        high, low = (second, first) if little else (first, second)
        samples = high.astype(np.uint16) << 8 | low
    image = np.divide(samples, np.float32(65535), dtype=np.float32)
    transparent = picture.info.get("transparency")
    if kind == "LA":
        return _with_alpha(image[..., :1], image[..., 1])
    if kind == "CMYK":
        return (1 - image[..., :3]) * (1 - image[..., 3:])
    if kind == "RGBa":
        image[..., :3] /= np.maximum(image[..., 3:], np.float32(1 / 65535))
        return np.minimum(image, 1)
    if transparent is not None:
        return _with_alpha(image, (samples != transparent).any(axis=-1))
    return image


def _unpacked(picture: ImageFile.ImageFile, raw_mode: str) -> np.ndarray:
    """Decode a picture with another of Pillow's raw modes."""
    picture.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in picture.tile
    ]
    return np.asarray(picture)


def _metadata(picture: ImageFile.ImageFile, bits: int, mode: str) -> tuple[int, ImageInfo]:
    """Return the orientation still to be applied, and what the file says beside its pixels."""
    orientation, exif = 1, None
    # a picture whose EXIF is damaged is a picture still
    with contextlib.suppress(Exception):
        found = picture.getexif()
        orientation = found.get(ORIENTATION, 1)
        if found:
            exif = _exif_bytes(picture, found)
    dpi = _dpi(picture.info.get("dpi"))
    if dpi and orientation in (5, 6, 7, 8):
        dpi = dpi[1], dpi[0]
    profile = picture.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) and profile else None
    return orientation, ImageInfo(bits, mode, profile, dpi, exif)


def _exif_bytes(picture: ImageFile.ImageFile, found: Image.Exif) -> bytes | None:
    if picture.format == "TIFF":
        kept = Image.Exif()
        for tag in _TIFF_EXIF:
            value = found.get_ifd(tag) if tag in (34665, 34853) else found.get(tag)
            if value:
                kept[tag] = value
    elif ORIENTATION in found:
        kept = found
        del kept[ORIENTATION]
    elif "exif" in picture.info:
        block = picture.info["exif"]
        return block if block.startswith(b"Exif\0\0") else b"Exif\0\0" + block
    else:
        kept = found
    return kept.tobytes() if kept else None


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(v) for v in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if all(math.isfinite(v) and v > 0 for v in (x, y)) else None
