"""What a network puts where it was shown nothing.

A part of the picture is hidden, single pixels or whole patches; each preset is fitted to the
rest, all for the same seconds, and asked for everything. Where single pixels are missing, a
network must only be smooth to be right. Where patches are missing it must guess, and the
better it fits, the less it is held back from guessing wildly: compare the two ends of a line.

    python examples/hold_out.py [picture] [--seconds 5] [--presets grid siren ...] [--quick]
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _picture import keep, options, patches, picture

import coordnet as cn

PRESETS = ["grid", "tiny", "siren", "finer", "fourier", "wire", "mona_lisa_deep", "lenna"]


def main() -> None:
    parser = options(__file__, __doc__, seconds=5)
    parser.add_argument("--presets", nargs="+", default=None, metavar="NAME")
    args = parser.parse_args()
    seconds = args.seconds or (0.3 if args.quick else 5.0)
    image = picture(args, "lenna.png", side=256, quick_side=64)
    presets = args.presets or (["grid", "siren", "lenna"] if args.quick else PRESETS)

    rng = np.random.default_rng(0)
    size = image.shape[:2]
    masks = {
        "half of the pixels": rng.random(size) < 0.5,
        "a fifth, in patches": patches(size, share=0.2, side=max(size) // 10, seed=0),
    }
    found = {
        hidden: {name: cn.fit(image, name, mask=mask, seconds=seconds) for name in presets}
        for hidden, mask in masks.items()
    }
    for hidden, nets in found.items():
        for name, net in nets.items():
            record = net.fitted
            print(f"{hidden}: {name}: {record.psnr:.1f} dB, hidden {record.hidden_psnr:.1f} dB")
        keep(args.out / f"{hidden.split()[-1]}.png", sheet(image, masks[hidden], nets))
    draw_ranges(args.out / "shown_and_hidden.png", found)


def sheet(image: np.ndarray, mask: np.ndarray, nets: dict[str, cn.CoordNet]):
    """Show what was to be seen, and what each network made of it."""
    titles = ["what was shown"]
    for name, net in nets.items():
        titles.append(f"{name}: {net.fitted.psnr:.1f} dB, hidden {net.fitted.hidden_psnr:.1f} dB")
    pictures = [np.where(mask[..., None], image, 1.0), *map(cn.render, nets.values())]
    return cn.show(*pictures, titles=titles, columns=3)


def draw_ranges(path: Path, found: dict[str, dict[str, cn.CoordNet]]) -> None:
    """Draw a line for each preset, from the PSNR of the hidden pixels to that of the shown."""
    figure, axes = plt.subplots(
        1, len(found), figsize=(11, 4), sharex=True, sharey=True, layout="constrained"
    )
    for axis, (hidden, nets) in zip(axes, found.items(), strict=True):
        rows = np.arange(len(nets))
        shown, unseen = np.array([(n.fitted.psnr, n.fitted.hidden_psnr) for n in nets.values()]).T
        axis.hlines(rows, unseen, shown, color="0.8", linewidth=3, zorder=1)
        axis.scatter(shown, rows, label="shown", zorder=2)
        axis.scatter(unseen, rows, label="hidden", zorder=2)
        axis.set_yticks(rows, list(nets))
        axis.set_title(f"hidden: {hidden}")
        axis.set_xlabel("PSNR (dB)")
        axis.grid(axis="x", alpha=0.3)
    axes[0].invert_yaxis()  # once: the axes share it
    axes[-1].legend(loc="lower right")
    keep(path, figure)
    plt.close(figure)


if __name__ == "__main__":
    main()
