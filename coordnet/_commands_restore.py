"""What ``coordnet dejpeg``, ``upscale`` and ``train`` do."""

import dataclasses
import sys
import time
import unicodedata
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._outcome import Outcome, check_distinct, output_of, written

if TYPE_CHECKING:
    from ._decode import ImageInfo

_LISTED = 12  # of a card's lists longer ones are counted
_NAMED = 3  # painters, in a file that is written
_SOFTWARE = 0x0131  # the EXIF tag that says what made a file
_DETAILS, _SIZES = 0x8769, (0xA002, 0xA003)  # a block of EXIF, and tags in it that are old now


def run_dejpeg(options: Namespace) -> Outcome:
    """Write a JPEG file's picture without what JPEG did to it."""
    from ._images import check_kind, read_image, write_image
    from .restore._dejpeg import dejpeg

    source = Path(options.file)
    output = _output(options, source, source.stem + ".png")
    check_kind(output, 1, 8)  # before the work: it can be written at all
    begun = time.perf_counter()
    image = dejpeg(
        source, model=options.model, strength=options.strength, keep_bins=not options.free,
        quality=options.quality, progress=False if options.quiet else None,
    )  # fmt: skip
    _, info = read_image(source, info=True)
    write_image(output, image, info=_signed(info, "dejpeg"))
    return _made(output, image, begun)


def run_upscale(options: Namespace) -> Outcome:
    """Write a picture at a larger size, and in it which network invented its detail."""
    from ._encode import WITH_16_BITS
    from ._images import check_kind, read_image, write_image
    from .restore._upscale import upscale
    from .restore._weights import chosen

    source = Path(options.picture)
    output = _output(options, source, f"{source.stem}-large.png")
    _, card = chosen(options.model, "upscale")
    picture, info = read_image(source, info=True, clip=True)
    check_kind(output, picture.shape[2], 8)  # before the work
    native = picture.shape[:2]
    del picture
    begun = time.perf_counter()
    image = upscale(
        source, options.scale, size=options.size, model=options.model, detail=options.detail,
        consistency=options.consistency, repair=options.repair,
        progress=False if options.quiet else None,
    )  # fmt: skip
    what = "repaired" if image.shape[:2] == native else "detail invented"
    by = f"upscale; {what} by {card['name']}"
    by += _learnt_from(card)
    by += f", begun from {card['begun from']['name']}" if "begun from" in card else ""
    deep = info.bits == 16 and check_kind(output, image.shape[2], 8) in WITH_16_BITS
    bits = 16 if deep else 8
    write_image(output, image, bits=bits, info=_signed(info, by))
    made = _made(output, image, begun)
    return made._replace(record=made.record | {"model": card["name"]})


def _learnt_from(card: dict[str, Any]) -> str:
    """Say from how many pictures, and who painted most of them.

    >>> painters = {"Klimt": 1, "Manet": 2, "Monet": 9, "Redon": 1, "Vermeer": 1}
    >>> _learnt_from({"pictures": 20 * ["a.png"], "painters": painters})
    ', learnt from 20 pictures, 14 of them by Monet, Manet, Klimt and 2 others'
    >>> _learnt_from({"pictures": ["a.png"], "painters": {"Monet": 1}}), _learnt_from({})
    (', learnt from 1 picture by Monet', '')
    >>> _learnt_from({"pictures": 108, "painters": {"Monet": "many"}})  # a file of another's
    ', learnt from 108 pictures'
    """
    pictures, painters = card.get("pictures"), card.get("painters")
    many = len(pictures) if isinstance(pictures, list) else pictures
    if not isinstance(many, int):
        return ""
    said = f", learnt from {many} picture{'s' * (many != 1)}"
    if not (painters and isinstance(painters, dict)):
        return said
    if not all(isinstance(n, int) for n in painters.values()):
        return said
    names = sorted(painters, key=lambda name: (-painters[name], name))
    painted, others = sum(painters.values()), len(names) - _NAMED
    said += f", {painted} of them" * (painted < many) + f" by {', '.join(names[:_NAMED])}"
    return said + f" and {others} other{'s' * (others > 1)}" * (others > 0)


