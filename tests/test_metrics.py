"""PSNR, SSIM and MS-SSIM against scikit-image, which has its own code for both."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from coordnet import ms_ssim, psnr, ssim
from coordnet._color import to_uint8


def pair(channels, size=(24, 37), noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    image = np.stack([np.sin(9 * x + k) * np.cos(7 * y) for k in range(channels)], -1) / 2 + 0.5
    return image.astype(np.float32), (image + noise * rng.normal(size=image.shape)).astype("f4")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("noise", [0.003, 0.1, 0.7])
def test_psnr_is_that_of_the_8_bit_pictures(channels, noise):
    a, b = pair(channels, noise=noise)
    expected = peak_signal_noise_ratio(to_uint8(a), to_uint8(b))
    # both are float64 sums of the same integers
    assert psnr(a, b) == pytest.approx(expected, rel=1e-12)
    assert psnr(b, a) == psnr(a, b)


def test_psnr_by_hand():
    # one level of difference everywhere: 20 log10(255)
    a = np.full((2, 3, 3), 10 / 255, np.float32)
    b = np.full((2, 3, 3), 11 / 255, np.float32)
    assert psnr(a, b) == pytest.approx(20 * math.log10(255), rel=1e-12)
    assert psnr(a, a) == math.inf
    assert psnr(np.zeros((1, 1, 1)), np.ones((1, 1, 1))) == 0.0


def test_less_than_half_a_level_is_no_difference_and_out_of_range_is_clipped():
    a = np.full((2, 2, 3), 10 / 255, np.float32)
    assert psnr(a, a + np.float32(0.4 / 255)) == math.inf
    assert psnr(np.ones((2, 2, 3)), np.full((2, 2, 3), 3.0)) == math.inf


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(24, 37), (11, 11), (11, 40)])
@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_ssim_is_that_of_its_authors(channels, size, noise):
    a, b = pair(channels, size, noise)
    expected = structural_similarity(
        to_uint8(a),
        to_uint8(b),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
    )
    # float64 on both sides, on scales that differ by 255: no more than rounding apart
    assert ssim(a, b) == pytest.approx(expected, abs=1e-10)
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-12)


def test_ssim_of_equal_and_of_inverted_pictures():
    a, _ = pair(3)
    assert ssim(a, a) == 1.0
    assert ssim(a, 1 - a) < 0


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        (np.zeros((16, 16, 3)), np.zeros((16, 16, 1))),
        (np.zeros((16, 16, 3)), np.zeros((16, 17, 3))),
        (np.zeros((16, 16)), np.zeros((16, 16))),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_shapes_that_do_not_fit(measure, a, b):
    with pytest.raises(ValueError, match=r"(of one shape|must have shape).*\(16, 16"):
        measure(a, b)


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.usefixtures("unchecked")
def test_bytes_and_no_numbers_are_refused(measure):
    image = np.zeros((16, 16, 3), np.float32)
    with pytest.raises(TypeError, match=r"`b`.*uint8.*divide bytes by 255"):
        measure(image, np.full((16, 16, 3), 255, np.uint8))
    with pytest.raises(ValueError, match="finite"):
        measure(np.full_like(image, np.nan), image)


def test_floats_of_other_widths_are_rounded_as_float32():
    image = np.random.default_rng(0).random((16, 16, 3)).astype(np.float16)
    assert psnr(image, image.astype(np.float32)) == np.inf


def test_ssim_needs_a_window():
    with pytest.raises(ValueError, match="at least 11"):
        ssim(np.zeros((10, 30, 3), np.float32), np.zeros((10, 30, 3), np.float32))


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_ms_ssim_is_that_of_its_authors(noise):
    a, b = pair(3, (177, 190), noise)
    x, y = (to_uint8(v).astype(np.float64) for v in (a, b))
    weights, product = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), np.ones(3)
    for i, weight in enumerate(weights):
        # a K1 without end makes lightness equal: what is left compares contrast and structure
        k1 = 0.01 if i == 4 else 1e8
        found = [
            structural_similarity(
                x[..., c], y[..., c], gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False, data_range=255, K1=k1,
            )
            for c in range(3)
        ]  # fmt: skip
        product *= np.array(found) ** weight
        h, w = (n // 2 * 2 for n in x.shape[:2])
        x, y = (v[:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3)) for v in (x, y))
    # float64 on both sides; a K1 of 1e8 leaves some 1e-13
    assert ms_ssim(a, b) == pytest.approx(product.mean(), abs=1e-9)


def test_ms_ssim_needs_five_scales():
    with pytest.raises(ValueError, match="MS-SSIM needs sides of at least 176"):
        ms_ssim(*pair(3, (170, 300)))
