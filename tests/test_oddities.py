"""The odd and broken files of the folder of pictures; without that folder nothing runs."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from coordnet._images import read_image
from coordnet._samples import images_folder

FOLDER = images_folder()
ODDITIES = FOLDER / "oddities" if FOLDER else Path("nowhere")
FILES = sorted(path for path in ODDITIES.rglob("*") if path.is_file())
NAMES = [str(path.relative_to(ODDITIES)) for path in FILES]
PNGS = [name for name in NAMES if name.endswith(".png")]

# where Pillow is no reference at 8 bits
PILLOW_IS_WRONG = {
    "pngsuite/tbbn0g04.png",  # compares the transparent grey, of 4 bits, with widened pixels
    "pillow/tiff_16bit_RGBa.tiff",  # divides by alpha after it has cut both to 8 bits
}


def by_pillow(path: Path) -> np.ndarray | None:
    """Read as float64 ``(h, w, c)``, white 1; ``None`` if Pillow cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as opened:
                opened.load()
                picture = ImageOps.exif_transpose(opened)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None
    if picture.mode == "F":
        return np.asarray(picture, float)[..., None]
    if picture.mode.startswith("I"):  # the grey alone, for Pillow would clip it to 8 bits
        return np.asarray(picture, float)[..., None] / 65535
    if picture.has_transparency_data:
        pixels = np.asarray(picture.convert("RGBA"))
    else:
        pixels = np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels / 255


@pytest.mark.parametrize("name", NAMES)
def test_as_pillow_reads_it_or_an_error(name):
    expected = by_pillow(ODDITIES / name)
    try:
        image, info = read_image(ODDITIES / name, info=True, clip=True)
    except ValueError as error:
        assert expected is None, error  # noqa: PT017
        assert name in str(error)  # noqa: PT017
        return
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    assert 0 <= image.min() <= image.max() <= 1
    if expected is None:
        assert name == "deep/grayscale_patches_on_splines.pfm"
        return
    if name in PILLOW_IS_WRONG:
        assert image.shape == expected.shape
        return
    assert expected.shape[2] in (1, image.shape[2])
    image, expected = image[..., : expected.shape[2]], np.clip(expected, 0, 1)
    np.testing.assert_allclose(image, expected, atol=1.001 / 255 if info.bits == 16 else 1e-6)


@pytest.mark.parametrize("name", PNGS)
def test_as_libpng_reads_it(name):
    imagecodecs = pytest.importorskip("imagecodecs")
    if name == "pillow/xmp_tags_orientation.png":
        pytest.skip("libpng does not turn it upright")
    try:
        image = read_image(ODDITIES / name)
        pixels = imagecodecs.png_decode((ODDITIES / name).read_bytes())
    except (ValueError, imagecodecs.PngError):
        return  # the test above looks at the errors
    pixels = pixels.reshape(*image.shape[:2], -1) / np.iinfo(pixels.dtype).max
    if pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    if pixels.shape[2] == 4 and image.shape[2] == 3:
        assert pixels[..., 3].min() == 1
        pixels = pixels[..., :3]
    if pixels.shape[2] < image.shape[2]:  # this reader drops some transparent colours
        image = image[..., : pixels.shape[2]]
    np.testing.assert_allclose(image, pixels, atol=1e-6)


@pytest.mark.skipif(not FILES, reason="no folder of pictures")
def test_multiplied_alpha_as_tifffile_reads_it():
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    path = ODDITIES / "pillow" / "tiff_16bit_RGBa.tiff"
    image = read_image(path)
    image[..., :3] *= image[..., 3:]
    np.testing.assert_allclose(image, tifffile.imread(path) / 65535, atol=1e-6)


@pytest.mark.skipif(not FILES, reason="no folder of pictures")
def test_colour_pfm_as_numpy_reads_it():
    path = ODDITIES / "deep" / "grayscale_patches_on_splines.pfm"
    with pytest.raises(ValueError, match=r"splines\.pfm: holds values from -0\.03.*clip=True"):
        read_image(path)
    values = np.fromfile(path, "<f4", offset=len("PF\n320 320\n-1.0\n"))
    rows = values.reshape(320, 320, 3)[::-1]  # the lowest row comes first
    np.testing.assert_array_equal(read_image(path, clip=True), np.clip(rows, 0, 1))
