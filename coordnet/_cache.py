"""JAX's persistent compilation cache, so that a second process starts warm."""

import os
import sys
from functools import cache
from pathlib import Path

import jax


def cache_folder() -> Path | None:
    """Return where compiled programs are kept: the user's cache folder; None if opted out.

    ``COORDNET_CACHE`` names another folder, or is ``off``.
    """
    chosen = os.environ.get("COORDNET_CACHE")
    if chosen is not None:
        return None if chosen.lower() in ("off", "0", "") else Path(chosen).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "coordnet"


@cache
def keep_compiled() -> None:
    """Let JAX keep what it compiles, unless the user chose a folder or opted out; once."""
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]  # made at run time
        return
    try:
        folder = cache_folder()
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return  # a home that cannot be written to costs only time
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX's own threshold of a second would leave out most of these small programs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
