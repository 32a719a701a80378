"""The picture-to-picture networks: what they see, tiles that are the whole, resumed training."""

import io
import itertools
import logging
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
from flax import nnx
from PIL import Image
from safetensors.numpy import load_file, save_file
from test_jpeg import photo

from coordnet import FormatError, data_card, images_folder, psnr, sample_image
from coordnet._color import to_uint8
from coordnet.restore import _degrade, _dejpeg, _learn
from coordnet.restore._cleaner import Cleaner, Crops, cells, cost, seen, uncelled
from coordnet.restore._degrade import crops
from coordnet.restore._jpeg import as_jpeg, blocked, coefficients, read_jpeg
from coordnet.restore._patches import CELL, PatchMLP, scaled_tanh
from coordnet.restore._planes import enlarged, reduced, to_rgb, to_ycc
from coordnet.restore._stream import Folder
from coordnet.restore._weights import MODELS, read_weights, write_weights


@pytest.fixture
def folder(tmp_path):
    for k in range(6):
        Image.fromarray(photo(300, 320, k)).save(tmp_path / f"p{k}.png")
    return tmp_path


def wild(width=8, blocks=1, seed=0):
    """Return a network that says something: its last layer does not begin at zero."""
    net = Cleaner(width, blocks, rngs=nnx.Rngs(seed))
    shape = net.last.kernel.shape
    net.last.kernel[...] = 0.02 * jax.random.normal(jax.random.key(seed), shape)
    net.place[...] = jax.random.normal(jax.random.key(seed + 1), net.place.shape)
    return net


def test_cells_come_back():
    planes = np.random.default_rng(0).normal(size=(2, 6, 8, 5)).astype(np.float32)
    assert np.array_equal(uncelled(cells(planes)), planes)
    assert np.array_equal(cells(planes)[1, 2, 3].reshape(2, 2, 5), planes[1, 4:6, 6:8])


def test_a_fresh_network_gives_back_the_base():
    shown = seen(read_jpeg(as_jpeg(photo(), 40, subsampling=0)))
    found = _dejpeg.cleaned(Cleaner(8, 1, rngs=nnx.Rngs(0)), shown, keep_bins=False, side=16)
    np.testing.assert_allclose(found, shown.planes[..., :3], atol=1e-4)  # float32 of 255


@pytest.mark.parametrize("size", [(64, 96), (33, 51), (1, 1)])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_tiles_are_the_whole(size, subsampling):
    picture = photo(*size) if size != (1, 1) else photo()[:1, :1]
    shown = seen(read_jpeg(as_jpeg(picture, 30, subsampling=subsampling)))
    net = wild()
    small, large = (_dejpeg.cleaned(net, shown, side=side) for side in (8, 56))
    assert np.array_equal(small, large)
    if size != (1, 1):
        assert np.abs(small - shown.planes[..., :3]).max() > 1


@pytest.mark.parametrize("subsampling", [0, 2])
def test_bins_are_kept(subsampling):
    shown = seen(read_jpeg(as_jpeg(photo(), 30, subsampling=subsampling)))
    net = wild()
    found = _dejpeg.cleaned(net, shown, side=16)
    free = _dejpeg.cleaned(net, shown, side=16, keep_bins=False)
    for k, said in enumerate(shown.bins):
        off = [
            np.abs(coefficients(blocked(reduced(v[..., k], shown.stored[k]))) - said.centres)
            for v in (found, free)
        ]
        within = [(o <= 0.551 * said.table)[said.known & ~flat_blocks(shown, k)] for o in off]
        assert within[0].all()
        if k == 0:
            assert not within[1].all()  # or the test would show nothing


@pytest.mark.parametrize(("quality", "share"), [(30, 0.99), (85, 0.96)])
def test_saved_again_a_file_is_what_it_was(quality, share):
    """All but what rounding to 8 bits moves: of Classic5 0.998 of it at 30, 0.989 at 85."""
    data = as_jpeg(to_uint8(sample_image())[:128, :128, 1], quality)

    def said(of):
        return np.rint(coefficients(blocked(of.planes[0])) / of.tables[0])

    found = to_uint8(_dejpeg.dejpeg(data))[..., 0]
    before, after = read_jpeg(data), read_jpeg(as_jpeg(found, quality))
    assert (said(before) == said(after)).mean() > share
    assert np.abs(found - before.planes[0].astype(int)).max() > 3  # it was changed


