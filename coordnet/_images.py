"""Pictures from files and into files.

An image is ``float32 (height, width, channels)`` with values in [0, 1], sRGB as stored;
channels are 1 (grey), 3 (RGB) or 4 (RGBA).
"""

import io
import math
import os
import warnings
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, overload, runtime_checkable

import numpy as np
import numpy.typing as npt
from jaxtyping import Float32

from ._area import downscale_area, fitted_size, scaled_size
from ._color import check_image
from ._coords import Window
from ._decode import ImageInfo, decode
from ._encode import FORMATS, WITH_16_BITS, WITH_ALPHA, WITH_QUALITY, encode
from ._files import atomic_path

__all__ = ["ImageInfo", "downscale_area", "read_image", "write_image"]

Image: TypeAlias = Float32[np.ndarray, "h w c"]
MAX_PIXELS = 2**28  # 16384 x 16384, 3.2 GB as RGB image

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R BT.601, as in JPEG and Pillow
_SLACK = 1e-6  # what float arithmetic may leave outside [0, 1]


@runtime_checkable
class _Array(Protocol):
    """What numpy makes an array of: its own arrays, those of JAX and of others."""

    def __array__(self) -> Any: ...


@runtime_checkable
class _File(Protocol):
    """An open binary file, or what reads like one."""

    def read(self) -> bytes: ...


ImageSource: TypeAlias = str | os.PathLike[str] | bytes | _File | _Array


