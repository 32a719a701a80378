"""UnJPEG's recipe of 2016, and every idea of its log, each of them alone: what does it give?

The recipe: blocks of 24 x 24 pixels at step 8 of screenshots saved at quality 85, 4:2:0,
progressive; Y, Cb and Cr less .58 over .38; three dense layers (1024 units here, 6912 there) and
1.7159 tanh(2x/3) after all; plain gradient steps of 500 over each layer's inputs on the root of the
mean square of 100 clipped blocks; the mean of the blocks that overlap. It is trained on drawn
screens and tried on others, in fonts that it has not met.

    python benchmarks/unjpeg.py [--smoke] [--only a,b] [--out FOLDER]

Either part takes some twenty minutes of one core. Figures of one run; the same recipe from another
seed is a row of its own, to tell what is noise.
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
    offset: int = 0  # pixels, of the first block
    examples: str = "fresh"  # or "few": again and again; of those "hard", by their error
    paths: int = 1  # parallel networks
    chosen: bool = False  # a block takes the path that is predicted for it; else their mixture
    seed: int = 0


class Paths(nnx.Module):
    """Parallel networks whose answers a predictor weighs, or of which it chooses one."""

    def __init__(self, recipe: Recipe, rngs: nnx.Rngs):
        hidden = tuple(h // recipe.paths for h in recipe.hidden)
        make = partial(
            PatchMLP, recipe.block, hidden, residual=recipe.residual, activation=recipe.activation
        )
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
    """Screens and their JPEG files, 0 to 255."""

    clean: np.ndarray
    dirty: np.ndarray


def pictures(many: int, first: int, size: tuple[int, int], fonts: tuple[str, ...]) -> Pictures:
    """Draw screens by number and save them as Twitter did."""
    clean = [screen(np.random.default_rng(first + k), size, fonts) for k in range(many)]
    dirty = [plain(as_jpeg(c, 85, subsampling=2, progressive=True)) for c in clean]
    return Pictures(np.stack(clean), np.stack(dirty))


class Scale(NamedTuple):
    """What is taken from samples and what they are divided by, and axes of whole blocks."""

    middle: np.ndarray  # of each picture
    spread: np.ndarray
    mean: np.ndarray | float = 0.0  # of blocks
    axes: np.ndarray | None = None


def scale_of(recipe: Recipe, shown: np.ndarray) -> Scale:
    """Return how pictures are normalised."""
    many = len(shown)
    if recipe.normal == "picture":
        flat = [to_ycc(picture).ravel() / 255 for picture in shown]
        spread = np.maximum([v.std() for v in flat], 0.05)
        return Scale(np.array([v.mean() for v in flat], np.float32), spread.astype(np.float32))
    none = recipe.normal == "none"
    middle, spread = (0.0, 1.0) if none else (MIDDLE, SPREAD)
    scale = Scale(np.full(many, middle, np.float32), np.full(many, spread, np.float32))
    if recipe.normal != "axes":
        return scale
    corners = block_corners(recipe, shown.shape)
    some = np.random.default_rng(0).choice(len(corners), min(8000, len(corners)), replace=False)
    blocks = blocks_at(shown, corners[some], recipe.block).reshape(len(some), -1)
    blocks = (blocks - MIDDLE) / SPREAD
    value, vector = np.linalg.eigh(np.cov(blocks, rowvar=False))
    axes = vector / np.sqrt(np.maximum(value, 0) + _NOISE / SPREAD**2)
    return scale._replace(mean=blocks.mean(0).astype(np.float32), axes=axes.astype(np.float32))


def block_corners(recipe: Recipe, shape: tuple[int, ...]) -> np.ndarray:
    """Return picture, row and column of all blocks, in their order."""
    sides = [range(recipe.offset, n - recipe.block + 1, recipe.step) for n in shape[1:3]]
    return np.stack(np.meshgrid(np.arange(shape[0]), *sides, indexing="ij"), -1).reshape(-1, 3)


def blocks_at(shown: np.ndarray, corners: np.ndarray, block: int) -> np.ndarray:
    """Return blocks, Y, Cb and Cr in [0, 1]."""
    found = [shown[k, y : y + block, x : x + block] for k, y, x in corners]
    return to_ycc(np.stack(found)) / 255


def batches(recipe: Recipe, many: int, hardness: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the numbers of a batch's blocks, of ``many``, without end; by their ``hardness``."""
    rng = np.random.default_rng(recipe.seed)
    first = 0
    while True:
        if not recipe.shuffled:
            yield np.arange(first, first + _BATCH) % many
            first += _BATCH
        elif recipe.examples in ("hard", "original"):
            yield rng.choice(many, min(_BATCH, many), replace=False, p=hardness / hardness.sum())
        else:
            yield rng.integers(many, size=_BATCH)


