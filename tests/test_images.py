import io
import os
import pathlib
import threading
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from coordnet._images import ImageInfo, downscale_area, read_image, write_image

RNG = np.random.default_rng(7)
COLOUR = RNG.random((5, 7, 3), np.float32)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


# --- sources -------------------------------------------------------------------------


def test_all_sources_give_the_same(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, COLOUR)
    data = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    with open(path, "rb") as file:
        images = [read_image(s) for s in (path, str(path), "a.png", data, io.BytesIO(data), file)]
    for image in images:
        np.testing.assert_array_equal(image, np.rint(COLOUR * 255) / np.float32(255))
        assert image.dtype == np.float32
        assert image.flags.c_contiguous


def test_a_file_is_read_from_where_it_stands():
    file = io.BytesIO(b"before" + b"P5 1 1 255 \xff")
    file.seek(6)
    np.testing.assert_array_equal(read_image(file), [[[1]]])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    data = b"P5 1 1 255 \xff"
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    np.testing.assert_array_equal(read_image(tmp_path / "pipe"), [[[1]]])
    writer.join()


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 255]], np.uint8), [[[0], [1]]]),
        (np.array([[0, 65535]], np.uint16), [[[0], [1]]]),
        (np.array([[0, 65535]], ">u2"), [[[0], [1]]]),
        (np.array([[False, True]]), [[[0], [1]]]),
        (np.array([[0.0, 0.5]], np.float64), [[[0], [0.5]]]),
        (np.array([[0.0, 0.5]], np.float16), [[[0], [0.5]]]),
        (np.array([[[51, 102]]], np.uint8), [[[0.2, 0.2, 0.2, 0.4]]]),
        (np.array([[[0, 51, 255]]], np.uint8), [[[0, 0.2, 1]]]),
        (np.ones((1, 1, 4)), [[[1, 1, 1, 1]]]),
    ],
)
def test_arrays(array, expected):
    image, info = read_image(array, info=True)
    np.testing.assert_allclose(image, np.array(expected), atol=1e-7)
    assert image.dtype == np.float32
    assert info.icc_profile is None


def test_an_array_is_copied():
    image = read_image(COLOUR)
    np.testing.assert_array_equal(image, COLOUR)
    assert not np.shares_memory(image, COLOUR)
    assert read_image(COLOUR[:, ::-1]).flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "shape"),
        (np.zeros((2, 2, 5)), "shape"),
        (np.zeros((0, 2, 3)), "shape"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.full((2, 2), 255.0), "from 255 to 255.*clip=True"),
        (np.full((2, 2), -0.1), "from -0.1"),
        (np.full((2, 2), np.inf), "inf"),
        (np.array([[0, np.nan]]), "NaN"),
    ],
)
def test_wrong_arrays(array, message):
    with pytest.raises(ValueError, match=message):
        read_image(array)


@pytest.mark.parametrize("source", [3, None, [[0.5]], io.StringIO("text")])
def test_wrong_sources(source):
    with pytest.raises(TypeError):
        read_image(source)


def test_missing_files_and_folders_are_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(OSError, match=tmp_path.name):
        read_image(tmp_path)


def test_floats_outside_the_range():
    values = np.array([[-0.5, 0.5, 2]], np.float32)
    file = b"Pf 3 1 -1\n" + values.tobytes()
    with pytest.raises(ValueError, match=r"bytes: .*from -0.5 to 2.*clip=True"):
        read_image(file)
    for source in (file, values):
        np.testing.assert_array_equal(read_image(source, clip=True).ravel(), [0, 0.5, 1])
    almost = np.array([[-1e-7, 1 + 2e-7]], np.float32)  # a rounding error is no wrong range
    np.testing.assert_array_equal(read_image(almost).ravel(), [0, 1])


# --- options -------------------------------------------------------------------------


