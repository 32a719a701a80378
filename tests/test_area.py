import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import downscale_local_mean

from coordnet._area import downscale_area


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_whole_factors_are_block_means(factor):
    image = np.random.default_rng(factor).random((30, 60, 3), np.float32)
    expected = downscale_local_mean(image.astype(float), (factor, factor, 1))
    reduced = downscale_area(image, (30 // factor, 60 // factor))
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(reduced, expected, atol=1e-6)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 4]),
    st.floats(0, 1, width=32),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_any_size_keeps_constants(height, width, channels, value, data):
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    image = np.full((height, width, channels), value, np.float32)
    if channels == 4:
        image[..., 3] = 0.7
    reduced = downscale_area(image, size)
    assert reduced.shape == (*size, channels)
    np.testing.assert_allclose(reduced, np.broadcast_to(image[0, 0], reduced.shape), atol=1e-6)


@given(st.integers(1, 30), st.integers(1, 30), st.data())
@settings(max_examples=40, deadline=None)
def test_any_size_keeps_the_mean(height, width, data):
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    image = np.random.default_rng(height * width).random((height, width, 3), np.float32)
    reduced = downscale_area(image, size)
    np.testing.assert_allclose(reduced.mean((0, 1)), image.mean((0, 1)), atol=1e-5)


def test_pixels_that_straddle_two_areas_count_in_both():
    row = np.array([[0.0, 0.3, 0.6, 0.9, 1.0]], np.float32)[..., None]
    expected = [(0.0 + 0.3 + 0.6 / 2) / 2.5, (0.6 / 2 + 0.9 + 1.0) / 2.5]
    np.testing.assert_allclose(downscale_area(row, (1, 2)).ravel(), expected, atol=1e-6)


def test_the_whole_of_a_long_constant_picture():
    image = np.full((5737, 3, 1), 0.1, np.float32)
    np.testing.assert_allclose(downscale_area(image, (1, 1)), 0.1, atol=1e-6)


def test_transparent_pixels_do_not_bleed():
    image = np.array([[[1, 0, 0, 1], [0, 1, 0, 0]]], np.float32)  # red; hidden green
    np.testing.assert_allclose(downscale_area(image, (1, 1)).ravel(), [1, 0, 0, 0.5])
    hidden = downscale_area(image[:, [1, 1]], (1, 1))
    np.testing.assert_array_equal(hidden.ravel(), [0, 0, 0, 0])


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (3, 1), (1, 3)])
def test_only_reduces(size):
    with pytest.raises(ValueError, match=r"size=.*\(2, 2\)"):
        downscale_area(np.zeros((2, 2, 1), np.float32), size)
