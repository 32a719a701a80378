"""What a command answers, and the checks that commands share."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any, NamedTuple

from ._files import check_target


class Outcome(NamedTuple):
    """A line for people, a record for machines, and whether Ctrl-C ended the work."""

    line: str
    record: dict[str, Any]
    interrupted: bool = False


def output_of(options: Namespace, name: str) -> Path:
    """Return where to write: what was named, or ``name`` here if nothing has that name."""
    path = Path(name if options.output is None else options.output)
    if options.output is None and path.exists() and not options.force:
        msg = f"{path} exists; name the file with -o, or pass --force to replace it"
        raise FileExistsError(msg)
    check_target(path)
    return path


def check_distinct(read: dict[str, Any], written: dict[str, Any]) -> None:
    """Refuse to write two things to one file, or to one that is read; the names say which."""
    names = {os.path.realpath(path): name for name, path in read.items() if path is not None}
    for name, path in written.items():
        other = name if path is None else names.setdefault(os.path.realpath(path), name)
        if other != name:
            msg = f"{other} and {name} are the same file, {path}; give each its own name"
            raise ValueError(msg)


def written(output: Path, size: tuple[int, int] | None = None) -> Outcome:
    from ._page import size_text

    count = output.stat().st_size
    record: dict[str, Any] = {"file": output, "bytes": count}
    line = f"{output}  {size_text(count)}"
    if size is not None:
        record["size"] = size[::-1]
        line += f"  {size[1]}x{size[0]}"
    return Outcome(line, record)
