"""Bits against PSNR and MS-SSIM: ``compress`` beside the codecs that people use.

    python benchmarks/rate_distortion.py --effort fast
    python benchmarks/rate_distortion.py --effort default --pictures kodim15 kodim05
    python benchmarks/rate_distortion.py --effort weights --pictures kodim15 --rates 0.3 0.6

Every encode is real bytes, decoded again. What was measured stays in ``rate_distortion.json``, by
codec, picture and setting, so that the table grows from run to run; ``--again`` measures anew.
``weights`` are plain networks beside COIN's own recipe, 20 minutes of it; ours make as many steps
as a core makes in less: 100,000 up to 0.3 bits a pixel, 20,000 beyond.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from _peers import PEERS, Peer, bd_rate

import coordnet as cn

HERE = Path(__file__).parent
OUT = HERE / "rate_distortion.json"
RATES = (0.15, 0.3, 0.6, 1.0)  # bits a pixel

# layers and width of COIN's networks (Dupont et al. 2021) by their bits a pixel of Kodak
_COIN = {0.07: (5, 20), 0.15: (5, 30), 0.3: (10, 28), 0.6: (10, 40), 1.2: (13, 49)}
_COIN_SECONDS = 1200
_MANY_STEPS = 0.3  # bits a pixel: beyond, 100,000 steps take a core 48 minutes

#: What was measured: by codec, picture and setting.
Found = dict[str, dict[str, dict[str, dict[str, float]]]]


def measured(
    encode: Callable[[np.ndarray], bytes], decode: Callable[[bytes], np.ndarray], image: np.ndarray
) -> dict[str, float]:
    """Return what one encode and decode come to; image is uint8."""
    begun = time.perf_counter()
    data = encode(image)
    encoded = time.perf_counter()
    found = decode(data)
    decoded = time.perf_counter()
    mse = np.square(found.astype(np.float64) - image).mean() / 255**2
    return {
        "bytes": len(data),
        "bpp": 8 * len(data) / image[..., 0].size,
        "psnr": float(-10 * np.log10(max(mse, 1e-10))),
        "ms_ssim": cn.ms_ssim(image / np.float32(255), found / np.float32(255)),
        "encode_seconds": encoded - begun,
        "decode_seconds": decoded - encoded,
    }


def of_peer(peer: Peer, image: np.ndarray, setting: float) -> dict[str, float]:
    """Measure another codec."""
    return measured(lambda v: peer.encode(v, setting), peer.decode, image)


def of_ours(image: np.ndarray, bpp: float, **options: Any) -> dict[str, float]:
    """Measure ``compress`` at a rate."""

    def encode(image: np.ndarray) -> bytes:
        return cn.compress(image / np.float32(255), bpp=bpp, progress=False, **options)

    def decode(data: bytes) -> np.ndarray:
        return np.rint(cn.decompress(data).image * 255).astype(np.uint8)

    return measured(encode, decode, image)


def of_coin(image: np.ndarray, bpp: float, seconds: float = _COIN_SECONDS) -> dict[str, float]:
    """Measure COIN's recipe: sines, Adam at 2e-4 on all pixels, half precision, the best kept."""
    depth, width = _COIN[bpp]
    spec = cn.Spec(width=width, depth=depth, activation="sine(omega=30, first=30)")
    shapes: list[Any] = []

    def encode(image: np.ndarray) -> bytes:
        net = cn.fit(
            image / np.float32(255), spec, trainer=optax.adam(2e-4), sampling="full",
            seconds=seconds, progress=False,
        )  # fmt: skip
        shapes.append(net)
        layers = [v for layer in net.layers for v in (layer.weight, layer.bias)]
        return b"".join(np.asarray(v[...], np.float16).tobytes() for v in layers)

    def decode(data: bytes) -> np.ndarray:
        (net,), values = shapes, jnp.asarray(np.frombuffer(data, np.float16), jnp.float32)
        for layer in net.layers:
            for v in (layer.weight, layer.bias):
                own, values = jnp.split(values, [v[...].size])
                v[...] = own.reshape(v[...].shape)
        return np.rint(cn.render(net, progress=False).clip(0, 1) * 255).astype(np.uint8)

    return measured(encode, decode, image)


def curves(found: Found, codec: str, picture: str) -> tuple[list[float], list[float]]:
    """Return rates and PSNRs of a codec on a picture."""
    points = found.get(codec, {}).get(picture, {}).values()
    return [p["bpp"] for p in points], [p["psnr"] for p in points]


def anchors(picture: str) -> tuple[list[float], list[float]]:
    """Return the published curve of Cool-Chic 4.2, real bytes, of one Kodak picture."""
    images = cn.images_folder()
    path = images and images.parent / "anchors" / "coolchic_per_image_kodak.csv"
    if path is None or not path.exists():
        return [], []
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    own = [r for r in rows if r[0] == "Cool-Chic v4.2" and r[1] == picture]
    return [float(r[3]) for r in own], [float(r[4]) for r in own]