@overload
def read_image(
    source: ImageSource,
    *,
    info: Literal[False] = ...,
    grey: bool = ...,
    crop: tuple[int, int, int, int] | None = ...,
    downscale: float | int | None = ...,
    max_side: int | None = ...,
    clip: bool = ...,
    max_pixels: int = ...,
) -> Image: ...
@overload
def read_image(
    source: ImageSource,
    *,
    info: Literal[True],
    grey: bool = ...,
    crop: tuple[int, int, int, int] | None = ...,
    downscale: float | int | None = ...,
    max_side: int | None = ...,
    clip: bool = ...,
    max_pixels: int = ...,
) -> tuple[Image, ImageInfo]: ...
def read_image(
    source: ImageSource,
    *,
    info: bool = False,
    grey: bool = False,
    crop: tuple[int, int, int, int] | None = None,
    downscale: float | int | None = None,
    max_side: int | None = None,
    clip: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Image | tuple[Image, ImageInfo]:
    """Read a picture of any common kind as float32 ``(h, w, c)`` in [0, 1].

    PNG, JPEG, WebP, TIFF, BMP, PBM/PGM/PPM/PFM, the first frame of a GIF or APNG, and what
    else Pillow reads. 16 bits stay 16 bits in PNG, TIFF and PNM. The picture comes upright:
    an EXIF orientation is applied. c is 1 for grey, 3 for colour (palettes and CMYK too),
    4 with transparency (grey is spread to RGB then). Samples are as stored: no gamma and no
    colour profile is applied, save for Lab, which becomes sRGB.

    Args:
        source: A path, an open binary file (read from where it stands), the bytes of a
            file, or an array: uint8, uint16, bool, or floating point in [0, 1], of shape
            ``(h, w)`` or ``(h, w, c)``, where 2 channels are grey and alpha.
        info: Also return an ``ImageInfo``, which ``write_image`` can put back.
        grey: Return one channel, the luma of ITU-R BT.601. Transparent parts are laid on
            white.
        crop: ``(top, left, height, width)`` in pixels of the upright picture.
        downscale: Divide both sides by this number, 1 or more; then each side is rounded to
            whole pixels. Done after ``crop``, as ``downscale_area`` does it.
        max_side: Reduce the picture, in the same manner, until its longer side has at most
            this many pixels. It never enlarges.
        clip: Clip floating point samples to [0, 1] instead of refusing them.
        max_pixels: Refuse files that declare more pixels, before any is allocated.

    Returns:
        A new C-contiguous array, or ``(array, ImageInfo)`` with ``info=True``.

    Raises:
        ValueError: The file is broken, cut short, too large or of an unsupported kind; an
            option or an array has a wrong value. Floating point samples outside [0, 1] (a
            TIFF or PFM of high dynamic range, say) are refused without ``clip``, for only
            you know their white; NaN always.
        OSError: The file is missing or cannot be read.
        TypeError: ``source`` is none of the above.

    >>> import numpy as np
    >>> read_image(np.array([[0, 51, 255]], np.uint8)).ravel().tolist()
    [0.0, 0.20000000298023224, 1.0]
    >>> read_image(b"P5 4 2 255 " + bytes(8), max_side=2).shape
    (1, 2, 1)
    """
    _check_reduction(downscale, max_side)
    image, found = _load(source, max_pixels)
    if found.bits == 32:
        image = _in_range(image, _name(source), clip)
    if crop is not None:
        image = _crop(image, crop)
    if grey:
        image = _to_grey(image)
    size = image.shape[:2]
    smaller = fitted_size(size, max_side) if max_side else scaled_size(size, 1 / (downscale or 1))
    if smaller != size:
        image = downscale_area(image, smaller)
    image = np.ascontiguousarray(image)
    return (image, found) if info else image


def write_image(
    path: str | os.PathLike[str],
    image: npt.ArrayLike,
    *,
    bits: Literal[8, 16] = 8,
    info: ImageInfo | None = None,
    quality: int | None = None,
) -> None:
    """Write an image to a file whose extension names the format, whole or not at all.

    PNG, TIFF (deflated), PPM/PGM/PNM and BMP keep every sample; JPEG and WebP lose some.
    Values are clipped to [0, 1] once and rounded once. The file appears when it is complete.
    A failure leaves the file that was there.

    Args:
        path: Where to; ``.png .jpg .jpeg .webp .tif .tiff .bmp .ppm .pgm .pnm``.
        image: Floating point, ``(h, w, 1)`` grey, ``(h, w, 3)`` RGB or ``(h, w, 4)`` RGBA;
            alpha goes into PNG, TIFF and WebP. WebP has no grey: it becomes RGB.
        bits: Of a sample, 8 or 16; 16 in PNG, TIFF and PNM.
        info: Colour profile, DPI and EXIF to write, as far as the format holds them. A
            profile that does not fit the channels (CMYK, say) is left out.
        quality: Of JPEG and WebP, 1 to 100, 95 when missing. A JPEG of 90 or more keeps its
            colours at full resolution.

    Raises:
        ValueError: Wrong extension, image, bits or quality, or the format cannot hold what
            was asked for.
        TypeError: ``image`` is not an array of floating point numbers.
        OSError: The file cannot be written.

    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/a.png", np.full((1, 2, 3), 0.25, np.float32), bits=16)
    ...     image, info = read_image(f"{folder}/a.png", info=True)
    >>> (image * 65535).ravel()[:3].tolist(), info.bits
    ([16384.0, 16384.0, 16384.0], 16)
    """
    array = check_image(image)
    kind = check_kind(path, array.shape[2], bits)
    if quality is not None and (kind not in WITH_QUALITY or not 1 <= quality <= 100):
        message = f"quality={quality} for {path}; it is 1 to 100, for {' and '.join(WITH_QUALITY)}"
        raise ValueError(message)
    white = 2**bits - 1
    samples = np.rint(np.clip(array, 0, 1) * white).astype(np.uint8 if bits == 8 else np.uint16)
    try:
        data = encode(samples, kind, info or ImageInfo(bits, ""), quality or 95)
    except Exception as error:  # Pillow's encoders raise many classes
        message = f"{path}: cannot be written as {kind}: {error}"
        raise ValueError(message) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _name(source: ImageSource) -> str:
    """Return what to call a source in an error."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    if isinstance(source, _Array):
        return "the array"
    return f"file {getattr(source, 'name', type(source).__name__)}"


def _load(source: ImageSource, max_pixels: int) -> tuple[np.ndarray, ImageInfo]:
    """Read any source as float32 ``(h, w, 1, 3 or 4)``, of any range if it is floating point."""
    name = _name(source)
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            return _decode(file, name, max_pixels)
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), name, max_pixels)
    if isinstance(source, _Array):
        return _from_array(np.asarray(source))
    if not isinstance(source, _File):
        message = f"source must be a path, a file, bytes or an array, got {type(source).__name__}"
        raise TypeError(message)
    data = source.read()
    if not isinstance(data, bytes):
        message = f"{name}: gives text; open it with mode 'rb'"
        raise TypeError(message)
    return _decode(io.BytesIO(data), name, max_pixels)


def _decode(file: io.BufferedIOBase, name: str, max_pixels: int) -> tuple[np.ndarray, ImageInfo]:
    try:
        if not file.seekable():  # a pipe
            file = io.BytesIO(file.read())
        with warnings.catch_warnings():
            # of odd but harmless metadata, which we either read or drop
            warnings.simplefilter("ignore")
            return decode(file, max_pixels)
    except Exception as error:  # forty decoders meet broken files with every class there is
        reason = str(error) or type(error).__name__
        message = f"{name}: cannot be read as a picture: {reason}"
        raise ValueError(message) from error


def _from_array(array: np.ndarray) -> tuple[np.ndarray, ImageInfo]:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 2, 3, 4) or 0 in array.shape:
        message = f"an image array has shape (h, w) or (h, w, 1 to 4), got {array.shape}"
        raise ValueError(message)
    if array.dtype == bool:
        bits, image = 1, array.astype(np.float32)
    elif array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        bits = array.dtype.itemsize * 8
        image = np.divide(array, np.float32(2**bits - 1), dtype=np.float32)
    elif np.issubdtype(array.dtype, np.floating):
        bits, image = 32, array.astype(np.float32)
    else:
        message = f"an image array is uint8, uint16, bool or float in [0, 1], got {array.dtype}"
        raise ValueError(message)
    image = image.reshape(*array.shape[:2], channels)
    if channels == 2:
        image = image[..., [0, 0, 0, 1]]
    return image, ImageInfo(bits, ("L", "LA", "RGB", "RGBA")[channels - 1])


def _in_range(image: np.ndarray, name: str, clip: bool) -> np.ndarray:
    low, high = float(image.min()), float(image.max())
    if math.isnan(low):  # as is the minimum wherever a sample is
        message = f"{name}: holds NaN; replace it by values in [0, 1] and pass the array"
        raise ValueError(message)
    if not clip and not (low >= -_SLACK and high <= 1 + _SLACK):
        message = (
            f"{name}: holds values from {low:g} to {high:g}, but an image lies in [0, 1]; pass "
            "clip=True, or scale or tone-map it yourself and pass the array"
        )
        raise ValueError(message)
    return np.clip(image, 0, 1)


def _check_reduction(downscale: float | int | None, max_side: int | None) -> None:
    if downscale is not None and max_side is not None:
        message = "downscale= and max_side= exclude each other; give one"
        raise ValueError(message)
    if downscale is not None and not 1 <= downscale < math.inf:
        message = f"downscale={downscale}; it is a finite number, 1 or more: 2 halves both sides"
        raise ValueError(message)
    if max_side is not None and max_side < 1:
        message = f"max_side={max_side}; it is a number of pixels, 1 or more"
        raise ValueError(message)


def _crop(image: np.ndarray, crop: tuple[int, int, int, int]) -> np.ndarray:
    top, left, height, width = crop
    Window.of_pixels(crop, (image.shape[0], image.shape[1]))  # raises where it lies outside
    return image[top : top + height, left : left + width]


def _to_grey(image: np.ndarray) -> np.ndarray:
    if image.shape[2] == 1:
        return image
    grey = image[..., :3] @ _LUMA[:, None]
    if image.shape[2] == 4:
        alpha = image[..., 3:]
        grey = grey * alpha + (1 - alpha)
    return np.clip(grey, 0, 1)


def check_kind(path: str | os.PathLike[str], channels: int, bits: int) -> str:
    """Return the format that ``path`` names, if it can hold the picture."""
    suffix = Path(path).suffix.lower()
    kind = FORMATS.get(suffix)
    if kind is None:
        message = f"{path}: unknown extension {suffix!r}; known are {' '.join(FORMATS)}"
        raise ValueError(message)
    if bits not in (8, 16):
        message = f"bits={bits}; it is 8 or 16"
        raise ValueError(message)
    if bits == 16 and kind not in WITH_16_BITS:
        message = f"{path}: {kind} has no 16 bits; write {', '.join(WITH_16_BITS)} or bits=8"
        raise ValueError(message)
    if channels == 4 and kind not in WITH_ALPHA:
        message = (
            f"{path}: {kind} has no transparency; write {', '.join(WITH_ALPHA)}, or the colours "
            "alone: image[..., :3]"
        )
        raise ValueError(message)
    if (suffix, channels) in ((".pgm", 3), (".ppm", 1)):
        message = f"{path}: PGM is for 1 channel, PPM for 3, got {channels}; write .pnm for either"
        raise ValueError(message)
    return kind
