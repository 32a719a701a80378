"""A coordinate network in a file: what it is, its weights in whole steps, and what it paints.

Needs no JAX. Sums are float64: of 60 sines in three layers, two machines differ by some 1e-12 of a
sample's level; so hardly one sample in 10**11 lies where that makes another of it.
"""

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from .._coords import Coordinates, coordinate
from .._files import FormatError
from . import _laplace
from ._container import Reader, varint
from ._resample import Lattice, drawn

#: Activations that a file can name, outputs and coordinates, each by its place.
ACTIVATIONS = ("tanh", "sigmoid", "scaled_tanh", "relu", "sine")
OUTPUTS = ("linear", "sigmoid")
COORDINATES: tuple[Coordinates, ...] = ("centers", "edges", "unit")

#: A step of weights is 2 ** (index / STEP_UNIT + LEAST_STEP), the index a byte.
STEP_UNIT, LEAST_STEP = 16, -14
_ROOTS = np.exp2(np.arange(STEP_UNIT) / STEP_UNIT)

_MOST_WEIGHTS = 2**20
_MOST_WIDTH, _MOST_DEPTH = 4096, 255
# Products that a chunk may ask for, and more for each of its bytes: no small file may ask for much
# work. A second does some 2**33 of them; a unit's activation takes as long as so many.
_WORK, _WORK_A_BYTE, _ACTIVATION = 2**38, 2**26, 128
_VALUES = 2**20  # of a layer, at once: 8 MB


class Form(NamedTuple):
    """What a network is; ``omegas`` are those of the first layer and of the others, of sines."""

    activation: str
    output: str
    coordinates: Coordinates
    omegas: tuple[float, float]
    depth: int
    width: int
    channels: int

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes of the tensors: a weight (out, in) and a bias of each layer."""
        widths = [2, *[self.width] * self.depth, self.channels]
        return [s for a, b in zip(widths[1:], widths, strict=False) for s in ((a, b), (a,))]

    @property
    def weights(self) -> int:
        """Their number."""
        return sum(math.prod(shape) for shape in self.shapes())


class Plain(NamedTuple):
    """What a chunk holds: each tensor's step index, and its weights in such steps."""

    form: Form
    tensors: list[tuple[int, Int[np.ndarray, "..."]]]


def nothing(form: Form) -> Plain:
    """Return a network whose weights are all 0."""
    return Plain(form, [(0, np.zeros(shape, np.int64)) for shape in form.shapes()])


def fits(form: Form, pixels: int, count: int) -> bool:
    """Return whether a chunk of so many bytes may hold that network."""
    small = 0 < form.width <= _MOST_WIDTH and form.depth <= _MOST_DEPTH
    products = form.weights + _ACTIVATION * form.depth * form.width
    work = products * pixels <= _WORK + _WORK_A_BYTE * count
    return small and work and form.weights <= _MOST_WEIGHTS


def step_of(index: int) -> float:
    """Return the step of an index: powers of two times roots of two, the same everywhere.

    >>> step_of(14 * 16), step_of(0) == 2**-14
    (1.0, True)
    """
    octave, rest = divmod(index, STEP_UNIT)
    return float(_ROOTS[rest]) * 2.0 ** (octave + LEAST_STEP)


def packed(found: Plain) -> bytes:
    """Return the bytes of a chunk."""
    form = found.form
    kind = ACTIVATIONS.index(form.activation)
    kind += 8 * OUTPUTS.index(form.output) + 16 * COORDINATES.index(form.coordinates)
    head = bytearray([kind])
    if form.activation == "sine":
        head += struct.pack("<2f", *form.omegas)
    head += varint(form.depth) + varint(form.width)
    coder = _laplace.RangeEncoder()
    for index, steps in found.tensors:
        flat = steps.ravel()
        scale = _laplace.scale_of(flat)
        head += bytes([index, scale])
        _laplace.encode_about_zero(coder, flat, scale)
    return bytes(head) + _laplace.words_of(coder)


