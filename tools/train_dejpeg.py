"""Train the network that ``coordnet.dejpeg`` uses, on a folder of clean pictures.

    python tools/train_dejpeg.py FOLDER WORK --note TEXT [--minutes 60] [--begin WEIGHTS]

A network that begins from a smaller one computes what that one does, at first.

WORK keeps a checkpoint, from which a run that was stopped goes on, and in the end the weights,
``dejpeg-NAME.safetensors``; those of ``small`` and ``medium`` ship in ``coordnet/restore/weights``.
Narrow networks learn faster at first: in an hour, 18 minutes of ``--width 32``, then ``--begin`` of
it with ``--width 46 --minutes 40 --rate 3e-3 --seed 1``. ``medium`` is ``--name medium --begin`` of
``small`` with ``--width 64 --minutes 75 --rate 2e-3 --seed 3``.
``--torch`` is for CPUs that compute in bfloat16, AMX or AVX-512 (docs/architecture.md has what it
gains).
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from PIL import Image

from coordnet import psnr
from coordnet._checkpoint import fingerprint
from coordnet.restore._cleaner import Cleaner, cost, seen
from coordnet.restore._degrade import crops
from coordnet.restore._dejpeg import cleaned
from coordnet.restore._jpeg import as_jpeg, read_jpeg
from coordnet.restore._learn import learn
from coordnet.restore._planes import to_rgb
from coordnet.restore._screens import HELD_OUT_FONTS, screen
from coordnet.restore._stream import Folder
from coordnet.restore._trunk import widened
from coordnet.restore._weights import check_form, read_weights, write_weights

_WATCHED = 4  # pictures of the validation part, and as many drawn screens


def gain(net: Cleaner, pictures: list[np.ndarray], quality: int, **options: int) -> float:
    """Return by how many dB pictures come nearer to what they were, in the mean."""
    gains = []
    for picture in pictures:
        shown = seen(read_jpeg(as_jpeg(picture, quality, **options)))
        found = [cleaned(net, shown), shown.planes[..., :3]]
        clean = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)
        ours, plain = (psnr(to_rgb(f) / 255, clean / np.float32(255)) for f in found)
        gains.append(ours - plain)
    return float(np.mean(gains))


def main() -> None:
    """Train, telling every few minutes how far it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--name", default="small")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--side", type=int, default=48, help="cells of a crop")
    parser.add_argument("--rate", type=float, default=4e-3, help="of a step at its highest")
    parser.add_argument("--torch", action="store_true", help="PyTorch's convolutions, in bfloat16")
    parser.add_argument("--begin", type=Path, help="weights to begin from; give another --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", required=True, help="for the card: licences, where from")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    folder = Folder(options.folder)
    form = {"width": options.width, "blocks": options.blocks}
    try:
        check_form(form)
    except ValueError as error:
        parser.error(str(error))
    net, before = Cleaner(**form, rngs=nnx.Rngs(options.seed)), None
    if options.begin is not None:
        small, before = read_weights(options.begin, "dejpeg")
        if not isinstance(small, Cleaner):
            parser.error(f"--begin {options.begin}: holds linear maps, not a network")
        try:
            net = widened(small, **form, rngs=nnx.Rngs(options.seed))
        except ValueError as error:
            parser.error(f"--begin {options.begin}: {error}")
    watched = [np.ascontiguousarray(folder.picture(p)) for p in folder.validation[:_WATCHED]]
    greys = [np.asarray(Image.fromarray(p).convert("L")) for p in watched]
    screens = [screen(np.random.default_rng(k), fonts=HELD_OUT_FONTS) for k in range(_WATCHED)]
    computing: dict[str, Any] = {}
    if options.torch:
        from _torch_convolutions import by_torch

        computing = {"computing": by_torch}
    begun = time.perf_counter()

    def watch(net: Cleaner, step: int, loss: float) -> None:
        print(
            f"{(time.perf_counter() - begun) / 60:6.1f} min  step {step:6d}  "
            f"loss {loss:.5f}  grey q10 {gain(net, greys, 10):+.2f}  "
            f"q40 {gain(net, greys, 40):+.2f}  q90 {gain(net, greys, 90):+.2f}  "
            f"colour q85 {gain(net, watched, 85, subsampling=2):+.2f}  "
            f"screens q85 {gain(net, screens, 85, subsampling=2):+.2f} dB",
            flush=True,
        )

    net = learn(
        net,
        partial(crops, folder=folder, seed=options.seed, halo=net.halo, side=options.side), cost,
        **computing, minutes=options.minutes, rate=options.rate,
        checkpoint=options.work / "dejpeg.checkpoint", belongs={
            "network": str(form), "seed": str(options.seed),
            "network to begin from": fingerprint(before),
        }, watch=watch, every=1200,
    )  # fmt: skip
    card = {
        "name": options.name,
        "pictures": len(folder.training),
        "set aside": [path.name for path in folder.validation],
        "note": options.note,
        "drawn screens": "a quarter of the pictures",
        "qualities": "5 to 95, half of them by their logarithm; a quarter compressed twice",
        "photographs": "half with chroma of half the size, a fifth with grain",
        "minutes": options.minutes,
    }
    if before is not None:
        card["begun from"] = before
    write_weights(net, options.work / f"dejpeg-{options.name}.safetensors", "dejpeg", form, card)


if __name__ == "__main__":
    main()
