"""Pictures of a folder to training batches, made in threads while the last one is learnt from."""

import logging
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from .._color import to_uint8
from .._images import read_image

_MEMORY = 2**30  # bytes of decoded pictures that are kept
_LONGEST = 2048  # pixels: larger pictures are reduced, their pixels are too smooth to learn from
_log = logging.getLogger(__name__)


class Folder:
    """The pictures below a folder, as uint8 RGB, for many threads; some are set aside.

    Args:
        path: Searched with its subfolders. What is no picture, or a damaged one, is left out with
            a line in the log.
        held_out: The part that ``validation`` holds: whole pictures, chosen by their names.
        memory: Bytes of decoded pictures to keep; the rest is read again.

    Raises:
        ValueError: There is no picture.
    """

    def __init__(self, path: Path, *, held_out: float = 0.1, memory: int = _MEMORY):
        if not path.is_dir():
            msg = f"{path}: is not a folder; give one with pictures"
            raise ValueError(msg)
        files = sorted(f for f in path.rglob("*") if f.is_file() and _looks_like_a_picture(f))
        if not files:
            msg = f"{path}: holds no picture that can be read"
            raise ValueError(msg)
        # by name: a picture that is added later moves no other to the other side
        draw = {f: zlib.crc32(f.name.encode()) / 2**32 for f in files}
        self.training: Sequence[Path] = [f for f in files if draw[f] >= held_out] or files
        # a folder of one or two may have none to spare
        spare = [f for f in files if draw[f] < held_out]
        self.validation: Sequence[Path] = [] if self.training == files else spare
        self.path, self._memory, self._lock = path, memory, Lock()
        self._broken: set[Path] = set()
        self._kept: OrderedDict[Path, UInt8[np.ndarray, "h w 3"]] = OrderedDict()

    def picture(self, path: Path) -> UInt8[np.ndarray, "h w 3"]:
        """Return a picture, from memory if it is kept; transparent parts lie on white.

        Raises:
            ValueError: It cannot be read.
        """
        with self._lock:
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
        image = read_image(path, max_side=_LONGEST, clip=True)
        if image.shape[2] == 4:
            image = image[..., :3] * image[..., 3:] + (1 - image[..., 3:])
        picture = np.broadcast_to(to_uint8(image), (*image.shape[:2], 3))
        with self._lock:
            self._kept[path] = picture
            while sum(p.nbytes for p in self._kept.values()) > self._memory:
                self._kept.popitem(last=False)
        return picture

    def any(self, rng: np.random.Generator, least: int) -> UInt8[np.ndarray, "h w 3"]:
        """Draw a training picture of at least ``least`` pixels a side, others are mirrored to it.

        Raises:
            ValueError: Twenty pictures in a row could not be read.
        """
        path = self.training[0]
        for _ in range(20):
            path = self.training[int(rng.integers(len(self.training)))]
            try:
                picture = self.picture(path)
            except (ValueError, OSError) as error:
                if path not in self._broken:  # one line for each; it is drawn again and again
                    self._broken.add(path)
                    _log.warning("left out: %s", error)
                continue
            short = [max(0, least - side) for side in picture.shape[:2]]
            if any(short):
                pads = [(0, short[0]), (0, short[1]), (0, 0)]
                picture = np.pad(picture, pads, mode="symmetric")
            return picture
        msg = f"{path.parent}: its pictures cannot be read; the last one was {path.name}"
        raise ValueError(msg)


def _looks_like_a_picture(path: Path) -> bool:
    try:
        with Image.open(path):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if path.suffix.lower() in Image.registered_extensions():
            _log.warning("left out: %s: %s", path, error)
        return False
