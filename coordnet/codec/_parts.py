"""Where the bytes of a ``.cnet`` file go."""

from typing import Any

from .._images import MAX_PIXELS
from . import _laplace, _mlp
from ._chunk import changed, tensors, unpacked
from ._container import Chunk, Header, unpack
from ._decompress import sorted_chunks
from ._entropy import walk
from ._models import entropy_of, kept
from ._pyramid import LEVELS

_KEPT = {"L": "samples, exactly", "K": "alpha, exactly", "i": "colour profile", "x": "EXIF"}
_PAINTS = ("own", "passed", "hidden", "output", "past", "around")


def parts(data: bytes) -> tuple[Header, list[tuple[str, float]]]:
    """Return what a file declares, and its parts with their bytes, which add up to the file's.

    The bytes of latents and weights are what their probabilities cost: fractions. What is kept
    exactly is not decoded.

    Raises:
        FormatError: It is no ``.cnet`` file, or a damaged one.
        ValueError: It declares more pixels than this library decodes.
    """
    header, chunks = unpack(data, max_pixels=MAX_PIXELS)
    sorted_chunks(header, chunks)
    inside = sum(len(chunk.body) for chunk in chunks)
    found: list[tuple[str, float]] = [("header", float(len(data) - inside))]
    for chunk in chunks:
        if chunk.kind in "PA":
            found += _of_pyramid(chunk, header)
        elif chunk.kind == "W":
            found += _of_network(chunk, header)
        else:
            found.append((_KEPT.get(chunk.kind, f"chunk {chunk.kind}"), float(len(chunk.body))))
    return header, found


def _of_network(chunk: Chunk, header: Header) -> list[tuple[str, float]]:
    pixels = header.height * header.width
    plain = _mlp.unpacked(chunk.body, header.channels + header.alpha, pixels)
    found = []
    for k, (_, steps) in enumerate(plain.tensors):
        flat = steps.ravel()
        what = "bias" if k % 2 else "weights"
        cost = _laplace.bits_about_zero(flat) / 8
        found.append((f"{what} of layer {k // 2 + 1}, {flat.size:,}", cost))
    rest = len(chunk.body) - sum(cost for _, cost in found)
    return [*found, ("tensor heads, rounding of the coder", rest)]


def _of_pyramid(chunk: Chunk, header: Header) -> list[tuple[str, float]]:
    pyramid = unpacked(chunk.body, header.height, header.width)
    numbers = kept(pyramid.model)
    sums = {"synthesis network": 0.0, "entropy network": 0.0}
    heads = 1
    for place, (name, _, _) in enumerate(tensors(numbers)):
        if pyramid.deltas:
            heads += 1 + (place in pyramid.deltas)
        if place in pyramid.deltas:
            _, steps = pyramid.deltas[place]
            kind = "synthesis" if name.startswith(_PAINTS) else "entropy"
            sums[f"{kind} network"] += _laplace.bits_about_zero(steps) / 8
    finest = LEVELS - len(pyramid.latents)
    costs = dict.fromkeys(reversed(range(finest, LEVELS)), 0.0)

    def count(values: Any, means: Any, scales: Any, place: tuple[int, int]) -> Any:
        costs[place[0] + finest] += (
            float(_laplace.bits(pyramid.precision, values, means, scales).sum()) / 8
        )
        return values

    entropy = entropy_of(changed(numbers, pyramid.deltas), pyramid.precision)
    walk(entropy, [grid.shape for grid in pyramid.latents], pyramid.latents, count)
    found = [("tensor heads", float(heads)), *((n, v) for n, v in sums.items() if v)]
    for level, cost in costs.items():
        found.append((f"latents, 1/{2**level} of the sides", cost))
    rest = len(chunk.body) - sum(v for _, v in found)
    if rest < 0:  # what is as good as certain: the file leaves out zeros at its end
        share = (len(chunk.body) - heads) / max(len(chunk.body) - heads - rest, 1e-9)
        found, rest = [found[0], *((n, share * v) for n, v in found[1:])], 0.0
    found.append(("rounding of the coder", rest))
    return [(f"alpha: {n}", v) for n, v in found] if chunk.kind == "A" else found
