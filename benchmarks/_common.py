"""What the benchmark scripts share: the machine, alternating clocks, tables and JSON files.

Protocol of every script: what is compared runs in turn (A B A B ...), figures are medians,
ratios are taken pair by pair. Compilation is counted apart from running. FANN's seconds for
one epoch of the 3x15 network on 512x512 pixels is the yardstick of the machine: it is printed
beside absolute times, so that figures of a slower or busier machine can still be read.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from _machine import device, machine, place
from _tables import Row, cell, machine_line, rounded, table

import coordnet as cn
from coordnet._area import downscale_area
from coordnet._color import to_uint8
from coordnet._images import read_image
from coordnet._samples import images_folder, sample_image

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


class Options(NamedTuple):
    """How a script was called. ``smoke``: every part at a toy size, to see that it runs."""

    smoke: bool
    rounds: int

    def pick(self, real: Any, toy: Any) -> Any:
        """Return the real size, or the toy one of a smoke run."""
        return toy if self.smoke else real

    def steps(self, cpu: int) -> int:
        """Return so many steps on a CPU, ten times as many on a GPU, 3 in a smoke run."""
        return 3 if self.smoke else cpu if device() == "cpu" else 10 * cpu


class Figure(NamedTuple):
    """One figure that the project promised: a value, the bar it must pass and its aim."""

    what: str
    value: float | None
    unit: str
    bar: float
    aim: float
    better: str = "more"  # or "less"


class Section(NamedTuple):
    """A table: a title, what was done, its rows, and the promised figures among them.

    ``courses``: what to draw beside it, if anything, ``[seconds, dB]`` by the name of a line.
    """

    title: str
    note: str
    rows: list[Row]
    figures: list[Figure]
    courses: dict[str, list[list[float]]] | None = None


# --- clocks ---------------------------------------------------------------------------
def alternate(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run the sides in turn, ``rounds`` times; each returns what it measured of itself."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            time.sleep(0.1)  # thread pools of the side before spin for a while after their work
            found[name].append(side())
    return found


def ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median of the ratios of each pair."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def clock(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


#: Code that a process measures its own peak of memory with. Not ru_maxrss: on Linux a child
#: inherits the peak of the process that started it there.
PEAK = """
import resource

def peak():
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes, on a Mac
    return next(int(s.split()[1]) * 1024 for s in lines if s.startswith("VmHWM"))
"""


def python(code: str, *arguments: str, **environment: str) -> str:
    """Run Python code in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


# --- pictures -------------------------------------------------------------------------
class Picture(NamedTuple):
    """A picture and its name with its size, as rows print it."""

    name: str
    image: np.ndarray


def picture(path: Path | None, *, max_side: int | None = None, **options: Any) -> Picture:
    """Read a picture; None is the built-in portrait."""
    image = sample_image() if path is None else read_image(path, **options)
    if path is None and options.get("grey"):
        image = image.mean(axis=2, keepdims=True)
    if max_side and max(image.shape[:2]) > max_side:
        factor = max_side / max(image.shape[:2])
        h, w = (max(1, round(n * factor)) for n in image.shape[:2])
        image = downscale_area(image, (h, w))
    name = "grace_hopper" if path is None else path.stem
    return Picture(f"{name} {image.shape[1]}x{image.shape[0]}", np.ascontiguousarray(image))


@cache
def files(pattern: str) -> tuple[Path | None, ...]:
    """Return the pictures that match in ``COORDNET_IMAGES``; the built-in one without it."""
    folder = images_folder()
    found = sorted(folder.glob(pattern)) if folder else []
    if not found:
        where = folder or "COORDNET_IMAGES is not set"
        print(f"no {pattern} ({where}): the built-in portrait stands in", file=sys.stderr)
    return tuple(found) or (None,)


def lenna(options: Options) -> Picture:
    """Return Lenna, or the portrait cut to its 512x512."""
    (path,) = files("lenna.png")
    found = picture(path)
    if path is None:
        found = Picture("grace_hopper 512x512", found.image[:512])
    return small(found, 48) if options.smoke else found


