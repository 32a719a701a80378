"""How good: decibels for seconds, weights and bytes; between the pixels; a table for users.

Protocol: PSNR is that of the picture rounded to 8 bits, over all channels. Seconds are those
of running, compilation apart, the fit's own looks at the PSNR included. Bytes are those of
the saved file. Where there are several pictures or seeds, medians, or means where it says so.

    python benchmarks/quality.py [--smoke] [--only a,c] [--rounds 3] [--out FOLDER]

A table goes to the terminal, ``quality-<device>.json`` into the folder (parts run one by one
join it); ``readme.py`` makes README.md of it. All parts together take about an hour on 2 cores.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import _torch_siren
import numpy as np
from _common import (
    Figure,
    Options,
    Picture,
    Row,
    Section,
    files,
    fit_row,
    lenna,
    main,
    picture,
    psnr,
    small,
)
from _machine import device
from _torch_siren import TorchSiren
from PIL import Image

import coordnet as cn
from coordnet._area import downscale_area
from coordnet._color import to_uint8
from coordnet._nets import packed


def _fit(image: np.ndarray, preset: str, **budget: Any) -> cn.CoordNet:
    return cn.fit(image, preset, progress=False, **budget)


def _presets(names: Sequence[str]) -> tuple[list[str], list[Row]]:
    """Return the presets that there are, and rows that name those that are missing."""
    missing = [{"what": f"no preset {name!r}"} for name in names if name not in cn.PRESETS]
    return [name for name in names if name in cn.PRESETS], missing


# --- a, b: how soon, how far ----------------------------------------------------------
def to_35_db(options: Options) -> Section:
    """Seconds to 35 dB on Lenna, default preset."""
    found = lenna(options)
    goal, limit = options.pick((35.0, 120.0), (20.0, 1.0))
    nets = [
        _fit(found.image, "grid", psnr=goal, seconds=limit, seed=seed)
        for seed in range(min(3, options.rounds))
    ]
    rows = [
        fit_row(found, net, f"grid, seed {seed}", stopped=net.fitted.stopped)
        for seed, net in enumerate(nets)
    ]
    reached = all(net.fitted.stopped == "psnr" for net in nets)
    seconds = median(net.fitted.seconds for net in nets) if reached else None
    what = "Lenna 512x512, default preset: seconds of running to 35 dB"
    note = f"Stopped at the first look that shows {goal} dB; the fit looks about twice a second."
    return Section("How soon 35 dB", note, rows, [Figure(what, seconds, "s", 15, 5, "less")])


def best(options: Options) -> Section:
    """The `best` preset on Lenna, 60 seconds."""
    found = lenna(options)
    names, rows = _presets(["best"])
    value = None
    for name in names:
        net = _fit(found.image, name, seconds=options.pick(60, 0.5))
        rows.append(fit_row(found, net, name))
        value = net.fitted.psnr
    figure = Figure("`best` preset on Lenna, 60 s", value, "dB", 44, 48)
    return Section("The best in a minute", "60 s of running.", rows, [figure])


# --- c: between the pixels ------------------------------------------------------------
def _halved(path: Path | None, options: Options) -> tuple[Picture, np.ndarray]:
    """Return a picture and its half by area, rounded to 8 bits as a file would hold it."""
    found = picture(path)
    found = small(found, 48) if options.smoke else found
    h, w = (n // 2 * 2 for n in found.image.shape[:2])
    image = found.image[:h, :w]
    reduced = to_uint8(downscale_area(image, (h // 2, w // 2)))
    return Picture(found.name, image), reduced.astype(np.float32) / 255


def _bicubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    shown = Image.fromarray(to_uint8(image).squeeze())
    out = np.asarray(shown.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return out.reshape(*size, -1).astype(np.float32) / 255


def between_pixels(options: Options) -> Section:
    """Fitted to Kodak at half size, rendered at full size, against bicubic."""
    paths = files("kodak/*.png")[: options.pick(None, 1)]
    names, rows = _presets(["grid", "best"])
    gains: dict[str, list[float]] = {name: [] for name in names}
    for path in paths:
        found, reduced = _halved(path, options)
        size = found.image.shape[:2]
        cubic = psnr(_bicubic(reduced, size), found.image)
        for name in names:
            net = _fit(reduced, name, steps=options.pick(cn.PRESETS[name].steps, 5))
            shown = psnr(cn.render(net, size, progress=False), found.image)
            gains[name].append(shown - cubic)
            row = fit_row(Picture(found.name, reduced), net, name)
            row["half size PSNR dB"] = row.pop("PSNR dB")
            row |= {"full size PSNR dB": shown, "bicubic dB": cubic, "gain dB": shown - cubic}
            rows.append(row)
    for name, found_gains in gains.items():
        rows.append({"what": f"{name}, mean of {len(paths)}", "gain dB": mean(found_gains)})
    what = "default preset fitted to Kodak at half size, rendered at full size, against bicubic"
    value = mean(gains["grid"])
    note = (
        "Pictures reduced 2x by area and rounded to 8 bits; the preset's own number of steps; "
        "PSNR of the full-size render against the original, beside Pillow's bicubic of the same "
        "reduced picture."
    )
    return Section("Between the pixels", note, rows, [Figure(what, value, "dB", -0.3, 0.2)])


# --- d, e: families of networks -------------------------------------------------------
def pure_sine(options: Options) -> Section:
    """Sine and FINER networks of at most 200k weights on Lenna, 60 seconds."""
    found = lenna(options)
    seconds = options.pick(60, 0.3)
    names, rows = _presets(["siren", "siren_scaled", "finer"])
    values = []
    for name in names:
        net = _fit(found.image, name, seconds=seconds)
        rows.append(fit_row(found, net, name))
        if net.spec.parameters <= 200_000:
            values.append(net.fitted.psnr)
    # nearly as wide as 200k weights allow, by the preset's own trainer and sampling
    wide = dataclasses.replace(cn.PRESETS["siren"].spec(*found.image.shape), width=256)
    net = cn.fit(found.image, wide, seconds=seconds, progress=False)
    rows.append(fit_row(found, net, "siren, 256 wide"))
    values.append(net.fitted.psnr)
    if missing := _torch_siren.why_missing():
        rows.append({"what": missing})
    else:
        shapes = ((128, None, 1e-4), (128, 8192, 1e-4), (128, 8192, 1e-3))
        for width, points, rate in shapes[: options.pick(None, 1)]:
            rows.append(_torch_row(found, width, points, rate, seconds))
    what = "pure sine/FINER network, at most 200k weights, 60 s on Lenna"
    note = (
        "Presets, and PyTorch's SIREN 3x128 in eager mode with fused Adam for the same seconds "
        "(SIREN's rate of 1e-4 on all pixels and on random ones, and 1e-3)."
    )
    return Section(
        "Sine networks", note, rows, [Figure(what, max(values, default=None), "dB", 30, 33)]
    )


def _torch_row(found: Picture, width: int, points: int | None, rate: float, seconds: float) -> Row:
    peer = TorchSiren(found.image, width, 3, points, rate=rate, gpu=device() != "cpu")
    peer.step()
    steps, taken = peer.run_for(seconds)
    batch = "all pixels" if points is None else f"{points} pixels"
    return {
        "what": f"PyTorch, {batch} a step, rate {rate:g}",
        "picture": found.name,
        "network": f"{width}x3 sine",
        "weights": peer.parameters,
        "per sample": peer.parameters / found.image.size,
        "steps": steps,
        "run s": taken,
        "PSNR dB": peer.psnr(),
    }


def _at(history: Sequence[tuple[int, float, float]], seconds: float) -> float | None:
    """Return the PSNR of the last look at most so many seconds into the fit."""
    return next((p for _, s, p in reversed(history) if s <= seconds), None)


def every_preset(options: Options) -> Section:
    """Every preset on Lenna after 5, 15 and 60 seconds."""
    found = lenna(options)
    moments = options.pick((5, 15, 60), (0.6, 1.0))
    rows = []
    for name in list(cn.PRESETS)[: options.pick(None, 2)]:
        # a look may fall just behind a moment: one second more than the last
        net = _fit(found.image, name, seconds=moments[-1] * 1.02)
        row = fit_row(found, net, name)
        del row["PSNR dB"]
        rows.append(row | {f"dB at {s} s": _at(net.fitted.history, s) for s in moments})
    note = "One fit each; the PSNR is that of the last look before the moment."
    return Section("Every preset", note, rows, [])


# --- f: the table for users -----------------------------------------------------------
def _sizes(options: Options) -> list[tuple[str, list[Picture], float]]:
    """Return sizes, some pictures of each, and the most seconds that a fit may take."""
    if options.smoke:
        return [("48x48", [lenna(options)], 0.5)]
    photos, kodak = files("train_photos/*.png")[:3], files("kodak/*.png")[:3]
    (large,) = files("large/*.jpg")[:1]
    whole = picture(large)
    h, w = whole.image.shape[:2]
    longer = round(max(h, w) * min(1.0, (2e6 / (h * w)) ** 0.5))
    return [
        ("256x256", [small(picture(p), 256) for p in photos], 60),
        ("512x512", [lenna(options), *(small(picture(p), 512) for p in photos[:2])], 60),
        ("768x512", [picture(p) for p in kodak], 60),
        ("2 million", [picture(large, max_side=longer)], 60),
        ("26 million", [whole], 120),
    ]


def for_users(options: Options) -> Section:
    """Which preset: how long, how good, how many bytes, by picture size."""
    names, rows = _presets(["grid", "tiny", "best", "siren_scaled"])
    for size, pictures, limit in _sizes(options):
        # on the largest picture the two that reach most in the seconds it is given
        for name in names[: 2 if limit > 60 else options.pick(None, 2)]:
            nets = [
                _fit(p.image, name, steps=options.pick(cn.PRESETS[name].steps, 5), seconds=limit)
                for p in pictures
            ]
            pixels = median(p.image.shape[0] * p.image.shape[1] for p in pictures)
            kept = median(len(packed(net)) for net in nets)
            row = fit_row(pictures[0], nets[0], name)
            row["picture"] = f"{size}, {len(pictures)} of them" if len(pictures) > 1 else size
            row |= {
                "steps": round(median(n.fitted.steps for n in nets)),
                "run s": median(n.fitted.seconds for n in nets),
                "PSNR dB": median(n.fitted.psnr for n in nets),
                "file kB": kept / 1000,
                "bits per pixel": 8 * kept / pixels,
            }
            rows.append(row)
    note = (
        "The preset's own number of steps, but at most 60 s of running (120 s on 26 million "
        "pixels); medians over the pictures; compilation is that of the first. Files are the "
        "saved networks in float32."
    )
    return Section("Which preset", note, rows, [])


SECTIONS = {
    "a": to_35_db,
    "b": best,
    "c": between_pixels,
    "d": pure_sine,
    "e": every_preset,
    "f": for_users,
}

if __name__ == "__main__":
    assert __doc__
    main("quality", __doc__, SECTIONS, "a,b,c,d,e,f")
