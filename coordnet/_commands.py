"""What the commands of ``coordnet`` do: each calls the library and tells the outcome.

Imports stand in the functions: ``info`` on a picture needs no JAX.
"""

import dataclasses
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from ._commands_codec import info_of_compressed, is_compressed, run_compress, run_decompress
from ._commands_restore import (
    info_of_weights,
    run_dejpeg,
    run_train,
    run_upscale,
    software,
)
from ._files import FormatError, check_target
from ._outcome import Outcome, check_distinct, output_of, written

__all__ = ["run_compress", "run_decompress", "run_dejpeg", "run_train", "run_upscale"]


def run_fit(options: Namespace) -> Outcome:
    """Fit a network to a picture."""
    from ._fit import fit
    from ._images import check_kind, read_image, write_image
    from ._learning import film_fit
    from ._nets import load, save
    from ._render import render
    from ._report import write_report

    if _is_safetensors(options.picture):
        msg = f"{options.picture}: a network, not a picture; to go on from it: --init FILE"
        raise ValueError(msg)
    if options.film_size is not None and options.film is None:
        msg = "--film-size is for the film; name it with --film"
        raise ValueError(msg)
    output = output_of(options, Path(options.picture).stem + ".safetensors")
    if output.suffix != ".safetensors":
        msg = f"{output}: a network is kept in a file named .safetensors; --render draws a picture"
        raise ValueError(msg)
    also = {name: getattr(options, name) for name in ("film", "render", "report")}
    written = {f"--{name}": path for name, path in also.items()}
    written |= {"-o": output, "--checkpoint": options.checkpoint}
    check_distinct({"the picture": options.picture, "--mask": options.mask}, written)
    if options.report and Path(options.report).suffix.lower() not in (".html", ".htm"):
        msg = f"{options.report}: the report is a page for a browser; name it .html"
        raise ValueError(msg)
    for path in filter(None, also.values()):
        check_target(path)
    reading = {"grey": options.grey, "max_side": options.max_side}
    image, info = read_image(options.picture, info=True, **reading)
    if options.render:
        check_kind(options.render, image.shape[2], 8)  # that it can hold the picture
    chosen = _asked(options, image.shape) | {
        "init": load(options.init) if options.init else None,
        "mask": _mask(options.mask, options.max_side),
        "loss": options.loss,
        "dtype": options.dtype,
        "checkpoint": options.checkpoint,
        "checkpoint_every": options.checkpoint_every,
        "progress": False if options.quiet else None,
    }
    if options.trainer:
        chosen.pop("sampling", None)  # the preset's: another trainer has its own
    for name in ("sampling", "trainer"):
        if getattr(options, name):
            chosen[name] = getattr(options, name)
    if options.film:
        net = film_fit(options.film, image, size=options.film_size, **chosen)
    else:
        net = fit(image, **chosen)
    save(net, output)
    if options.render:
        write_image(options.render, render(net, progress=False), info=info)
    if options.film and not Path(options.film).exists():
        also["film"] = options.film = None  # it was lost, as a warning has said
    if options.report:
        write_report(options.report, image, net, film=options.film, network=output)
    return _fitted(net, output, {k: v for k, v in also.items() if v})


def run_render(options: Namespace) -> Outcome:
    """Draw a network."""
    from ._coords import Window
    from ._images import check_kind, write_image
    from ._nets import load
    from ._render import render
    from .codec._decompress import decompress

    compressed = is_compressed(options.network)
    if not compressed and not _is_safetensors(options.network):
        msg = f"{options.network}: not a network; make one of a picture with coordnet fit"
        raise ValueError(msg)
    output = output_of(options, Path(options.network).stem + ".png")
    check_distinct({"the network": options.network}, {"-o": output})
    info = None
    if compressed:
        net = decompress(options.network)
        channels, info = net.image.shape[2], net.info
    else:
        net = load(options.network)
        channels = net.spec.channels
    check_kind(output, channels, options.bits)  # that it can hold the picture
    window = options.window and Window(x=options.window[:2], y=options.window[2:])
    picture = render(
        net,
        options.size or options.height,
        scale=options.scale,
        window=window,
        progress=False if options.quiet else None,
    )
    write_image(output, picture, bits=options.bits, info=info)
    return written(output, picture.shape[:2])


def run_video(options: Namespace) -> Outcome:
    """Film a fit, a zoom, or a folder of frames."""
    source = Path(options.source)
    output = output_of(options, source.stem + ".mp4")
    check_distinct({"the source": source}, {"-o": output})
    if source.is_dir():
        _only_for(options, "a picture or a network", "frames")
        _only_for(options, "a network", "to", "zoom")
        _only_for(options, "a picture", *_PICTURE_OPTIONS)
        return _video_of_frames(options, source, output)
    if _is_safetensors(source) or is_compressed(source):
        _only_for(options, "a picture", *_PICTURE_OPTIONS)
        return _video_of_zoom(options, source, output)
    _only_for(options, "a network", "to", "zoom")
    return _video_of_fit(options, source, output)


