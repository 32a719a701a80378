"""Parts of a self-contained HTML page: pictures, films, tables and a curve, as strings."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from ._pillow import to_pillow

_FILMS = {".mp4": "video/mp4", ".webm": "video/webm"}
_MOVING_PICTURES = {
    ".gif": "image/gif", ".webp": "image/webp", ".apng": "image/apng", ".png": "image/apng",
}  # fmt: skip

_STYLE = """
:root { color-scheme: light dark; --ground: #f7f6f3; --card: #fff; --ink: #1d1f23;
  --faint: #64686f; --line: #e2e0da; --accent: #b4532a; }
@media (prefers-color-scheme: dark) { :root { --ground: #15171b; --card: #1d2025; --ink: #e8e6e1;
  --faint: #9aa0a8; --line: #31353c; --accent: #f0935f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
.kicker { color: var(--accent); font-weight: 600; letter-spacing: .04em; margin: 0; }
h1 { font-size: clamp(1.7rem, 5vw, 2.6rem); line-height: 1.15; margin: .2rem 0 .6rem;
  letter-spacing: -.02em; text-wrap: balance; }
h2 { font-size: 1.3rem; margin: 3rem 0 .2rem; letter-spacing: -.01em; }
p { margin: .2rem 0 1rem; max-width: 44rem; }
p.lead { color: var(--faint); font-size: 1.1rem; }
.row { display: grid; gap: 1rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.opening { display: grid; gap: 1rem; margin-top: 1.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.stack { display: grid; gap: 1rem; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; }
figure img, figure video { display: block; width: 100%; height: auto; }
figure.sharp img { image-rendering: pixelated; }
.framed { position: relative; }
.framed i { position: absolute; border: 2px solid #fff; outline: 1px solid #000; }
figcaption { padding: .55rem .8rem .65rem; font-size: .9rem; color: var(--faint); }
figcaption b { color: var(--ink); }
.figures { display: grid; grid-template-columns: 1fr 1fr; gap: 1px; margin: 0;
  background: var(--line); border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.figures div { background: var(--card); padding: .9rem 1rem; }
.figures dt { color: var(--faint); font-size: .85rem; }
.figures dd { margin: 0; font-size: clamp(1.15rem, 3vw, 1.55rem); font-weight: 600;
  font-variant-numeric: tabular-nums; line-height: 1.25; }
.figures dd small { display: block; font-size: .82rem; font-weight: 400; color: var(--faint); }
table { border-collapse: collapse; width: 100%; background: var(--card); font-size: .95rem;
  border: 1px solid var(--line); border-radius: 10px; border-spacing: 0; overflow: hidden; }
th, td { text-align: left; vertical-align: top; padding: .5rem .9rem;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-weight: 400; color: var(--faint); width: 34%; }
tr:last-child > * { border-bottom: 0; }
.curve { padding: .5rem .5rem .2rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--faint); font: 13px system-ui, sans-serif; }
svg .grid { stroke: var(--line); }
svg .line { fill: none; stroke: var(--accent); stroke-width: 2.5; stroke-linejoin: round; }
svg circle { fill: var(--accent); }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin: .6rem 0;
  padding: .9rem 1rem; overflow-x: auto; font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; }
footer { color: var(--faint); font-size: .88rem; margin-top: 3rem; }
"""


#: What a picture of so many channels is called.
CHANNELS = {1: "grey", 3: "RGB", 4: "RGBA"}


def page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page of the parts, in their order.

    >>> page("A & B", ["<p>text</p>"]).startswith("<!doctype html>")
    True
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def picture(
    image: np.ndarray,
    caption: str,
    *,
    label: str = "",
    box: tuple[float, float, float, float] | None = None,
    lossless: bool = True,
) -> str:
    """Return a figure that holds the picture as the page's own data.

    ``box`` is a rectangle to draw on it: left, top, width and height as parts of 1.

    >>> picture(np.zeros((2, 3, 3), np.float32), "black")[:21]
    '<figure><div class="f'
    """
    height, width = image.shape[:2]
    data = io.BytesIO()
    # of a lossless WebP, the quality is the effort: more saves little and takes long
    to_pillow(image).save(data, "WEBP", lossless=lossless, quality=50 if lossless else 85)
    frame = ""
    if box is not None:
        parts = zip(("left", "top", "width", "height"), box, strict=True)
        frame = f'<i style="{";".join(f"{side}:{part:.2%}" for side, part in parts)}"></i>'
    text = _plain(label, caption)
    return (
        f'<figure><div class="framed"><img src="{_uri(data.getvalue(), "image/webp")}" '
        f'width="{width}" height="{height}" alt="{escape(text)}">{frame}</div>'
        f"{_caption(label, caption)}</figure>"
    )


def film(path: Path, caption: str, *, label: str = "") -> str:
    """Return a figure that plays a film, or shows a moving picture, as the page's own data.

    Raises:
        ValueError: The page cannot show a file of this extension.

    >>> film(Path("a.avi"), "")
    Traceback (most recent call last):
    ValueError: a.avi: a page shows films of .mp4 .webm .gif .webp .apng .png, not .avi
    """
    suffix = path.suffix.lower()
    if suffix in _FILMS:
        source = _uri(path.read_bytes(), _FILMS[suffix])
        text = escape(_plain(label, caption))
        moving = (
            f'<video src="{source}" aria-label="{text}" autoplay loop muted playsinline controls>'
        )
        return f"<figure>{moving}</video>{_caption(label, caption)}</figure>"
    if suffix not in _MOVING_PICTURES:
        known = " ".join(dict.fromkeys([*_FILMS, *_MOVING_PICTURES]))
        msg = f"{path}: a page shows films of {known}, not {suffix}"
        raise ValueError(msg)
    source = _uri(path.read_bytes(), _MOVING_PICTURES[suffix])
    moving = f'<img src="{source}" alt="{escape(_plain(label, caption))}">'
    return f"<figure>{moving}{_caption(label, caption)}</figure>"


def figures(values: Sequence[tuple[str, str, str]]) -> str:
    """Return tiles of key figures, each a name, a value and a remark.

    >>> "36 dB" in figures([("PSNR", "36 dB", "")])
    True
    """
    tiles = (
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(remark)}</small></dd></div>"
        for name, value, remark in values
    )
    return f'<dl class="figures">{"".join(tiles)}</dl>'


def table(rows: Mapping[str, str]) -> str:
    """Return a table of two columns.

    >>> table({"a": "<b>"})
    '<table><tr><th scope="row">a</th><td>&lt;b&gt;</td></tr></table>'
    """
    lines = (
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{''.join(lines)}</table>"


def curve(points: Sequence[tuple[float, float]], x_label: str, y_label: str, caption: str) -> str:
    """Return a figure of a curve, as SVG, through at least two points of finite coordinates.

    >>> curve([(0, 10), (5, 30)], "seconds", "dB", "A fit").startswith("<figure><div class")
    True
    """
    width, height, left, right, top, bottom = 560, 250, 40, 14, 26, 40
    xs, ys = zip(*points, strict=True)
    x_ticks, y_ticks = _ticks(0.0, max(xs)), _ticks(min(ys), max(ys))
    x_high = max(max(xs), 1e-9)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = x / x_high
        up = (y - y_low) / max(y_high - y_low, 1e-9)
        return left + across * (width - left - right), height - bottom - up * (
            height - top - bottom
        )

    marks = []
    for y in y_ticks:
        _, row = place(0, y)
        marks.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{row:.1f}" y2="{row:.1f}"/>'
            f'<text x="{left - 7}" y="{row + 4.5:.1f}" text-anchor="end">{y:g}</text>'
        )
    for x in x_ticks:
        if x > x_high:  # the line ends at the frame, not at a round number
            continue
        column, _ = place(x, y_low)
        marks.append(
            f'<text x="{column:.1f}" y="{height - bottom + 18}" text-anchor="middle">{x:g}</text>'
        )
    line = " ".join(f"{column:.1f},{row:.1f}" for column, row in (place(x, y) for x, y in points))
    column, row = place(*points[-1])
    says = f"{y_label} against {x_label}, from {ys[0]:.1f} to {ys[-1]:.1f}"
    return (
        f'<figure><div class="curve"><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(says)}">{"".join(marks)}'
        f'<text x="{left - 7}" y="14" text-anchor="end">{escape(y_label)}</text>'
        f'<text x="{width - right}" y="{height - 5}" text-anchor="end">{escape(x_label)}</text>'
        f'<polyline class="line" points="{line}"/>'
        f'<circle cx="{column:.1f}" cy="{row:.1f}" r="4"/></svg></div>'
        f"{_caption('', caption)}</figure>"
    )


def size_text(count: int) -> str:
    """Return a number of bytes as people read it.

    >>> size_text(999), size_text(1_253_196)
    ('999 bytes', '1.25 MB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} bytes"


def _ticks(low: float, high: float) -> list[float]:
    """Return four to nine round numbers, of which the first and last enclose what is drawn.

    >>> _ticks(0, 7)
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    rough = max(high - low, 1e-3) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= rough * 0.7)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 9) for n in range(first, last + 1)]


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _plain(label: str, caption: str) -> str:
    return f"{label}: {caption}" if label and caption else label or caption


def _caption(label: str, caption: str) -> str:
    head = f"<b>{escape(label)}</b> " if label else ""
    return f"<figcaption>{head}{escape(caption)}</figcaption>"
