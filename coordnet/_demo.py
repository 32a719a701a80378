"""The demonstration: everything at once, on one picture."""

from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from ._area import fitted_size
from ._images import write_image
from ._learning import film_fit
from ._nets import CoordNet, save
from ._plan import check_picture
from ._render import render
from ._report import Crop, checked_crop, enlargements, write_report
from ._samples import sample_image

_LONGEST_FILM = 480  # pixels: it leaves the page small
_FACE = (152, 178, 84, 100)  # of the built-in portrait: an eye and its glass


class Demo(NamedTuple):
    """What :func:`demo` made.

    Attributes:
        page: The HTML page.
        net: The fitted network; ``net.fitted`` is its record.
        folder: Where everything lies.
    """

    page: Path
    net: CoordNet
    folder: Path


def demo(
    folder: str | PathLike[str] = "coordnet-demo",
    *,
    image: Any = None,
    crop: Crop | None = None,
    steps: int = 2000,
    progress: bool | None = None,
) -> Demo:
    """Fit a portrait and write all there is to see: less than a minute on two cores.

    Writes into ``folder``, which is created, replacing what an earlier run left there:
    ``fit.png``, ``zoom.png``, ``zoom-bicubic.png`` and ``zoom-nearest.png`` (4x enlargements of
    ``crop``), ``learning.mp4``, ``network.safetensors``, and ``index.html`` with all of it.

    Args:
        folder: Where to.
        image: ``(height, width, channels)`` floats in [0, 1]; the built-in portrait when
            missing.
        crop: ``(top, left, height, width)`` in pixels, the part to enlarge; the portrait's
            face, or the middle of another picture, when missing.
        steps: Of the fit, with the default preset.
        progress: Show a progress bar; only in a terminal or a notebook when missing.

    Raises:
        OSError: The folder or a file cannot be written.
        ValueError: The picture, the crop or the steps are out of range.

    >>> import tempfile
    >>> import numpy as np
    >>> picture = np.full((24, 32, 3), 0.5, np.float32)
    >>> made = demo(tempfile.mkdtemp(), image=picture, steps=20, progress=False)
    >>> made.page.name, made.net.fitted.steps
    ('index.html', 20)
    """
    title = "A portrait as a function" if image is None else "A picture as a function"
    if image is None:
        image = sample_image()
        crop = crop or _FACE
    image = check_picture(image)
    crop = checked_crop(crop, image.shape)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    film = folder / "learning.mp4"
    size = fitted_size(image.shape[:2], _LONGEST_FILM)
    net = film_fit(film, image, steps=steps, size=size, progress=progress)
    save(net, folder / "network.safetensors")
    write_image(folder / "fit.png", render(net, progress=False))
    for name, enlarged in enlargements(image, net, crop, 4).items():
        write_image(folder / f"{name}.png", enlarged)
    report = folder / "index.html"
    write_report(
        report,
        image,
        net,
        title=title,
        film=film,
        network=folder / "network.safetensors",
        crop=crop,
    )
    return Demo(report, net, folder)
