"""Where pixels lie. Coordinates are float32, so 1e-6 is a few roundings of numbers near 1."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordnet._coords import Window, frame, grid, lattice

CONVENTIONS = ["centers", "edges", "unit"]
sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)
conventions = st.sampled_from(CONVENTIONS)


@pytest.mark.parametrize(
    ("coordinates", "ys", "xs"),
    [
        # centers: (2i + 1 - 3) / 5 and (2j + 1 - 5) / 5, worked out by hand
        ("centers", [-0.4, 0.0, 0.4], [-0.8, -0.4, 0.0, 0.4, 0.8]),
        ("edges", [-1.0, 0.0, 1.0], [-1.0, -0.5, 0.0, 0.5, 1.0]),
        ("unit", [0.0, 0.5, 1.0], [0.0, 0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_native_lattice_by_hand(coordinates, ys, xs):
    rows, columns = lattice((3, 5), coordinates=coordinates)
    assert rows.dtype == columns.dtype == np.float32
    np.testing.assert_allclose(rows, ys, atol=1e-7)  # these fractions round once
    np.testing.assert_allclose(columns, xs, atol=1e-7)


@pytest.mark.parametrize(
    ("coordinates", "xs"),
    [
        # pixel positions -1/4, 1/4, 3/4, 5/4, 7/4, 9/4 of a row of three
        ("centers", [-5 / 6, -0.5, -1 / 6, 1 / 6, 0.5, 5 / 6]),
        ("edges", [-1.25, -0.75, -0.25, 0.25, 0.75, 1.25]),
        ("unit", [-0.125, 0.125, 0.375, 0.625, 0.875, 1.125]),
    ],
)
def test_twice_the_size_by_hand(coordinates, xs):
    columns = lattice((2, 6), native=(1, 3), coordinates=coordinates)[1]
    np.testing.assert_allclose(columns, xs, atol=1e-7)


@pytest.mark.parametrize("coordinates", CONVENTIONS)
def test_a_side_of_one_pixel_is_at_zero(coordinates):
    rows, columns = lattice((1, 4), coordinates=coordinates)
    assert rows.tolist() == [0.0]
    assert len(set(columns.tolist())) == 4
    assert lattice((4, 1), coordinates=coordinates)[1].tolist() == [0.0]
    assert [v.tolist() for v in lattice((1, 1), coordinates=coordinates)] == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("size", "coordinates", "expected"),
    [
        ((3, 5), "centers", Window(x=(-1.0, 1.0), y=(-0.6, 0.6))),
        ((5, 3), "centers", Window(x=(-0.6, 0.6), y=(-1.0, 1.0))),
        ((3, 5), "edges", Window(x=(-1.25, 1.25), y=(-1.5, 1.5))),
        ((3, 5), "unit", Window(x=(-0.125, 1.125), y=(-0.25, 1.25))),
        # one pixel has the extent of one of two, so that no frame is empty
        ((1, 5), "edges", Window(x=(-1.25, 1.25), y=(-1.0, 1.0))),
        ((1, 5), "unit", Window(x=(-0.125, 1.125), y=(-0.5, 0.5))),
        ((1, 1), "centers", Window(x=(-1.0, 1.0), y=(-1.0, 1.0))),
    ],
)
def test_frames_by_hand(size, coordinates, expected):
    np.testing.assert_allclose(frame(size, coordinates), expected, atol=1e-12)  # float64


@given(sizes, conventions)
def test_no_frame_is_empty(size, coordinates):
    for low, high in frame(size, coordinates):
        assert low < high


@given(sizes, conventions)
def test_pixels_are_square_in_centers_and_rows_go_down(size, coordinates):
    ys, xs = lattice(size, coordinates=coordinates)
    steps_y, steps_x = np.diff(ys), np.diff(xs)
    assert (steps_y > 0).all()
    assert (steps_x > 0).all()
    if coordinates == "centers":
        np.testing.assert_allclose(np.append(steps_y, steps_x), 2 / max(size), atol=1e-6)


@given(sizes, sizes, st.integers(2, 5), conventions)
@settings(max_examples=150, deadline=None)
def test_box_means_of_a_finer_lattice_are_the_lattice(size, native, times, coordinates):
    finer = tuple(n * times for n in size)
    for fine, coarse in zip(
        lattice(finer, native=native, coordinates=coordinates),
        lattice(size, native=native, coordinates=coordinates),
        strict=True,
    ):
        # coordinates reach 1.5 and are float32; their mean rounds a few times more
        np.testing.assert_allclose(fine.reshape(-1, times).mean(axis=1), coarse, atol=1e-6)


@given(sizes, sizes, conventions)
@settings(max_examples=150, deadline=None)
def test_the_frame_is_the_window_of_no_window(size, native, coordinates):
    whole = frame(native, coordinates)
    for through_window, without in zip(
        lattice(size, native=native, coordinates=coordinates, window=whole),
        lattice(size, native=native, coordinates=coordinates),
        strict=True,
    ):
        np.testing.assert_allclose(through_window, without, atol=1e-6)


@given(sizes, sizes, conventions)
@settings(max_examples=150, deadline=None)
def test_symmetric_within_the_frame(size, native, coordinates):
    whole = frame(native, coordinates)
    axes = lattice(size, native=native, coordinates=coordinates)
    for v, (low, high) in zip(axes, (whole.y, whole.x), strict=True):
        np.testing.assert_allclose(v + v[::-1], low + high, atol=1e-6)
        assert low <= v.min()
        assert v.max() <= high


@given(sizes, st.sampled_from([(10, 10), (7, 12)]))
def test_of_centers_only_the_shape_matters(size, native):
    # the plane knows no resolution: a picture twice as fine is the same part of it
    double = tuple(2 * n for n in native)
    for a, b in zip(lattice(size, native=native), lattice(size, native=double), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_window_by_hand():
    ys, xs = lattice((2, 4), window=Window(x=(0.0, 1.0), y=(-0.5, 0.5)))
    assert ys.tolist() == [-0.25, 0.25]
    assert xs.tolist() == [0.125, 0.375, 0.625, 0.875]


@given(sizes, conventions, st.data())
def test_pixels_of_a_window_are_those_of_the_picture(size, coordinates, data):
    height, width = size
    top, left = (data.draw(st.integers(0, n - 1)) for n in size)
    high, wide = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    window = Window.of_pixels((top, left, high, wide), size, coordinates)
    ys, xs = lattice(size, coordinates=coordinates)
    rows, columns = lattice((high, wide), native=size, coordinates=coordinates, window=window)
    np.testing.assert_allclose(rows, ys[top : top + high], atol=1e-6)  # some float32 roundings
    np.testing.assert_allclose(columns, xs[left : left + wide], atol=1e-6)


@pytest.mark.parametrize("crop", [(-1, 0, 2, 2), (0, 0, 0, 1), (0, 3, 1, 2), (2, 0, 2, 1)])
def test_pixels_outside_the_picture(crop):
    with pytest.raises(ValueError, match=r"inside a picture of 3 x 4"):
        Window.of_pixels(crop, (3, 4))


def test_windows_side_by_side_are_the_whole():
    whole = Window(x=(-0.5, 0.7), y=(0.1, 0.9))
    left, right = whole._replace(x=(-0.5, 0.1)), whole._replace(x=(0.1, 0.7))
    halves = [lattice((6, 8), window=w)[1] for w in (left, right)]
    np.testing.assert_allclose(np.concatenate(halves), lattice((6, 16), window=whole)[1], atol=1e-6)


@pytest.mark.parametrize("coordinates", CONVENTIONS)
def test_grid_lists_the_lattice_row_by_row(coordinates):
    ys, xs = lattice((3, 5), coordinates=coordinates)
    points = grid(3, 5, coordinates=coordinates)
    assert points.dtype == np.float32
    assert points.tolist() == [[x, y] for y in ys.tolist() for x in xs.tolist()]


def test_grid_of_a_window():
    points = grid(1, 2, window=Window(x=(2.0, 4.0), y=(0.0, 1.0)))
    assert points.tolist() == [[2.5, 0.5], [3.5, 0.5]]
