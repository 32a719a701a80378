"""How fast: steps, epochs, renders and starts of coordnet beside its peers in the same run.

Protocol: sides run in turn (A B A B ...), medians; a side is a whole ``fit`` of some steps
through the public interface, its one look at the picture's PSNR included, compilation apart.
Peers do the same work: FANN 2.2 (C, one thread) full-batch Rprop epochs without a look;
PyTorch the same steps and one look. PSNR is that of the picture rounded to 8 bits.

    python benchmarks/speed.py [--smoke] [--only a,b] [--rounds 5] [--out FOLDER]

A table goes to the terminal, ``speed-<device>.json`` into the folder; ``readme.py`` makes
README.md of it. ``m`` (memory of every preset's 8192x8192 render) takes many minutes and is
run only when asked for.
"""

import json
import os
from functools import partial
from statistics import median
from typing import Any

import _processes
import _tcnn
import _torch_siren
import fann
import jax.numpy as jnp
import numpy as np
import optax
from _common import (
    HERE,
    Figure,
    Options,
    Row,
    Section,
    alternate,
    clock,
    lenna,
    main,
    python,
    ratio,
    spec_name,
)
from _machine import cores, device, package, place
from _torch_siren import TorchSiren

import coordnet as cn

# Made once: a new optimizer object, even of the same numbers, is compiled anew.
_ADAM = optax.adam(1e-4)  # SIREN's rate, and no averaged weights: what the PyTorch peer does


class _Fits:
    """Fits of one network to one picture: seconds per step, compilation apart."""

    def __init__(self, image: np.ndarray, spec: cn.Spec, trainer: Any, sampling: str):
        self.fit = partial(cn.fit, image, spec, trainer=trainer, sampling=sampling, progress=False)
        net = self.fit(steps=1)
        self.spec = net.spec
        self.compile_seconds = net.fitted.compile_seconds

    def run(self, steps: int) -> float:
        """Return seconds per step of a fit of so many."""
        return self.fit(steps=steps).fitted.seconds / steps

    def row(self, what: str, picture: str, seconds: list[float], unit: str, **more: Any) -> Row:
        return {
            "what": what,
            "picture": picture,
            "network": spec_name(self.spec),
            "weights": self.spec.parameters,
            "compile s": self.compile_seconds,
            "run s": median(seconds),
            "for": unit,
            **more,
        }


# --- a: the network of the original experiment ----------------------------------------
def _rprop_rows(options: Options) -> list[Row]:
    name, image = lenna(options)
    spec = cn.Spec(width=15, depth=3, activation="tanh", output="sigmoid", coordinates="edges")
    ours = _Fits(image, spec, cn.rprop(0.1), "full")
    sides: dict[str, Any] = {"coordnet": partial(ours.run, options.steps(60))}
    if not fann.why_missing():
        start = [(layer.weight[...], layer.bias[...]) for layer in cn.CoordNet(ours.spec).layers]
        points = np.asarray(cn.grid(*image.shape[:2], coordinates="edges")).reshape(-1, 2)
        data = fann.Data(points, image.reshape(len(points), -1))
        epochs = options.pick(4, 2)
        for what, stepwise in (("FANN", False), ("FANN, stepwise curves", True)):
            peer = fann.Fann(start, stepwise=stepwise)
            sides[what] = lambda peer=peer: clock(lambda: peer.train(data, epochs)) / epochs
    times = alternate(sides, options.rounds)
    rows = []
    for what, seconds in times.items():
        row = ours.row(what, name, seconds, "1 epoch", device=place())
        if what != "coordnet":
            row |= {"compile s": None, "device": "cpu x1"}
            row["coordnet is faster"] = ratio(seconds, times["coordnet"])
        rows.append(row)
    return rows


