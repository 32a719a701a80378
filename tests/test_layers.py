"""The house: imports point down only, every module has its test, files and functions stay small."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "coordnet"
TESTS = ROOT / "tests"

# Each layer's tiers, lowest first. A module imports from lower tiers only, never from its own:
# an order in which there can be no cycle.
LAYERS = {
    "0 arrays to arrays": [
        ["_area", "_cells", "_color", "_coords"],
        ["_metrics"],
    ],
    "1 the outside world": [
        ["_cache", "_cores", "_files", "_pnm", "_progress", "_video_encoder"],
        ["_decode", "_pillow"],
        ["_caption", "_encode"],
        ["_images", "_video"],
        ["_frames", "_samples"],
    ],
    "2 networks": [
        ["_calls"],
        ["_activations"],
        ["_encodings"],
        ["_nets"],
    ],
    "3 verbs on networks": [
        ["trainers._gradient"],
        ["trainers._least_squares", "trainers._muon", "trainers._ridge", "trainers._rprop"],
        ["trainers._genetic"],
        ["trainers._named"],
        ["trainers"],
        ["_art", "_checkpoint", "_presets", "_problem", "_sizes"],
        ["_plan", "_render"],
        ["_run"],
        ["_fit"],
    ],
    "4 the codec": [
        [
            "codec",
            "codec._container",
            "codec._laplace",
            "codec._lossless",
            "codec._pyramid",
            "codec._soap",
        ],
        ["codec._entropy", "codec._synthesis"],
        ["codec._grids", "codec._models", "codec._resample", "codec._training"],
        ["codec._analysis", "codec._chunk", "codec._latents", "codec._mlp", "codec._rate"],
        ["codec._decompress", "codec._plane", "codec._rounded"],
        ["codec._fitting", "codec._plain"],
        ["codec._compress", "codec._parts"],
        ["codec._folder", "codec._plugins"],
    ],
    "4 the upsampling laboratory": [
        ["checkerboard._measures"],
        ["checkerboard._layers"],
        ["checkerboard"],
    ],
    "4 restoration": [
        [
            "restore",
            "restore._jpeg",
            "restore._patches",
            "restore._planes",
            "restore._resize",
            "restore._trunk",
        ],
        ["restore._screens", "restore._stream", "restore._tiles"],
        ["restore._cleaner", "restore._learn", "restore._upscaler"],
        ["restore._degrade", "restore._pairs", "restore._ridge"],
        ["restore._weights"],
        ["restore._dejpeg", "restore._upscale"],
        ["restore._train"],
    ],
    "5 faces": [
        ["_options", "_page", "_plot"],
        ["_learning", "_outcome", "_report"],
        ["_commands_codec", "_commands_restore", "_demo"],
        ["_commands"],
        ["_cli"],
        ["__main__"],
        ["__init__"],
    ],
}
TIERS = [tier for layer in LAYERS.values() for tier in layer]
RANK = {module: rank for rank, tier in enumerate(TIERS) for module in tier}

UPWARDS = {
    (
        "_nets",
        "_render",
    ): "a network shows itself in a notebook; asked for when it does, not before",
}

# Modules whose tests are not in tests/test_<module>.py, and where they are.
TESTED_IN = {
    "__init__": "test_import.py",
    "__main__": "test_cli.py",
    "_caption": "test_video.py",
    "_cells": "test_checkerboard.py",
    "_commands": "test_cli.py",
    "_commands_codec": "test_cli.py",
    "_commands_restore": "test_train.py",
    "_demo": "test_cli.py",
    "_encode": "test_images.py",
    "_learning": "test_cli.py",
    "_options": "test_cli.py",
    "_outcome": "test_cli.py",
    "_page": "test_report.py",
    "_pillow": "test_frames.py",
    "_plan": "test_fit.py",
    "_run": "test_fit.py",
    "_sizes": "test_render.py",
    "_video_encoder": "test_video.py",
    "checkerboard._layers": "test_checkerboard.py",
    "checkerboard._measures": "test_checkerboard.py",
    "codec": "test_compress.py",
    "codec._analysis": "test_synthesis.py",
    "codec._chunk": "test_entropy.py",
    "codec._compress": "test_compress.py",
    "codec._container": "test_container.py",
    "codec._decompress": "test_compress.py",
    "codec._entropy": "test_entropy.py",
    "codec._fitting": "test_compress.py",
    "codec._folder": "test_compress.py",
    "codec._grids": "test_compress.py",
    "codec._laplace": "test_entropy.py",
    "codec._latents": "test_latents.py",
    "codec._lossless": "test_container.py",
    "codec._mlp": "test_mlp.py",
    "codec._models": "test_entropy.py",
    "codec._parts": "test_compress.py",
    "codec._plain": "test_mlp.py",
    "codec._plane": "test_latents.py",
    "codec._plugins": "test_compress.py",
    "codec._pyramid": "test_entropy.py",
    "codec._rate": "test_latents.py",
    "codec._resample": "test_synthesis.py",
    "codec._rounded": "test_mlp.py",
    "codec._soap": "test_soap.py",
    "codec._synthesis": "test_synthesis.py",
    "codec._training": "test_synthesis.py",
    "restore._cleaner": "test_restore.py",
    "restore._degrade": "test_restore.py",
    "restore._dejpeg": "test_restore.py",
    "restore._jpeg": "test_jpeg.py",
    "restore._learn": "test_restore.py",
    "restore._patches": "test_restore.py",
    "restore._pairs": "test_upscale.py",
    "restore._planes": "test_jpeg.py",
    "restore._resize": "test_upscale.py",
    "restore._ridge": "test_train.py",
    "restore._screens": "test_jpeg.py",
    "restore._stream": "test_restore.py",
    "restore._tiles": "test_restore.py",
    "restore._trunk": "test_trunk.py",
    "restore._train": "test_train.py",
    "restore._upscale": "test_upscale.py",
    "restore._upscaler": "test_upscale.py",
    "restore._weights": "test_restore.py",
    "trainers._gradient": "test_trainers.py",
    "trainers._genetic": "test_genetic.py",
    "trainers._least_squares": "test_least_squares.py",
    "trainers._muon": "test_trainers.py",
    "trainers._named": "test_fit.py",
    "trainers._ridge": "test_least_squares.py",
    "trainers._rprop": "test_trainers.py",
}

MOST_LINES = 350
LONG_FILES = {
    "_commands": "one function for each command of the command line, and nothing else",
    "_nets": "the network, its description and its file, which are one contract",
    "_options": "what each command may be asked, with its help, and nothing else",
    "_problem": "what a trainer may ask of a picture, in one pytree",
}

MOST_STATEMENT_LINES = 60  # of a function, less its docstring
LONG_FUNCTIONS: dict[str, str] = {}


def modules():
    """Every module by its dotted name; a package by its own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if len(parts) > 1 and parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported(name):
    """The package's modules that a module imports, wherever in it."""
    path = MODULES[name].relative_to(PACKAGE)
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and node.level:
            here = list(path.parts[:-1])
            here = here[: len(here) - (node.level - 1)]
            if node.module:
                yield ".".join([*here, node.module])
            else:
                for alias in node.names:
                    yield ".".join([*here, alias.name])


