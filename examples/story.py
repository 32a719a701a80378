# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
"""# What is a picture?

Usually a table: this row, that column, this colour. Here it becomes a function instead: a small
neural network that is told a place `(x, y)` and answers with a colour. Once it has learned one
picture it can be asked about any place, also between the pixels.
"""

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from IPython.display import Video, display

import coordnet as cn

folder = Path(tempfile.mkdtemp())  # for what this notebook writes

# %% [markdown]
# ## Fit
#
# An image is an array of floats in [0, 1], height x width x channels. The built-in portrait will
# do; `cn.read_image("photo.jpg")` reads your own. It is reduced here to keep things quick.

# %%
image = cn.read_image(cn.sample_image(), max_side=200)
net = cn.fit(image, steps=500)
print(net)
print(f"{net.fitted.psnr:.1f} dB after {net.fitted.seconds:.1f} s")

# %% [markdown]
# ## Look
#
# `render` draws the network on a lattice of any size. From 200 pixels to 800:

# %%
display(cn.show(image, cn.render(net), cn.render(net, scale=4)))

# %% [markdown]
# What does it put between the pixels? A window shows it from near; the longer side of the picture
# runs from -1 to 1, x to the right and y down.

# %%
face = cn.Window(x=(-0.425, 0.075), y=(-0.45, 0.05))
near = cn.render(net, 400, window=face)
display(cn.show(image[55:105, 43:93], near, titles=["the pixels", "the network"]))

# %% [markdown]
# ## Watch it learn
#
# `fitting` hands over the loop: it yields snapshots, and what to do with them is yours to say.
# Here they are drawn into a film, more of them at the beginning, where more happens.

# %%
with cn.Film(folder / "learning.mp4", fps=12) as film:
    for shot in cn.fitting(image, "siren", steps=150, every=cn.progress_steps(150, 30)):
        film.add(cn.render(shot.net), caption=f"step {shot.step}   {shot.psnr:.1f} dB")

display(Video(folder / "learning.mp4", embed=True))

# %% [markdown]
# Which network is it to be? A preset is a name for a network and its training; `cn.PRESETS` has
# them all. How two of them went:

# %%
names = ["grid", "siren"]
fits = [list(cn.fitting(image, name, seconds=1.5, every=10)) for name in names]
display(cn.curves(*fits, labels=names))

# %% [markdown]
# ## Zoom
#
# Every frame of a flight into the picture is drawn by the network; pixels never appear.

# %%
with cn.Film(folder / "zoom.mp4", fps=25) as film:
    for frame in cn.zoom(net, to=(-0.12, -0.28), scale=12, frames=40):
        film.add(frame)

display(Video(folder / "zoom.mp4", embed=True))

# %% [markdown]
# ## Hide a part
#
# With a mask the network sees only some of the pixels, a third here. What it says about the
# others is a guess, and how good a guess is reported apart.

# %%
mask = np.random.default_rng(0).random(image.shape[:2]) < 1 / 3
guess = cn.fit(image, "siren", mask=mask, steps=300)
seen = np.where(mask[..., None], image, 1.0)
display(cn.show(seen, cn.render(guess), image, titles=["seen", "drawn", "the picture"]))
print(f"{guess.fitted.psnr:.1f} dB where it looked, {guess.fitted.hidden_psnr:.1f} dB elsewhere")

# %% [markdown]
# ## Keep
#
# The network is the picture now. It is saved with its description, bit for bit.

# %%
cn.save(net, folder / "portrait.safetensors")
again = cn.load(folder / "portrait.safetensors")
assert np.array_equal(cn.render(again), cn.render(net))
print(again.spec)

# %% [markdown]
# ## Bring your own network
#
# Any `nnx.Module` from points to colours gets the whole library: budgets, masks, films, renders.
# This one looks at the picture through 200 round windows, each with a colour of its own, and
# learns where to put them.


# %%
class Windows(nnx.Module):
    """Round windows onto colours; each place looks through the nearest ones."""

    def __init__(self, count: int, rngs: nnx.Rngs):
        self.centres = nnx.Param(jax.random.uniform(rngs.params(), (count, 2), minval=-1.0))
        self.colours = nnx.Param(jnp.full((count, 3), 0.5))
        self.sharpness = nnx.Param(jnp.full(count, 3.4))

    def __call__(self, points):
        """Return the colours at points, ``(n, 2)`` to ``(n, 3)``."""
        distance = jnp.linalg.norm(points[:, None] - self.centres[...], axis=-1)
        shares = jax.nn.softmax(-jnp.exp(self.sharpness[...]) * distance, axis=-1)
        return shares @ self.colours[...]


windows = cn.fit(image, Windows(200, nnx.Rngs(0)), trainer=cn.adam(2e-2), steps=300)
drawn = cn.render(windows)
display(cn.show(image, drawn, titles=["the picture", f"{cn.psnr(image, drawn):.1f} dB"]))
