"""The codecs beside ours in ``rate_distortion.py`` at their best settings; curves compared."""

import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from scipy.interpolate import PchipInterpolator


class Peer(NamedTuple):
    """A codec: how a picture becomes bytes, and which settings span 0.1 to 1.0 bits a pixel."""

    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes], np.ndarray]
    settings: Sequence[float]


def _saved(image: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, **options)
    return out.getvalue()


def _opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _jpeg(image: np.ndarray, quality: float) -> bytes:
    return _saved(image, format="JPEG", quality=int(quality), optimize=True, progressive=True)


def _webp(image: np.ndarray, quality: float) -> bytes:
    return _saved(image, format="WEBP", quality=int(quality), method=6)


def _jpeg2000(image: np.ndarray, bpp: float) -> bytes:
    options = {"quality_mode": "rates", "quality_layers": [24 / bpp], "irreversible": True}
    return _saved(image, format="JPEG2000", mct=1, **options)


def _avif(image: np.ndarray, quality: float) -> bytes:
    return _saved(image, format="AVIF", quality=int(quality), speed=0, subsampling="4:4:4")


def _jxl(image: np.ndarray, distance: float) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegxl_encode(image, distance=distance, effort=9))


def _unjxl(data: bytes) -> np.ndarray:
    import imagecodecs

    return imagecodecs.jpegxl_decode(data)


PEERS = {
    "JPEG (optimised, progressive)": Peer(_jpeg, _opened, (5, 8, 12, 18, 26, 36, 48, 62, 75, 84)),
    "WebP (method 6)": Peer(_webp, _opened, (0, 2, 6, 12, 22, 36, 52, 68, 80, 88, 94)),
    "JPEG 2000": Peer(_jpeg2000, _opened, (0.08, 0.12, 0.18, 0.27, 0.4, 0.6, 0.85, 1.2)),
    "AVIF (speed 0, 4:4:4)": Peer(_avif, _opened, (6, 12, 20, 30, 40, 50, 58, 66, 74, 80)),
    "JPEG XL (effort 9)": Peer(_jxl, _unjxl, (14, 10, 7, 5, 3.5, 2.5, 1.8, 1.3, 0.9)),
}


def bd_rate(
    rates: Sequence[float],
    psnrs: Sequence[float],
    peer_rates: Sequence[float],
    peer_psnrs: Sequence[float],
    between: tuple[float, float] = (0.1, 1.0),
) -> float:
    """Return by what part our rate differs from the peer's at equal PSNR (Bjontegaard 2001).

    Monotone cubics (PCHIP) of the log rate over PSNR, averaged over the PSNRs that both curves
    have where the peer's rate is within ``between``.
    """
    ours, theirs = _curve(rates, psnrs), _curve(peer_rates, peer_psnrs)
    least = max(min(psnrs), min(peer_psnrs))
    most = min(max(psnrs), max(peer_psnrs))
    at = np.linspace(least, most, 1000)
    at = at[(theirs(at) >= np.log(between[0])) & (theirs(at) <= np.log(between[1]))]
    if len(at) < 2:
        return float("nan")
    return float(np.exp(np.mean(ours(at) - theirs(at))) - 1)


def at_equal_psnr(
    rate: float, psnr: float, peer_rates: Sequence[float], peer_psnrs: Sequence[float]
) -> float:
    """Return by what part a rate differs from a peer's curve at the same PSNR."""
    return float(rate / np.exp(_curve(peer_rates, peer_psnrs)(psnr)) - 1)


def _curve(rates: Sequence[float], psnrs: Sequence[float]) -> PchipInterpolator:
    points = sorted(zip(psnrs, rates, strict=True))
    kept = [points[0]]
    for p, r in points[1:]:  # PSNR must rise
        if p > kept[-1][0] + 1e-6:
            kept.append((p, r))
    p, r = zip(*kept, strict=True)
    return PchipInterpolator(p, np.log(r))