def flat_blocks(shown, k):
    h, w = shown.bins[k].known.shape
    across = shown.flat.shape[1] // shown.stored[k][1]
    return shown.flat[:: 8 * across, :: 8 * across][:h, :w]


def test_strength_is_a_share_of_the_change():
    shown = seen(read_jpeg(as_jpeg(photo(), 30)))
    none, half, whole = (
        _dejpeg.cleaned(wild(), shown, strength=s, keep_bins=False, side=16) for s in (0, 0.5, 1)
    )
    np.testing.assert_allclose(half, (none + whole) / 2, atol=1e-4)  # float32 of 255
    np.testing.assert_allclose(none, shown.planes[..., :3], atol=1e-4)


def test_files_of_fine_steps_are_changed_by_half():
    shares = [
        seen(read_jpeg(as_jpeg(photo(64, 64), q, subsampling=0))).shares for q in (75, 90, 95, 99)
    ]
    assert [s[0] for s in shares] == [1, pytest.approx(0.95, abs=0.05), 0.5, 0.5]
    assert all(s[1:] == (1, 1) for s in shares)  # chroma that is stored whole is luma's business
    shown = seen(read_jpeg(as_jpeg(photo(64, 64), 95, subsampling=2)))
    net = wild()
    half, none = (_dejpeg.cleaned(net, v, keep_bins=False, side=16) for v in (
        shown._replace(shares=(0.5, 0.0, 0.0)), shown._replace(shares=(0.0, 0.0, 0.0)),
    ))  # fmt: skip
    whole = _dejpeg.cleaned(net, shown._replace(shares=(1, 1, 1)), keep_bins=False, side=16)
    plain = shown.planes[..., :3]
    np.testing.assert_array_equal(none[..., 0], plain[..., 0])
    np.testing.assert_allclose(half[..., 0], (whole + plain)[..., 0] / 2, atol=1e-3)
    # what is stored of chroma is changed as much whatever the share beyond it
    for k in (1, 2):
        stored = reduced(whole[..., k] - plain[..., k], shown.stored[k])
        expected = plain[..., k] + enlarged(stored, plain.shape[:2])
        np.testing.assert_allclose(none[..., k], expected, atol=1e-3)


@pytest.mark.parametrize("name", ["kodim04", "kodim13"])
def test_photographs_of_film_gain_at_the_best_qualities(name):
    folder = images_folder()
    path = folder / "kodak" / f"{name}.png" if folder else None
    if path is None or not path.is_file():
        pytest.skip("Kodak is not at hand (COORDNET_IMAGES)")
    with Image.open(path) as opened:
        clean = np.asarray(opened.convert("RGB"))[:256, :256]
    data = as_jpeg(clean, 95, subsampling=2)
    truth, plain = (v / np.float32(255) for v in (clean, np.asarray(Image.open(io.BytesIO(data)))))
    # all of the network's change lost 0.4 dB; half of it gains 0.3 and more
    assert psnr(_dejpeg.dejpeg(data), truth) > psnr(plain, truth) + 0.1


def test_files_that_were_saved_badly_before_are_changed_wholly(shipping_wild, monkeypatch):
    asked = []
    monkeypatch.setattr(
        _dejpeg,
        "cleaned",
        lambda net, shown, **_: asked.append(shown.shares) or shown.planes[..., :3],
    )
    again = as_jpeg(photo(64, 64), 95, subsampling=2)
    for quality in (None, 20):
        _dejpeg.dejpeg(again, quality=quality)
    assert [shares[0] for shares in asked] == [0.5, 1]


