import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from coordnet._images import read_image

RNG = np.random.default_rng(3)
NOISE = RNG.integers(0, 256, (12, 16, 3), np.uint8)


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def png(samples: np.ndarray, colour_type: int, bits: int, transparent: bytes = b"") -> bytes:
    """Write a PNG by hand: rows unfiltered, ``samples`` (h, values in a row)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, values = samples.shape
    if bits >= 8:
        rows = samples.astype(f">u{bits // 8}").view(np.uint8).reshape(height, -1)
    else:  # high bit first
        planes = (samples[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = np.packbits(planes.reshape(height, -1).astype(np.uint8), axis=1)
    width = values // {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    trns = chunk(b"tRNS", transparent) if transparent else b""
    body = chunk(b"IHDR", header) + trns + chunk(b"IDAT", zlib.compress(raw))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


# --- depth ---------------------------------------------------------------------------


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_keeps_them(colour_type, channels):
    samples = RNG.integers(0, 65536, (5, 7, channels))
    image, info = read_image(png(samples.reshape(5, -1), colour_type, 16), info=True)
    expected = samples[..., [0, 0, 0, 1]] if channels == 2 else samples
    np.testing.assert_array_equal(np.rint(image * 65535), expected)
    assert info.bits == 16


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_grey_of_a_png(bits):
    white = 2**bits - 1
    samples = np.arange(16).reshape(2, 8) * 37 % (white + 1)
    image = read_image(png(samples, 0, bits, transparent=struct.pack(">H", samples[1, 2])))
    assert image.shape == (2, 8, 4)
    np.testing.assert_allclose(image[..., 0], samples / white, atol=1e-6)
    np.testing.assert_array_equal(image[..., 3], samples != samples[1, 2])


def test_the_transparent_colour_of_a_16_bit_png():
    samples = RNG.integers(0, 65536, (4, 4, 3))
    samples[1, 1] = [256, 512, 770]
    samples[2, 2] = [256, 512, 771]  # the same in 8 bits
    image = read_image(png(samples.reshape(4, -1), 2, 16, struct.pack(">HHH", 256, 512, 770)))
    np.testing.assert_array_equal(np.argwhere(image[..., 3] == 0), [[1, 1]])
    np.testing.assert_array_equal(np.rint(image[..., :3] * 65535), samples)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_of_16_bits_keeps_them(order, compression, channels):
    tifffile = pytest.importorskip("tifffile")
    samples = RNG.integers(0, 65536, (9, 11, channels)).astype(np.uint16)
    options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    file = io.BytesIO()
    photometric = "minisblack" if channels == 1 else "rgb"
    stored = samples[..., 0] if channels == 1 else samples
    tifffile.imwrite(
        file, stored, byteorder=order, photometric=photometric, compression=compression, **options
    )
    image, info = read_image(file.getvalue(), info=True)
    np.testing.assert_array_equal(np.rint(image * 65535), samples)
    assert info.bits == 16


def tiff(samples: np.ndarray, photometric: int, sample_format: int = 1, extra: int = 0) -> bytes:
    """Write a little-endian TIFF by hand: one strip, not compressed; all tags as numbers."""
    height, width, channels = samples.shape
    bits = samples.dtype.itemsize * 8
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: channels}
    tags |= {278: height, 279: samples.nbytes, 339: sample_format}
    if extra:
        tags[338] = extra
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + samples.astype(samples.dtype.newbyteorder("<")).tobytes()


def test_other_tiffs_of_16_bits():
    samples = RNG.integers(0, 65536, (4, 5, 4)).astype(np.uint16)
    ink = samples / 65535
    cmyk = read_image(tiff(samples, 5))
    np.testing.assert_allclose(cmyk, (1 - ink[..., :3]) * (1 - ink[..., 3:]), atol=1e-6)
    white_is_zero = read_image(tiff(samples[..., :1], 0))
    np.testing.assert_allclose(white_is_zero, 1 - ink[..., :1], atol=1e-6)


def test_multiplied_alpha_of_16_bits():
    alpha = np.array([[65535, 40000, 1, 0]]).reshape(1, 4, 1)
    colour = np.array([0.25, 0.5, 1.0])
    samples = np.concatenate([np.rint(colour * alpha), alpha], axis=-1).astype(np.uint16)
    image = read_image(tiff(samples, 2, extra=1))
    np.testing.assert_allclose(image[0, :2, :3], [colour, colour], atol=2e-5)
    np.testing.assert_array_equal(image[0, 3], [0, 0, 0, 0])
    np.testing.assert_allclose(image[..., 3:], alpha / 65535, atol=1e-6)


def test_float_tiff():
    values = RNG.random((4, 5, 1), np.float32)
    image, info = read_image(tiff(values, 1, sample_format=3), info=True)
    np.testing.assert_array_equal(image, values)
    assert (info.bits, info.mode) == (32, "F")
    with pytest.raises(ValueError, match="clip=True"):
        read_image(tiff(values * 3, 1, sample_format=3))


@pytest.mark.parametrize(("dtype", "sample_format"), [(np.int32, 2), (np.int16, 2), (np.uint32, 1)])
def test_integers_without_a_white_are_refused(dtype, sample_format):
    with pytest.raises(ValueError, match="no value is white"):
        read_image(tiff(np.ones((2, 2, 1), dtype), 1, sample_format))


def test_planes_apart_of_16_bits_are_refused():
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    planes = np.zeros((3, 8, 8), np.uint16)
    tifffile.imwrite(file, planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match="planes apart"):
        read_image(file.getvalue())


# --- kinds of picture ----------------------------------------------------------------


def every_mode_of_every_kind():
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "ICO", "TGA"):
        for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr"):
            try:
                yield pytest.param(
                    saved(Image.fromarray(NOISE).convert(mode), kind), id=f"{kind}-{mode}"
                )
            except (OSError, ValueError):  # this kind of file has no such mode
                continue


@pytest.mark.parametrize("data", list(every_mode_of_every_kind()))
def test_every_mode_of_every_kind_as_pillow_converts_it(data):
    with Image.open(io.BytesIO(data)) as picture:
        picture.load()
        grey = "L" if picture.mode in ("1", "L") else "RGB"
        expected = picture.convert("RGBA" if picture.has_transparency_data else grey)
    image = read_image(data)
    pixels = np.asarray(expected).reshape(image.shape)
    np.testing.assert_array_equal(image, pixels / np.float32(255))


def test_transparent_palettes():
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    expected = np.array([[[1, 0, 0, 1], [0, 1, 0, 0]]], np.float32)
    for kind in ("PNG", "GIF"):
        np.testing.assert_array_equal(read_image(saved(picture, kind, transparency=1)), expected)


def test_the_first_of_several():
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "TIFF", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_allclose(read_image(data)[0, 0], [1, 0, 0], atol=0.01)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_orientations(kind, orientation):
    ramp = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) % 256
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(ramp.astype(np.uint8)).convert("RGB"), kind, exif=exif, **options)
    # the sides of the upright picture at which the file's first row and first column lie
    corner = {1: "TL", 2: "TR", 3: "BR", 4: "BL", 5: "LT", 6: "RT", 7: "RB", 8: "LB"}[orientation]
    with Image.open(io.BytesIO(data)) as picture:
        stored = np.asarray(Image.fromarray(np.asarray(picture)), np.float32) / 255
    if kind == "TIFF":  # Pillow has turned it already
        stored = np.repeat(ramp[..., None], 3, axis=2) / np.float32(255)
    upright = read_image(data)
    if corner[0] in "LR":
        upright = upright.transpose(1, 0, 2)
    upright = upright[::-1] if corner[0] in "BR" else upright
    upright = upright[:, ::-1] if corner[1] in "BR" else upright
    np.testing.assert_array_equal(upright, stored)


def test_drawings_are_refused():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with pytest.raises(ValueError, match="drawing"):
        read_image(eps)


# --- broken files --------------------------------------------------------------------

PICTURES = {
    "png": saved(Image.fromarray(NOISE), "PNG"),
    "png16": png(RNG.integers(0, 65536, (6, 12)), 2, 16),
    "jpeg": saved(Image.fromarray(NOISE), "JPEG"),
    "progressive": saved(Image.fromarray(NOISE), "JPEG", progressive=True),
    "tiff": saved(Image.fromarray(NOISE), "TIFF"),
    "lzw": saved(Image.fromarray(NOISE), "TIFF", compression="tiff_lzw"),
    "tiff16": tiff(RNG.integers(0, 65536, (6, 4, 3)).astype(np.uint16), 2),
    "bmp": saved(Image.fromarray(NOISE), "BMP"),
    "gif": saved(Image.fromarray(NOISE), "GIF"),
    "webp": saved(Image.fromarray(NOISE), "WEBP", lossless=True),
    "ppm": saved(Image.fromarray(NOISE), "PPM"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_a_file_cut_short_is_an_error_or_loses_nothing(kind):
    data = PICTURES[kind]
    whole = read_image(data)
    errors = 0
    for length in range(0, len(data), 3):
        try:
            image = read_image(data[:length])
        except ValueError as error:
            assert str(error).startswith(f"{length} bytes: ")  # noqa: PT017, most are read
            errors += 1
        else:
            np.testing.assert_array_equal(image, whole)
    assert errors > 0.9 * len(data) / 3


@given(
    st.sampled_from(sorted(PICTURES)),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=4),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_a_damaged_file_is_an_image_or_an_error(kind, changes, in_the_header):
    data = bytearray(PICTURES[kind])
    for position, value in changes:
        data[position % (64 if in_the_header else len(data))] = value
    try:
        image = read_image(bytes(data), max_pixels=10**6)
    except ValueError as error:
        assert str(error).startswith(f"{len(data)} bytes: ")  # noqa: PT017, some are read
    else:
        assert image.dtype == np.float32
        assert image.shape[2] in (1, 3, 4)
        assert 0 <= image.min() <= image.max() <= 1
