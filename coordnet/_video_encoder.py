"""The kinds of film, and one encoder for all of them: 8-bit frames in, a file out.

PyAV is used directly: imageio's writer does not say which YUV matrix it used, cannot set the
quality, and ends the interpreter when H.264 gets an odd side.
"""

import contextlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import av.filter
import numpy as np
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream
from jaxtyping import UInt8


class Kind(NamedTuple):
    """What one extension means."""

    container: str
    encoder: str
    pixels: str  # the encoder's pixel format
    settings: Callable[[float], dict[str, str]] | None  # of a quality in [0, 100]; None: has none
    muxing: dict[str, str] = {}  # noqa: RUF012  a constant
    alpha: bool = False  # keeps transparency
    holds: bool = True  # stores with each frame how long it is shown
    fastest: int = 1000  # frames per second
    longest: int = 16384  # pixels a side


USUAL_QUALITY = 80


def _h264(quality: float) -> dict[str, str]:
    return {"preset": "medium", "crf": f"{51 - 0.41 * quality:.1f}"}  # 80: 18


def _vp9(quality: float) -> dict[str, str]:
    speed = {"deadline": "good", "cpu-used": "4", "row-mt": "1"}
    return {**speed, "b": "0", "crf": str(round(63 - 0.49 * quality))}  # 80: 24


def _webp(quality: float) -> dict[str, str]:
    return {"lossless": "1"} if quality == 100 else {"quality": str(quality)}


# WebP by `libwebp`, each frame whole: `libwebp_anim` stores differences, whose errors pile up when
# frames change slowly: 24 dB where whole frames of that quality have 37 dB in 1.35 times the bytes.
# FFmpeg's WebP muxer lays each frame over the one before, so transparent films would be wrong.
_APNG = Kind("apng", "apng", "rgb24", None, {"plays": "0"}, alpha=True, longest=65535)
KINDS = {
    ".mp4": Kind("mp4", "libx264", "yuv420p", _h264, {"movflags": "faststart"}, holds=False),
    ".webm": Kind("webm", "libvpx-vp9", "yuv420p", _vp9, holds=False),
    ".gif": Kind("gif", "gif", "pal8", None, {"loop": "0"}, fastest=50, longest=65535),
    ".webp": Kind("webp", "libwebp", "bgra", _webp, {"loop": "0"}, longest=16383),
    ".apng": _APNG,
    ".png": _APNG,
}


