"""What the command ``coordnet`` may be asked: its options and their help.

Nothing heavy is imported here: the parser is built for every ``--help``.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

# Written out because reading them from the table would load JAX for every --help; a test keeps
# them equal to the table.
PRESET_NAMES = (
    "grid", "tiny", "best", "siren", "siren_scaled", "finer", "fourier", "wire", "gauss",
    "lenna", "mona_lisa_shallow", "mona_lisa_deep", "convnetjs",
)  # fmt: skip
LOSSES = ("l2", "l1", "relative_l2")

_EXAMPLES = {
    "": """\
examples:
  coordnet demo
  coordnet fit photo.jpg -o photo.safetensors --film learning.mp4 --seconds 30
  coordnet render photo.safetensors --height 4000 -o big.png
  coordnet info photo.safetensors

exit codes: 0 done; 2 something is wrong with the request (one line on stderr says what);
130 ended by Ctrl-C, which keeps the best result of a fit.
`coordnet COMMAND --help` tells the options of a command.""",
    "fit": """\
examples:
  coordnet fit photo.jpg -o photo.safetensors --film learning.mp4 --seconds 30
  coordnet fit photo.jpg --preset siren --psnr 32 --render fit.png
  coordnet fit photo.jpg --encoding "fourier(features=128)" --width 64 --steps 2000
  coordnet fit photo.jpg --steps 20000 --checkpoint photo.ckpt      # again, to go on

Of several budgets, the one that is reached first ends the fit; without any, the preset's steps
do. The first Ctrl-C ends it too: the best network so far is written, and the exit code is 130.
A file named by -o, --film, --render or --report is replaced when the new one is complete.""",
    "render": """\
examples:
  coordnet render photo.safetensors --height 4000 -o big.png
  coordnet render photo.safetensors --size 1920x1080 --bits 16 -o wall.png
  coordnet render photo.safetensors --window -0.25,0.25,-0.5,0 --scale 8 -o face.png

Coordinates run from -1 to 1 along the longer side; x to the right, y down.""",
    "video": """\