def test_grey_stays_grey():
    shown = seen(read_jpeg(as_jpeg(photo()[..., 0], 30)))
    found = _dejpeg.cleaned(wild(), shown, side=16)
    assert (found[..., 1:] == 128).all()


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 255, 0), (13, 200, 77)])
def test_flat_colours_are_what_they_decode_to(colour):
    page = np.full((96, 96, 3), colour, np.uint8)
    page[40:44, 40:44] = 255 - page[40:44, 40:44]
    data = as_jpeg(page, 85, subsampling=2, progressive=True)
    shown = seen(read_jpeg(data))
    found = np.rint(to_rgb(_dejpeg.cleaned(wild(), shown, side=16)).clip(0, 255))
    plain = np.rint(to_rgb(shown.planes[..., :3]).clip(0, 255))
    far = shown.flat
    assert far.mean() > 0.5
    assert np.array_equal(found[far], plain[far])
    if colour == (255, 255, 255):
        assert (found[far] == 255).all()


def test_batches_depend_on_their_number_alone(folder):
    pictures = Folder(folder, held_out=0.3)
    one, again, other = (
        crops(k, folder=pictures, seed=1, halo=4, side=12, many=4) for k in (7, 7, 8)
    )
    for a, b in zip(one, again, strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(one.shown, other.shown)
    assert one.shown.shape == (4, 20, 20, 20)
    assert one.truth.shape == (4, 12, 12, 12)


def test_crops_show_what_a_whole_picture_shows(folder):
    # a network that gives back the base is off by what JPEG took, no more: crops lie on their truth
    made = crops(3, folder=Folder(folder), seed=0, halo=4, side=12, many=8)
    net = Cleaner(8, 1, rngs=nnx.Rngs(0))
    off = net(*(jnp.asarray(v) for v in made[:3])) - made.truth
    assert float(jnp.abs(off).mean()) < 0.08
    moved = np.abs(np.roll(made.truth, 2, 1) - made.truth).mean()
    assert float(jnp.abs(off).mean()) < moved


def test_pictures_that_are_saved_twice_have_a_second_grid(folder, monkeypatch):
    saved = []

    def noted(picture, *args, **options):
        saved.append((picture, as_jpeg(picture, *args, **options)))
        return saved[-1][1]

    monkeypatch.setattr(_degrade, "_TWICE", 1.0)
    monkeypatch.setattr(_degrade, "as_jpeg", noted)
    crops(0, folder=Folder(folder), seed=0, halo=4, side=12, many=16)
    shifts = set()
    for (_, first), (again, _) in itertools.pairwise(saved):
        with Image.open(io.BytesIO(first)) as opened:
            before = np.asarray(opened)
        if before.shape[0] > 256:  # with room for a second grid, so that it is the first time
            at = itertools.product(range(8), range(8))
            here = [(y, x) for y, x in at if np.array_equal(before[y:, x:][:256, :256], again)]
            assert here
            shifts.add(here[0])
    assert len(shifts) > 4  # of eight drawings out of 64


def test_crops_are_drawn_by_their_error():
    found, wanted = np.zeros((60, 60, 20), np.float32), np.zeros((60, 60, 12), np.float32)
    wanted[:10, 40:] = 1
    rng = np.random.default_rng(0)
    drawn = [_degrade._corners(rng, found, wanted, 2, 8) for _ in range(100)]
    y, x = np.concatenate(drawn).T
    # all but those that go by no error meet it; of even ones one in ten would
    assert ((y < 10) & (x > 32)).mean() > 0.9
    assert y.min() >= 2


def test_folders_hold_pictures_out_and_leave_damaged_ones_out(folder, caplog):
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    whole = (folder / "p0.png").read_bytes()
    (folder / "short.png").write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        found = Folder(folder, held_out=0.4)
        assert not set(found.training) & set(found.validation)
        assert len(found.training) + len(found.validation) == 7
        rng = np.random.default_rng(0)
        found.training = [*found.training, folder / "short.png"]  # wherever its name put it
        for _ in range(40):
            assert found.any(rng, 264).shape[2] == 3
    assert sum("short.png" in r.message for r in caplog.records) == 1
    assert sum("broken.png" in r.message for r in caplog.records) == 1
    assert not any("notes.txt" in r.message for r in caplog.records)


def test_folders_forget_what_is_too_much(folder):
    found = Folder(folder, memory=700_000)  # two of them
    for path in found.training:
        found.picture(path)
    assert sum(p.nbytes for p in found._kept.values()) <= 700_000


@pytest.mark.parametrize("kind", ["missing", "empty", "text"])
def test_folders_without_pictures(tmp_path, kind):
    path = tmp_path / "none"
    if kind != "missing":
        path.mkdir()
    if kind == "text":
        (path / "a.txt").write_text("text")
    with pytest.raises(ValueError, match=r"none: (is not a folder|holds no picture)"):
        Folder(path)


class Line(nnx.Module):
    def __init__(self):
        self.slope = nnx.Param(jnp.zeros(()))


def line_cost(net, batch):
    return jnp.square(net.slope[...] * batch - 3 * batch).mean()


def line_batch(number):
    return np.random.default_rng(number).normal(size=8).astype(np.float32)


def test_learning_goes_on_where_it_stopped(tmp_path, monkeypatch):
    # a clock that ticks once for each look at it: every tenth step is watched, the same each time
    def run(path, halts=None, **how_long):
        ticks = itertools.count()
        monkeypatch.setattr(_learn.time, "perf_counter", lambda: float(next(ticks)))
        seen_at = []

        def watch(net, step, loss):
            seen_at.append(step)
            if len(seen_at) == halts:
                raise KeyboardInterrupt

        options = {"rate": 0.25, "checkpoint": path, "watch": watch, "every": 10}
        options |= how_long or {"steps": 75}
        return float(_learn.learn(Line(), line_batch, line_cost, **options).slope[...])

    whole = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", halts=2)
    assert run(tmp_path / "b") == whole
    assert whole > 0.3  # it learns
    assert run(tmp_path / "b") == whole  # at its end: nothing is left to do
    assert run(tmp_path / "c", minutes=1) > 0.2


def test_an_interrupt_amid_a_step_counts_it(tmp_path, monkeypatch):
    path, options = tmp_path / "a", {"rate": 0.05, "steps": 6}
    whole = float(_learn.learn(Line(), line_batch, line_cost, **options).slope[...])
    step, many = _learn._step, itertools.count()

    class Stopping(float):
        def __float__(self):
            raise KeyboardInterrupt

    def third_stops(*given):
        weights, state, loss = step(*given)
        return weights, state, Stopping() if next(many) == 2 else loss

    monkeypatch.setattr(_learn, "_step", third_stops)
    with pytest.raises(KeyboardInterrupt):
        _learn.learn(Line(), line_batch, line_cost, checkpoint=path, **options)
    again = _learn.learn(Line(), line_batch, line_cost, checkpoint=path, **options)
    assert float(again.slope[...]) == whole


def test_patch_mlp_is_its_dense_self():
    net = PatchMLP(24, (16, 16), 1, rngs=nnx.Rngs(0))
    planes = jnp.asarray(np.random.default_rng(0).normal(size=(1, 40, 32, 1)), jnp.float32)
    # block by block, by hand: every block at every cell, each place the mean of what is said of it
    total, count = np.zeros(planes.shape[1:3]), np.zeros(planes.shape[1:3])
    for y, x in itertools.product(range(0, 17, CELL), range(0, 9, CELL)):
        block = planes[0, y : y + 24, x : x + 24, 0]
        v = block.reshape(3, CELL, 3, CELL).transpose(0, 2, 1, 3).reshape(-1)
        for layer in net.layers:
            v = scaled_tanh(v @ layer.kernel + jnp.asarray(layer.bias))
        said = v.reshape(3, 3, CELL, CELL).transpose(0, 2, 1, 3).reshape(24, 24)
        total[y : y + 24, x : x + 24] += said
        count[y : y + 24, x : x + 24] += 1
    np.testing.assert_allclose(net(planes)[0, ..., 0], total / count, atol=1e-5)  # float32 sums


def test_patch_mlp_sees_one_block_as_a_picture_of_one():
    net = PatchMLP(24, (8,), 3, residual=True, rngs=nnx.Rngs(0))
    block = jnp.asarray(np.random.default_rng(0).normal(size=(2, 24, 24, 3)), jnp.float32)
    np.testing.assert_allclose(net.blocks(block), net(block), atol=1e-5)


@pytest.mark.parametrize(
    ("hidden", "count"), [((6912,) * 3, 119_461_824), ((8000,) * 4, 219_681_728)]
)
def test_patch_mlp_has_the_originals_weights(hidden, count):
    net = nnx.eval_shape(lambda: PatchMLP(hidden=hidden, rngs=nnx.Rngs(0)))
    assert sum(v.size for v in jax.tree.leaves(nnx.state(net, nnx.Param))) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [({"block": 16}, "odd"), ({"block": 20}, "odd"), ({"hidden": ()}, "at least one layer")],
)
def test_patch_mlp_says_what_it_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        PatchMLP(**options, rngs=nnx.Rngs(0))


