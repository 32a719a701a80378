"""Trainers side by side: the same network from the same weights, for the same seconds.

Protocol: Lenna 512x512 unless a row says otherwise; PSNR is that of the picture rounded to 8
bits; seconds are those of running, compilation apart; medians of the seeds. FANN's and
PyTorch's runs stand among ours, in the same process, one after another.

    python benchmarks/trainers.py [--smoke] [--only a,c] [--out FOLDER]

A table goes to the terminal, ``trainers-<device>.json`` into the folder (parts run one by one
join it); ``readme.py`` makes README.md of it. All parts together take about two hours on 2
cores.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import _torch_classic
import fann
import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import Figure, Options, Picture, Row, Section, lenna, main, small
from _machine import place
from flax import nnx
from jax.flatten_util import ravel_pytree

import coordnet as cn

SEEDS = 3
FANN = "FANN, its Rprop"
Course = list[tuple[int, float, float]]  # (step, seconds, PSNR)
_POINTS = 4096
_FEW = f"pixels(points={_POINTS})"
_MAIN = 4  # trainers that have all seeds


def _at(history: Any, seconds: float) -> float | None:
    """Return the PSNR so many seconds into a fit, between its looks by a straight line."""
    _, times, values = np.array([(0, 0.0, np.nan), *history]).T
    found = float(np.interp(seconds, times, values))
    return found if np.isfinite(found) and seconds <= 1.05 * times[-1] else None


def _thinned(course: Any) -> list[list[float]]:
    """Return some 40 of the looks of a fit, evenly on a logarithmic scale of seconds."""
    points = [[s, p] for _, s, p in course if s > 0]
    wanted = np.geomspace(points[0][0], points[-1][0], 40)
    index = np.searchsorted([s for s, _ in points], wanted).clip(max=len(points) - 1)
    return [points[i] for i in sorted(set(index.tolist()))]


def _best(course: Any) -> float:
    """Return the best PSNR of a course: what jitters is not held to its last moment."""
    return max(psnr for *_, psnr in course)


def _middle(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if len(known) == len(values) else None


def _fit(found: Picture, net: Any, seconds: float, **options: Any) -> cn.CoordNet:
    return cn.fit(found.image, net, seconds=seconds, progress=False, **options)


def _row(
    what: str,
    found: Picture,
    nets: list[cn.CoordNet],
    moments: tuple[float, ...],
    points: int | None = None,  # of a minibatch
) -> Row:
    spec, records = nets[0].spec, [net.fitted for net in nets]
    steps = round(median(r.steps for r in records))
    pixels = found.image.shape[0] * found.image.shape[1]
    moments_reached = {
        f"dB at {s:g} s": _middle([_at(r.history, s) for r in records]) for s in moments
    }
    return {
        "what": what,
        "picture": found.name,
        "network": f"{spec.width}x{spec.depth} {spec.activation}",
        "weights": spec.parameters,
        "steps": steps,
        "epochs": None if points is None else steps * points / pixels,
        "compile s": records[0].compile_seconds,
        "run s": median(r.seconds for r in records),
        **moments_reached,
        "PSNR dB": median(r.psnr for r in records),
    }


def _trainers() -> dict[str, dict[str, Any]]:
    """Every trainer, those first that are compared over all seeds."""
    return {
        "least squares": {"trainer": cn.least_squares()},
        "iRprop-": {"trainer": cn.rprop()},
        "L-BFGS": {"trainer": cn.lbfgs()},
        "Adam": {"trainer": cn.adam(1e-2), "sampling": _FEW},
        "iRprop+": {"trainer": cn.rprop(variant="irprop+")},
        "Rprop-": {"trainer": cn.rprop(variant="rprop-")},
        "Rprop+": {"trainer": cn.rprop(variant="rprop+")},
        "SARPROP": {"trainer": cn.sarprop()},
        "Quickprop": {"trainer": cn.quickprop()},
        "ridge, then Adam": {"trainer": cn.ridge(cn.adam(1e-2)), "sampling": _FEW},
        "Muon": {"trainer": cn.muon(), "sampling": _FEW},
        "genetic": {"trainer": cn.genetic()},
        "genetic, last layer solved": {"trainer": cn.genetic(solve_last=True)},
        "genetic + gradient": {"trainer": _hybrid()},
    }


def _hybrid() -> Any:
    return cn.genetic(individuals=8, elites=4, gradient_steps=50)


def against_fann(options: Options) -> Section:
    """3x15 on Lenna from the same weights: every trainer, FANN's and PyTorch's, 40 seconds."""
    found = lenna(options)
    seconds, seeds = options.pick((40.0, SEEDS), (0.3, 1))
    moments = options.pick((5.0, 15.0, 40.0), (0.3,))
    reached: dict[str, list[cn.CoordNet]] = {}
    peers: dict[str, list[Course]] = {}
    for seed in range(seeds):
        for name, run in _peers().items():
            peers.setdefault(name, []).append(run(found, seconds, seed))
        for name, more in list(_trainers().items())[: options.pick(_MAIN if seed else None, 3)]:
            net = _fit(found, "lenna", seconds, seed=seed, **more)
            reached.setdefault(name, []).append(net)
    rows = [_peer_row(name, found, courses, moments) for name, courses in peers.items()]
    missing = [fann.why_missing(), _torch_classic.why_missing()]
    rows += [{"what": why} for why in missing if why]
    few = {name: _POINTS for name, how in _trainers().items() if "sampling" in how}
    rows += [_row(name, found, nets, moments, few.get(name)) for name, nets in reached.items()]
    figures = []
    if FANN in peers:
        # the better of its two
        theirs = max(
            (c for name, c in peers.items() if name.startswith(FANN)),
            key=lambda courses: median(map(_best, courses)),
        )
        figures = _over_fann(reached, theirs, seconds)
    note = (
        "Classic network: 3 hidden layers of 15 tanh, sigmoid out, from the same first weights; "
        f"Adam and Muon see 4096 pixels a step; of Rprop's kin a step is an epoch. FANN has one "
        f"thread. The first {_MAIN} trainers and the peers are medians of {seeds} seeds, the "
        "others of one."
    )
    courses = {name: _thinned(nets[0].fitted.history) for name, nets in reached.items()}
    courses |= {name: _thinned(found[0]) for name, found in peers.items()}
    return Section("Every trainer on the classic network", note, rows, figures, courses)


def _over_fann(reached: Any, theirs: list[Course], seconds: float) -> list[Figure]:
    gains = {
        name: median(n.fitted.psnr - _best(c) for n, c in zip(nets, theirs, strict=True))
        for name, nets in reached.items()
        if len(nets) == len(theirs)
    }
    ratios = []
    for net, curve in zip(reached["iRprop-"], theirs, strict=True):
        passed = [s for _, s, p in net.fitted.history if p >= _best(curve)]
        ratios.append(seconds / passed[0] if passed else 0.0)
    best = max(gains, key=gains.__getitem__)
    return [
        Figure(f"3x15, same start, {seconds:g} s: our best trainer ({best}) over FANN's Rprop",
               gains[best], "dB", 5.5, 7),
        Figure("3x15: how much sooner iRprop- is where FANN ends", median(ratios), "x", 6, 15),
    ]  # fmt: skip


def _peers() -> dict[str, Callable[[Picture, float, int], Course]]:
    found: dict[str, Callable[[Picture, float, int], Course]] = {}
    if fann.why_missing() is None:
        found[FANN] = partial(_fann, first_step=0.1)
        found[f"{FANN} from steps of 0.01, as ours"] = partial(_fann, first_step=0.01)
    if _torch_classic.why_missing() is None:
        found["PyTorch, Rprop"] = partial(_torch, rule="Rprop")
        found["PyTorch, Adam"] = partial(_torch, rule="Adam", batch=4096)
    return found


def _peer_row(what: str, found: Picture, courses: list[Course], moments: tuple) -> Row:
    return {
        "what": what,
        "picture": found.name,
        "network": "15x3 tanh",
        "weights": 573,
        "device": "cpu x1" if what.startswith(FANN) else place(),
        "steps": round(median(curve[-1][0] for curve in courses)),
        "run s": median(curve[-1][1] for curve in courses),
        **{f"dB at {s:g} s": _middle([_at(c, s) for c in courses]) for s in moments},
        "PSNR dB": median(map(_best, courses)),
    }


def _classic(found: Picture, seed: int) -> tuple[list[Any], np.ndarray, np.ndarray]:
    """Return the classic network's first layers, the points and the colours."""
    start = cn.CoordNet(cn.PRESETS["lenna"].spec(*found.image.shape), seed=seed)
    layers = [(v.weight[...], v.bias[...]) for v in start.layers]
    points = cn.grid(*found.image.shape[:2], coordinates="edges")
    return layers, points, found.image.reshape(-1, found.image.shape[2])


