"""One plane of a picture in its fit: its latents, and networks that become those of a file."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from . import _analysis, _chunk, _models
from ._grids import CORE, Grids
from ._latents import Nets, compiled, cost, nets
from ._pyramid import LEVELS, shapes
from ._synthesis import painted

#: What the networks' differences come to, before it is known.
NETS_BYTES = 700

_TRIALS, _FEW = 8, 4  # windows on which many changes of networks or latents are tried
#: Windows on which changes of single weights are tried, at most: all of a Kodak picture.
MANY = 24

_COARSE, _SPARED = 3, 16.0  # from that level on, rounding counts so many times as much


class Part:
    """One plane in its fit: of 3 channels, or of 1 that stands in all three."""

    def __init__(
        self, samples: UInt8[np.ndarray, "h w 3"], model: int, *, tuned: bool, channels: int = 3
    ):
        self.samples = samples
        self.channels = channels
        self.model = model
        self.numbers = _models.kept(model)
        self.deltas: _chunk.Deltas = {}
        finest = LEVELS - len(self.numbers["own"])
        self.grids = Grids(np.moveaxis(samples, 2, 0) / np.float32(255), finest)
        params = jax.tree.map(jnp.asarray, _models.floats(self.numbers))
        self.weights: list[list[float]] = []
        self.state: Nets = nets(params, _chunk.TUNED if tuned else ())
        self.nets_bytes = NETS_BYTES if tuned else 0  # expected of the differences
        self.foreseen = False  # or measured
        step = _models.rounding_step(_models.PRICES[model])
        with ThreadPoolExecutor(1) as beside:
            ready = beside.submit(compiled, self.state, self.grids)
            found = _analysis.guess(_models.analysis(), self.grids.image, finest, step)
            ready.result()
        self.grids.fill(found)

    def coded(self, price: float) -> tuple[bytes, list[Int[np.ndarray, "_ _ _"]]]:
        """Return a chunk, and its latents, rounded at a price; 0 is plain rounding."""
        inner = (v[:, CORE, CORE] for v in self.grids.values)
        sizes = shapes(*self.grids.size, self.grids.finest)
        cut = [v[:, :h, :w] for v, (_, h, w) in zip(inner, sizes, strict=True)]
        # one coarse node is much of a picture, and all of them few bits: they are spared
        spared = [_SPARED if i >= _COARSE else 1.0 for i in range(self.grids.finest, LEVELS)]
        worth = (
            [[w * s / price for w in part] for part, s in zip(self.weights, spared, strict=True)]
            if price
            else None
        )
        return _chunk.coded(self.model, self.deltas, cut, worth)

    def painter(self) -> Callable[[list[Int[np.ndarray, "_ _ _"]]], UInt8[np.ndarray, "h w 3"]]:
        """Return what makes of latents what a decoder will: without the grids of the fit."""
        synthesis = _models.synthesis_of(_chunk.changed(self.numbers, self.deltas))
        return partial(painted, synthesis, size=self.grids.size)

    def weigh(self) -> None:
        """Find out what an error of a latent costs, by grid and channel: squared, in pixels."""
        places = _some(self.grids, _TRIALS)
        before, _ = cost(self.state.params, self.grids, places)
        rng = np.random.default_rng(0)
        self.weights = []
        for level, values in enumerate(self.grids.values, self.grids.finest):
            found = []
            for channel in values:
                kept = channel.copy()
                np.rint(channel, out=channel)
                channel += rng.choice([-1.0, 0.0, 0.0, 1.0], channel.shape)
                after, _ = cost(self.state.params, self.grids, places)
                channel[:] = kept
                # half of all nodes were moved, and a node of a level stands for 4**level pixels
                found.append(2 * 4**level * max(after - before, 1e-9))
            self.weights.append(found)

    def foresee(self, price: float) -> None:
        """Find out what the networks' differences take, once, at a price of a bit a pixel."""
        if self.state.tuned and not self.foreseen:
            deltas = self._differences(price, _FEW)
            self.nets_bytes, self.foreseen = _chunk.bytes_of_deltas(self.model, deltas), True

    def settle(self, price: float, trials: int) -> None:
        """Go on with networks as a file will hold them; ``trials`` as for ``_chunk.refined``."""
        if self.state.tuned:
            j = partial(self._j, price, _some(self.grids, MANY))
            bit = price / self.samples[..., 0].size
            deltas = self._differences(price, _TRIALS)
            self.deltas = _chunk.refined(self.numbers, deltas, j, bit, trials)
            params = _models.floats(_chunk.changed(self.numbers, self.deltas))
            tuned = {name: jax.tree.map(jnp.asarray, params[name]) for name in self.state.tuned}
            self.state = self.state._replace(tuned=tuned)

    def _differences(self, price: float, windows: int) -> _chunk.Deltas:
        """Return what the networks learnt, rounded to steps that are worth their bits."""
        learnt = _models.whole({**self.state.fixed, **self.state.tuned})
        j = partial(self._j, price, _some(self.grids, windows))
        return _chunk.chosen(self.numbers, learnt, j, price / self.samples[..., 0].size)

    def _j(self, price: float, places: Int[np.ndarray, "n 2"], numbers: dict[str, Any]) -> float:
        """Return squared error and bits a pixel times their price, of whole networks."""
        error, bits = cost(_models.floats(numbers), self.grids, places)
        return error + price * float(bits.sum())


def _some(grids: Grids, count: int) -> Int[np.ndarray, "n 2"]:
    """Return so many windows, at most, from all over a picture."""
    places = grids.places()
    return places[np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int)]