def rprop(options: Options) -> Section:
    """3x15 network, full-batch Rprop epochs, against FANN."""
    rows = _rprop_rows(options)
    if device() == "cpu" and hasattr(os, "sched_setaffinity"):
        # our one-thread row: this very function in a process pinned to one core, before JAX
        # makes its thread pool
        code = (
            "import json, os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
            "sys.path.insert(0, sys.argv[1]); import speed;"
            "print(json.dumps(speed._rprop_rows(speed.Options(*json.loads(sys.argv[2])))))"
        )
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
        found = python(code, str(HERE), json.dumps(list(options)), XLA_FLAGS=flags)
        rows += json.loads(found.splitlines()[-1])
    else:
        rows.append({"what": "coordnet, one thread: not measured on this device or system"})
    if missing := fann.why_missing():
        rows.append({"what": missing})
    faster = next((r["coordnet is faster"] for r in rows if r["what"] == "FANN"), None)
    note = (
        "Classic network: 3 hidden layers of 15 tanh, sigmoid out, 573 weights, all pixels in "
        "each epoch, Rprop, the same first weights. FANN has one thread; the rows of device "
        "cpu x1 are of a process pinned to one core. FANN's stepwise curves are approximations."
    )
    what = "3x15 network, 512x512, full-batch epochs per second against FANN"
    return Section("Full-batch Rprop", note, rows, [Figure(what, faster, "x", 8, 20)])


# --- b: the fast sine -----------------------------------------------------------------
def _jnp_sine(omega: float = 30.0) -> cn.Activation:
    """Return the library's sine layer with jnp.sin: a user's own activation is a function."""
    sine = cn.ACTIVATIONS["sine"](omega=omega, first=omega)
    return sine._replace(apply=lambda z, layer: jnp.sin(omega * z))


def sine(options: Options) -> Section:
    """64x3 and 128x3 sine networks against the same with jnp.sin."""
    cn.ACTIVATIONS["jnp_sine"] = _jnp_sine
    name, image = lenna(options)
    points = options.pick(8192, 256)
    rows, figures = [], []
    for width in options.pick((64, 128), (16,)):
        sides = {
            what: _Fits(
                image,
                cn.Spec(width=width, depth=3, activation=activation),
                _ADAM,
                f"pixels(points={points})",
            )
            for what, activation in (("jnp.sin", "jnp_sine"), ("coordnet", "sine"))
        }
        steps = options.steps(200)
        times = alternate({k: partial(v.run, steps) for k, v in sides.items()}, options.rounds)
        faster = ratio(times["jnp.sin"], times["coordnet"])
        for what, fits in sides.items():
            row = fits.row(what, name, times[what], f"1 step of {points} pixels")
            rows.append(row | ({"coordnet is faster": faster} if what == "jnp.sin" else {}))
        what = f"{width}x3 sine network, {points} points a step, against the same with jnp.sin"
        figures.append(Figure(what, faster, "x", 3, 5))
    note = "Adam, random pixels; the network with jnp.sin is the same but for the function."
    return Section("The fast sine", note, rows, figures[:1])


# --- c: PyTorch -----------------------------------------------------------------------
def _against_torch(
    options: Options, width: int, points: int | None, steps: int
) -> tuple[list[Row], float]:
    name, image = lenna(options)
    sampling = "full" if points is None else f"pixels(points={points})"
    ours = _Fits(image, cn.Spec(width=width, depth=3, activation="sine"), _ADAM, sampling)
    shape = (image, width, 3, points)
    gpu = device() != "cpu"
    peer = TorchSiren(*shape, gpu=gpu)
    peer.step()
    sides: dict[str, Any] = {"coordnet": ours, "PyTorch, eager": peer}
    compiled, compile_seconds, why = None, None, "torch.compile: left out of smoke runs"
    if not options.smoke:
        compiled, compile_seconds, why = _torch_siren.compiled_or_why(*shape, gpu=gpu)
    if compiled is not None:
        sides["PyTorch, compiled"] = compiled
    times = alternate(
        {k: partial(v.run, options.steps(steps)) for k, v in sides.items()}, options.rounds
    )
    unit = "1 step of " + ("all pixels" if points is None else f"{points} pixels")
    rows, ratios = [], []
    for what, seconds in times.items():
        row = ours.row(what, name, seconds, unit)
        if what != "coordnet":
            ratios.append(ratio(seconds, times["coordnet"]))
            row["compile s"] = compile_seconds if what.endswith("compiled") else None
            row["coordnet is faster"] = ratios[-1]
        rows.append(row)
    if why:
        rows.append({"what": why, "picture": name, "for": unit})
    return rows, min(ratios)


