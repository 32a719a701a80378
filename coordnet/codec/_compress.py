"""A picture to the bytes of a ``.cnet`` file."""

import os
import zlib
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

from .._cache import keep_compiled
from .._color import check_picture, to_uint8
from .._decode import ImageInfo
from .._encode import profile_of
from .._images import read_image
from .._nets import CoordNet, check_seed
from .._progress import progress_bar
from . import _lossless
from ._chunk import nothing, packed
from ._container import Chunk, Header, pack, varint
from ._decompress import MOST_METADATA
from ._fitting import fit
from ._grids import WINDOW
from ._mlp import Form
from ._mlp import nothing as nothing_mlp
from ._mlp import packed as packed_mlp
from ._plain import fitted as fit_plain
from ._plain import planned
from ._pyramid import is_too_thin
from ._rate import Target, UnreachableError, expected_bytes, psnr_of
from ._rounded import form_of, kept_network

Kind = Literal["pyramid", "weights"]
Effort = Literal["fast", "default", "best"]

#: Looks at windows of 128 x 128 pixels, and passes over the whole picture at least.
EFFORTS = {"fast": (1700, 6), "default": (30_000, 60), "best": (300_000, 300)}

#: Steps of plain weights, of 8192 points each.
PLAIN_STEPS = {"fast": 3000, "default": 20_000, "best": 100_000}

_NEAR = 40.0  # dB: what is lost of a network's own picture, when nothing is asked for
_QUALITY = 60  # of 100, when nothing is asked for
_SMALL = 200  # bytes: no pyramid of a picture that takes so few is worth its time
_LIKELY = 0.8  # of what a pyramid is expected to take, which may be a fifth off
_EXIF = b"Exif\0\0"  # that an EXIF block begins with
_MOST_SIDE = 2**24  # pixels, that a file can say
_EXACT = 60.0  # dB, from which a picture is kept exactly: one sample in fifteen is a level off
_SMALL_ALPHA = 0.1  # of the file: an alpha that takes no more is kept exactly


class _Budget:
    """What the progress bar is told."""

    def __init__(self, steps: int):
        self.steps, self.seconds, self.psnr = steps, None, None


