"""Pictures to try things on: one that is always there, and a folder of more."""

import importlib.util
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ._images import read_image

_REPOSITORY = Path(__file__).resolve().parent.parent


def sample_image() -> Float32[np.ndarray, "h w 3"]:
    """Return the built-in picture, float32 ``(600, 512, 3)`` in [0, 1].

    It is the portrait of Grace Hopper, 1984, in the public domain, which matplotlib ships;
    matplotlib is not imported for it.

    Raises:
        FileNotFoundError: matplotlib is not installed, or without its sample data.

    >>> sample_image().shape
    (600, 512, 3)
    """
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib is None or matplotlib.origin is None:
        message = "the built-in picture comes with matplotlib; install it: pip install matplotlib"
        raise FileNotFoundError(message)
    folder = Path(matplotlib.origin).parent / "mpl-data" / "sample_data"
    return read_image(folder / "grace_hopper.jpg")


def images_folder() -> Path | None:
    """Return the folder of pictures for measuring and training, ``None`` where there is none.

    It is the one that the environment variable ``COORDNET_IMAGES`` names; unset, the first
    of ``../shared/images`` beside the current folder and beside the repository that exists.

    Raises:
        FileNotFoundError: ``COORDNET_IMAGES`` is set, but is not a folder.

    >>> folder = images_folder()
    >>> folder is None or folder.is_dir()
    True
    """
    named = os.environ.get("COORDNET_IMAGES")
    if named:
        if not Path(named).is_dir():
            message = (
                f"COORDNET_IMAGES is {named!r}, which is not a folder; set it to one that holds "
                "pictures, or unset it"
            )
            raise FileNotFoundError(message)
        return Path(named)
    beside = (base.parent / "shared" / "images" for base in (Path.cwd(), _REPOSITORY))
    return next((folder for folder in beside if folder.is_dir()), None)
