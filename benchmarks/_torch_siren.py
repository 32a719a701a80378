"""The PyTorch peer: a SIREN of the same shape, written as its users write it, but with care.

Coordinates and colours are tensors made once; the step is linear layers, sine, squared error,
Adam with its fused kernel; ``torch.compile`` is tried beside eager mode and the better one
counts. Inits as in the SIREN paper (Sitzmann et al., NeurIPS 2020), omega 30.
"""

import itertools
import math
import time
import warnings
from typing import Any

import numpy as np
from _machine import cores, package

import coordnet as cn


def why_missing() -> str | None:
    if package("torch") is None:
        return "PyTorch is not installed (pip install torch)"
    return None


class TorchSiren:
    """A SIREN, its picture and its optimizer in PyTorch.

    Args:
        image: ``(h, w, c)``.
        width: Units of a layer.
        depth: Hidden layers.
        points: Random pixels of a step; None is all of them.
        rate: Adam's.
        compiled: Through ``torch.compile``.
        gpu: On the GPU.
    """

    def __init__(
        self,
        image: np.ndarray,
        width: int,
        depth: int,
        points: int | None,
        *,
        rate: float = 1e-4,
        compiled: bool = False,
        gpu: bool = False,
    ):
        import torch

        self.torch = torch
        torch.set_num_threads(cores())
        torch.manual_seed(0)
        self.device = torch.device("cuda" if gpu else "cpu")
        x = np.asarray(cn.grid(*image.shape[:2])).reshape(-1, 2)
        self.x = torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device)
        self.y = torch.from_numpy(image.reshape(len(x), -1)).to(self.device)
        self.points = points
        self.layers = _layers(torch, width, depth, image.shape[2]).to(self.device)
        self.optimizer = torch.optim.Adam(self.layers.parameters(), lr=rate, fused=True)
        self.loss = torch.compile(self._loss) if compiled else self._loss

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.layers.parameters())

    def _predict(self, x: Any) -> Any:
        *hidden, last = self.layers
        for layer in hidden:
            x = self.torch.sin(30.0 * layer(x))
        return last(x)

    def _loss(self, x: Any, y: Any) -> Any:
        return (self._predict(x) - y).square().mean()

    def step(self) -> None:
        x, y = self.x, self.y
        if self.points is not None:
            index = self.torch.randint(len(x), (self.points,), device=self.device)
            x, y = x[index], y[index]
        self.optimizer.zero_grad()
        self.loss(x, y).backward()
        self.optimizer.step()

    def psnr(self) -> float:
        """Return the PSNR in dB of the picture rounded to 8 bits."""
        with self.torch.no_grad():
            parts = [
                (self._predict(x).clamp(0, 1).mul(255).round() - y.mul(255).round())
                .square()
                .mean()
                .item()
                * len(x)
                for x, y in zip(self.x.split(2**16), self.y.split(2**16), strict=True)
            ]
        return 10 * math.log10(255**2 / (sum(parts) / len(self.x)))

    def run(self, steps: int) -> float:
        """Make steps and look at the PSNR once, as a fit does; return seconds per step."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.psnr()  # its .item() also waits for a GPU
        return (time.perf_counter() - start) / steps

    def run_for(self, seconds: float) -> tuple[int, float]:
        """Make steps for so long; return their number and the seconds they took."""
        start, steps = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            for _ in range(10):
                self.step()
            steps += 10
            if self.device.type == "cuda":
                self.torch.cuda.synchronize()
        return steps, time.perf_counter() - start


def _layers(torch: Any, width: int, depth: int, channels: int) -> Any:
    widths = [2, *[width] * depth, channels]
    layers = torch.nn.ModuleList(torch.nn.Linear(m, n) for m, n in itertools.pairwise(widths))
    with torch.no_grad():
        for i, layer in enumerate(layers):
            fan_in = layer.in_features
            bound = 1 / fan_in if i == 0 else math.sqrt(6 / fan_in) / 30
            layer.weight.uniform_(-bound, bound)
    return layers


def compiled_or_why(*arguments: Any, **options: Any) -> tuple[TorchSiren | None, float, str]:
    """Return a compiled peer and its compile seconds, or why ``torch.compile`` failed."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = TorchSiren(*arguments, compiled=True, **options)
            peer.step()
    except Exception as error:  # of many kinds: no compiler, no Python headers, no Triton
        return None, math.nan, f"torch.compile failed: {type(error).__name__}"
    return peer, time.perf_counter() - start, ""