def test_white_is_lost_by_truncation_and_clipped_chroma():
    # why the original's white came out as 255, 255, 254: Y was clipped at 1 before colours were
    # made, and samples were cut, not rounded. At Y = 1 one of R, G and B falls short of 255
    # whatever the sign of the errors of chroma, unless both are exactly 0
    rng = np.random.default_rng(0)
    ycc = np.array([255.0, 128, 128]) + 255 * rng.normal(0, 1e-4, (10_000, 3))
    clipped = to_rgb(np.minimum(ycc, 255).astype(np.float32)).clip(0, 255)
    cut = np.floor(clipped)
    assert (cut == 255).all(1).mean() < 0.02
    assert ((cut == 255).sum(1) == 2).mean() > 0.25
    assert (np.rint(clipped) == 255).all()  # rounded, as every picture here is


def test_weights_come_back(tmp_path):
    net = wild(8, 2)
    net.trunk.inner[0].kernel[..., 3] = 0.0  # of no scale
    net.trunk.inner[0].kernel[..., 4] = 1e-9  # of one that half precision does not hold
    turned: Any = nnx.Param(np.asfortranarray(net.trunk.turn.kernel[...]))  # as NumPy's may lie
    net.trunk.turn.kernel = turned
    path, form = tmp_path / "w.safetensors", {"width": 8, "blocks": 2}
    write_weights(net, path, "dejpeg", form, {"name": "a", "pictures": 3})
    found, card = read_weights(path, "dejpeg")
    assert card == {"name": "a", "pictures": 3}
    for a, b in zip(
        jax.tree.leaves(nnx.state(net)), jax.tree.leaves(nnx.state(found)), strict=True
    ):
        if a.ndim < 4:
            assert np.array_equal(np.asarray(a, np.float16), b)
            continue
        level = np.abs(a).max((0, 1, 2)) / 127
        # the scale is rounded to a 2048th, of 127 levels; 4e-6 is left out
        assert (np.abs(a - b) <= (0.5 + 127 / 2048) * level + 4e-6).all()
    with safetensors.safe_open(path, framework="numpy") as file:
        kernels = [file.get_tensor(n) for n in file.keys() if n.endswith(".kernel")]  # noqa: SIM118
    assert {k.dtype for k in kernels if k.ndim == 4} == {np.dtype(np.int8)}
    write_weights(found, path, "dejpeg", form, card)
    again, _ = read_weights(path, "dejpeg")  # what is on the levels already stays there
    jax.tree.map(np.testing.assert_array_equal, nnx.state(again), nnx.state(found))


