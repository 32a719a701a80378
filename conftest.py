"""Set-up of the suite: a CPU, a compilation cache of its own, shapes checked."""

import atexit
import os
import shutil
import tempfile
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

# what jaxtyping's import hook checks every call with: an int serves where a float is asked for
typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """Forget compiled programs, if they are many: Linux grants a process 65,530 mappings."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > 30_000:
        jax.clear_caches()


@pytest.fixture
def unchecked():
    """Lift jaxtyping's checks: what a user meets who passes something of the wrong kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
