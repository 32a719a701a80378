"""A page on one fit."""

import dataclasses
import importlib.metadata
import math
from collections.abc import Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from . import _page
from ._coords import Window
from ._cores import cores
from ._files import atomic_path, check_target
from ._images import read_image
from ._metrics import psnr
from ._nets import CoordNet, packed
from ._plan import check_picture
from ._render import render

Crop = tuple[int, int, int, int]

_LONGEST_SIDE = 1024  # pixels of a picture on the page
_AMPLIFIED = 10  # times, the errors shown


def write_report(
    path: str | PathLike[str],
    image: Any,
    net: CoordNet,
    *,
    title: str = "A picture as a function",
    film: str | PathLike[str] | None = None,
    network: str | PathLike[str] | None = None,
    crop: Crop | None = None,
    scale: int = 4,
) -> Path:
    """Write one HTML page on a fit: the picture, the network, both from near, and the figures.

    The page holds everything it shows and asks for nothing from elsewhere.

    Args:
        path: The page, ``.html``.
        image: The picture that was fitted, ``(height, width, channels)`` floats in [0, 1].
        net: The network that ``fit`` or ``load`` returned.
        title: The heading.
        film: A film of the learning to show: ``.mp4``, ``.webm``, ``.gif``, ``.webp``, ``.apng``.
        network: The saved network, whose name and size are told.
        crop: ``(top, left, height, width)`` in pixels, the part to enlarge; from the middle
            when missing.
        scale: How many times to enlarge it, 1 to 16.

    Returns:
        The path.

    Raises:
        ValueError: The picture is not of the network's size, or ``crop`` lies outside of it.
        OSError: A file cannot be read, or the page cannot be written.

    >>> import tempfile
    >>> from coordnet import CoordNet, Spec
    >>> picture = np.zeros((20, 30, 3), np.float32)
    >>> net = CoordNet(Spec(width=8, depth=1, size=(20, 30)))
    >>> write_report(f"{tempfile.mkdtemp()}/report.html", picture, net).name
    'report.html'
    """
    check_target(path)
    image = check_picture(image)
    if net.spec.size != image.shape[:2] or net.spec.channels != image.shape[2]:
        msg = (
            f"the network is of a picture of size {net.spec.size} (height, width) and "
            f"{net.spec.channels} channels, got one of {image.shape}; give the picture it was "
            "fitted to"
        )
        raise ValueError(msg)
    if not 1 <= scale <= 16:
        msg = f"`scale` must be 1 to 16, got {scale}"
        raise ValueError(msg)
    crop = checked_crop(crop, image.shape)
    drawn = render(net, progress=False)
    facts = _facts(image, drawn, net, network)
    parts = [
        '<p class="kicker">coordnet</p>',
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(_lead(image, net))}</p>',
        _opening(image, drawn, net, film, facts),
        *_pair(image, drawn, crop, facts["psnr"]),
        *_closer(image, net, crop, scale),
        "<h2>In figures</h2>",
        _page.table(_rows(image, net, facts)),
        *_goes_on(network),
        f"<footer>{escape(_made_by())}</footer>",
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(_page.page(title, parts), encoding="utf-8")
    return Path(path)


def _lead(image: np.ndarray, net: CoordNet) -> str:
    height, width, channels = image.shape
    asked = "grey" if channels == 1 else "colour"
    return (
        f"{net.spec.parameters:,} weights that answer one question: which {asked} is at (x, y)? "
        f"They were fitted to {width} x {height} pixels, and can be drawn at any size."
    )


def _opening(
    image: np.ndarray, drawn: np.ndarray, net: CoordNet, film: Any, facts: dict[str, Any]
) -> str:
    left = (
        _page.picture(_small(drawn), "", label="The network, drawn")
        if film is None
        else _page.film(Path(film), "even in log time: most is learned early", label="Learning")
    )
    height, width, channels = image.shape
    values = [
        ("PSNR", _decibels(facts["psnr"]), "of the whole picture, 8 bits"),
        ("Weights", f"{facts['weights']:,}", f"{facts['share']:.2f} per sample of the picture"),
        ("Saved", _page.size_text(facts["bytes"]), "float32; the picture's own 8 bits: "
         + _page.size_text(height * width * channels)),
    ]  # fmt: skip
    if facts["fitted"] is not None:
        fitted = facts["fitted"]
        values.append(
            ("Fitted in", f"{fitted.seconds:.1f} s", f"{fitted.steps:,} steps, on {_machine()}")
        )
    right = f'<div class="stack">{_page.figures(values)}{_course(net)}</div>'
    return f'<div class="opening">{left}{right}</div>'


def _pair(image: np.ndarray, drawn: np.ndarray, crop: Crop, psnr: float) -> list[str]:
    height, width = image.shape[:2]
    box = (crop[1] / width, crop[0] / height, crop[3] / width, crop[2] / height)
    colours = slice(0, min(3, image.shape[2]))  # without alpha, in which a difference would hide
    error = _small(np.abs(drawn - image)[..., colours]) * _AMPLIFIED
    return [
        "<h2>The picture and the network</h2>",
        "<p>What was given, what was learned, and what is missing between the two.</p>",
        '<div class="row">',
        _page.picture(_small(image), f"{width} x {height} pixels", label="Picture", box=box),
        _page.picture(_small(drawn), f"{_decibels(psnr)} PSNR", label="Network"),
        _page.picture(error, f"{_AMPLIFIED} times as strong", label="Difference", lossless=False),
        "</div>",
    ]


