import numpy as np
import pytest

from coordnet import _images as cn


def read(data: bytes) -> np.ndarray:
    return cn.read_image(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P1 3 1 1 0 1", [0, 1, 0]),
        (b"P1\n# a comment\n3 1\n101", [0, 1, 0]),
        (b"P4 3 2 \xa0\x40", [0, 1, 0, 1, 0, 1]),
        (b"P2 2 1 10 5 # half\n 10", [0.5, 1]),
        (b"P3 1 1 1000 0 500 1000", [0, 0.5, 1]),
        (b"P5 2 1 200 \x64\xc8", [0.5, 1]),
        (b"P5 1 1 65535 \x80\x00", [0x8000 / 65535]),
        (b"P6#c\n1 1#d\n255\n\x00\x33\xff", [0, 0.2, 1]),
        (b"P6 1 1 65535 \x00\x01\x01\x00\xff\xff", [1 / 65535, 256 / 65535, 1]),
        (b"Pf 1 2 -1.0\n" + np.array([0.25, 0.75], "<f4").tobytes(), [0.75, 0.25]),
        (b"PF 1 1 1\n" + np.array([0.25, 0.5, 1], ">f4").tobytes(), [0.25, 0.5, 1]),
    ],
)
def test_every_kind(data, expected):
    np.testing.assert_allclose(read(data).ravel(), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P5", "cannot be read as a picture"),
        (b"P5 4", "header is broken"),
        (b"P5 -4 4 255 " + bytes(16), "header is broken"),
        (b"P5 0 4 255 ", "header is broken"),
        (b"P5 4 4 0 " + bytes(16), "header is broken"),
        (b"P5 4 4 70000 " + bytes(32), "1 to 65535"),
        (b"P5 4 4 255 " + bytes(15), "cut short"),
        (b"P5 4 4 100 " + b"\xff" * 16, "above the declared white"),
        (b"P4 9 2 " + bytes(3), "cut short"),
        (b"P2 2 1 255 1", "cut short"),
        (b"P2 2 1 255 1 x", "no whole number|cut short"),
        (b"P2 2 1 255 1 -1", "below 0"),
        (b"P2 2 1 255 1 256", "above the declared white"),
        (b"P1 2 1 1 7", "above the declared white"),
        (b"PF 1 1 0\n" + bytes(12), "scale"),
        (b"PF 1 1 white\n" + bytes(12), "scale"),
        (b"Pf 1 1 -1\n" + np.array([np.nan], "<f4").tobytes(), "NaN"),
        (b"P6 65536 65536 255 ", "max_pixels"),
    ],
)
def test_broken_files(data, message):
    with pytest.raises(ValueError, match=message):
        read(data)