def test_crop_then_reduce_by_area():
    image = read_image(COLOUR, crop=(1, 2, 4, 4), downscale=2)
    np.testing.assert_array_equal(image, downscale_area(COLOUR[1:5, 2:6], (2, 2)))
    np.testing.assert_array_equal(read_image(COLOUR, crop=(0, 0, 5, 7)), COLOUR)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"max_side": 7}, (5, 7)),
        ({"max_side": 700}, (5, 7)),
        ({"max_side": 4}, (3, 4)),
        ({"max_side": 1}, (1, 1)),
        ({"downscale": 1}, (5, 7)),
        ({"downscale": 2}, (2, 4)),
        ({"downscale": 2.5}, (2, 3)),
        ({"downscale": 100}, (1, 1)),
    ],
)
def test_sizes(options, shape):
    assert read_image(COLOUR, **options).shape == (*shape, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"downscale": 0.5}, "1 or more"),
        ({"downscale": float("nan")}, "1 or more"),
        ({"max_side": 0}, "1 or more"),
        ({"max_side": 3, "downscale": 2.0}, "give one"),
        ({"crop": (0, 0, 6, 7)}, r"inside a picture of 5 x 7 .*, got \(0, 0, 6, 7\)"),
        ({"crop": (-1, 0, 2, 2)}, r"inside a picture of 5 x 7 .*, got \(-1, 0, 2, 2\)"),
        ({"crop": (0, 0, 0, 2)}, r"inside a picture of 5 x 7 .*, got \(0, 0, 0, 2\)"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        read_image(COLOUR, **options)


def test_grey():
    luma = COLOUR @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(read_image(COLOUR, grey=True)[..., 0], luma, atol=1e-6)
    grey = COLOUR[..., :1]
    np.testing.assert_array_equal(read_image(grey, grey=True), grey)
    clear = np.concatenate([COLOUR, np.zeros_like(grey)], axis=-1)
    np.testing.assert_allclose(read_image(clear, grey=True), 1)  # laid on white
    assert read_image(np.ones((2, 2, 3), np.float32), grey=True).max() <= 1


# --- writing -------------------------------------------------------------------------

LOSSLESS = [
    (suffix, bits, channels)
    for suffix, depths, kinds in [
        (".png", (8, 16), (1, 3, 4)),
        (".tif", (8, 16), (1, 3, 4)),
        (".TIFF", (8, 16), (1, 3, 4)),
        (".bmp", (8,), (1, 3)),
        (".pnm", (8, 16), (1, 3)),
        (".pgm", (8, 16), (1,)),
        (".ppm", (8, 16), (3,)),
    ]
    for bits in depths
    for channels in kinds
]


@given(st.sampled_from(LOSSLESS), st.integers(1, 20), st.integers(1, 20), st.integers(0, 9))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_round_trips_are_exact(tmp_path: pathlib.Path, kind, height, width, seed):
    suffix, bits, channels = kind
    white = 2**bits - 1
    samples = np.random.default_rng(seed).integers(0, white + 1, (height, width, channels))
    image = samples.astype(np.float32) / np.float32(white)
    write_image(tmp_path / f"a{suffix}", image, bits=bits)
    back, info = read_image(tmp_path / f"a{suffix}", info=True)
    np.testing.assert_array_equal(back, image)
    assert info.bits == bits


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_an_independent_reader_agrees_on_16_bits(tmp_path, suffix, channels):
    imagecodecs = pytest.importorskip("imagecodecs")
    samples = RNG.integers(0, 65536, (9, 11, channels)).astype(np.uint16)
    write_image(tmp_path / f"a{suffix}", samples / np.float32(65535), bits=16)
    decode = {".png": imagecodecs.png_decode, ".tif": imagecodecs.tiff_decode}[suffix]
    found = decode((tmp_path / f"a{suffix}").read_bytes())
    np.testing.assert_array_equal(found.reshape(samples.shape), samples)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
def test_lossy_formats_are_close(tmp_path, suffix):
    ramp = np.linspace(0, 1, 64 * 64 * 3, dtype=np.float32).reshape(64, 64, 3)
    sizes = []
    for quality in (None, 30):
        write_image(tmp_path / f"a{suffix}", ramp, quality=quality)
        sizes.append((tmp_path / f"a{suffix}").stat().st_size)
        assert np.abs(read_image(tmp_path / f"a{suffix}") - ramp).max() < 0.1
    assert sizes[0] > sizes[1]


def test_one_clip_and_one_rounding(tmp_path):
    values = np.array([[[-1.0], [0.5 / 255 - 1e-4], [0.5 / 255 + 1e-4], [2.0]]])
    write_image(tmp_path / "a.png", values)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").ravel() * 255, [0, 0, 1, 255])


def test_info_is_put_back(tmp_path):
    exif = Image.Exif()
    exif[270], exif[274] = "a picture", 6
    exif.get_ifd(34665)[33434] = 0.5  # exposure time, in a directory of its own
    Image.new("RGB", (4, 2)).save(
        tmp_path / "a.jpg", exif=exif, icc_profile=SRGB, dpi=(300, 150), quality=95
    )
    image, info = read_image(tmp_path / "a.jpg", info=True)
    assert image.shape == (4, 2, 3)
    assert (info.bits, info.mode, info.dpi) == (8, "RGB", (150, 300))
    for name in ("b.png", "b.jpg", "b.webp", "b.tif", "b.bmp", "b.ppm"):
        for bits in (8, 16) if name in ("b.png", "b.tif") else (8,):
            write_image(tmp_path / name, image, info=info, bits=bits)
            again, back = read_image(tmp_path / name, info=True)
            assert again.shape == (4, 2, 3)  # turned once, not twice
            if name not in ("b.bmp", "b.ppm"):
                assert back.icc_profile == SRGB
                assert back.exif is not None
                found = Image.Exif()
                found.load(back.exif)
                assert found[270] == "a picture"
                assert float(found.get_ifd(34665)[33434]) == 0.5
                assert 274 not in found
            if name not in ("b.webp", "b.ppm"):
                assert back.dpi == pytest.approx((150, 300), rel=1e-3)


def test_a_profile_of_another_kind_of_colour_is_left_out(tmp_path):
    info = ImageInfo(bits=8, mode="RGB", icc_profile=SRGB)
    for bits in (8, 16):
        write_image(tmp_path / "a.png", COLOUR[..., :1], info=info, bits=bits)
        assert read_image(tmp_path / "a.png", info=True)[1].icc_profile is None


@pytest.mark.parametrize(
    ("name", "channels", "options", "message"),
    [
        ("a.xyz", 3, {}, r"a\.xyz.*\.png \.jpg"),
        ("a", 3, {}, r"known are \.png"),
        ("a.jpg", 4, {}, r"image\[\.\.\., :3\]"),
        ("a.bmp", 4, {}, "transparency"),
        ("a.ppm", 4, {}, "transparency"),
        ("a.jpg", 3, {"bits": 16}, "no 16 bits"),
        ("a.webp", 3, {"bits": 16}, "no 16 bits"),
        ("a.ppm", 1, {}, r"\.pnm"),
        ("a.pgm", 3, {}, r"\.pnm"),
        ("a.png", 3, {"quality": 90}, "quality=90"),
        ("a.jpg", 3, {"quality": 0}, "quality=0"),
        ("a.jpg", 3, {"quality": 101}, "quality=101"),
        ("a.jpg", 2, {}, "shape"),
    ],
)
def test_what_cannot_be_written(tmp_path, name, channels, options, message):
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / name, np.zeros((2, 2, channels), np.float32), **options)
    assert os.listdir(tmp_path) == []


