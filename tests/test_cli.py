"""The command line: exit codes, what is printed where, and the files that are left."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import coordnet as cn
from coordnet import _cli, _options
from coordnet._images import read_image, write_image
from coordnet._problem import LOSSES

COMMANDS = ["fit", "render", "video", "info", "art", "demo"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder that holds one small picture."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[0:24, 0:32].astype(np.float32)
    picture = np.stack([x / 31, y / 23, (x * y) / (31 * 23)], axis=-1)
    write_image("photo.png", picture)
    return tmp_path


@pytest.fixture
def network(here):
    cn.save(cn.CoordNet(cn.Spec(width=8, depth=1, size=(24, 32))), here / "net.safetensors")
    return "net.safetensors"


SMALL = ["--width", "8", "--depth", "1", "--steps", "20"]


def refused(capsys, *argv):
    """Run a command that must end with 2 and one line on stderr; return the line."""
    assert _cli.main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    return err


def run(*argv, **options):
    return subprocess.run(
        [sys.executable, "-m", "coordnet", *argv],
        capture_output=True, text=True, timeout=120, check=False, **options,
    )  # fmt: skip


# --- help -----------------------------------------------------------------------------
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    assert _cli.main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert f"coordnet {command}" in out.split("examples:")[1]


def test_help_lists_the_commands_and_names_the_version(capsys):
    assert _cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in COMMANDS)
    assert _cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("coordnet ")


def test_the_choices_are_those_of_the_library():
    assert set(_options.PRESET_NAMES) == set(cn.PRESETS)
    assert set(_options.LOSSES) == set(LOSSES)


def test_the_defaults_in_the_help_are_those_of_the_library(capsys):
    def default(function, name):
        return inspect.signature(function).parameters[name].default

    assert _options.parse(["demo"]).steps == default(cn.demo, "steps")
    assert _options.parse(["video", "a"]).fps == default(cn.Film, "fps")
    fit = _options.parse(["fit", "a"])
    for name in ("loss", "dtype", "seed"):
        assert getattr(fit, name) == default(cn.fit, name)
    assert _cli.main(["video", "--help"]) == 0
    assert f"of a fit or a zoom ({default(cn.film_fit, 'frames')})" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom coordnet._cli import main\nassert main(['fit', '--help']) == 0\n"
        "heavy = {'jax', 'numpy', 'matplotlib', 'PIL', 'av', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_python_m_coordnet():
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("coordnet ")


# --- fit ------------------------------------------------------------------------------
def test_fit_prints_one_line_and_writes_what_was_asked(here, capsys):
    argv = ["fit", "photo.png", "-o", "a.safetensors", "--render", "a.png", "--report", "a.html"]
    assert _cli.main([*argv, "--film", "a.gif", *SMALL]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("\n") == 1
    assert out.startswith("a.safetensors  ")
    assert " weights  " in out
    assert " dB  " in out
    assert cn.load("a.safetensors").spec.size == (24, 32)
    assert read_image("a.png").shape == (24, 32, 3)
    assert Path("a.gif").read_bytes()[:4] == b"GIF8"
    assert "data:image/gif" in Path("a.html").read_text()


def test_fit_json_is_one_object(here, capsys):
    assert _cli.main(["fit", "photo.png", "--json", "--seed", "3", *SMALL]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["file"] == "photo.safetensors"
    assert record["bytes"] == Path("photo.safetensors").stat().st_size
    assert (record["steps"], record["stopped"]) == (20, "steps")
    assert record["spec"]["width"] == 8


def test_fit_quiet_prints_nothing(here, capsys):
    assert _cli.main(["fit", "photo.png", "--quiet", *SMALL]) == 0
    assert capsys.readouterr() == ("", "")


def test_json_has_no_infinite_numbers():
    assert json.dumps(_cli._plain({"psnr": float("inf"), "files": [Path("a")]})) == (
        '{"psnr": null, "files": ["a"]}'
    )


def test_fit_takes_a_mask_a_start_and_a_smaller_grey_picture(here, capsys):
    mask = np.zeros((24, 32, 1), np.float32)
    mask[:, :16] = 1
    write_image("mask.png", mask)
    assert _cli.main(["fit", "photo.png", "-o", "a.safetensors", "--mask", "mask.png", *SMALL]) == 0
    assert "hidden" in capsys.readouterr().out
    argv = ["fit", "photo.png", "-o", "b.safetensors", "--init", "a.safetensors", "--steps", "0"]
    assert _cli.main([*argv, "--quiet"]) == 0
    a, b = cn.load("a.safetensors"), cn.load("b.safetensors")
    assert np.array_equal(a.layers[0].weight[...], b.layers[0].weight[...])
    argv = ["fit", "photo.png", "-o", "c.safetensors", "--grey", "--max-side", "16", *SMALL]
    assert _cli.main([*argv, "--json"]) == 0
    spec = json.loads(capsys.readouterr().out)["spec"]
    assert (spec["size"], spec["channels"]) == ([12, 16], 1)


def test_a_preset_keeps_its_habits_when_a_part_is_changed(here, capsys):
    argv = ["fit", "photo.png", "--preset", "siren", "--width", "8", "--depth", "2"]
    assert _cli.main([*argv, "--steps", "5", "--json"]) == 0
    spec = json.loads(capsys.readouterr().out)["spec"]
    assert (spec["width"], spec["depth"]) == (8, 2)
    assert spec["activation"].startswith("sine")


def test_another_trainer_does_not_take_a_presets_pixels(here, capsys):
    # which least squares would refuse; "lbfgs" would stay with the same few for ever
    small = ["--width", "4", "--depth", "1", "--steps", "2", "--force", "--json"]
    for name in ("least_squares", "auto", "lbfgs"):
        argv = ["fit", "photo.png", "--preset", "convnetjs", "--trainer", name, *small]
        assert _cli.main(argv) == 0
        assert json.loads(capsys.readouterr().out)["steps"] == 2


def test_without_a_name_nothing_is_replaced(here, capsys):
    Path("photo.safetensors").write_text("mine")
    err = refused(capsys, "fit", "photo.png", *SMALL)
    assert "photo.safetensors exists" in err
    assert Path("photo.safetensors").read_text() == "mine"
    assert _cli.main(["fit", "photo.png", "--force", "--quiet", *SMALL]) == 0
    assert cn.load("photo.safetensors").spec.width == 8


# --- errors ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["fit", "absent.png"], "absent.png: No such file"),
        (["fit", "photo.png", "--steps", "many"], "--steps"),
        (["fit", "photo.png", "--seed", "-1"], "from 0 to 4294967295, got '-1'"),
        (["fit", "photo.png", "--seed", "4294967296"], "--seed: a seed is a whole number"),
        (
            ["fit", "photo.png", "--steps", "-1"],
            "`steps` must be a whole number of at least 0, got -1",
        ),
        (["fit", "photo.png", "--preset", "sirne"], "did you mean 'siren'?"),
        (["fit", "photo.png", "--preset", "sirne", "--width", "9"], "did you mean 'siren'?"),
        (["fit", "photo.png", "--width", "9999999"], "weights are too many"),
        (["fit", "photo.png", "--report", "a.pdf"], "a.pdf: the report is a page"),
        (["fit", "photo.png", "--film", "a.mp4", "--film-size", "0"], "such as 480 or 640x480"),
        (["fit", "empty.png", "-o", "a.safetensors"], "empty.png: .*the file is empty"),
        (["art", "1", "2", "-o", "a.png"], "a.png: of several seeds a folder is made"),
        (["fit", "photo.png", "--activation", "zigzag"], "zigzag"),
        (["fit", "photo.png", "--sampling", "some"], "some"),
        (["fit", "photo.png", "--trainer", "least_square"], "did you mean 'least_squares'?"),
        (["fit", "photo.png", "-o", "no/such/a.safetensors"], "no/such"),
        (["fit", "photo.png", "-o", "a.png"], ".safetensors"),
        (["fit", "photo.png", "--film", "a.xyz"], ".xyz"),
        (["fit", "photo.png", "--render", "a.xyz"], ".xyz"),
        (["fit", "photo.png", "--init", "photo.png"], "photo.png"),
        (["fit", "broken.png", "-o", "a.safetensors"], "broken.png"),
        (["fit", "empty"], "empty: Is a directory"),
        (["fit", "net.safetensors"], "net.safetensors: a network, not a picture"),
        (["fit", "photo.png", "--film-size", "100"], "name it with --film"),
        (["render", "photo.png", "-o", "a.png"], "photo.png: not a network; make one"),
        (["render", "net.safetensors", "--size", "640"], "640x480"),
        (["render", "net.safetensors", "--window", "0,1"], "expected 4 numbers"),
        (["render", "net.safetensors", "--window", "1,0,0,1"], "left to right"),
        (["render", "net.safetensors", "--scale", "0", "-o", "b.png"], "scale"),
        (["video", "empty", "-o", "a.mp4"], "empty"),
        (["video", "photo.png", "-o", "a.mp4", "--zoom", "3"], "--zoom is for a network"),
        (["video", "net.safetensors", "-o", "a.mp4", "--steps", "3"], "--steps is for a picture"),
        (["info", "broken.png"], "broken.png"),
        (["info", "broken.safetensors"], "broken.safetensors"),
        (["art", "one"], "a seed is a whole number from 0"),
        (["art", "1", "-o", "a.pgm"], "a.pgm: PGM is for 1 channel"),
        (["render", "net.safetensors", "--bits", "16", "-o", "a.jpg"], "JPEG has no 16 bits"),
    ],
)
def test_a_users_error_is_one_line_and_2(here, network, capsys, argv, says):
    Path("broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    Path("broken.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{" + b"?" * 30)
    Path("empty").mkdir()
    Path("empty.png").touch()
    before = sorted(here.iterdir())
    assert re.search(says.replace("?", r"\?"), refused(capsys, *argv))
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("channels", "name", "says"),
    [(4, "a.jpg", "JPEG has no transparency"), (1, "a.ppm", "PPM for 3, got 1")],
)
def test_a_render_that_cannot_be_written_is_refused_before_the_fit(
    here, monkeypatch, capsys, channels, name, says
):
    write_image("other.png", np.full((8, 8, channels), 0.5, np.float32))
    monkeypatch.setattr("coordnet._fit.fit", None)  # which must not be reached
    assert says in refused(capsys, "fit", "other.png", "--render", name, *SMALL)


@pytest.mark.parametrize(
    ("argv", "one", "other"),
    [
        (["-o", "x.safetensors", "--checkpoint", "x.safetensors"], "-o", "--checkpoint"),
        (["--checkpoint", "photo.safetensors"], "-o", "--checkpoint"),
        (["--render", "../HERE/photo.png"], "the picture", "--render"),
        (["--checkpoint", "link.png"], "the picture", "--checkpoint"),
        (["--mask", "mask.png", "--film", "mask.png"], "--mask", "--film"),
        (["--render", "a.png", "--film", "./a.png"], "--film", "--render"),
        (["--render", "a.png", "--report", "a.png"], "--render", "--report"),
    ],
)
def test_no_file_is_written_twice_or_over_what_is_read(here, capsys, argv, one, other):
    Path("link.png").symlink_to("photo.png")
    before = Path("photo.png").read_bytes()
    argv = [part.replace("HERE", here.name) for part in argv]
    err = refused(capsys, "fit", "photo.png", *argv, *SMALL)
    assert f": {one} and {other} are the same file" in err
    assert Path("photo.png").read_bytes() == before


def test_a_film_does_not_replace_its_source(here, capsys):
    Image.new("L", (8, 8)).save("moving.gif")
    err = refused(capsys, "video", "moving.gif", "-o", "moving.gif", *SMALL)
    assert "the source and -o are the same file" in err


@pytest.mark.parametrize("argv", [["info", "photo.png"], ["fit", "--help"]])
def test_a_reader_of_stdout_may_leave(here, argv):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "coordnet", *argv],
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device to write to")
def test_what_cannot_be_printed_is_told(here):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "coordnet", "info", "photo.png"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "coordnet: stdout: No space left on device\n")


def test_a_bug_keeps_its_traceback(here, monkeypatch):
    monkeypatch.setattr("coordnet._commands.run_info", lambda o: np.linalg.inv(np.zeros(3)))
    with pytest.raises(np.linalg.LinAlgError):  # a ValueError that is not of ours
        _cli.main(["info", "photo.png"])


def test_what_an_operation_of_ours_raises_is_a_bug_too(here, monkeypatch):
    monkeypatch.setattr("coordnet._commands._info_of_picture", None)
    with pytest.raises(TypeError, match="not callable"):  # raised by the call, in our own frame
        _cli.main(["info", "photo.png"])


def test_a_trainer_by_name(here):
    call = ["fit", "photo.png", "--preset", "lenna", "--steps", "2", "--quiet"]
    assert _cli.main([*call, "--trainer", "least_squares", "-o", "a.safetensors"]) == 0
    assert _cli.main([*call, "--trainer", "auto", "-o", "b.safetensors"]) == 0
    assert _cli.main([*call, "-o", "c.safetensors"]) == 0
    a, b, c = (cn.load(f"{name}.safetensors").layers[0].weight[...] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_width_alone_is_of_the_default_network(here):
    assert _cli.main(["fit", "photo.png", "--width", "8", "--steps", "2", "--quiet"]) == 0
    spec = cn.load("photo.safetensors").spec
    assert (spec.encoding.split("(")[0], spec.width) == ("grid", 8)


# --- Ctrl-C ---------------------------------------------------------------------------
@pytest.mark.parametrize("film", [False, True])
def test_ctrl_c_keeps_the_best_and_exits_130(here, film):
    argv = [sys.executable, "-m", "coordnet", "fit", "photo.png", "--seconds", "100", "--json"]
    argv += ["--width", "8", "--depth", "1", "-o", "a.safetensors"]
    argv += ["--checkpoint", "a.ckpt", "--checkpoint-every", "100"]
    if film:
        argv += ["--film", "a.gif"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        limit = time.monotonic() + 60
        while not Path("a.ckpt").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert "interrupted" in err
    assert json.loads(out)["stopped"] == "interrupt"
    assert cn.load("a.safetensors").spec.width == 8
    assert Path("a.gif").exists() == film


def test_ctrl_c_elsewhere_is_130_without_a_traceback(here, monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("coordnet._commands.run_info", interrupted)
    assert _cli.main(["info", "photo.png"]) == 130
    assert capsys.readouterr().err == "coordnet: interrupted\n"


# --- the other commands ---------------------------------------------------------------
def test_render_sizes_windows_and_bits(network, capsys):
    for argv, shape in (
        ([], (24, 32)),
        (["--size", "40x20"], (20, 40)),
        (["--height", "48"], (48, 64)),
        (["--scale", "0.5"], (12, 16)),
        (["--window", "-0.5,0.5,-0.75,0", "--scale", "2"], (24, 32)),
    ):
        assert _cli.main(["render", network, "-o", "a.png", *argv]) == 0
        assert read_image("a.png").shape == (*shape, 3)
        assert f"{shape[1]}x{shape[0]}" in capsys.readouterr().out
    assert _cli.main(["render", network, "--bits", "16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == [32, 24]
    assert read_image("net.png", info=True)[1].bits == 16


def test_video_of_a_fit_a_zoom_and_a_folder(network, capsys):
    Path("frames").mkdir()
    write_image("frames/0.png", np.zeros((8, 8, 3), np.float32))
    for source, more in (
        ("photo.png", ["--frames", "4", *SMALL]),
        (network, ["--frames", "3", "--to", "-0.2,0.1", "--zoom", "4", "--size", "40x40"]),
        ("frames", []),
    ):
        assert _cli.main(["video", source, "-o", "a.gif", *more]) == 0
        assert capsys.readouterr().out.startswith("a.gif  ")
        assert Path("a.gif").read_bytes()[:4] == b"GIF8"
        Path("a.gif").unlink()


def test_info_of_a_network_a_checkpoint_and_a_picture(network, capsys):
    argv = ["fit", "photo.png", "--checkpoint", "a.ckpt", "--quiet", *SMALL]
    assert _cli.main(argv) == 0
    for file, kind in ((network, "network"), ("a.ckpt", "checkpoint"), ("photo.png", "picture")):
        assert _cli.main(["info", file]) == 0
        assert capsys.readouterr().out.startswith(f"{file}  {kind}  ")
        assert _cli.main(["info", file, "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["kind"], record["bytes"]) == (kind, Path(file).stat().st_size)
    assert record["size"] == [32, 24]


def test_art(here, capsys):
    assert _cli.main(["art", "7", "-o", "a.png", "--size", "40x30"]) == 0
    assert read_image("a.png").shape == (30, 40, 3)
    capsys.readouterr()
    assert _cli.main(["art", "1", "2", "-o", "gallery", "--size", "16x16", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 2
    assert sorted(p.name for p in Path("gallery").iterdir()) == ["art-1.png", "art-2.png"]


def test_demo(here, capsys):
    assert _cli.main(["demo", "--image", "photo.png", "--steps", "30", "-o", "shown"]) == 0
    assert "index.html" in capsys.readouterr().out
    assert Path("shown/index.html").exists()


def test_compress_info_and_decompress(here, capsys):
    assert _cli.main(["compress", "photo.png", "--max-bytes", "2400", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert _cli.main(["info", "photo.cnet"]) == 0
    out = capsys.readouterr().out.splitlines()
    size = (here / "photo.cnet").stat().st_size
    assert out[0].startswith("photo.cnet  compressed picture  32x24  RGB")
    # the bytes of the parts are those of the file
    parts = [re.fullmatch(r"  (.*?)  +([\d,]+) B +[\d.]+ %", line) for line in out[1:]]
    assert {m[1] for m in parts if m} == {"header", "samples, exactly"}
    assert sum(int(m[2].replace(",", "")) for m in parts if m) == size <= 2400
    assert _cli.main(["decompress", "photo.cnet", "-o", "back.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "back.png"
    np.testing.assert_array_equal(read_image("back.png"), read_image("photo.png"))
    assert _cli.main(["decompress", "photo.cnet", "-o", "large.png", "--height", "48"]) == 0
    assert read_image("large.png").shape == (48, 64, 3)
    capsys.readouterr()
    assert "allows 3 bytes; the smallest file" in refused(
        capsys, "compress", "photo.png", "-o", "no.cnet", "--max-bytes", "3"
    )
    assert "not a .cnet file" in refused(capsys, "decompress", "photo.png", "-o", "no.png")
    (here / "cut.cnet").write_bytes((here / "photo.cnet").read_bytes()[:-9])
    assert "cut.cnet: the .cnet file is damaged" in refused(capsys, "info", "cut.cnet")
    assert not (here / "no.cnet").exists()


def test_a_network_is_compressed_too(network, capsys):
    assert _cli.main(["compress", network, "-o", "net.cnet", "--max-bytes", "150"]) == 0
    assert re.search(r"net\.cnet.* bpp  \d\d\.\d\d dB", capsys.readouterr().out)
    assert os.path.getsize("net.cnet") <= 150
    assert _cli.main(["info", "net.cnet"]) == 0
    assert "weights of layer 1, 16" in capsys.readouterr().out


def test_a_compressed_picture_is_drawn_and_filmed(tmp_path, capsys):
    source = Path(__file__).parent / "golden" / "mask.cnet"
    assert _cli.main(["render", str(source), "-o", str(tmp_path / "a.png"), "--height", "120"]) == 0
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.info["exif"] == cn.decompress(source).info.exif
    film = ["video", str(source), "-o", str(tmp_path / "a.mp4"), "--frames", "2", "--size", "32x48"]
    assert _cli.main([*film, "--quiet"]) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 500
    picture = str(tmp_path / "a.png")
    assert _cli.main(["compress", picture, "-o", str(tmp_path / "b.png")]) != 0
    assert "give it that extension" in capsys.readouterr().err
