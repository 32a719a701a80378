"""Tables of functions by name, and calls of them written as text: ``"sine(omega=30)"``."""

import ast
import difflib
import inspect
from collections import UserDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import jax

_LARGEST = 1e30  # of a number: float32 holds it with room for products
_LONGEST = 2_000  # characters of a call: a file's header must not keep the parser busy

T = TypeVar("T")


class Table(UserDict[str, Callable[..., T]]):
    """Functions by name, to which a user adds.

    A description calls an entry by its name alone, so a name that is given another function
    (a notebook's cell run again) makes what was compiled with the old one wrong: it is
    forgotten.

    >>> table = Table({"one": lambda: 1})
    >>> table["two"] = lambda: 2
    >>> sorted(table), table.changes
    (['one', 'two'], 1)
    """

    def __init__(self, entries: Mapping[str, Callable[..., T]]):
        self.changes = 0
        self._known = dict(entries)
        super().__init__(entries)
        self.changes = 0

    def __setitem__(self, name: str, entry: Callable[..., T]) -> None:
        if self._known.setdefault(name, entry) is not entry:
            self._known[name] = entry
            jax.clear_caches()
        self.changes += 1
        super().__setitem__(name, entry)

    def __delitem__(self, name: str) -> None:
        self.changes += 1
        super().__delitem__(name)


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``"name(key=value, ...)"`` into its name and its literal keyword values.

    Raises:
        ValueError: The text is not a name or a call of one with literal keywords.

    >>> parse_call("sine(omega=30.0)"), parse_call("relu")
    (('sine', {'omega': 30.0}), ('relu', {}))
    """
    try:
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise ValueError
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            values = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
            # **mapping has no name; a name that comes twice would lose its first value
            if "None" not in values and len(values) == len(node.keywords):
                return node.func.id, values
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    shown = repr(text)
    shown = shown if len(shown) < 200 else shown[:200] + "..."
    msg = f"{shown} is not a name or a call with values by name, such as 'name(width=3)'"
    raise ValueError(msg)


def unknown(what: str, name: Any, known: Iterable[str]) -> str:
    """Return what to say of a name that is not among those known.

    >>> unknown("activation", "sin", ["sine", "tanh"])
    "activation 'sin' is unknown; did you mean 'sine'? known are sine, tanh"
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1) if isinstance(name, str) else []
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{what} {name!r} is unknown; {hint}known are {', '.join(known)}"


def from_table(table: Mapping[str, Callable[..., Any]], text: str, what: str, *args: Any) -> Any:
    """Build the entry of ``table`` that ``text`` calls; ``what`` names the table in errors."""
    name, options = parse_call(text)
    if name not in table:
        raise ValueError(unknown(what, name, sorted(table)))
    parameters = list(inspect.signature(table[name]).parameters.values())[len(args) :]
    known = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    if len(known) == len(parameters):
        for option in options:
            if option not in known:
                msg = unknown(f"{what} {text!r} does not fit: option", option, known or ["none"])
                raise ValueError(msg)
    try:
        _check_numbers(table[name], options)
        return table[name](*args, **options)
    except (TypeError, ArithmeticError) as error:
        msg = f"{what} {text!r} does not fit: {error}"
        raise ValueError(msg) from error


def _check_numbers(entry: Callable[..., Any], options: dict[str, Any]) -> None:
    """Raise TypeError where an option that is annotated as a number is given something else."""
    parameters = inspect.signature(entry).parameters
    for name, value in options.items():
        kind = parameters[name].annotation if name in parameters else None
        if kind in (int, "int") and not (isinstance(value, int) and not isinstance(value, bool)):
            msg = f"{name} must be a whole number, got {value!r}"
            raise TypeError(msg)
        if kind in (float, "float") and not (
            isinstance(value, int | float) and abs(value) <= _LARGEST
        ):
            msg = f"{name} must be a finite number, got {value!r}"
            raise TypeError(msg)


def check_positive(**numbers: float) -> None:
    """Raise ValueError where a number is not above 0, or is infinite; TypeError if it is none.

    >>> check_positive(omega=30)
    """
    for name, value in numbers.items():
        if not hasattr(value, "__float__"):
            msg = f"{name} must be a number above 0, got {value!r}"
            raise TypeError(msg)
        if not 0 < value < float("inf"):
            msg = f"{name} must be above 0, got {value!r}"
            raise ValueError(msg)