def compress(
    image: Float[np.ndarray, "h w c"] | str | os.PathLike[str] | CoordNet,
    *,
    kind: Kind = "pyramid",
    bpp: float | None = None,
    psnr: float | None = None,
    max_bytes: int | None = None,
    quality: float | None = None,
    effort: Effort = "default",
    seed: int = 0,
    info: ImageInfo | None = None,
    progress: bool | None = None,
) -> bytes:
    """Compress a picture to the weights of a small network, fitted to it alone.

    By default the network is a pyramid of latent grids, a synthesis network that paints them,
    and an entropy network that foretells them, after Cool-Chic (Ladune et al. 2023) and C3 (Kim
    et al. 2023). What a network serves badly (flat colour, noise at a high rate) is kept exactly
    where that takes fewer bytes. Give one of ``bpp``, ``psnr``, ``max_bytes``, ``quality``.

    ``kind="weights"`` is the older idea (COIN, Dupont et al. 2021): a network of sines from
    ``(x, y)`` to the colours, as large as the bytes allow, its weights rounded while they learn.
    At 0.3 bits a pixel it is some 2 dB behind the pyramid, below 0.02 ahead of it. A network of
    one's own, such as ``fit`` makes, may stand for ``image``: the file holds its weights, rounded
    to what they are worth; ``kind``, ``effort``, ``seed`` and ``progress`` mean nothing then.

    Args:
        image: ``(h, w, c)`` in [0, 1], rounded to 8 bits first, or the path of a picture. Or a
            network without encoding, of tanh, sigmoid, scaled_tanh, relu or sine.
        kind: ``"pyramid"`` or ``"weights"``; the latter takes ``bpp`` or ``max_bytes``.
        bpp: Bits of the file for each pixel: never more, and at most 3 % or 24 bytes less unless
            the picture is exact before, or a pyramid has no use for more (small or noisy ones).
        psnr: dB over all samples: never less, and at most 0.05 more unless the picture is
            exact in fewer bytes, which it is from 60 dB on (infinity asks for it), or no pyramid
            comes so near. Of a network, against its own picture: the smallest file of it that is
            found, 40 when nothing is asked.
        max_bytes: Of the file, as with ``bpp``.
        quality: From 0 to 100; 60 when nothing is asked for.
        effort: How many steps: on two cores, a 768x512 picture takes about half a minute with
            ``"fast"``, some four minutes with ``"default"``, and up to an hour with ``"best"``.
        seed: Of the noise that the fit learns through. Same seed, same machine, same bytes.
        info: Colour profile and EXIF to keep; a picture's own where ``image`` is a path.
        progress: Show a progress bar; when missing, where somebody watches.

    Returns:
        The bytes of a ``.cnet`` file; ``decompress`` and ``docs/format.md`` read them.

    Raises:
        ValueError: A target is out of range or cannot be met; the message names what can.
        TypeError: ``image`` is neither.

    >>> from coordnet import decompress
    >>> blob = compress(np.full((32, 48, 3), 0.25, np.float32))
    >>> len(blob) < 60, decompress(blob).image.shape
    (True, (32, 48, 3))
    """
    if not isinstance(effort, str) or effort not in EFFORTS:
        msg = f"`effort` must be one of {', '.join(EFFORTS)}, got {effort!r}"
        raise ValueError(msg)
    if kind not in get_args(Kind):
        msg = f"`kind` must be one of {', '.join(get_args(Kind))}, got {kind!r}"
        raise ValueError(msg)
    asked = [n for n, v in zip(("bpp", "psnr", "max_bytes", "quality"),
             (bpp, psnr, max_bytes, quality), strict=True) if v is not None]  # fmt: skip
    if len(asked) > 1:
        msg = f"give one of bpp, psnr, max_bytes, quality, got {' and '.join(asked)}"
        raise ValueError(msg)
    if not isinstance(info, ImageInfo | None):
        msg = f"`info` must be a coordnet.ImageInfo, got {type(info).__name__}"
        raise TypeError(msg)
    seed = check_seed(seed)
    if isinstance(image, CoordNet):
        return _of_network(image, bpp, psnr, max_bytes, quality, info)
    if isinstance(image, str | os.PathLike):
        image, found = read_image(image, info=True, clip=True)
        info = info or found
    samples = _samples(image)
    del image  # one that was read is needed no longer, and large
    most = most_bytes(samples.shape[:2], bpp, max_bytes)
    file = _File(samples, info)
    if kind == "weights":
        return _weights(file, samples, most, effort, seed, progress)
    if max(samples.shape[:2]) > _MOST_SIDE:
        msg = f"`image` has a side of {max(samples.shape[:2]):,} pixels; a file has {_MOST_SIDE:,}"
        raise ValueError(msg)
    kept = Chunk("L", _lossless.encode(samples))
    exact = file.whole([kept])
    target = _target(most, psnr, quality)
    if most is not None:
        if len(exact) <= most:
            return exact
        file.check(most, len(exact))
    elif (target.psnr or 0) >= _EXACT or len(kept.body) <= max(
        _SMALL, _LIKELY * expected_bytes(file.planes, target)
    ):
        return exact
    if is_too_thin(*samples.shape[:2]):
        if most is None:
            return exact
        raise _unreachable(most, len(exact), file.beside)
    keep_compiled()
    looks, passes = EFFORTS[effort]
    windows = -(-samples.shape[0] // WINDOW) * -(-samples.shape[1] // WINDOW)
    steps = max(looks, passes * windows)
    with progress_bar(progress, _Budget(steps)) as bar:
        fitted = file.fitted(target, steps, seed, bar)
    if fitted is None:  # no pyramid has that PSNR
        return exact
    return min(fitted, exact, key=len) if most is None else fitted


def _samples(image: Any) -> UInt8[np.ndarray, "h w c"]:
    """Round a picture to 8 bits, or say that it is none."""
    return to_uint8(check_picture(image))


def _of_network(
    net: CoordNet, bpp: Any, psnr: Any, max_bytes: Any, quality: Any, info: ImageInfo | None
) -> bytes:
    """Return a file of a network that was fitted before."""
    if quality is not None:
        msg = "`quality` is for pictures; give bpp, max_bytes or psnr for a network"
        raise ValueError(msg)
    form = form_of(net)
    assert net.spec.size is not None
    height, width = net.spec.size
    most = most_bytes((height, width), bpp, max_bytes)
    asked = _NEAR if psnr is None else _checked_psnr(psnr)
    header = Header(height, width, min(form.channels, 3), form.channels == 4)
    beside = _metadata(info, form.channels)
    spent = _spent(header, beside, most)
    if most is not None and most < _least(form, spent):
        raise _unreachable(most, _least(form, spent), beside)
    found = kept_network(net, None if most is None else most - spent, asked)
    assert found is not None  # zeros would do
    return pack(header, [Chunk("W", packed_mlp(found)), *beside])


def _spent(header: Header, beside: list[Chunk], most: int | None) -> int:
    """Return the bytes of a file of weights that are not the chunk's body."""
    return len(pack(header, [Chunk("W", b""), *beside])) + len(varint(most or 0)) - 1


def _weights(
    file: "_File", samples: np.ndarray, most: int | None, effort: Effort, seed: int, progress: Any
) -> bytes:
    """Return a file of plain weights."""
    if most is None:
        msg = "`kind` 'weights' needs bpp or max_bytes: they say how large the network is"
        raise ValueError(msg)
    spent = _spent(file.header, file.beside, most)
    height, width, channels = samples.shape
    forms = (planned((height, width), channels, n) for n in (max(most - spent, 0), 0))
    # a smaller network where all zeros of the one that was planned are too many
    form = next((f for f in forms if _least(f, spent) <= most), None)
    if form is None:
        least = _least(planned((height, width), channels, 0), spent)
        raise _unreachable(most, least, file.beside)
    keep_compiled()
    steps = PLAIN_STEPS[effort]
    with progress_bar(progress, _Budget(steps)) as bar:
        found = fit_plain(samples, form, most - spent, steps, seed, bar)
    assert found is not None
    return file.whole([Chunk("W", packed_mlp(found))])


def _least(form: Form, spent: int) -> int:
    """Return the bytes of the smallest file of a network."""
    return spent + len(packed_mlp(nothing_mlp(form)))


def _unreachable(most: int, least: int, beside: list[Chunk]) -> UnreachableError:
    msg = f"`max_bytes` or `bpp` allows {most:,} bytes; the smallest file takes {least:,}"
    if beside:
        msg += f", {sum(len(c.body) for c in beside):,} of them colour profile and EXIF"
    return UnreachableError(msg)


class _File:
    """A picture on its way into a file."""

    def __init__(self, samples: UInt8[np.ndarray, "h w c"], info: ImageInfo | None):
        height, width, channels = samples.shape
        self.header = Header(height, width, min(channels, 3), channels == 4)
        colours = samples[..., : self.header.channels]
        self.planes = [np.broadcast_to(colours, (height, width, 3))]
        self.kinds = ["P"]
        self.beside = _metadata(info, channels)
        if self.header.alpha:
            alpha = samples[..., 3:]
            self.planes.append(np.broadcast_to(alpha, (height, width, 3)))
            self.kinds.append("A")
            self.kept_alpha = Chunk("K", _lossless.encode(alpha))

    def whole(self, chunks: list[Chunk]) -> bytes:
        return pack(self.header, chunks + self.beside)

    def check(self, most: int, exact: int) -> None:
        """Raise ValueError where no file is as small as that."""
        body = packed(nothing(self.header.height, self.header.width))
        least = min(len(self.whole([Chunk(kind, body) for kind in self.kinds])), exact)
        if most < least:
            raise _unreachable(most, least, self.beside)

    def fitted(self, target: Target, steps: int, seed: int, bar: Any) -> bytes | None:
        """Return a file that holds pyramids, or None where they miss the PSNR."""
        planes, chunks = self.planes, []
        channels = [self.header.channels, 1][: len(planes)]
        if self.header.alpha:
            most = expected_bytes(planes, target)
            if target.size is not None:
                most = self._room(target.size, [])
            if len(self.kept_alpha.body) <= _SMALL_ALPHA * most:
                planes, channels, chunks = planes[:1], channels[:1], [self.kept_alpha]
        if target.size is not None:
            target = target._replace(size=self._room(target.size, chunks))
        if target.psnr is not None and chunks:  # an exact channel beside the others
            share = channels[0] / (channels[0] + 1)
            target = target._replace(psnr=target.psnr + 10 * np.log10(share))
        found = fit(planes, channels, target, steps=steps, seed=seed, bar=bar)
        pixels = [one.pixels for one in found]
        if target.psnr is not None and psnr_of(planes, pixels, channels) < target.psnr:
            return None
        bodies = [Chunk(kind, one.body) for kind, one in zip(self.kinds, found, strict=False)]
        return self.whole(bodies + chunks)

    def _room(self, most: int, chunks: list[Chunk]) -> int:
        """Return what is left for the pyramids of a file of so many bytes."""
        # a length takes up to three bytes for sizes below two million
        empty = [Chunk(kind, b"") for kind in self.kinds[: len(self.kinds) - len(chunks)]]
        lengths = len(empty) * (len(varint(most)) - 1)
        return most - len(self.whole(empty + chunks)) - lengths


def most_bytes(size: tuple[int, ...], bpp: Any, max_bytes: Any) -> int | None:
    """Return how many bytes a file may have; None where neither is asked for."""
    if bpp is not None:
        if isinstance(bpp, bool) or not (isinstance(bpp, Real) and 0 < float(bpp) < 1e6):
            msg = f"`bpp` must be bits for each pixel, above 0, got {bpp!r}"
            raise ValueError(msg)
        return int(float(bpp) * size[0] * size[1] / 8)
    whole = isinstance(max_bytes, Integral) and not isinstance(max_bytes, bool)
    if max_bytes is not None and not (whole and int(max_bytes) > 0):
        msg = f"`max_bytes` must be a whole number above 0, got {max_bytes!r}"
        raise ValueError(msg)
    return None if max_bytes is None else int(max_bytes)


def _target(most: int | None, psnr: Any, quality: Any) -> Target:
    if most is not None:
        return Target(size=most)
    if psnr is not None:
        return Target(psnr=_checked_psnr(psnr))
    quality = _QUALITY if quality is None else quality
    if isinstance(quality, bool) or not (isinstance(quality, Real) and 0 <= float(quality) <= 100):
        msg = f"`quality` must be from 0 to 100, got {quality!r}"
        raise ValueError(msg)
    # from 0.05, about 0.05 bits a pixel of a photograph, to 5e-5, about 3
    return Target(price=0.05 * 10 ** (-3 * float(quality) / 100))


def _checked_psnr(psnr: Any) -> float:
    if isinstance(psnr, bool) or not (isinstance(psnr, Real) and float(psnr) > 0):
        msg = f"`psnr` must be in dB, above 0, got {psnr!r}"
        raise ValueError(msg)
    return float(psnr)


def _metadata(info: ImageInfo | None, channels: int) -> list[Chunk]:
    if info is None:
        return []
    for name in ("icc_profile", "exif"):
        if not isinstance(value := getattr(info, name), bytes | None):
            msg = f"`info.{name}` must be bytes, got {type(value).__name__}"
            raise TypeError(msg)
    exif = info.exif
    if exif and not exif.startswith(_EXIF):  # as some formats of Pillow's have it
        exif = _EXIF + exif
    found = [("i", profile_of(info, channels), "colour profile"), ("x", exif, "EXIF block")]
    for _, data, what in found:
        if data and len(data) > MOST_METADATA:
            msg = f"`info` has a {what} of {len(data):,} bytes; a file holds {MOST_METADATA:,}"
            raise UnreachableError(msg)
    return [Chunk(kind, zlib.compress(data, 9)) for kind, data, _ in found if data]