examples:
  coordnet video photo.jpg -o learning.mp4 --steps 3000       # a picture: the film of a fit
  coordnet video photo.safetensors -o zoom.mp4 --to 0.1,-0.4 --zoom 20    # a network: a zoom
  coordnet video frames/ -o film.webm --fps 12                # a folder of numbered frames""",
    "compress": """\
examples:
  coordnet compress photo.png -o photo.cnet --bpp 0.5
  coordnet compress photo.png --psnr 35 --effort best
  coordnet compress holiday/ -o small/ --quality 50 --effort fast      # again, to go on

Give one of --bpp, --psnr, --max-bytes, --quality. On two cores a picture of 768x512 pixels takes
half a minute with --effort fast, four minutes by default, up to an hour with --effort best. Samples
of 16 bits become 8. --psnr inf keeps a picture exactly.

Of a folder, files that are there are passed over, unless they are larger than is asked: remove them
to have them in another quality. A picture that cannot be read is left out with a warning.""",
    "decompress": """\
examples:
  coordnet decompress photo.cnet -o back.png
  coordnet decompress photo.cnet -o wall.png --height 4000

`coordnet render` draws a part of it; `coordnet info` tells where its bytes go.""",
    "dejpeg": """\
examples:
  coordnet dejpeg bad.jpg -o good.png
  coordnet dejpeg resaved.jpg -o good.png --quality 20      # it was saved badly before

What the file says of the picture is kept: its coefficients stay about where it says they lie.""",
    "upscale": """\
examples:
  coordnet upscale photo.jpg 3.5 -o large.png
  coordnet upscale photo.png --size 4000 -o wall.png --detail 2
  coordnet upscale old.jpg 1 -o repaired.png --repair 0.5
  coordnet upscale photo.png 4 --model mine.safetensors      # of `coordnet train upscale`

The detail is invented; the file says in its EXIF by which network, and what that learnt from.""",
    "train": """\
examples:
  coordnet train upscale etchings/ --name etchings --minutes 60 --watch stages/
  coordnet train dejpeg scans/ --name scans      # then: coordnet dejpeg --model scans.safetensors

Every tenth picture is set aside to verify: --watch writes them (16 at most) at every stage as
original, input and result. Run again, it goes on where it was stopped.""",
    "info": """\
examples:
  coordnet info photo.cnet
  coordnet info photo.safetensors
  coordnet info photo.jpg --json""",
    "art": """\
examples:
  coordnet art 7 -o art.png --size 3840x2160
  coordnet art 1 2 3 4 -o gallery/ --activation sine""",
    "demo": """\
examples:
  coordnet demo
  coordnet demo -o out --image photo.jpg""",
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; ``command`` and one attribute for each option.

    Raises:
        SystemExit: With 0 after ``--help`` and ``--version``, with 2 after saying in one line
            what is wrong.

    >>> parse(["info", "photo.png"]).command
    'info'
    """
    return _parser().parse_args(_with_values(argv))


def _with_values(argv: Sequence[str]) -> list[str]:
    """Tie values to options that may begin with a minus, which argparse takes for an option."""

    def tied(arguments: Iterator[str]) -> Iterator[str]:
        for argument in arguments:
            if argument in ("--window", "--to"):
                value = next(arguments, None)
                yield argument if value is None else f"{argument}={value}"
            else:
                yield argument

    return list(tied(iter(argv)))


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help\n")


class _Version(argparse.Action):
    """Look the version up only when it is asked for: that takes longer than all the rest."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from importlib.metadata import version

        print(f"coordnet {version('coordnet')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="coordnet",
        description="A picture as a function: fit, render, film and keep small networks.",
        epilog=_EXAMPLES[""],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text, fill in (
        ("fit", "fit a network to a picture", _fit_options),
        ("render", "draw a network at any size", _render_options),
        ("video", "film a fit, a zoom, or a folder of frames", _video_options),
        ("compress", "compress a picture, or a folder of them, to weights", _compress_options),
        ("decompress", "decode a compressed picture, at any size", _decompress_options),
        ("dejpeg", "remove what JPEG did to a picture", _dejpeg_options),
        ("upscale", "enlarge a picture, with detail that a network invents", _upscale_options),
        ("train", "train a network on pictures of your own", _train_options),
        ("info", "tell what a network, a checkpoint or a picture is", _info_options),
        ("art", "draw pictures from unfitted random networks", _art_options),
        ("demo", "see all of it on a portrait, in less than a minute", _demo_options),
    ):
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        fill(command)
        say = command.add_argument_group("what is printed")
        say.add_argument(
            "--quiet", action="store_true", help="print nothing but errors and warnings"
        )
        say.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    return parser


def _fit_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", metavar="PICTURE", help="a file of any common kind")
    _output_option(parser, "FILE.safetensors", "the picture's name with .safetensors, here")
    also = parser.add_argument_group("also write")
    also.add_argument(
        "--film", metavar="FILE", help="film it learning: .mp4 .webm .gif .webp .apng"
    )
    also.add_argument("--film-size", type=_size_or_height, metavar="WxH|H", help="the film's size")
    also.add_argument("--render", metavar="FILE", help="the fitted picture, at its own size")
    also.add_argument("--report", metavar="FILE", help="an HTML page on the fit")
    _network_options(parser)
    _budget_options(parser)
    how = parser.add_argument_group("how to fit")
    how.add_argument("--init", metavar="NET", help="start from this network")
    how.add_argument("--mask", metavar="FILE", help="fit only where this picture is bright")
    how.add_argument("--loss", choices=LOSSES, default="l2", help="how errors count (l2)")
    how.add_argument(
        "--trainer", metavar="KIND", help="such as auto, least_squares, 'adam(rate=0.001)'"
    )
    how.add_argument(
        "--sampling",
        metavar="KIND",
        help="the pixels of a step: full, 'strips(points=8192)' or 'pixels(points=8192)'",
    )
    how.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of products (float32)"
    )
    how.add_argument("--checkpoint", metavar="FILE", help="go on from this file, and write to it")
    how.add_argument("--checkpoint-every", type=int, metavar="N", help="steps between writes")
    _reading_options(parser)


def _network_options(parser: argparse.ArgumentParser) -> None:
    net = parser.add_argument_group("the network")
    names = ", ".join(PRESET_NAMES)
    net.add_argument("--preset", metavar="NAME", help=f"a network by name: {names} (grid)")
    net.add_argument("--encoding", metavar="KIND", help="such as grid, 'fourier(features=128)'")
    net.add_argument("--width", type=int, metavar="N", help="units of a hidden layer")
    net.add_argument("--depth", type=int, metavar="N", help="hidden layers")
    net.add_argument("--activation", metavar="KIND", help="such as tanh, 'sine(omega=40)'")
    net.add_argument("--seed", type=_seed, default=0, metavar="N", help="of all randomness (0)")


