"""The container: chunks to bytes and back, trusting nothing. ``docs/format.md`` says every byte."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from .._files import FormatError

MAGIC = b"\x89CNET"
VERSION = 2  # 1 had other networks, and was never released
_MOST_CHUNKS = 4096


class Chunk(NamedTuple):
    """A part of a file: what it is, and its bytes."""

    kind: str  # one ASCII letter; a reader may pass over small ones that it does not know
    body: bytes


class Header(NamedTuple):
    """What every file says of its picture."""

    height: int
    width: int
    channels: int  # 1 or 3
    alpha: bool


class Reader:
    """Bytes read from the front, never beyond their end.

    >>> reader = Reader(bytes([7, 0x85, 0x01]))
    >>> reader.byte(), reader.varint(200), reader.left
    (7, 133, 0)
    """

    def __init__(self, data: bytes, name: str = "file"):
        self.data = data
        self.name = name
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count > self.left:
            msg = f"the {self.name} ends early: {count} bytes were to follow, {self.left} do"
            raise FormatError(msg)
        self.at += count
        return self.data[self.at - count : self.at]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def varint(self, most: int) -> int:
        """Return a number of seven bits a byte, the low ones first, at most ``most``."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if value > most or shift > 70:  # ten bytes hold every number that may be
                msg = f"the {self.name} holds a number above {most:,} where none may be"
                raise FormatError(msg)
            if byte < 128:
                return value

    def end(self) -> None:
        """Check that all was read."""
        if self.left:
            msg = f"the {self.name} goes on for {self.left} bytes after its end"
            raise FormatError(msg)


def varint(value: int) -> bytes:
    """Return a number as :meth:`Reader.varint` reads it.

    >>> varint(133).hex()
    '8501'
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def pack(header: Header, chunks: Sequence[Chunk]) -> bytes:
    """Return a whole file.

    >>> found = unpack(pack(Header(2, 3, 1, False), [Chunk("L", b"abc")]))
    >>> found[0].width, found[1]
    (3, [Chunk(kind='L', body=b'abc')])
    """
    head = varint(header.height) + varint(header.width)
    flags = header.channels | header.alpha << 2
    parts = [head, bytes([flags])]
    for chunk in chunks:
        parts += [chunk.kind.encode("ascii"), varint(len(chunk.body)), chunk.body]
    rest = b"".join(parts)
    return MAGIC + bytes([VERSION]) + zlib.crc32(rest).to_bytes(4, "little") + rest


def unpack(data: bytes, *, max_pixels: int | None = None) -> tuple[Header, list[Chunk]]:
    """Return what :func:`pack` packed.

    Raises:
        FormatError: It is no such file, or a damaged one, or one of a later version.
        ValueError: The picture has more than ``max_pixels``.
    """
    if not data.startswith(MAGIC):
        what = f"begins with {data[:8]!r}" if data else "is empty"
        msg = f"not a .cnet file: it {what}"
        raise FormatError(msg)
    reader = Reader(data[len(MAGIC) :], ".cnet file")
    if (version := reader.byte()) != VERSION:
        msg = f"a .cnet file of version {version}, this library reads version {VERSION}"
        raise FormatError(msg)
    check = int.from_bytes(reader.take(4), "little")
    if zlib.crc32(reader.data[reader.at :]) != check:
        msg = "the .cnet file is damaged: cut short, or changed (its checksum is another)"
        raise FormatError(msg)
    height, width = reader.varint(2**24), reader.varint(2**24)
    flags = reader.byte()
    channels, alpha = flags & 3, bool(flags & 4)
    if not height or not width or flags not in (1, 3, 7):
        msg = f"the .cnet file declares a picture of {height}x{width} pixels, flags {flags}"
        raise FormatError(msg)
    if max_pixels is not None and height * width > max_pixels:
        msg = (
            f"the .cnet file declares {height * width:,} pixels, more than the {max_pixels:,} "
            "allowed; raise max_pixels to read it"
        )
        raise ValueError(msg)
    chunks = []
    while reader.left:
        if len(chunks) == _MOST_CHUNKS:
            msg = f"the .cnet file has more than {_MOST_CHUNKS} chunks"
            raise FormatError(msg)
        kind = chr(reader.byte())
        if not (kind.isascii() and kind.isalpha()):
            msg = f"the .cnet file has a chunk {kind!r}, which is no letter"
            raise FormatError(msg)
        chunks.append(Chunk(kind, reader.take(reader.varint(2**31))))
    return Header(height, width, channels, alpha), chunks