def test_wrong_images(tmp_path):
    path = tmp_path / "a.png"
    for wrong in (np.zeros((2, 2), np.float32), np.zeros((0, 2, 3), np.float32)):
        with pytest.raises(ValueError, match="`image` must have shape"):
            write_image(path, wrong)
    with pytest.raises(TypeError, match="uint8"):
        write_image(path, np.zeros((2, 2, 3), np.uint8))
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="12 NaN or infinite"):
            write_image(path, np.full((2, 2, 3), wrong))
    assert not path.exists()


def test_a_failure_keeps_the_file_that_was_there(tmp_path):
    write_image(tmp_path / "a.webp", COLOUR)
    before = (tmp_path / "a.webp").read_bytes()
    with pytest.raises(ValueError, match=r"a\.webp: cannot be written as WebP"):
        write_image(tmp_path / "a.webp", np.zeros((1, 20000, 3), np.float32))
    with pytest.raises(OSError, match="missing"):
        write_image(tmp_path / "missing" / "a.png", COLOUR)
    assert (tmp_path / "a.webp").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.webp"]


def test_reading_leaves_pillow_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ValueError, match="max_pixels=10"):
        read_image(b"P5 4 4 255 " + bytes(16), max_pixels=10)
    data = io.BytesIO()
    Image.new("RGB", (4, 4)).save(data, "PNG")
    with pytest.raises(ValueError, match=r"4 x 4 pixels.*max_pixels="):
        read_image(data.getvalue(), max_pixels=15)
    assert read_image(data.getvalue(), max_pixels=16).shape == (4, 4, 3)
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_checksum_of_a_16_bit_png(tmp_path):
    write_image(tmp_path / "a.png", COLOUR, bits=16)
    data = (tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[29:33]) == zlib.crc32(data[12:29])