_PICTURE_OPTIONS = (
    "preset", "encoding", "width", "depth", "activation", "steps", "seconds", "psnr",
    "patience", "max_side", "grey",
)  # fmt: skip


def _video_of_frames(options: Namespace, source: Path, output: Path) -> Outcome:
    from ._frames import frames_to_video

    frames_to_video(source, output, fps=options.fps, size=options.size, quality=options.quality)
    return written(output)


def _video_of_zoom(options: Namespace, source: Path, output: Path) -> Outcome:
    from ._area import inscribed_size
    from ._nets import load
    from ._progress import counting
    from ._render import zoom
    from ._video import Film
    from .codec._decompress import decompress

    if is_compressed(source):
        net = decompress(source)
        native = net.native
    else:
        net = load(source)
        native = net.spec.size
    if native is None:
        msg = f"{source}: the network has no native size; render it with --size instead"
        raise ValueError(msg)
    count = 150 if options.frames is None else options.frames
    size = native if options.size is None else options.size
    # as large as fits; the film adds the bars
    drawn = inscribed_size(native, size) if isinstance(size, tuple) else size
    times = 16.0 if options.zoom is None else options.zoom
    pictures = zoom(net, to=options.to or (0.0, 0.0), scale=times, frames=count, size=drawn)
    with Film(output, fps=options.fps, size=size, quality=options.quality) as film:
        wanted = False if options.quiet else None
        for _, picture in zip(counting(range(count), wanted, "zooming"), pictures, strict=True):
            film.add(picture)
    return written(output)


def _video_of_fit(options: Namespace, source: Path, output: Path) -> Outcome:
    from ._images import read_image
    from ._learning import film_fit

    image = read_image(source, grey=options.grey, max_side=options.max_side)
    net = film_fit(
        output,
        image,
        frames=150 if options.frames is None else options.frames,
        fps=options.fps,
        size=options.size,
        quality=options.quality,
        progress=False if options.quiet else None,
        **_asked(options, image.shape),
    )
    return _fitted(net, output, {})


def run_info(options: Namespace) -> Outcome:
    """Tell what a file is."""
    path = Path(options.file)
    size = path.stat().st_size
    if is_compressed(path):
        return info_of_compressed(path)
    if not _is_safetensors(path):
        return _info_of_picture(path, size)
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except safetensors.SafetensorError:
        metadata = {}  # load says what is wrong
    if metadata.get("format", "").startswith("coordnet checkpoint"):
        return _info_of_checkpoint(path, size, metadata)
    if metadata.get("format", "").startswith("coordnet restoration"):
        return info_of_weights(path, size)
    from ._nets import load
    from ._page import CHANNELS, size_text

    spec = load(path).spec
    native = "no native size" if spec.size is None else f"{spec.size[1]}x{spec.size[0]}"
    layers = f"{spec.encoding} + {spec.depth} x {spec.width} {spec.activation}"
    line = (
        f"{path}  network  {native}  {CHANNELS[spec.channels]}  {spec.parameters:,} weights  "
        f"{size_text(size)}  {layers}"
    )
    record = {
        "file": path, "kind": "network", "bytes": size, "weights": spec.parameters,
        "size": spec.size and spec.size[::-1], "spec": dataclasses.asdict(spec),
    }  # fmt: skip
    return Outcome(line, record)


def _info_of_picture(path: Path, size: int) -> Outcome:
    from ._images import read_image
    from ._page import CHANNELS, size_text

    image, info = read_image(path, info=True, clip=True)
    height, width, channels = image.shape
    line = (
        f"{path}  picture  {width}x{height}  {CHANNELS[channels]}  {info.bits} bits  "
        f"{size_text(size)}"
    )
    maker = software(info.exif)
    line += f"\n  by {maker}" if maker else ""
    record = {
        "file": path, "kind": "picture", "bytes": size, "size": (width, height),
        "channels": channels, "bits": info.bits, "mode": info.mode, "dpi": info.dpi,
        "icc_profile": info.icc_profile is not None, "exif": info.exif is not None,
        "software": maker,
    }  # fmt: skip
    return Outcome(line, record)


def _info_of_checkpoint(path: Path, size: int, metadata: dict[str, str]) -> Outcome:
    try:
        found, belongs = json.loads(metadata["record"]), json.loads(metadata["belongs"])
        step, seconds, history = found["step"], found["seconds"], found["history"]
        psnr = history[-1][2] if history else None
        line = f"{path}  checkpoint  step {step:,}  {seconds:.1f} s"
        line += "" if psnr is None else f"  {psnr:.1f} dB"
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"{path}: a broken checkpoint ({error}); remove it to start anew"
        raise FormatError(msg) from error
    record = {
        "file": path, "kind": "checkpoint", "bytes": size, "step": step, "seconds": seconds,
        "psnr": psnr, "belongs": belongs,
    }  # fmt: skip
    return Outcome(line, record)