def predicted(
    recipe: Recipe, net: Any, scale: Scale, dirty: jax.Array, middle: jax.Array, spread: jax.Array
) -> jax.Array:
    """Return clean blocks in [0, 1], neither clipped nor rounded."""
    middle, spread = (v[:, None, None, None] for v in (middle, spread))
    x = fed = (dirty - middle) / spread
    if scale.axes is not None:
        fed = ((x.reshape(len(x), -1) - scale.mean) @ scale.axes).reshape(x.shape)
    found = net.blocks(fed)
    if recipe.residual:  # to the pixels, not to their axes
        found = found - fed + x
    return found * spread + middle


def rates(recipe: Recipe, weights: Any) -> Any:
    """Return the rate of each weight: 500 over the inputs of its layer, paths not split."""
    first = 3 * recipe.block**2
    leaves = jax.tree.leaves_with_path(weights)

    def of(path: Any, _: jax.Array) -> float:
        (inputs,) = (v.shape[0] for p, v in leaves if p[:-2] == path[:-2] and v.ndim == 2)
        return _RATE / (first if recipe.one_rate or inputs == first else recipe.hidden[0])

    return jax.tree.map_with_path(of, weights)


def network(recipe: Recipe) -> Any:
    rngs = nnx.Rngs(recipe.seed)
    if recipe.paths > 1:
        return Paths(recipe, rngs)
    return PatchMLP(
        recipe.block, recipe.hidden, residual=recipe.residual, activation=recipe.activation,
        rngs=rngs,
    )  # fmt: skip


def train(recipe: Recipe, shown: Pictures, steps: int) -> tuple[Any, Scale]:
    """Return the network and how it is fed."""
    scale = scale_of(recipe, shown.dirty)
    corners = block_corners(recipe, shown.dirty.shape)
    if recipe.examples != "fresh":
        corners = np.random.default_rng(recipe.seed).permutation(corners)[:_FEW]
    hardness = np.ones(len(corners))
    graph, weights = nnx.split(network(recipe))
    rule = optax.adam(recipe.adam) if recipe.adam else optax.sgd(1.0)
    state = rule.init(weights)
    rate = None if recipe.adam else rates(recipe, weights)

    @jax.jit
    def step(weights: Any, state: Any, dirty: Any, clean: Any, middle: Any, spread: Any) -> Any:
        def cost(weights: Any) -> tuple[jax.Array, jax.Array]:
            net = nnx.merge(graph, weights)
            off = predicted(recipe, net, scale, dirty, middle, spread).clip(0, 1) - clean
            each = jnp.square(off / spread[:, None, None, None]).mean((1, 2, 3))
            return jnp.sqrt(each.mean() + 1e-12), jnp.sqrt(each)

        (loss, each), slope = jax.value_and_grad(cost, has_aux=True)(weights)
        if rate is not None:
            slope = jax.tree.map(jnp.multiply, slope, rate)
        change, state = rule.update(slope, state)
        return optax.apply_updates(weights, change), state, loss, each

    for batch in islice(batches(recipe, len(corners), hardness), steps):
        at = corners[batch]
        parts = (blocks_at(v, at, recipe.block) for v in (shown.dirty, shown.clean))
        own = (v[at[:, 0]] for v in scale[:2])
        weights, state, loss, each = step(weights, state, *parts, *own)
        if recipe.examples == "original":  # each block's chance times twice its batch's loss
            hardness[batch] = np.clip(hardness[batch] * 2 * float(loss), 1e-4, 1)
        elif recipe.examples == "hard":  # its own error, and a tenth of the usual at least
            hardness[batch] = np.maximum(np.asarray(each), 0.1 * float(loss))
    return nnx.merge(graph, weights), scale


def cleaned(recipe: Recipe, net: Any, scale: Scale, dirty: np.ndarray) -> np.ndarray:
    """Return pictures, Y, Cb and Cr in [0, 1], from the mean of the blocks that overlap."""
    edge = recipe.block - 8  # of repeated borders
    wide = np.pad(dirty, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="edge")
    corners = block_corners(recipe, wide.shape)
    total, count = np.zeros(wide.shape, np.float32), np.zeros(wide.shape[:3], np.float32)
    clean = jax.jit(lambda *blocks: predicted(recipe, net, scale, *blocks))
    for k in range(0, len(corners), 1000):
        at = corners[k : k + 1000]
        own = (v[at[:, 0]] for v in scale[:2])
        found = np.asarray(clean(blocks_at(wide, at, recipe.block), *own))
        for (one, y, x), block in zip(at, found, strict=True):
            total[one, y : y + recipe.block, x : x + recipe.block] += block
            count[one, y : y + recipe.block, x : x + recipe.block] += 1
    h, w = dirty.shape[1:3]
    inner = np.s_[:, edge : edge + h, edge : edge + w]
    return total[inner] / count[inner][..., None]


