"""The container: what is packed is unpacked, and nothing else is believed."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coordnet import FormatError
from coordnet.codec import _lossless
from coordnet.codec._container import MAGIC, Chunk, Header, Reader, pack, unpack, varint

HEADERS = st.builds(
    Header,
    st.integers(1, 2**24),
    st.integers(1, 2**24),
    st.just(3),
    st.booleans(),
)
LETTERS = st.sampled_from("ABCDEFGHabcdefgh")
CHUNKS = st.lists(st.builds(Chunk, LETTERS, st.binary(max_size=300)), max_size=5)
PICTURES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])).flatmap(
    lambda shape: arrays(np.uint8, shape)
)


@given(HEADERS, CHUNKS)
def test_what_is_packed_is_unpacked(header, chunks):
    assert unpack(pack(header, chunks)) == (header, chunks)


@given(st.integers(0, 2**40))
def test_numbers_of_any_size(value):
    data = varint(value)
    reader = Reader(data)
    assert reader.varint(2**40) == value
    assert reader.left == 0
    assert len(data) == max(1, -(-value.bit_length() // 7))


def test_a_number_is_bounded_before_its_end():
    with pytest.raises(FormatError, match="above 10"):
        Reader(b"\xff" * 1000).varint(10)


def test_the_bytes_of_a_file():
    # by hand: magic, version, checksum of the rest; 3 x 200 pixels, RGB; a chunk L of two bytes
    rest = bytes([3, 0xC8, 0x01, 3]) + b"L" + bytes([2]) + b"ab"
    expected = b"\x89CNET\x02" + zlib.crc32(rest).to_bytes(4, "little") + rest
    assert pack(Header(3, 200, 3, False), [Chunk("L", b"ab")]) == expected


def resealed(data, changes):
    """The same file with other bytes after its checksum, which is made right again."""
    rest = bytearray(data[len(MAGIC) + 5 :])
    for place, value in changes:
        rest[place] = value
    return MAGIC + b"\x02" + zlib.crc32(rest).to_bytes(4, "little") + bytes(rest)


FILE = pack(Header(3, 200, 3, False), [Chunk("L", b"ab")])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"\x89PNG....", "begins with"),
        (MAGIC, "ends early"),
        (MAGIC + b"\x01" + FILE[6:], "version 1"),
        (MAGIC + b"\x03" + FILE[6:], "version 3"),
        (FILE[:-1], "checksum"),
        (FILE[:15], "checksum"),
        (FILE + b"x", "checksum"),
        (resealed(FILE, [(0, 0)]), "0x200"),
        (resealed(FILE, [(3, 2)]), "flags 2"),
        (resealed(FILE, [(3, 5)]), "flags 5"),
        (resealed(FILE, [(3, 11)]), "flags 11"),
        (resealed(FILE, [(4, 0x80)]), "no letter"),
        (resealed(FILE, [(5, 100)]), "ends early: 100 bytes"),
    ],
)
def test_what_is_no_file(data, match):
    with pytest.raises(FormatError, match=match):
        unpack(data)


def test_too_many_pixels():
    with pytest.raises(ValueError, match="more than the 599 allowed"):
        unpack(FILE, max_pixels=599)


def test_too_many_chunks():
    with pytest.raises(FormatError, match="more than 4096 chunks"):
        unpack(pack(Header(1, 1, 1, False), [Chunk("a", b"")] * 4097))


@given(PICTURES)
def test_exact_pictures(samples):
    body = _lossless.encode(samples)
    assert (_lossless.decode(body, samples.shape) == samples).all()
    assert len(body) <= samples.size + 1


@pytest.mark.parametrize("kind", ["ramp", "flat", "noise"])
def test_exact_pictures_are_small_where_they_can_be(kind):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    samples = {
        "ramp": np.stack([2 * x + y, 2 * x + y, x + y], -1) % 256,
        "flat": np.full((64, 64, 3), 7),
        "noise": rng.integers(0, 256, (64, 64, 3)),
    }[kind].astype(np.uint8)
    most = {"ramp": 500, "flat": 60, "noise": samples.size + 1}[kind]
    assert len(_lossless.encode(samples)) <= most


@pytest.mark.parametrize("body", [b"", b"\x09", b"\x00", b"\x08abc", b"\x00" + b"\xff" * 30])
def test_what_is_no_exact_picture(body):
    with pytest.raises(FormatError):
        _lossless.decode(body, (4, 4, 3))


def test_an_exact_picture_of_another_size():
    body = _lossless.encode(np.zeros((40, 40, 3), np.uint8))
    for shape in ((39, 40, 3), (41, 40, 3), (4000, 4000, 3)):
        with pytest.raises(FormatError):
            _lossless.decode(body, shape)
