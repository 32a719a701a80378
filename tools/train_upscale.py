"""Train a larger upscaler than ``coordnet train upscale`` does, on a CPU that has AMX.

    python tools/train_upscale.py FOLDER OUTPUT --name photos-medium [--minutes 60]

What a batch is, the cost and the card are those of ``coordnet.train_upscale``; convolutions are
PyTorch's. A checkpoint lies beside OUTPUT while it runs: the same call goes on from there.
"""

import argparse
import time
from functools import partial
from pathlib import Path

from _torch_convolutions import by_torch
from flax import nnx

from coordnet._checkpoint import fingerprint
from coordnet.restore._learn import learn
from coordnet.restore._pairs import MET, pairs
from coordnet.restore._stream import Folder
from coordnet.restore._train import card_of_pictures, compared, watched_of
from coordnet.restore._upscaler import Upscaler, cost
from coordnet.restore._weights import read_weights, write_weights


def main() -> None:
    """Train, telling every few minutes how far it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--side", type=int, default=40, help="pixels of a small picture")
    parser.add_argument("--rate", type=float, default=4e-3, help="of a step at its highest")
    parser.add_argument("--begin", type=Path, help="weights to begin from; give another --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", help="for the card: licences, where from")
    options = parser.parse_args()
    folder = Folder(options.folder)
    form = {"width": options.width, "blocks": options.blocks}
    net, before = Upscaler(**form, rngs=nnx.Rngs(options.seed)), None
    if options.begin is not None:
        net, before = read_weights(options.begin, "upscale")
        if (net.last.in_features, net.trunk.blocks) != (options.width, options.blocks):
            parser.error(f"--begin {options.begin}: is a network of another form than {form}")
    watched = watched_of(folder)
    begun = time.perf_counter()

    def watch(net: Upscaler, step: int, loss: float) -> None:
        gain, _ = compared(net, watched)
        spent = (time.perf_counter() - begun) / 60
        print(
            f"{spent:6.1f} min  step {step:6d}  loss {255 * loss:.3f}  {gain:+.2f} dB", flush=True
        )

    net = learn(
        net, partial(pairs, folder=folder, seed=options.seed, halo=net.halo, side=options.side),
        cost, minutes=options.minutes, rate=options.rate, computing=by_torch, together=4,
        checkpoint=options.output.with_suffix(".checkpoint"),
        belongs={
            "network": str(form), "seed": str(options.seed), "begun from": fingerprint(before),
        }, watch=watch, every=900,
    )  # fmt: skip
    card = card_of_pictures(options.name, folder, options.note) | MET
    card["minutes"] = options.minutes
    if before is not None:
        card["begun from"] = before
    write_weights(net, options.output, "upscale", form, card)


if __name__ == "__main__":
    main()
