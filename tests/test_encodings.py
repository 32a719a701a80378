"""Encodings: the two ways of asking agree, and both agree with numpy and scipy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline, RegularGridInterpolator
from scipy.ndimage import map_coordinates

import coordnet as cn
from coordnet import Window
from coordnet._coords import frame, lattice
from coordnet._encodings import Encoding, _Axis, _hash, encoding

TEXTS = [
    "none",
    "fourier(features=32,sigma=80.0,seed=3)",  # what the preset takes for 4096 pixels
    "octaves(octaves=9)",
    "grid(levels=(3,8),order=1)",
    "grid(levels=(3,8),features=(1,3))",
    "grid(levels=(4,9),table=16,order=1)",
    "grid(levels=(4,9),table=16)",
]
FRAMES = [
    ((5, 7), "centers"),
    ((7, 5), "edges"),
    ((9, 9), "unit"),
    ((1, 6), "unit"),
    ((1, 1), "edges"),
]


def f4(values):
    return np.asarray(values, np.float32)


def tables_of(made, seed=0):
    """Tables of numbers near 1, so that an error is not small because the tables are."""
    shapes = jax.eval_shape(made.init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    return {k: jnp.asarray(rng.normal(size=v.shape), jnp.float32) for k, v in shapes.items()}


def both_ways(made, tables, ys, xs):
    y, x = (v.ravel() for v in np.meshgrid(ys, xs, indexing="ij"))
    by_lattice = made.lattice(tables, jnp.asarray(ys), jnp.asarray(xs))
    assert by_lattice.shape == (made.features, len(ys), len(xs))
    by_points = made.points(tables, jnp.asarray(y), jnp.asarray(x))
    assert by_points.shape == (made.features, y.size)
    return np.asarray(by_points).reshape(by_lattice.shape), np.asarray(by_lattice)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("size", "coordinates"), FRAMES)
def test_points_and_lattice_agree(text, size, coordinates):
    made = encoding(text, frame(size, coordinates))
    # always 9 x 14 points, drawn through the frame: shapes that were met compile nothing
    ys, xs = lattice((9, 14), native=size, coordinates=coordinates)
    by_points, by_lattice = both_ways(made, tables_of(made), ys, xs)
    # contract 4 of the design
    np.testing.assert_allclose(by_points, by_lattice, atol=1e-5)


@pytest.mark.parametrize("text", TEXTS)
def test_points_and_lattice_agree_compiled_and_outside_the_frame(text):
    made = encoding(text, frame((23, 31)))
    tables = tables_of(made)
    ys, xs = (jnp.asarray(v) for v in lattice((23, 31), window=Window((-1.5, 1.2), (-0.9, 1.1))))
    y, x = (v.ravel() for v in jnp.meshgrid(ys, xs, indexing="ij"))
    by_points = jax.jit(made.points)(tables, y, x)
    assert made.lattice is not None
    by_lattice = jax.jit(made.lattice)(tables, ys, xs)
    assert np.isfinite(by_points).all()
    np.testing.assert_allclose(by_points, by_lattice.reshape(by_points.shape), atol=1e-5)


@pytest.mark.parametrize("text", [t for t in TEXTS if t.startswith("grid")])
def test_gradients_of_points_and_lattice_agree(text):
    made = encoding(text, frame((9, 14)))
    tables = tables_of(made)
    ys, xs = (jnp.asarray(v) for v in lattice((9, 14)))
    y, x = (v.ravel() for v in jnp.meshgrid(ys, xs, indexing="ij"))
    cotangent = jnp.asarray(np.random.default_rng(1).normal(size=(made.features, 9 * 14)), "f4")
    (a,) = jax.vjp(lambda t: made.points(t, y, x), tables)[1](cotangent)
    of_lattice = made.lattice
    assert of_lattice is not None
    back = jax.vjp(lambda t: of_lattice(t, ys, xs), tables)[1]
    (b,) = back(cotangent.reshape(-1, 9, 14))
    for name in tables:
        assert np.abs(a[name]).max() > 0.1
        # sums of up to 126 float32 products of numbers near 1
        np.testing.assert_allclose(a[name], b[name], atol=5e-5)


# --- each against an independent one --------------------------------------------------------
def test_none_is_x_and_y():
    made = encoding("none", frame((3, 4)))
    assert made.init(jax.random.key(0)) == {}
    shown = made.points({}, jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]))
    assert shown.tolist() == [[3.0, 4.0], [1.0, 2.0]]


def test_octaves_by_formula():
    made = encoding("octaves(octaves=3)", frame((5, 5)))
    ys, xs = f4([-0.7, 0.1, 0.9]), f4([0.3, -1.0, 0.25])
    shown = np.asarray(made.points({}, jnp.asarray(ys), jnp.asarray(xs)))
    rows = [
        f(np.pi * 2**k * v) if f else v
        for v in (xs.astype(float), ys.astype(float))
        for f, ks in ((None, [0]), (np.sin, range(3)), (np.cos, range(3)))
        for k in ks
    ]
    assert made.features == len(rows) == 14
    np.testing.assert_allclose(shown, rows, atol=2e-6)  # phases up to 13 in float32


def test_fourier_waves_have_the_deviation_asked_for():
    made = encoding("fourier(features=8192,sigma=6)", Window((-1, 1), (-1, 1)))
    h = 1e-3
    x = jnp.array([-h, h])
    sines = np.asarray(made.points({}, jnp.zeros(2), x))[4096:]
    # sin(pi b x) near 0 has the slope pi b: in cycles along the longer side, of 2 units
    waves = (sines[:, 1] - sines[:, 0]) / (2 * h) / np.pi
    # of 4096 normal numbers: five deviations of the estimate, 1/sqrt(8192) of it
    assert waves.std() == pytest.approx(6, rel=0.055)
    assert abs(waves.mean()) < 5 * 6 / 64


def test_fourier_pairs_are_cosine_and_sine_of_one_wave_and_seeded():
    def values(text):
        made = encoding(text, frame((9, 9)))
        rng = np.random.default_rng(0)
        ys, xs = rng.uniform(-1, 1, (2, 50)).astype(np.float32)
        return np.asarray(made.points({}, jnp.asarray(ys), jnp.asarray(xs)))

    a = values("fourier(features=64,seed=1)")
    np.testing.assert_allclose(a[:32] ** 2 + a[32:] ** 2, 1, atol=2e-6)  # two roundings of 1e-6
    np.testing.assert_array_equal(a, values("fourier(features=64,seed=1)"))
    assert np.abs(a - values("fourier(features=64,seed=2)")).max() > 0.5


def positions(cells, span, v):
    """Coordinates in cells, held inside the frame, in float64."""
    low, high = span
    t = (v.astype(np.float64) - low) * cells / (high - low)
    return np.clip(t, 0, cells)


@pytest.mark.parametrize(("size", "coordinates"), FRAMES)
def test_linear_grid_is_linear_interpolation(size, coordinates):
    whole = frame(size, coordinates)
    made = encoding("grid(levels=(6,),features=3,order=1)", whole)
    table = tables_of(made)["level0"]
    rows, columns = (n - 1 for n in table.shape[1:])  # cells
    ys, xs = lattice((9, 14), native=size, coordinates=coordinates)
    by_points, by_lattice = both_ways(made, {"level0": table}, ys, xs)
    ty, tx = positions(rows, whole.y, ys), positions(columns, whole.x, xs)
    at = np.stack(np.meshgrid(ty, tx, indexing="ij"))
    for shown in (by_points, by_lattice):
        for feature, values in zip(shown, np.asarray(table, np.float64), strict=True):
            expected = map_coordinates(values, at, order=1, mode="nearest")
            # positions of up to 6 in float32 are off by 5e-7, values differ by up to 5 a cell
            np.testing.assert_allclose(feature, expected, atol=1e-5)
            nodes = (np.arange(rows + 1.0), np.arange(columns + 1.0))
            other = RegularGridInterpolator(nodes, values)(np.moveaxis(at, 0, -1))
            np.testing.assert_allclose(feature, other, atol=1e-5)


@pytest.mark.parametrize(("size", "coordinates"), FRAMES)
def test_quadratic_grid_is_a_b_spline(size, coordinates):
    whole = frame(size, coordinates)
    made = encoding("grid(levels=(6,))", whole)
    table = tables_of(made)["level0"]
    rows, columns = (n - 2 for n in table.shape[1:])  # cells: one node more at each end
    ys, xs = lattice((9, 14), native=size, coordinates=coordinates)
    by_points, by_lattice = both_ways(made, {"level0": table}, ys, xs)

    def basis(cells, span, v):
        # the spline of node k is centred at k - 1/2 of a cell and 3 cells wide
        knots = np.arange(cells + 5) - 2.0
        return BSpline(knots, np.eye(cells + 2), 2)(positions(cells, span, v))

    by, bx = basis(rows, whole.y, ys), basis(columns, whole.x, xs)
    np.testing.assert_allclose(by.sum(axis=1), 1, atol=1e-12)
    expected = np.einsum("hi,fij,wj->fhw", by, np.asarray(table, np.float64), bx)
    np.testing.assert_allclose(by_points, expected, atol=1e-5)
    np.testing.assert_allclose(by_lattice, expected, atol=1e-5)


AROUND = f4([*np.linspace(-2.5, 2.5, 41), -1.25, 1.25, -0.5, 0.999999, 1.000001])


@given(st.integers(1, 2**20), st.sampled_from([1, 2]), st.floats(-2, 1), st.floats(0.25, 3))
@settings(max_examples=60, deadline=None)
def test_the_nodes_of_a_point_are_there_and_share_it_out(cells, order, low, length):
    axis = _Axis(cells, low, low + length, order)
    nodes, weights = axis.taps(jnp.asarray(AROUND))
    assert nodes.shape == weights.shape == (order + 1, len(AROUND))
    assert int(nodes.min()) >= 0
    assert int(nodes.max()) < axis.nodes
    assert float(weights.min()) >= 0
    # of a million cells, positions hold a sixteenth of a cell in float32: weights are shared
    # out in those steps, and still add up; 1e-6 are the roundings of a sum near 1
    np.testing.assert_allclose(weights.sum(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("cells", [1, 2, 5, 40])
def test_the_matrix_holds_the_same_weights(cells, order):
    axis = _Axis(cells, -1.25, 1.0, order)
    nodes, weights = axis.taps(jnp.asarray(AROUND))
    expected = np.zeros((len(AROUND), axis.nodes))
    for node, weight in zip(np.asarray(nodes), np.asarray(weights), strict=True):
        np.add.at(expected, (np.arange(len(AROUND)), node), weight)
    # the same few operations on the same positions
    np.testing.assert_allclose(axis.matrix(jnp.asarray(AROUND)), expected, atol=1e-6)


@pytest.mark.parametrize("text", [t for t in TEXTS if t.startswith("grid")])
def test_partition_of_unity(text):
    # tables of ones are 1 everywhere, at the borders, corners and beyond too
    made = encoding(text, frame((5, 7)))
    ones = {k: jnp.ones_like(v) for k, v in tables_of(made).items()}
    ys, xs = lattice((9, 14), window=Window((-1.5, 1.0), (-5 / 7, 1.1)))
    for shown in both_ways(made, ones, ys, xs):
        # weights of 9 nodes, each a float32 product
        np.testing.assert_allclose(shown, 1, atol=1e-5)


def test_levels_are_cells_along_the_longer_side():
    made = encoding("grid(levels=(8,16),features=(2,3))", frame((50, 100)))
    shapes = {k: v.shape for k, v in jax.eval_shape(made.init, jax.random.key(0)).items()}
    # order 2 needs cells + 2 nodes: 4 x 8 and 8 x 16 cells
    assert shapes == {"level0": (2, 6, 10), "level1": (3, 10, 18)}
    assert made.features == 5


def test_a_level_of_more_nodes_than_the_table_is_hashed():
    made = encoding("grid(levels=(4,9),table=64)", frame((8, 8)))
    shapes = {k: v.shape for k, v in jax.eval_shape(made.init, jax.random.key(0)).items()}
    assert shapes == {"level0": (2, 6, 6), "level1": (2, 64)}


def test_tables_start_small_and_seeded():
    made = encoding("grid(levels=(9,20),table=64)", frame((8, 8)))
    a, b, c = (made.init(jax.random.key(k)) for k in (0, 0, 1))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert (a[name] != c[name]).any()
        assert 0.009 < np.abs(a[name]).max() <= 0.01


def hash_of_python(iy, ix, size):
    """Müller et al.'s hash in integers without a limit: (x * 1) xor (y * 2654435761) mod size."""
    return (ix ^ ((iy * 2654435761) % 2**32)) % size