def small(found: Picture, side: int) -> Picture:
    """Reduce a picture to ``side`` pixels squared, for smoke runs."""
    image = downscale_area(found.image, (side, side))
    return Picture(f"{found.name.split()[0]} {side}x{side}", image)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Return the PSNR in dB of two pictures rounded to 8 bits."""
    difference = to_uint8(a).astype(np.float64) - to_uint8(b)
    return float(10 * np.log10(255.0**2 / max(np.mean(difference**2), 1e-12)))


def spec_name(spec: cn.Spec) -> str:
    inner = spec.encoding.partition("(")[0]
    return f"{'' if inner == 'none' else inner + ' + '}{spec.width}x{spec.depth} {spec.activation}"


def fit_row(found: Picture, net: cn.CoordNet, what: str, **more: Any) -> Row:
    """Return the row of a fit: what, on what, how large, how long, how good."""
    record, parameters = net.fitted, net.spec.parameters
    return {
        "what": what,
        "picture": found.name,
        "network": spec_name(net.spec),
        "weights": parameters,
        "per sample": parameters / found.image.size,
        "steps": record.steps,
        "compile s": record.compile_seconds,
        "run s": record.seconds,
        "PSNR dB": record.psnr,
        **more,
    }


# --- files and the command line -----------------------------------------------------------------
def _completed(row: Row, epoch: float | None) -> Row:
    """Add the device to a row of a network, and FANN's epochs beside its seconds."""
    out: Row = {}
    for name, value in row.items():
        out[name] = value
        if name == "weights" and "device" not in row:
            out["device"] = place()
        if name == "run s":
            out["run, FANN epochs"] = value / epoch if value is not None and epoch else None
    return out


def keep(path: Path, name: str, section: dict[str, Any], smoke: bool) -> None:
    """Put a section into a JSON file, beside those of earlier runs."""
    whole: dict[str, Any] = {"smoke": smoke, "sections": {}}
    if path.exists():
        before = json.loads(path.read_text())
        if before["smoke"] == smoke:  # toy figures never stand beside real ones
            whole = before
    whole["sections"][name] = section
    whole["sections"] = dict(sorted(whole["sections"].items()))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    temporary.replace(path)


def _arguments(about: str, sections: dict[str, Any], usual: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=about.split("\n\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.epilog = "parts:\n" + "\n".join(f"  {k}  {v.__doc__}" for k, v in sections.items())
    parser.add_argument("--smoke", "--quick", action="store_true", help="toy sizes, some seconds")
    parser.add_argument("--only", default=usual, help=f"parts, such as a,c (default {usual})")
    parser.add_argument("--rounds", type=int, help="of each measurement (default 5)")
    parser.add_argument("--out", type=Path, help="folder of the JSON file")
    return parser.parse_args()


def main(script: str, about: str, sections: dict[str, Callable[..., Section]], usual: str) -> None:
    """Run the parts that were asked for; print each table and keep it in the JSON file."""
    arguments = _arguments(about, sections, usual)
    smoke = arguments.smoke
    names = [name.strip() for name in arguments.only.split(",")]
    if unknown := set(names) - set(sections):
        sys.exit(f"{script}: no part {', '.join(sorted(unknown))}; there are {', '.join(sections)}")
    # compile seconds are those of a first run: no programs kept from an earlier one
    os.environ["COORDNET_CACHE"] = "off"
    options = Options(smoke, arguments.rounds or (1 if smoke else 5))
    # toy figures do not fall among the real ones unless they are sent there
    out = arguments.out or (Path("out") / "benchmarks" if smoke else RESULTS)
    path = out / f"{script}-{device()}.json"
    facts = machine(smoke)
    print(machine_line(facts), "(SMOKE: toy sizes)" if smoke else "", flush=True)
    for name in names:
        start = time.perf_counter()
        jax.clear_caches()  # what an earlier part compiled is compiled, and counted, again
        part = sections[name](options)
        rows = [_completed(row, facts["fann_epoch_seconds"]) for row in part.rows]
        print(f"\n## {name}. {part.title}\n{part.note}\n\n{table(rows)}", flush=True)
        for f in part.figures:
            print(f"-> {f.what}: {cell(f.value)} {f.unit} (bar {f.bar}, aim {f.aim})")
        section = {
            "title": part.title,
            "note": part.note,
            "date": datetime.date.today().isoformat(),
            "took_seconds": rounded(time.perf_counter() - start),
            "machine": facts,
            "rows": [{k: rounded(v) for k, v in row.items()} for row in rows],
            "figures": [
                {k: rounded(v) for k, v in figure._asdict().items()} for figure in part.figures
            ],
        }
        if part.courses:
            section["courses"] = {
                what: [[rounded(v) for v in point] for point in points]
                for what, points in part.courses.items()
            }
        keep(path, name, section, smoke)
    print(f"\nkept in {path}")