def _budget_options(parser: argparse.ArgumentParser) -> None:
    budget = parser.add_argument_group("when to stop")
    budget.add_argument("--steps", type=int, metavar="N", help="after N steps")
    budget.add_argument("--seconds", type=float, metavar="S", help="after S seconds of running")
    budget.add_argument("--psnr", type=float, metavar="DB", help="at this PSNR")
    budget.add_argument("--patience", type=int, metavar="N", help="after N steps without progress")


def _reading_options(parser: argparse.ArgumentParser) -> None:
    reading = parser.add_argument_group("how to read the picture")
    reading.add_argument("--max-side", type=int, metavar="N", help="reduce it to N pixels a side")
    reading.add_argument("--grey", action="store_true", help="make it grey")


def _output_option(parser: argparse.ArgumentParser, what: str, missing: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar=what,
        help=f"where to; replaces what is there (missing: {missing}, if it is free)",
    )
    parser.add_argument(
        "--force", action="store_true", help="without -o, replace what has the name"
    )


def _render_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", metavar="NET", help="a saved network, or a .cnet file")
    _output_option(parser, "FILE", "the network's name with .png, here")
    _drawn_size_options(parser)
    parser.add_argument(
        "--window", type=_numbers(4), metavar="X0,X1,Y0,Y1", help="the part to draw"
    )
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="of a sample (8)")


def _video_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="a picture, a network, a .cnet file, or a folder"
    )
    _output_option(parser, "FILE", "the source's name with .mp4, here")
    film = parser.add_argument_group("the film")
    film.add_argument("--size", type=_size_or_height, metavar="WxH|H", help="in pixels")
    film.add_argument("--fps", type=float, default=25, metavar="N", help="frames per second (25)")
    film.add_argument("--quality", type=float, metavar="Q", help="0 (small) to 100")
    film.add_argument("--frames", type=int, metavar="N", help="of a fit or a zoom (150)")
    zoom = parser.add_argument_group("a zoom into a network")
    zoom.add_argument("--to", type=_numbers(2), metavar="X,Y", help="the point to go to (0,0)")
    zoom.add_argument("--zoom", type=float, metavar="S", help="times larger at the end (16)")
    _network_options(parser)
    _budget_options(parser)
    _reading_options(parser)


def _compress_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "picture", metavar="PICTURE|NET|FOLDER",
        help="a file of any common kind, or a saved network without encoding",
    )  # fmt: skip
    _output_option(parser, "FILE|FOLDER", "the picture's name with .cnet, here")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--bpp", type=float, metavar="B", help="bits for each pixel, at most")
    target.add_argument("--psnr", type=float, metavar="DB", help="dB, at least")
    target.add_argument("--max-bytes", type=int, metavar="N", help="of the file, at most")
    target.add_argument("--quality", type=float, metavar="Q", help="0 (small) to 100 (60)")
    parser.add_argument(
        "--effort", choices=("fast", "default", "best"), default="default", help="(default)"
    )
    parser.add_argument(
        "--kind", choices=("pyramid", "weights"), default="pyramid",
        help="grids and networks (pyramid), or a plain network of sines, with --bpp or --max-bytes",
    )  # fmt: skip
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="of all randomness (0)")


def _decompress_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.cnet", help="a compressed picture")
    _output_option(parser, "FILE", "the file's name with .png, here")
    _drawn_size_options(parser)


def _dejpeg_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.jpg", help="a JPEG file, grey or colour")
    _output_option(parser, "FILE", "the file's name with .png, here")
    parser.add_argument(
        "--model", default="small", metavar="NAME|FILE",
        help="small, medium, or weights of `coordnet train dejpeg` (small)",
    )  # fmt: skip
    parser.add_argument(
        "--strength", type=float, default=1.0, metavar="S", help="of the change, 0 to 1 (1)"
    )
    parser.add_argument(
        "--quality", type=int, metavar="Q", help="clean as if it had this quality, 1 to 100"
    )
    parser.add_argument(
        "--free", action="store_true", help="do not keep within what the file says of the picture"
    )


