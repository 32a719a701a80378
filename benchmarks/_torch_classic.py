"""The PyTorch peer of the classic network: tanh layers, a sigmoid at the end, Rprop or Adam."""

import itertools
import time
from typing import Any

import numpy as np
from _machine import cores, package


def why_missing() -> str | None:
    return None if package("torch") else "PyTorch is not installed (pip install torch)"


def course(
    layers: list[tuple[Any, Any]],
    points: np.ndarray,
    colours: np.ndarray,
    seconds: float,
    rule: str,
    batch: int | None = None,
) -> list[tuple[int, float, float]]:
    """Train from the (weight, bias) given; return (step, seconds, PSNR), a look a second.

    Args:
        layers: Weights (out, in) and biases (out,).
        points: ``(n, 2)``.
        colours: ``(n, c)``.
        seconds: Of training; looks at the picture do not count.
        rule: ``"Rprop"`` or ``"Adam"``, with PyTorch's own numbers but a rate of 0.01.
        batch: Random pixels of a step; None is all of them.
    """
    import torch

    torch.set_num_threads(cores())
    torch.manual_seed(0)
    x, y = (torch.from_numpy(np.ascontiguousarray(v, np.float32)) for v in (points, colours))
    weights = [torch.tensor(np.asarray(v), requires_grad=True) for v in itertools.chain(*layers)]
    optimizer = getattr(torch.optim, rule)(weights, lr=0.01)

    def predict(x: Any) -> Any:
        for i in range(0, len(weights), 2):
            x = torch.nn.functional.linear(x, weights[i], weights[i + 1])
            x = torch.sigmoid(x) if i == len(weights) - 2 else torch.tanh(x)
        return x

    curve: list[tuple[int, float, float]] = []
    steps, spent = 0, 0.0
    while spent < seconds:
        began, until = time.perf_counter(), min(1.0, seconds - spent)
        while time.perf_counter() - began < until:
            index = slice(None) if batch is None else torch.randint(len(x), (batch,))
            optimizer.zero_grad()
            (predict(x[index]) - y[index]).square().mean().backward()
            optimizer.step()
            steps += 1
        spent += time.perf_counter() - began
        with torch.no_grad():
            error = (predict(x).mul(255).round() - y.mul(255).round()).square().mean().item()
        curve.append((steps, spent, float(10 * np.log10(255**2 / error))))
    return curve
