"""What a screenshot loses when it is saved as a JPEG, and what comes back.

UnJPEG (2016) trained a network on screenshots as Twitter saved them: quality 85, colours at half
the resolution, progressive. Its log shows each of them three times, and so does this: the
screenshot, its JPEG, and the cleaned picture, whole and a part of it three times larger. Beside it
stands what a photograph gains at several qualities, and what it would gain without the guarantee
that nothing leaves what the file says.

    python examples/dejpeg.py [picture] [--quick]

The screenshot is drawn, with fonts that the network has not learnt from; [picture] is a picture of
your own, without traces of JPEG, in the photograph's place.
"""

import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _picture import Numbers, keep, options, picture
from PIL import Image

import coordnet as cn
from coordnet.restore._screens import HELD_OUT_FONTS, screen

QUALITIES = (10, 20, 40, 60, 85)


def main() -> None:
    args = options(__file__, __doc__).parse_args()
    image = picture(args, "kodak/kodim15.png", side=768, quick_side=96)
    numbers = Numbers()
    shot(args.out, (96, 144) if args.quick else (320, 480), numbers)
    photograph(args.out, image, numbers)
    numbers.write(args.out / "numbers.json")


def saved(image: np.ndarray, quality: int) -> bytes:
    """Return a JPEG file as Twitter made them."""
    samples = np.rint(image * 255).astype(np.uint8).squeeze()
    file = io.BytesIO()
    Image.fromarray(samples).save(
        file, "JPEG", quality=quality, subsampling="4:2:0", progressive=True
    )
    return file.getvalue()


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) / np.float32(255)


def shot(out: Path, size: tuple[int, int], numbers: Numbers) -> None:
    """Draw the screenshot, its JPEG and the cleaned picture."""
    clean = screen(np.random.default_rng(3), size, HELD_OUT_FONTS) / np.float32(255)
    data = saved(clean, 85)
    shown = {"the screenshot": clean, "as a JPEG": opened(data), "cleaned": cn.dejpeg(data)}
    numbers.found["screenshot"] = {}
    figure, axes = plt.subplots(2, 3, figsize=(15, 8), layout="constrained")
    for column, (label, drawn) in enumerate(shown.items()):
        drawn = np.rint(drawn * 255) / np.float32(255)
        title = label
        if label != "the screenshot":
            white = clean.min(2) == 1
            found = {"dB": cn.psnr(drawn, clean), "SSIM": cn.ssim(drawn, clean)}
            found["white kept, %"] = 100 * float((drawn.min(2) == 1)[white].mean())
            numbers.add("screenshot", {}, **{label: found})
            title = f"{label}: {found['dB']:.1f} dB, {found['white kept, %']:.0f} % of white kept"
        part = drawn[size[0] // 3 : 2 * size[0] // 3, size[1] // 3 : 2 * size[1] // 3]
        for axis, what in zip(axes[:, column], (drawn, part), strict=True):
            axis.imshow(what.clip(0, 1), interpolation="nearest")
            axis.set_axis_off()
        axes[0, column].set_title(title)
    keep(out / "screenshot.png", figure)


def photograph(out: Path, image: np.ndarray, numbers: Numbers) -> None:
    """Draw how far a photograph comes back at some qualities."""
    image = np.broadcast_to(image, (*image.shape[:2], 3))
    numbers.found["photograph"] = {}
    lines: dict[str, list[float]] = {"as a JPEG": [], "cleaned": [], "without the guarantee": []}
    for quality in QUALITIES:
        data = saved(image, quality)
        found = (opened(data), cn.dejpeg(data), cn.dejpeg(data, keep_bins=False))
        for label, drawn in zip(lines, found, strict=True):
            lines[label].append(cn.psnr(drawn, image))
        measured = {f"{label}, dB": values[-1] for label, values in lines.items()}
        for label, drawn in zip(lines, found, strict=True):
            measured[f"{label}, SSIM"] = cn.ssim(drawn.clip(0, 1), image)
        numbers.add("photograph", {}, **{f"quality {quality}": measured})
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for label, values in lines.items():
        axis.plot(QUALITIES, values, "o-", label=label)
    axis.set(xlabel="quality of the JPEG, 4:2:0", ylabel="PSNR, dB")
    axis.grid(alpha=0.3)
    axis.legend()
    keep(out / "photograph.png", figure)
    data = saved(image, QUALITIES[0])
    side = min(image.shape[0], image.shape[1]) // 2
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    parts = [
        v[top : top + side, left : left + side] for v in (image, opened(data), cn.dejpeg(data))
    ]
    keep(out / f"quality-{QUALITIES[0]}.png", np.concatenate(parts, 1).clip(0, 1))


if __name__ == "__main__":
    main()