def pytorch(options: Options) -> Section:
    """Sine networks against PyTorch: minibatches and full batches."""
    what = "64x3 sine network, 8192 points a step, against PyTorch"
    title = "Against PyTorch"
    if missing := _torch_siren.why_missing():
        return Section(title, "", [{"what": missing}], [Figure(what, None, "x", 1.5, 3)])
    rows, ratios = [], []
    for width, points, steps in options.pick(
        ((64, 8192, 200), (128, 8192, 100), (64, None, 8), (128, None, 5)),
        ((16, 256, 3), (16, None, 3)),
    ):
        found, faster = _against_torch(options, width, points, steps)
        rows += found
        ratios.append(faster)
    note = (
        f"SIREN of the same shape, float32, Adam (PyTorch's fused one), {cores()} threads; eager "
        "and torch.compile both run, the better one counts."
    )
    return Section(title, note, rows, [Figure(what, ratios[0], "x", 1.5, 3)])


# --- d: rendering ---------------------------------------------------------------------
def rendering(options: Options) -> Section:
    """Render at 4096x4096 and 8192x8192: seconds, and memory above the output."""
    name, image = lenna(options)
    side, large = options.pick((4096, 8192), (96, 128))
    net = cn.fit(image, "grid", steps=options.pick(300, 5), progress=False)
    draw = partial(cn.render, net, (side, side), progress=False)
    first = clock(draw)
    sides = {"coordnet": partial(clock, draw)} | _resizers(image, side)
    times = alternate(sides, options.rounds)
    ours = median(times["coordnet"])
    rows = []
    for what, seconds in times.items():
        row: Row = {
            "what": what,
            "picture": name,
            "network": spec_name(net.spec) if what == "coordnet" else None,
            "weights": net.spec.parameters if what == "coordnet" else None,
            "device": place() if what == "coordnet" else "cpu x1",
            "compile s": max(0.0, first - ours) if what == "coordnet" else None,
            "run s": median(seconds),
            "for": f"{side}x{side}",
        }
        rows.append(
            row
            | (
                {}
                if what == "coordnet"
                else {"coordnet is faster": ratio(seconds, times["coordnet"])}
            )
        )
    if package("scikit-image") is None:
        rows.append({"what": "scikit-image is not installed"})
    rows.append(_processes.render_memory("grid", large))
    note = (
        "Default preset. Peers: scikit-image resize of order 3 on the same float picture, Pillow "
        "bicubic on its 8-bit one (both one thread). Memory: peak of a fresh process less the "
        "output, so interpreter, JAX and compiler count; beside it what it held before the render, "
        "and the seconds of the whole process."
    )
    figures = [Figure("render 4096x4096 from the default preset", ours, "s", 4, 1, "less")]
    return Section("Rendering", note, rows, figures)


def _resizers(image: np.ndarray, side: int) -> dict[str, Any]:
    from PIL import Image

    shown = Image.fromarray(np.rint(image * 255).astype(np.uint8).squeeze())
    bicubic = Image.Resampling.BICUBIC
    sides: dict[str, Any] = {
        "Pillow bicubic": partial(clock, lambda: shown.resize((side, side), bicubic))
    }
    if package("scikit-image") is not None:
        from skimage.transform import resize

        sides["scikit-image resize, order 3"] = partial(
            clock, lambda: resize(image, (side, side), order=3, mode="edge", anti_aliasing=False)
        )
    return sides


SECTIONS = {
    "a": rprop,
    "b": sine,
    "c": pytorch,
    "d": rendering,
    "e": _processes.starting,
    "f": _processes.warm_start,
    "g": _tcnn.large_pictures,
    "m": _processes.every_preset,
}

if __name__ == "__main__":
    assert __doc__
    main("speed", __doc__, SECTIONS, "a,b,c,d,e,f,g")
