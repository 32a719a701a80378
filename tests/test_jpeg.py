"""What a JPEG file stores, against Pillow and scipy; its planes, and what is drawn to be one."""

import contextlib
import io
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from scipy.fft import dctn

from coordnet.restore._jpeg import (
    as_jpeg,
    bins,
    blocked,
    coefficients,
    flat,
    pixels,
    project,
    read_jpeg,
)
from coordnet.restore._jpeg import unrounded as before_rounding
from coordnet.restore._planes import enlarged, guided, reduced, spread, to_rgb, to_ycc
from coordnet.restore._screens import FONTS, HELD_OUT_FONTS, screen


def photo(height=64, width=96, seed=0):
    """Return something smooth with edges and noise, (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 32
    waves = np.stack([np.sin(3 * x + y), np.cos(2 * y * x), np.sin(x - 2 * y)], -1)
    edges = np.where((x + y)[..., None] % 1.5 < 0.7, 40, -40)
    return (128 + 60 * waves + edges + rng.normal(0, 4, waves.shape)).clip(0, 255).astype(np.uint8)


def decoded(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(64, 96), (33, 50), (9, 17), (1, 1)])
def test_planes_come_to_what_pillow_decodes(size, subsampling, progressive):
    picture = photo()[: size[0], : size[1]]
    data = as_jpeg(picture, 85, subsampling=subsampling, progressive=progressive)
    found = read_jpeg(data)
    assert found.size == size
    # 4:2:2 halves the width alone
    down, across = (2 if subsampling == 2 else 1), (1 if subsampling == 0 else 2)
    assert found.planes[1].shape == (-(-size[0] // down), -(-size[1] // across))
    ours = np.stack([enlarged(p, size) for p in found.planes], -1)
    # whole-number transforms of two decoders and two roundings are up to 1 level off in Y and in
    # each chroma, which is 1.8 levels of blue each
    assert np.abs(to_rgb(ours).clip(0, 255) - decoded(data)).max() <= 5


def test_grey_has_one_plane():
    found = read_jpeg(as_jpeg(photo()[..., 0], 30))
    assert len(found.planes) == len(found.tables) == 1


def test_tables_are_the_files_own():
    tables = [[2] + [k % 50 + 3 for k in range(63)], [9] * 64]
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG", qtables=tables)
    data = file.getvalue()
    # by the standard: marker, length, number of the table, steps from low to high in zigzag
    at = data.index(b"\xff\xdb") + 5
    zigzag = sorted(np.ndindex(8, 8), key=lambda at: (sum(at), at[(sum(at) + 1) % 2]))
    expected = np.zeros((8, 8), int)
    for step, place in zip(data[at : at + 64], zigzag, strict=True):
        expected[place] = step
    found = read_jpeg(data)
    assert np.array_equal(found.tables[0], expected)
    assert (np.stack(found.tables[1:]) == 9).all()


def test_coefficients_are_the_orthonormal_dct():
    blocks = np.random.default_rng(1).uniform(0, 255, (3, 2, 8, 8)).astype(np.float32)
    expected = np.asarray(dctn(blocks - 128, axes=(2, 3), norm="ortho"))
    np.testing.assert_allclose(coefficients(blocks), expected, atol=1e-3)  # float32 of 1000
    np.testing.assert_allclose(pixels(coefficients(blocks)), blocks, atol=1e-3)


@pytest.mark.parametrize("quality", [10, 50, 85, 95])
def test_bins_are_those_that_decode_to_the_file(quality):
    picture = photo()
    found = read_jpeg(as_jpeg(picture, quality, subsampling=2))
    for plane, table in zip(found.planes, found.tables, strict=True):
        said = bins(plane, table)
        assert said.known.mean() > 0.95  # blocks with much that was clipped may stay unknown
        steps = said.centres / table
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)  # whole numbers
        off = np.abs(before_rounding(plane, said).clip(0, 255) - plane)
        assert off.max() <= 1.1


def test_clipped_blocks_are_found_again():
    # text on white, whose waves go beyond white: of blocks with letters nearly all are clipped
    page = Image.new("L", (96, 64), 255)
    font = ImageFont.truetype(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 14)
    for y in range(0, 64, 18):
        ImageDraw.Draw(page).text((2, y), "It was a dark night", fill=0, font=font)
    found = read_jpeg(as_jpeg(np.asarray(page), 60))
    said = bins(found.planes[0], found.tables[0])
    plain = np.rint(coefficients(blocked(found.planes[0])) / found.tables[0]) * found.tables[0]
    agree = np.abs(pixels(plain).clip(0, 255) - blocked(found.planes[0])).max((2, 3)) <= 1.1
    assert said.known.mean() > agree.mean() + 0.3


def test_the_truth_lies_in_the_bins():
    truth = photo()[..., 0]
    for quality in (10, 40, 85):
        found = read_jpeg(as_jpeg(truth, quality))
        said = bins(found.planes[0], found.tables[0])
        kept = project(truth.astype(np.float32), said)
        # libjpeg's transform in whole numbers: a few coefficients are a hair outside
        assert np.sqrt(np.square(kept - truth).mean()) < 0.2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), quality=st.integers(5, 90))
def test_what_is_projected_is_stored_as_the_same_file(seed, quality):
    rng = np.random.default_rng(seed)
    truth = photo(24, 40, seed)[..., 0]
    found = read_jpeg(as_jpeg(truth, quality))
    said = bins(found.planes[0], found.tables[0])
    moved = project(truth + rng.normal(0, 30, truth.shape).astype(np.float32), said)
    off = np.abs(coefficients(blocked(moved)) - said.centres)[said.known]
    assert (off <= 0.551 * said.table).all()  # the bin and its slack, and float32
    np.testing.assert_allclose(project(moved, said), moved, atol=0.01)  # nothing left to do


def test_blocks_cut_by_the_border_stay():
    plane = photo()[:20, :30, 0]
    found = read_jpeg(as_jpeg(plane, 20))
    said = bins(found.planes[0], found.tables[0])
    moved = project(np.zeros(plane.shape, np.float32), said)
    assert not moved[16:].any()
    assert not moved[:, 24:].any()
    assert moved[:16, :24].any()


def test_flat_asks_for_all_nine_blocks():
    plane = np.full((40, 45), 200, np.uint8)
    assert flat(plane).all()
    plane[17, 17] = 0  # of the middle block
    expected = np.ones(plane.shape, bool)
    expected[8:32, 8:32] = False
    assert np.array_equal(flat(plane), expected)


def test_colours_are_pillows():
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    theirs = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
    assert np.abs(to_ycc(rgb) - theirs).max() <= 1  # Pillow rounds by a table
    np.testing.assert_allclose(to_rgb(to_ycc(rgb)), rgb, atol=1e-3)  # constants of six digits


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 3)])
def test_chroma_comes_and_goes(size):
    plane = np.random.default_rng(0).uniform(0, 255, size).astype(np.float32)
    small = (-(-size[0] // 2), -(-size[1] // 2))
    assert reduced(plane, small).shape == small
    assert enlarged(reduced(plane, small), size).shape == size
    flat_one = np.full(small, 9.0, np.float32)
    assert np.array_equal(enlarged(flat_one, size), np.full(size, 9.0))
    np.testing.assert_allclose(reduced(spread(flat_one, size), small), flat_one)


def test_luma_guides_chroma_to_its_edges():
    error = np.zeros(2)
    for k in range(4):
        truth = screen(np.random.default_rng(k), (128, 128), HELD_OUT_FONTS)
        found = read_jpeg(as_jpeg(truth, 95, subsampling=2))
        luma, wanted = found.planes[0].astype(np.float32), to_ycc(truth)[..., 1]
        for j, made in enumerate(
            (guided(luma, found.planes[1]), enlarged(found.planes[1], found.size))
        ):
            error[j] += np.square(made - wanted).mean()
    assert error[0] < 0.7 * error[1]  # of eight screens +4 dB in RGB were measured


def test_screens_are_drawn_by_their_number():
    first, again, other = (screen(np.random.default_rng(k), (80, 120)) for k in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not set(FONTS) & set(HELD_OUT_FONTS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a JPEG file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "is not a JPEG file"),
        (b"\xff\xd8\xff\xc9" + bytes([0, 17, 8]) + bytes(14), "arithmetic codes"),
        (b"\xff\xd8\xff\xc1" + bytes([0, 17, 12]) + bytes(14), "12 bits a sample"),
        (b"\xff\xd8\xff\xc3" + bytes([0, 17, 8]) + bytes(14), "lossless"),
        (b"\xff\xd8" + bytes(40), "no header of a frame"),
    ],
)
def test_other_kinds_are_named(data, message):
    with pytest.raises(ValueError, match=rf"bad\.jpg: .*{message}"):
        read_jpeg(data, "bad.jpg")


def test_files_that_are_cut_short():
    data = as_jpeg(photo(), 85)
    for end in (20, 200, len(data) // 2, len(data) - 60):
        with pytest.raises(ValueError, match="cannot be read as a JPEG"):
            read_jpeg(data[:end])


@pytest.mark.parametrize("mode", ["CMYK", "RGB"])
def test_other_colours_are_named(mode):
    file = io.BytesIO()
    options = {"keep_rgb": True} if mode == "RGB" else {}
    Image.fromarray(photo()).convert(mode).save(file, "JPEG", **options)
    with pytest.raises(ValueError, match="CMYK" if mode == "CMYK" else "R, G and B"):
        read_jpeg(file.getvalue())


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_one_error(data):
    whole = bytearray(as_jpeg(photo(24, 24), 60, progressive=data.draw(st.booleans())))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(2, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):  # the one error; what is read has its planes
        found = read_jpeg(bytes(whole))
        assert len(found.planes) == len(found.tables)


def test_stray_bytes_between_markers_are_passed_over():
    data = as_jpeg(photo(), 85)
    end = 4 + int.from_bytes(data[4:6], "big")  # of the first segment
    found = read_jpeg(data[:end] + b"\0\1stray" + data[end:])
    for plane, same in zip(found.planes, read_jpeg(data).planes, strict=True):
        np.testing.assert_array_equal(plane, same)


def test_damaged_exif_is_no_damaged_picture():
    data = as_jpeg(photo(), 85, exif=b"Exif\0\0II*\0\xff\xff\xff\xffbroken")
    assert read_jpeg(data).orientation == 1


def test_more_pixels_than_pillow_decodes(monkeypatch):
    data = as_jpeg(photo(), 85)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"big\.jpg: cannot be read as a JPEG"):
        read_jpeg(data, "big.jpg")


def test_colours_that_adobe_marks_as_unconverted_are_refused():
    file = io.BytesIO()
    Image.fromarray(photo(16, 16)).save(file, "JPEG", keep_rgb=True)
    data = bytearray(file.getvalue())
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for k in range(3):  # components numbered as those of YCbCr
        data[frame + 10 + 3 * k] = data[scan + 5 + 2 * k] = k + 1
    with pytest.raises(ValueError, match="is stored as R, G and B"):
        read_jpeg(bytes(data))


def test_a_step_of_zero_is_refused():
    data = bytearray(as_jpeg(photo(16, 16), 50))
    data[data.index(b"\xff\xdb") + 5] = 0
    with pytest.raises(ValueError, match=r"a step of 0|cannot be read"):
        read_jpeg(bytes(data))