def run_art(options: Namespace) -> Outcome:
    """Draw pictures from random networks."""
    from ._art import random_art
    from ._images import check_kind, write_image
    from ._render import render

    several = len(options.seeds) > 1
    folder = Path(options.output or ".") if several else None
    if folder is not None:
        if folder.is_file() or folder.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            msg = f"{folder}: of several seeds a folder is made, and this is the name of a file"
            raise ValueError(msg)
        folder.mkdir(parents=True, exist_ok=True)
    asked = ("width", "depth", "activation", "contrast")
    given = {k: getattr(options, k) for k in asked if getattr(options, k) is not None}
    files = []
    for seed in dict.fromkeys(options.seeds):
        name = f"art-{seed}.png"
        free = Namespace(output=folder and options.output and folder / name, force=options.force)
        output = output_of(free if several else options, name)
        net = random_art(seed, size=options.size, **given)
        check_kind(output, net.spec.channels, 8)  # that it can hold the picture
        picture = render(net, progress=False)
        write_image(output, picture)
        files.append(output)
    height, width = options.size
    record = {"files": files, "seeds": options.seeds, "size": (width, height)}
    return Outcome(f"{' '.join(map(str, files))}  {width}x{height}", record)


def run_demo(options: Namespace) -> Outcome:
    """Show everything on one picture."""
    from ._demo import demo
    from ._images import read_image

    made = demo(
        options.output,
        image=read_image(options.image) if options.image else None,
        steps=options.steps,
        progress=False if options.quiet else None,
    )
    outcome = _fitted(made.net, made.folder / "network.safetensors", {"page": made.page})
    return outcome._replace(line=f"{outcome.line}\nnow open {made.page} in a browser")


def _asked(options: Namespace, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the network, the budget and the seed that the options ask for."""
    from ._calls import unknown
    from ._nets import Spec
    from ._presets import PRESETS

    names = ("encoding", "width", "depth", "activation")
    parts = {k: getattr(options, k) for k in names if getattr(options, k) is not None}
    asked = {k: getattr(options, k) for k in ("steps", "seconds", "psnr", "patience", "seed")}
    if not parts:
        return asked | {"net": options.preset}
    if options.preset is None and "encoding" in parts:
        return asked | {"net": Spec(**parts)}
    # a preset with some parts of its own: fitted as the preset is
    name = options.preset or "grid"
    if name not in PRESETS:
        raise ValueError(unknown("preset", name, PRESETS))
    preset = PRESETS[name]
    if all(asked[name] is None for name in ("steps", "seconds", "psnr", "patience")):
        asked["steps"] = preset.steps
    spec = dataclasses.replace(preset.spec(*shape), **parts)
    return asked | {"net": spec, "trainer": preset.trainer, "sampling": preset.sampling}


def _mask(path: str | None, max_side: int | None) -> Any:
    from ._images import read_image

    return None if path is None else read_image(path, grey=True, max_side=max_side)[..., 0] > 0.5


def _is_safetensors(path: str | Path) -> bool:
    """Return whether a file begins as a safetensors file does: a length, then a JSON object."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def _only_for(options: Namespace, what: str, *names: str) -> None:
    """Refuse options that would be without effect."""
    given = [name for name in names if getattr(options, name) not in (None, False)]
    if given:
        flag = "--" + given[0].replace("_", "-")
        msg = f"{flag} is for {what}, which {options.source} is not; leave it out"
        raise ValueError(msg)


def _fitted(net: Any, output: Path, also: dict[str, Any]) -> Outcome:
    from ._page import size_text

    fitted, size = net.fitted, output.stat().st_size
    line = (
        f"{output}  {size_text(size)}  {net.spec.parameters:,} weights  {fitted.psnr:.1f} dB  "
        f"{fitted.seconds:.1f} s"
    )
    if fitted.hidden_psnr is not None:
        line += f"  hidden {fitted.hidden_psnr:.1f} dB"
    record = {
        "file": output,
        "bytes": size,
        "weights": net.spec.parameters,
        "psnr": fitted.psnr,
        "hidden_psnr": fitted.hidden_psnr,
        "steps": fitted.steps,
        "seconds": fitted.seconds,
        "compile_seconds": fitted.compile_seconds,
        "stopped": fitted.stopped,
        "spec": dataclasses.asdict(net.spec),
        **also,
    }
    return Outcome(line, record, fitted.stopped == "interrupt")