def test_files_that_are_no_weights(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(wild(4, 1), path, "dejpeg", {"width": 4, "blocks": 1}, {"name": "a"})
    whole = path.read_bytes()
    with pytest.raises(FormatError, match="weights for dejpeg, where those for upscale"):
        read_weights(path, "upscale")
    write_weights(wild(4, 1), path, "dejpeg", {"width": 4, "blocks": 2}, {"name": "a"})
    with pytest.raises(FormatError, match=r"w\.safetensors"):
        read_weights(path, "dejpeg")
    write_weights(wild(4, 1), path, "dejpeg", {"width": 10**6, "blocks": 1}, {"name": "a"})
    with pytest.raises(FormatError, match="impossible network"):
        read_weights(path, "dejpeg")
    for broken in (b"", whole[:40], whole[: len(whole) // 2], b"no weights at all"):
        path.write_bytes(broken)
        with pytest.raises(FormatError, match=r"w\.safetensors"):
            read_weights(path, "dejpeg")
    with pytest.raises(FileNotFoundError):
        read_weights(tmp_path / "none", "dejpeg")


def _without_scale(tensors):
    del tensors["last.kernel.scale"]


def _of_another_shape(tensors):
    tensors["last.kernel.scale"] = tensors["last.kernel.scale"].reshape(4, 5)


def _not_finite(tensors):
    tensors["last.kernel.scale"][3] = np.nan


def _in_half_precision(tensors):
    tensors["last.kernel"] = tensors["last.kernel"].astype(np.float16)


def _in_short(tensors):
    tensors["trunk.turn.kernel"] = tensors["trunk.turn.kernel"].astype(np.int8)


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (_without_scale, "or broken ones"),
        (_of_another_shape, "not those of the network"),
        (_in_half_precision, "not those of the network"),
        (_in_short, "not those of the network"),
        (_not_finite, "not all finite"),
    ],
)
def test_weights_that_cannot_be(tmp_path, broken, match):
    path = tmp_path / "w.safetensors"
    write_weights(wild(4, 1), path, "dejpeg", {"width": 4, "blocks": 1}, {"name": "a"})
    tensors = load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    broken(tensors)
    save_file(tensors, path, metadata)
    with pytest.raises(FormatError, match=rf"w\.safetensors: .*{match}"):
        read_weights(path, "dejpeg")


def test_weights_of_an_earlier_version_and_of_other_numbers(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(wild(4, 1), path, "dejpeg", {"width": 4, "blocks": 1}, {"name": "a"})
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"coordnet restoration 2", b"coordnet restoration 1"))
    with pytest.raises(FormatError, match=r"w\.safetensors: weights of an earlier version"):
        read_weights(path, "dejpeg")
    size = int.from_bytes(whole[:8], "little")  # of a header in JSON; what follows is told by it
    header = whole[8 : 8 + size].replace(b'"I8"', b'"F8_E5M2"')  # which NumPy has not
    path.write_bytes(len(header).to_bytes(8, "little") + header + whole[8 + size :])
    with pytest.raises(FormatError, match=r"w\.safetensors: not weights .*float8_e5m2"):
        read_weights(path, "dejpeg")


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    net = wild(4, 1)
    net.trunk.first.kernel[0, 0, 0, 0] = jnp.nan
    path = tmp_path / "w.safetensors"
    with pytest.raises(ValueError, match=r"w\.safetensors: not written, .*trunk\.first\.kernel"):
        write_weights(net, path, "dejpeg", {"width": 4, "blocks": 1}, {"name": "a"})
    assert not path.exists()


