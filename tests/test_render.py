"""Rendering: any size, any window, averages instead of points, bounded memory."""

import dataclasses
import io
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from small_fits import SPEC, Mine, as_users_run_it, ask, picture, python

import coordnet as cn
from coordnet import _render
from coordnet._color import to_uint8
from coordnet._plan import split
from coordnet._problem import Full, Problem, make_problem

NATIVE = (24, 36)


def lively(seed=0, **more):
    """Return a network whose picture has detail and stays inside 0 and 1."""
    spec = cn.Spec(width=16, depth=2, activation="sine(omega=30)", output="sigmoid", size=NATIVE)
    return cn.CoordNet(dataclasses.replace(spec, **more), seed=seed)


def axis(n, full, longest, coordinates):
    """Return the coordinates of ``n`` pixel centres of a side of ``full`` native pixels."""
    native = [(i + 0.5) * full / n - 0.5 for i in range(n)]  # 0 is the first native centre
    if coordinates == "centers":
        return [(2 * u + 1 - full) / longest for u in native]
    if full == 1:
        assert n == 1
        return [0.0]
    unit = [u / (full - 1) for u in native]
    return unit if coordinates == "unit" else [2 * u - 1 for u in unit]


def by_points(net, ys, xs):
    """Ask a network point by point, row by row."""
    points = np.array([(x, y) for y in ys for x in xs], np.float32)
    image = ask(net, points).reshape(len(ys), len(xs), -1)
    return np.clip(image, 0, 1)


