"""Training on a folder of pictures: the bias is theirs, and a card says so."""

import csv
import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import nnx
from jaxtyping import Float

from .._caption import add_caption
from .._checkpoint import fingerprint
from .._files import check_target
from .._images import write_image
from .._metrics import psnr
from ._learn import learn
from ._pairs import pairs
from ._resize import resized
from ._ridge import QUALITIES, solved
from ._stream import Folder
from ._trunk import widened
from ._upscale import enlarged
from ._upscaler import Upscaler, cost
from ._weights import check_form, chosen, write_weights

_WATCHED = 16  # pictures of the validation part at most: a second or two for each stage
_WATCHED_SIDE, _WATCHED_SCALE = 384, 4  # pixels of each, and how far it is reduced
# of a step at its highest: of new weights, and of learnt ones (half, as dejpeg-small went on with;
# nothing else was tried)
_RATE, _RATE_ON = 4e-3, 2e-3
_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class Stage(NamedTuple):
    """What is told of a stage of a training.

    Attributes:
        step: Of training.
        minutes: Since it began, or went on.
        loss: The mean since the last stage.
        gain: dB by which the verification pictures, 4 times larger, are nearer than a cubic's.
        triptychs: Of each of them, of the first 16 at most, the original, the input and the result,
            side by side.
    """

    step: int
    minutes: float
    loss: float
    gain: float
    triptychs: list[Float[np.ndarray, "h w 3"]]


def train_upscale(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    name: str,
    minutes: float = 60,
    seed: int = 0,
    begin: str | os.PathLike[str] | None = None,
    width: int | None = None,
    blocks: int | None = None,
    note: str | None = None,
    watch: Callable[[Stage], None] | None = None,
    every: float = 300,
    computing: Callable[[Upscaler], Upscaler] | None = None,
) -> dict[str, Any]:
    """Train an upscaler on all pictures below a folder.

    Every tenth picture, by its name, is set aside to verify. A checkpoint lies beside ``output``
    while it runs: the same call goes on from there.

    Args:
        folder: Pictures of the kind whose detail is to be invented. If a ``.csv`` in it has the
            columns ``file``, beside it, and ``painter``, the card says who painted how many.
        output: The weights, a ``.safetensors`` file that ``upscale(model=)`` takes.
        name: What the bias is called: ``"paintings"``.
        minutes: Of training.
        seed: Of the first weights and of what is drawn: another than of a network that is begun
            from and has learnt from the same folder.
        begin: What ``upscale(model=)`` takes: a network to begin from. Its card is told in the new
            one's.
        width: Features of a pixel; when missing, those of ``begin``, or 32.
        blocks: Pairs of convolutions; when missing, those of ``begin``, or 4. A network that
            begins from a smaller one computes what that one does, at first.
        note: For the card: licences, painters, where the pictures are from.
        watch: Told of every stage.
        every: Seconds between two stages.
        computing: The network as it computes while it learns, of the same weights; when missing as
            it is on a CPU, and elsewhere with layers in bfloat16.

    Returns:
        The card.

    Raises:
        ValueError: The folder holds no picture, or an argument is out of its range.
        FormatError: What is begun from is broken, or no network that enlarges.
        OSError: It cannot be read, or the weights cannot be written.

    >>> import coordnet as cn
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> cn.write_image(folder / "a.png", cn.sample_image())
    >>> output, tiny = folder / "mine.safetensors", {"minutes": 0.001, "width": 4, "blocks": 1}
    >>> train_upscale(folder, output, name="mine", **tiny)["pictures"]
    ['a.png']
    >>> cn.upscale(cn.sample_image()[:9, :9], 2, model=output).shape
    (18, 18, 3)
    """
    size = {k: v for k, v in (("width", width), ("blocks", blocks)) if v is not None}
    check_form(size)
    if not minutes > 0:
        msg = f"`minutes` must be above 0, got {minutes!r}"
        raise ValueError(msg)
    output = _checked(output, name)
    pictures = Folder(Path(folder))
    form, rngs = {"width": 32, "blocks": 4}, nnx.Rngs(seed)
    old, before = (None, None) if begin is None else _begun_from(begin, output)
    if old is not None:
        form = {"width": old.last.in_features, "blocks": old.trunk.blocks}
    form |= size
    net = Upscaler(**form, rngs=rngs) if old is None else widened(old, **form, rngs=rngs)
    watched = _watched(pictures)
    begun = time.perf_counter()

    def look(net: Upscaler, step: int, loss: float) -> None:
        if watch is not None:
            gain, triptychs = compared(net, watched)
            spent = (time.perf_counter() - begun) / 60
            watch(Stage(step, spent, loss, gain, triptychs))

    checkpoint = output.with_suffix(".checkpoint")
    net = learn(
        net, partial(pairs, folder=pictures, seed=seed, halo=net.halo), cost,
        computing=computing, minutes=minutes, rate=_RATE if old is None else _RATE_ON,
        checkpoint=checkpoint,
        belongs={
            "network": str(form), "seed": str(seed), "name": name,
            "network to begin from": json.dumps(before, sort_keys=True),
            "pictures": fingerprint([(p.name, p.stat().st_size) for p in pictures.training]),
        },
        watch=look, every=every,
    )  # fmt: skip
    card = _card(name, pictures, note) | {
        "minutes": minutes,
        "scales": "1 to 4; four in ten are 2, 3 or 4",
        "damaged": "four in ten: noise, JPEG of quality 10 to 95, five ways to reduce",
    }
    if before is not None:
        card["begun from"] = before
    write_weights(net, output, "upscale", form, card)
    checkpoint.unlink(missing_ok=True)
    return card