def test_what_is_told_is_always_heard():
    net = wild()
    net.trunk.hear.bias = nnx.Param(jnp.full(8, -5.0))  # a relu would be dead
    net.trunk.turn.kernel[...] = jnp.ones_like(net.trunk.turn.kernel[...])
    shown, told = jnp.ones((1, 12, 10, 20)), jnp.ones((1, 19))
    slope = nnx.grad(lambda net: net(shown, told, jnp.zeros((1, 2), int)).sum())(net)
    assert bool((slope["trunk"]["hear"]["bias"][...] != 0).all())


def test_cards_are_told_by_name_and_by_file(tmp_path, unchecked):
    for kind in ("dejpeg", "upscale"):
        found = tuple(data_card(kind, model=name)["name"] for name in MODELS[kind])
        assert found == MODELS[kind]
    assert data_card("dejpeg") == data_card("dejpeg", model="small")
    assert data_card("upscale") == data_card("upscale", model="photos")
    card = data_card("upscale", model="paintings")
    assert set(card["set aside"]).isdisjoint(card["pictures"])
    path = tmp_path / "a.safetensors"
    write_weights(wild(), path, "dejpeg", {"width": 8, "blocks": 1}, {"name": "mine"})
    assert data_card("dejpeg", model=path) == {"name": "mine"}
    with pytest.raises(FormatError, match=r"a\.safetensors: weights for dejpeg"):
        data_card("upscale", model=path)
    with pytest.raises(ValueError, match="`kind` must be 'dejpeg' or 'upscale', got 'cats'"):
        data_card("cats")  # type: ignore[arg-type]
    for model in ("cats", 3):
        with pytest.raises(ValueError, match=r"`model` must be 'small' or 'medium' or the path"):
            data_card("dejpeg", model=model)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "name"), [(k, m) for k, models in MODELS.items() for m in models])
