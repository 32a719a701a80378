"""The command ``coordnet``: its exit codes and what it prints.

What it may be asked is in ``_options``, what the commands do in ``_commands``. The latter is
imported when one runs, so that ``--help`` and a shell's completion are instant.
"""

import dis
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from ._options import parse


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0, 2 for a user's error, 130 for Ctrl-C.

    >>> main(["info", "absent.png", "--quiet"])
    2
    """
    code, answer = _run(sys.argv[1:] if argv is None else argv)
    try:
        if answer:
            print(answer)
        sys.stdout.flush()  # here, where an error can be told, and not when Python ends
    except OSError as error:
        # what is left in the buffer must not be tried again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # `| head` has seen enough: that is no error
            print(f"coordnet: stdout: {error.strerror or error}", file=sys.stderr)
            return 2
    return code


def _run(argv: Sequence[str]) -> tuple[int, str]:
    """Do what is asked; return the exit code and what to print, help and version apart."""
    try:
        options = parse(argv)
    except SystemExit as end:  # --help, --version, a wrong option
        return int(end.code or 0), ""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _say_warning
            from . import _commands

            outcome = getattr(_commands, f"run_{options.command}")(options)
    except KeyboardInterrupt:
        print("coordnet: interrupted", file=sys.stderr)
        return 130, ""
    except Exception as error:  # a user's own is one line; all others are bugs, and raised
        if not _is_users(error):
            raise
        print(f"coordnet {options.command}: {_one_line(error)}", file=sys.stderr)
        return 2, ""
    code = 130 if outcome.interrupted else 0
    if options.json:
        return code, json.dumps(_plain(outcome.record), allow_nan=False)
    return code, "" if options.quiet else outcome.line


def _is_users(error: Exception) -> bool:
    """Return whether an error is about what the user asked for, and not a bug of ours.

    The library raises errors of its own for bad input; what comes out of JAX, NumPy or an
    operation is something that it failed to check, and keeps its traceback.
    """
    if isinstance(error, OSError):
        return True
    if not isinstance(error, (ValueError, TypeError, FloatingPointError)):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    module = trace.tb_frame.f_globals.get("__name__", "")
    # what C code raises has no frame of its own: tell a `raise` of ours from a call that failed
    raised = trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and module.split(".")[0] == __package__


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"coordnet: {' '.join(str(message).split())}", file=sys.stderr)


def _plain(value: Any) -> Any:
    """Return what JSON can hold: it has no infinite numbers."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
