"""The machine that a benchmark runs on, in words and numbers, and its yardstick."""

import os
import platform
import statistics
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fann
import jax
import numpy as np
from _tables import rounded

from coordnet._cores import cores


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((s.partition(": ")[2] for s in lines if s.startswith("model name")), "unknown")


def package(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def device() -> str:
    """Return a short name of the device, for file names: ``cpu``, ``h200``."""
    kind = jax.devices()[0].device_kind.lower().replace("nvidia", "").split()
    return kind[0] if kind else jax.default_backend()


def place() -> str:
    """Return the device as rows print it: ``cpu x2`` is two cores."""
    return f"cpu x{cores()}" if device() == "cpu" else device()


@cache
def yardstick(smoke: bool) -> float | None:
    """Return FANN's seconds for an epoch of the 3x15 network on 512x512; None without FANN."""
    if fann.why_missing():
        return None
    side = 32 if smoke else 512
    rng = np.random.default_rng(0)
    layers = [
        (rng.normal(size=(n, m)).astype(np.float32), rng.normal(size=n).astype(np.float32))
        for m, n in ((2, 15), (15, 15), (15, 15), (15, 3))
    ]
    net = fann.Fann(layers)
    inputs, outputs = rng.uniform(-1, 1, (side * side, 2)), rng.uniform(0, 1, (side * side, 3))
    data = fann.Data(inputs, outputs)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        net.train(data, 1)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@cache
def machine(smoke: bool) -> dict[str, Any]:
    """Describe the machine in words and numbers."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(memory, 1),
        "device": f"{jax.default_backend()}: {jax.devices()[0].device_kind}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: package(name) for name in ("coordnet", "jax", "flax", "optax", "torch")},
        "fann_epoch_seconds": rounded(yardstick(smoke)),
    }