def test_weights_that_ship_are_small(kind, name):
    with as_file(files("coordnet.restore") / "weights" / f"{kind}-{name}.safetensors") as path:
        assert path.stat().st_size <= (1_000_000 if name == "medium" else 200_000)


def test_soft_chroma_and_grain():
    picture = photo(64, 64)
    soft = _degrade._softened(picture)
    off = np.abs(to_ycc(soft) - to_ycc(picture))
    assert off[..., 0].mean() < 1 < off[..., 1:].max()  # luma is kept but for rounding
    stored = [reduced(to_ycc(v)[..., 2], (32, 32)) for v in (soft, picture)]
    assert np.abs(stored[0] - stored[1]).mean() < 2
    rng = np.random.default_rng(0)
    grey = np.full((64, 64, 3), 128, np.uint8)
    levels = [float(_degrade._grainy(rng, grey).astype(float).std()) for _ in range(40)]
    # rounding adds a twelfth of a squared level
    assert 0.5 <= min(levels) < 1.5
    assert 4 < max(levels) <= 5.1


def test_low_qualities_are_drawn_more_often():
    rng = np.random.default_rng(0)
    drawn = np.array([_degrade._quality(rng) for _ in range(4000)])
    assert set(drawn) == set(range(5, 96))
    # half are evenly drawn, of which 18 of 91 are below 23, and of the others half: 0.35; four
    # deviations of so many draws
    assert (drawn < 23).mean() == pytest.approx(0.35, abs=0.03)


@pytest.mark.parametrize("cr", [0.1, 0.4])
def test_the_cost_is_of_rgb(cr):
    net = Cleaner(4, 1, rngs=nnx.Rngs(0))
    shown = np.zeros((1, 12, 12, 20), np.float32)
    truth = np.zeros((1, 4, 4, 12), np.float32)
    truth[..., 2::3] = cr  # R is 1.402 times as far off, G 0.714 times
    batch = Crops(shown, np.zeros((1, 19), np.float32), np.zeros((1, 2), np.int32), truth)
    off = cr * ((1.402**2 + 0.714136**2) / 3) ** 0.5
    # one of 2.55 levels counts as it is
    assert float(cost(net, batch)) == pytest.approx(off * (0.01 / off) ** 0.5, rel=0.001)


def test_a_gpu_learns_in_bfloat16(monkeypatch, folder):
    def losses(cpu):
        monkeypatch.setattr(_learn, "_on_cpu", lambda: cpu)
        seen_at = []
        net = _learn.learn(
            wild(4, 1), lambda k: crops(k, folder=Folder(folder), seed=0, halo=4, side=16, many=4),
            cost, steps=3, watch=lambda net, step, loss: seen_at.append(loss), every=0,
        )  # fmt: skip
        return net, seen_at

    (net, half), (same, whole) = losses(cpu=False), losses(cpu=True)
    assert half != whole
    np.testing.assert_allclose(half, whole, rtol=0.02)  # bfloat16 holds two to three digits
    assert all(v.dtype == jnp.float32 for v in jax.tree.leaves(nnx.state(net, nnx.Param)))
    assert nnx.graphdef(net) == nnx.graphdef(same)


