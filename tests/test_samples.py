import subprocess
import sys

import numpy as np
import pytest

from coordnet._samples import images_folder, sample_image


def test_the_built_in_picture():
    image = sample_image()
    assert image.shape == (600, 512, 3)
    assert image.dtype == np.float32
    assert 0 <= image.min() < 0.05
    assert 0.9 < image.max() <= 1


def test_the_built_in_picture_needs_no_heavy_import():
    code = (
        "import sys; from coordnet._samples import sample_image; sample_image();"
        "print([name for name in ('jax', 'matplotlib', 'av') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_variable_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COORDNET_IMAGES", str(tmp_path))
    assert images_folder() == tmp_path


def test_a_wrong_variable_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("COORDNET_IMAGES", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        images_folder()


def test_the_folder_beside_the_current_one(monkeypatch, tmp_path):
    monkeypatch.delenv("COORDNET_IMAGES", raising=False)
    (tmp_path / "shared" / "images").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert images_folder() == tmp_path / "shared" / "images"


def test_no_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("COORDNET_IMAGES", raising=False)
    monkeypatch.setattr("coordnet._samples._REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert images_folder() is None