def table(found: Found, pictures: list[str]) -> str:
    """Return BD-rates of our efforts against all others, as Markdown."""
    ours = [f"coordnet {effort}" for effort in ("fast", "default", "best")]
    ours = [name for name in ours if name in found]
    lines = ["| BD-rate against | " + " | ".join(ours) + " |", "|---" * (len(ours) + 1) + "|"]
    for peer in [*PEERS, "Cool-Chic 4.2 (published)"]:
        cells = []
        for name in ours:
            rates = []
            for picture in pictures:
                own = curves(found, name, picture)
                other = curves(found, peer, picture) if peer in PEERS else anchors(picture)
                if len(own[0]) >= 2 and len(other[0]) >= 2:
                    rates.append(bd_rate(*own, *other))
            cells.append(f"{100 * np.nanmean(rates):+.1f} % ({len(rates)})" if rates else "")
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def by_rate(found: Found, pictures: list[str]) -> str:
    """Return what our encodes come to at each rate, means of the pictures, as Markdown."""
    columns = {
        "bpp": "bits a pixel", "psnr": "PSNR dB", "ms_ssim": "MS-SSIM",
        "encode_seconds": "encode s", "decode_seconds": "decode s",
    }  # fmt: skip
    lines = ["| codec | pictures | " + " | ".join(columns.values()) + " |"]
    lines.append("|---" * (2 + len(columns)) + "|")
    for codec in (c for c in found if c.startswith("coordnet")):
        own = {name: found[codec][name] for name in pictures if name in found[codec]}
        for setting in sorted({s for each in own.values() for s in each}, key=float):
            some = [each[setting] for each in own.values() if setting in each]
            means = [f"{np.mean([p[name] for p in some]):.4g}" for name in columns]
            lines.append(f"| {codec} at {setting} | {len(some)} | " + " | ".join(means) + " |")
    return "\n".join(lines)


def draw(found: Found, pictures: list[str], path: Path) -> None:
    """Draw all curves, a panel for each picture."""
    import matplotlib.pyplot as plt

    rows = -(-len(pictures) // 4)
    figure, axes = plt.subplots(
        rows, min(4, len(pictures)), figsize=(18, 4.2 * rows), squeeze=False
    )
    for axis, picture in zip(axes.flat, pictures, strict=False):
        for codec in found:
            x, y = curves(found, codec, picture)
            order = np.argsort(x)
            ours = codec.startswith("coordnet")
            axis.plot(
                np.array(x)[order], np.array(y)[order], label=codec, lw=2.2 if ours else 1,
                marker="o" if ours else None,
            )  # fmt: skip
        x, y = anchors(picture)
        if x:
            axis.plot(
                *zip(*sorted(zip(x, y, strict=True)), strict=True), "k:", label="Cool-Chic 4.2"
            )
        axis.set(title=picture, xlim=(0, 1.3), xlabel="bits a pixel", ylabel="PSNR, dB")
        top = max((b for a, b in zip(x, y, strict=True) if a < 1.3), default=42)
        axis.set_ylim(top - 18, top + 1)
        axis.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=56)


def main() -> None:
    """Measure what is not measured yet, and tell all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    efforts = ("fast", "default", "best", "weights", "none")
    parser.add_argument("--effort", choices=efforts, default="fast")
    parser.add_argument("--pictures", nargs="*")
    parser.add_argument("--rates", nargs="*", type=float, default=RATES)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    if options.effort == "weights" and (unknown := set(options.rates) - set(_COIN)):
        parser.error(
            f"COIN has no network for {min(unknown)}; it has for {', '.join(map(str, _COIN))}"
        )
    images = cn.images_folder()
    if images is None:
        parser.error("no pictures: name their folder in COORDNET_IMAGES")
    folder = images / "kodak"
    names = options.pictures or sorted(p.stem for p in folder.glob("*.png"))
    found: Found = json.loads(OUT.read_text()) if OUT.exists() else {}

    def note(codec: str, picture: str, setting: str, measure: Any) -> None:
        points = found.setdefault(codec, {}).setdefault(picture, {})
        if setting not in points or (options.again and codec.startswith("coordnet")):
            point = measure()
            if OUT.exists():  # another run may have measured other points meanwhile
                found.update(json.loads(OUT.read_text()))
            points = found.setdefault(codec, {}).setdefault(picture, {})
            points[setting] = point
            partial = OUT.with_suffix(".partial")
            partial.write_text(json.dumps(found, indent=1) + "\n")
            os.replace(partial, OUT)
            p = points[setting]
            print(
                f"{codec:32s} {picture} {setting:>6s}: {p['bpp']:.4f} bpp {p['psnr']:.2f} dB "
                f"MS-SSIM {p['ms_ssim']:.4f}, {p['encode_seconds']:.1f} s, "
                f"{p['decode_seconds']:.2f} s",
                flush=True,
            )

    for picture in names:
        image = np.rint(cn.read_image(folder / f"{picture}.png") * 255).astype(np.uint8)
        for codec, peer in PEERS.items():
            for setting in peer.settings:
                note(
                    codec, picture, f"{setting:g}",
                    partial(of_peer, peer, image, setting),
                )  # fmt: skip
        for bpp in options.rates if options.effort != "none" else ():
            own = {"effort": options.effort}
            if options.effort == "weights":  # the longest
                own = {"kind": "weights", "effort": "best" if bpp <= _MANY_STEPS else "default"}
                note("COIN (its recipe)", picture, f"{bpp:g}", partial(of_coin, image, bpp))
            note(
                f"coordnet {options.effort}", picture, f"{bpp:g}",
                partial(of_ours, image, bpp, **own),
            )  # fmt: skip
    pictures = sorted({p for c in found.values() for p in c})
    print(table(found, pictures), by_rate(found, pictures), sep="\n\n")
    if options.figure:
        draw(found, pictures, options.figure)


if __name__ == "__main__":
    main()
