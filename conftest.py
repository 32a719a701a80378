"""Set-up of the suite: a CPU, a compilation cache of its own, shapes checked."""

import atexit
import contextlib
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import jax
import jaxtyping
import pytest
from beartype import BeartypeConf, beartype

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
# one for the workers and what they start: each program is compiled but once
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["COORDNET_CACHE"] = tempfile.mkdtemp(prefix="coordnet-suite-")
    atexit.register(shutil.rmtree, os.environ["COORDNET_CACHE"], ignore_errors=True)
    # three quarters of the suite are compilation, which XLA's older emitters need half of the time
    # for. A flag that an XLA does not know ends the process: an option is only an error
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        jax.jit(jax.numpy.negative).lower(0.0).compile({"xla_cpu_use_fusion_emitters": False})
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_use_fusion_emitters=false"
    # networks of toy size gain nothing by LLVM's later passes, which take a quarter of the time
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=1"
    )

# also for what is compiled before a fit asks for it, or without any
jax.config.update("jax_compilation_cache_dir", os.environ["COORDNET_CACHE"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

# what jaxtyping's import hook checks every call with: an int serves where a float is asked for
typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forget compiled programs, if they are many: Linux grants a process 65,530 mappings."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def few_squares(request, monkeypatch):
    """Let the example of ``train_dejpeg`` learn from 4 squares: of 60 it takes a minute."""
    if request.node.name == "coordnet.restore._train.train_dejpeg":
        from coordnet.restore import _ridge, _train

        monkeypatch.setattr(_train, "solved", partial(_ridge.solved, pictures=4))


@pytest.fixture
def unchecked():
    """Lift jaxtyping's checks: what a user meets who passes something of the wrong kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
