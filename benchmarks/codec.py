"""The codec: how fast a fit steps and a file decodes, how much memory large pictures take.

Rates and qualities are measured by ``rate_distortion.py``, one encode after another; part e here
only sums up what it has found so far.

    python benchmarks/codec.py [--smoke] [--only a,b] [--rounds 5] [--out FOLDER]

``d``, a picture of 26 megapixels, takes half an hour, and ``f``, cold calls of ``compress``, six
minutes of both cores with nothing beside: they are run only when asked for.
"""

import json
import tempfile
from functools import cache
from pathlib import Path
from statistics import mean, median

import _points_first
import jax
import jax.numpy as jnp
import numpy as np
import rate_distortion
from _common import (
    PEAK,
    Figure,
    Options,
    Picture,
    Row,
    Section,
    alternate,
    clock,
    files,
    main,
    picture,
    psnr,
    python,
    ratio,
    small,
)
from _peers import at_equal_psnr, bd_rate
from PIL import Image

import coordnet as cn
from coordnet.codec._grids import CORE
from coordnet.codec._latents import make_pass, pace
from coordnet.codec._plane import Part
from coordnet.codec._pyramid import CELL, shapes

_PRICE, _MODEL = 1e-3, 2  # squared error that a bit may cost, and the networks trained for it

_DECODE = """
import sys, time
start = time.perf_counter()
import coordnet
image = coordnet.decompress(sys.argv[1]).image
print(time.perf_counter() - start)
"""

_COLD = """
import sys, time
start = time.perf_counter()
import coordnet as cn
blob = cn.compress(sys.argv[1], bpp=float(sys.argv[2]), effort=sys.argv[3], progress=False)
print(time.perf_counter() - start, len(blob))
"""

_LARGE = (
    PEAK
    + """
import sys, time
import coordnet as cn
from pathlib import Path

start = time.perf_counter()
if sys.argv[3] == "compress":
    blob = cn.compress(sys.argv[1], bpp=0.3, effort="fast", progress=False)
    Path(sys.argv[2]).write_bytes(blob)
else:
    image = cn.decompress(sys.argv[2]).image
print(time.perf_counter() - start, peak())
"""
)


def _kodak(name: str, options: Options) -> Picture:
    found = picture(files(f"kodak/{name}.png")[0])
    return small(found, 2 * CELL) if options.smoke else found


def _uint8(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255).astype(np.uint8)


