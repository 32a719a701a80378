"""Train an upscaler of another size than ``coordnet train upscale`` does, or in bfloat16.

    python tools/train_upscale.py FOLDER upscale-medium.safetensors --name medium --note TEXT
        --begin photos --width 64 --blocks 4 --seed 5 [--minutes 60] [--torch]

A network that begins from a smaller one computes what that one does, at first. A checkpoint lies
beside the output, from which a run that was stopped goes on. ``--torch`` is for CPUs that compute
in bfloat16 (docs/architecture.md has what it gains).
"""

import argparse
from typing import Any

from coordnet.restore._train import Stage, train_upscale


def main() -> None:
    """Train, telling every few minutes how far it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("output")
    parser.add_argument("--name", required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--begin", help="weights to begin from; give another --seed")
    parser.add_argument("--width", type=int)
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", required=True, help="for the card: licences, where from")
    parser.add_argument("--torch", action="store_true", help="PyTorch's convolutions, in bfloat16")
    options = vars(parser.parse_args())
    computing: dict[str, Any] = {}
    if options.pop("torch"):
        from _torch_convolutions import by_torch

        computing = {"computing": by_torch}

    def watch(stage: Stage) -> None:
        print(
            f"{stage.minutes:6.1f} min  step {stage.step:6d}  loss {255 * stage.loss:.3f}  "
            f"{stage.gain:+.3f} dB to a cubic",
            flush=True,
        )

    train_upscale(options.pop("folder"), options.pop("output"), **options, **computing, watch=watch)


if __name__ == "__main__":
    main()
