"""The README's Python runs, in order, as a reader would type it."""

import re
from pathlib import Path

import coordnet as cn
from coordnet.codec import _compress

_ROOT = Path(__file__).parent.parent
_README = (_ROOT / "README.md").read_text()


def test_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # the same portrait, smaller: the blocks are about the calls, not about the picture's size
    small = cn.downscale_area(cn.sample_image(), (150, 128))
    monkeypatch.setattr(cn, "sample_image", lambda: small, raising=False)
    monkeypatch.setitem(_compress.EFFORTS, "fast", (40, 1))
    blocks = re.findall(r"```python\n(.*?)```", _README, re.DOTALL)
    assert len(blocks) == 8
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "weights" in said
    assert "hidden" in said
    assert "phases 0.000 apart" in said
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {
        "large.png", "face.png", "portrait.safetensors", "learning.mp4", "small-large.png",
        "small.jpg",
    }  # fmt: skip
    assert cn.read_image("large.png").shape == (300, 256, 3)
    assert cn.read_image("small-large.png").shape == (450, 384, 3)
    assert cn.read_image("face.png").shape == (480, 480, 3)


def test_ci_runs_the_test_command_of_the_readme():
    commands = re.findall(r"```sh\n(python3 .*?)\n```", _README)
    assert len(commands) == 2
    assert commands[1] in (_ROOT / ".ci" / "run").read_text().splitlines()


def test_presets_are_all_in_the_table():
    for name in cn.PRESETS:
        assert f"`{name}`" in _README, name


def test_files_that_are_linked_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", _README):
        assert (_ROOT / target).exists(), target
