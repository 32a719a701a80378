"""UnJPEG's recipe of 2016, and every idea of its log, each of them alone: what does it give?

The recipe: blocks of 24 x 24 pixels at step 8 of screenshots saved at quality 85, 4:2:0,
progressive; Y, Cb and Cr less .58 over .38; three dense layers (1024 units here, 6912 there) and
1.7159 tanh(2x/3) after all; plain gradient steps of 500 over each layer's inputs on the root of the
mean square of 100 clipped blocks; the mean of the blocks that overlap. It is trained on drawn
screens and tried on others, in fonts that it has not met.

    python benchmarks/unjpeg.py [--smoke] [--only a,b] [--out FOLDER]

All parts together take an hour on one core. Figures of one run; the same recipe from other first
weights is a row of its own, to tell what is noise.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _common import Options, Row, Section, main
from flax import nnx
from restore import plain, psnr

from coordnet.restore._jpeg import as_jpeg
from coordnet.restore._patches import MIDDLE, SPREAD, PatchMLP, scaled_tanh
from coordnet.restore._planes import to_rgb, to_ycc
from coordnet.restore._screens import FONTS, HELD_OUT_FONTS, screen

_BATCH = 100  # blocks, as the original
_FEW = 20_000  # blocks of one of its partitions
_RATE = 500.0  # over the inputs of a layer
_NOISE = 1e-4  # of a variance in [0, 1]: axes below are not stretched further (a level is 1.5e-5)
_SIZE = 320, 480  # pixels of a screen


class Recipe(NamedTuple):
    """The original's; each idea changes one of these."""

    block: int = 24
    step: int = 8
    hidden: tuple[int, ...] = (1024,) * 3
    residual: bool = False
    activation: Callable[[jax.Array], jax.Array] = scaled_tanh
    adam: float = 0.0  # its rate; 0: plain gradient steps
    one_rate: bool = False  # for all layers: that of the first
    normal: str = "set"  # or "none", "picture": by its own mean and spread; "axes": PCA
    shuffled: bool = True
    examples: str = "fresh"  # or "few": again and again; "hard": of those the hard ones more often
    paths: int = 1  # parallel networks
    chosen: bool = False  # a block takes the path that is predicted for it; else their mixture
    seed: int = 0