def find_kind(path: Path) -> Kind:
    """Look up what the extension of `path` means, and that this machine can write it.

    Raises:
        ValueError: the extension is unknown, or PyAV comes without the encoder that it needs.

    >>> find_kind(Path("film.MP4")).encoder
    'libx264'
    >>> find_kind(Path("film.avi"))
    Traceback (most recent call last):
    ValueError: cannot film to film.avi: ... one of .mp4, .webm, .gif, .webp, .apng, .png
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        msg = (
            f"cannot film to {path}: the extension {path.suffix or '(none)'} is not known; "
            f"use one of {', '.join(KINDS)}"
        )
        raise ValueError(msg)
    if not _has_encoder(kind.encoder):
        others = [extension for extension, other in KINDS.items() if _has_encoder(other.encoder)]
        msg = (
            f"cannot film to {path}: this PyAV has no encoder {kind.encoder}; "
            f"use one of {', '.join(others) or '(none)'}, or install PyAV from PyPI"
        )
        raise ValueError(msg)
    return kind


def _has_encoder(name: str) -> bool:
    try:
        av.Codec(name, "w")
    except ValueError:  # av.codec.codec.UnknownCodecError
        return False
    return True


class Encoder:
    """Writes frames of one size to one file, as they come.

    Args:
        path: the file to write; it exists or can be created.
        kind: of `KINDS`.
        shape: (height, width, channels) of every frame: 3 channels, or 4 if the kind has alpha.
        fps: frames per second.
        quality: in [0, 100]; no matter where the kind has no setting.

    Raises:
        av.error.FFmpegError: from each method; what it has written is worthless after it.
    """

    def __init__(
        self, path: Path, kind: Kind, shape: tuple[int, int, int], fps: Fraction, quality: float
    ):
        height, width, channels = shape
        self._kind, self._tick, self._now = kind, 1 / fps, 0
        self._layout = "rgba" if channels == 4 else "rgb24"
        self._container: OutputContainer = av.open(
            str(path), "w", format=kind.container, options=kind.muxing
        )
        settings = kind.settings(quality) if kind.settings else {}
        stream = self._container.add_stream(kind.encoder, rate=fps, options=settings)
        assert isinstance(stream, VideoStream)
        self._stream = stream
        stream.pix_fmt = self._layout if kind.container == "apng" else kind.pixels
        if kind.pixels == "yuv420p":
            width, height = width + width % 2, height + height % 2
            _tag_colours(stream)
        stream.width, stream.height = width, height
        stream.codec_context.time_base = self._tick
        self._palette = _palette_graph(width, height, self._tick) if kind.pixels == "pal8" else None

    def write(self, frame: UInt8[np.ndarray, "h w c"], repeat: int = 1) -> None:
        """Append a frame that is shown for `repeat` ticks."""
        prepared = self._prepare(frame)
        for ticks in _holds(repeat) if self._kind.holds else [1] * repeat:
            prepared.pts, prepared.time_base = self._now, self._tick
            self._container.mux(self._stream.encode(prepared))
            self._now += ticks

    def finish(self) -> None:
        """Write what the encoder still holds and close the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close the file, whatever state it is in."""
        with contextlib.suppress(av.error.FFmpegError):  # it is about to be removed
            self._container.close()

    def _prepare(self, frame: UInt8[np.ndarray, "h w c"]) -> av.VideoFrame:
        """Convert to the encoder's pixel format."""
        if self._kind.pixels == "yuv420p":
            height, width, _ = frame.shape
            frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=self._layout)
        if self._kind.pixels == "yuv420p":
            return _to_bt709(picture)
        if self._kind.pixels == "bgra":
            return picture.reformat(format="bgra")
        if self._palette is not None:
            picture.pts, picture.time_base = self._now, self._tick
            self._palette.push(picture)
            quantized = self._palette.pull()
            assert isinstance(quantized, av.VideoFrame)
            return quantized
        return picture


def _holds(repeat: int) -> list[int]:
    """Split a hold into stored frames: a long one, and two short ones behind it.

    The muxers show the film's last frame as long as the one before it; these two are alike.

    >>> _holds(1), _holds(2), _holds(50)
    ([1], [1, 1], [48, 1, 1])
    """
    return [1] * repeat if repeat < 3 else [repeat - 2, 1, 1]


def _to_bt709(picture: av.VideoFrame) -> av.VideoFrame:
    return picture.reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_trc=ColorTrc.IEC61966_2_1,
        dst_color_primaries=ColorPrimaries.BT709,
        interpolation=Interpolation.AREA
        | Interpolation.ACCURATE_RND
        | Interpolation.FULL_CHR_H_INP,
    )


def _tag_colours(stream: VideoStream) -> None:
    """Say in the file what `_to_bt709` did: players guess BT.601 for small pictures otherwise."""
    context = stream.codec_context
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU709
    context.color_trc = ColorTrc.IEC61966_2_1  # sRGB
    context.color_primaries = ColorPrimaries.BT709


def _palette_graph(width: int, height: int, tick: Fraction) -> av.filter.Graph:
    """Build the filter that gives each frame 255 colours of its own and dithers it lightly.

    One palette for all frames would need them all at once, and a film of learning starts grey.
    Bayer scale 5, of 0 to 5, breaks the bands of smooth frames for 9 % more bytes.
    """
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("rgb24", width, height), time_base=tick
    )
    split = graph.add("split")
    colours = graph.add("palettegen", "stats_mode=single")
    dither = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=5")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(colours, 0, 0)
    split.link_to(dither, 1, 0)
    colours.link_to(dither, 0, 1)
    dither.link_to(sink)
    graph.configure()
    return graph
