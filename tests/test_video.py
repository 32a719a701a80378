"""Films are whole, right in colour and time, or a clear error."""

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction

import av
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from PIL import Image, ImageSequence

from coordnet import _video_encoder
from coordnet._caption import add_caption
from coordnet._video import Film, checked_size, progress_steps
from coordnet._video_encoder import KINDS

EXTENSIONS = list(KINDS)
VIDEOS = [".mp4", ".webm"]
PICTURES = [".gif", ".webp", ".apng", ".png"]
COLOURS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (0.8, 0.1, 0.3)]


def plain(colour, height=32, width=48):
    return np.full((height, width, len(colour)), colour, np.float32)


def waves(height, width, phase=0.0):
    """A smooth picture of many colours."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    image = [np.sin(7 * x + 3 * y + phase), np.sin(5 * y - 4 * x), np.cos(6 * x * y + phase)]
    return (0.5 + 0.45 * np.stack(image, axis=-1)).astype(np.float32)


def decode(path, alpha=False):
    """Frames, uint8 (height, width, 3 or, with alpha, 4), and for how many seconds each stands."""
    if path.suffix in VIDEOS:
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            rate = container.streams.video[0].average_rate or 0
        # PyAV converts with the matrix that the file names.
        return [frame.to_ndarray(format="rgb24") for frame in frames], [float(1 / rate)] * len(
            frames
        )
    frames, seconds = [], []
    with Image.open(path) as film:
        for picture in ImageSequence.Iterator(film):
            frames.append(np.asarray(picture.convert("RGBA" if alpha else "RGB")))
            seconds.append(picture.info.get("duration", 0) / 1000)
    return frames, seconds


def write(path, images, **options):
    with Film(path, **options) as film:
        for image in images:
            film.add(image)
    return decode(path)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (17, 33), (64, 48)])
@pytest.mark.parametrize("count", [1, 4])
def test_any_size_and_count(tmp_path, extension, shape, count):
    path = tmp_path / f"film{extension}"
    frames, _ = write(path, [waves(*shape, phase=phase) for phase in range(count)])
    assert len(frames) == count
    even = extension in VIDEOS
    assert frames[0].shape[:2] == tuple(side + (side % 2 if even else 0) for side in shape)
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_colours(tmp_path, extension):
    frames, _ = write(tmp_path / f"film{extension}", [plain(colour) for colour in COLOURS])
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert np.abs(frame - 255 * np.array(colour)).max() <= 5


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_pictures_survive(tmp_path, extension):
    images = [waves(96, 128, phase / 4) for phase in range(8)]
    frames, _ = write(tmp_path / f"film{extension}", images)
    errors = [frame / 255 - image for frame, image in zip(frames, images, strict=True)]
    psnr = [-10 * np.log10(np.mean(error**2)) for error in errors]
    assert min(psnr) > {".gif": 28, ".apng": 50, ".png": 50}.get(extension, 36)


def test_the_padding_repeats_the_edge(tmp_path):
    frames, _ = write(tmp_path / "film.mp4", [waves(63, 65)])
    assert np.abs(frames[0][63].astype(int) - frames[0][62]).max() <= 8
    assert np.abs(frames[0][:, 65].astype(int) - frames[0][:, 64]).max() <= 8


@pytest.mark.parametrize("fps", [1, 12.5, 29.97, Fraction(30000, 1001), 50])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_speed(tmp_path, extension, fps):
    images = [plain(colour) for colour in COLOURS]
    _, seconds = write(tmp_path / f"film{extension}", images, fps=fps)
    tick = 0.01 if extension == ".gif" else 0.002
    np.testing.assert_allclose(np.array(seconds), float(1 / Fraction(fps)), atol=tick)
    np.testing.assert_allclose(float(sum(seconds)), len(COLOURS) / float(fps), atol=1.5 * tick)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("repeat", [2, 3, 40])
def test_repeat(tmp_path, extension, repeat):
    path = tmp_path / f"film{extension}"
    with Film(path, fps=20) as film:
        film.add(waves(32, 32, 0), repeat=repeat)
        film.add(waves(32, 32, 1))
        film.add(waves(32, 32, 2), repeat=repeat)
    frames, seconds = decode(path)
    assert film.frames == 2 * repeat + 1
    assert film.seconds == pytest.approx(float(sum(seconds)), abs=1e-6)
    assert len(frames) == (film.frames if extension in VIDEOS else 2 * min(repeat, 3) + 1)
    for bad in (0, -1, 20 * 600 + 1):
        with (
            pytest.raises(ValueError, match="repeat must be 1 to 12000"),
            Film(path, fps=20) as film,
        ):
            film.add(waves(32, 32), repeat=bad)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
def test_mp4_plays_everywhere(tmp_path):
    path = tmp_path / "film.mp4"
    write(path, [waves(97, 131, phase) for phase in range(5)], fps=30)
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[
        "streams"
    ]
    expected = {
        "codec_name": "h264",
        "codec_tag_string": "avc1",
        "pix_fmt": "yuv420p",
        "profile": "High",
        "color_range": "tv",
        "color_space": "bt709",
        "color_primaries": "bt709",
        "color_transfer": "iec61966-2-1",
        "width": 132,
        "height": 98,
        "avg_frame_rate": "30/1",
        "nb_frames": "5",
    }
    assert {key: stream[key] for key in expected} == expected
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("extension", PICTURES)
def test_pictures_loop_for_ever(tmp_path, extension):
    path = tmp_path / f"film{extension}"
    write(path, [plain(COLOURS[0]), plain(COLOURS[1])])
    with Image.open(path) as picture:
        assert picture.info["loop"] == 0


def test_grey_and_alpha(tmp_path):
    grey, clear, half = plain((0.5,)), plain((1, 0, 0, 0)), plain((1, 0, 0, 0.5))
    for extension in EXTENSIONS:
        path = tmp_path / f"film{extension}"
        frames, _ = write(path, [grey, clear, half])
        expected = [(128, 128, 128), (255, 255, 255), (255, 127, 127)]
        for frame, colour in zip(frames, expected, strict=True):
            assert np.abs(frame - np.array(colour)).max() <= 5, extension
    for extension in [".apng", ".png"]:
        path = tmp_path / f"film{extension}"
        write(path, [half, clear, plain((0, 0, 1)), clear])
        pixels = [tuple(frame[0, 0].tolist()) for frame in decode(path, alpha=True)[0]]
        assert pixels == [(255, 0, 0, 128), (255, 0, 0, 0), (0, 0, 255, 255), (255, 0, 0, 0)]


def test_size_and_scaling(tmp_path):
    path = tmp_path / "film.apng"
    blocks = np.array([[[0, 0, 0], [1, 1, 1]]], np.float32)
    sharp, _ = write(path, [blocks], size=(4, 8), scaling="nearest")
    assert sharp[0][2, :, 0].tolist() == [0] * 4 + [255] * 4
    smooth, _ = write(path, [blocks], size=4)
    assert smooth[0].shape == (4, 8, 3)
    assert len(set(smooth[0][2, :, 0].tolist())) > 2
    later, _ = write(path, [plain((1, 0, 0), 20, 40), plain((0, 1, 0), 40, 40)])
    assert later[1].shape == (20, 40, 3)
    assert later[1][:, 10:30].reshape(-1, 3).min(0).tolist() == [0, 255, 0]  # fits into it
    assert later[1][:, :10].max() == 0  # between bars


@pytest.mark.parametrize("size", [np.int64(20), [20, 30], (np.int32(20), np.uint8(30))])
def test_sizes_of_other_kinds(tmp_path, size):
    frames, _ = write(tmp_path / "film.gif", [plain((1, 0, 0), 40, 60)], size=size)
    assert frames[0].shape == (20, 30, 3)


@pytest.mark.parametrize("size", [20.5, "20", (20,), [20, 30, 3], np.array([20, 30]), [2.5, 3], ()])
def test_what_is_no_size(size):
    with pytest.raises(ValueError, match=r"size must be a height or .height, width., whole"):
        checked_size(size)


def test_quality(tmp_path):
    images = [waves(128, 128, phase / 3) for phase in range(4)]
    for extension in [".mp4", ".webm", ".webp"]:
        sizes = []
        for quality in (0, 50, None, 100):
            path = tmp_path / f"film{extension}"
            write(path, images, quality=quality)
            sizes.append(path.stat().st_size)
        assert sizes == sorted(sizes)
    frames, _ = write(tmp_path / "film.webp", images, quality=100)  # lossless
    np.testing.assert_array_equal(frames[1], np.rint(images[1] * 255))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("film.avi", {}, r"film\.avi.*\.avi is not known; use one of \.mp4, \.webm"),
        ("film", {}, r"extension \(none\)"),
        ("film.mp4", {"fps": 0}, "fps must be"),
        ("film.mp4", {"fps": float("nan")}, "fps must be"),
        ("film.gif", {"fps": 60}, r"fps must be 0\.1 to 50 for \.gif"),
        ("film.mp4", {"size": (0, 4)}, "size must be"),
        ("film.mp4", {"size": 0}, "size must be"),
        ("film.mp4", {"quality": 101}, "quality must be 0 to 100"),
        ("film.gif", {"quality": 50}, "has no such setting"),
    ],
)
def test_bad_arguments(tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        Film(tmp_path / name, **options)


def test_bad_frames_spoil_nothing(tmp_path):
    path = tmp_path / "film.mp4"
    with Film(path) as film:
        film.add(plain(COLOURS[0]))
        with pytest.raises(
            ValueError, match=r"\(32, 48\); a grey picture is image\[\.\.\., None\]"
        ):
            film.add(np.zeros((32, 48), np.float32))
        with pytest.raises(ValueError, match="got \\(0, "):
            film.add(np.zeros((0, 48, 3), np.float32))
        with pytest.raises(TypeError, match="uint8; divide bytes by 255"):
            film.add(np.zeros((32, 48, 3), np.uint8))
        with pytest.raises(ValueError, match="finite"):
            film.add(np.full((32, 48, 3), np.nan, np.float32))
        film.add(plain(COLOURS[1]))
    assert len(decode(path)[0]) == 2


@pytest.mark.parametrize("extension", [".mp4", ".webp"])
def test_too_large(tmp_path, extension):
    with (
        pytest.raises(ValueError, match=r"at most 1638[34] pixels"),
        Film(tmp_path / f"film{extension}") as film,
    ):
        film.add(np.zeros((1, 16386, 3), np.float32))
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_failed_block_leaves_the_old_film(tmp_path, extension, error):
    path = tmp_path / f"film{extension}"
    path.write_bytes(b"old")

    def fail():
        with Film(path) as film:
            film.add(waves(32, 32))
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [path.name]


def test_no_frames(tmp_path):
    with pytest.raises(ValueError, match="no frame was added"), Film(tmp_path / "film.mp4"):
        pass
    assert names(tmp_path) == []


def test_misuse(tmp_path):
    film = Film(tmp_path / "film.mp4")
    with pytest.raises(RuntimeError, match="call add inside `with Film"):
        film.add(plain(COLOURS[0]))
    with film:
        film.add(plain(COLOURS[0]))
    with pytest.raises(RuntimeError, match="is not open"):
        film.add(plain(COLOURS[0]))
    with pytest.raises(RuntimeError, match="written once"), film:
        pass


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        Film(tmp_path / "gone" / "film.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        Film(tmp_path / "folder.mp4")


def test_paths_are_refused_before_the_first_frame(tmp_path, monkeypatch):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    # A super-user may write everywhere, so the answer of the system is acted.
    monkeypatch.setattr(os, "access", lambda asked, mode: str(asked) != str(path))
    with pytest.raises(PermissionError, match=r"film\.mp4: the file is read-only"):
        Film(path)
    monkeypatch.setattr(os, "access", lambda asked, mode: str(asked) != str(tmp_path))
    with pytest.raises(PermissionError, match="no permission to write in the folder"):
        Film(tmp_path / "other.mp4")
    with pytest.raises(OSError, match="too long"):
        Film(tmp_path / ("x" * 300 + ".mp4"))
    (tmp_path / "pipe.gif").symlink_to(os.devnull)
    with pytest.raises(OSError, match="device or a pipe"):
        Film(tmp_path / "pipe.gif")


def test_a_missing_encoder(tmp_path, monkeypatch):
    lacking = KINDS[".mp4"]._replace(encoder="libnothing")
    monkeypatch.setitem(_video_encoder.KINDS, ".mp4", lacking)
    with pytest.raises(
        ValueError, match=r"no encoder libnothing; use one of \.webm, \.gif, \.webp"
    ):
        Film(tmp_path / "film.mp4")


FULL = """
import resource, sys
import numpy as np
from coordnet._video import Film
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
noise = np.random.default_rng(0)
try:
    with Film(sys.argv[1]) as film:
        for _ in range(20):
            film.add(noise.random((128, 128, 3), np.float32))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit to set")