def train_dejpeg(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    name: str,
    seed: int = 0,
    note: str | None = None,
) -> dict[str, Any]:
    """Find the linear maps that clean JPEG files of a folder's pictures best.

    In closed form, in half a minute (ridge regression). On photographs they gain two fifths
    of what the network that ships does: grey Classic5 at quality 10 0.50 of 1.25 dB, Kodak at 85
    0.36 of 0.87.

    Args:
        folder: Clean pictures: none that was a JPEG of less than quality 95, unless it is reduced.
        output: The weights, a ``.safetensors`` file that ``dejpeg(model=)`` takes.
        name: What they are called.
        seed: Of what is drawn.
        note: For the card.

    Returns:
        The card.

    Raises:
        ValueError: The folder holds no picture, or an argument is out of its range.

    >>> import coordnet as cn
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> cn.write_image(folder / "a.png", cn.sample_image())
    >>> train_dejpeg(folder, folder / "mine.safetensors", name="mine")["pictures"]
    ['a.png']
    """
    output = _checked(output, name)
    pictures = Folder(Path(folder))
    net = solved(pictures, seed=seed)
    card = _card(name, pictures, note) | {"qualities": list(QUALITIES)}
    write_weights(net, output, "dejpeg", {}, card)
    return card


def _checked(output: str | os.PathLike[str], name: str) -> Path:
    if not _NAME.fullmatch(name):
        msg = f"`name` must be of letters, digits, dots, dashes and _, got {name!r}"
        raise ValueError(msg)
    if Path(output).suffix != ".safetensors":
        msg = f"{output}: weights are a .safetensors file; give it that extension"
        raise ValueError(msg)
    check_target(output)
    return Path(output)


def _begun_from(begin: str | os.PathLike[str], output: Path) -> tuple[Upscaler, dict[str, Any]]:
    """Return the network to begin from and its card, unless the output would take its place."""
    found = chosen(begin, "upscale", "begin")
    if os.path.realpath(begin) == os.path.realpath(output):
        msg = f"{output}: is what is begun from, and would be lost; give another output"
        raise ValueError(msg)
    return found


def _card(name: str, pictures: Folder, note: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "pictures": [path.name for path in pictures.training],
        "set aside": [path.name for path in pictures.validation],
        "note": note,
        "look": look_of(pictures),
    } | painters_of(pictures)


