"""Part g of ``speed.py``: tiny-cuda-nn's own protocol, and a picture of 26 million pixels.

The protocol is that of ``mlp_learning_an_image`` with ``config_hash.json`` (NVlabs,
tiny-cuda-nn): a grey picture of 3250x4333 pixels, 1000 steps of 2^18 random samples, relative
L2, Adam 1e-2, hashed grid of 16 levels x 2 features, T = 2^15, base 16, scale 1.5, linear
interpolation, then 64x2 relu. Its README says "a bit over 1 s" on an RTX 4090, and no PSNR.
Differences: samples are pixel centres here, not points between them; sRGB as stored, not
linear light; float32 and bfloat16, not float16.
"""

import math
from statistics import median

from _common import Figure, Options, Picture, Row, Section, files, fit_row, picture, small
from _machine import device

import coordnet as cn

_ADAM = cn.adam(1e-2, b2=0.99, average=0)
_HIGH, _WIDE = 4333, 3250  # pixels of albert.jpg


def _spec(levels: int, table: int) -> cn.Spec:
    """Return the hashed grid; tiny-cuda-nn's level l has ceil(16 * 1.5^l) nodes a side."""
    cells = tuple(math.ceil(16 * 1.5**level) for level in range(levels))
    encoding = f"grid(levels={cells},features=2,order=1,table={table})".replace(" ", "")
    return cn.Spec(encoding=encoding, width=64, depth=2, activation="relu")


def _crop(options: Options) -> Picture:
    (path,) = files("large/*.jpg")[:1]
    whole = picture(path, grey=True)
    h, w = whole.image.shape[:2]
    top, left = max(0, h - _HIGH) // 2, max(0, w - _WIDE) // 2
    cut = whole.image[top : top + _HIGH, left : left + _WIDE].copy()
    found = Picture(f"{whole.name.split()[0]} {cut.shape[1]}x{cut.shape[0]} grey", cut)
    return small(found, 64) if options.smoke else found


def _protocol(options: Options, dtype: str) -> tuple[Row, float]:
    found = _crop(options)
    spec = _spec(*options.pick((16, 2**15), (4, 2**8)))
    points, steps = options.pick((2**18, 1000), (512, 3))
    nets = [
        cn.fit(
            found.image,
            spec,
            trainer=_ADAM,
            sampling=f"pixels(points={points})",
            loss="relative_l2",
            dtype=dtype,
            steps=steps,
            progress=False,
        )
        for _ in range(min(options.rounds, 3))
    ]
    seconds = median(net.fitted.seconds for net in nets)
    row = fit_row(found, nets[-1], f"tiny-cuda-nn's protocol, {dtype}")
    row |= {"compile s": nets[0].fitted.compile_seconds, "run s": seconds}
    return row | {"for": f"{steps} steps of {points} pixels"}, seconds


def _to_40_db(options: Options, preset: str, sampling: str | None) -> Row:
    (path,) = files("large/*.jpg")[:1]
    found = picture(path)
    found = small(found, 64) if options.smoke else found
    net = cn.fit(
        found.image,
        preset,
        psnr=options.pick(40, 15),
        seconds=options.pick(120, 2),
        sampling=sampling,
        progress=False,
    )
    unit = "to 40 dB" if net.fitted.stopped == "psnr" else "40 dB not reached"
    what = f"{preset}, {sampling or 'its own sampling'}"
    return fit_row(found, net, what, **{"for": unit})


def large_pictures(options: Options) -> Section:
    """On a GPU: tiny-cuda-nn's protocol, and seconds to 40 dB on 26 million pixels."""
    title = "Large pictures on a GPU"
    if device() == "cpu" and not options.smoke:
        return Section(title, "", [{"what": "left out: needs a GPU"}], [])
    rows, times = [], []
    for dtype in options.pick(("float32", "bfloat16"), ("bfloat16",)):
        row, seconds = _protocol(options, dtype)
        rows.append(row)
        times.append(seconds)
    large = "strips(points=262144)"
    whole = (("grid", None), ("grid", large), ("best", None), ("best", large))
    for preset, sampling in whole[: options.pick(None, 1)]:
        if preset in cn.PRESETS:
            rows.append(_to_40_db(options, preset, sampling))
    what = "tiny-cuda-nn's protocol, 1000 steps of 2^18 pixels"
    note = (
        "Grey crop of the large picture, hashed grid of 16 levels x 2, T = 2^15, and 64x2 relu; "
        "then the whole picture of 26 million pixels to 40 dB. Published for tiny-cuda-nn's fused "
        "kernels: a bit over 1 s on an RTX 4090, no PSNR given."
    )
    return Section(title, note, rows, [Figure(what, min(times), "s", 5, 2, "less")])