def _torch(found: Picture, seconds: float, seed: int, **how: Any) -> Course:
    return _torch_classic.course(*_classic(found, seed), seconds, **how)


def _fann(found: Picture, seconds: float, seed: int, first_step: float) -> Course:
    layers, points, colours = _classic(found, seed)
    tool = fann.Fann(layers, error="linear", first_step=first_step)
    data = fann.Data(points, colours)
    curve, spent, epochs = [], 0.0, 0
    while spent < seconds:
        began = time.perf_counter()
        tool.train(data, epochs=1)
        spent += time.perf_counter() - began
        epochs += 1
        # looks are off the clock, and without rounding to 8 bits: below 0.01 dB at 20 dB
        curve.append((epochs, spent, float(-10 * np.log10(tool.test(data)))))
    return curve


def five_minutes(options: Options) -> Section:
    """573 weights, five minutes, by least squares."""
    found = lenna(options)
    seconds, seeds = options.pick((300.0, SEEDS), (0.5, 1))
    moments = options.pick((15.0, 60.0, 120.0, 300.0), (0.5,))
    nets = [
        _fit(found, "lenna", seconds, seed=seed, trainer=cn.least_squares())
        for seed in range(seeds)
    ]
    rows = [_row(f"least squares, seed {i}", found, [net], moments) for i, net in enumerate(nets)]
    value = median(net.fitted.psnr for net in nets)
    what = "3x15 (573 weights), 5 minutes, any trainer"
    return Section(
        "Five minutes", "One fit for each seed.", rows, [Figure(what, value, "dB", 23.8, 24.5)]
    )


