"""A line of text on a picture, readable on any background."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from ._pillow import to_pillow

SMALLEST = 9  # pixels: below this the built-in font's digits run together
USUAL = 10  # pixels, on small pictures
SHADE = 150  # of 255: dark enough for white text on white, light enough to see through


def add_caption(image: ArrayLike, text: str) -> Float[np.ndarray, "h w c"]:
    r"""Write `text` in white on a dark translucent strip along the lower edge of an image.

    The letters are a 24th of the shorter side high, 10 pixels at least; a line that is too long is
    made smaller by up to a third (to 9 pixels), then broken between words. A picture too small for
    its strip, which would cover more than half of it, stays as it is. The font is Pillow's own:
    Latin letters, digits and the signs of a typewriter.

    Args:
        image: shape (height, width, 1, 3 or 4), values in [0, 1]; rounded to 8 bits as a film's
            frames are.
        text: the caption; "\\n" breaks a line, an empty text draws nothing.

    Returns:
        A new image of the same shape, float32.

    Raises:
        TypeError, ValueError: `image` is not an image.

    >>> grey = np.full((100, 160, 3), 0.5, np.float32)
    >>> captioned = add_caption(grey, "step 200   31.4 dB")
    >>> captioned.shape, np.unique(captioned[:50]).size, bool(captioned.max() > 0.9)
    ((100, 160, 3), 1, True)
    """
    pixels = np.asarray(draw_caption(to_pillow(image), text), np.float32)
    return (pixels / np.float32(255)).reshape(np.shape(image))


def draw_caption(picture: Image.Image, text: str) -> Image.Image:
    """Return a copy of a picture of mode L, RGB or RGBA with the caption of `add_caption`.

    >>> draw_caption(Image.new("L", (64, 64), "white"), "31.4 dB").getextrema()
    (105, 255)
    """
    picture = picture.copy()
    text = text.strip()
    if not text:
        return picture
    text, font = _fit(text, picture.width, picture.height)
    margin = _margin(font)
    line = _line_height(font)
    strip = line * (text.count("\n") + 1) + 2 * margin
    if strip > picture.height / 2:
        return picture
    top = picture.height - strip
    box = (0, top, picture.width, picture.height)
    under = picture.crop(box).convert("RGBA")
    shade = Image.new("RGBA", under.size, (0, 0, 0, SHADE))
    picture.paste(Image.alpha_composite(under, shade).convert(picture.mode), box)
    pen = ImageDraw.Draw(picture)
    for index, words in enumerate(text.split("\n")):
        # "ls": the base line, so that lines with and without descenders stand equally high.
        base = top + margin + index * line + round(0.78 * line)
        pen.text((2 * margin, base), words, fill="white", font=font, anchor="ls")
    return picture


def _fit(text: str, width: int, height: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Choose the letters' size, and the line breaks where the smallest size is too large still."""
    size = max(USUAL, round(min(width, height) / 24))
    least = max(SMALLEST, round(size * 2 / 3))
    font = _font(size)
    while size > least and _width(text, font) > width:
        size = max(least, int(0.95 * size))
        font = _font(size)
    lines = []
    for words in text.split("\n"):
        line = ""
        for word in words.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _width(longer, font) > width:
                lines.append(line.strip())
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines), font


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        msg = "captions need Pillow with FreeType, which this one lacks; reinstall Pillow from PyPI"
        raise ImportError(msg)
    return font


def _width(text: str, font: ImageFont.FreeTypeFont) -> float:
    """Width of the longest line with the strip's margins on both sides."""
    return max(font.getlength(line) for line in text.split("\n")) + 4 * _margin(font)


def _margin(font: ImageFont.FreeTypeFont) -> int:
    return max(1, round(font.size / 6))


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return round(1.2 * font.size)