def measured(ycc: np.ndarray, truth: np.ndarray) -> Row:
    """Return decibels, and how white white is by how a picture is saved."""
    white = (truth == 255).all(-1)
    free, clipped = (to_rgb(255 * v).clip(0, 255) for v in (ycc, ycc.clip(0, 1)))
    rounded = np.rint(free)
    row: Row = {"PSNR dB": float(np.mean([psnr(*v) for v in zip(rounded, truth, strict=True)]))}
    ways = {
        "white: rounded %": rounded, "cut off %": np.floor(free),
        "clipped before colours %": np.rint(clipped), "both %": np.floor(clipped),
    }  # fmt: skip
    for name, found in ways.items():
        row[name] = 100 * float((found[white] == 255).all(-1).mean())
    row["both: two of three %"] = 100 * float(
        ((np.floor(clipped)[white] == 255).sum(-1) == 2).mean()
    )
    return row


def compared(recipes: dict[str, Recipe], options: Options) -> list[Row]:
    """Train all recipes alike, and measure them."""
    size = options.pick(_SIZE, (64, 96))
    shown = pictures(options.pick(200, 4), 0, size, FONTS)
    held = pictures(options.pick(4, 1), 5000, size, HELD_OUT_FONTS)
    jpeg = measured(to_ycc(held.dirty) / 255, held.clean)
    rows: list[Row] = [{"what": "JPEG, decoded"} | jpeg]
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
    own = scale_of(recipe._replace(normal=recipe.normal.replace("axes", "set")), dirty)
    return own._replace(mean=scale.mean, axes=scale.axes)


def examples(options: Options) -> Section:
    """What blocks are learnt from, and how they are normalised."""
    base = Recipe(residual=True, activation=nnx.leaky_relu, adam=1e-3)
    recipes = {
        "residual, leaky ReLU, Adam": base,
        "... another seed": base._replace(seed=1),
        "not normalised": base._replace(normal="none"),
        "each picture by its own mean and spread": base._replace(normal="picture"),
        "decorrelated (PCA)": base._replace(normal="axes"),
        "not shuffled": base._replace(shuffled=False),
        "20,000 blocks again and again": base._replace(examples="few"),
        "... by their batch's loss, as the original": base._replace(examples="original"),
        "... by their own error": base._replace(examples="hard"),
        "blocks of 8": base._replace(block=8),
        "blocks of 40": base._replace(block=40),
        "step 16, where chroma's blocks begin": base._replace(step=16),
        "step 16, between them": base._replace(step=16, offset=8),
    }
    note = (
        f"{_NOTE} Tried on the last network of part b, for the recipe itself stays 10 dB below the "
        "file in so many steps. Not shuffled: so many blocks are of 69 screens. At step 16 a pixel "
        "lies in 2.25 blocks in the mean, not in 9."
    )
    return Section("Examples", note, compared(recipes, options), [])


def networks(options: Options) -> Section:
    """The network, and the rule it learns by."""
    was = Recipe()
    modern = was._replace(residual=True, activation=nnx.leaky_relu)
    recipes = {
        "the recipe": was,
        "... another seed": was._replace(seed=1),
        "one rate for all layers, the first's": was._replace(one_rate=True),
        "tanh, not stretched": was._replace(activation=jnp.tanh),
        "four parallel networks, one chosen": was._replace(paths=4, chosen=True),
        "four parallel networks, combined": was._replace(paths=4),
        "Adam, 1e-3": was._replace(adam=1e-3),
        "residual": was._replace(residual=True),
        "residual, leaky ReLU": modern,
        "residual, leaky ReLU, Adam, 1e-3": modern._replace(adam=1e-3),
    }
    return Section("Network and rule", _NOTE, compared(recipes, options), [])


_NOTE = (
    "1500 steps of 100 blocks of 200 drawn screens; measured on 4 others. White: the part of white "
    "pixels that are white; cut off instead of rounded; Y, Cb and Cr clipped before they become "
    "colours; both, as the original saved pictures: then two channels of three are white at most "
    "unless chroma is exactly 128, which is its riddle of 255, 255 and 254."
)

SECTIONS = {"a": examples, "b": networks}

if __name__ == "__main__":
    assert __doc__
    main("unjpeg", __doc__, SECTIONS, "a,b")