@given(
    st.lists(
        st.tuples(st.integers(0, 2**20 + 2), st.integers(0, 2**20 + 2)), min_size=8, max_size=8
    ),
    st.integers(0, 30),
)
@settings(deadline=None)
def test_hashes_are_those_of_the_paper_and_in_range(nodes, bits):
    iy, ix = np.array(nodes, np.int32).T
    slots = np.asarray(_hash(jnp.asarray(iy), jnp.asarray(ix), 2**bits))
    assert ((slots >= 0) & (slots < 2**bits)).all()
    assert slots.tolist() == [hash_of_python(y, x, 2**bits) for y, x in nodes]


def test_hashed_values_by_hand():
    made = encoding("grid(levels=(9,),features=1,order=1,table=16)", Window((0, 9), (0, 9)))
    table = jnp.arange(16.0)[None]
    ys, xs = jnp.array([0.0, 3.0, 9.0, 2.0]), jnp.array([0.0, 5.0, 9.0, 4.5])
    h = hash_of_python
    expected = [h(0, 0, 16), h(3, 5, 16), h(9, 9, 16), (h(2, 4, 16) + h(2, 5, 16)) / 2]
    shown = made.points({"level0": table}, ys, xs)
    np.testing.assert_allclose(shown[0], expected, atol=1e-5)  # float32 weights times up to 15


