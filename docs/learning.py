"""Makes docs/learning.webp, the moving picture at the top of the README."""

import numpy as np

import coordnet as cn

image = cn.downscale_area(cn.sample_image(), (300, 256))
steps = 1500
with cn.Film("docs/learning.webp", fps=8, quality=60) as film:
    for shot in cn.fitting(image, steps=steps, every=cn.progress_steps(steps, 28)):
        face = cn.render(shot.net, (200, 200), window=cn.Window((-0.45, 0.25), (-0.75, -0.05)))
        whole = cn.render(shot.net, 200)
        film.add(np.concatenate([whole, face], axis=1), f"step {shot.step}  {shot.psnr:.1f} dB")
    film.add(
        np.concatenate([whole, face], axis=1), f"step {shot.step}  {shot.psnr:.1f} dB", repeat=12
    )