def test_the_table_names_every_module_once():
    listed = [module for tier in TIERS for module in tier]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down_only(name):
    for other in imported(name):
        assert other in MODULES, f"{name} imports {other}, which is no module"
        if (name, other) not in UPWARDS:
            assert RANK[other] < RANK[name], f"{name} imports {other}, which is not below it"


def test_exceptions_are_used_and_deferred():
    for name, other in UPWARDS:
        assert other in set(imported(name)), f"{name} no longer imports {other}: remove the line"
        at_once = ast.Module([n for n in TREES[name].body if isinstance(n, ast.ImportFrom)], [])
        assert all(node.module != other for node in at_once.body)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", MODULES)
def test_modules_do_not_import_the_package_by_its_name(name):
    # which would hand out names from above, whatever the table says
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] != "coordnet"
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] != "coordnet" for alias in node.names)


def test_there_is_no_cycle():
    edges = {name: {o for o in imported(name) if (name, o) not in UPWARDS} for name in MODULES}
    done: set[str] = set()

    def visit(name, on_the_way):
        assert name not in on_the_way, f"a cycle: {' -> '.join([*on_the_way, name])}"
        if name not in done:
            for other in edges[name]:
                visit(other, [*on_the_way, name])
            done.add(name)

    for name in edges:
        visit(name, [])


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_its_test(name):
    own = TESTS / f"test_{name.strip('_').replace('.', '_')}.py"
    if name in TESTED_IN:
        assert (TESTS / TESTED_IN[name]).is_file(), TESTED_IN[name]
        assert not own.is_file(), f"{own.name} exists now: remove {name} from TESTED_IN"
    else:
        assert own.is_file(), f"write {own.name}, or say in TESTED_IN where {name} is tested"


@pytest.mark.parametrize("name", MODULES)
def test_files_stay_small(name):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    if name in LONG_FILES:
        assert lines > MOST_LINES, f"{name} has {lines} lines: remove it from LONG_FILES"
    else:
        assert lines <= MOST_LINES, f"{name} has {lines} lines: split it, or say why not"


def functions():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                first = node.body[0]
                if ast.get_docstring(node) is not None and len(node.body) > 1:
                    first = node.body[1]
                yield f"{name}.{node.name}", (node.end_lineno or 0) - first.lineno + 1


def test_functions_stay_small():
    long = {name: lines for name, lines in functions() if lines > MOST_STATEMENT_LINES}
    assert set(long) == set(LONG_FUNCTIONS), f"split these, or say why not: {long}"