@pytest.mark.parametrize("extension", [".mp4", ".webm", ".gif", ".webp", ".apng"])
def test_a_full_disk(tmp_path, extension):
    path = tmp_path / f"film{extension}"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "could not write frame" in done.stdout
    assert path.name in done.stdout
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [path.name]


def test_a_frame_cut_off_spoils_the_film(tmp_path, monkeypatch):
    path = tmp_path / "film.mp4"

    def interrupted(*_):
        raise KeyboardInterrupt

    def film_and_go_on():
        with Film(path) as film:
            film.add(plain(COLOURS[0]))
            monkeypatch.setattr(_video_encoder.Encoder, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                film.add(plain(COLOURS[0]))

    with pytest.raises(OSError, match="cut off before"):
        film_and_go_on()
    assert names(tmp_path) == []


@pytest.mark.parametrize("background", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(100, 100), (75, 100), (360, 640)])
def test_captions_are_readable(background, channels, shape):
    image = np.full((*shape, channels), background, np.float32)
    captioned = add_caption(image, "step 2000   31.4 dB")
    assert captioned.shape == image.shape
    top = shape[0] * 3 // 4
    np.testing.assert_allclose(captioned[:top], image[:top], atol=1 / 255)
    strip = captioned[-8:, :, 0]
    assert strip.max() - strip.min() > 0.5


