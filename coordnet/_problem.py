"""What a trainer may ask of a picture: losses and gradients, on batches or on all of it.

A :class:`Problem` is a pytree: pictures of one size share one compiled program. The
network's description, the sampling and the loss are its static part.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._calls import from_table
from ._coords import lattice
from ._nets import CoordNet


# --- which pixels a step looks at -----------------------------------------------------
@dataclass(frozen=True)
class Full:
    """All pixels at every step, by chunks of about ``chunk`` points.

    Measured: intermediates of some thousand points stay in a CPU core's cache; one large
    batch of 512x512 points takes several times as long.
    """

    chunk: int = 2048


@dataclass(frozen=True)
class Strips:
    """Whole rows of pixels, about ``points`` in all, one from each part of the height.

    0 points are a sixteenth of the picture, from 16,384 to 262,144 points.
    """

    points: int = 0


@dataclass(frozen=True)
class Pixels:
    """Single pixels, ``points`` in all, one from each equal run of the picture."""

    points: int = 8192


#: How a step's pixels are chosen, by name.
SAMPLINGS: dict[str, Callable[..., Any]] = {"full": Full, "strips": Strips, "pixels": Pixels}


def sampling(text: str) -> Full | Strips | Pixels:
    """Return the sampling that ``text`` calls, such as ``"strips(points=4096)"``.

    Raises:
        ValueError: The name is unknown, or its number is below 1.

    >>> sampling("full")
    Full(chunk=2048)
    """
    made = from_table(SAMPLINGS, text, "sampling")
    for name, value in vars(made).items():
        least = 0 if isinstance(made, Strips) else 1
        if not isinstance(value, int) or value < least:
            msg = f"sampling {text!r}: {name} must be a whole number from {least}, got {value!r}"
            raise ValueError(msg)
    return made


# --- how far a prediction is off ------------------------------------------------------
def _relative_l2(prediction: Array, target: Array) -> Array:
    # tiny-cuda-nn's loss for pictures of a high dynamic range
    return jnp.square(prediction - target) / (jnp.square(jax.lax.stop_gradient(prediction)) + 0.01)


#: Losses by name, elementwise in (prediction, target).
LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "l2": lambda p, t: jnp.square(p - t),
    "l1": lambda p, t: jnp.abs(p - t),
    "relative_l2": _relative_l2,
}


class Batch(NamedTuple):
    """Pixels to predict: a lattice when ``target`` has three axes, a list when it has two.

    ``ys`` and ``xs`` are ``(h,)`` and ``(w,)`` of a lattice or both ``(n,)``; ``target`` is
    ``(c, h, w)`` or ``(c, n)``; ``weight`` has its shape less the channels, or is None.
    """

    ys: Float[Array, " h"]
    xs: Float[Array, " w"]
    target: Float[Array, "c *p"]
    weight: Float[Array, "*p"] | None


@partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def sum_over_chunks(f: Callable[..., Array], params: Any, data: Any, chunks: int) -> Array:
    """Return the sum of ``f(params, data, i)`` over ``range(chunks)``.

    Its gradient with respect to ``params`` is taken inside the forward scan, so that
    nothing of a chunk outlives it; ``data`` is held constant.

    >>> float(sum_over_chunks(lambda p, d, i: p * d[i], 2.0, jnp.arange(4.0), 4))
    12.0
    """
    total, _ = jax.lax.scan(
        lambda total, i: (total + f(params, data, i), None), jnp.zeros(()), jnp.arange(chunks)
    )
    return total


def _chunks_forward(f, params, data, chunks):
    def add(carry, i):
        return jax.tree.map(jnp.add, carry, jax.value_and_grad(f)(params, data, i)), None

    zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    return jax.lax.scan(add, zero, jnp.arange(chunks))[0]


def _chunks_backward(f, chunks, gradient, cotangent):
    return jax.tree.map(lambda g: cotangent * g, gradient), None


sum_over_chunks.defvjp(_chunks_forward, _chunks_backward)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Problem:
    """A picture, a network's description, and how they are compared.

    ``params`` in the methods is the network's ``nnx.Param`` state.

    >>> from coordnet import Spec
    >>> net = CoordNet(Spec(width=4, depth=1))
    >>> graphdef, params, rest = nnx.split(net, nnx.Param, ...)
    >>> problem = make_problem(np.zeros((8, 8, 3), np.float32), graphdef, rest)
    >>> loss, gradient = problem.value_and_grad(params, jax.random.key(0))
    """

    # JAX rebuilds pytrees with leaves of its own, hence Any; the shapes are those noted
    target: Any  # (c, rows, w), padded below to whole chunks of rows
    weight: Any  # (rows, w), 1 where fitted, 0 where hidden or padded; None if all are 1
    visible: Any  # (h * w,), first the pixels that a mask shows; None without mask
    shown: Any  # (), how many these are; None without mask
    ys: Any  # (rows,)
    xs: Any  # (w,)
    rest: Any  # what the network holds beside its weights
    graphdef: Any = field(metadata={"static": True})
    size: tuple[int, int] = field(metadata={"static": True})
    sampling: Full | Strips | Pixels = field(metadata={"static": True})
    loss: str = field(metadata={"static": True})
    dtype: str = field(metadata={"static": True})
    mesh: Mesh | None = field(metadata={"static": True})

    def predict(self, params: Any, batch: Batch) -> Float[Array, "c *p"]:
        """Return the network's channels at a batch's points."""
        net = nnx.merge(self.graphdef, params, self.rest)
        if batch.target.ndim == 2:
            if isinstance(net, CoordNet):
                return net.points(batch.ys, batch.xs, self.dtype)
            return net(jnp.stack([batch.xs, batch.ys], axis=-1)).T
        return evaluate(net, batch.ys, batch.xs, self.dtype)

    def batch(self, key: PRNGKeyArray) -> Batch:
        """Draw a step's pixels (``Strips`` and ``Pixels``)."""
        height, width = self.size
        if isinstance(self.sampling, Pixels):
            total = height * width
            n = min(self._shared(self.sampling.points), total)
            kr, ks = jax.random.split(key)
            # how many are visible is an array: another mask is not another program
            count = total if self.visible is None else self.shown
            run = jnp.maximum(count // n, 1)
            # one pixel in each run of the picture, the runs shifted so that all pixels serve
            index = jnp.arange(n) * run + jax.random.randint(kr, (n,), 0, run)
            index = (index + jax.random.randint(ks, (), 0, count)) % count
            index = index if self.visible is None else self.visible[index]
            flat = self.target.reshape(self.target.shape[0], -1)
            ys, xs = self.ys[index // width], self.xs[index % width]
            return self._spread(Batch(ys, xs, flat[:, index], None))
        rows = min(self._shared(max(1, round(self._strip_points() / width))), height)
        # one row in each of equal parts of the height
        part = height / rows
        index = jnp.floor((jnp.arange(rows) + jax.random.uniform(key, (rows,))) * part)
        index = jnp.minimum(index.astype(jnp.int32), height - 1)
        weight = None if self.visible is None else self._weight()[index]
        return self._spread(Batch(self.ys[index], self.xs, self.target[:, index], weight))

    def part(
        self, key: PRNGKeyArray, i: Int[Array, ""], count: Int[Array, ""], points: int
    ) -> Batch:
        """Return part ``i`` of a sample of ``count`` parts, each of ``points`` single pixels.

        The sample is spread evenly over the picture, by ``key``; as large as the picture or
        larger it is each pixel once, and what is left over weighs 0. ``count`` may be traced:
        a sample can grow without compiling anew.
        """
        height, width = self.size
        total = height * width if self.visible is None else self.shown
        asked = jnp.minimum(count * points, total)
        nth = i * points + jnp.arange(points)
        step, rest = total // asked, total % asked
        index = nth * step + jnp.floor(nth * (rest / asked)).astype(jnp.int32)
        index = index + jax.random.randint(jax.random.fold_in(key, i), (points,), 0, step)
        index = (index + jax.random.randint(key, (), 0, total)) % total
        index = index if self.visible is None else self.visible[index]
        flat = self.target.reshape(self.target.shape[0], -1)
        weight = (nth < asked).astype(jnp.float32)
        return self._spread(
            Batch(self.ys[index // width], self.xs[index % width], flat[:, index], weight)
        )

    def chunk(self, i: Int[Array, ""]) -> Batch:
        """Return the rows of chunk ``i`` of the whole picture."""
        rows = self.chunk_rows
        cut = partial(jax.lax.dynamic_slice_in_dim, start_index=i * rows, slice_size=rows)
        weight = None if self.weight is None else cut(self.weight)
        return self._spread(Batch(cut(self.ys), self.xs, cut(self.target, axis=1), weight))

    @property
    def chunk_rows(self) -> int:
        """Rows of a chunk."""
        return self.target.shape[1] // self.chunks

    @property
    def chunks(self) -> int:
        """How many chunks the picture falls into."""
        points = self.sampling.chunk if isinstance(self.sampling, Full) else Full.chunk
        return chunks_of(self.size, points, 1 if self.mesh is None else self.mesh.size)

    def loss_of(self, params: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        """Return the mean loss of the step's pixels; differentiable in ``params``."""
        if isinstance(self.sampling, Full):
            total = sum_over_chunks(_chunk_loss, params, self, self.chunks)
            return total / (self.target.shape[0] * self._pixels())
        return self.loss_on(params, self.batch(key))

    def loss_on(self, params: Any, batch: Batch) -> Float[Array, ""]:
        """Return the mean loss of a batch; differentiable in ``params``."""
        error = LOSSES[self.loss](self.predict(params, batch), batch.target)
        if batch.weight is None:
            return jnp.mean(error)
        # a batch may meet hidden pixels alone: it then teaches nothing, and divides by no zero
        pixels = jnp.maximum(jnp.sum(batch.weight), 1.0)
        return jnp.sum(error * batch.weight) / (error.shape[0] * pixels)

    def value_and_grad(self, params: Any, key: PRNGKeyArray) -> tuple[Float[Array, ""], Any]:
        """Return the loss of the step's pixels and its gradient."""
        return jax.value_and_grad(self.loss_of)(params, key)

    def squared_errors(self, params: Any) -> Float[Array, "2 chunks"]:
        """Return sums of squared 8-bit errors by chunk: of fitted pixels, of hidden ones."""
        rows = jnp.arange(self.target.shape[1]) < self.size[0]
        exact = replace(self, dtype="float32")  # as render draws it, whatever trains it

        def one(i):
            batch = self.chunk(i)
            shown, truth = (
                jnp.round(jnp.clip(v, 0.0, 1.0) * 255.0)
                for v in (exact.predict(params, batch), batch.target)
            )
            error = jnp.sum(jnp.square(shown - truth), axis=0)
            inside = jax.lax.dynamic_slice_in_dim(rows, i * self.chunk_rows, self.chunk_rows)
            error = error * inside[:, None]
            weight = jnp.ones_like(error) if batch.weight is None else batch.weight
            return jnp.stack([jnp.sum(error * weight), jnp.sum(error * (1 - weight))])

        return jax.lax.map(one, jnp.arange(self.chunks)).T

    def _strip_points(self) -> int:
        assert isinstance(self.sampling, Strips)
        height, width = self.size
        return self.sampling.points or min(max(height * width // 16, 2**14), 2**18)

    def _weight(self) -> Float[Array, "rows w"]:
        assert self.weight is not None
        return self.weight

    def _pixels(self) -> Float[Array, ""]:
        if self.weight is None:
            return jnp.asarray(float(self.size[0] * self.size[1]))
        return jnp.sum(self.weight)

    def _shared(self, count: int) -> int:
        """Round a batch's length up to a multiple of the devices that share it."""
        devices = 1 if self.mesh is None else self.mesh.size
        return -(-count // devices) * devices

    def _spread(self, batch: Batch) -> Batch:
        """Lay the points of a list, or the rows of a lattice, over the devices."""
        if self.mesh is None or batch.ys.shape[0] % self.mesh.size:
            return batch

        def lay(v, axis):
            spec = PartitionSpec(*[None] * axis, "batch")
            assert self.mesh is not None
            return jax.lax.with_sharding_constraint(v, NamedSharding(self.mesh, spec))

        points = batch.target.ndim == 2
        return Batch(
            lay(batch.ys, 0),
            lay(batch.xs, 0) if points else batch.xs,
            lay(batch.target, 1),
            None if batch.weight is None else lay(batch.weight, 0),
        )


def _chunk_loss(params: Any, problem: Problem, i: Int[Array, ""]) -> Float[Array, ""]:
    batch = problem.chunk(i)
    error = LOSSES[problem.loss](problem.predict(params, batch), batch.target)
    return jnp.sum(error if batch.weight is None else error * batch.weight)


def evaluate(
    net: nnx.Module, ys: Float[Array, " h"], xs: Float[Array, " w"], dtype: Any = jnp.float32
) -> Float[Array, "c h w"]:
    """Evaluate any network on a lattice, channels first.

    >>> from coordnet import Spec
    >>> evaluate(CoordNet(Spec(width=4, depth=1)), jnp.zeros(2), jnp.zeros(5)).shape
    (3, 2, 5)
    """
    if isinstance(net, CoordNet):
        return net.lattice(ys, xs, dtype)
    y, x = jnp.meshgrid(ys, xs, indexing="ij")
    out = net(jnp.stack([x.ravel(), y.ravel()], axis=-1))  # type: ignore[operator]  # nnx declares no call
    return out.T.reshape(-1, ys.shape[0], xs.shape[0])


def chunks_of(size: tuple[int, int], points: int, devices: int = 1) -> int:
    """Return into how many chunks of rows, of about ``points`` pixels each, a picture falls.

    A chunk has a multiple of ``devices`` rows.

    >>> chunks_of((512, 512), 4096)
    64
    """
    rows = max(1, round(points / size[1] / devices)) * devices
    return -(-size[0] // rows)


def make_problem(
    image: Float[np.ndarray, "h w c"],
    graphdef: Any,
    rest: Any,
    *,
    sampled: Full | Strips | Pixels = Full(),
    loss: str = "l2",
    mask: np.ndarray | None = None,
    coordinates: str = "centers",
    dtype: str = "float32",
    mesh: Mesh | None = None,
) -> Problem:
    """Lay a picture out for training: channels first, rows padded to whole chunks.

    ``mask`` is ``(h, w)``, True where the picture is fitted.

    >>> from coordnet import Spec
    >>> net = CoordNet(Spec(width=4, depth=1))
    >>> make_problem(np.zeros((8, 8, 3), np.float32), *nnx.split(net)).target.shape
    (3, 8, 8)
    """
    height, width, _ = image.shape
    points = sampled.chunk if isinstance(sampled, Full) else Full.chunk
    devices = 1 if mesh is None else mesh.size
    chunks = chunks_of((height, width), points, devices)
    rows = -(-height // chunks)
    rows = -(-rows // devices) * devices * chunks
    ys, xs = lattice((height, width), coordinates=coordinates)  # type: ignore[arg-type]  # checked
    pad = rows - height
    weight = visible = shown = None
    if mask is not None or pad:
        fitted = np.ones((height, width), bool) if mask is None else mask
        weight = jnp.asarray(np.pad(fitted, ((0, pad), (0, 0))).astype(np.float32))
        if mask is not None:
            # as long as the picture, whatever the mask, so that no mask compiles anew
            visible = jnp.asarray(np.resize(np.flatnonzero(mask), height * width), jnp.int32)
            shown = jnp.asarray(np.count_nonzero(mask), jnp.int32)
    return Problem(
        target=jnp.asarray(
            np.pad(image, ((0, pad), (0, 0), (0, 0)), mode="edge").transpose(2, 0, 1)
        ),
        weight=weight,
        visible=visible,
        shown=shown,
        ys=jnp.asarray(np.pad(ys, (0, pad), mode="edge")),
        xs=jnp.asarray(xs),
        rest=rest,
        graphdef=graphdef,
        size=(height, width),
        sampling=sampled,
        loss=loss,
        dtype=dtype,
        mesh=mesh,
    )
