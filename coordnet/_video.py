"""Films of pictures, written while their frames are made."""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, SupportsIndex

import av.error
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from ._caption import draw_caption
from ._files import atomic_path, check_target
from ._pillow import to_pillow
from ._video_encoder import USUAL_QUALITY, Encoder, find_kind

PathLike = str | os.PathLike[str]
Size = SupportsIndex | Sequence[SupportsIndex]  # numpy's integers and lists too
LONGEST_HOLD = 600  # seconds; GIF stores at most 655 with one frame


class Film:
    """A film that is written while its frames are made, so that its length costs no memory.

    The extension chooses the kind: `.mp4` (H.264, plays everywhere), `.webm` (VP9), `.gif` (255
    colours a frame), `.webp`, `.apng` or `.png` (animated, lossless). All but the first two start
    over at their end.

    The file appears when the `with` block ends; if it raises, Ctrl-C included, nothing is left of
    it and a film that was there before stays. To keep the frames so far, catch the exception
    inside the block. The first frame fixes the size; a later one of another size is scaled to fit
    into it, with black bars where the shape differs. H.264 and VP9 need even sides: an odd one
    gets its last row or column twice. Transparent pixels lie on white; APNG keeps them transparent
    if the first frame has four channels.

    Args:
        path: the file to write; its folder must exist.
        fps: frames per second, 0.1 to 1000; 50 at most for GIF.
        size: (height, width), or the height alone, of the film; by default the first frame's.
        quality: 0 (small) to 100 (for WebP: lossless), 80 by default; not for GIF and APNG.
        scaling: "smooth" (Lanczos), or "nearest" for sharp pixels.

    Raises:
        ValueError: an argument is out of its range, the extension is unknown, or its encoder is
            missing; at the end of the block, no frame was added.
        OSError: the file cannot be written. This and the above come before any frame is made.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "dawn.gif")
    >>> with Film(path, fps=10) as film:
    ...     for light in np.linspace(0, 1, 5):
    ...         film.add(np.full((90, 160, 3), light, np.float32), caption=f"{light:.2f}")
    >>> film.frames, film.seconds, path.read_bytes()[:6]
    (5, 0.5, b'GIF89a')
    """

    def __init__(
        self,
        path: PathLike,
        *,
        fps: int | float | Fraction = 25,
        size: Size | None = None,
        quality: int | float | None = None,
        scaling: Literal["smooth", "nearest"] = "smooth",
    ):
        self.path = Path(path)
        self.frames = 0
        self._kind = find_kind(self.path)
        self._fps = _checked_fps(fps, self._kind.fastest, self.path)
        self._size = checked_size(size)
        self._quality = _checked_quality(quality, self._kind.settings is not None, self.path)
        if scaling not in ("smooth", "nearest"):
            msg = f'scaling must be "smooth" or "nearest", got {scaling!r}'
            raise ValueError(msg)
        smooth = scaling == "smooth"
        self._resampling = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
        self._mode = "RGB"
        self._encoder: Encoder | None = None
        self._temporary: Path | None = None
        self._broken = False
        check_target(self.path)

    @property
    def seconds(self) -> float:
        """How long the film is so far."""
        return float(self.frames / self._fps)

    def __enter__(self) -> "Film":
        if self._temporary is not None or self._encoder is not None:
            msg = f"{self.path}: a Film is written once; make another to write it again"
            raise RuntimeError(msg)
        self._block = self._open()
        return self._block.__enter__()

    def __exit__(self, *failure) -> bool | None:
        return self._block.__exit__(*failure)

    def add(self, image: ArrayLike, caption: str | None = None, repeat: int = 1) -> None:
        """Append a frame.

        Args:
            image: shape (height, width, 1, 3 or 4), floating, values in [0, 1].
            caption: a line of text for the lower edge, such as "step 200   31.4 dB"; drawn after
                scaling, see `add_caption`.
            repeat: for how many frames the image is shown, 10 minutes at most.

        Raises:
            TypeError, ValueError: `image` is not an image, or `repeat` is out of its range.
            RuntimeError: called outside the `with` block.
            OSError: the frame could not be written; the film is lost.

        >>> Film("film.mp4").add(np.zeros((8, 8, 3), np.float32))
        Traceback (most recent call last):
        RuntimeError: film.mp4 is not open: call add inside `with Film(...) as film:`
        """
        if self._temporary is None:
            msg = f"{self.path} is not open: call add inside `with Film(...) as film:`"
            raise RuntimeError(msg)
        if not 1 <= repeat <= LONGEST_HOLD * self._fps:
            most = int(LONGEST_HOLD * self._fps)
            msg = f"repeat must be 1 to {most} (10 minutes) in {self.path}, got {repeat}"
            raise ValueError(msg)
        picture = to_pillow(image)
        if self._encoder is None:
            self._fix(picture)
        frame = self._prepared(picture, caption or "")
        with self._guarded() as encoder:
            encoder.write(frame, repeat)
        self.frames += repeat

    @contextlib.contextmanager
    def _open(self) -> Iterator["Film"]:
        """Hold the temporary file, and the encoder once there is one, for the `with` block."""
        with atomic_path(self.path) as temporary:
            self._temporary = temporary
            try:
                yield self
                if not self.frames:
                    msg = f"{self.path}: no frame was added, so nothing was written"
                    raise ValueError(msg)
                with self._guarded() as encoder:
                    encoder.finish()
            finally:
                self._temporary = None
                if self._encoder is not None:
                    self._encoder.abandon()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[Encoder]:
        """Lend the encoder; what goes wrong in it, Ctrl-C included, spoils the film for good."""
        assert self._encoder is not None
        if self._broken:
            msg = f"{self.path}: writing a frame was cut off before; the film is lost"
            raise OSError(msg)
        self._broken = True
        try:
            yield self._encoder
        except av.error.FFmpegError as error:
            msg = f"{self.path}: {self._kind.encoder} could not write frame {self.frames}: {error}"
            raise OSError(msg) from error
        self._broken = False

    def _fix(self, first: Image.Image) -> None:
        """Let the first frame decide on size and transparency, and start the encoder."""
        height, width = first.height, first.width
        if isinstance(self._size, int):
            width = max(1, round(width * self._size / height))
            height = self._size
        elif self._size is not None:
            height, width = self._size
        if max(height, width) > self._kind.longest:
            msg = (
                f"{self.path}: a side of this kind of film is at most {self._kind.longest} pixels, "
                f"got {height} x {width} (height x width); give a smaller size="
            )
            raise ValueError(msg)
        self._size = height, width
        self._mode = "RGBA" if self._kind.alpha and first.mode == "RGBA" else "RGB"
        shape = height, width, len(self._mode)
        assert self._temporary is not None
        try:
            self._encoder = Encoder(self._temporary, self._kind, shape, self._fps, self._quality)
        except av.error.FFmpegError as error:
            msg = f"{self.path}: {self._kind.encoder} could not be started: {error}"
            raise OSError(msg) from error

    def _prepared(self, picture: Image.Image, caption: str) -> np.ndarray:
        """Bring a picture to the film's channels and size, and draw the caption."""
        assert isinstance(self._size, tuple)
        height, width = self._size
        if picture.mode == "RGBA" and self._mode == "RGB":
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture)
        picture = picture.convert(self._mode)
        if picture.size != (width, height):
            picture = ImageOps.pad(picture, (width, height), self._resampling)
        return np.asarray(draw_caption(picture, caption))