def tiny_networks(options: Options) -> Section:
    """Tiny networks: least squares and L-BFGS against Adam with its best schedule."""
    found = lenna(options)
    seconds, seeds = options.pick((60.0, SEEDS), (0.3, 1))
    specs = {
        "3x15 tanh": cn.PRESETS["lenna"].spec(*found.image.shape),
        "3x32 tanh": cn.Spec(width=32, depth=3, activation="tanh", output="sigmoid"),
        "3x40 sine": cn.Spec(width=40, depth=3, activation="sine(omega=15)"),
    }
    moments = options.pick((5.0, 15.0, 60.0), (0.3,))
    rows, gains = [], []
    for spec in list(specs.values())[: options.pick(None, 1)]:
        tried = {
            "least squares": {"trainer": cn.least_squares()},
            "L-BFGS": {"trainer": cn.lbfgs()},
            **_adams(found, spec, seconds),
        }
        sides = {name: [_fit(found, spec, seconds, **more)] for name, more in tried.items()}
        schedules = [name for name in sides if name.startswith("Adam")]
        adam = max(schedules, key=lambda name: sides[name][0].fitted.psnr)
        for seed in range(1, seeds):
            for name in ("least squares", "L-BFGS", adam):
                sides[name].append(_fit(found, spec, seconds, seed=seed, **tried[name]))
        rows += [
            _row(name, found, nets, moments, _POINTS if name in schedules else None)
            for name, nets in sides.items()
        ]
        reached = {name: median(n.fitted.psnr for n in nets) for name, nets in sides.items()}
        gains.append(max(reached["least squares"], reached["L-BFGS"]) - reached[adam])
    what = "tiny networks up to 5k weights, 60 s: least squares or L-BFGS over Adam's best"
    note = (
        "Adam on 4096 pixels a step, with averaged weights and with cosines to 0 at the end of "
        "the seconds, its steps a second measured first; the best of them has all seeds."
    )
    return Section("Tiny networks", note, rows, [Figure(what, min(gains), "dB", 0.7, 1.5)])


def _adams(found: Picture, spec: cn.Spec, seconds: float) -> dict[str, dict[str, Any]]:
    tried = _fit(found, spec, min(seconds, 3.0), trainer=cn.adam(1e-2), sampling=_FEW).fitted
    steps = round(tried.steps / tried.seconds * seconds)
    # sines ask for lower rates than tanh
    middle = 3e-3 if spec.activation.startswith("sine") else 1e-2
    found_rates = {f"Adam, {middle:g}, averaged": cn.adam(middle)}
    for rate in (3 * middle, middle, middle / 3):
        cosine = optax.cosine_decay_schedule(rate, steps)
        found_rates[f"Adam, cosine from {rate:.2g}"] = cn.adam(cosine, average=0.0)
    return {name: {"trainer": rule, "sampling": _FEW} for name, rule in found_rates.items()}


