"""Tables of the benchmark scripts, without JAX: what ``readme.py`` needs."""

from typing import Any

Row = dict[str, Any]


def machine_line(m: dict[str, Any]) -> str:
    """Return the line that stands above every table.

    >>> machine_line({"processor": "P", "cores": 2, "memory_gib": 8, "device": "cpu: cpu",
    ...     "python": "3.11", "versions": {"jax": "0.10", "torch": None},
    ...     "fann_epoch_seconds": None})
    'P, 2 cores, 8 GiB; device cpu: cpu; Python 3.11, jax 0.10; FANN is not installed: no yardstick'
    """
    versions = ", ".join(f"{k} {v}" for k, v in m["versions"].items() if v)
    epoch = m["fann_epoch_seconds"]
    stick = f"FANN epoch {epoch:.3g} s" if epoch else "FANN is not installed: no yardstick"
    return (
        f"{m['processor']}, {m['cores']} cores, {m['memory_gib']} GiB; device {m['device']}; "
        f"Python {m['python']}, {versions}; {stick}"
    )


def rounded(value: Any) -> Any:
    """Round a figure to four digits: more is noise, and makes diffs of it."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return (
            f"{value:.0f}"
            if abs(value) >= 1000
            else f"{value:.3g}"
            if abs(value) < 10
            else f"{value:.1f}"
        )
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows: list[Row]) -> str:
    """Lay rows out as a Markdown table, aligned; a column for every key that occurs.

    >>> print(table([{"what": "a", "s": 1.0}, {"what": "b", "dB": 30.25}]))
    | what | s | dB   |
    | ---- | - | ---- |
    | a    | 1 | -    |
    | b    | - | 30.2 |
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names, *([cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    cells.insert(1, ["-" * w for w in widths])
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in cells
    )
