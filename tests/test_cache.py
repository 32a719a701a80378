"""The compilation cache: where it lies, when it is left alone, and that it serves."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

import coordnet as cn
from coordnet._cache import cache_folder, keep_compiled
from coordnet.restore._jpeg import as_jpeg
from coordnet.restore._learn import learn

OPTIONS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A user without settings, whose home is an empty folder; JAX's settings come back."""
    for name in ("COORDNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = {name: getattr(jax.config, name) for name in OPTIONS}
    jax.config.update("jax_compilation_cache_dir", None)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def chosen():
    keep_compiled.__wrapped__()  # less the memory of having been called
    return getattr(jax.config, OPTIONS[0])


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".cache/coordnet"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/coordnet"),
        ("linux", {"XDG_CACHE_HOME": ""}, ".cache/coordnet"),
        ("darwin", {}, "Library/Caches/coordnet"),
        ("win32", {}, "AppData/Local/coordnet"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/coordnet"),
        ("linux", {"COORDNET_CACHE": "/mine"}, "/mine"),
        ("linux", {"COORDNET_CACHE": "~/mine"}, "mine"),
        ("linux", {"COORDNET_CACHE": "off"}, None),
        ("linux", {"COORDNET_CACHE": "OFF"}, None),
        ("linux", {"COORDNET_CACHE": "0"}, None),
        ("linux", {"COORDNET_CACHE": ""}, None),
    ],
)
def test_where_it_lies(fresh, monkeypatch, platform, variables, expected):
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == (None if expected is None else fresh / expected)


def test_it_is_made_and_given_to_jax(fresh):
    assert chosen() == str(fresh / ".cache" / "coordnet")
    assert (fresh / ".cache" / "coordnet").is_dir()


def test_opted_out(fresh, monkeypatch):
    monkeypatch.setenv("COORDNET_CACHE", "off")
    assert chosen() is None
    assert list(fresh.iterdir()) == []


def test_a_folder_that_the_user_gave_to_jax_stays(fresh):
    jax.config.update("jax_compilation_cache_dir", str(fresh / "theirs"))
    assert chosen() == str(fresh / "theirs")
    assert list(fresh.iterdir()) == []


def test_a_home_that_cannot_be_written_to_costs_only_time(fresh, monkeypatch):
    (fresh / ".cache").write_text("a file where the folder would be")
    assert chosen() is None
    (fresh / ".cache").unlink()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root, all folders are writable
    assert chosen() is None


def test_a_user_without_a_home_can_fit(fresh, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert chosen() is None


def test_restoration_keeps_what_it_compiles(fresh):
    def learnt():
        net = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
        learn(net, lambda k: np.ones((1, 2), np.float32), lambda net, x: net(x).mean(), steps=1)

    picture = np.full((4, 4, 3), 0.5, np.float32)
    for work in (
        lambda: cn.upscale(picture, 2),
        lambda: cn.invention_map(picture, 2),
        lambda: cn.dejpeg(as_jpeg(np.zeros((8, 8), np.uint8), 50)),
        learnt,
    ):
        jax.config.update(OPTIONS[0], None)
        keep_compiled.cache_clear()
        work()
        assert getattr(jax.config, OPTIONS[0]) == str(fresh / ".cache" / "coordnet")


PROGRAM = """
import jax
events = []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
import numpy as np
import coordnet as cn
cn.fit(np.zeros((8, 8, 3), "f4"), cn.Spec(width=4, depth=1, activation="tanh"), steps=2)
print(sum(event == "/jax/compilation_cache/cache_hits" for event in events))
"""


def test_a_second_process_starts_warm(tmp_path):
    environment = os.environ | {"COORDNET_CACHE": str(tmp_path / "cache")}
    hits = [
        int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
                timeout=200,
            ).stdout
        )
        for _ in range(2)
    ]
    assert hits[0] == 0
    assert hits[1] > 0
