"""Bytes of a ``.cnet`` file to the picture, without JAX."""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from .._decode import ImageInfo
from .._encode import encode
from .._files import FormatError
from .._images import MAX_PIXELS
from . import _lossless
from ._chunk import changed, unpacked
from ._container import Chunk, Header, unpack
from ._mlp import Painter, painter
from ._mlp import unpacked as unpacked_mlp
from ._models import kept, synthesis_of
from ._resample import Lattice, drawn, of_features, of_samples
from ._synthesis import Synthesis, features, grey, painted

#: Bytes of a colour profile or an EXIF block, at most.
MOST_METADATA = 2**22

_COLOURS, _ALPHA = "PLW", "AK"  # chunks that hold colours; that hold alpha alone
_WHOLE = "LW"  # those that hold alpha too


class Plane(NamedTuple):
    """Colours, or alpha, of a file: what was kept exactly, a pyramid, or plain weights."""

    samples: UInt8[np.ndarray, "h w c"]
    synthesis: Synthesis | None = None
    latents: list[np.ndarray] | None = None
    painter: Painter | None = None

    def lattice(self) -> Lattice:
        """Return what draws it anywhere."""
        height, width, channels = self.samples.shape
        if self.painter is not None:
            return self.painter.lattice((height, width))
        if self.synthesis is None or self.latents is None:
            return of_samples(self.samples)
        found = features(self.synthesis, self.latents, (height, width))
        colours = of_features(found, self.synthesis)
        return colours if channels == 3 else lambda ys, xs: colours(ys, xs).mean(0, keepdims=True)