def unpacked(body: bytes, channels: int, pixels: int) -> Plain:
    """Return what :func:`packed` was given.

    Raises:
        FormatError: The bytes are no network of so many channels, or one that is too large to
            paint so many pixels.
    """
    reader = Reader(body, "network of the .cnet file")
    kind = reader.byte()
    activation, output, coordinates = kind & 7, kind >> 3 & 1, kind >> 4
    if activation >= len(ACTIVATIONS) or coordinates >= len(COORDINATES):
        msg = f"the .cnet file holds a network of a kind {kind} that is not known"
        raise FormatError(msg)
    omegas = (0.0, 0.0)
    if ACTIVATIONS[activation] == "sine":
        first, other = struct.unpack("<2f", reader.take(8))
        omegas = first, other
    depth, width = reader.varint(_MOST_DEPTH), reader.varint(_MOST_WIDTH)
    form = Form(
        ACTIVATIONS[activation], OUTPUTS[output], COORDINATES[coordinates], omegas,
        depth, width, channels,
    )  # fmt: skip
    shapes = form.shapes()
    if not np.isfinite(omegas).all() or not fits(form, pixels, len(body)):
        msg = (
            f"the .cnet file declares a network of {form.weights:,} weights, in {len(body):,} "
            f"bytes, for {pixels:,} pixels: more than this library paints"
        )
        raise FormatError(msg)
    heads = [(reader.byte(), reader.byte()) for _ in shapes]
    if any(scale >= _laplace.SCALES for _, scale in heads):
        msg = "the .cnet file has weights of a scale that is not known"
        raise FormatError(msg)
    coder = _laplace.decoder_of(reader.take(reader.left))
    tensors = []
    try:
        for (index, scale), shape in zip(heads, shapes, strict=True):
            flat = _laplace.decode_about_zero(coder, math.prod(shape), scale)
            tensors.append((index, flat.reshape(shape)))
    except (ValueError, AssertionError) as error:  # constriction's, of data that none wrote
        msg = f"the .cnet file is damaged: its weights cannot be decoded ({error})"
        raise FormatError(msg) from error
    return Plain(form, tensors)


class Painter:
    """A network that paints; ``tensors`` are the weight and the bias of each layer in turn."""

    def __init__(self, form: Form, tensors: Sequence[Float[np.ndarray, "..."]]):
        self.form = form
        self.layers = list(zip(tensors[::2], tensors[1::2], strict=True))

    def values(
        self, ys: Float[np.ndarray, " n"], xs: Float[np.ndarray, " n"]
    ) -> Float[np.ndarray, "c n"]:
        """Return colours at coordinates."""
        x = np.stack([xs, ys]).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # a file may say anything
            for i, (weight, bias) in enumerate(self.layers):
                x = weight @ x + bias[:, None]
                if i < self.form.depth:
                    x = self._activated(x, i == 0)
            if self.form.output == "sigmoid":
                x = _logistic(x)
        return np.where(np.isnan(x), 0.0, x)

    def lattice(self, native: tuple[int, int]) -> Lattice:
        """Return what draws it, as a picture of that size."""
        longest, points = max(native), max(1, _VALUES // self.form.width)

        def at(ys: Float[np.ndarray, " rows"], xs: Float[np.ndarray, " columns"]) -> np.ndarray:
            ys, xs = (
                coordinate(u, n, longest, self.form.coordinates)
                for u, n in zip((ys, xs), native, strict=True)
            )
            y, x = np.repeat(ys, len(xs)), np.tile(xs, len(ys))
            starts = range(0, len(y), points)
            return np.concatenate(
                [self.values(y[i : i + points], x[i : i + points]) for i in starts], axis=1
            )

        return at

    def painted(self, size: tuple[int, int]) -> UInt8[np.ndarray, "h w c"]:
        """Return the picture at its native size."""
        found = drawn(self.lattice(size), size, (0, 0, *size))
        return np.floor(found * 255 + 0.5).astype(np.uint8)

    def _activated(self, z: Float[np.ndarray, "u n"], first: bool) -> Float[np.ndarray, "u n"]:
        kind = self.form.activation
        if kind == "sine":
            return np.sin(z * self.form.omegas[0 if first else 1])
        if kind == "tanh":
            return np.tanh(z)
        if kind == "scaled_tanh":
            return 1.7159 * np.tanh(z * (2 / 3))
        return _logistic(z) if kind == "sigmoid" else np.maximum(z, 0)


def painter(found: Plain) -> Painter:
    """Return what paints the weights of a chunk."""
    return Painter(found.form, [step_of(index) * steps for index, steps in found.tensors])


def _logistic(z: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    # exp of what is below 0 alone: no overflow
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1.0) / (1 + e)
