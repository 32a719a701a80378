"""A folder of pictures to ``.cnet`` files."""

import inspect
import os
import warnings
from pathlib import Path
from typing import Any

from .._files import FormatError, atomic_path, check_target
from .._images import read_image
from .._progress import counting
from ._compress import compress, most_bytes
from ._container import unpack
from ._rate import UnreachableError

_KINDS = {
    ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pnm", ".gif",
    ".avif", ".jp2",
}  # fmt: skip


class _UnreadableError(Exception):
    """A picture that cannot be read."""


def compress_folder(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    progress: bool | None = None,
    **options: Any,
) -> list[Path]:
    """Compress all pictures of a folder; what is done already is passed over.

    A file of ``target`` appears when it is complete, so that a run that was stopped goes on
    where it was. It is made anew when it is older than its picture, damaged, or larger than is
    asked now; to have it in another quality, remove it. A picture that cannot be read, or cannot be
    made as small as was asked, is passed over with a warning.

    Args:
        source: A folder; pictures are known by their extensions, folders in it are left out.
        target: A folder for the ``.cnet`` files, made if it is not there.
        progress: Show a progress bar; when missing, where somebody watches.
        options: As ``compress`` takes them.

    Returns:
        The files of all pictures that could be compressed, old ones too.

    Raises:
        NotADirectoryError: ``source`` is no folder, or ``target`` is a file.
        ValueError: It holds no picture, or two whose files would have the same name.

    >>> import tempfile, numpy as np
    >>> from coordnet import write_image
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_image(folder / "flat.png", np.ones((8, 8, 3), np.float32))
    >>> [file.name for file in compress_folder(folder, folder / "small")]
    ['flat.cnet']
    """
    source, target = Path(source), Path(target)
    if not source.is_dir():
        msg = f"{source}: not a folder of pictures"
        raise NotADirectoryError(msg)
    if target.exists() and not target.is_dir():
        msg = f"{target}: a file; name a folder for the .cnet files"
        raise NotADirectoryError(msg)
    inspect.signature(compress).bind(None, **options)  # a wrong name, before the first picture
    pictures = sorted(p for p in source.iterdir() if p.suffix.lower() in _KINDS and p.is_file())
    if not pictures:
        msg = f"{source}: holds no picture ({' '.join(sorted(_KINDS))}); its folders are left out"
        raise ValueError(msg)
    names: dict[str, Path] = {}
    for picture in pictures:
        other = names.setdefault(picture.stem, picture)
        if other != picture:
            msg = f"{other} and {picture} would both become {picture.stem}.cnet; rename one"
            raise ValueError(msg)
    target.mkdir(parents=True, exist_ok=True)
    done = []
    for picture in counting(pictures, progress, "compressing", patience=0.0):
        file = target / f"{picture.stem}.cnet"
        if not _is_done(file, picture, options):
            check_target(file)
            try:
                image, info = _read(picture)
                blob = compress(image, **{"info": info, "progress": False, **options})
            except (_UnreadableError, UnreachableError) as error:
                warnings.warn(f"{picture.name} is left out: {error}", stacklevel=2)
                continue
            with atomic_path(file) as temporary:
                temporary.write_bytes(blob)
        done.append(file)
    return done


def _is_done(file: Path, picture: Path, options: dict[str, Any]) -> bool:
    """Return whether a file is that of a picture, whole, and as small as is asked."""
    if not file.is_file() or file.stat().st_mtime < picture.stat().st_mtime:
        return False
    data = file.read_bytes()
    try:
        header, _ = unpack(data)
    except FormatError:
        return False
    most = most_bytes((header.height, header.width), options.get("bpp"), options.get("max_bytes"))
    return most is None or len(data) <= most


def _read(picture: Path) -> Any:
    try:
        return read_image(picture, info=True, clip=True)
    except (ValueError, OSError) as error:
        raise _UnreadableError(str(error)) from error
