"""Pictures of random networks: reproducible, of any size, and worth a look."""

import jax
import numpy as np
import pytest
from flax import nnx

import coordnet as cn
from coordnet import CoordNet, random_art, render


def weights(net):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(net))]


def test_same_seed_same_bytes_and_another_seed_another_picture():
    a, b, c = random_art(3), random_art(3), random_art(4)
    for one, other, different in zip(weights(a), weights(b), weights(c), strict=True):
        assert one.tobytes() == other.tobytes()
        assert (one != different).mean() > 0.9
    shown, other = render(a, (64, 64)), render(c, (64, 64))
    assert cn.psnr(shown, other) < 15  # two pictures of one world would be nearer


def test_the_same_picture_at_every_resolution():
    net = random_art(5, contrast=1.0)  # smooth, so that point samples stand for areas
    large = render(net, (512, 512))
    small = render(net, (128, 128))
    means = large.reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
    # below its native size, `render` is this mean itself, up to float32
    np.testing.assert_allclose(small, means, atol=1e-4)
    native = random_art(5, contrast=1.0, size=(128, 128))
    # drawn from the middles of the larger pixels alone: differs where the picture is curved
    assert cn.psnr(render(native), small) > 35


@pytest.mark.parametrize("seed", range(6))
def test_pictures_are_neither_flat_nor_noise(seed):
    image = render(random_art(seed), (96, 96))
    assert image.shape == (96, 96, 3)
    assert (image >= 0).all()
    assert (image <= 1).all()
    assert image.std() > 0.1  # a flat one has 0
    assert np.ptp(image) > 0.7
    # neighbours are alike: in noise of this deviation they differ by 1.13 of it
    assert np.abs(np.diff(image, axis=1)).mean() < 0.5 * image.std()
    # colourful: the channels are no copies of one another
    assert np.abs(image[..., 0] - image[..., 2]).mean() > 0.05


def test_contrast_folds_the_plane_more_often():
    roughness = [
        np.abs(np.diff(render(random_art(1, contrast=c), (96, 96)), axis=1)).mean()
        for c in (0.5, 1.5, 4.0)
    ]
    assert roughness[0] < roughness[1] < roughness[2]


def test_options_are_in_the_description():
    net = random_art(2, width=8, depth=2, activation="sine(omega=3)", size=(30, 40))
    assert isinstance(net, CoordNet)
    assert (net.spec.width, net.spec.depth, net.spec.size) == (8, 2, (30, 40))
    assert net.spec.activation == "sine(omega=3)"
    assert render(net).shape == (30, 40, 3)


def test_art_can_be_kept(tmp_path):
    net = random_art(2, width=8, depth=2)
    cn.save(net, tmp_path / "art.safetensors")
    for a, b in zip(weights(net), weights(cn.load(tmp_path / "art.safetensors")), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": 0}, "`contrast` must be above 0, got 0"),
        ({"contrast": -1.0}, "`contrast`"),
        ({"contrast": float("nan")}, "`contrast`"),
        ({"contrast": float("inf")}, "`contrast`"),
        ({"width": 0}, "width must be at least 1"),
        ({"depth": -1}, "depth must be"),
        ({"activation": "sinus"}, "'sinus' is unknown"),
        ({"size": (0, 4)}, "size must be"),
    ],
)
def test_wrong_numbers_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        random_art(1, **options)
