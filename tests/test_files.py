import os
import stat

import pytest

from coordnet._files import atomic_path


def test_a_new_file_appears_at_the_end_only(tmp_path):
    target = tmp_path / "a.bin"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]


def fail_half_way(target, error):
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_failed_block_changes_nothing(tmp_path, error):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(error):
        fail_half_way(target, error)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_a_failed_block_may_have_removed_the_temporary_file(tmp_path):
    def remove_and_fail():
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.unlink()
            raise KeyError

    with pytest.raises(KeyError):
        remove_and_fail()
    assert os.listdir(tmp_path) == []


def test_permissions_follow_the_umask_and_then_the_old_file(tmp_path):
    ours, opened = tmp_path / "ours", tmp_path / "opened"
    with atomic_path(ours):
        pass
    opened.write_bytes(b"")
    assert ours.stat().st_mode == opened.stat().st_mode
    ours.chmod(0o600)
    with atomic_path(ours):
        pass
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    with atomic_path(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


@pytest.mark.parametrize("name", [".hidden", "no_suffix", "n" * 250 + ".txt", "ü x.tar.gz"])
def test_odd_names(tmp_path, name):
    with atomic_path(tmp_path / name) as temporary:
        temporary.write_text("new")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_read_only(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "a.txt").chmod(0o400)
    with pytest.raises(PermissionError, match=r"a\.txt"), atomic_path(tmp_path / "a.txt"):
        pass
    assert (tmp_path / "a.txt").read_text() == "old"


def test_targets_that_cannot_be(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir(tmp_path))
    for name in ("missing/a.txt", "folder.txt", "file/a.txt", "pipe"):
        with pytest.raises(OSError, match=name), atomic_path(tmp_path / name):
            pass
    assert sorted(os.listdir(tmp_path)) == before
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
