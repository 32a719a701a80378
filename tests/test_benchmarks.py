"""The benchmark scripts run, say what is missing, and make a page of what they found."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_fits import quick_to_compile
from test_trainers import fann as fanns_moves

import coordnet as cn

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=200, env=quick_to_compile()
    )


@pytest.fixture
def fann(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("fann")
    if module.why_missing():
        pytest.skip(module.why_missing())
    return module


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ("speed", "a,b,c"), ("speed", "d,e"), ("speed", "f,g"), ("quality", ""),
        ("trainers", "a,b"), ("trainers", "c,e"), ("trainers", "d"), ("restore", "a,b,c,d,e,f,g,h"),
        ("unjpeg", "a,b"),
    ],
)  # fmt: skip
def test_a_smoke_run(tmp_path, script, parts):
    parts = parts or "a,b,c,d,e,f"
    done = run(FOLDER / f"{script}.py", "--smoke", "--only", parts, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / f"{script}-cpu.json").read_text())
    assert found["smoke"] is True
    assert list(found["sections"]) == parts.split(",")
    for name, section in found["sections"].items():
        assert f"## {name}. {section['title']}" in done.stdout
        assert section["rows"]
        assert section["machine"]["cores"] >= 1
        for row in section["rows"]:
            # a row of figures names picture and network; one without says why there are none
            assert len(row) == 1 or any(isinstance(v, float) for v in row.values()) or row["for"]
            assert row["what"] in done.stdout


@pytest.fixture
def restore(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("restore")


# as printed in FBCNN's table (Jiang et al. 2021), the last two in PSNR alone
PUBLISHED = {
    10: (27.82, 0.760, 25.21), 20: (30.12, 0.834, 27.50), 30: (31.48, 0.867, 28.94),
    40: (32.43, 0.885, 29.92), 80: (36.44,), 90: (39.37,),
}  # fmt: skip


@pytest.mark.parametrize("quality", PUBLISHED)
def test_jpeg_is_measured_as_published(restore, quality):
    folder = cn.images_folder()
    if folder is None or not (folder / "classic5").is_dir():
        pytest.skip("Classic5 is not at hand (COORDNET_IMAGES)")
    found = []
    for picture in restore.pictures("classic5/*.bmp", restore.Options(False, 1), "L").values():
        seen = restore.plain(restore.as_jpeg(picture, quality))
        found.append([f(seen, picture) for f in (restore.psnr, restore.ssim, restore.psnr_b)])
    means = np.mean(found, 0)
    # half of the last digit that is printed, and as much for an encoder of another year
    for value, printed, digit in zip(means, PUBLISHED[quality], (0.01, 0.001, 0.01), strict=False):
        assert value == pytest.approx(printed, abs=digit)


def test_psnr_b_by_hand(restore):
    """A step of 10 between two even blocks of 8 pixels, of which the truth knows nothing."""
    seen = np.full((16, 16), 100.0)
    seen[:, 8:] = 110
    truth = np.full((16, 16), 105.0)
    # 16 of 32 steps across blocks are 100, none within; log(8) / log(16) of their mean is added
    expected = 10 * np.log10(255**2 / (25 + 0.75 * 50))
    assert restore.psnr_b(seen, truth) == pytest.approx(expected)


@pytest.mark.parametrize(("block", "step"), [(8, 8), (24, 8), (24, 16), (16, 4)])
def test_blocks_that_say_nothing_leave_the_picture(monkeypatch, block, step):
    monkeypatch.syspath_prepend(str(FOLDER))
    unjpeg = importlib.import_module("unjpeg")
    recipe = unjpeg.Recipe(block=block, step=step, normal="axes")
    shown = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3)).astype(np.uint8)
    scale = unjpeg.scale_of(recipe, shown)

    class Back:
        """Undoes the axes."""

        def blocks(self, fed):
            flat = fed.reshape(len(fed), -1) @ np.linalg.inv(scale.axes) + scale.mean
            return flat.reshape(fed.shape)

    found = unjpeg.cleaned(recipe, Back(), scale, shown)
    expected = unjpeg.to_ycc(shown) / 255
    np.testing.assert_allclose(found, expected, atol=0.01)  # float32, axes stretched 100 times


def test_rates_go_by_the_inputs_of_a_layer(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    unjpeg = importlib.import_module("unjpeg")
    for paths in (1, 4):
        recipe = unjpeg.Recipe(hidden=(16, 16), paths=paths)
        weights = unjpeg.nnx.split(unjpeg.network(recipe))[1]
        found = {float(v) for v in unjpeg.jax.tree.leaves(unjpeg.rates(recipe, weights))}
        assert found == {500 / 1728, 500 / 16}


def test_missing_peers_are_said(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import fann; fann._find = lambda: None;"
        "import _torch_siren; _torch_siren.package = lambda name: None; import speed;"
        "from _common import main; main('speed', speed.__doc__, speed.SECTIONS, 'a,c')"
    )
    done = run("-c", code, FOLDER, "--smoke", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "FANN is not installed (Debian" in done.stdout
    assert "PyTorch is not installed (pip" in done.stdout


def test_an_unknown_part_is_an_error():
    done = run(FOLDER / "speed.py", "--smoke", "--only", "a,z")
    assert done.returncode == 1
    assert "no part z" in done.stderr


# --- fann -----------------------------------------------------------------------------
def test_fann_computes_what_the_network_does(fann):
    spec = cn.Spec(width=15, depth=3, activation="tanh", output="sigmoid")
    net = cn.CoordNet(spec)
    layers = [(layer.weight[...], layer.bias[...]) for layer in net.layers]
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (500, 2)).astype(np.float32)
    colours = rng.uniform(0, 1, (500, 3)).astype(np.float32)
    peer, data = fann.Fann(layers), fann.Data(points, colours)
    error = float(np.mean((np.asarray(net(points)) - colours) ** 2))
    assert peer.test(data) == pytest.approx(error, abs=1e-6)
    for (weight, bias), (kept_weight, kept_bias) in zip(layers, peer.layers(), strict=True):
        np.testing.assert_array_equal(weight, kept_weight)
        np.testing.assert_array_equal(bias, kept_bias)


def test_fann_learns(fann):
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(8, 2)), np.zeros(8)), (rng.normal(size=(1, 8)), np.zeros(1))]
    points = rng.uniform(-1, 1, (200, 2))
    peer, data = fann.Fann(layers), fann.Data(points, (points[:, :1] > 0) * 1.0)
    errors = peer.train(data, 100)
    assert errors[-1] < 0.2 * errors[0]


def test_fanns_rprop_moves_as_the_test_of_trainers_says(fann):
    # one input of 1 and a target of 1/2: the output is sigmoid(weight + bias), whose slope has
    # the sign of that sum, for both alike
    peer = fann.Fann([(np.array([[-0.2]]), np.array([-0.15]))], error="linear")
    data = fann.Data(np.ones((1, 1)), np.full((1, 1), 0.5))
    sums, places = [], []
    for _ in range(10):
        ((weight, bias),) = peer.layers()
        sums.append(float(weight[0, 0] + bias[0]))
        places.append(float(weight[0, 0]))
        peer.train(data, 1)
    assert min(sums) < 0 < max(sums)  # else no sign has changed
    expected = fanns_moves(np.sign(sums))[:-1]
    np.testing.assert_allclose(np.diff(places), expected, atol=1e-6)


# --- the page -------------------------------------------------------------------------
def test_the_page(tmp_path):
    section = {
        "title": "T", "note": "N.", "date": "2026-01-01", "took_seconds": 1.0,
        "machine": {
            "processor": "P", "cores": 2, "memory_gib": 8.0, "device": "cpu: cpu",
            "python": "3.11", "versions": {"jax": "0.10"}, "fann_epoch_seconds": 0.35,
        },
        "rows": [{"what": "one", "run s": 0.5}, {"what": "two"}],
        "figures": [
            {"what": "fast", "value": 9.0, "unit": "x", "bar": 8, "aim": 20, "better": "more"},
            {"what": "soon", "value": 20.0, "unit": "s", "bar": 15, "aim": 5, "better": "less"},
        ],
    }  # fmt: skip
    results = {"smoke": False, "sections": {"a": section}}
    (tmp_path / "speed-cpu.json").write_text(json.dumps(results))
    other = tmp_path / "other.md"
    other.write_text("before\n<!-- figures -->\n<!-- /figures -->\nafter\n")
    page = tmp_path / "README.md"
    call = (FOLDER / "readme.py", "--results", tmp_path, "--out", page, "--into", other)
    done = run(*call)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "| one  | 0.5   |" in text
    assert "bar met" in text
    assert "**below the bar**" in text
    assert "| fast " in other.read_text()
    assert other.read_text().startswith("before\n")
    assert run(*call, "--check").returncode == 0
    page.write_text(text + "typed by hand")
    assert "is stale" in run(*call, "--check").stderr


def test_the_page_in_the_repository_is_that_of_its_results():
    if not (FOLDER / "README.md").exists():
        pytest.skip("nothing was measured yet")
    done = run(FOLDER / "readme.py", "--check")
    assert done.returncode == 0, done.stderr


def test_rates_are_compared_at_equal_psnr(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    peers = importlib.import_module("_peers")
    rates, psnrs = np.array([0.1, 0.2, 0.4, 0.8, 1.6]), np.array([25.0, 28, 31, 34, 37])
    # four fifths of the bits at every PSNR, from other points of the same curve
    finer = np.linspace(25, 37, 9)
    fewer = 0.8 * 0.1 * 2 ** ((finer - 25) / 3)
    assert peers.bd_rate(fewer, finer, rates, psnrs) == pytest.approx(-0.2, abs=1e-6)
    assert np.isnan(peers.bd_rate(rates, psnrs + 40, rates, psnrs))
