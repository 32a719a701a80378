"""Make README.md of the JSON files, so that no figure is ever typed by hand.

    python benchmarks/readme.py [--results FOLDER] [--out FILE] [--into ../README.md] [--check]

``--into`` also puts the table of promised figures between the lines ``<!-- figures -->`` and
``<!-- /figures -->`` of another page. ``--check`` writes nothing and fails if a page is stale.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from _tables import machine_line, table
from PIL import Image

_HERE = Path(__file__).resolve().parent
_BEGIN, _END = "<!-- figures -->", "<!-- /figures -->"

_PROSE = """\
# Benchmarks

Made by `readme.py` from the JSON files in `results/`; do not edit. To measure again:

```
pip install -e ".[bench]"              # the peers; of PyTorch the CPU build is enough
apt install libfann2                   # FANN, the C library of the original experiment
python benchmarks/speed.py             # --only a,b for parts, --smoke for toy sizes
python benchmarks/quality.py
python benchmarks/trainers.py
python benchmarks/codec.py             # d, 26 megapixels, takes half an hour
python benchmarks/restore.py
python benchmarks/unjpeg.py            # twenty minutes of a core for each part
python benchmarks/readme.py
```

Pictures are looked for in the folder `COORDNET_IMAGES` (`lenna.png`, `kodak/`, `large/`,
`train_photos/`); without it the built-in portrait stands in, and rows say so by its name.
What is missing on a machine, a peer or a GPU, is a row of its table too.

How it is measured: what is compared runs in turn (A B A B ...) in one run, figures are medians,
"coordnet is faster" is the median of the ratios of each pair. Compilation is counted apart from
running. PSNR is that of the picture rounded to 8 bits. A FANN epoch is the time that the
classic C library takes for one epoch of the 3x15 network on 512x512 pixels: the yardstick of
the machine, in which times are given a second time. A device `cpu x1` is one core.
"""


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the JSON files by name; what was measured on a CPU first."""
    paths = sorted(folder.glob("*.json"), key=lambda p: ("-cpu" not in p.stem, p.stem))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def _met(figure: dict[str, Any]) -> str:
    value, sign = figure["value"], 1 if figure["better"] == "more" else -1
    if value is None:
        return "not measured"
    if sign * value >= sign * figure["aim"]:
        return "aim met"
    return "bar met" if sign * value >= sign * figure["bar"] else "**below the bar**"


def figures(results: dict[str, dict[str, Any]]) -> str:
    """Return the table of what was promised and what was measured."""
    rows = [
        {
            "what": figure["what"],
            "measured": figure["value"],
            "unit": figure["unit"],
            "bar": figure["bar"],
            "aim": figure["aim"],
            "": "smoke run" if whole["smoke"] else _met(figure),
            "on": stem.partition("-")[2],
            "date": section["date"],
        }
        for stem, whole in results.items()
        for section in whole["sections"].values()
        for figure in section["figures"]
    ]
    return table(rows) if rows else "Nothing was measured yet."


def drawings(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the sections with courses to draw, by the name of the picture."""
    return {
        f"{stem}-{name}.png": section
        for stem, whole in results.items()
        for name, section in whole["sections"].items()
        if section.get("courses")
    }


def digest(section: dict[str, Any]) -> str:
    """Return what tells a drawing of these courses from that of others."""
    return hashlib.sha256(json.dumps(section["courses"]).encode()).hexdigest()


def is_drawn(section: dict[str, Any], path: Path) -> bool:
    """Return whether a picture shows these courses."""
    if not path.exists():
        return False
    with Image.open(path) as found:
        return found.info.get("Description") == digest(section)


def draw(section: dict[str, Any], path: Path) -> None:
    """Draw PSNR against seconds, the best line first in the legend."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(figsize=(10, 5.5), layout="constrained")
    colours = plt.colormaps["tab20"]
    lines = sorted(section["courses"].items(), key=lambda line: -line[1][-1][1])
    for i, (what, points) in enumerate(lines):
        seconds, values = zip(*points, strict=True)
        label = f"{what}: {values[-1]:.1f} dB"
        axes.plot(seconds, values, label=label, color=colours(i % colours.N))
    axes.set(xscale="log", xlabel="seconds, compilation apart", ylabel="PSNR, dB")
    axes.set_title(f"{section['title']} (one seed)")
    # what lies far below the rest would flatten it
    ends = [points[-1][1] for _, points in lines]
    axes.set_ylim(bottom=min(ends) - 2)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    fig.savefig(path, dpi=100, metadata={"Description": digest(section)})
    plt.close(fig)


def page(results: dict[str, dict[str, Any]]) -> str:
    """Return the whole page."""
    parts = [_PROSE, "## What was promised\n", figures(results), ""]
    for stem, whole in results.items():
        script, _, device = stem.partition("-")
        parts.append(f"## {script.capitalize()}, {device}\n")
        if whole["smoke"]:
            parts.append("**A smoke run: toy sizes, figures mean nothing.**\n")
        line = ""
        for name, section in whole["sections"].items():
            if machine_line(section["machine"]) != line:  # parts may come from several runs
                line = machine_line(section["machine"])
                parts.append(f"{line}.\n")
            heading = f"### {name}. {section['title']} ({section['date']})"
            parts += [heading, "", *([section["note"], ""] if section["note"] else [])]
            parts += [table(section["rows"]), ""]
            if section.get("courses"):
                parts += [f"![{section['title']}: PSNR against seconds]({stem}-{name}.png)", ""]
    return "\n".join(parts)


def put_between(text: str, lines: str) -> str:
    r"""Replace what stands between the two marks.

    >>> put_between("a\n<!-- figures -->\nold\n<!-- /figures -->\nb", "new")
    'a\n<!-- figures -->\nnew\n<!-- /figures -->\nb'
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        msg = f"the page needs the lines {_BEGIN} and {_END}"
        raise ValueError(msg)
    return f"{before}{_BEGIN}\n{lines}\n{_END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make README.md of the JSON files.")
    parser.add_argument("--results", type=Path, default=_HERE / "results")
    parser.add_argument("--out", type=Path, default=_HERE / "README.md")
    parser.add_argument("--into", type=Path, help="a page with marks for the promised figures")
    parser.add_argument("--check", action="store_true", help="fail if a page is stale")
    arguments = parser.parse_args()
    results = load(arguments.results)
    pages = {arguments.out: page(results)}
    if arguments.into:
        pages[arguments.into] = put_between(arguments.into.read_text(), figures(results))
    for name, section in drawings(results).items():
        path = arguments.out.parent / name
        if not arguments.check:
            draw(section, path)
            print(f"wrote {path}")
        elif not is_drawn(section, path):
            sys.exit(f"{path} is missing or stale: run python benchmarks/readme.py")
    for path, text in pages.items():
        if not arguments.check:
            path.write_text(text)
            print(f"wrote {path}")
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path} is stale: run python benchmarks/readme.py")


if __name__ == "__main__":
    main()
