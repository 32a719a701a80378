"""What the tests of fitting share: a small picture, a small network, a count of compilations."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
from flax import nnx

from coordnet import Spec

SPEC = Spec(width=16, depth=2, activation="tanh")


def picture(height: int = 24, width: int = 32, channels: int = 3, turn: float = 0.0) -> np.ndarray:
    """Draw something smooth that no network starts at."""
    y, x, c = np.meshgrid(
        np.linspace(0, 1, height), np.linspace(0, 1, width), np.arange(channels), indexing="ij"
    )
    wave = np.sin(6 * x + 2 * c + turn) * np.cos(4 * y - c)
    return (0.5 + 0.35 * wave + 0.1 * (x > 0.5)).astype(np.float32)


def weights(net: nnx.Module) -> list[np.ndarray]:
    """Return copies of a network's weights."""
    return [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(net, nnx.Param))]


def same_bytes(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Return whether two lists of weights are equal bit for bit."""
    return [v.tobytes() for v in a] == [v.tobytes() for v in b]


def ask(net: nnx.Module, points: np.ndarray) -> np.ndarray:
    """Ask a network at (n, 2) points, in one program: without, each operation compiles alone."""
    graphdef, state = nnx.split(net)
    return np.asarray(_ask(graphdef, state, points))


@partial(jax.jit, static_argnames=("graphdef",))
def _ask(graphdef: Any, state: Any, points: jax.Array) -> jax.Array:
    return nnx.merge(graphdef, state)(points)


class Mine(nnx.Module):
    """A researcher's own network: (n, 2) points to (n, channels)."""

    def __init__(self, channels: int = 3, seed: int = 0):
        rngs = nnx.Rngs(seed)
        self.first = nnx.Linear(2, 16, rngs=rngs)
        self.last = nnx.Linear(16, channels, rngs=rngs)

    def __call__(self, points: jax.Array) -> jax.Array:
        """Evaluate."""
        return self.last(jnp.sin(5 * self.first(points)))


_compiled = 0


def _count(event: str, duration_secs: float, **kwargs: str | int) -> None:
    global _compiled
    _compiled += event == "/jax/core/compile/backend_compile_duration"


jax.monitoring.register_event_duration_secs_listener(_count)


@contextlib.contextmanager
def compilations() -> Iterator[list[int]]:
    """Count what XLA compiles in the block; the count is the list's only entry afterwards."""
    counted: list[int] = []
    before = _compiled
    yield counted
    counted.append(_compiled - before)


@contextlib.contextmanager
def as_users_run_it() -> Iterator[None]:
    """Switch off the suite's check of annotations, which users do not have, for the block."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def python(
    code: str, *arguments: str | Path, timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with this folder's modules."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=child_environment(**environment),
        check=False,
    )


def child_environment(**more: str) -> dict[str, str]:
    """Return this process's environment with this folder on the path, and ``more``."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).parent)} | more


def quick_to_compile() -> dict[str, str]:
    """Return an environment for toy figures: most of a short process's time is compiling."""
    flags = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    return os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}"}