def _upscale_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", metavar="PICTURE", help="a file of any common kind")
    parser.add_argument(
        "scale", type=float, nargs="?", metavar="SCALE", help="how many times larger, 1 to 30"
    )
    _output_option(parser, "FILE", "the picture's name with -large.png, here")
    parser.add_argument(
        "--size", type=_size_or_height, metavar="WxH|H", help="instead of SCALE, in pixels"
    )
    parser.add_argument(
        "--model", default="photos", metavar="NAME|FILE",
        help="photos, paintings, medium, or weights of `coordnet train upscale` (photos)",
    )  # fmt: skip
    parser.add_argument(
        "--detail", type=float, default=1.0, metavar="D", help="how coarse, 1 (strokes) to 4 (1)"
    )
    parser.add_argument(
        "--consistency", type=float, default=1.0, metavar="C",
        help="how far the result, reduced, is the picture, 0 to 1 (1)",
    )  # fmt: skip
    parser.add_argument(
        "--repair", type=float, metavar="R",
        help="how damaged it is, 0 to 1 (missing: what a JPEG file says, else 0)",
    )  # fmt: skip


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "kind", metavar="dejpeg|upscale", choices=("dejpeg", "upscale"),
        help="what to train: upscale for --minutes, dejpeg in closed form, in half a minute",
    )  # fmt: skip
    parser.add_argument("folder", metavar="FOLDER", help="pictures; subfolders are searched too")
    parser.add_argument("--name", required=True, metavar="NAME", help="what the bias is called")
    _output_option(parser, "FILE.safetensors", "NAME.safetensors, here")
    parser.add_argument("--minutes", type=float, metavar="M", help="of training, of upscale (60)")
    parser.add_argument(
        "--begin",
        metavar="MODEL",
        help="photos, paintings, medium or a file, to go on from; give another --seed",
    )
    parser.add_argument("--watch", metavar="FOLDER", help="write the verification pictures here")
    parser.add_argument("--note", metavar="TEXT", help="for the card: licences, where from")
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="of all randomness (0)")


def _drawn_size_options(parser: argparse.ArgumentParser) -> None:
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--size", type=_size, metavar="WxH", help="in pixels, whatever the aspect")
    size.add_argument("--height", type=int, metavar="H", help="in pixels, the aspect kept")
    size.add_argument("--scale", type=float, metavar="S", help="pixels per native pixel")


def _info_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a network, a checkpoint or a picture")


def _art_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("seeds", metavar="SEED", type=_seed, nargs="+", help="a picture for each")
    _output_option(parser, "FILE|FOLDER", "art-SEED.png, here; of several seeds, a folder")
    parser.add_argument(
        "--size", type=_size, default=(1024, 1024), metavar="WxH", help="in pixels (1024x1024)"
    )
    parser.add_argument("--width", type=int, metavar="N", help="units of a hidden layer")
    parser.add_argument("--depth", type=int, metavar="N", help="hidden layers")
    parser.add_argument("--activation", metavar="KIND", help="such as tanh, 'sine(omega=40)'")
    parser.add_argument(
        "--contrast", type=float, metavar="C", help="around 1 smooth, above 3 noise"
    )


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", default="coordnet-demo", metavar="FOLDER", help="where to (coordnet-demo)"
    )
    parser.add_argument("--image", metavar="FILE", help="a picture of your own")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help="of the fit (2000)")


def _size(text: str) -> tuple[int, int]:
    """Read WxH as (height, width), the order of Python's side.

    >>> _size("640x480")
    (480, 640)
    """
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        msg = f"a size is WxH in pixels, such as 640x480, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(height), int(width)


def _seed(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**32):
        msg = f"a seed is a whole number from 0 to {2**32 - 1}, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _size_or_height(text: str) -> tuple[int, int] | int:
    if text.isdecimal() and int(text):
        return int(text)
    if "x" not in text.lower():
        msg = f"a size is a height, or WxH, in pixels, such as 480 or 640x480, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return _size(text)


def _numbers(count: int) -> Any:
    def read(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count or not all(map(math.isfinite, values)):
            msg = f"expected {count} numbers with commas between them, got {text!r}"
            raise argparse.ArgumentTypeError(msg)
        return values

    return read
