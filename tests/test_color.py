import ml_dtypes
import numpy as np
import pytest

from coordnet._color import check_image, to_uint8


def test_every_byte_comes_back():
    bytes_ = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    result = to_uint8(bytes_.astype(np.float32) / 255)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, bytes_)


@pytest.mark.parametrize(
    ("value", "byte"),
    [
        (-0.5, 0),
        (-np.inf, 0),
        (1.0 + 1e-6, 255),
        (7.0, 255),
        (np.inf, 255),
        (0.4999 / 255, 0),
        (0.5001 / 255, 1),
        (254.4999 / 255, 254),
        (254.5001 / 255, 255),
    ],
)
def test_one_clip_and_one_rounding(value, byte):
    assert to_uint8(np.full((1, 1, 3), value, np.float64)).ravel().tolist() == [byte] * 3


def test_halves_go_to_the_even_neighbour():
    halves = np.array([0.5, 1.5, 2.5, 127.5, 128.5]).reshape(1, -1, 1) / 255
    exact = halves[halves * 255 % 1 == 0.5]  # those that float64 holds as halves
    assert len(exact) > 2
    expected = [round(v) for v in exact * 255]  # Python rounds halves to even too
    assert to_uint8(exact.reshape(1, -1, 1)).ravel().tolist() == expected


def test_the_picture_is_not_changed():
    image = np.array([[[2.0]]])
    to_uint8(image)
    assert image.item() == 2.0


@pytest.mark.parametrize(
    ("image", "error", "says"),
    [
        ("photo.png", TypeError, "got str; read a file"),
        (None, TypeError, "got NoneType; read a file"),
        (np.zeros((2, 2, 3), np.uint8), TypeError, "`b` must be of floats.*uint8"),
        (np.zeros((2, 2), np.float32), ValueError, r"\(2, 2\); a grey picture is"),
        (np.zeros((2, 2, 2), np.float32), ValueError, r"\(2, 2, 2\)"),
        (np.zeros((2, 0, 3), np.float32), ValueError, r"\(2, 0, 3\)"),
        (np.full((1, 2, 1), np.nan), ValueError, "2 NaN"),
    ],
)
def test_what_is_no_image(image, error, says):
    with pytest.raises(error, match=says):
        check_image(image, "b")


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16, np.float32])
def test_an_image_of_any_floats_is_float32(dtype):
    image = check_image(np.full((1, 2, 1), 0.5, dtype))
    assert image.dtype == np.float32
    assert image.ravel().tolist() == [0.5, 0.5]
