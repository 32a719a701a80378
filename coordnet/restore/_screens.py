"""Pictures of screens, drawn: text, flat colours, lines and frames, as no photograph has them."""

from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

#: Fonts that ship with matplotlib: those to learn from, and those to test with.
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono",
    "DejaVuSerif", "DejaVuSerif-Bold",
)  # fmt: skip
HELD_OUT_FONTS = ("STIXGeneral", "STIXGeneralBol", "DejaVuSansMono-Bold", "cmr10", "cmss10")

_WORDS = """
the of and to in is that it was for on are as with his they at be this from have or by one had not
but what all were when we there can an your which their said if do will each about how up out them
then she many some so these would other into has more her two like him see time could no make than
def return import class if else for while None True self print 0 1 2 3 42 100 2016 $9.99 50% 640x480
File Edit View Help OK Cancel Search Home Settings Reply Like Share Follow @user #topic https://
""".split()  # noqa: SIM905  as words, it is read


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)


def screen(
    rng: np.random.Generator, size: tuple[int, int] = (320, 480), fonts: tuple[str, ...] = FONTS
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a screen of panels with text, buttons, lines, bars and gradients; most are light.

    >>> drawn = screen(np.random.default_rng(0), (48, 64))
    >>> drawn.shape, drawn.dtype, len(np.unique(drawn.reshape(-1, 3), axis=0)) > 2
    ((48, 64, 3), dtype('uint8'), True)
    """
    height, width = size
    page = _shade(rng, light=rng.random() < 0.75)
    picture = Image.new("RGB", (width, height), page)
    draw = ImageDraw.Draw(picture)
    _panel(rng, draw, (0, 0, width, height), page, fonts)
    for _ in range(rng.integers(1, 7)):
        w, h = int(rng.integers(24, width // 2 + 25)), int(rng.integers(16, height // 2 + 17))
        x, y = int(rng.integers(-8, width)), int(rng.integers(-8, height))
        paper = _shade(rng, light=rng.random() < 0.6)
        box = (x, y, x + w, y + h)
        edge = _ink(rng, paper) if rng.random() < 0.5 else None
        draw.rounded_rectangle(box, int(rng.choice([0, 0, 3, 8])), fill=paper, outline=edge)
        if rng.random() < 0.15:
            _gradient(rng, picture, box)
        else:
            _panel(rng, draw, box, paper, fonts)
    return np.asarray(picture)


def _colour(values: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(v) for v in values)
    return red, green, blue


def _shade(rng: np.random.Generator, *, light: bool) -> tuple[int, int, int]:
    if light and rng.random() < 0.6:
        return (255, 255, 255)
    if rng.random() < 0.3:  # saturated
        return _colour(rng.choice([0, 32, 128, 224, 255], 3))
    grey = int(rng.integers(215, 256) if light else rng.integers(0, 90))
    tint = rng.integers(-12, 13, 3)
    return _colour(np.clip(grey + tint, 0, 255))


def _ink(rng: np.random.Generator, paper: tuple[int, int, int]) -> tuple[int, int, int]:
    dark = sum(paper) > 380
    if rng.random() < 0.5:
        grey = int(rng.integers(0, 110) if dark else rng.integers(150, 256))
        return (grey, grey, grey)
    colour = rng.integers(0, 256, 3)
    colour[rng.integers(3)] = 0 if dark else 255
    return _colour(colour)


def _panel(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    paper: tuple[int, int, int],
    fonts: tuple[str, ...],
) -> None:
    """Fill a box with lines of text, and now and then a rule, a bar or a row of marks."""
    left, top, right, bottom = box
    size = int(rng.integers(8, 25))
    font = _font(str(rng.choice(fonts)), size)
    ink = _ink(rng, paper)
    x, y = left + int(rng.integers(2, 12)), top + int(rng.integers(1, 10))
    while y + size < bottom:
        what = rng.random()
        if what < 0.72:
            if rng.random() < 0.25:
                ink = _ink(rng, paper)
            letters = max(1, int((right - x) / (0.55 * size)))
            words = " ".join(rng.choice(_WORDS, max(1, letters // 4)))
            draw.text((x, y), words[: int(letters * rng.uniform(0.3, 1))], fill=ink, font=font)
        elif what < 0.8:
            draw.line((x, y, right - 4, y), fill=ink, width=int(rng.integers(1, 3)))
        elif what < 0.9:
            end = x + int(rng.integers(4, max(5, right - x)))
            draw.rectangle((x, y, end, y + size // 2), fill=_ink(rng, paper))
        elif what < 0.95:
            for k in range(int(rng.integers(1, 6))):
                at = x + 2 * k * size
                draw.ellipse((at, y, at + size, y + size), fill=_ink(rng, paper))
        y += int(size * rng.uniform(1.15, 1.8))


def _gradient(
    rng: np.random.Generator, picture: Image.Image, box: tuple[int, int, int, int]
) -> None:
    left, top, right, bottom = box
    ends = rng.integers(0, 256, (2, 3))
    share = np.linspace(0, 1, right - left)[None, :, None] * np.ones((bottom - top, 1, 1))
    if rng.random() < 0.5:
        share = np.linspace(0, 1, bottom - top)[:, None, None] * np.ones((1, right - left, 1))
    drawn = np.rint(ends[0] + share * (ends[1] - ends[0])).astype(np.uint8)
    picture.paste(Image.fromarray(drawn), (left, top))
