"""Training on a folder of one's own: the card, the stages, going on, and what is refused."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flax import nnx
from PIL import Image, ImageCms
from test_jpeg import photo

import coordnet as cn
from coordnet import _cli, _commands_restore
from coordnet._color import to_uint8
from coordnet.restore import _ridge, _train
from coordnet.restore._cleaner import seen
from coordnet.restore._jpeg import as_jpeg, read_jpeg
from coordnet.restore._stream import Folder
from coordnet.restore._train import keep_triptychs, look_of, painters_of, train_upscale
from coordnet.restore._upscaler import Upscaler
from coordnet.restore._weights import read_weights, write_weights


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(_train, "_WATCHED_SIDE", 48)
    place = tmp_path / "pictures"
    place.mkdir()
    for k in range(12):  # of whose names one in ten is set aside
        Image.fromarray(photo(300, 320, k)).save(place / f"p{k}.png")
    (place / "notes.txt").write_text("no picture")
    (place / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return place


def test_a_training_of_seconds(folder, tmp_path):
    output, stages = tmp_path / "mine.safetensors", []
    card = train_upscale(
        folder, output, name="mine", minutes=0.03, width=4, blocks=1, note="drawn",
        watch=stages.append, every=1.0,
    )  # fmt: skip
    net, found = read_weights(output, "upscale")
    assert found == json.loads(json.dumps(card))
    assert (card["name"], card["note"], net.trunk.blocks) == ("mine", "drawn", 1)
    assert len(card["pictures"]) + len(card["set aside"]) == 12
    assert set(card["set aside"]).isdisjoint(card["pictures"])
    assert len(card["look"]["mean colour"]) == 3
    assert card["look"]["edges"] == sorted(card["look"]["edges"])
    assert not output.with_suffix(".checkpoint").exists()
    assert stages[-1].step > 0
    for stage in stages:
        assert len(stage.triptychs) == len(card["set aside"])
        assert all(t.shape == (48, 3 * 48, 3) for t in stage.triptychs)
    paths = keep_triptychs(tmp_path / "stages", stages[-1])
    assert [cn.read_image(p).shape for p in paths] == [(48, 144, 3)] * len(paths)
    small = np.full((8, 8, 3), 0.5, np.float32)
    assert cn.upscale(small, 2, model=output).shape == (16, 16, 3)


def test_so_many_pictures_are_watched_and_no_more(folder, monkeypatch):
    for k in (18, 27):  # that are set aside, as p8 is
        Image.fromarray(photo(300, 320, k)).save(folder / f"p{k}.png")
    pictures = Folder(folder)
    assert [path.name for path in pictures.validation] == ["p18.png", "p27.png", "p8.png"]
    assert len(_train._watched(pictures)) == 3
    monkeypatch.setattr(_train, "_WATCHED", 2)
    assert len(_train._watched(pictures)) == 2


def test_the_card_says_who_painted(folder, caplog):
    (folder / "list.csv").write_text(
        "\ufefffile,painter,year\np0.png,Monet,1906\np1.png,Monet,1866\np2.png,Vermeer,1665\n"
        "p3.png,,1700\nlost.png,Nobody,1\n",
        encoding="utf-8",
    )
    (folder / "other.csv").write_text("name,age\np4.png,3\n")
    # of what is broken in its midst nothing is taken
    rows = b"p5.png,Klimt\n" * 2000
    (folder / "torn.csv").write_bytes(b"file,painter\n" + rows + b"p6.png,\xff\xfe\n")
    within = folder / "within"
    within.mkdir()
    Image.fromarray(photo(300, 320, 0)).save(within / "p4.png")  # of another place
    pictures = Folder(folder)
    caplog.clear()
    names = {path.name for path in pictures.training}
    assert {"p0.png", "p1.png", "p2.png"} <= names
    found = painters_of(pictures)
    assert found == {"painters": {"Monet": 2, "Vermeer": 1}}
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["left out"]
    assert "torn.csv" in caplog.text
    (folder / "list.csv").unlink()
    assert painters_of(pictures) == {}


def test_a_training_goes_on_from_another_network(folder, tmp_path):
    first, output = tmp_path / "first.safetensors", tmp_path / "mine.safetensors"
    tiny: dict[str, Any] = {"minutes": 1e-9, "every": 1.0}
    before = train_upscale(folder, first, name="first", width=4, blocks=1, seed=3, **tiny)
    card = train_upscale(folder, output, name="mine", begin=first, **tiny)
    assert card["begun from"] == before
    (old, _), (new, _) = (read_weights(path, "upscale") for path in (first, output))
    assert new.trunk.blocks == 1
    # a step or two, of a 200th of the highest rate to begin with; of another seed it is 0.5
    off = np.abs(new.trunk.first.kernel[...] - old.trunk.first.kernel[...])
    assert off.max() < 0.01
    maps = tmp_path / "maps.safetensors"
    write_weights(_ridge.Ridge(rngs=nnx.Rngs(0)), maps, "dejpeg", {}, {"name": "maps"})
    with pytest.raises(cn.FormatError, match="weights for dejpeg, where those for upscale"):
        train_upscale(folder, output, name="mine", begin=maps)
    with pytest.raises(ValueError, match=r"first\.safetensors: is what is begun from"):
        train_upscale(folder, first, name="mine", begin=str(first))
    with pytest.raises(ValueError, match="`width` and `blocks` must be at least the 4 and 1"):
        train_upscale(folder, output, name="mine", begin=first, width=3)
    train_upscale(folder, output, name="mine", begin=first, width=6, **tiny)
    wide = read_weights(output, "upscale")[0].trunk
    assert (wide.first.out_features, wide.blocks) == (6, 1)
    off = np.abs(wide.first.kernel[..., :4] - old.trunk.first.kernel[...])
    assert off.max() < 0.01  # as above: what was learnt is still there
    with pytest.raises(
        ValueError, match="`begin` must be 'photos' or 'paintings' or 'medium' or the path"
    ):
        train_upscale(folder, output, name="mine", begin="cats")


def test_a_run_that_was_begun_from_a_network_goes_on_from_that_alone(folder, tmp_path):
    form = {"width": 4, "blocks": 1}
    first, second = (tmp_path / f"{name}.safetensors" for name in ("first", "second"))
    for path in (first, second):
        net = Upscaler(**form, rngs=nnx.Rngs(0))
        write_weights(net, path, "upscale", form, {"name": path.stem})
    output = tmp_path / "mine.safetensors"

    def stop(stage):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_upscale(folder, output, name="mine", begin=first, watch=stop, every=0.1, minutes=5)
    others: list[dict[str, Any]] = [{"begin": second}, form]
    for other in others:
        with pytest.raises(ValueError, match="another network to begin from"):
            train_upscale(folder, output, name="mine", **other)
    card = train_upscale(folder, output, name="mine", begin=first, minutes=1e-9)
    assert card["begun from"] == {"name": "first"}


def test_maps_in_closed_form(tmp_path, monkeypatch):
    """On the very pictures that they learnt from, linear maps never lose in the mean of squares."""
    for k in range(3):
        Image.fromarray(photo(256, 256, k)).save(tmp_path / f"p{k}.png")
    monkeypatch.setattr(_ridge, "QUALITIES", (20, 80))
    monkeypatch.setattr(_train, "solved", partial(_ridge.solved, pictures=4))
    _ridge._told.cache_clear()
    output = tmp_path / "mine.safetensors"
    card = cn.train_dejpeg(tmp_path, output, name="mine", note="drawn")
    assert card["note"] == "drawn"
    assert read_weights(output, "dejpeg")[1] == json.loads(json.dumps(card))
    clean = cn.read_image(tmp_path / "p0.png")
    for quality in (20, 80):
        data = as_jpeg(photo(256, 256, 0), quality, subsampling=2)
        found, plain = cn.dejpeg(data, model=output), cn.dejpeg(data, strength=0, model=output)
        assert cn.psnr(found, clean) > cn.psnr(plain, clean) + 0.2
        # tables at other places of a picture that is no multiple of blocks: nothing is lost
        part = as_jpeg(photo(256, 256, 0)[:51, :70], quality, subsampling=2)
        assert cn.dejpeg(part, model=output).shape == (51, 70, 3)
    grey = as_jpeg(photo(256, 256, 0)[..., 0], 20)
    assert cn.dejpeg(grey, model=output).shape == (256, 256, 1)
    with pytest.raises(cn.FormatError, match="weights for dejpeg, where those for upscale"):
        cn.upscale(clean, 2, model=output)
    _ridge._told.cache_clear()


def test_grey_files_take_the_map_of_their_quality():
    """Which is told by the steps of luma: the other half of what is told repeats them."""
    net = _ridge.Ridge(rngs=nnx.Rngs(0))
    for place, quality in enumerate(_ridge.QUALITIES):
        shown = seen(read_jpeg(as_jpeg(photo(64, 64)[..., 0], quality)))
        maps = np.zeros_like(net.luma[...])
        maps[place, 300] = 0.5
        net.luma[...] = maps
        assert np.abs(net(shown)[..., 0] - shown.planes[..., 0]).max() > 1, quality


def test_a_run_goes_on_with_its_own_pictures_alone(folder, tmp_path):
    output, tiny = tmp_path / "mine.safetensors", {"width": 4, "blocks": 1, "name": "mine"}

    def stop(stage):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_upscale(folder, output, minutes=5, watch=stop, every=0.2, **tiny)
    assert output.with_suffix(".checkpoint").is_file()
    (folder / "p0.png").unlink()
    with pytest.raises(ValueError, match="pictures"):
        train_upscale(folder, output, minutes=0.01, **tiny)
    assert not output.exists()


def test_an_interrupted_command_says_how_to_go_on(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def stopped(folder, output, **options):
        output.with_suffix(".checkpoint").write_bytes(b"")
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "train_upscale", stopped)
    for said in ("mine.checkpoint is kept; the same command goes on", "goes on from "):
        assert _cli.main(["train", "upscale", str(folder), "--name", "mine"]) == 130
        assert said in capsys.readouterr().err


def test_odd_pictures_of_a_folder(tmp_path):
    """One pixel wide, too small to be reduced, cut short: none of them ends a training."""
    place = tmp_path / "pictures"
    place.mkdir()
    for k in range(3):
        Image.fromarray(photo(300, 320, k)).save(place / f"p{k}.png")
    for name in ("p15", "p22", "p8"):  # set aside, by their names
        Image.fromarray(photo(3, 1)).save(place / f"{name}.png")
    (place / "cut.png").write_bytes((place / "p1.png").read_bytes()[:3000])
    card = train_upscale(
        place, tmp_path / "a.safetensors", name="a", minutes=0.01, width=4, blocks=1,
        watch=lambda stage: None, every=1,
    )  # fmt: skip
    assert "look" in card
    lonely = tmp_path / "one"
    lonely.mkdir()
    Image.fromarray(photo(3, 1)).save(lonely / "p8.png")
    pictures = _train.Folder(lonely)
    assert (len(pictures.training), len(pictures.validation)) == (1, 0)
    assert look_of(pictures) == {}


def test_what_a_command_refuses_before_its_work(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fail = "coordnet.restore._upscale.enlarged"
    bare = folder / "bare.safetensors"
    write_weights(Upscaler(4, 1, rngs=nnx.Rngs(0)), bare, "upscale", {"width": 4, "blocks": 1}, {})
    monkeypatch.setattr(fail, lambda *_, **__: pytest.fail("it worked in vain"))
    for argv, match in (
        (["upscale", str(folder / "p0.png"), "2", "-o", "a.gif"], "a.gif"),
        (["train", "upscale", str(folder), "--name", "a", "--watch", str(folder / "w")], "within"),
        (["train", "dejpeg", str(folder), "--name", "a", "--watch", "w"], "for `train upscale`"),
        (["train", "dejpeg", str(folder), "--name", "a", "--minutes", "1"], "for `train upscale`"),
        (
            ["train", "dejpeg", str(folder), "--name", "a", "--begin", "photos"],
            "for `train upscale`",
        ),
        (["upscale", str(folder / "p0.png"), "2", "--model", str(bare)], "no card that names"),
        (["upscale", str(folder / "p0.png"), "1e308"], "`scale` must be above 0"),
    ):
        assert _cli.main(argv) == 2
        assert match in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures"]


def test_what_made_a_file_is_said_whatever_its_exif_holds():
    rng = np.random.default_rng(0)
    for _ in range(300):
        block = b"Exif\0\0MM\0*\0\0\0\x08" + rng.bytes(int(rng.integers(0, 60)))
        info = _commands_restore._signed(cn.ImageInfo(8, "RGB", exif=block), "upscale")
        found = Image.Exif()
        found.load(info.exif or b"")
        assert found[0x0131] == "coordnet upscale"
        assert _commands_restore.software(info.exif) == "coordnet upscale"


def test_what_a_foreign_file_says_made_it_is_one_line():
    for said, expected in ((" a\x1b[31m\r\nb\t ", "a[31mb"), ("\n", None)):
        exif = Image.Exif()
        exif[0x0131] = said
        assert _commands_restore.software(exif.tobytes()) == expected
    head = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x31"
    number = head + b"\0\x03\0\0\0\x01\0\x07\0\0\0\0\0\0"  # where a text should be
    for nothing in (None, b"", b"Exif\0\0", head + b"\0\x02\xff", number):
        assert _commands_restore.software(nothing) is None


def test_a_card_within_a_card_is_listed_further_in():
    within = {"name": "small", "minutes": 46, "pictures": list(range(13))}
    listed = _commands_restore._listed({"name": "more", "begun from": within}, "\n  ")
    assert listed == (
        "\n  name: more\n  begun from:\n    name: small\n    minutes: 46\n    pictures: 13"
    )


def test_sizes_in_exif_are_not_kept():
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA002: 640, 0xA003: 480, 0x829A: 0.5})
    info = _commands_restore._signed(cn.ImageInfo(8, "RGB", exif=exif.tobytes()), "upscale")
    found = Image.Exif()
    found.load(info.exif or b"")
    assert dict(found.get_ifd(0x8769)) == {0x829A: 0.5}


def test_look(tmp_path):
    """By hand: half of the neighbours are equal, half are 100 apart."""
    stripes = np.zeros((20, 41, 3), np.uint8)
    stripes[:, 1::4] = stripes[:, 2::4] = 100
    stripes[..., 2] = np.where(stripes[..., 2] > 0, 100, 0)
    Image.fromarray(stripes).save(tmp_path / "a.png")
    found = look_of(_train.Folder(tmp_path))
    assert found["edges"][0] == 0
    assert found["edges"][2:] == [100, 100]
    assert found["mean colour"] == pytest.approx([stripes[..., 0].mean()] * 3, abs=0.05)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"name": "two words"}, "`name` must be of letters"),
        ({"minutes": 0}, "`minutes` must be above 0"),
        ({"blocks": 0}, "`blocks` must be a whole number from 1 to 4096, got 0"),
        ({"width": 5000}, "`width` must be a whole number from 1 to 4096, got 5000"),
        ({"output": "a.bin"}, r"a\.bin: weights are a \.safetensors file"),
        ({"folder": "none"}, "none: is not a folder"),
    ],
)
def test_what_is_refused(folder, tmp_path, monkeypatch, options, match):
    monkeypatch.chdir(tmp_path)
    options = {"folder": folder, "output": "a.safetensors", "name": "mine", "minutes": 1} | options
    with pytest.raises(ValueError, match=match):
        train_upscale(**options)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no picture that can be read"):
        train_upscale(tmp_path / "empty", "a.safetensors", name="mine")
    assert not list(tmp_path.glob("a.*"))


def test_on_the_command_line(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (folder / "list.csv").write_text("file,painter\np0.png,Cézanne\n", "utf-8")
    train = ["train", "upscale", str(folder), "--name", "mine", "--minutes", "0.02"]
    assert _cli.main([*train, "--watch", "stages", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["file"] == "mine.safetensors"
    assert record["card"]["name"] == "mine"
    assert list((tmp_path / "stages").glob("0-*.jpg"))
    assert _cli.main(["info", "mine.safetensors"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mine.safetensors  weights for upscale")
    assert "\n  name: mine\n" in out
    assert "\n  painters: Cézanne 1\n" in out
    source, large = str(folder / "p0.png"), str(tmp_path / "large.png")
    assert _cli.main(["upscale", source, "1.5", "-o", large, "--model", "mine.safetensors"]) == 0
    assert "480x450" in capsys.readouterr().out
    assert cn.read_image(large).shape == (450, 480, 3)
    with Image.open(large) as opened:
        said = opened.getexif()[0x0131]
    many = len(record["card"]["pictures"])
    by = f"coordnet upscale; detail invented by mine, learnt from {many} pictures"
    assert said == f"{by}, 1 of them by Cezanne"
    assert _cli.main(["info", large]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  by {said}"
    same = str(tmp_path / "same.png")
    assert _cli.main(["upscale", source, "1", "-o", same, "--model", "mine.safetensors"]) == 0
    capsys.readouterr()
    assert _cli.main(["info", same]) == 0
    assert "  by coordnet upscale; repaired by mine, learnt from " in capsys.readouterr().out
    further = ["train", "upscale", str(folder), "--name", "more", "--minutes", "1e-9"]
    assert _cli.main([*further, "--begin", "mine.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["begun from"] == record["card"]
    assert _cli.main(["upscale", source, "1", "-o", same, "--model", "more.safetensors"]) == 0
    with Image.open(same) as opened:
        assert opened.getexif()[0x0131].endswith(" by Cezanne, begun from mine")
    assert _cli.main(["upscale", source, "-o", large, "--model", "mine.safetensors"]) == 2
    assert "give `scale`" in capsys.readouterr().err
    assert _cli.main(["upscale", source, "2", "-o", source, "--model", "mine.safetensors"]) == 2
    assert "are the same file" in capsys.readouterr().err


def test_dejpeg_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    clean = Image.fromarray(photo(40, 56))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = Image.Exif()
    turned[0x0112] = 6
    clean.save("bad.jpg", quality=30, exif=turned, icc_profile=profile, dpi=(300, 300))
    assert _cli.main(["dejpeg", "bad.jpg", "-o", "good.png"]) == 0
    assert "40x56" in capsys.readouterr().out
    with Image.open("good.png") as opened:
        assert opened.info["icc_profile"] == profile
        assert opened.info["dpi"] == pytest.approx((300, 300), abs=0.1)  # PNG has whole metres
        assert opened.getexif()[0x0131] == "coordnet dejpeg"
        assert opened.getexif().get(0x0112, 1) == 1
        np.testing.assert_array_equal(opened, to_uint8(cn.dejpeg("bad.jpg")))
    Path("cut.jpg").write_bytes(Path("bad.jpg").read_bytes()[:-300])
    clean.convert("CMYK").save("four.jpg")
    for name in ("cut", "four"):
        assert _cli.main(["dejpeg", f"{name}.jpg", "-o", f"{name}.png"]) == 2
        assert f"{name}.jpg: " in capsys.readouterr().err
        assert not Path(f"{name}.png").exists()
    Path("scans").mkdir()
    Image.fromarray(photo(256, 256)).save("scans/a.png")
    monkeypatch.setattr(_ridge, "QUALITIES", (20, 80))
    monkeypatch.setattr(_train, "solved", partial(_ridge.solved, pictures=4))
    _ridge._told.cache_clear()
    assert _cli.main(["train", "dejpeg", "scans", "--name", "maps"]) == 0
    assert _cli.main(["dejpeg", "bad.jpg", "-o", "maps.png", "--model", "maps.safetensors"]) == 0
    _ridge._told.cache_clear()
    assert cn.read_image("maps.png").shape == (56, 40, 3)


def test_upscale_keeps_what_a_file_has(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    form = {"width": 4, "blocks": 1}
    write_weights(
        Upscaler(**form, rngs=nnx.Rngs(0)), "a.safetensors", "upscale", form, {"name": "a"}
    )
    deep = np.linspace(0, 1, 24 * 30 * 3, dtype=np.float32).reshape(24, 30, 3)
    cn.write_image("deep.png", deep, bits=16)
    Image.fromarray(photo(24, 30)).quantize(16).save("few.png", dpi=(200, 200))
    for name, bits in (("deep", 16), ("few", 8)):
        large = f"{name}-large.png"
        assert _cli.main(["upscale", f"{name}.png", "2", "--model", "a.safetensors"]) == 0
        found, info = cn.read_image(large, info=True)
        assert (found.shape, info.bits) == ((48, 60, 3), bits)
    with Image.open("few-large.png") as opened:
        assert opened.info["dpi"] == pytest.approx((200, 200), abs=0.1)
    expected = cn.upscale(cn.read_image("deep.png"), 2, model="a.safetensors")
    # rounded to 16 bits once
    assert np.abs(cn.read_image("deep-large.png") - expected).max() < 0.51 / 65535
