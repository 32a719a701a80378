"""Writing a file so that it is either whole or not there, and what to raise of a broken one.

Everything this library writes goes first to a temporary file beside its target and takes the
target's name at the end in one step, so that no reader ever meets half a file and a failed run
leaves what was there before.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


class FormatError(ValueError):
    """A file that is not what it should be: another kind, broken, or from the future.

    >>> raise FormatError("a.safetensors: no network")
    Traceback (most recent call last):
    coordnet._files.FormatError: a.safetensors: no network
    """


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary path beside `path`; it becomes `path` when the block ends well.

    The temporary file exists, is empty, and has the extension of `path`, because many writers
    choose the format by it. If the block raises, Ctrl-C included, the temporary file is removed
    and `path` stays as it was. A symbolic link is followed: the file it points to is replaced.
    A process killed outright can leave a hidden `.name-xxxxxxxx.ext`, never half a `path`.

    Args:
        path: the file to write; its folder must exist. An existing file is replaced, keeping its
            permissions.

    Yields:
        The path to write to, in the same folder and with the same extension.

    Raises:
        FileNotFoundError: the folder does not exist.
        NotADirectoryError: the "folder" is a file.
        IsADirectoryError: `path` is a folder.
        OSError: `path` is a device or a pipe, is read-only, or the folder cannot be written to.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "note.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    ...     (folder / "note.txt").exists(), temporary.suffix
    (False, '.txt')
    >>> [file.name for file in folder.iterdir()]
    ['note.txt']
    """
    target = check_target(path)
    temporary = _create_beside(target, os.fspath(path))
    try:
        yield temporary
        if target.exists():
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:  # Ctrl-C too must leave nothing half-written
        temporary.unlink(missing_ok=True)
        raise


def check_target(path: str | os.PathLike[str]) -> Path:
    """Refuse a path that cannot be written, before the work that would fill it.

    Args:
        path: the file to be written later; nothing is created or changed.

    Returns:
        The absolute path with symbolic links followed.

    Raises:
        OSError: as `atomic_path` does, each with the path in its message.

    >>> check_target("no/such/folder/film.mp4")
    Traceback (most recent call last):
    FileNotFoundError: cannot write no/such/folder/film.mp4: ...
    """
    shown, target = os.fspath(path), Path(os.path.realpath(path))
    try:
        os.stat(target)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:  # a name too long, a loop of links, a closed folder on the way
        msg = f"cannot write {shown}: {error.strerror}; choose another name"
        raise type(error)(msg) from error
    if target.is_dir():
        msg = f"cannot write {shown}: it is a folder; give the name of a file in it"
        raise IsADirectoryError(msg)
    if target.parent.exists() and not target.parent.is_dir():
        msg = f"cannot write {shown}: {target.parent} is a file, not a folder"
        raise NotADirectoryError(msg)
    if not target.parent.exists():
        msg = f"cannot write {shown}: the folder {target.parent} does not exist; create it first"
        raise FileNotFoundError(msg)
    if target.exists() and not target.is_file():  # replacing /dev/null would harm the machine
        msg = f"cannot write {shown}: it is a device or a pipe; give the name of a regular file"
        raise OSError(msg)
    # A rename needs leave for the folder alone, yet whoever made a file read-only meant it.
    if target.exists() and not os.access(target, os.W_OK):
        msg = (
            f"cannot write {shown}: the file is read-only; make it writable or choose another name"
        )
        raise PermissionError(msg)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        msg = f"cannot write {shown}: no permission to write in the folder {target.parent}"
        raise PermissionError(msg)
    return target


def _create_beside(target: Path, shown: str) -> Path:
    # The name is cut, so that a target at the file system's limit of 255 bytes still fits.
    name = f".{target.stem[:40]}-{secrets.token_hex(4)}{target.suffix}"
    temporary = target.with_name(name)
    try:
        # Not `tempfile`: its files are private to the user, these should obey the umask.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        msg = f"cannot write {shown}: {error.strerror}; choose a folder that can be written to"
        raise type(error)(msg) from error
    return temporary
