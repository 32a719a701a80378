"""Trained networks as files: kernels in 8 bits, and a card that says what they learnt from."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from flax import nnx
from safetensors.numpy import save as pack_tensors

from .._cache import keep_compiled
from .._files import FormatError, atomic_path
from .._nets import tensor_name
from ._cleaner import Cleaner
from ._ridge import Ridge
from ._upscaler import Upscaler

_FORMAT, _FORMER = "coordnet restoration 2", "coordnet restoration 1"
#: Networks by what they are for, and by what they are called in a file.
_KINDS: dict[str, dict[str, type[nnx.Module]]] = {
    "dejpeg": {"cleaner": Cleaner, "ridge": Ridge},
    "upscale": {"upscaler": Upscaler},
}
#: Networks that ship, by what they are for; the first is used when none is named.
MODELS: dict[str, tuple[str, ...]] = {
    "dejpeg": ("small", "medium"),
    "upscale": ("photos", "paintings", "medium"),
}
_MOST = 4096  # features or blocks of a network in a file
_LEVELS = 127  # of a kernel's weights, to each side of 0


def write_weights(
    net: nnx.Module,
    path: str | os.PathLike[str],
    kind: str,
    form: dict[str, int],
    card: dict[str, Any],
) -> None:
    """Write a network's weights: kernels of convolutions in 8 bits, all else in half precision.

    A kernel's levels are a 127th part of the largest weight of each feature it makes.

    Args:
        net: A network of the ``kind``, made with the numbers of ``form``.
        path: Written whole or not at all.
        kind: What it is for, ``"dejpeg"`` or ``"upscale"``.
        form: What its constructor was given.
        card: Its ``name``, what it learnt from, and how long; what JSON holds.

    Raises:
        ValueError: A weight is no finite number.
    """
    leaves = jax.tree.leaves_with_path(nnx.state(net, nnx.Param))
    tensors = {}
    for place, leaf in leaves:
        tensor = np.asarray(leaf)
        if not np.isfinite(tensor).all():
            msg = f"{path}: not written, for weights of {tensor_name(place)} are not finite"
            raise ValueError(msg)
        if tensor.ndim == 4:
            largest = np.abs(tensor).max((0, 1, 2))
            # a scale of 0 in half precision is of weights below 4e-6, which are left out
            scale = tensors[_scale_of(place)] = np.float16(largest / _LEVELS)
            levels = tensor / np.where(scale > 0, scale, np.inf).astype(np.float32)
            tensor = np.rint(levels).clip(-_LEVELS, _LEVELS).astype(np.int8)
        else:
            tensor = tensor.astype(np.float16)
        tensors[tensor_name(place)] = np.ascontiguousarray(tensor)  # else it is written turned
    name = next(name for name, made in _KINDS[kind].items() if isinstance(net, made))
    said = {"kind": kind, "network": name, "form": form, "card": card}
    data = pack_tensors(tensors, {"format": _FORMAT, "network": json.dumps(said, sort_keys=True)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def check_form(form: dict[str, int]) -> None:
    """Refuse a network that no file of weights describes.

    >>> check_form({"width": 0})
    Traceback (most recent call last):
    ValueError: `width` must be a whole number from 1 to 4096, got 0
    """
    for name, value in form.items():
        if not (isinstance(value, int) and 1 <= value <= _MOST):
            msg = f"`{name}` must be a whole number from 1 to {_MOST}, got {value!r}"
            raise ValueError(msg)


def read_weights(path: str | os.PathLike[str], kind: str) -> tuple[Any, Any]:
    """Return a network and its card.

    Raises:
        FormatError: The file holds no such weights, those of another kind, or is broken.
        OSError: It cannot be read.
    """
    with _opened(path) as (file, said):
        _check_kind(said["kind"], kind, path)
        form = {str(k): int(v) for k, v in said["form"].items()}
        try:
            check_form(form)
        except ValueError as error:
            msg = f"{path}: describes an impossible network: {error}"
            raise FormatError(msg) from error
        make: Any = _KINDS[kind][said["network"]]
        graph, state = nnx.split(
            nnx.eval_shape(lambda: make(**form, rngs=nnx.Rngs(0))), nnx.Param, ...
        )[:2]
        leaves = []
        for place, leaf in jax.tree.leaves_with_path(state):
            tensor = file.get_tensor(tensor_name(place))
            short = leaf.ndim == 4
            scale = file.get_tensor(_scale_of(place)) if short else np.ones(leaf.shape[-1:])
            found = tensor.shape, tensor.dtype, scale.shape
            if found != (leaf.shape, np.int8 if short else np.float16, leaf.shape[-1:]):
                msg = f"{path}: its weights are not those of the network it describes"
                raise FormatError(msg)
            tensor = tensor.astype(np.float32) * scale.astype(np.float32)
            if not np.isfinite(tensor).all():
                msg = f"{path}: its weights are not all finite"
                raise FormatError(msg)
            leaves.append(jnp.asarray(tensor))
        found = jax.tree.unflatten(jax.tree.structure(state), leaves)
        return nnx.merge(graph, found), said["card"]


def _scale_of(place: tuple[Any, ...]) -> str:
    return f"{tensor_name(place)}.scale"


def card_of(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Return what weights are for, and their card; raises as :func:`read_weights` does."""
    with _opened(path) as (_, said):
        return str(said["kind"]), said["card"]


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[Any, Any]]:
    """Open a file of weights; what goes wrong within is the file's fault."""
    with open(path, "rb"):
        pass  # a missing or unreadable file is the system's own error
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            found = metadata.get("format", "no format of ours")
            if found == _FORMER:
                msg = f"{path}: weights of an earlier version, which are not read; train anew"
                raise FormatError(msg)
            if found != _FORMAT:
                msg = f"{path}: not weights of a restoration network (found {found})"
                raise FormatError(msg)
            said = json.loads(metadata["network"])
            if not isinstance(said["card"], dict) or "name" not in said["card"]:
                msg = f"{path}: its weights have no card that names them"
                raise FormatError(msg)
            yield file, said
    except FormatError:
        raise
    except (
        safetensors.SafetensorError, AttributeError, LookupError, TypeError, ValueError,
        RuntimeError,
    ) as error:  # fmt: skip
        # AttributeError: a kind of number that NumPy has not; RuntimeError: JSON nested too deep
        msg = f"{path}: not weights of a restoration network, or broken ones ({error})"
        raise FormatError(msg) from error


