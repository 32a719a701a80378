"""The same photograph, enlarged by what photographs taught, and by what paintings taught.

Neural enhance (2016) was trained on paintings on purpose: a network that enlarges invents what the
small picture has lost, and what it invents is what it has seen. Here the bias has a name. A
photograph is reduced four times and enlarged by both networks that ship; below stands where each
went beyond what the small picture says. Then paintings that neither has seen. In the end a network
is trained before your eyes, on a folder of pictures: original, input and result of each
verification picture at every stage, and as a film.

    python examples/paintings.py [picture] [--paintings FOLDER] [--minutes 10] [--quick]

Without --paintings they are looked for beside the other pictures; if there are none, the network is
trained on parts of the picture.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _picture import Numbers, keep, options, picture, resized
from PIL import Image

import coordnet as cn

SCALE = 4
STAGES = 24
NAMES = ("photos", "paintings")


def main() -> None:
    parser = options(__file__, __doc__, minutes=10)
    parser.add_argument("--paintings", type=Path, help="a folder of pictures to learn from")
    args = parser.parse_args()
    if args.paintings is not None and not args.paintings.is_dir():
        parser.error(f"--paintings {args.paintings}: is not a folder")
    image = picture(args, "kodak/kodim15.png", side=768, quick_side=128)
    folder = paintings(args)
    numbers = Numbers()
    photograph(args.out, image, numbers)
    held_out(args.out, folder, numbers)
    training(args, image, folder, numbers)
    numbers.write(args.out / "numbers.json")


def paintings(args: argparse.Namespace) -> Path | None:
    beside = cn.images_folder()
    folder = args.paintings or (beside and beside / "paintings")
    if folder is not None and folder.is_dir():
        return folder
    print("no paintings at hand (--paintings): the network is trained on parts of the picture")
    return None


def reduced(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture, cut to a multiple of the scale, and what is left of it."""
    height, width = (n // SCALE * SCALE for n in image.shape[:2])
    clean = np.broadcast_to(image, (*image.shape[:2], 3))[:height, :width]
    small = resized(clean, (height // SCALE, width // SCALE), Image.Resampling.BICUBIC)
    return clean, np.rint(small * 255).astype(np.float32) / 255


def enlarged(small: np.ndarray) -> dict[str, np.ndarray]:
    """Return a picture enlarged by a cubic and by both networks."""
    size = small.shape[0] * SCALE, small.shape[1] * SCALE
    found = {"cubic": resized(small, size, Image.Resampling.BICUBIC)}
    return found | {name: cn.upscale(small, SCALE, model=name) for name in NAMES}


def measured(found: dict[str, np.ndarray], clean: np.ndarray) -> dict[str, float]:
    return {f"{name}, dB": cn.psnr(drawn, clean) for name, drawn in found.items()}


def photograph(out: Path, image: np.ndarray, numbers: Numbers) -> None:
    """Draw a part of the picture as each enlarges it, and where each invents."""
    clean, small = reduced(image)
    found = enlarged(small)
    numbers.found["photograph"] = {}
    numbers.add("photograph", {}, **{f"{SCALE} times": measured(found, clean)})
    side = min(clean.shape[0], clean.shape[1]) // 2
    top, left = (clean.shape[0] - side) // 2, (clean.shape[1] - side) // 2
    part = np.s_[top : top + side, left : left + side]
    figure, axes = plt.subplots(2, 4, figsize=(16, 8.6), layout="constrained")
    for axis, (name, drawn) in zip(axes[0], ({"original": clean} | found).items(), strict=True):
        axis.imshow(drawn[part], interpolation="nearest")
        score = "" if name == "original" else f": {cn.psnr(drawn, clean):.2f} dB"
        axis.set_title(name + score)
    maps = {name: cn.invention_map(small, SCALE, model=name)[part] for name in NAMES}
    apart = np.abs(found["photos"] - found["paintings"]).mean(2)[part]
    top_of_all = max(float(v.max()) for v in maps.values())
    shown = {f"invented by {name}": v for name, v in maps.items()} | {"between the two": apart}
    axes[1, 0].imshow(small.repeat(SCALE, 0).repeat(SCALE, 1)[part], interpolation="nearest")
    axes[1, 0].set_title("what is left of it")
    for axis, (name, drawn) in zip(axes[1, 1:], shown.items(), strict=True):
        axis.imshow(255 * drawn, cmap="magma", vmax=255 * top_of_all)
        axis.set_title(name)
    figure.colorbar(axes[1, 1].images[0], ax=axes[1], label="levels of 255", shrink=0.8)
    for axis in axes.flat:
        axis.set_axis_off()
    keep(out / "photograph.png", figure)


def held_out(out: Path, folder: Path | None, numbers: Numbers) -> None:
    """Measure paintings that neither network has seen, and draw a part of each."""
    card = cn.data_card("upscale", model="paintings")
    names = [] if folder is None else [n for n in card["set aside"] if (folder / n).is_file()]
    if not names:
        print("no paintings at hand that were set aside")
        return
    numbers.found["held-out paintings"] = {}
    rows = []
    for name in names:
        assert folder is not None
        clean, small = reduced(cn.read_image(folder / name)[..., :3])
        found = enlarged(small)
        numbers.add("held-out paintings", {}, **{name: measured(found, clean)})
        top, left = (n // 3 for n in clean.shape[:2])
        side = min(240, *(n // 2 for n in clean.shape[:2]))
        parts = ({"original": clean} | found).items()
        rows.append([(label, v[top : top + side, left : left + side]) for label, v in parts])
    figure, axes = plt.subplots(
        len(rows), 4, figsize=(12, 3.1 * len(rows)), layout="constrained", squeeze=False
    )
    for line, row in zip(axes, rows, strict=True):
        for axis, (label, part) in zip(line, row, strict=True):
            axis.imshow(part, interpolation="nearest")
            axis.set_title(label)
            axis.set_axis_off()
    keep(out / "held-out.png", figure)


def training(
    args: argparse.Namespace, image: np.ndarray, folder: Path | None, numbers: Numbers
) -> None:
    """Train a network, and keep what it makes of the verification pictures at every stage."""
    minutes = args.minutes
    if minutes is None:
        minutes = 0.03 if args.quick else 10
    told: set[int] = set()
    stages = numbers.found["training"] = []
    width, blocks = (8, 1) if args.quick else (32, 4)
    with tempfile.TemporaryDirectory() as temporary:
        if folder is None:
            folder = in_parts(image, Path(temporary))
        weights = args.out / "mine.safetensors"
        with cn.Film(args.out / "learning.mp4", fps=8) as film:

            def watch(stage: cn.Stage) -> None:
                if not stage.triptychs:
                    weights.with_suffix(".checkpoint").unlink(missing_ok=True)
                    sys.exit(f"{folder}: too few pictures to set one aside, which is to be shown")
                if stage.step in told:  # the end may be a stage that was shown
                    return
                told.add(stage.step)
                stages.append({
                    "step": stage.step, "minutes": stage.minutes, "loss": stage.loss,
                    "dB to a cubic": stage.gain,
                })  # fmt: skip
                said = f"step {stage.step}, {stage.minutes:.1f} minutes, {stage.gain:+.2f} dB"
                whole = cn.add_caption(sheet(stage.triptychs), f"{said} to a cubic")
                keep(args.out / f"stage-{stage.step:06d}.jpg", whole)
                film.add(whole, repeat=2)

            numbers.found["card"] = cn.train_upscale(
                folder, weights, name="mine", minutes=minutes, every=60 * minutes / STAGES,
                watch=watch,
                width=width, blocks=blocks,
            )  # fmt: skip
        print(args.out / "learning.mp4")
        print(weights)


def sheet(triptychs: list[np.ndarray]) -> np.ndarray:
    """Lay triptychs below each other, in two columns if they are more than four, over a band."""
    height, width = (max(t.shape[k] for t in triptychs) for k in (0, 1))
    rows = len(triptychs) if len(triptychs) <= 4 else -(-len(triptychs) // 2)
    columns = -(-len(triptychs) // rows)
    band = rows * height // 14  # where the caption lies
    whole = np.ones((rows * height + band, columns * width, 3), np.float32)
    for k, triptych in enumerate(triptychs):
        y, x = k % rows * height, k // rows * width
        whole[y : y + triptych.shape[0], x : x + triptych.shape[1]] = triptych
    return whole


def in_parts(image: np.ndarray, folder: Path) -> Path:
    """Cut a picture into a folder of parts."""
    for k, rows in enumerate(np.array_split(image, 5)):
        for j, part in enumerate(np.array_split(rows, 5, axis=1)):
            cn.write_image(folder / f"{k}{j}.png", part)
    return folder


if __name__ == "__main__":
    main()