def _checked_fps(fps: int | float | Fraction, fastest: int, path: Path) -> Fraction:
    if not 0.1 <= fps <= fastest:  # false for nan
        msg = f"fps must be 0.1 to {fastest} for {path.suffix} ({path}), got {fps}"
        raise ValueError(msg)
    return Fraction(fps).limit_denominator(1001)  # 29.97 and 30000/1001 alike


def checked_size(size: Any) -> int | tuple[int, int] | None:
    """Return a film's size in Python's own integers, or raise what is wrong with it.

    >>> checked_size([np.int64(20), 30])
    (20, 30)
    """
    if size is None:
        return None
    if isinstance(size, int | np.integer) and size >= 1:
        return int(size)
    if isinstance(size, tuple | list) and len(size) == 2:
        height, width = size
        if all(isinstance(n, int | np.integer) and n >= 1 for n in size):
            return int(height), int(width)
    msg = f"size must be a height or (height, width), whole numbers of at least 1, got {size!r}"
    raise ValueError(msg)


def _checked_quality(quality: int | float | None, has_setting: bool, path: Path) -> float:
    if quality is not None and not has_setting:
        msg = f"quality={quality}: {path.suffix} has no such setting ({path}); leave it out"
        raise ValueError(msg)
    if quality is not None and not 0 <= quality <= 100:
        msg = f"quality must be 0 to 100, got {quality} for {path}"
        raise ValueError(msg)
    return float(USUAL_QUALITY if quality is None else quality)


def progress_steps(steps: int, frames: int) -> list[int]:
    """Choose the steps at which to film a fit, so that frames follow its progress.

    A fit improves about as much from step 10 to 20 as from 1000 to 2000. So the chosen steps s
    are even in log(1 + s): from each frame, the rest of the way is divided evenly among the rest
    of the frames, and a step is at least 1,
    `next = max(s + 1, round((1 + s) * ((1 + steps) / (1 + s)) ** (1 / frames_left) - 1))`.

    Args:
        steps: the last step, at least 0.
        frames: how many steps to choose, at least 1.

    Returns:
        `min(frames, steps + 1)` rising steps, from 0, the network before any, to `steps`; a single
        frame is the last.

    Raises:
        ValueError: `steps` or `frames` is too small.

    >>> progress_steps(1000, 12)
    [0, 1, 3, 6, 12, 23, 44, 83, 155, 289, 538, 1000]
    >>> progress_steps(3, 100)
    [0, 1, 2, 3]
    """
    if steps < 0 or frames < 1:
        msg = f"steps must be at least 0 and frames at least 1, got steps={steps}, frames={frames}"
        raise ValueError(msg)
    if frames == 1:
        return [steps]
    frames = min(frames, steps + 1)
    chosen = [0]
    for left in range(frames - 1, 0, -1):
        now = 1 + chosen[-1]
        even = now * math.exp(math.log((1 + steps) / now) / left) - 1
        chosen.append(max(now, round(even)))
    return chosen