def test_a_batch_in_parts_is_the_batch(monkeypatch):
    rng = np.random.default_rng(0)
    shown = rng.normal(size=(10, 14, 14, 20)).astype(np.float32)
    truth = rng.normal(size=(10, 6, 6, 12)).astype(np.float32)
    told = rng.normal(size=(10, 19)).astype(np.float32)
    batch = Crops(shown, told, np.zeros((10, 2), np.int32), truth)
    graph, weights = nnx.split(wild(4, 1))
    found = []
    for cpu, workers in ((True, 1), (False, 1), (True, 3)):  # of 4, 4 and 2 crops in a row
        monkeypatch.setattr(_learn, "_on_cpu", lambda cpu=cpu: cpu)
        monkeypatch.setattr(_learn, "_pool", ThreadPoolExecutor(workers))
        own = jax.tree.map(jnp.array, weights)
        state = _learn._rule.init(own)
        found.append(_learn._step(graph, cost, own, state, batch, jnp.float32(0.01)))
    # float32: sums in another order, of which Muon makes 3e-4 of a step
    assert float(found[1][2]) == pytest.approx(float(found[0][2]), rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=3e-5), found[0][0], found[1][0])
    jax.tree.map(np.testing.assert_array_equal, found[0], found[2])  # whatever the number of cores
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), found[0][0], weights)
    assert max(jax.tree.leaves(moved)) > 0.005


def test_batches_are_sent_ahead_in_their_order(monkeypatch):
    made = []

    def stream():
        try:
            for k in range(3):
                made.append(k)
                yield np.full(2, k)
        finally:
            made.append("closed")

    for cpu, ahead in ((True, 0), (False, 1)):
        monkeypatch.setattr(_learn, "_on_cpu", lambda cpu=cpu: cpu)
        made.clear()
        assert [int(b[0]) for b in _learn._sent_ahead(stream())] == [0, 1, 2]
        made.clear()
        batches = _learn._sent_ahead(stream())
        assert int(next(batches)[0]) == 0
        assert made == list(range(1 + ahead))
        batches.close()
        assert made[-1] == "closed"


@pytest.fixture
def shipping_wild(monkeypatch):
    monkeypatch.setattr(_dejpeg, "chosen", lambda *of: (wild(), None))


def jpeg_file(quality=40, **options):
    file = io.BytesIO()
    Image.fromarray(photo(40, 56)).save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def test_files_come_out_upright(shipping_wild):
    turned = Image.Exif()
    turned[274] = 6
    plain = _dejpeg.dejpeg(jpeg_file())
    found = _dejpeg.dejpeg(jpeg_file(exif=turned))
    assert plain.shape == (40, 56, 3)
    assert plain.dtype == np.float32
    assert np.array_equal(np.rot90(plain, -1), found)
    assert plain.min() >= 0
    assert plain.max() <= 1


def test_paths_bytes_and_grey(tmp_path, shipping_wild):
    path = tmp_path / "a.jpg"
    path.write_bytes(as_jpeg(photo(40, 56)[..., 0], 40))
    found = _dejpeg.dejpeg(path)
    assert found.shape == (40, 56, 1)
    assert np.array_equal(found, _dejpeg.dejpeg(path.read_bytes()))


def test_another_quality_is_told_and_frees_the_bins(shipping_wild):
    data = jpeg_file(90)
    own, told = _dejpeg.dejpeg(data), _dejpeg.dejpeg(data, quality=90)
    free = _dejpeg.dejpeg(data, keep_bins=False)
    assert np.array_equal(told, free)  # the same tables
    assert not np.array_equal(own, free)
    assert np.array_equal(_dejpeg.dejpeg(data, strength=0, keep_bins=False), read_plain(data))


def read_plain(data):
    shown = seen(read_jpeg(data))
    return (to_rgb(shown.planes[..., :3]) / 255).clip(0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -0.1}, "`strength` must be from 0 to 1, got -0.1"),
        ({"quality": 0}, "`quality` must be a whole number from 1 to 100, got 0"),
        ({"quality": 101}, "`quality` must be a whole number"),
    ],
)
def test_wrong_options(options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        _dejpeg.dejpeg(jpeg_file(), **options)


def test_sources_that_are_none(tmp_path, unchecked):
    picture: Any = np.zeros((3, 3, 3))
    with pytest.raises(TypeError, match="`source` must be a path or the bytes"):
        _dejpeg.dejpeg(picture)
    with pytest.raises(FileNotFoundError):
        _dejpeg.dejpeg(tmp_path / "none.jpg")
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.jpg: is not a JPEG file"):
        _dejpeg.dejpeg(tmp_path / "a.jpg")
