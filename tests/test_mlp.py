"""Plain weights: painted as the network itself is rendered, packed, and fitted."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_fits import picture

import coordnet as cn
from coordnet import FormatError
from coordnet.codec import _compress, _mlp, _plain, _rounded
from coordnet.codec._resample import drawn


def network(
    activation: str = "tanh", output: Any = "sigmoid", coordinates: Any = "centers"
) -> cn.CoordNet:
    spec = cn.Spec(
        width=9, depth=2, activation=activation, output=output, coordinates=coordinates,
        size=(11, 17),
    )  # fmt: skip
    return cn.CoordNet(spec, seed=3)


@pytest.mark.parametrize(
    ("activation", "output", "coordinates"),
    [
        ("tanh", "sigmoid", "edges"),
        ("sigmoid", "linear", "unit"),
        ("scaled_tanh", "linear", "centers"),
        ("relu", "sigmoid", "centers"),
        ("sine(omega=20,first=12.5)", "linear", "centers"),
        ("sine", "linear", "edges"),
    ],
)
def test_a_painter_is_the_network(activation, output, coordinates):
    net = network(activation, output, coordinates)
    for size, samples in (((11, 17), 1), ((22, 34), 1), ((5, 8), 3)):
        painter = _mlp.Painter(_rounded.form_of(net), _rounded.tensors_of(net))
        found = drawn(painter.lattice((11, 17)), size, (0, 0, 11, 17), samples)
        # render has float32, whose sines of some tens of radians are off by 1e-5
        # of each pixel of the small picture, the mean of 3 x 3 points
        large = cn.render(net, (size[0] * samples, size[1] * samples), progress=False)
        wanted = large.reshape(size[0], samples, size[1], samples, 3).mean((1, 3))
        np.testing.assert_allclose(found, wanted, atol=3e-5)


forms = st.builds(
    _mlp.Form,
    st.sampled_from(_mlp.ACTIVATIONS), st.sampled_from(_mlp.OUTPUTS),
    st.sampled_from(_mlp.COORDINATES), st.just((0.0, 0.0)),
    st.integers(0, 4), st.integers(1, 9), st.sampled_from([1, 3, 4]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(forms, st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_what_is_packed_comes_back(form, seed, octaves):
    rng = np.random.default_rng(seed)
    if form.activation == "sine":
        form = form._replace(omegas=(float(np.float32(rng.uniform(1, 90))), 30.0))
    tensors = [
        (int(rng.integers(256)), np.rint(rng.laplace(scale=2**octaves, size=shape)).astype(int))
        for shape in form.shapes()
    ]
    found = _mlp.unpacked(_mlp.packed(_mlp.Plain(form, tensors)), form.channels, 100)
    assert found.form == form
    for (a, b), (c, d) in zip(found.tensors, tensors, strict=True):
        assert a == c
        np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "ends early"),
        (b"\x05\x02\x09", "kind 5 that is not known"),
        (b"\x30\x02\x09", "kind 48 that is not known"),
        (b"\x04" + b"\xff" * 8 + b"\x02\x09", "declares a network"),
        (b"\x00\x02\x00", "declares a network"),
        (
            b"\x00\x7f\xff\x1f",
            "declares a network of 2,[0-9,]* weights, in 4 bytes, for 100 pixels",
        ),
        (b"\x00\x00\x09\x00\x80\x00\x00", "a scale that is not known"),
    ],
)
def test_what_is_no_network_is_refused(body, match):
    with pytest.raises(FormatError, match=match):
        _mlp.unpacked(body, 3, 100)


def test_no_small_file_asks_for_much_work():
    form = _mlp.Form("relu", "linear", "centers", (0.0, 0.0), 3, 100, 3)
    body = _mlp.packed(_mlp.nothing(form))
    assert _mlp.unpacked(body, 3, 2**19).form == form
    with pytest.raises(FormatError, match="for 16,777,216 pixels: more than this library paints"):
        _mlp.unpacked(body, 3, 2**24)
    # few weights, but many sines
    thin = _mlp.Form("sine", "linear", "centers", (30.0, 30.0), 255, 1, 3)
    with pytest.raises(FormatError, match="more than this library paints"):
        _mlp.unpacked(_mlp.packed(_mlp.nothing(thin)), 3, 2**24)


def test_weights_that_overflow_paint_something():
    form = _mlp.Form("relu", "linear", "centers", (0.0, 0.0), 255, 1, 1)
    tensors = [(255, np.full(shape, 2**15)) for shape in form.shapes()]
    tensors[-2] = (255, np.array([[-(2**15)]]))  # infinity less infinity
    found = _mlp.painter(_mlp.Plain(form, tensors)).painted((3, 4))
    assert found.shape == (3, 4, 1)


def test_what_a_network_becomes_can_be_read():
    net = network("sine(omega=20,first=12.5)", "linear")
    for layer in net.layers:
        layer.weight[...] *= 40
    whole = cn.render(net, progress=False)
    for blob in (
        cn.compress(net, max_bytes=100_000),
        cn.compress(net, max_bytes=100),
        cn.compress(net, psnr=20),
        cn.compress(net, bpp=4),
    ):
        assert cn.decompress(blob).image.shape == whole.shape
    with pytest.raises(ValueError, match=r"`psnr` asks for 99 dB; the finest weights have [1-9]"):
        cn.compress(net, psnr=99)
    with pytest.raises(ValueError, match="smallest file takes") as error:
        cn.compress(net, max_bytes=10)
    least = int(str(error.value).split("takes ")[1])
    assert len(cn.compress(net, max_bytes=least)) == least
    exact = net.layers[2].weight[...]
    net.layers[2].weight[...] = exact.at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match="a weight of nan"):
        cn.compress(net, psnr=30)
    net.layers[2].weight[...] = exact
    net.layers[0].weight[...] *= 1e9
    with pytest.raises(ValueError, match="which no file can hold"):
        cn.compress(net)


def test_a_wide_network_of_few_bytes():
    wide = cn.CoordNet(cn.Spec(width=128, depth=3, size=(16, 20)))
    blob = cn.compress(wide, max_bytes=500)
    assert cn.decompress(blob).image.shape == (16, 20, 3)
    with pytest.raises(ValueError, match="of 20x16 pixels no file keeps so many"):
        cn.compress(cn.CoordNet(cn.Spec(width=1100, depth=2, size=(16, 20))))


def test_a_network_is_kept_in_so_many_bytes():
    net = network("sine(omega=20,first=12.5)", "linear")
    own = cn.render(net, progress=False)
    sizes = (120, 160, 240)
    blobs = [cn.compress(net, max_bytes=n) for n in sizes]
    assert all(0.97 * n <= len(blob) <= n for blob, n in zip(blobs, sizes, strict=True))
    found = [cn.psnr(cn.decompress(blob).image, own) for blob in blobs]
    assert found == sorted(found)
    near = cn.compress(net, psnr=33)
    assert cn.psnr(cn.decompress(near).image, own) >= 33
    # the smallest that is near enough: none of fewer bytes is
    less = [cn.decompress(cn.compress(net, max_bytes=len(near) - k)).image for k in (1, 2, 4, 8)]
    assert max(cn.psnr(image, own) for image in less) < 33
    assert len(near) < len(cn.compress(net)) < 240
    small = cn.decompress(near)
    drawn = cn.render(small, (22, 34))
    assert drawn.shape == (22, 34, 3)
    assert cn.psnr(drawn, cn.render(net, (22, 34), progress=False)) > 30


def test_networks_that_no_file_keeps():
    for net, match in [
        (cn.CoordNet(cn.Spec(encoding="fourier(features=4)", width=4)), "encoding 'fourier"),
        (cn.CoordNet(cn.Spec(activation="gelu", width=4)), "activation 'gelu'"),
        (cn.CoordNet(cn.Spec(width=4)), "no size"),
    ]:
        with pytest.raises(ValueError, match=match):
            cn.compress(net)
    with pytest.raises(ValueError, match="`quality` is for pictures"):
        cn.compress(network(), quality=50)
    with pytest.raises(ValueError, match="allows 30 bytes; the smallest file takes"):
        cn.compress(network(), max_bytes=30)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_picture_becomes_plain_weights(channels, monkeypatch):
    monkeypatch.setitem(_compress.PLAIN_STEPS, "fast", 400)
    monkeypatch.setattr(_plain, "POINTS", 512)
    image = picture(40, 52, channels)
    blob = cn.compress(image, kind="weights", max_bytes=700, effort="fast", progress=False)
    assert 0.97 * 700 <= len(blob) <= 700
    found = cn.decompress(blob)
    assert found.image.shape == image.shape
    # 31 and 27 dB when this was written; an even colour has 13
    assert cn.psnr(found.image, image) > 22


def test_a_fit_that_breaks_goes_back(monkeypatch):
    """A rate at which it breaks at first: what comes of it is a picture still."""
    monkeypatch.setitem(_compress.PLAIN_STEPS, "fast", 800)
    monkeypatch.setattr(_plain, "POINTS", 512)
    monkeypatch.setattr(_plain, "_RATE", 0.03)
    image = picture(40, 52, 3)
    blob = cn.compress(image, kind="weights", max_bytes=700, effort="fast", progress=False)
    # 41 dB when this was written; an even colour, which is left of it otherwise, has 14
    assert cn.psnr(cn.decompress(blob).image, image) > 30


def test_a_fit_that_slowly_comes_apart_goes_back(monkeypatch):
    """A tenth worse for five calls on end: the best weights again, at half the pace."""
    errors = [0.4, 0.2, 0.23, 0.23, 0.21, 0.23, 0.23, 0.23, 0.23, 0.23, *[0.19] * 30]
    given = iter(errors)
    seen = []

    def learn(form, size, tensors, moments, flat, rounding, at, steps, pace, key):
        seen.append((float(tensors[0][0, 0]), float(pace)))
        return [v + 1 for v in tensors], moments, next(given)

    monkeypatch.setattr(_plain, "_learn", learn)
    samples = np.zeros((4, 4, 3), np.uint8)
    form = _plain.planned((4, 4), 3, 60)
    _plain.fitted(samples, form, 60, len(errors) * _plain._STEPS, 0, _plain.Bar())
    first = seen[0][0]
    moved = [round(value - first) for value, _ in seen]
    assert moved == [*range(10), *range(2, 32)]
    assert [pace for _, pace in seen] == [1.0] * 10 + [0.5] * 30


def test_a_picture_needs_room_for_a_network():
    with pytest.raises(ValueError, match="`kind` 'weights' needs bpp or max_bytes"):
        cn.compress(picture(), kind="weights")
    with pytest.raises(ValueError, match="smallest file takes"):
        cn.compress(picture(), kind="weights", max_bytes=25)


@pytest.mark.usefixtures("unchecked")
def test_a_kind_that_is_not_there():
    with pytest.raises(ValueError, match="`kind` must be one of pyramid, weights, got 'grid'"):
        cn.compress(picture(), kind="grid")  # type: ignore[arg-type]


def test_a_plan_has_about_six_bits_a_weight():
    # by hand: 5 layers of 59, 2 in, 3 out: 4 (59**2 + 59) + 3 * 59 + 3 * 60 = 14,517
    form = _plain.planned((512, 768), 3, 11_000)
    assert (form.depth, form.width) == (5, 59)
    assert sum(math.prod(shape) for shape in form.shapes()) == 14_517
    # of 8 * 11,000 / 6 weights: 20 times the cube root of a seven-hundredth of them
    assert form.omegas == (55.0, 30.0)
    # no more than the picture's size asks for: 90 of 768 pixels, however many weights there are
    assert _plain.planned((512, 768), 3, 100_000).omegas == (90.0, 30.0)
