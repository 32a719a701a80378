"""A film's frames as numbered files in a folder: written, and made into a film."""

import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Literal

from numpy.typing import ArrayLike

from ._files import atomic_path
from ._images import read_image
from ._pillow import to_pillow
from ._video import Film, PathLike, Size


def dump_frames(
    folder: PathLike, pictures: Iterable[ArrayLike], *, overwrite: bool = False
) -> list[Path]:
    """Write pictures as `0000.png`, `0001.png` and so on, each as it comes.

    Args:
        folder: is created where it does not exist; other files in it stay.
        pictures: images of shape (height, width, 1, 3 or 4), values in [0, 1]; taken one by one.
            If this raises, the frames written so far stay, each of them whole.
        overwrite: replace the frames of an earlier run. All of them are removed when the first
            picture has come, so that the folder never holds frames of two runs.

    Returns:
        The files in order.

    Raises:
        FileExistsError: the folder holds frames and `overwrite` is False; nothing is touched.
        ValueError, TypeError: there is no picture, or one is not an image.
        OSError: the folder or a file cannot be written.

    >>> import tempfile
    >>> import numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> [file.name for file in dump_frames(folder, np.zeros((3, 4, 4, 1), np.float32))]
    ['0000.png', '0001.png', '0002.png']
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        msg = f"cannot write frames into {folder}: it is a file; give the name of a folder"
        raise NotADirectoryError(msg)
    old = _earlier_frames(folder)
    if old and not overwrite:
        msg = (
            f"{folder} holds {len(old)} frames of another run ({old[0].name} ... {old[-1].name}); "
            "choose another folder, or pass overwrite=True to replace them"
        )
        raise FileExistsError(msg)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for image in pictures:
        picture = to_pillow(image)
        if not written:
            for file in old:
                file.unlink()
        path = folder / f"{len(written):04d}.png"
        with atomic_path(path) as temporary:
            picture.save(temporary, compress_level=3)  # 6 takes twice the time for 3 to 9 % less
        written.append(path)
    if not written:
        msg = f"there is no picture to write into {folder}"
        raise ValueError(msg)
    return written


def _earlier_frames(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if re.fullmatch(r"\d{4,}\.png", file.name))


def frames_to_video(
    folder: PathLike,
    path: PathLike,
    *,
    fps: int | float | Fraction = 25,
    size: Size | None = None,
    quality: int | float | None = None,
    scaling: Literal["smooth", "nearest"] = "smooth",
) -> Path:
    """Make a film of the numbered PNG and JPEG files of a folder, in the order of their numbers.

    A frame's number is the last digits of its name: `7.png`, `0007.png` and `frame-0007.jpg` are
    number 7. Other files are left alone, gaps in the numbers are passed over.

    Args:
        folder: as `dump_frames` leaves it.
        path: the film to write; this and the rest as in `Film`.
        fps: frames per second.
        size: (height, width) or height; by default the first frame's.
        quality: 0 to 100.
        scaling: "smooth" or "nearest".

    Returns:
        `path`.

    Raises:
        FileNotFoundError: the folder does not exist or holds no frame.
        ValueError: a frame cannot be read, or two have the same number; and as `Film` does.
        OSError: as `Film` does.

    >>> import tempfile
    >>> import numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> _ = dump_frames(folder, np.zeros((3, 4, 4, 1), np.float32))
    >>> frames_to_video(folder, f"{folder}/black.mp4").stat().st_size > 0
    True
    """
    files = _numbered(Path(folder))
    with Film(path, fps=fps, size=size, quality=quality, scaling=scaling) as film:
        for file in files:
            film.add(read_image(file))
    return film.path


def _numbered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        msg = f"there is no folder {folder} to take frames from"
        raise FileNotFoundError(msg)
    frames: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        match = re.fullmatch(r"(?:.*\D)?(\d+)\.(?:png|jpe?g)", file.name, re.IGNORECASE)
        if match is None or file.name.startswith("."):
            continue
        other = frames.setdefault(int(match[1]), file)
        if other != file:
            msg = f"{other} and {file} are both frame {int(match[1])}; remove one of them"
            raise ValueError(msg)
    if not frames:
        msg = f"{folder} holds no numbered .png or .jpg file, such as 0000.png, to make a film of"
        raise FileNotFoundError(msg)
    return [frames[number] for number in sorted(frames)]