def box_mean(image, times):
    height, width = (n // times for n in image.shape[:2])
    return image.reshape(height, times, width, times, -1).astype(np.float64).mean((1, 3))


# --- what is drawn ----------------------------------------------------------------------
@pytest.mark.parametrize("coordinates", ["centers", "edges", "unit"])
@pytest.mark.parametrize("size", [(24, 36), (31, 100)])
def test_a_render_is_the_network_at_the_pixel_centres(coordinates, size):
    net = lively(coordinates=coordinates)
    ys, xs = (axis(n, full, 36, coordinates) for n, full in zip(size, NATIVE, strict=True))
    image = cn.render(net, size)
    assert image.dtype == np.float32
    assert image.shape == (*size, 3)
    # coordinates rounded to float32 elsewhere, times omega 30 twice
    np.testing.assert_allclose(image, by_points(net, ys, xs), atol=3e-5)


@pytest.mark.parametrize(
    ("encoding", "channels"), [("none", 1), ("fourier(features=8)", 3), ("grid(levels=(4,9))", 4)]
)
def test_encodings_and_channels(encoding, channels):
    net = lively(encoding=encoding, channels=channels, activation="tanh")
    ys, xs = (axis(n, full, 36, "centers") for n, full in zip((30, 40), NATIVE, strict=True))
    # the lattice and the points of a network agree to 1e-5 by contract
    np.testing.assert_allclose(cn.render(net, (30, 40)), by_points(net, ys, xs), atol=1e-5)


def test_a_network_of_linear_output_is_clipped():
    net = cn.CoordNet(cn.Spec(width=8, depth=1, size=NATIVE))
    net.layers[-1].weight[...] = net.layers[-1].weight[...] * 30
    image = cn.render(net)
    assert (image.min(), image.max()) == (0, 1)


def test_the_native_render_is_what_a_fit_measures():
    image = picture(*NATIVE)
    net = lively()
    graphdef, params, rest = split(net)
    problem = make_problem(image, graphdef, rest, sampled=Full(100))
    measured = float(jax.jit(Problem.squared_errors)(problem, params).sum())
    error = (to_uint8(cn.render(net)).astype(float) - to_uint8(image)) ** 2
    # one value within a float32 rounding of a half may round to the other side
    assert abs(measured - error.sum()) < 512


@pytest.mark.parametrize(
    ("values", "size"),
    [(16, (37, 101)), (16 * 40, (48, 72)), (16 * 700, (37, 101)), (16, (8, 12)), (16, (3, 70))],
)
def test_tiles_do_not_show(monkeypatch, values, size):
    net = lively()
    whole = cn.render(net, size)
    monkeypatch.setattr(_render, "_VALUES", {"cpu": values})
    # the same arithmetic in products of another shape
    np.testing.assert_allclose(cn.render(net, size), whole, atol=1e-6)


def test_sizes():
    net = lively()
    assert cn.render(net).shape == (24, 36, 3)
    assert cn.render(net, 48).shape == (48, 72, 3)
    assert cn.render(net, 7).shape == (7, 10, 3)  # 10.5: half to even
    assert cn.render(net, 1).shape == (1, 2, 3)
    assert cn.render(net, (5, 90)).shape == (5, 90, 3)
    assert cn.render(net, scale=2.5).shape == (60, 90, 3)
    assert cn.render(net, scale=0.001).shape == (1, 1, 3)
    half = cn.Window(x=(-1.0, 0.0), y=(-2 / 3, 2 / 3))
    assert cn.render(net, window=half).shape == (24, 18, 3)
    assert cn.render(net, 48, window=half).shape == (48, 36, 3)
    assert cn.render(net, scale=2, window=half).shape == (48, 36, 3)
    with as_users_run_it():
        assert cn.render(net, np.int64(48)).shape == (48, 72, 3)  # type: ignore[arg-type]
        assert cn.render(net, [5, 9]).shape == (5, 9, 3)  # type: ignore[arg-type]


BAD = {
    "nothing": ({"size": 0}, ValueError, r"`size` must be.*got \(0"),
    "below nothing": ({"size": (-3, 5)}, ValueError, r"`size` must be.*got \(-3, 5\)"),
    "too large": ({"size": (5, 2**21)}, ValueError, r"`size`.*1,048,576, got \(5, 2097152\)"),
    "three": ({"size": (5, 5, 3)}, ValueError, r"`size`.*got \(5, 5, 3\)"),
    "half a pixel": ({"size": 10.5}, ValueError, r"`size`.*whole.*got \(10.5"),
    "text": ({"size": "big"}, ValueError, r"`size`.*got \('big'"),
    "both": ({"size": 5, "scale": 2.0}, ValueError, "`size` or `scale`, not both, got 5 and 2.0"),
    "no scale": ({"scale": 0.0}, ValueError, "`scale` must be above 0, got 0.0"),
    "scale nan": ({"scale": math.nan}, ValueError, "`scale` must be above 0, got nan"),
    "scale inf": ({"scale": math.inf}, ValueError, "`scale` must be above 0, got inf"),
    "window": (
        {"window": cn.Window(x=(0.5, 0.5), y=(0.0, 1.0))},
        ValueError,
        r"`window` must run from left.*got Window\(x=\(0.5, 0.5\)",
    ),
    "window nan": (
        {"window": cn.Window(x=(0.0, math.nan), y=(0.0, 1.0))},
        ValueError,
        "`window` must run from left",
    ),
    "no size": ({"net": cn.CoordNet(SPEC), "size": 20}, ValueError, "must be given `size="),
    "their module": ({"net": Mine()}, ValueError, "must be given `size="),
    "no network": ({"net": "lenna.safetensors"}, TypeError, "`net`.*got str.*coordnet.load"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors_say_what_was_got(name):
    options, kind, said = BAD[name]
    with as_users_run_it(), pytest.raises(kind, match=said):
        cn.render(**{"net": lively()} | options)


# --- windows ----------------------------------------------------------------------------
def test_windows_that_meet_make_the_whole():
    net = lively()
    whole = cn.render(net, (48, 72))
    left = cn.render(net, (48, 30), window=cn.Window(x=(-1.0, -1 / 6), y=(-2 / 3, 2 / 3)))
    right = cn.render(net, (48, 42), window=cn.Window(x=(-1 / 6, 1.0), y=(-2 / 3, 2 / 3)))
    # coordinates that reach the same pixel by another sum, times omega 30 twice
    np.testing.assert_allclose(np.concatenate([left, right], axis=1), whole, atol=3e-5)


def test_a_window_may_reach_beyond_the_picture():
    net = lively()
    inside = cn.render(net, (24, 36))
    around = cn.render(net, (48, 72), window=cn.Window(x=(-2.0, 2.0), y=(-4 / 3, 4 / 3)))
    np.testing.assert_allclose(around[12:36, 18:54], inside, atol=3e-5)  # as above


def test_a_window_by_points():
    net = lively()
    window = cn.Window(x=(-0.25, 0.5), y=(0.1, 0.2))
    xs = [-0.25 + (j + 0.5) * 0.75 / 60 for j in range(60)]
    ys = [0.1 + (i + 0.5) * 0.1 / 20 for i in range(20)]
    image = cn.render(net, (20, 60), window=window)
    np.testing.assert_allclose(image, by_points(net, ys, xs), atol=3e-5)  # as above


# --- minification -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("times", "coordinates"), [(2, "centers"), (12, "centers"), (3, "edges"), (4, "unit")]
)
def test_a_smaller_picture_is_the_mean_over_each_pixel(times, coordinates):
    net = lively(coordinates=coordinates)
    ys, xs = (axis(n, n, 36, coordinates) for n in NATIVE)  # one point for each native pixel
    expected = box_mean(by_points(net, ys, xs), times)
    # means of values that agree to 3e-5
    size = (24 // times, 36 // times)
    np.testing.assert_allclose(cn.render(net, size), expected, atol=3e-5)


def test_a_pixel_of_uneven_sides_takes_enough_points_for_the_longer():
    # 24 x 36 to 20 x 9: 1.2 and 4 native pixels in each, so 4 x 4 points
    net = lively()
    ys, xs = axis(80, 24, 36, "centers"), axis(36, 36, 36, "centers")
    expected = by_points(net, ys, xs).reshape(20, 4, 9, 4, 3).mean((1, 3))
    np.testing.assert_allclose(cn.render(net, (20, 9)), expected, atol=3e-5)  # as above


@pytest.mark.parametrize(("side", "samples"), [(4, 17), (2, 40), (1, 100)])
def test_more_points_than_a_tile_holds_are_averaged_too(side, samples):
    native = side * samples
    net = lively(size=(native, native), activation="tanh")
    times = -(-samples // 16)
    points = side * times * -(-native // (side * times))  # what two stages come to
    ys = xs = axis(points, native, native, "centers")
    expected = box_mean(by_points(net, ys, xs), points // side)
    # float32 means of up to 10,000 values
    np.testing.assert_allclose(cn.render(net, (side, side)), expected, atol=1e-5)


class Checkerboard(nnx.Module):
    """Squares of one native pixel of a picture of 96 x 96: black and white by turns."""

    def __init__(self):
        self.spec = cn.Spec(size=(96, 96))

    def __call__(self, points):
        square = jnp.floor((points + 1) * 48).astype(int).sum(axis=-1)
        return jnp.repeat((square % 2)[:, None].astype(jnp.float32), 3, axis=1)


@pytest.mark.parametrize("size", [(48, 48), (12, 24), (1, 1)])
def test_a_fine_checkerboard_becomes_grey(size):
    # 2 x 2, 8 x 4, all squares in each pixel: half of them white (points alone: all or none)
    image = cn.render(Checkerboard(), size)
    np.testing.assert_allclose(image, 0.5, atol=1e-6)  # means of zeros and ones
    native = cn.render(Checkerboard())
    np.testing.assert_array_equal(native[..., 0], np.indices((96, 96)).sum(0) % 2)


def test_a_window_is_antialiased_by_what_it_holds():
    half = cn.Window(x=(-1.0, 0.0), y=(-1.0, 0.0))
    assert set(np.unique(cn.render(Checkerboard(), (48, 48), window=half))) == {0, 1}
    np.testing.assert_allclose(cn.render(Checkerboard(), (24, 24), window=half), 0.5, atol=1e-6)


@pytest.mark.parametrize(
    ("coordinates", "native"),
    [("centers", (1, 40)), ("edges", (40, 1)), ("edges", (1, 1)), ("unit", (1, 40))],
)
def test_sides_of_one_pixel(coordinates, native):
    net = lively(size=native, coordinates=coordinates)
    image = cn.render(net)
    ys, xs = (axis(n, n, max(native), coordinates) for n in native)
    np.testing.assert_allclose(image, by_points(net, ys, xs), atol=3e-5)  # as above
    assert np.isfinite(cn.render(net, scale=3)).all()


# --- modules of one's own ---------------------------------------------------------------
def test_a_module_of_ones_own():
    mine = Mine()
    ys, xs = axis(20, 20, 30, "centers"), axis(30, 30, 30, "centers")
    # float32 products of another shape
    np.testing.assert_allclose(cn.render(mine, (20, 30)), by_points(mine, ys, xs), atol=1e-6)


# --- memory -----------------------------------------------------------------------------
_MEMORY = """
import sys
import numpy as np
import coordnet as cn

def kilobytes(name):
    for line in open("/proc/self/status"):
        if line.startswith(name):
            return int(line.split()[1])

preset, native, height, width = sys.argv[1], *map(int, sys.argv[2:])
spec = cn.PRESETS[preset].spec(native, native, 3)
net = cn.CoordNet(cn.Spec(**{**vars(spec), "size": (native, native)}))
cn.render(net, (8, 8), window=cn.Window((0.0, 0.01), (0.0, 0.01)))  # what JAX itself takes
before = kilobytes("VmRSS")
image = cn.render(net, (height, width))
assert image.shape == (height, width, 3) and np.isfinite(image[::97, ::89]).all()
print((kilobytes("VmHWM") - before) * 1024 - image.nbytes)
"""


@pytest.mark.parametrize(
    ("preset", "native", "size"),
    [
        ("grid", 512, (4096, 4096)),
        ("mona_lisa_shallow", 64, (512, 512)),  # 6000 wide
        ("lenna", 8192, (1, 1)),  # 67 million points in one pixel
    ],
)
def test_memory_stays_bounded(preset, native, size):
    done = python(_MEMORY, preset, str(native), *map(str, size))
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 2**30  # bytes above the picture itself


# --- zoom -------------------------------------------------------------------------------
@pytest.fixture
def windows(monkeypatch):
    """Collect the windows and sizes that are rendered, drawing nothing."""
    seen = []

    def note(net, size=None, *, window=None, progress=None):
        seen.append((window, size))
        return np.zeros((1, 1, 3), np.float32)

    monkeypatch.setattr(_render, "render", note)
    return seen


def test_a_zoom_goes_from_the_whole_to_the_target_evenly(windows):
    frames = list(cn.zoom(lively(), to=(0.4, -0.3), scale=8, frames=7))
    assert len(frames) == len(windows) == 7
    boxes = [np.array([*w.x, *w.y]) for w, _ in windows]
    # everything here is float64 arithmetic on numbers of about 1
    np.testing.assert_allclose(boxes[0], [-1, 1, -2 / 3, 2 / 3], atol=1e-12)
    wide, high = 1 / 8, 2 / 3 / 8
    np.testing.assert_allclose(
        boxes[-1], [0.4 - wide, 0.4 + wide, -0.3 - high, -0.3 + high], atol=1e-12
    )
    widths = np.array([b[1] - b[0] for b in boxes])
    np.testing.assert_allclose(widths[1:] / widths[:-1], 8 ** (-1 / 6), atol=1e-12)
    # the target never leaves its place among the pixels' paths: it moves to the middle steadily
    where = np.array([(0.4 - b[0]) / (b[1] - b[0]) for b in boxes])
    assert (np.diff(where) < 0).all()
    assert where[-1] == pytest.approx(0.5)
    assert all(b[0] >= -1 - 1e-9 and b[1] <= 1 + 1e-9 for b in boxes)  # nor the picture's frame
    assert {size for _, size in windows} == {NATIVE}


def test_zooming_out_and_standing_still(windows):
    list(cn.zoom(lively(), scale=0.5, frames=2))
    list(cn.zoom(lively(), to=(0.5, 0.0), scale=1, frames=2))
    spans = [w.x for w, _ in windows]
    assert spans[0] == pytest.approx((-1, 1))
    assert spans[1] == pytest.approx((-2, 2))
    assert spans[2] == pytest.approx((-1, 1))  # the whole first, here too
    assert spans[3] == pytest.approx((-0.5, 1.5))
    list(cn.zoom(lively(), frames=1))
    assert windows[-1][0].x == (-1, 1)


def test_all_frames_have_one_size(windows):
    # a window's width in native pixels is 7.5 up to rounding, which goes either way
    net = lively(size=(2, 3))
    list(cn.zoom(net, size=5, scale=50, frames=40))
    assert {size for _, size in windows} == {(5, 8)}


def test_the_frames_of_a_zoom_are_renders():
    net = lively()
    first, last = cn.zoom(net, to=(0.2, 0.1), scale=4, frames=2)
    np.testing.assert_allclose(first, cn.render(net), atol=3e-5)  # as for windows
    window = cn.Window(x=(-0.05, 0.45), y=(0.1 - 1 / 6, 0.1 + 1 / 6))
    np.testing.assert_allclose(last, cn.render(net, NATIVE, window=window), atol=3e-5)
    assert [f.shape for f in cn.zoom(net, frames=2, size=12)] == [(12, 18, 3)] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": 0}, "`scale` must be above 0 and `frames` at least 1, got 0 and 120"),
        ({"scale": math.nan}, "`scale` must be above 0.*got nan"),
        ({"frames": 0}, "`frames` at least 1, got 16.0 and 0"),
        ({"to": (0.0, math.inf)}, r"`to` must be a point.*got \(0.0, inf\)"),
        ({"size": 0}, "`size` must be"),
        ({"net": cn.CoordNet(SPEC)}, "zoom needs a network of known size"),
    ],
)
def test_a_zoom_that_cannot_be_says_so_at_once(options, said):
    with pytest.raises(ValueError, match=said):
        cn.zoom(**{"net": lively()} | options)  # no frame is asked for


# --- how a notebook shows a network -----------------------------------------------------
@pytest.mark.parametrize(
    ("native", "shown"),
    [((24, 36), (24, 36)), ((512, 40), (512, 40)), ((200, 1200), (85, 512)), ((900, 1), (512, 1))],
)
def test_a_network_shows_itself_as_a_png(native, shown):
    net = lively(size=native, activation="tanh")
    data = net._repr_png_()
    assert isinstance(data, bytes)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", shown[::-1])
        np.testing.assert_array_equal(np.asarray(image), to_uint8(cn.render(net, shown)))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (4, "RGBA")])
def test_grey_and_alpha_show_themselves_too(channels, mode):
    data = lively(channels=channels)._repr_png_()
    assert data is not None
    with Image.open(io.BytesIO(data)) as image:
        assert (image.mode, image.size) == (mode, NATIVE[::-1])


def test_a_network_of_no_known_size_shows_no_picture():
    assert cn.CoordNet(SPEC)._repr_png_() is None


def test_the_second_stage_is_drawn_in_bands(monkeypatch):
    net = cn.CoordNet(cn.Spec(width=8, depth=2, activation="sine(omega=3)", size=(64, 64)), seed=1)
    far = cn.Window(x=(-20.0, 20.0), y=(-10.0, 10.0))
    whole = cn.render(net, (8, 16), window=far)  # 80 points along each axis of a pixel
    monkeypatch.setattr("coordnet._render._MOST_CANVAS", 16 * 6**2 * 3)  # 3 rows at once
    np.testing.assert_allclose(cn.render(net, (8, 16), window=far), whole, atol=1e-5)


def test_a_window_beyond_all_measure():
    net = cn.CoordNet(cn.Spec(width=2, depth=1, size=(64, 64)))
    with pytest.raises(ValueError, match=r"`window` .*too many times larger"):
        cn.render(net, 512, window=cn.Window(x=(-1e6, 1e6), y=(-1e6, 1e6)))
