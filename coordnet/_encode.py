"""Pixels to files: Pillow's encoders, and PNG and TIFF of 16 bits, which it lacks."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from ._decode import ImageInfo
from ._pnm import encode_pnm

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WebP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PNM",
    ".pgm": "PNM",
    ".pnm": "PNM",
}
WITH_ALPHA = ("PNG", "TIFF", "WebP")
WITH_16_BITS = ("PNG", "TIFF", "PNM")
WITH_QUALITY = ("JPEG", "WebP")

_DEFLATE = 8


def encode(samples: np.ndarray, kind: str, info: ImageInfo, quality: int) -> bytes:
    """Encode uint8 or uint16 ``(h, w, 1, 3 or 4)`` as a file of one of the ``FORMATS``.

    What ``info`` holds and the format can hold is written too. The caller has checked that
    the format can hold the samples.
    """
    profile = profile_of(info, samples.shape[2])
    if kind == "PNM":
        return encode_pnm(samples)
    if kind == "TIFF":
        return _tiff(samples, info, profile)
    if samples.dtype == np.uint16:
        return _png16(samples, info, profile)
    options: dict[str, Any] = {"icc_profile": profile, "dpi": info.dpi, "exif": info.exif}
    options = {name: value for name, value in options.items() if value is not None}
    if kind in WITH_QUALITY:
        options["quality"] = quality
    if kind == "JPEG":
        # colour at full resolution where little loss is asked for, halved as usual below
        options["subsampling"] = "4:4:4" if quality >= 90 else "4:2:0"
    file = io.BytesIO()
    pixels = samples[..., 0] if samples.shape[2] == 1 else samples
    Image.fromarray(pixels).save(file, format=kind, **options)
    return file.getvalue()


def profile_of(info: ImageInfo, channels: int) -> bytes | None:
    """Return the colour profile if it is one of such samples: that of a CMYK file is not."""
    wanted = b"GRAY" if channels == 1 else b"RGB "
    profile = info.icc_profile
    return profile if profile is not None and profile[16:20] == wanted else None


def _png16(samples: np.ndarray, info: ImageInfo, profile: bytes | None) -> bytes:
    height, width, channels = samples.shape
    colour_type = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.ascontiguousarray(samples, ">u2").view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 1  # each row's filter: bytes are differences to the pixel at the left
    filtered[:, 1:] = rows
    step = 2 * channels
    filtered[:, 1 + step :] -= rows[:, :-step]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))]
    if profile is not None:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)))
    if info.dpi is not None:
        dots_per_metre = [round(dpi / 0.0254) for dpi in info.dpi]
        chunks.append((b"pHYs", struct.pack(">IIB", *dots_per_metre, 1)))
    if info.exif is not None:
        chunks.append((b"eXIf", info.exif.removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _tiff(samples: np.ndarray, info: ImageInfo, profile: bytes | None) -> bytes:
    """Write one strip, deflated after taking differences along the rows."""
    height, width, channels = samples.shape
    little = samples.astype(samples.dtype.newbyteorder("<"))
    differences = little.copy()
    differences[:, 1:] -= little[:, :-1]
    strip = zlib.compress(differences.tobytes())
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    if info.exif is not None:
        exif = Image.Exif()
        exif.load(info.exif)
        for tag, value in exif.items():
            tags[tag] = exif.get_ifd(tag) if tag in (34665, 34853) else value
    if info.dpi is not None:
        tags[282], tags[283] = info.dpi
        tags[296] = 2  # inches
    if profile is not None:
        tags[34675] = profile
    tags[256], tags[257] = width, height
    tags[258] = (samples.dtype.itemsize * 8,) * channels
    tags[259] = _DEFLATE
    tags[262] = 1 if channels == 1 else 2  # black is zero; RGB
    tags[273], tags[278], tags[279] = 0, height, len(strip)  # Pillow counts 273 from the tags' end
    tags[277] = channels
    tags[317] = 2  # differences along the rows
    if channels == 4:
        tags[338] = 2  # the fourth is alpha, not multiplied into the colours
    file = io.BytesIO()
    tags.save(file)
    file.write(strip)
    return file.getvalue()