class Paths(nnx.Module):
    """Parallel networks whose answers a predictor weighs, or of which it chooses one."""

    def __init__(self, recipe: Recipe, rngs: nnx.Rngs):
        hidden = tuple(h // recipe.paths for h in recipe.hidden)
        make = partial(PatchMLP, recipe.block, hidden, activation=recipe.activation)
        self.paths = nnx.List(make(rngs=rngs) for _ in range(recipe.paths))
        self.predictor = nnx.Linear(3 * recipe.block**2, recipe.paths, rngs=rngs)
        self.chosen = recipe.chosen

    def blocks(self, blocks: jax.Array) -> jax.Array:
        """Return the answers of all paths, weighed; of the chosen one alone, weighed by 1.

        The choice has no slope: the predictor learns by the slope of the weights it would give.
        """
        share = jax.nn.softmax(self.predictor(blocks.reshape(len(blocks), -1)))
        if self.chosen:
            hard = jax.nn.one_hot(share.argmax(1), share.shape[1])
            share = share + jax.lax.stop_gradient(hard - share)
        said = jnp.stack([path.blocks(blocks) for path in self.paths], -1)
        return (said * share[:, None, None, None]).sum(-1)


class Pictures(NamedTuple):
    """Screens and their JPEG files, Y, Cb and Cr in [0, 1]."""

    clean: np.ndarray
    dirty: np.ndarray


def pictures(many: int, first: int, size: tuple[int, int], fonts: tuple[str, ...]) -> Pictures:
    """Draw screens by number and save them as Twitter did."""
    clean = [screen(np.random.default_rng(first + k), size, fonts) for k in range(many)]
    dirty = [plain(as_jpeg(c, 85, subsampling=2, progressive=True)) for c in clean]
    # half precision: steps of a tenth of a level
    return Pictures(*((to_ycc(np.stack(v)) / 255).astype(np.float16) for v in (clean, dirty)))


class Scale(NamedTuple):
    """What is taken from samples and what they are divided by, and axes of whole blocks."""

    middle: np.ndarray  # of each picture
    spread: np.ndarray
    axes: np.ndarray | None


def scale_of(recipe: Recipe, shown: np.ndarray) -> Scale:
    """Return how pictures are normalised."""
    many = len(shown)
    if recipe.normal == "picture":
        flat = shown.reshape(many, -1).astype(np.float32)
        return Scale(flat.mean(1), np.maximum(flat.std(1), 0.05), None)
    none = recipe.normal == "none"
    middle, spread = (0.0, 1.0) if none else (MIDDLE, SPREAD)
    scale = Scale(np.full(many, middle, np.float32), np.full(many, spread, np.float32), None)
    if recipe.normal != "axes":
        return scale
    places = every(recipe, shown.shape)
    drawn = np.random.default_rng(0).choice(len(places), min(8000, len(places)), replace=False)
    blocks = taken(shown, places[drawn], recipe.block).reshape(len(drawn), -1)
    value, vector = np.linalg.eigh(np.cov((blocks - MIDDLE) / SPREAD, rowvar=False))
    axes = vector / np.sqrt(np.maximum(value, 0) + _NOISE / SPREAD**2)
    return scale._replace(axes=axes.astype(np.float32))


def every(recipe: Recipe, shape: tuple[int, ...]) -> np.ndarray:
    """Return picture, row and column of all blocks, in their order."""
    sides = [range(0, n - recipe.block + 1, recipe.step) for n in shape[1:3]]
    return np.stack(np.meshgrid(np.arange(shape[0]), *sides, indexing="ij"), -1).reshape(-1, 3)


def taken(shown: np.ndarray, places: np.ndarray, block: int) -> np.ndarray:
    return np.stack([shown[k, y : y + block, x : x + block] for k, y, x in places]).astype("f")


def drawn(recipe: Recipe, places: np.ndarray, hardness: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the numbers of a batch's blocks, without end; of hard ones by their ``hardness``."""
    rng = np.random.default_rng(recipe.seed)
    first = 0
    while True:
        if not recipe.shuffled:
            yield np.arange(first, first + _BATCH) % len(places)
            first += _BATCH
        elif recipe.examples == "hard":
            total = hardness.cumsum()
            yield np.searchsorted(total, rng.uniform(0, total[-1], _BATCH)).clip(max=_FEW - 1)
        else:
            yield rng.integers(len(places), size=_BATCH)


def said(
    net: Any, axes: np.ndarray | None, dirty: jax.Array, middle: jax.Array, spread: jax.Array
) -> jax.Array:
    """Return clean blocks in [0, 1], neither clipped nor rounded."""
    middle, spread = (v[:, None, None, None] for v in (middle, spread))
    x = (dirty - middle) / spread
    if axes is not None:
        x = (x.reshape(len(x), -1) @ axes).reshape(x.shape)
    return net.blocks(x) * spread + middle


def train(recipe: Recipe, shown: Pictures, steps: int) -> tuple[Any, Scale]:
    """Return the network and how it is fed."""
    rngs = nnx.Rngs(recipe.seed)
    net: Any = (
        Paths(recipe, rngs)
        if recipe.paths > 1
        else PatchMLP(
            recipe.block, recipe.hidden, residual=recipe.residual,
            activation=recipe.activation, rngs=rngs,
        )
    )  # fmt: skip
    scale = scale_of(recipe, shown.dirty)
    places = every(recipe, shown.dirty.shape)
    if recipe.examples != "fresh":
        places = np.random.default_rng(recipe.seed).permutation(places)[:_FEW]
    hardness = np.ones(len(places))
    graph, weights = nnx.split(net)
    rule = optax.adam(recipe.adam) if recipe.adam else optax.sgd(1.0)
    state = rule.init(weights)

    def rated(slope: Any) -> Any:
        if recipe.adam:
            return slope
        inputs = {id(v): v.shape[0] for v in jax.tree.leaves(slope) if v.ndim == 2}
        widest = 3 * recipe.block**2 if recipe.one_rate else None

        # a bias goes with its matrix, which comes after it
        def of(path: Any, v: jax.Array) -> jax.Array:
            layer = [u for p, u in jax.tree.leaves_with_path(slope) if p[:-2] == path[:-2]]
            fan = next(inputs[id(u)] for u in layer if u.ndim == 2)
            return v * (_RATE / (widest or fan))

        return jax.tree.map_with_path(of, slope)

    @jax.jit
    def step(weights: Any, state: Any, dirty: Any, clean: Any, middle: Any, spread: Any) -> Any:
        def cost(weights: Any) -> jax.Array:
            found = said(nnx.merge(graph, weights), scale.axes, dirty, middle, spread)
            off = found.clip(0, 1) - clean
            return jnp.sqrt(jnp.square(off / spread[:, None, None, None]).mean() + 1e-12)

        loss, slope = jax.value_and_grad(cost)(weights)
        change, state = rule.update(rated(slope), state)
        return optax.apply_updates(weights, change), state, loss

    for batch in islice(drawn(recipe, places, hardness), steps):
        at = places[batch]
        parts = (taken(v, at, recipe.block) for v in (shown.dirty, shown.clean))
        own = (v[at[:, 0]] for v in scale[:2])
        weights, state, loss = step(weights, state, *parts, *own)
        if recipe.examples == "hard":  # its chance times twice the loss, as the original had it
            hardness[batch] = np.clip(hardness[batch] * 2 * float(loss), 1e-4, 1)
    return nnx.merge(graph, weights), scale


def cleaned(recipe: Recipe, net: Any, scale: Scale, dirty: np.ndarray) -> np.ndarray:
    """Return pictures from the mean of the blocks that overlap; borders are repeated."""
    edge = recipe.block - 8  # every pixel lies in as many blocks as any other
    wide = np.pad(dirty, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="edge")
    places = every(recipe, wide.shape)
    total, count = np.zeros(wide.shape, np.float32), np.zeros(wide.shape[:3], np.float32)
    clean = jax.jit(lambda *blocks: said(net, scale.axes, *blocks))
    for k in range(0, len(places), 1000):
        at = places[k : k + 1000]
        own = (v[at[:, 0]] for v in scale[:2])
        found = np.asarray(clean(taken(wide, at, recipe.block), *own))
        for (one, y, x), block in zip(at, found, strict=True):
            total[one, y : y + recipe.block, x : x + recipe.block] += block
            count[one, y : y + recipe.block, x : x + recipe.block] += 1
    h, w = dirty.shape[1:3]
    inner = np.s_[:, edge : edge + h, edge : edge + w]
    return total[inner] / count[inner][..., None]


def measured(ycc: np.ndarray, clean: np.ndarray) -> Row:
    """Return decibels, and how white white is: rounded, and as the original saved pictures.

    It clipped Y, Cb and Cr before they became colours, and cut off what was below a level.
    """
    truth = np.rint(to_rgb(255 * clean.astype(np.float32))).clip(0, 255)
    white = (truth == 255).all(-1)
    rounded = np.rint(to_rgb(255 * ycc)).clip(0, 255)
    cut = np.floor(to_rgb(255 * ycc.clip(0, 1)).clip(0, 255))
    row: Row = {"PSNR dB": float(np.mean([psnr(*v) for v in zip(rounded, truth, strict=True)]))}
    for name, found in (("white kept %", rounded), ("as it saved them %", cut)):
        row[name] = 100 * float((found[white] == 255).all(-1).mean())
    row["of those two channels of three %"] = 100 * float(((cut[white] == 255).sum(-1) == 2).mean())
    return row


def compared(recipes: dict[str, Recipe], options: Options) -> list[Row]:
    """Train all recipes alike, and measure them."""
    size = options.pick(_SIZE, (64, 96))
    shown = pictures(options.pick(200, 4), 0, size, FONTS)
    held = pictures(options.pick(4, 1), 5000, size, HELD_OUT_FONTS)
    rows: list[Row] = [{"what": "JPEG, decoded"} | measured(held.dirty.astype("f"), held.clean)]
    print(rows[-1], flush=True)
    for name, recipe in recipes.items():
        if options.smoke:
            recipe = recipe._replace(hidden=tuple(8 for _ in recipe.hidden))
        net, scale = train(recipe, shown, options.pick(1500, 3))
        found = cleaned(recipe, net, _as_of(recipe, scale, held.dirty), held.dirty)
        weights = sum(v.size for v in jax.tree.leaves(nnx.state(net, nnx.Param)))
        own = measured(found, held.clean)
        rows.append({"what": name, "weights": weights} | own)
        print(rows[-1], flush=True)
    return rows


def _as_of(recipe: Recipe, scale: Scale, dirty: np.ndarray) -> Scale:
    """Return how other pictures are fed: by the axes that were found in training."""
    return scale_of(recipe._replace(normal=recipe.normal.replace("axes", "set")), dirty)._replace(
        axes=scale.axes
    )


def examples(options: Options) -> Section:
    """What blocks are learnt from, and how they are normalised."""
    was = Recipe()
    recipes = {
        "the recipe": was,
        "... from other first weights": was._replace(seed=1),
        "not normalised": was._replace(normal="none"),
        "each picture by its own mean and spread": was._replace(normal="picture"),
        "decorrelated (PCA)": was._replace(normal="axes"),
        "not shuffled": was._replace(shuffled=False),
        "20,000 blocks again and again": was._replace(examples="few"),
        "... the hard ones more often": was._replace(examples="hard"),
        "blocks of 8": was._replace(block=8),
        "blocks of 40": was._replace(block=40),
        "step 16, where chroma's blocks begin": was._replace(step=16),
    }
    return Section("Examples", _NOTE, compared(recipes, options), [])


def networks(options: Options) -> Section:
    """The network, and the rule it learns by."""
    was = Recipe()
    recipes = {
        "the recipe": was,
        "one rate for all layers": was._replace(one_rate=True),
        "tanh, not stretched": was._replace(activation=jnp.tanh),
        "four parallel networks, one chosen": was._replace(paths=4, chosen=True),
        "four parallel networks, combined": was._replace(paths=4),
        "Adam": was._replace(adam=1e-4),
        "residual": was._replace(residual=True),
        "residual, leaky ReLU": was._replace(residual=True, activation=nnx.leaky_relu),
        "residual, leaky ReLU, Adam": was._replace(
            residual=True, activation=nnx.leaky_relu, adam=1e-4
        ),
    }
    return Section("Network and rule", _NOTE, compared(recipes, options), [])


_NOTE = (
    "1500 steps of 100 blocks of 200 drawn screens; measured on 4 others. "
    "White kept: of all white pixels."
)

SECTIONS = {"a": examples, "b": networks}

if __name__ == "__main__":
    assert __doc__
    main("unjpeg", __doc__, SECTIONS, "a,b")