def steps(options: Options) -> Section:
    """A pass of a default fit over a Kodak picture, and the same points first."""
    found = _kodak("kodim15", options)
    height, width = (n // CELL * CELL for n in found.image.shape[:2])
    part = Part(_uint8(found.image[:height, :width]), _MODEL, tuned=True)
    now, rng, key = pace(0.5, _PRICE), np.random.default_rng(0), jax.random.key(0)

    def ours() -> None:
        part.state = make_pass(part.state, part.grids, now, key, rng)

    sizes = shapes(height, width, part.grids.finest)
    inner = (v[:, CORE, CORE] for v in part.grids.values)
    cut = [v[:, :h, :w] for v, (_, h, w) in zip(inner, sizes, strict=True)]
    grids = [jnp.asarray(np.moveaxis(v, 0, -1)) for v in cut]
    pixels = jnp.asarray(part.samples, jnp.float32) / 255
    naive = _points_first.stepping(part.state.params, grids, pixels, now)
    compiled = {"coordnet": clock(ours), "points first": clock(naive)}
    sides = alternate({"coordnet": lambda: clock(ours), "points first": lambda: clock(naive)},
                      options.rounds if options.smoke else 3 * options.rounds)  # fmt: skip
    rows: list[Row] = [
        {
            "what": what,
            "picture": found.name,
            "first call s": compiled[what],
            "run s": median(seconds),
            "for": "a step of all latents",
        }
        for what, seconds in sides.items()
    ]
    gain = ratio(sides["points first"], sides["coordnet"])
    what = "a codec's step on a Kodak picture, times as fast as points first"
    note = (
        "Networks and latents of a default fit at a price of 1e-3. Points first: the same cost "
        "of the whole picture, channels last, gradients by JAX, optax's Adam on all; it steps "
        "the networks once a pass, coordnet three times."
    )
    return Section("Steps of the codec", note, rows, [Figure(what, gain, "x", 2, 4)])


@cache
def _blob(name: str, bpp: float, options: Options) -> bytes:
    found = _kodak(name, options)
    return cn.compress(found.image, bpp=bpp, effort="fast", progress=False)


def decoding(options: Options) -> Section:
    """Seconds until a Kodak picture is decoded: the work, and a whole process."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.cnet"
        for bpp in options.pick((0.15, 0.6, 1.0), (4.0,)):
            found = _kodak("kodim05", options)
            path.write_bytes(_blob("kodim05", bpp, options))
            work = [
                clock(lambda: cn.decompress(path.read_bytes()).image) for _ in range(options.rounds)
            ]
            inside = [float(python(_DECODE, str(path))) for _ in range(options.rounds)]
            whole = [clock(lambda: python(_DECODE, str(path))) for _ in range(options.rounds)]
            for what, seconds in (
                ("decompress, again in one process", work),
                ("import and decompress, in a new process", inside),
                ("the whole process", whole),
            ):
                rows.append(
                    {"what": what, "picture": found.name, "bpp": bpp, "run s": median(seconds),
                     "for": "a decode"}
                )  # fmt: skip
    worst = [max(r["run s"] for r in rows[k::3]) for k in (0, 2)]
    figures = [
        Figure("decoding a Kodak picture, the work", worst[0], "s", 1, 1, "less"),
        Figure("decoding a Kodak picture, the whole process", worst[1], "s", 1.5, 1.5, "less"),
    ]
    return Section("Decoding", "Files of effort fast; the slowest rate counts.", rows, figures)


def above_native(options: Options) -> Section:
    """Kodak at half size, compressed, drawn at full size, against bicubic of the decoded."""
    rows: list[Row] = []
    for path in files("kodak/*.png")[: options.pick(None, 1)]:
        found = picture(path)
        found = small(found, 2 * CELL) if options.smoke else found
        height, width = (n // 2 for n in found.image.shape[:2])
        full = found.image[: 2 * height, : 2 * width]
        reduced = _uint8(full.reshape(height, 2, width, 2, -1).mean((1, 3))) / np.float32(255)
        for bpp in options.pick((0.3, 1.0), (4.0,)):
            blob = cn.compress(reduced, bpp=bpp, effort="fast", progress=False)
            decoded = cn.decompress(blob)
            drawn = cn.render(decoded, (2 * height, 2 * width))
            size = (2 * width, 2 * height)
            cubic = Image.fromarray(_uint8(decoded.image)).resize(size, Image.Resampling.BICUBIC)
            ours, theirs = psnr(drawn, full), psnr(np.asarray(cubic) / np.float32(255), full)
            rows.append({
                "what": "render at twice the size", "picture": found.name, "bpp": bpp,
                "full size PSNR dB": ours, "bicubic dB": theirs, "gain dB": ours - theirs,
            })  # fmt: skip
    gain = mean(row["gain dB"] for row in rows)
    what = "a compressed picture at twice its size, against bicubic"
    note = (
        "Pictures reduced 2x by area and rounded to 8 bits, compressed (fast), drawn at the size "
        "of the original and compared with that; beside it Pillow's bicubic of the decoded picture."
    )
    return Section("Above native size", note, rows, [Figure(what, gain, "dB", 0, 0)])


def large(options: Options) -> Section:
    """Seconds and peak memory of 26 megapixels; half an hour."""
    found = picture(files("large/*")[0])
    if options.smoke:
        found = small(found, 2 * CELL)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        source, path = Path(folder) / "a.png", Path(folder) / "a.cnet"
        cn.write_image(source, found.image)
        for what in ("compress", "decompress"):
            seconds, peak = python(_LARGE, str(source), str(path), what).split()
            rows.append({
                "what": f"{what}, fresh process", "picture": found.name, "run s": float(seconds),
                "for": "a picture", "peak MB": int(peak) / 1e6,
            })  # fmt: skip
        rows[0] |= {"bytes": path.stat().st_size}
        rows[1] |= {"PSNR dB": psnr(cn.decompress(path).image, found.image)}
    worst = max(row["peak MB"] for row in rows)
    what = "26 megapixels, compressed and decompressed: peak memory"
    return Section(
        "Large pictures", "Effort fast at 0.3 bits a pixel; imports and reading included.",
        rows, [Figure(what, worst, "MB", 4000, 4000, "less")],
    )  # fmt: skip


def cold(options: Options) -> Section:
    """Seconds of a first call, in a new process without any program compiled before."""
    rows: list[Row] = []
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.png"
        found = _kodak("kodim15", options)
        cn.write_image(source, found.image)
        for effort, most in options.pick((("fast", 30), ("default", 300)), (("fast", 30),)):
            said = python(_COLD, str(source), "0.6", effort).split()
            rows.append({
                "what": f"{effort}, compilation and import included", "picture": found.name,
                "bpp": 0.6, "run s": float(said[0]), "bytes": int(said[1]), "for": "an encode",
            })  # fmt: skip
            what = f"compress, effort {effort}: a cold call, a Kodak picture"
            figures.append(Figure(what, float(said[0]), "s", most, most, "less"))
    return Section("Cold calls", "One after the other, with nothing beside.", rows, figures)


def rates(_: Options) -> Section:
    """What rate_distortion.py has found so far."""
    found = json.loads(rate_distortion.OUT.read_text())
    pictures = sorted({p for points in found.values() for p in points})
    rows: list[Row] = []

    def gain(ours: str, peer: str) -> float | None:
        each, counts = [], set()
        for name in pictures:
            own, other = (rate_distortion.curves(found, codec, name) for codec in (ours, peer))
            if len(own[0]) >= 2 and other[0]:
                each.append(100 * bd_rate(*own, *other))
                counts.add(len(own[0]))
        if not each:
            return None
        of = f"{len(each)} pictures of Kodak, {min(counts)} rates"
        rows.append({"what": f"{ours} against {peer}", "picture": of, "BD-rate %": mean(each)})
        return mean(each)

    figures = []
    bars = {
        ("coordnet fast", "JPEG (optimised, progressive)"): (-35, -50),
        ("coordnet default", "WebP (method 6)"): (-10, -30),
        ("coordnet default", "AVIF (speed 0, 4:4:4)"): (30, 0),
    }
    for ours in ("coordnet fast", "coordnet default"):
        for peer in rate_distortion.PEERS:
            value = gain(ours, peer)
            if (ours, peer) in bars:
                what = f"{ours}: BD-rate against {peer}"
                figures.append(Figure(what, value, "%", *bars[ours, peer], "less"))
    figures.append(Figure(
        "coordnet best: bytes at equal PSNR, against Cool-Chic 4.2", _of_best(found, rows), "%",
        20, 5, "less",
    ))  # fmt: skip
    what = "plain weights over COIN's recipe, 20 minutes of a core at most"
    figures.append(Figure(what, _of_weights(found, rows), "dB", 1.5, 3))
    note = (
        "Real bytes. BD-rate by monotone cubics of the log rate over PSNR, between 0.1 and 1.0 "
        "bits a pixel; means of each picture's. Cool-Chic's curve is the published one of the same "
        "picture, of real bytes. Below 0 we need less."
    )
    return Section("Rate and distortion", note, rows, figures)


def _of_best(found: rate_distortion.Found, rows: list[Row]) -> float | None:
    gains = []
    for name, points in found.get("coordnet best", {}).items():
        theirs = rate_distortion.anchors(name)
        for setting, point in points.items() if theirs[0] else ():
            gains.append(100 * at_equal_psnr(point["bpp"], point["psnr"], *theirs))
            rows.append({
                "what": f"coordnet best at {setting} bpp against Cool-Chic 4.2",
                "picture": name, "PSNR dB": point["psnr"], "bytes %": gains[-1],
                "run s": point["encode_seconds"], "for": "an encode",
            })  # fmt: skip
    return mean(gains) if gains else None


def _of_weights(found: rate_distortion.Found, rows: list[Row]) -> float | None:
    gains = []
    for name, points in found.get("coordnet weights", {}).items():
        peers = found.get("COIN (its recipe)", {}).get(name, {})
        for setting in points.keys() & peers.keys():
            ours, theirs = points[setting], peers[setting]
            gains.append(ours["psnr"] - theirs["psnr"])
            for what, point in (("plain weights", ours), ("COIN's recipe", theirs)):
                rows.append({
                    "what": what, "picture": name, "bpp": point["bpp"],
                    "PSNR dB": point["psnr"], "run s": point["encode_seconds"], "for": "an encode",
                })  # fmt: skip
    return mean(gains) if gains else None


SECTIONS = {"a": steps, "b": decoding, "c": above_native, "d": large, "e": rates, "f": cold}

if __name__ == "__main__":
    assert __doc__
    main("codec", __doc__, SECTIONS, "a,b,c,e")