def breeding(options: Options) -> Section:
    """The genetic trainer on 64x64 pixels against evosax's genetic algorithms, 30 seconds."""
    found = small(lenna(options), options.pick(64, 32))
    seconds, seeds = options.pick((30.0, SEEDS), (0.3, 1))
    moments = options.pick((5.0, 15.0, 30.0), (0.3,))
    sides: dict[str, list[cn.CoordNet]] = {}
    for seed in range(seeds):
        for name, more in {
            "genetic": {"trainer": cn.genetic()},
            "genetic, last layer solved": {"trainer": cn.genetic(solve_last=True)},
            "genetic + gradient": {"trainer": _hybrid()},
            "Adam alone": {"trainer": cn.adam(1e-2), "sampling": _FEW},
        }.items():
            sides.setdefault(name, []).append(_fit(found, "lenna", seconds, seed=seed, **more))
    rows = [_row(name, found, nets, moments) for name, nets in sides.items()]
    reached = {name: median(n.fitted.psnr for n in nets) for name, nets in sides.items()}
    theirs, best = _evosax_rows(found, seconds, seeds)
    rows += theirs
    figures = []
    if best is not None:
        alone = "no gradients, over evosax's best genetic algorithm, 64x64, 30 s"
        figures = [
            Figure(f"{name}, {alone}", reached[name] - best, "dB", 1, 3)
            for name in ("genetic", "genetic, last layer solved")
        ]
        mixed = reached["genetic + gradient"] - best
        figures.append(Figure("genetic + gradient over the same", mixed, "dB", 3, 6))
    note = (
        "Classic network from the same first weights, compilation apart. evosax's algorithms with "
        "their own numbers, each with 128 individuals measured on all pixels and with 32 on 512, "
        "as ours; the best of the last children, of those it keeps and of its archive; one seed, "
        "and all seeds of the best one."
    )
    return Section("Breeding", note, rows, figures)


