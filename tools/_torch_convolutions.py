"""Convolutions by PyTorch in bfloat16, for training on a CPU that computes in it.

XLA computes convolutions of a CPU in float32 only; a step with oneDNN's, which PyTorch brings,
takes half to three quarters of the time on a core with AMX or AVX-512. JAX's
``buffer_callback`` hands them the arrays where they lie.
"""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Float

Net = TypeVar("Net", bound=nnx.Module)


def by_torch(net: Net) -> Net:
    """Return the network with 3 x 3 convolutions, without padding, that PyTorch computes.

    The first and the last, of few channels, stay: what a picture shows differs by less than
    bfloat16 holds, and the slope of the first had a cosine of 0.77 with its true one.
    """
    torch.set_num_threads(1)  # crops are computed beside each other, a core for each
    net = nnx.clone(net)
    for _, layer in nnx.iter_graph(net):
        if isinstance(layer, nnx.Conv) and layer.in_features == layer.out_features:
            layer.conv_general_dilated = _in_its_place
    return net


def _in_its_place(x: Array, kernel: Array, strides: Any, padding: Any, **_: Any) -> Array:
    if set(strides) != {1} or padding != "VALID":
        msg = f"only steps of 1 without padding, got {strides} and {padding}"
        raise ValueError(msg)
    return _convolved(x, kernel)


@jax.custom_vjp
def _convolved(x: Float[Array, "n h w c"], kernel: Float[Array, "a b c d"]) -> Array:
    n, h, w, _ = x.shape
    a, b, _, d = kernel.shape
    shape = jax.ShapeDtypeStruct((n, h - a + 1, w - b + 1, d), jnp.float32)
    return buffer_callback(_forward, shape)(x, kernel)


def _backed(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    shapes = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in kept]
    x, kernel = buffer_callback(_backward, shapes)(*kept, slope)
    return x, kernel


_convolved.defvjp(lambda x, kernel: (_convolved(x, kernel), (x, kernel)), _backed)


def _whole(buffer: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(buffer))


def _pixels(buffer: Any) -> torch.Tensor:
    """Return (n, c, h, w) whose channels still lie side by side, as oneDNN likes them."""
    return _whole(buffer).permute(0, 3, 1, 2).to(torch.bfloat16)


def _kernel(buffer: Any) -> torch.Tensor:
    kernel = _whole(buffer).permute(3, 2, 0, 1).to(torch.bfloat16)
    return kernel.contiguous(memory_format=torch.channels_last)


def _forward(_: Any, out: Any, x: Any, kernel: Any) -> None:
    found = torch.nn.functional.conv2d(_pixels(x), _kernel(kernel))
    _whole(out).copy_(found.permute(0, 2, 3, 1))


def _backward(_: Any, out: Any, x: Any, kernel: Any, slope: Any) -> None:
    of_x, of_kernel, _ = torch.ops.aten.convolution_backward(
        _pixels(slope), _pixels(x), _kernel(kernel), None, [1, 1], [0, 0], [1, 1], False, [0, 0],
        1, [True, True, False],
    )  # fmt: skip
    _whole(out[0]).copy_(of_x.permute(0, 2, 3, 1))
    _whole(out[1]).copy_(of_kernel.permute(2, 3, 1, 0))