class Decoded:
    """A decompressed picture: its pixels, and a function still, which ``coordnet.render`` draws.

    Attributes:
        image: ``(height, width, channels)`` float32 in [0, 1], channels 1, 3 or 4.
        info: What the file says beside: colour profile and EXIF.

    >>> import coordnet as cn
    >>> decompress(cn.compress(np.full((4, 6, 1), 0.5, np.float32)))
    Decoded(4 x 6, 1 channels)
    """

    def __init__(self, planes: list[Plane], info: ImageInfo):
        self._planes = planes
        self._lattices: list[Lattice] | None = None  # made when first asked for
        self.info = info
        samples = np.concatenate([plane.samples for plane in planes], axis=2)
        self.image: Float32[np.ndarray, "h w c"] = samples / np.float32(255)

    @property
    def native(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.image.shape[0], self.image.shape[1]

    def draw(
        self, size: tuple[int, int], part: tuple[float, float, float, float], samples: int
    ) -> Float32[np.ndarray, "h w c"]:
        """Draw a part (top, left, height, width in native pixels); what ``render`` calls.

        Far below its own size too it is drawn at that first, and averaged.
        """
        if size == self.native and part == (0, 0, *size):
            return self.image.copy()
        if self._lattices is None:
            self._lattices = [plane.lattice() for plane in self._planes]
        planes = [drawn(lattice, size, part, samples) for lattice in self._lattices]
        return np.ascontiguousarray(np.concatenate(planes, axis=2), np.float32)

    def _repr_png_(self) -> bytes:
        samples = np.concatenate([plane.samples for plane in self._planes], axis=2)
        return encode(samples, "PNG", self.info, quality=0)

    def __repr__(self) -> str:
        height, width, channels = self.image.shape
        return f"Decoded({height} x {width}, {channels} channels)"


def decompress(source: bytes | str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode what ``compress`` has made, or a file of it. Needs no JAX.

    Args:
        source: The bytes, or the path of a ``.cnet`` file.
        max_pixels: Refuse files that declare more pixels, before any is allocated. A few bytes
            may declare as many as this allows, and a pyramid takes some 90 bytes and two
            microseconds a pixel: lower it for files of strangers.

    Returns:
        The picture: ``.image`` at its own size; ``coordnet.render`` draws it at any other.

    Raises:
        FormatError: It is no ``.cnet`` file, is damaged, or of a later version.
        ValueError: It declares more than ``max_pixels``.
        OSError: The file cannot be read.

    >>> import coordnet as cn
    >>> flat = cn.compress(np.full((4, 6, 3), 0.5, np.float32))
    >>> small = decompress(flat)
    >>> small.image.shape, cn.render(small, 8).shape
    ((4, 6, 3), (8, 12, 3))
    """
    if isinstance(source, str | os.PathLike):
        try:
            return decompress(Path(source).read_bytes(), max_pixels=max_pixels)
        except ValueError as error:
            kind = FormatError if isinstance(error, FormatError) else ValueError
            msg = f"{os.fspath(source)}: {error}"
            raise kind(msg) from error
    if not isinstance(source, bytes | bytearray | memoryview):
        msg = f"`source` must be bytes or a path, got {type(source).__name__}"
        raise TypeError(msg)
    header, chunks = unpack(bytes(source), max_pixels=max_pixels)
    found = sorted_chunks(header, chunks)
    planes = []
    for chunk in found.planes:
        try:
            planes.append(_plane(chunk, header))
        except MemoryError as error:
            msg = f"not enough memory for a picture of {header.height} x {header.width} pixels"
            raise ValueError(msg) from error
    return Decoded(planes, metadata(header, chunks))


def metadata(header: Header, chunks: list[Chunk]) -> ImageInfo:
    """Return what a file says beside its pixels, or raise FormatError."""
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[header.channels + header.alpha]
    found = sorted_chunks(header, chunks)
    profile, exif = _inflated(found.icc_profile), _inflated(found.exif)
    return ImageInfo(8, mode, icc_profile=profile, exif=exif)


class Sorted(NamedTuple):
    """The chunks of a file by what they are for."""

    planes: list[Chunk]
    icc_profile: Chunk | None
    exif: Chunk | None


def sorted_chunks(header: Header, chunks: list[Chunk]) -> Sorted:
    """Return the chunks by what they are for, or raise FormatError where they do not fit.

    A chunk whose letter is small may be passed over by who does not know it.
    """
    by_kind = {chunk.kind: chunk for chunk in chunks}
    if len(by_kind) < len(chunks):
        msg = "the .cnet file has two chunks of one kind"
        raise FormatError(msg)
    unknown = [k for k in by_kind if k.isupper() and k not in _COLOURS + _ALPHA]
    if unknown:
        msg = f"the .cnet file has a chunk {unknown[0]!r}, which this library does not know"
        raise FormatError(msg)
    colours = [by_kind[k] for k in _COLOURS if k in by_kind]
    alpha = [by_kind[k] for k in _ALPHA if k in by_kind]
    whole = any(kind in by_kind for kind in _WHOLE)
    if len(colours) != 1 or len(alpha) != (header.alpha and not whole):
        msg = f"the .cnet file has chunks {''.join(by_kind)!r}, which make no picture"
        raise FormatError(msg)
    return Sorted(colours + alpha, by_kind.get("i"), by_kind.get("x"))


def _plane(chunk: Chunk, header: Header) -> Plane:
    height, width = header.height, header.width
    if chunk.kind == "L":
        shape = (height, width, header.channels + header.alpha)
        return Plane(_lossless.decode(chunk.body, shape))
    if chunk.kind == "K":
        return Plane(_lossless.decode(chunk.body, (height, width, 1)))
    if chunk.kind == "W":
        paints = painter(unpacked_mlp(chunk.body, header.channels + header.alpha, height * width))
        return Plane(paints.painted((height, width)), painter=paints)
    pyramid = unpacked(chunk.body, height, width)
    synthesis = synthesis_of(changed(kept(pyramid.model), pyramid.deltas))
    samples = painted(synthesis, pyramid.latents, (height, width))
    if chunk.kind == "A" or header.channels == 1:
        samples = grey(samples)
    return Plane(samples, synthesis, pyramid.latents)


def _inflated(chunk: Chunk | None) -> bytes | None:
    if chunk is None:
        return None
    decoder = zlib.decompressobj()
    try:
        data = decoder.decompress(chunk.body, MOST_METADATA)
    except zlib.error as error:
        msg = f"the .cnet file is damaged: its metadata cannot be read ({error})"
        raise FormatError(msg) from error
    if not decoder.eof:
        msg = f"the .cnet file has metadata cut short, or of more than {MOST_METADATA:,} bytes"
        raise FormatError(msg)
    return data