def _evosax() -> dict[str, Callable[..., Any]] | str:
    try:
        from evosax import algorithms  # type: ignore[import-not-found]  # an optional peer
    except ImportError:
        return "evosax is not installed: pip install evosax"
    classes = ("SimpleGA", "MR15_GA", "SAMR_GA", "LearnedGA")
    found = {name: getattr(algorithms, name) for name in classes if hasattr(algorithms, name)}
    # its default deviation of 1 is far from what weights are
    for first in (0.3, 0.05):
        falling = optax.exponential_decay(first, 1000, 0.5, end_value=0.005)
        found[f"SimpleGA, deviation {first} falling"] = partial(
            found["SimpleGA"], std_schedule=falling
        )
    # groups of deviations that compete; all but one individual must fall into them evenly
    found["GESMR_GA"] = lambda population_size, solution: algorithms.GESMR_GA(
        population_size + 1, solution, num_groups=max(2, population_size // 8)
    )
    return found


def _evolved(
    found: Picture, make: Any, population: int, pixels: int, seconds: float, seed: int
) -> Course:
    """Return the end of an evolution: the best network it knows, judged on all pixels."""
    net = cn.CoordNet(cn.PRESETS["lenna"].spec(*found.image.shape), seed=seed)
    graphdef, params = nnx.split(net)
    flat, unravel = ravel_pytree(params)
    points = jnp.asarray(cn.grid(*found.image.shape[:2], coordinates="edges"))
    target = jnp.asarray(found.image.reshape(-1, found.image.shape[2]))

    def errors(weights, index):
        def one(w):
            out = nnx.merge(graphdef, unravel(w))(points[index])
            return jnp.mean(jnp.square(out - target[index]))

        return jax.vmap(one)(weights)

    def generation(state, k):
        ka, kt, kp = jax.random.split(k, 3)
        asked, state = rule.ask(ka, state, settings)
        index = jax.random.permutation(kp, len(points))[:pixels]
        state, _ = rule.tell(kt, asked, errors(asked, index), state, settings)
        return state, asked

    @jax.jit
    def generations(key, state):
        state, asked = jax.lax.scan(generation, state, jax.random.split(key, 20))
        return state, asked[-1]

    rule = make(population_size=population, solution=flat)
    settings = rule.default_params
    key, drawn, started = jax.random.split(jax.random.key(seed), 3)
    others = flat + 0.1 * jax.random.normal(drawn, (rule.population_size - 1, flat.size))
    first = jnp.concatenate([flat[None], others])
    everything = jnp.arange(len(points))
    state = rule.init(started, first, errors(first, everything), settings)
    jax.block_until_ready(generations(key, state))  # compiled, not counted
    began, count, last = time.perf_counter(), 0, first
    while time.perf_counter() - began < seconds:
        key, drawn = jax.random.split(key)
        state, last = jax.block_until_ready(generations(drawn, state))
        count += 20
    spent = time.perf_counter() - began
    known = jnp.concatenate([last, state.population, state.best_solution[None]])
    return [(count, spent, float(-10 * jnp.log10(jnp.nanmin(errors(known, everything)))))]


def _evosax_rows(found: Picture, seconds: float, seeds: int) -> tuple[list[Row], float | None]:
    """Return evosax's rows and the PSNR of its best: all once, the best one with all seeds."""
    peers = _evosax()
    if isinstance(peers, str):
        return [{"what": peers}], None
    total = found.image.shape[0] * found.image.shape[1]
    runs = {
        f"evosax {name}, {population} on {pixels} pixels": partial(
            _evolved, found, make, population, pixels, seconds
        )
        for name, make in peers.items()
        for population, pixels in ((128, total), (32, min(512, total)))
    }
    courses = {name: [run(0)] for name, run in runs.items()}
    best = max(courses, key=lambda name: courses[name][0][-1][2])
    courses[best] += [runs[best](seed) for seed in range(1, seeds)]
    rows = [_peer_row(name, found, course, ()) for name, course in courses.items()]
    return rows, median(course[-1][2] for course in courses[best])


def painting(options: Options) -> Section:
    """ConvNetJS's 7x20 relu network: how soon the loss that its own training reaches in 60 s."""
    found = small(lenna(options), options.pick(200, 32))
    seconds, seeds = options.pick((60.0, SEEDS), (0.3, 1))
    spec = cn.PRESETS["convnetjs"].spec(*found.image.shape)
    # its loss is half the sum over the channels, ours the mean
    plain = optax.sgd(0.01 * found.image.shape[2] / 2, momentum=0.9)
    rows: list[Row] = []
    ratios: dict[str, list[float]] = {}
    for seed in range(seeds):
        its = _fit(found, spec, seconds, seed=seed, trainer=plain, sampling="pixels(points=5)")
        # it jitters by a decibel: what it holds in the last tenth of its time
        goal = median(p for _, s, p in its.fitted.history if s >= 0.9 * its.fitted.seconds)
        rows.append(_row(f"SGD, 5 pixels a step, seed {seed}", found, [its], (seconds,)))
        for name, how in {
            "least squares": {"trainer": cn.least_squares()},
            "Adam, 4096 pixels a step": {"trainer": cn.adam(1e-2), "sampling": _FEW},
            "Adam, 1024 pixels a step": {
                "trainer": cn.adam(1e-2), "sampling": "pixels(points=1024)",
            },
        }.items():  # fmt: skip
            net = _fit(found, spec, seconds, psnr=goal, seed=seed, **how)
            rows.append(_row(f"{name}, seed {seed}", found, [net], (seconds,)))
            there = net.fitted.stopped == "psnr"
            sooner = its.fitted.seconds / net.fitted.seconds if there else 0.0
            ratios.setdefault(name, []).append(sooner)
    best = max(median(values) for values in ratios.values())
    what = "ConvNetJS's 7x20, 200x200: how much sooner than plain SGD in 60 s"
    note = (
        "SGD as ConvNetJS has it: rate 0.01, momentum 0.9, 5 pixels a step, half the sum of "
        "squares, in our own compiled loop and from our first weights and coordinates. The others "
        "stop at the median of what it had in its last six seconds."
    )
    return Section("Image painting", note, rows, [Figure(what, best, "x", 30, 100)])


SECTIONS = {
    "a": against_fann,
    "b": five_minutes,
    "c": tiny_networks,
    "d": breeding,
    "e": painting,
}

if __name__ == "__main__":
    assert __doc__
    main("trainers", __doc__, SECTIONS, "a,b,c,d,e")
