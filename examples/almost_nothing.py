"""How little can a picture be?

The founding experiment asked for images of "almost arbitrarily small sizes", and found that a
network "retains detail differently". Here is what became of both:

weights     Lenna as the 573 weights of three layers of 15 tanh units: 2292 bytes as numbers of
            32 bits, and how many bytes they need when each is rounded to what it is worth
budgets     pictures in 500, 1000 and 2000 bytes: as a pyramid of latents, as plain weights, and
            as the best WebP, AVIF and JPEG XL of that size. These cannot be so small at 512
            pixels: they are given a smaller picture, enlarged again by Lanczos

    python examples/almost_nothing.py [picture] [--effort default] [--seconds 20] [--quick]

JPEG XL needs the bench extra (pip install 'coordnet[bench]'); without it, it is left out.
"""

import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from _picture import Numbers, keep, options, picture, resized
from PIL import Image

import coordnet as cn

CLASSIC = cn.Spec(width=15, depth=3, activation="tanh", output="sigmoid", coordinates="edges")
BUDGETS = (500, 1000, 2000)  # bytes
Codec = tuple[Callable[[np.ndarray, int], bytes], Callable[[bytes], np.ndarray], range]


def main() -> None:
    parser = options(__file__, __doc__, seconds=20)
    parser.add_argument("--effort", choices=("fast", "default", "best"), default="default")
    args = parser.parse_args()
    numbers = Numbers()
    image = picture(args, "lenna.png", side=512, quick_side=80)
    weights(args.out, image, 1.0 if args.quick else args.seconds or 20.0, numbers)
    # a pyramid takes half a minute to learn at the least: no part of a quick look
    budgets = BUDGETS[:1] if args.quick else BUDGETS
    compare(args.out, image, budgets, args.effort, not args.quick, numbers)
    numbers.write(args.out / "numbers.json")


def weights(out: Path, image: np.ndarray, seconds: float, numbers: Numbers) -> None:
    """Fit the classic network, and keep it in fewer and fewer bytes."""
    net = cn.fit(image, CLASSIC, trainer="least_squares", seconds=seconds, progress=False)
    size = 4 * net.spec.parameters
    found = {f"{size} bytes, float32": (size, cn.render(net, progress=False))}
    for most in (900, 600, 500, 400, 300, 200):
        blob = cn.compress(net, max_bytes=most)
        found[f"{len(blob)} bytes"] = len(blob), cn.decompress(blob).image
    numbers.found["weights"] = {}
    shown = {}
    for label, (size, drawn) in found.items():
        figures = measured(drawn, image)
        numbers.add("weights", {}, **{f"573 weights, {label}": {"bytes": size} | figures})
        shown[f"{label}\n{figures['dB']:.2f} dB"] = drawn
    keep(out / "weights.jpg", sheet({"the picture": image} | shown, columns=4))


def compare(
    out: Path, image: np.ndarray, budgets: Any, effort: Any, pyramids: bool, numbers: Numbers
) -> None:
    """Keep a picture in so many bytes in every way."""
    numbers.found["budgets"] = {}
    shown = {}
    for most in budgets:
        ways: dict[str, tuple[int, np.ndarray]] = {}
        if pyramids:
            ways["pyramid"] = ours(image, most, effort=effort)
        ways["plain weights"] = ours(
            image, most, effort=effort if pyramids else "fast", kind="weights"
        )
        for name, codec in others():
            if found := smallest(image, most, *codec):
                ways[name] = found
        for name, (size, drawn) in ways.items():
            figures = measured(drawn, image)
            numbers.add("budgets", {}, **{f"{most}: {name}": {"bytes": size} | figures})
            label = f"{name}, {size} bytes\n{figures['dB']:.2f} dB, {figures['similarity']:.3f}"
            shown[label] = drawn
    keep(out / "budgets.jpg", sheet(shown, columns=len(shown) // len(budgets)))


def measured(drawn: np.ndarray, image: np.ndarray) -> dict[str, float]:
    """Return PSNR, and MS-SSIM, or SSIM of a picture that is too narrow for five scales."""
    similarity = cn.ms_ssim if min(image.shape[:2]) >= 176 else cn.ssim
    return {"dB": cn.psnr(drawn, image), "similarity": similarity(drawn, image)}


def ours(image: np.ndarray, most: int, **how: Any) -> tuple[int, np.ndarray]:
    """Return the bytes that were used, and the picture."""
    blob = cn.compress(image, max_bytes=most, progress=False, **how)
    return len(blob), cn.decompress(blob).image


def others() -> Iterator[tuple[str, Codec]]:
    """Yield the codecs at hand."""

    def saved(kind: str, **more: Any) -> Callable[[np.ndarray, int], bytes]:
        def encode(samples: np.ndarray, quality: int) -> bytes:
            file = io.BytesIO()
            Image.fromarray(samples).save(file, kind, quality=quality, **more)
            return file.getvalue()

        return encode

    def opened(data: bytes) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    yield "WebP", (saved("WEBP", method=6), opened, range(0, 100, 5))
    # its quickest setting is 10, its best 0; 2 is nearly as good, and four times as quick
    yield "AVIF", (saved("AVIF", speed=2, subsampling="4:2:0"), opened, range(0, 100, 5))
    try:
        codecs = importlib.import_module("imagecodecs")
    except ImportError:
        return
    yield (
        "JPEG XL",
        (
            lambda samples, quality: bytes(codecs.jpegxl_encode(samples, level=quality, effort=7)),
            codecs.jpegxl_decode,
            range(5, 100, 5),
        ),
    )


def smallest(
    image: np.ndarray,
    most: int,
    encode: Callable[[np.ndarray, int], bytes],
    decode: Callable[[bytes], np.ndarray],
    qualities: range,
) -> tuple[int, np.ndarray] | None:
    """Return the best of a codec's files that are small enough: of any quality, of any size."""
    height, width = image.shape[:2]
    best: tuple[int, np.ndarray] | None = None
    for part in (1, 2, 3, 4, 6, 8, 12):
        small = resized(image, (height // part, width // part), Image.Resampling.LANCZOS)
        samples = np.rint(small * 255).astype(np.uint8)
        for quality in qualities:
            data = encode(samples, quality)
            if len(data) > most:
                break
            found = decode(data) / np.float32(255)
            drawn = resized(found, (height, width), Image.Resampling.LANCZOS)
            if best is None or cn.psnr(drawn, image) > cn.psnr(best[1], image):
                best = len(data), drawn
    return best


def sheet(pictures: dict[str, np.ndarray], columns: int) -> Any:
    """Return a figure of pictures with their titles."""
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3 * columns, 3.5 * rows), layout="constrained", squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (label, drawn) in zip(axes.flat, pictures.items(), strict=False):
        axis.imshow(np.clip(drawn, 0, 1), interpolation="nearest")
        axis.set_title(label, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
