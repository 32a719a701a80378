"""Parts of ``speed.py`` that need a process of their own: imports, warm starts, memory."""

import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from _common import PEAK, Figure, Options, Row, Section, clock, python, ratio

import coordnet as cn

_RENDER = (
    PEAK
    + """
import dataclasses, sys
import coordnet as cn

name, side = sys.argv[1], int(sys.argv[2])
spec = cn.PRESETS[name].spec(512, 512, 3)
net = cn.CoordNet(dataclasses.replace(spec, channels=3, size=(512, 512)))
cn.render(net, (64, 64), progress=False)
before = peak()
out = cn.render(net, (side, side), progress=False)
print(before, peak(), out.nbytes)
"""
)

_IMPORT = """
import time
start = time.perf_counter()
import coordnet
print(time.perf_counter() - start)
"""

_FIT = """
import time
start = time.perf_counter()
import coordnet as cn
from coordnet._samples import sample_image
net = cn.fit(sample_image()[:512], steps=50, progress=False)
print(time.perf_counter() - start, net.fitted.compile_seconds, net.fitted.seconds)
"""


def render_memory(name: str, side: int) -> Row:
    """Return the row of the memory that a render takes above its output, in MB."""
    out = ""

    def draw() -> None:
        nonlocal out
        out = python(_RENDER, name, str(side))

    seconds = clock(draw)
    before, peak, output = (int(n) / 1e6 for n in out.split())
    spec = cn.PRESETS[name].spec(512, 512, 3)
    return {
        "what": f"coordnet {name}, fresh process",
        "weights": spec.parameters,
        "run s": seconds,
        "for": f"{side}x{side}",
        "output MB": output,
        "peak less output MB": peak - output,
        "before MB": before,
    }


def every_preset(options: Options) -> Section:
    """Peak memory of an 8192x8192 render of every preset; many minutes."""
    side = options.pick(8192, 96)
    names = list(cn.PRESETS)[: options.pick(None, 2)]
    rows = [render_memory(name, side) for name in names]
    worst = max(row["peak less output MB"] for row in rows)
    what = "8192x8192 render of any preset: peak above its output"
    note = (
        "Unfitted weights, a process for each; peak less output counts the interpreter, JAX and "
        "what was there before. Seconds are those of the whole process."
    )
    figures = [Figure(what, worst, "MB", 1000, 1000, "less")]
    return Section("Memory of large renders", note, rows, figures)


def starting(options: Options) -> Section:
    """Seconds of `import coordnet` and of `coordnet --help`."""
    rounds = options.pick(9, 2)
    imported = [float(python(_IMPORT)) for _ in range(rounds)]
    bare = [clock(lambda: python("pass")) for _ in range(rounds)]
    rows: list[Row] = [
        {"what": "import coordnet", "run s": median(imported), "for": "the import alone"},
        {"what": "python -c pass", "run s": median(bare), "for": "whole process"},
    ]
    beside = Path(sys.executable).with_name("coordnet")
    command = str(beside) if beside.exists() else shutil.which("coordnet")
    if command is None:
        rows.append({"what": "coordnet --help: no such command is installed"})
    else:
        code = "import subprocess, sys; subprocess.run([sys.argv[1], '--help'], check=True)"
        try:
            helped = [clock(partial(python, code, command)) for _ in range(rounds)]
        except RuntimeError as error:
            rows.append({"what": f"coordnet --help failed: {str(error).splitlines()[-1]}"})
        else:
            # a Python process starts the command, hence the difference of pairs
            own = median(h - b for h, b in zip(helped, bare, strict=True))
            rows.append({"what": "coordnet --help", "run s": own, "for": "whole process"})
    figures = [Figure("import coordnet", median(imported), "s", 0.3, 0.15, "less")]
    return Section(
        "Starting", f"Median of {rounds} processes, files in the page cache.", rows, figures
    )


def warm_start(options: Options) -> Section:
    """First and second process of a 50-step fit: what the compilation cache saves."""
    cold, warm, kept = [], [], 0
    for _ in range(options.pick(3, 1)):
        with tempfile.TemporaryDirectory() as folder:
            for found in (cold, warm):
                out = python(_FIT, COORDNET_CACHE=folder, MPLBACKEND="agg")
                found.append([float(n) for n in out.split()])
            kept = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
    rows = [
        {
            "what": f"{what} process",
            "picture": "grace_hopper 512x512",
            "network": "default preset",
            "process s": median(run[0] for run in found),
            "compile s": median(run[1] for run in found),
            "run s": median(run[2] for run in found),
            "for": "50 steps",
        }
        for what, found in (("first", cold), ("second", warm))
    ]
    rows[1]["times faster"] = ratio([r[0] for r in cold], [r[0] for r in warm])
    rows[1]["cache kB"] = kept / 1000
    note = (
        "Import, picture, fit of 50 steps, in fresh processes; the folder of compiled programs "
        "is empty before the first of each pair."
    )
    return Section("Cold and warm processes", note, rows, [])
