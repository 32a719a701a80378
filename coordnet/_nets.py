"""The one network class, its description, and saving it."""

import dataclasses
import json
import operator
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from os import PathLike
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray
from safetensors.numpy import save as pack_tensors

from ._activations import ACTIVATIONS, Activation, activation
from ._coords import Coordinates, frame
from ._encodings import ENCODINGS, Encoding, encoding
from ._files import FormatError, atomic_path

Output = Literal["linear", "sigmoid"]

_MOST_WEIGHTS = 2**31  # 8.6 GB, and as many again for each moment of an optimizer
_UNSIZED = (512, 512)  # the frame of a network that no picture has given a size


@dataclass(frozen=True)
class Spec:
    """Description of a network; it is the header of every saved file.

    Args:
        encoding: ``"none"``, ``"fourier"``, ``"octaves"``, ``"grid"`` or one's own, as a
            name or a call: ``"fourier(features=128, sigma=8)"``.
        width: Units of each hidden layer.
        depth: Hidden layers; 0 makes the picture linear in the encoding.
        activation: ``"tanh"``, ``"sigmoid"``, ``"scaled_tanh"``, ``"relu"``,
            ``"leaky_relu"``, ``"gelu"``, ``"silu"``, ``"sine"``, ``"finer"``, ``"gauss"``,
            ``"gabor"`` or one's own, as a name or a call: ``"sine(omega=40)"``.
        output: ``"linear"``, or ``"sigmoid"`` for values in [0, 1] by construction.
        coordinates: ``"centers"``, ``"edges"`` or ``"unit"``.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA); a fit takes the picture's.
        size: Native (height, width); a fit takes the picture's.

    Raises:
        ValueError: A part is unknown or out of range.

    >>> Spec(width=15, depth=3, activation="tanh", output="sigmoid").parameters
    573
    """

    encoding: str = "none"
    width: int = 64
    depth: int = 3
    activation: str = "sine"
    output: Output = "linear"
    coordinates: Coordinates = "centers"
    channels: int = 3
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("width", "depth", "channels"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        if self.size is not None:
            sides = tuple(self.size) if isinstance(self.size, Iterable) else (self.size,)
            object.__setattr__(self, "size", tuple(_whole("each of size", n) for n in sides))
        problems = [
            f"{name} must be {rule}, got {value!r}"
            for name, rule, value, fits in (
                ("width", "at least 1", self.width, self.width >= 1),
                ("depth", "from 0 to 1000", self.depth, 0 <= self.depth <= 1000),
                ("channels", "1, 3 or 4", self.channels, self.channels in (1, 3, 4)),
                ("output", "'linear' or 'sigmoid'", self.output, self.output in get_args(Output)),
                (
                    "coordinates",
                    "'centers', 'edges' or 'unit'",
                    self.coordinates,
                    self.coordinates in get_args(Coordinates),
                ),
                (
                    "size",
                    "two numbers of at least 1",
                    self.size,
                    self.size is None or (len(self.size) == 2 and min(self.size) >= 1),
                ),
            )
            if not fits
        ]
        if problems:
            raise ValueError("; ".join(problems))
        parts(self)  # an unknown encoding or activation is an error here, not at the first use

    @property
    def parameters(self) -> int:
        """The number of weights that a network of this description learns."""
        weights = jax.eval_shape(lambda: _first_weights(self, jax.random.key(0)))
        return sum(leaf.size for leaf in jax.tree.leaves(weights))


def _whole(name: str, value: Any) -> int:
    """Return a number as Python's own, so that equal descriptions look and hash alike."""
    try:
        return operator.index(value)
    except TypeError:
        msg = f"{name} must be a whole number, got {value!r}"
        raise ValueError(msg) from None


def parts(spec: Spec) -> tuple[Encoding, Activation]:
    """Return the encoding and the activation that ``spec`` names, made once for each spec.

    >>> parts(Spec())[0].features
    2
    """
    return _parts(spec, ENCODINGS.changes, ACTIVATIONS.changes)


@lru_cache(maxsize=256)
def _parts(spec: Spec, *changes: int) -> tuple[Encoding, Activation]:
    area = frame(spec.size or _UNSIZED, spec.coordinates)
    return encoding(spec.encoding, area), activation(spec.activation)


class Dense(nnx.Module):
    """An affine map of features: weight ``(out, in)``, bias ``(out,)``.

    >>> layer = Dense(jnp.eye(2), jnp.zeros(2))
    >>> layer(jnp.ones((2, 5))).shape
    (2, 5)
    """

    def __init__(self, weight: Float[Array, "out in"], bias: Float[Array, " out"]):
        self.weight = nnx.Param(weight)
        self.bias = nnx.Param(bias)

    def __call__(self, x: Float[Array, "in n"]) -> Float[Array, "out n"]:
        """Map features; ``x`` in bfloat16 makes a bfloat16 product, summed in float32."""
        weight = self.weight[...].astype(x.dtype)
        return jnp.matmul(weight, x, preferred_element_type=jnp.float32) + self.bias[...][:, None]


@partial(jax.jit, static_argnames="spec")  # one program: drawing each array alone compiles each
def _first_weights(spec: Spec, key: PRNGKeyArray) -> tuple[dict[str, Array], list[Any]]:
    """Return the tables of the encoding and the (weight, bias) of each layer."""
    enc, act = parts(spec)
    key_encoding, *keys = jax.random.split(key, spec.depth + 2)
    widths = [enc.features, *[spec.width] * spec.depth, spec.channels]
    layers = []
    for i, k in enumerate(keys):
        layer = "last" if i == spec.depth else "first" if i == 0 else "hidden"
        layers.append(act.init(k, widths[i + 1], widths[i], layer))
    if spec.output == "sigmoid":
        weight, bias = layers[-1]
        layers[-1] = weight, jnp.zeros_like(bias)  # middle grey is 0 before a sigmoid
    # float32 whatever JAX's default is: that is what a file holds
    return jax.tree.map(lambda v: v.astype(jnp.float32), (enc.init(key_encoding), layers))


def check_seed(seed: Any) -> int:
    """Return a seed as a number that JAX takes whole, or raise what is wrong with it.

    >>> check_seed(7)
    7
    """
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        msg = f"`seed` must be a whole number from 0 to 2**32 - 1, got {seed!r}"
        raise ValueError(msg)
    return int(seed)


# of a layer's number, what comes in and what goes out: what goes out instead
Watch = Callable[[int, Array, Array], Array]


class CoordNet(nnx.Module):
    """A picture as a function of the point: ``(n, 2)`` coordinates to ``(n, channels)``.

    Args:
        spec: Its description.
        seed: Of the weights it starts with.

    Raises:
        ValueError: It has more than 2**31 weights.

    >>> import numpy as np
    >>> net = CoordNet(Spec(width=8, depth=1))
    >>> net(np.zeros((5, 2), np.float32)).shape
    (5, 3)
    """

    def __init__(self, spec: Spec, *, seed: int = 0):
        if spec.parameters > _MOST_WEIGHTS:
            msg = (
                f"{spec.parameters:,} weights are too many, {4 * spec.parameters / 1e9:,.0f} GB; "
                "make width, depth or encoding smaller"
            )
            raise ValueError(msg)
        self.spec = spec
        tables, layers = _first_weights(spec, jax.random.key(check_seed(seed)))
        self.tables = nnx.Dict({name: nnx.Param(table) for name, table in tables.items()})
        self.layers = nnx.List([Dense(weight, bias) for weight, bias in layers])

    def __call__(self, points: Float[Array | np.ndarray, "n 2"]) -> Float[Array, "n c"]:
        """Evaluate the picture at points ``(x, y)``."""
        points = jnp.asarray(points)
        return self.points(points[:, 1], points[:, 0]).T

    def points(
        self, ys: Float[Array, " n"], xs: Float[Array, " n"], dtype: Any = jnp.float32
    ) -> Float[Array, "c n"]:
        """Evaluate at points given by their coordinates, channels first.

        ``dtype`` is that of the layers' products; the encoding is always float32.
        """
        enc, _ = parts(self.spec)
        return self._decode(enc.points(self._tables(), ys, xs), dtype)

    def lattice(
        self, ys: Float[Array, " h"], xs: Float[Array, " w"], dtype: Any = jnp.float32
    ) -> Float[Array, "c h w"]:
        """Evaluate on a lattice given by its rows and columns, channels first."""
        enc, _ = parts(self.spec)
        shape = (ys.shape[0], xs.shape[0])
        if enc.lattice is None:
            y, x = (v.ravel() for v in jnp.meshgrid(ys, xs, indexing="ij"))
            return self.points(y, x, dtype).reshape(-1, *shape)
        features = enc.lattice(self._tables(), ys, xs)
        return self._decode(features.reshape(enc.features, -1), dtype).reshape(-1, *shape)

    def _tables(self) -> dict[str, Array]:
        return {name: table[...] for name, table in self.tables.items()}

    def _decode(
        self, x: Float[Array, "f n"], dtype: Any, watch: Watch | None = None
    ) -> Float[Array, "c n"]:
        _, act = parts(self.spec)
        for i, layer in enumerate(self.layers):
            z = layer(x.astype(dtype))
            z = z if watch is None else watch(i, x, z)
            x = z if i == self.spec.depth else act.apply(z, "first" if i == 0 else "hidden")
        return jax.nn.sigmoid(x) if self.spec.output == "sigmoid" else x

    def last_features(self, ys: Float[Array, " n"], xs: Float[Array, " n"]) -> Float[Array, "f n"]:
        """Return what the last layer is given at points."""
        found = []

        def watch(i, x, z):
            found.append(x)
            return z

        enc, _ = parts(self.spec)
        self._decode(enc.points(self._tables(), ys, xs), jnp.float32, watch)
        return found[-1]

    def jacobian(
        self, ys: Float[Array, " n"], xs: Float[Array, " n"]
    ) -> tuple[Float[Array, "c n"], dict[str, Float[Array, "weights c n"]]]:
        """Return the channels at points and their derivatives by each layer's weights.

        The keys are the tensors' names in a saved file; the encoding's own weights have no
        entry. Points are independent of one another, so that one backward pass for each
        channel gives the derivatives at all points, layer by layer: an outer product of what
        comes in and what is passed back.

        >>> out, columns = CoordNet(Spec(width=4, depth=1)).jacobian(jnp.zeros(5), jnp.zeros(5))
        >>> {name: column.shape for name, column in columns.items()}["layers.1.weight"]
        (12, 3, 5)
        """
        enc, _ = parts(self.spec)
        features = enc.points(self._tables(), ys, xs)
        n = ys.shape[0]

        def shifted(shifts):
            inputs = []

            def watch(i, x, z):
                inputs.append(x)
                return z + shifts[i]

            return self._decode(features, jnp.float32, watch), inputs

        zeros = [jnp.zeros((layer.bias.shape[0], n)) for layer in self.layers]
        out, back, inputs = jax.vjp(shifted, zeros, has_aux=True)
        channels = jnp.broadcast_to(jnp.eye(out.shape[0])[..., None], (out.shape[0], *out.shape))
        (passed,) = jax.vmap(back)(channels)
        columns = {}
        for i, (x, d) in enumerate(zip(inputs, passed, strict=True)):  # (in, n), (c, out, n)
            weight = jnp.einsum("con,kn->okcn", d, x)
            columns[f"layers.{i}.weight"] = weight.reshape(-1, *weight.shape[2:])
            columns[f"layers.{i}.bias"] = d.transpose(1, 0, 2)
        return out, columns

    @property
    def fitted(self) -> Any:
        """How the network was fitted (a ``Fitted``), or None. No part of the pytree."""
        return noted(self, "fitted")

    def _repr_png_(self) -> bytes | None:
        """Return the picture as a notebook shows it: a PNG of at most 512 pixels a side."""
        if self.spec.size is None:
            return None
        # imports point down, and rendering is above; only a method may ask it, when called
        from ._render import thumbnail

        return thumbnail(self)

    def __repr__(self) -> str:
        return f"CoordNet({self.spec}, parameters={self.spec.parameters})"

    __str__ = __repr__


# Records of fits live beside the networks, not in them: an attribute would be part of the
# static description that a compiled function is looked up by. By identity, because a user's
# module may not be hashable.
_NOTES: dict[int, dict[str, Any]] = {}


def note(net: nnx.Module, **facts: Any) -> None:
    """Keep facts about a network for as long as it lives."""
    if id(net) not in _NOTES:
        weakref.finalize(net, _NOTES.pop, id(net), None).atexit = False
    _NOTES.setdefault(id(net), {}).update(facts)


def noted(net: nnx.Module, fact: str) -> Any:
    """Return a fact that :func:`note` kept, or None."""
    return _NOTES.get(id(net), {}).get(fact)


def save(net: CoordNet, path: str | PathLike[str]) -> None:
    """Save a network to a safetensors file, bit for bit, with its spec in the metadata.

    The file is written whole or not at all; the same network gives the same bytes. It holds
    the network alone: the record of its fit, ``net.fitted``, is not kept.

    Raises:
        TypeError: ``net`` is not a CoordNet.
        OSError: The file cannot be written.

    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors"
    >>> save(CoordNet(Spec(width=4, depth=1)), path)
    >>> load(path).spec.width
    4
    """
    data = packed(net)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def packed(net: CoordNet) -> bytes:
    """Return the file that :func:`save` writes.

    >>> len(packed(CoordNet(Spec(width=4, depth=1)))) < 1000
    True
    """
    if not isinstance(net, CoordNet):
        msg = f"`net` must be a CoordNet, got {type(net).__name__}; other modules are saved by nnx"
        raise TypeError(msg)
    metadata = {"format": "coordnet 1", "spec": json.dumps(dataclasses.asdict(net.spec))}
    return _sorted_header(pack_tensors(_named(net), metadata))


def _sorted_header(data: bytes) -> bytes:
    """Return the same safetensors file, its metadata in one order: the library's is random."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the weights stay aligned
    return len(text).to_bytes(8, "little") + text + data[end:]


def load(path: str | PathLike[str]) -> CoordNet:
    """Load a network that :func:`save` wrote. Nothing in the file is ever executed.

    Raises:
        FormatError: The file is no saved network, or broken.
        OSError: The file cannot be read.

    See :func:`save` for an example.

    >>> load("absent.safetensors")
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    with open(path, "rb"):
        pass  # a missing or unreadable file is the system's own error
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format", "").startswith("coordnet checkpoint"):
                msg = f"{path}: a checkpoint, not a network; end its fit, and save that"
                raise FormatError(msg)
            names = file.keys()
            kinds = {file.get_slice(name).get_dtype() for name in names}
            if kinds - {"F32"}:  # others may be unknown to NumPy
                msg = f"{path}: its weights are not those of a network ({', '.join(kinds)})"
                raise FormatError(msg)
            tensors = {name: file.get_tensor(name) for name in names}
    except safetensors.SafetensorError as error:
        msg = f"{path}: not a safetensors file, or a broken one ({error})"
        raise FormatError(msg) from error
    return _rebuild(path, metadata, tensors)


def _rebuild(
    path: str | PathLike[str], metadata: dict[str, str], tensors: dict[str, np.ndarray]
) -> CoordNet:
    if metadata.get("format") != "coordnet 1":
        found = metadata.get("format", "no format of ours")
        msg = f"{path}: not a network that this version reads (found {found}); see coordnet.save"
        raise FormatError(msg)
    try:
        header = json.loads(metadata["spec"])
        if f"layers.{header['depth']}.weight" not in tensors:  # before it is built
            msg = f"depth {header['depth']} without such a layer"
            raise ValueError(msg)
        size = header["size"]
        spec = Spec(**header | {"size": None if size is None else tuple(size)})
        abstract = nnx.eval_shape(lambda: CoordNet(spec))
    except (
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        MemoryError,
        RuntimeError,
    ) as error:
        # RuntimeError: JSON nested too deep for Python
        msg = f"{path}: its description of the network is broken ({error})"
        raise FormatError(msg) from error
    graphdef, state = nnx.split(abstract)
    expected = {tensor_name(p): leaf for p, leaf in jax.tree.leaves_with_path(state)}
    if {k: (v.shape, v.dtype) for k, v in expected.items()} != {
        k: (v.shape, v.dtype) for k, v in tensors.items()
    }:
        msg = f"{path}: its weights are not those of the network it describes"
        raise FormatError(msg)
    leaves = [jnp.asarray(tensors[name]) for name in expected]
    return nnx.merge(graphdef, jax.tree.unflatten(jax.tree.structure(state), leaves))


def tensor_name(path: tuple[Any, ...]) -> str:
    """Return a tensor's name in a file, such as ``layers.0.weight``."""
    parts_ = (str(getattr(p, "key", getattr(p, "name", p))) for p in path)
    return ".".join(p for p in parts_ if p != "value")


def _named(net: nnx.Module) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves_with_path(nnx.state(net))
    return {tensor_name(path): np.asarray(leaf) for path, leaf in leaves}
