"""Layers that enlarge: those that draw checkerboards, and those that cannot.

All take and return ``(n, height, width, channels)`` and enlarge both sides ``stride`` or ``scale``
times. The defect, and the resize-convolution that lacks it: Odena, Dumoulin and Olah,
"Deconvolution and Checkerboard Artifacts" (Distill, 2016).
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from .._cells import decoded

Init = Literal["icnr", "plain"]
Mode = Literal["nearest", "bilinear"]
Pad = Literal["reflect", "edge", "constant"]

_KERNEL = 3  # of convolutions before or after an enlargement


def _check(**what: int) -> None:
    for name, value in what.items():
        if value < 1:
            msg = f"`{name}` must be at least 1, got {value}"
            raise ValueError(msg)


def _among(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        msg = f"`{name}` must be one of {', '.join(known)}, got {value!r}"
        raise ValueError(msg)


def _padded(x: Float[Array, "n h w c"], pad: str) -> Float[Array, "n h2 w2 c"]:
    edge = _KERNEL // 2
    if pad == "reflect" and min(x.shape[1:3]) <= edge:
        pad = "edge"  # there is nothing to reflect
    return jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode=pad)


class Deconv(nnx.Module):
    """A transposed convolution: each input paints a kernel, and kernels overlap.

    Args:
        inputs: Channels.
        outputs: Channels.
        kernel: Side of the kernel; where ``stride`` does not divide it, overlaps are uneven.
        stride: How many times larger the output is.
        rngs: Of the first weights.

    >>> Deconv(8, 3, kernel=5, stride=2, rngs=nnx.Rngs(0))(jnp.ones((1, 4, 6, 8))).shape
    (1, 8, 12, 3)
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 2, *, rngs: nnx.Rngs
    ):
        _check(inputs=inputs, outputs=outputs, kernel=kernel, stride=stride)
        self.stride = stride
        self.paint = nnx.ConvTranspose(
            inputs, outputs, (kernel, kernel), (stride, stride), padding="SAME", rngs=rngs
        )

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 k"]:
        """Enlarge."""
        return self.paint(x)


class SubPixel(nnx.Module):
    """A convolution whose channels become pixels (Shi et al., ESPCN, 2016).

    Args:
        inputs: Channels.
        outputs: Channels.
        scale: How many times larger the output is.
        init: ``"icnr"``: the pixels of a cell begin alike, as in a resize-convolution (Aitken et
            al. 2017); training does not keep them so. ``"plain"``: each begins by itself.
        hold: End in a mean over ``scale`` x ``scale`` pixels, which leaves of a constant input a
            constant output whatever is learnt (Sugawara, Shiota and Kiya 2018).
        rngs: Of the first weights.

    >>> SubPixel(8, 3, scale=3, rngs=nnx.Rngs(0))(jnp.ones((1, 4, 6, 8))).shape
    (1, 12, 18, 3)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        scale: int = 2,
        *,
        init: Init = "icnr",
        hold: bool = False,
        rngs: nnx.Rngs,
    ):
        _check(inputs=inputs, outputs=outputs, scale=scale)
        _among("init", init, ("icnr", "plain"))
        self.scale, self.hold = scale, hold
        many = scale**2 * outputs
        self.spread = nnx.Conv(inputs, many, (_KERNEL, _KERNEL), padding="VALID", rngs=rngs)
        if init == "icnr":
            alike = self.spread.kernel[...][..., :outputs]
            self.spread.kernel[...] = jnp.tile(alike, (1, 1, 1, scale**2))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 k"]:
        """Enlarge."""
        s, (n, h, w, _) = self.scale, x.shape
        x = self.spread(_padded(x, "reflect")).reshape(n, h, w, s, s, -1)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, s * h, s * w, -1)
        if not self.hold:
            return x
        before, after = s // 2, s - 1 - s // 2
        x = jnp.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), mode="edge")
        sums = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, s, s, 1), (1, 1, 1, 1), "VALID")
        return sums / s**2


class ResizeConv(nnx.Module):
    """An enlargement by interpolation, and a convolution after it.

    Args:
        inputs: Channels.
        outputs: Channels.
        scale: How many times larger the output is.
        mode: The interpolation.
        pad: What lies beyond the borders, as in ``numpy.pad``; zeros darken them.
        rngs: Of the first weights.

    >>> ResizeConv(8, 3, scale=2, rngs=nnx.Rngs(0))(jnp.ones((1, 4, 6, 8))).shape
    (1, 8, 12, 3)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        scale: int = 2,
        *,
        mode: Mode = "nearest",
        pad: Pad = "reflect",
        rngs: nnx.Rngs,
    ):
        _check(inputs=inputs, outputs=outputs, scale=scale)
        _among("mode", mode, ("nearest", "bilinear"))
        _among("pad", pad, ("reflect", "edge", "constant"))
        self.scale, self.mode, self.pad = scale, mode, pad
        self.mix = nnx.Conv(inputs, outputs, (_KERNEL, _KERNEL), padding="VALID", rngs=rngs)

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 k"]:
        """Enlarge."""
        n, h, w, c = x.shape
        x = jax.image.resize(x, (n, self.scale * h, self.scale * w, c), self.mode)
        return self.mix(_padded(x, self.pad))


class CosineCells(nnx.Module):
    """A coordinate decoder: each cell's features say a sum of cosines, neighbours blend.

    Not clean by itself: what cosines say of a constant input differs within a cell, less where
    neighbours are blended. At a ``zero`` start it says nothing, and belongs on an enlargement by
    interpolation.

    Args:
        inputs: Channels.
        outputs: Channels.
        scale: How many times larger the output is, if no size is asked for.
        waves: Cosines along each axis.
        blend: Weigh what the four nearest cells say of a point; or the nearest alone.
        zero: Begin with weights of zero.
        rngs: Of the first weights.

    >>> layer = CosineCells(8, 3, scale=2, rngs=nnx.Rngs(0))
    >>> layer(jnp.ones((1, 4, 6, 8))).shape, layer(jnp.ones((1, 4, 6, 8)), (9, 13)).shape
    ((1, 8, 12, 3), (1, 9, 13, 3))
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        scale: int = 2,
        *,
        waves: int = 5,
        blend: bool = True,
        zero: bool = False,
        rngs: nnx.Rngs,
    ):
        _check(inputs=inputs, outputs=outputs, scale=scale, waves=waves)
        self.scale, self.waves, self.blend = scale, waves, blend
        init = nnx.initializers.zeros if zero else nnx.initializers.lecun_normal()
        self.say = nnx.Linear(inputs, waves**2 * outputs, kernel_init=init, rngs=rngs)

    def __call__(
        self, x: Float[Array, "n h w c"], size: tuple[int, int] | None = None
    ) -> Float[Array, "n h2 w2 k"]:
        """Enlarge, to a ``size`` (height, width) of any kind or by the layer's scale."""
        n, h, w, _ = x.shape
        if size is None:
            size = self.scale * h, self.scale * w
        _check(size=min(size))
        coefficients = self.say(x).reshape(n, h, w, self.waves, self.waves, -1)
        return decoded(coefficients, size, blend=self.blend)
