"""What the examples share: options, the picture, and how figures and films are kept."""

import argparse
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

import coordnet as cn

Shots = Sequence[cn.Snapshot]


def options(script: str, story: str | None, **seconds: float) -> argparse.ArgumentParser:
    """Return a parser of what every example takes; ``seconds=`` adds that option."""
    name = Path(script).stem
    parser = argparse.ArgumentParser(
        description=inspect.cleandoc(story or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("picture", nargs="?", type=Path, help="a picture of your own")
    parser.add_argument("--quick", action="store_true", help="small and short: at most 15 s")
    parser.add_argument(
        "--out", type=Path, default=Path("out", name), help="folder to write to (%(default)s)"
    )
    for option, default in seconds.items():
        parser.add_argument(f"--{option}", type=float, help=f"of each fit ({default:g})")
    return parser


def picture(args: argparse.Namespace, likes: str, side: int, quick_side: int) -> np.ndarray:
    """Return the picture asked for, or the one that the story is about, or the built-in one."""
    folder = cn.images_folder()
    path = args.picture or (folder / likes if folder else None)
    if path is not None and (args.picture or path.is_file()):
        image = cn.read_image(path)
    else:
        print(f"no {likes} at hand (see COORDNET_IMAGES): this is the built-in portrait")
        image = cn.sample_image()
    args.out.mkdir(parents=True, exist_ok=True)
    image = image[..., :3]  # the stories are about colour and grey, not about transparency
    return cn.read_image(image, max_side=quick_side if args.quick else side)


def keep(path: Path, made: Any, **how: Any) -> None:
    """Write a figure or a picture, and say so."""
    if isinstance(made, np.ndarray):
        cn.write_image(path, made, **how)
    else:
        made.savefig(path, dpi=150, **how)
    print(path)


def resized(image: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """Return a picture at ``size`` (height, width) by an interpolation of Pillow's."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, -1, 0)]
    height, width = size
    enlarged = [np.asarray(plane.resize((width, height), how)) for plane in planes]
    return np.clip(np.stack(enlarged, axis=-1), 0, 1)


class Numbers:
    """What every fit of a story came to, printed as it is added and kept as JSON."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def add(self, part: str, fits: Mapping[str, Shots], **more: Mapping[str, float]) -> None:
        """Add the fits of a part, and other figures by name."""
        for label, shots in fits.items():
            end = shots[-1]
            hidden = "" if end.hidden_psnr is None else f", {end.hidden_psnr:.1f} dB hidden"
            print(
                f"{label}: {end.psnr:.1f} dB{hidden} after {end.step:,} steps, {end.seconds:.1f} s"
            )
            spec = getattr(end.net, "spec", None)
            self.found.setdefault(part, {})[label] = {
                "weights": spec and spec.parameters,
                "psnr": end.psnr,
                "hidden_psnr": end.hidden_psnr,
                "steps": end.step,
                "seconds": end.seconds,
                "course": [(s.step, round(s.seconds, 4), round(s.psnr, 3)) for s in shots],
            }
        for name, figures in more.items():
            print(f"{name}: {', '.join(f'{k} {v:.2f}' for k, v in figures.items())}")
            self.found[part][name] = dict(figures)

    def write(self, path: Path) -> None:
        """Write all of it as one JSON object."""
        path.write_text(json.dumps(self.found), encoding="utf-8")
        print(path)


def curve(
    path: Path,
    fits: Mapping[str, Shots],
    levels: Mapping[str, float] | None = None,
    against: Literal["seconds", "steps"] = "seconds",
) -> None:
    """Draw the PSNR of fits against the logarithm of what they took, and of what takes nothing."""
    figure = cn.curves(*fits.values(), labels=list(fits), against=against)
    (axis,) = figure.axes
    axis.set_xscale("log", nonpositive="mask")  # the beginning has no place there
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.set_xlabel("seconds of running" if against == "seconds" else "steps")
    for i, (label, psnr) in enumerate((levels or {}).items()):
        axis.axhline(psnr, color="0.5", linestyle=("--", ":")[i % 2], label=label)
    if levels:
        axis.legend()
    keep(path, figure)


def race(fit: Callable[..., Any], looks: int = 150) -> list[cn.Snapshot]:
    """Return the snapshots of a fit, closer together where more happens: at its beginning."""
    return list(fit(every=cn.progress_steps(1_000_000, looks)))


def film_race(
    path: Path, racers: Mapping[str, Shots], height: int = 400, frames: int = 125
) -> None:
    """Film fits side by side on one clock that runs by the logarithm of the seconds."""
    # the clock starts when all have made a step: there is no logarithm of nothing
    start = max(next(s.seconds for s in shots if s.seconds > 0) for shots in racers.values())
    end = max(shots[-1].seconds for shots in racers.values())
    drawn: dict[str, tuple[cn.Snapshot, np.ndarray]] = {}

    def panel(label: str, shots: Shots, now: float) -> np.ndarray:
        shot = next((s for s in reversed(shots) if s.seconds <= now), shots[0])
        if label not in drawn or drawn[label][0] is not shot:
            drawn[label] = shot, cn.render(shot.net, height, progress=False)
        return cn.add_caption(drawn[label][1], f"{label}\n{shot.psnr:.1f} dB   {now:.2f} s")

    with cn.Film(path) as film:
        for i, now in enumerate(np.geomspace(start, end, frames)):
            panels = [panel(label, shots, now) for label, shots in racers.items()]
            gap = np.ones((height, 8, panels[0].shape[2]), np.float32)
            row = [part for each in panels for part in (gap, each)][1:]
            film.add(np.concatenate(row, axis=1), repeat=50 if i == frames - 1 else 1)
    print(path)


def patches(size: tuple[int, int], share: float, side: int, seed: int) -> np.ndarray:
    """Return a mask that hides ``share`` of a picture in squares: True where it is shown."""
    rng = np.random.default_rng(seed)
    mask = np.ones(size, bool)
    while np.mean(~mask) < share:
        top, left = (rng.integers(0, max(1, n - side + 1)) for n in size)
        mask[top : top + side, left : left + side] = False
    return mask
