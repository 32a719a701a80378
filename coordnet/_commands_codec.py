"""What ``coordnet compress`` and ``decompress`` do, and ``info`` of a compressed picture."""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from ._files import FormatError, atomic_path
from ._outcome import Outcome, check_distinct, output_of, written


def run_compress(options: Namespace) -> Outcome:
    """Compress a picture, a saved network, or all pictures of a folder."""
    asked: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("bpp", "psnr", "max_bytes", "quality")
        if getattr(options, name) is not None
    }
    asked |= {"effort": options.effort, "seed": options.seed, "kind": options.kind}
    asked["progress"] = False if options.quiet else None
    source = Path(options.picture)
    if source.is_dir():
        return _of_folder(options, source, asked)
    from ._images import read_image
    from ._metrics import psnr
    from .codec._compress import compress
    from .codec._decompress import decompress

    if is_compressed(source):
        msg = f"{source}: is a .cnet file already; `coordnet decompress` makes a picture of it"
        raise ValueError(msg)
    output = output_of(options, source.stem + ".cnet")
    check_distinct({"the picture": source}, {"-o": output})
    if output.suffix.lower() != ".cnet":
        msg = f"-o {output}: what is made is a .cnet file; give it that extension"
        raise ValueError(msg)
    net, info = None, None
    if source.suffix.lower() == ".safetensors":
        from ._nets import load
        from ._render import render
        from .codec._rounded import form_of

        net = load(source)
        form_of(net)  # that a file can hold it, before it is drawn
        image = render(net, progress=False)
    else:
        image, info = read_image(source, info=True, clip=True)
    begun = time.perf_counter()
    blob = compress(image if net is None else net, info=info, **asked)
    seconds = time.perf_counter() - begun
    with atomic_path(output) as temporary:
        temporary.write_bytes(blob)
    made = written(output, image.shape[:2])
    found = psnr(decompress(blob).image, image)
    bpp = 8 * len(blob) / (image.shape[0] * image.shape[1])
    record = made.record | {"bpp": bpp, "psnr": found, "seconds": seconds}
    exact = "exact" if found == float("inf") else f"{found:.2f} dB"
    return Outcome(f"{made.line}  {bpp:.3f} bpp  {exact}  {seconds:.1f} s", record)


def _of_folder(options: Namespace, source: Path, asked: dict[str, Any]) -> Outcome:
    from ._page import size_text
    from .codec._folder import compress_folder

    if options.output is None:
        msg = f"{source}: is a folder; name the folder for its .cnet files with -o"
        raise ValueError(msg)
    files = compress_folder(source, options.output, **asked)
    size = sum(file.stat().st_size for file in files)
    line = f"{options.output}  {len(files)} pictures  {size_text(size)}"
    return Outcome(line, {"files": files, "bytes": size})


def run_decompress(options: Namespace) -> Outcome:
    """Decode a compressed picture, at its own size or any other."""
    from ._images import check_kind, write_image
    from .codec._decompress import decompress

    source = Path(options.file)
    if not is_compressed(source):
        msg = f"{source}: not a .cnet file"
        raise FormatError(msg)
    output = output_of(options, source.stem + ".png")
    check_distinct({"the file": source}, {"-o": output})
    found = decompress(source)
    check_kind(output, found.image.shape[2], 8)  # that it can hold the picture
    image = found.image
    size = options.size or options.height
    if size is not None or options.scale is not None:
        from ._render import render

        image = render(found, size, scale=options.scale)
    write_image(output, image, info=found.info)
    return written(output, image.shape[:2])


def is_compressed(path: str | Path) -> bool:
    """Return whether a file begins as a ``.cnet`` file does."""
    from .codec._container import MAGIC

    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def info_of_compressed(path: Path) -> Outcome:
    """Tell where the bytes of a compressed picture go."""
    from ._page import CHANNELS, size_text
    from .codec._parts import parts

    data = path.read_bytes()
    try:
        header, found = parts(data)
    except ValueError as error:
        kind = FormatError if isinstance(error, FormatError) else ValueError
        msg = f"{path}: {error}"
        raise kind(msg) from error
    channels = header.channels + header.alpha
    bpp = 8 * len(data) / (header.height * header.width)
    line = (
        f"{path}  compressed picture  {header.width}x{header.height}  {CHANNELS[channels]}  "
        f"{size_text(len(data))}  {bpp:.3f} bpp"
    )
    width = max(len(name) for name, _ in found)
    for name, size in found:
        line += f"\n  {name:<{width}}  {size:9,.0f} B  {100 * size / len(data):5.1f} %"
    record = {
        "file": path, "kind": "compressed picture", "bytes": len(data), "bpp": bpp,
        "size": (header.width, header.height), "channels": channels, "parts": dict(found),
    }  # fmt: skip
    return Outcome(line, record)