# --- errors and extension ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "waves",
            "encoding 'waves' is unknown; did you mean 'octaves'. known are fourier, grid, none",
        ),
        ("none(features=2)", "does not fit.*features"),
        ("fourier(features=3)", "even number from 2 to 65536, got 3"),
        ("fourier(features=0)", "even number"),
        ("fourier(features=1000000000)", "even number from 2 to 65536"),
        ("fourier(features=4.0)", "features must be a whole number"),
        ("fourier(sigma=0)", "sigma must be above 0"),
        ("fourier(sigma=-3)", "sigma must be above 0"),
        ("fourier(sigma='a')", "sigma must be a finite number"),
        ("fourier(sigma=1e300)", "sigma must be a finite number"),
        ("fourier(seed=-1)", "seed at least 0"),
        ("octaves(octaves=0)", "from 1 to 12, got 0"),
        ("octaves(octaves=13)", "from 1 to 12, got 13"),
        ("octaves(octaves=2.5)", "octaves must be a whole number"),
        ("grid(levels=())", "1 to 32 levels"),
        ("grid(levels=(0,))", "1 to 32 levels"),
        ("grid(levels=(8.5,))", "1 to 32 levels"),
        ("grid(levels=(1000000000,))", "1 to 32 levels"),
        ("grid(levels=8)", "does not fit"),
        ("grid(levels='abc')", "1 to 32 levels"),
        (f"grid(levels={(8,) * 33})", "1 to 32 levels"),
        ("grid(levels=(8,),features=0)", "1 to 65536 features"),
        ("grid(levels=(8,),features=1000000000)", "1 to 65536 features"),
        ("grid(levels=(8,16),features=(1,))", "1 to 32 levels"),
        ("grid(order=3)", "order 1 or 2"),
        ("grid(table=3)", "power of two"),
        ("grid(table=0)", "power of two"),
        ("grid(table=1099511627776)", "at most 2"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_options_say_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        encoding(text, frame((8, 8)))
    with pytest.raises(ValueError, match=message):
        cn.Spec(encoding=text)


def test_ones_own_encoding_needs_no_lattice(monkeypatch):
    def rings(area: Window, count: int = 4) -> Encoding:
        def points(params, ys, xs):
            radius = jnp.hypot(ys, xs)
            return jnp.cos(jnp.arange(1, count + 1)[:, None] * radius) * params["gain"][:, None]

        return Encoding(count, lambda key: {"gain": jnp.full(count, 2.0)}, points)

    monkeypatch.setitem(cn.ENCODINGS, "rings", rings)
    spec = cn.Spec(
        encoding="rings(count=5)", width=8, depth=1, activation="tanh", channels=1, size=(6, 9)
    )
    net = cn.CoordNet(spec)
    ys, xs = (jnp.asarray(v) for v in lattice((6, 9)))
    by_lattice = net.lattice(ys, xs)
    assert by_lattice.shape == (1, 6, 9)
    by_points = net(cn.grid(6, 9))
    # points in both cases: the same sums, at most in another order
    np.testing.assert_allclose(by_lattice.ravel(), by_points.ravel(), atol=1e-6)
    assert spec.parameters == 5 + (5 * 8 + 8) + (8 + 1)
    image = np.asarray(np.cos(5 * np.hypot(*np.meshgrid(xs, ys)))[..., None] / 2 + 0.5, "f4")
    fitted = cn.fit(image, spec, steps=400, sampling="strips(points=27)")
    assert fitted.fitted.psnr > 25  # its own waves; the mean alone is at 9 dB
    assert float(fitted.tables["gain"][...].std()) > 0  # learned with the layers