def painters_of(pictures: Folder) -> dict[str, dict[str, int]]:
    """Return who painted how many of the pictures that are learnt from, if a table says so."""
    found: dict[Path, str] = {}
    for table in sorted(pictures.path.rglob("*.csv")):
        try:
            with open(table, encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:  # ValueError: it is not in UTF-8
            _log.warning("left out: %s: %s", table, error)
            continue
        for row in rows:
            if row.get("file") and row.get("painter"):
                found[table.parent / row["file"]] = row["painter"]
    painters = Counter(found[p] for p in pictures.training if p in found)
    return {"painters": dict(sorted(painters.items()))} if painters else {}


def _watched(pictures: Folder) -> list[Float[np.ndarray, "h w 3"]]:
    """Return the middles of some pictures that are not learnt from."""
    found = []
    for path in pictures.validation:
        if len(found) == _WATCHED:
            break
        try:
            picture = pictures.picture(path)
        except (ValueError, OSError):
            continue
        if min(picture.shape[:2]) < _WATCHED_SCALE:
            continue
        sides = [
            min(n, _WATCHED_SIDE) // _WATCHED_SCALE * _WATCHED_SCALE for n in picture.shape[:2]
        ]
        top, left = ((n - side) // 2 for n, side in zip(picture.shape[:2], sides, strict=True))
        part = picture[top : top + sides[0], left : left + sides[1]]
        found.append(part.astype(np.float32) / 255)
    return found


def compared(
    net: Upscaler, originals: Sequence[Float[np.ndarray, "h w 3"]]
) -> tuple[float, list[Float[np.ndarray, "h w3 3"]]]:
    """Return by how many dB a network is nearer than a cubic in the mean, and triptychs.

    Sides are multiples of ``_WATCHED_SCALE``.
    """
    gains, triptychs = [], []
    for original in originals:
        size = original.shape[0], original.shape[1]
        less = (size[0] // _WATCHED_SCALE, size[1] // _WATCHED_SCALE)
        small = np.rint(resized(original, less).clip(0, 1) * 255) / np.float32(255)
        found, plain = enlarged(net, small, size).clip(0, 1), resized(small, size).clip(0, 1)
        gains.append(psnr(found, original) - psnr(plain, original))
        input_ = small.repeat(_WATCHED_SCALE, 0).repeat(_WATCHED_SCALE, 1)
        said = ("original", "input", f"result {psnr(found, original):.2f} dB")
        panels = zip((original, input_, found), said, strict=True)
        triptychs.append(np.concatenate([add_caption(p, text) for p, text in panels], 1))
    return float(np.mean(gains)) if gains else 0.0, triptychs


def look_of(pictures: Folder) -> dict[str, Any]:
    """Return what the pictures look like: the mean colour, and how strong their edges are.

    ``edges`` are the tenth, half, nine tenths and 99 hundredths of the differences of neighbours in
    grey, of 255: paintings of broad strokes have few between nothing and much.
    """
    colours, edges = [], []
    for path in pictures.training:
        try:
            picture = pictures.picture(path)
        except (ValueError, OSError):
            continue
        if picture.shape[1] < 2:
            continue
        colours.append(picture.reshape(-1, 3).mean(0))
        grey = picture[::2].mean(2)
        edges.append(np.quantile(np.abs(np.diff(grey, axis=1)), (0.1, 0.5, 0.9, 0.99)))
    if not colours:
        return {}
    return {
        "mean colour": np.mean(colours, 0).round(1).tolist(),
        "edges": np.mean(edges, 0).round(2).tolist(),
    }


def keep_triptychs(folder: Path, stage: Stage) -> list[Path]:
    """Write the triptychs of a stage, by picture and step."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{k}-{stage.step:06d}.jpg" for k in range(len(stage.triptychs))]
    for path, triptych in zip(paths, stage.triptychs, strict=True):
        write_image(path, triptych)
    return paths
