"""`import coordnet` is instant: it loads nothing that a name of it may never need."""

import subprocess
import sys

import pytest

import coordnet as cn

HEAVY = [
    "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "matplotlib", "av", "PIL", "safetensors",
    "jaxtyping", "rich", "IPython",
]  # fmt: skip


def loaded_after(program):
    """The heavy packages that a fresh interpreter has loaded after a program."""
    program += f"\nimport sys; print(*(m for m in {HEAVY} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_loads_nothing():
    assert loaded_after("import coordnet") == set()


def test_asking_what_is_there_loads_nothing():
    program = "import coordnet; dir(coordnet), coordnet.__all__, coordnet.__doc__"
    assert loaded_after(program) == set()


@pytest.mark.parametrize("name", ["read_image", "write_image", "Window", "psnr", "frames_to_video"])
def test_pictures_and_films_need_no_jax(name):
    assert loaded_after(f"import coordnet; coordnet.{name}") & {"jax", "flax", "optax"} == set()


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_load_nothing(option):
    program = f"""
import contextlib, io
from coordnet._cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(['{option}'])
"""
    assert loaded_after(program) == set()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonesuch"):
        getattr(cn, "nonesuch")  # noqa: B009, which a type checker knows is not there
    with pytest.raises(ImportError):
        from coordnet import nonesuch  # type: ignore[attr-defined]  # noqa: F401


def test_dir_is_complete():
    from test_api import PUBLIC

    assert set(PUBLIC) <= set(dir(cn))
    assert set(PUBLIC) == set(vars(cn)["__all__"])
    assert all(getattr(cn, name) is not None for name in PUBLIC)


def test_no_public_name_is_shadowed_after_every_submodule_is_imported():
    program = """
import importlib, pkgutil
import coordnet
for info in pkgutil.walk_packages(coordnet.__path__, "coordnet."):
    if info.name != "coordnet.__main__":
        importlib.import_module(info.name)
import types
for name in coordnet.__all__:
    thing = getattr(coordnet, name)
    assert not isinstance(thing, types.ModuleType), name
    assert getattr(thing, "__module__", "coordnet").startswith("coordnet"), name
    assert getattr(thing, "__name__", name) == name, (name, thing)
"""
    loaded_after(program)