def test_captions_of_any_length():
    image = np.full((200, 200, 3), 0.5, np.float32)
    np.testing.assert_allclose(add_caption(image, " "), image, atol=1 / 255)
    for text in ("two\nlines", "word " * 40, "x" * 300, "µ → 日本"):
        assert np.abs(add_caption(image, text) - image).max() > 0.3
    for side in (1, 2, 9):  # too small to hold one
        image = np.full((side, side, 3), 0.5, np.float32)
        np.testing.assert_allclose(add_caption(image, "31 dB"), image, atol=1 / 255)


def test_a_film_draws_its_captions(tmp_path):
    image = plain((1, 1, 1), 100, 100)
    with Film(tmp_path / "film.apng") as film:
        film.add(image, caption="31.4 dB")
        film.add(image)
    with_caption, without = decode(film.path)[0]
    assert with_caption[-5:].min() < 128
    assert without.min() == 255


@hypothesis.given(st.integers(0, 10**6), st.integers(1, 400))
def test_progress_steps(steps, frames):
    chosen = progress_steps(steps, frames)
    assert len(chosen) == min(frames, steps + 1)
    assert chosen[-1] == steps
    assert chosen[0] == (0 if frames > 1 else steps)
    gaps = np.diff(chosen)
    assert (gaps >= 1).all()
    assert (np.diff(gaps) >= -2).all()  # the stride grows, up to rounding


@hypothesis.given(st.integers(0, 10**6), st.integers(2, 400))
def test_progress_steps_are_even_in_log_time(steps, frames):
    logs = np.log1p(progress_steps(steps, frames))
    coarse = np.exp(logs[:-1]) > 50  # where a rounded step is within 1 %
    strides = np.diff(logs)[coarse]
    if len(strides):
        assert strides.max() - strides.min() < 0.03


@pytest.mark.parametrize(("steps", "frames"), [(-1, 5), (5, 0)])
def test_progress_steps_refuses(steps, frames):
    with pytest.raises(ValueError, match="steps must be at least 0 and frames at least 1"):
        progress_steps(steps, frames)
