"""Checkpoints: everything a fit needs to go on exactly where it stopped.

A checkpoint is a safetensors file: the weights and the trainer's state as tensors, and in
the metadata the fingerprints of what it belongs to. Reading one executes nothing.
"""

import dataclasses
import hashlib
import json
import os
import types
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from safetensors.numpy import save as pack_tensors

from ._files import FormatError, atomic_path

_FORMAT = "coordnet checkpoint 1"
_RECORD = {"step", "seconds", "loss", "history", "latest"}
_LATEST = {"step", "psnr", "hidden_psnr", "stopped"}


def fingerprint(value: Any) -> str:
    """Describe ``value`` by what it does, the same in every process.

    Functions are told by their names, their code and what they close over, so that two
    learning rates of one optax optimizer differ.

    >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
    False
    """
    digest = hashlib.sha256()
    _describe(value, digest.update, {})
    return digest.hexdigest()[:16]


def _describe(value: Any, add: Any, seen: dict[int, tuple[int, Any]]) -> None:
    add(type(value).__qualname__.encode())
    if isinstance(value, (np.ndarray, jax.Array)):
        array = np.asarray(_raw(value))
        add(f"{array.dtype}{array.shape}".encode())
        add(array.tobytes())
        return
    if isinstance(value, (str, bytes, int, float, complex, bool, type(None), np.generic)):
        add(repr(value).encode())
        return
    if isinstance(value, (type, types.ModuleType)):  # told by their names, not by all they hold
        add(f"{getattr(value, '__module__', '')}.{value.__name__}".encode())
        return
    if id(value) in seen:  # met before, as a function that refers to itself
        add(b"%d" % seen[id(value)][0])
        return
    # kept alive with its number: the place in memory of what is gone belongs to another soon
    seen[id(value)] = len(seen), value
    if isinstance(value, types.FunctionType):
        add(f"{value.__module__}.{value.__qualname__}".encode())
        children = [value.__code__, value.__defaults__, value.__kwdefaults__]
        children += [cell.cell_contents for cell in value.__closure__ or ()]
        # plain numbers that it reads from its module, such as a notebook's LR
        found = {name: value.__globals__.get(name) for name in value.__code__.co_names}
        children.append({k: v for k, v in found.items() if isinstance(v, (int, float, str))})
    elif isinstance(value, types.MethodType):
        children = [value.__func__, value.__self__]
    elif isinstance(value, types.CodeType):
        add(value.co_code)
        children = [value.co_names, value.co_consts]
    elif isinstance(value, dict):
        children = [part for item in value.items() for part in item]
    elif isinstance(value, (tuple, list)):
        children = list(value)
    elif isinstance(value, (set, frozenset)):
        children = sorted(value, key=repr)
    elif hasattr(value, "func") and hasattr(value, "args"):  # functools.partial
        children = [value.func, value.args, value.keywords]
    elif hasattr(value, "__wrapped__"):  # a jitted or decorated function
        children = [value.__wrapped__]
    elif dataclasses.is_dataclass(value):
        children = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif hasattr(value, "__dict__"):
        children = [vars(value)]
    else:
        children = [getattr(value, "__qualname__", "")]
    add(b"%d" % len(children))
    for child in children:
        _describe(child, add, seen)


def write_checkpoint(
    path: str | PathLike[str], tree: Any, *, belongs: dict[str, str], record: dict[str, Any]
) -> None:
    """Write the leaves of ``tree``, whose fingerprints and record go with it, atomically."""
    leaves = {f"{i:06d}": np.asarray(_raw(leaf)) for i, leaf in enumerate(jax.tree.leaves(tree))}
    metadata = {"format": _FORMAT, "belongs": json.dumps(belongs), "record": json.dumps(record)}
    data = pack_tensors(leaves, metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_checkpoint(
    path: str | PathLike[str], tree: Any, *, belongs: dict[str, str]
) -> tuple[Any, dict[str, Any]] | None:
    """Return the checkpoint's tree, in the form of ``tree``, and its record; None if absent.

    Raises:
        FormatError: The file is no checkpoint, or broken.
        ValueError: It belongs to another picture, network, trainer or setting; says which.
    """
    if not os.path.exists(path):
        return None
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                msg = f"{path}: not a checkpoint that this version reads; give another path"
                raise FormatError(msg)
            theirs, record = json.loads(metadata["belongs"]), json.loads(metadata["record"])
            if (
                not isinstance(theirs, dict)
                or not isinstance(record, dict)
                or _RECORD - set(record)
                or not (isinstance(record["step"], int) and record["step"] >= 0)
                or not all(isinstance(record[name], int | float) for name in ("seconds", "loss"))
                or not isinstance(record["history"], list)
                or not all(isinstance(row, list) and len(row) == 3 for row in record["history"])
                or not isinstance(record["latest"], dict | None)
                or (record["latest"] is not None and _LATEST - set(record["latest"]))
            ):
                msg = f"{path}: not a whole checkpoint; remove it to start anew"
                raise FormatError(msg)
            tensors = [file.get_tensor(name) for name in sorted(file.keys())]
    except FormatError:
        raise
    except (
        safetensors.SafetensorError,
        AttributeError,  # of a kind of number that NumPy has not
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        # RuntimeError: JSON nested too deep for Python
        msg = f"{path}: not a checkpoint, or a broken one ({error}); remove it to start anew"
        raise FormatError(msg) from error
    others = [name for name in belongs if theirs.get(name) != belongs[name]]
    if others:
        msg = (
            f"{path}: the checkpoint belongs to another {' and another '.join(others)}; "
            "give the same again to go on, or another path to start anew"
        )
        raise ValueError(msg)
    leaves, structure = jax.tree.flatten(tree)
    if [(_raw(leaf).shape, _raw(leaf).dtype) for leaf in leaves] != [
        (t.shape, t.dtype) for t in tensors
    ]:
        msg = f"{path}: its tensors are not those of this fit; remove it to start anew"
        raise FormatError(msg)
    restored = [_like(leaf, tensor) for leaf, tensor in zip(leaves, tensors, strict=True)]
    return jax.tree.unflatten(structure, restored), record


def _raw(leaf: Any) -> Any:
    """Return an array as plain numbers: keys are their words."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(leaf)
    return leaf


def _like(leaf: Any, tensor: np.ndarray) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(tensor), impl=jax.random.key_impl(leaf))
    return jnp.asarray(tensor, leaf.dtype)