@contextmanager
def _file_of(model: str | os.PathLike[str], kind: str, said: str = "model") -> Iterator[Path]:
    """Find the file of weights, by a name that ships or by its path."""
    if model in MODELS[kind]:
        with as_file(files("coordnet.restore") / "weights" / f"{kind}-{model}.safetensors") as path:
            yield path
        return
    if not isinstance(model, str | os.PathLike) or Path(model).suffix != ".safetensors":
        names, given = " or ".join(map(repr, MODELS[kind])), model
        if isinstance(model, os.PathLike):
            given = os.fspath(model)
        msg = f"`{said}` must be {names} or the path of a .safetensors file, got {given!r}"
        raise ValueError(msg)
    yield Path(model)


def chosen(model: str | os.PathLike[str], kind: str, said: str = "model") -> tuple[Any, Any]:
    """Return a network and its card, by a name that ships or by its file.

    ``said`` is what the argument is called where the user gave it.

    Raises:
        ValueError: It is neither.
        FormatError: The file holds no such weights.
        OSError: It cannot be read.
    """
    keep_compiled()  # who chooses a network runs it
    with _file_of(model, kind, said) as path:
        return read_weights(path, kind)


def data_card(
    kind: Literal["dejpeg", "upscale"], *, model: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Return what a network has learnt from, as its weights say: its bias, by name.

    Args:
        kind: What the network is for.
        model: What ``dejpeg`` or ``upscale`` takes; when missing, what they use.

    Returns:
        ``name``; ``pictures``, those that were learnt from, by name or how many; ``set aside``,
        those that were not; ``note``, on licences; ``begun from``, the card of the network that it
        began as; and more, by kind.

    Raises:
        ValueError: There is no such model or kind.
        FormatError: The file holds no such weights.
        OSError: It cannot be read.

    >>> len(data_card("upscale", model="paintings")["set aside"])
    6
    """
    if kind not in MODELS:
        msg = f"`kind` must be {' or '.join(map(repr, MODELS))}, got {kind!r}"
        raise ValueError(msg)
    with _file_of(MODELS[kind][0] if model is None else model, kind) as path:
        found, card = card_of(path)
        _check_kind(found, kind, path)
        return card


def _check_kind(found: str, kind: str, path: str | os.PathLike[str]) -> None:
    if found != kind:
        msg = f"{path}: weights for {found}, where those for {kind} are needed"
        raise FormatError(msg)