def _closer(image: np.ndarray, net: CoordNet, crop: Crop, scale: int) -> list[str]:
    enlarged = enlargements(image, net, crop, scale)
    return [
        f"<h2>Closer: {scale} times</h2>",
        "<p>A function has values between the pixels. The part in the frame above, "
        f"{crop[3]} x {crop[2]} pixels, enlarged to {crop[3] * scale} x {crop[2] * scale}: "
        "the pixels themselves, bicubic interpolation of them, and the network, asked at "
        f"{scale * scale} times as many points.</p>",
        '<div class="row">',
        _page.picture(enlarged["zoom-nearest"], "", label="Pixels"),
        _page.picture(enlarged["zoom-bicubic"], "", label="Bicubic"),
        _page.picture(enlarged["zoom"], "", label="Network"),
        "</div>",
    ]


def _course(net: CoordNet) -> str:
    fitted = net.fitted
    points = [] if fitted is None else [(s, p) for _, s, p in fitted.history if math.isfinite(p)]
    if len(points) < 2:
        return ""
    return _page.curve(points, "seconds of running", "dB", "The fit's PSNR, as it went")


def _facts(image: np.ndarray, drawn: np.ndarray, net: CoordNet, network: Any) -> dict[str, Any]:
    weights = net.spec.parameters
    return {
        # of the picture shown, all of it, whatever a mask left out of the fit
        "psnr": psnr(drawn, image),
        "weights": weights,
        "share": weights / image.size,
        "bytes": len(packed(net)) if network is None else Path(network).stat().st_size,
        "fitted": net.fitted,
    }


def _rows(image: np.ndarray, net: CoordNet, facts: dict[str, Any]) -> dict[str, str]:
    height, width, channels = image.shape
    spec = dataclasses.asdict(net.spec)
    rows = {
        "Picture": f"{width} x {height} pixels, {_page.CHANNELS[channels]}",
        "Encoding": spec["encoding"],
        "Layers": f"{spec['depth']} hidden of {spec['width']}, {spec['activation']}",
        "Weights": f"{facts['weights']:,}",
        "Weights per sample": f"{facts['share']:.3f}",
        "Network's file": f"{facts['bytes']:,} bytes",
        "Picture, uncompressed": f"{image.size:,} bytes",
        "PSNR": _decibels(facts["psnr"], 2),
    }
    fitted = facts["fitted"]
    if fitted is not None:
        rows |= {
            "Steps": f"{fitted.steps:,} (ended by {fitted.stopped})",
            "Running": f"{fitted.seconds:.2f} s",
            "Compiling": f"{fitted.compile_seconds:.2f} s",
            "Machine": _machine(),
        }
        if fitted.hidden_psnr is not None:
            rows["PSNR where fitted"] = _decibels(fitted.psnr, 2)
            rows["PSNR where hidden"] = _decibels(fitted.hidden_psnr, 2)
    return rows


def _goes_on(network: Any) -> list[str]:
    if network is None:
        return []
    name = Path(network).name
    code = (
        "import coordnet as cn\n\n"
        f'net = cn.load("{name}")\n'
        "big = cn.render(net, 4000)        # 4000 pixels high\n"
        'cn.write_image("big.png", big)\n\n'
        f"# or in a terminal:\n# coordnet render {name} --height 4000 -o big.png"
    )
    return ["<h2>Go on from here</h2>", f"<pre>{escape(code)}</pre>"]


def _made_by() -> str:
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("coordnet", "jax"))
    return f"Made by {' with '.join(versions)}. This page is complete in itself."


def _machine() -> str:
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"{cores()} CPU cores"
    return device.device_kind


def _decibels(psnr: float, digits: int = 1) -> str:
    return "no error" if psnr == math.inf else f"{psnr:.{digits}f} dB"


def _small(image: np.ndarray) -> np.ndarray:
    return read_image(image, max_side=_LONGEST_SIDE)


def checked_crop(crop: Crop | None, shape: Sequence[int]) -> Crop:
    height, width = shape[:2]
    if crop is None:
        h, w = (min(side, max(1, min(side // 4, 160))) for side in (height, width))
        return ((height - h) // 2, (width - w) // 2, h, w)
    Window.of_pixels(crop, (height, width))  # raises where it lies outside
    return crop


def enlargements(image: np.ndarray, net: CoordNet, crop: Crop, scale: int) -> dict[str, np.ndarray]:
    """Return the crop, enlarged by the network and by two interpolations, under file names."""
    top, left, height, width = crop
    window = Window.of_pixels(crop, (image.shape[0], image.shape[1]), net.spec.coordinates)
    tall, wide = height * scale, width * scale
    box = (left, top, left + width, top + height)

    def interpolated(how: Image.Resampling) -> np.ndarray:
        planes = (np.ascontiguousarray(image[..., c]) for c in range(image.shape[2]))
        resized = (Image.fromarray(p).resize((wide, tall), how, box=box) for p in planes)
        return np.clip(np.stack([np.asarray(p) for p in resized], axis=-1), 0, 1)

    return {
        "zoom": render(net, (tall, wide), window=window, progress=False),
        "zoom-bicubic": interpolated(Image.Resampling.BICUBIC),
        "zoom-nearest": interpolated(Image.Resampling.NEAREST),
    }
