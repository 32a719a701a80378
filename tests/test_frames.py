"""Folders of frames."""

import av
import numpy as np
import pytest
from PIL import Image

from coordnet._frames import dump_frames, frames_to_video


def shade(value, channels=3, side=8):
    return np.full((side, side, channels), value, np.float32)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def decode(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_frames_are_numbered_and_exact(tmp_path):
    folder = tmp_path / "new" / "frames"
    images = [shade(0.2, 1), shade(0.4, 3), shade(0.6, 4)]
    files = dump_frames(folder, images)
    assert files == [folder / "0000.png", folder / "0001.png", folder / "0002.png"]
    assert names(folder) == ["0000.png", "0001.png", "0002.png"]
    for file, mode, level in zip(files, ("L", "RGB", "RGBA"), (51, 102, 153), strict=True):
        with Image.open(file) as picture:
            assert picture.mode == mode
            assert np.unique(np.asarray(picture)).tolist() == [level]


def test_pictures_are_taken_one_by_one(tmp_path):
    def pictures():
        for index in range(3):
            assert len(names(tmp_path)) == index
            yield shade(0.5)

    assert len(dump_frames(tmp_path, pictures())) == 3


def test_another_runs_frames_are_safe(tmp_path):
    dump_frames(tmp_path, [shade(0.1)] * 5)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "12.png").write_text("not a frame")
    before = names(tmp_path)

    def never():
        raise AssertionError
        yield

    with pytest.raises(FileExistsError, match=r"5 frames of another run.*overwrite=True"):
        dump_frames(tmp_path, never())
    assert names(tmp_path) == before


def test_overwrite_leaves_frames_of_one_run(tmp_path):
    dump_frames(tmp_path, [shade(0.1)] * 5)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "12345.png").write_text("frame of a long run")
    (tmp_path / "12.png").write_text("not a frame")
    dump_frames(tmp_path, [shade(1.0)] * 2, overwrite=True)
    assert names(tmp_path) == ["0000.png", "0001.png", "12.png", "notes.txt"]


def test_a_run_that_fails_at_once_removes_nothing(tmp_path):
    dump_frames(tmp_path, [shade(0.1)] * 3)
    with pytest.raises(ValueError, match="must have shape"):
        dump_frames(tmp_path, [np.zeros((2, 2), np.float32)], overwrite=True)
    with pytest.raises(ValueError, match="no picture to write"):
        dump_frames(tmp_path, [], overwrite=True)
    assert names(tmp_path) == ["0000.png", "0001.png", "0002.png"]


def test_a_run_that_fails_later_leaves_whole_frames(tmp_path):
    with pytest.raises(ValueError, match="must have shape"):
        dump_frames(tmp_path, [shade(0.5), shade(0.5), np.zeros((2, 2), np.float32)])
    assert names(tmp_path) == ["0000.png", "0001.png"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="it is a file"):
        dump_frames(tmp_path / "file", [shade(0.5)])


def test_a_folder_becomes_a_film_in_numerical_order(tmp_path):
    for index, number in enumerate(("2", "010", "0009", "100")):
        level = {"2": 0, "0009": 80, "010": 160, "100": 240}[number]
        suffix = ".png" if index % 2 else ".JPG"
        Image.new("L", (8, 8), level).save(tmp_path / f"shot-{number}{suffix}")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "cover.png").write_text("no number")
    path = frames_to_video(tmp_path, tmp_path / "film.mp4", fps=10)
    assert path == tmp_path / "film.mp4"
    levels = [frame.mean() for frame in decode(path)]
    np.testing.assert_allclose(levels, [0, 80, 160, 240], atol=3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_of_any_mode(tmp_path, mode):
    white = 65535 if mode == "I;16" else 255
    picture = Image.new("L", (8, 8), 255).convert(mode) if mode != "I;16" else None
    picture = picture or Image.fromarray(np.full((8, 8), white, np.uint16))
    picture.save(tmp_path / "0000.png")
    (frame,) = decode(frames_to_video(tmp_path, tmp_path / "film.mp4"))
    assert frame.min() >= 253


def test_options_reach_the_film(tmp_path):
    dump_frames(tmp_path, [shade(0.5)])
    path = frames_to_video(
        tmp_path, tmp_path / "film.webp", fps=10, size=(6, 10), quality=100, scaling="nearest"
    )
    with Image.open(path) as picture:
        assert picture.size == (10, 6)


def test_folders_without_a_film_in_them(tmp_path):
    path = tmp_path / "film.mp4"
    with pytest.raises(FileNotFoundError, match="no folder"):
        frames_to_video(tmp_path / "gone", path)
    with pytest.raises(FileNotFoundError, match="holds no numbered"):
        frames_to_video(tmp_path, path)
    dump_frames(tmp_path, [shade(0.5)] * 2)
    (tmp_path / "1.png").write_bytes((tmp_path / "0001.png").read_bytes())
    with pytest.raises(ValueError, match=r"0001\.png and .*1\.png are both frame 1"):
        frames_to_video(tmp_path, path)
    assert not path.exists()


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_broken_frame_is_named(tmp_path, damage):
    noise = np.random.default_rng(0).random((64, 64, 3), np.float32)
    files = dump_frames(tmp_path, [noise] * 3)
    data = {"cut": files[1].read_bytes()[:500], "text": b"no picture", "empty": b""}[damage]
    files[1].write_bytes(data)
    with pytest.raises(ValueError, match=r"0001\.png: cannot be read as a picture"):
        frames_to_video(tmp_path, tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()