def run_train(options: Namespace) -> Outcome:
    """Train a network on a folder of pictures."""
    from .restore._train import Stage, keep_triptychs, train_dejpeg, train_upscale

    output = _output(options, Path(options.folder), f"{options.name}.safetensors")
    about = {"name": options.name, "seed": options.seed, "note": options.note}
    if options.kind == "dejpeg":
        if (options.watch, options.minutes, options.begin) != (None, None, None):
            msg = (
                "--watch, --minutes and --begin are for `train upscale`; dejpeg is trained in "
                "closed form"
            )
            raise ValueError(msg)
        card = train_dejpeg(options.folder, output, **about)
        return _trained(output, card)
    if options.watch is not None:
        stages = Path(options.watch).resolve()
        if stages.is_relative_to(Path(options.folder).resolve()) or stages.is_file():
            msg = (
                f"--watch {options.watch}: is a file or within FOLDER, whose pictures are learnt "
                "from; name another folder"
            )
            raise ValueError(msg)

    def watch(stage: Stage) -> None:
        if options.watch is not None:
            keep_triptychs(Path(options.watch), stage)
        if not options.quiet and not options.json:
            print(
                f"{stage.minutes:6.1f} min  step {stage.step:6d}  loss {255 * stage.loss:.3f}  "
                + (f"{stage.gain:+.2f} dB to a cubic" if stage.triptychs else "nothing to verify"),
                flush=True,
            )

    minutes = 60.0 if options.minutes is None else options.minutes
    checkpoint = output.with_suffix(".checkpoint")
    if checkpoint.exists():
        print(f"coordnet: goes on from {checkpoint}", file=sys.stderr)
    try:
        card = train_upscale(
            options.folder, output, minutes=minutes, begin=options.begin, watch=watch, **about
        )
    except KeyboardInterrupt:
        if checkpoint.exists():
            print(f"coordnet: {checkpoint} is kept; the same command goes on", file=sys.stderr)
        raise
    return _trained(output, card)


def _trained(output: Path, card: dict[str, Any]) -> Outcome:
    made = written(output)
    return made._replace(record=made.record | {"card": card})


def info_of_weights(path: Path, size: int) -> Outcome:
    """Tell what trained weights are for, and their card."""
    from ._page import size_text
    from .restore._weights import card_of

    kind, card = card_of(path)
    line = f"{path}  weights for {kind}  {size_text(size)}"
    line += _listed(card, "\n  ")
    return Outcome(line, {"file": path, "kind": f"weights for {kind}", "bytes": size, "card": card})


def _listed(card: dict[str, Any], start: str) -> str:
    """Return a card as lines; the cards within it further in."""
    said = ""
    for name, value in card.items():
        if isinstance(value, dict) and "name" in value:
            said += f"{start}{name}:" + _listed(value, start + "  ")
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key} {own}" for key, own in value.items())
        many = isinstance(value, list) and len(value) > _LISTED
        said += f"{start}{name}: {len(value) if many else value}"
    return said


def _output(options: Namespace, source: Path, name: str) -> Path:
    output = output_of(options, name)
    check_distinct({"the source": source}, {"-o": output})
    return output


def _made(output: Path, image: Any, begun: float) -> Outcome:
    made, seconds = written(output, image.shape[:2]), time.perf_counter() - begun
    return Outcome(f"{made.line}  {seconds:.1f} s", made.record | {"seconds": seconds})


def _signed(info: "ImageInfo", by: str) -> "ImageInfo":
    """Return what a file is to say, with what made it in its EXIF."""
    from PIL import Image

    # EXIF holds ASCII: letters lose their accents, and what is no letter of it becomes a ?
    plain = unicodedata.normalize("NFKD", f"coordnet {by}")
    said = "".join(c for c in plain if not unicodedata.combining(c))

    def with_software(block: bytes) -> bytes:
        exif = Image.Exif()
        exif.load(block)
        exif[_SOFTWARE] = said
        for tag in _SIZES:
            exif.get_ifd(_DETAILS).pop(tag, None)
        return exif.tobytes()

    try:
        data = with_software(info.exif or b"")
    except Exception:  # an odd block raises all kinds: what made the file is said in its place
        data = with_software(b"")
    data = data if data.startswith(b"Exif\0\0") else b"Exif\0\0" + data
    return dataclasses.replace(info, exif=data)


def software(exif: bytes | None) -> str | None:
    """Return what made a file, as its EXIF says: if detail was invented, by which network."""
    from PIL import Image

    found = Image.Exif()
    try:
        found.load(exif or b"")
        said = found.get(_SOFTWARE)
    except Exception:  # an odd block raises all kinds, and says nothing
        return None
    if not isinstance(said, str):
        return None
    # a foreign file may say anything: one line of what a terminal can show
    return "".join(c for c in said if c.isprintable()).strip() or None
