"""The upsampling laboratory: layers that enlarge, and how much of a checkerboard they draw.

>>> from flax import nnx
>>> from coordnet import checkerboard
>>> layer = checkerboard.SubPixel(16, 3, scale=2, init="plain", rngs=nnx.Rngs(0))
>>> checkerboard.examine(layer, 16, 2).phase_dc > 0.3
True
"""

from ._layers import CosineCells, Deconv, ResizeConv, SubPixel
from ._measures import Pattern, examine, overlap, phase_dc, stride_peak

__all__ = [
    "CosineCells", "Deconv", "Pattern", "ResizeConv", "SubPixel", "examine", "overlap",
    "phase_dc", "stride_peak",
]  # fmt: skip
