"""The film of a fit, the page on a fit, and the demonstration."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import optax
import pytest

import coordnet as cn
from coordnet import _page
from coordnet._demo import demo
from coordnet._images import read_image
from coordnet._learning import film_fit
from coordnet._report import write_report
from coordnet._samples import sample_image

TINY = cn.Spec(width=8, depth=1)


def picture(height=24, width=32, channels=3):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    planes = [x / width, y / height, (x + y) / (width + height), np.ones_like(x)]
    return np.stack(planes[:channels], axis=-1)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    small = read_image(np.asarray(sample_image()), max_side=60)
    return demo(tmp_path_factory.mktemp("demo") / "new", image=small, steps=60, progress=False)


class Reader(HTMLParser):
    """Check that tags close in order, and note what the page asks for."""

    def __init__(self):
        super().__init__()
        self.open, self.sources = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [v for k, v in attrs if k in ("src", "href")]

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read(page):
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_demo_writes_everything(shown):
    names = {file.name for file in shown.folder.iterdir()}
    assert names == {
        "index.html", "fit.png", "zoom.png", "zoom-bicubic.png", "zoom-nearest.png",
        "learning.mp4", "network.safetensors",
    }  # fmt: skip
    fit = read_image(shown.folder / "fit.png")
    assert fit.shape == (60, 51, 3)
    zoomed = read_image(shown.folder / "zoom.png")
    assert zoomed.shape == read_image(shown.folder / "zoom-bicubic.png").shape
    saved = cn.load(shown.folder / "network.safetensors")
    assert np.array_equal(cn.render(saved), cn.render(shown.net))


def test_the_page_is_complete_in_itself(shown):
    page = shown.page.read_text()
    sources = read(page).sources
    assert len(sources) == 7
    assert all(source.startswith("data:") for source in sources)
    assert "http" not in re.sub(r"data:[^\"]+", "", page)
    assert f"{shown.net.fitted.psnr:.2f} dB" in page
    assert "<polyline" in page


def test_the_demo_can_be_run_again(shown):
    image = picture()
    again = demo(shown.folder.parent / "again", image=image, steps=10, progress=False)
    demo(again.folder, image=image, steps=10, progress=False)
    assert again.page.exists()


def test_the_three_enlargements_show_the_same_place(shown):
    near, cubic = (read_image(shown.folder / f"zoom-{kind}.png") for kind in ("nearest", "bicubic"))
    drawn = read_image(shown.folder / "zoom.png")
    assert np.abs(near - cubic).mean() < 0.1
    assert np.abs(drawn - cubic).mean() < np.abs(drawn[::-1, ::-1] - cubic).mean()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("coordinates", ["centers", "edges"])
def test_a_report_of_any_network(tmp_path, channels, coordinates):
    image = picture(6, 9, channels)
    net = cn.CoordNet(cn.Spec(width=4, depth=1, channels=channels, size=(6, 9),
                              coordinates=coordinates))  # fmt: skip
    path = write_report(tmp_path / "a.html", image, net, title="<a & b>", crop=(0, 0, 2, 3))
    page = path.read_text()
    assert len(read(page).sources) == 7
    assert "<h1>&lt;a &amp; b&gt;</h1>" in page
    assert "<polyline" not in page


def test_what_a_report_refuses(tmp_path):
    net = cn.CoordNet(cn.Spec(width=4, depth=1, size=(24, 32)))
    path = tmp_path / "a.html"
    with pytest.raises(ValueError, match="size"):
        write_report(path, picture(10, 10), net)
    with pytest.raises(ValueError, match="crop"):
        write_report(path, picture(), net, crop=(20, 0, 10, 4))
    with pytest.raises(ValueError, match="scale"):
        write_report(path, picture(), net, scale=0)
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "no" / "a.html", picture(), net)
    assert not path.exists()


def test_a_large_picture_is_reduced_on_the_page(tmp_path):
    image = picture(4, 1500)
    net = cn.CoordNet(cn.Spec(width=4, depth=1, size=(4, 1500)))
    page = write_report(tmp_path / "a.html", image, net).read_text()
    assert page.count('width="1024" height="3"') == 4  # the network twice, picture, difference
    assert f"{cn.psnr(cn.render(net), image):.2f} dB" in page


def test_a_perfect_fit_has_a_page(tmp_path):
    net = cn.CoordNet(cn.Spec(width=4, depth=1, size=(24, 32)))
    path = write_report(tmp_path / "a.html", cn.render(net), net)
    assert "no error" in path.read_text()


def test_the_film_returns_what_fit_returns(tmp_path):
    film = tmp_path / "a.gif"
    filmed = film_fit(film, picture(), TINY, frames=6, steps=40, seed=2)
    fitted = cn.fit(picture(), TINY, steps=40, seed=2)
    assert np.array_equal(cn.render(filmed), cn.render(fitted))
    assert filmed.fitted.psnr == fitted.fitted.psnr
    assert filmed.fitted.stopped == "steps"
    assert filmed.fitted.history[-1][0] == 40
    assert film.exists()


def test_the_film_of_every_budget(tmp_path):
    film = tmp_path / "a.gif"
    assert film_fit(film, picture(), TINY, frames=4, psnr=8).fitted.stopped == "psnr"
    assert film_fit(film, picture(), TINY, frames=4, seconds=0.2).fitted.stopped == "seconds"
    assert film_fit(film, picture(), TINY, frames=9, patience=1).fitted.stopped == "plateau"
    assert film_fit(film, picture(), TINY, frames=4, steps=0).fitted.steps == 0


def test_a_film_ends_where_the_fit_does(tmp_path):
    # looked at as often as `fit` looks, not only where there is a frame
    goals: list[dict[str, Any]] = [{"patience": 20}, {"patience": 20, "steps": 500}]
    for goal in goals:
        fitted = cn.fit(picture(), TINY, trainer=optax.sgd(0.0), **goal).fitted
        filmed = film_fit(
            tmp_path / "a.gif", picture(), TINY, frames=2, trainer=optax.sgd(0.0), **goal
        ).fitted
        assert filmed.stopped == "plateau"
        # it has seen step 0 too, where the fit first looks after 2 steps, and waits from there
        assert fitted.steps - 2 <= filmed.steps <= fitted.steps


def test_a_film_of_another_shape_has_bars(tmp_path):
    film = tmp_path / "a.gif"
    film_fit(film, np.ones((24, 12, 3), np.float32), TINY, frames=2, steps=300, size=(48, 96))
    last = cn.read_image(film)  # the first frame
    assert last.shape == (48, 96, 3)
    # 24 of the 96 columns are the picture's; the lower rows have the caption
    assert last[:28, :30].max() < 0.05
    assert last[:20, 40:56].mean() > 0.2


def test_a_film_that_is_lost_costs_no_fit(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("coordnet._video.Encoder.write", full)
    with pytest.warns(RuntimeWarning, match=r"film is lost: .*No space.*network is whole"):
        net = film_fit(tmp_path / "a.gif", picture(), TINY, frames=3, steps=9)
    assert net.fitted.steps == 9
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_diverges(tmp_path):
    options = {"steps": 50, "frames": 2, "trainer": optax.sgd(1e30)}
    with pytest.warns(cn.DivergedWarning, match="network of step 0"):  # the film's first frame
        net = film_fit(tmp_path / "a.gif", picture(), TINY, **options)
    assert (net.fitted.stopped, net.fitted.steps) == ("diverged", 0)
    assert (tmp_path / "a.gif").exists()


def test_film_arguments(tmp_path):
    with pytest.raises(ValueError, match="frames"):
        film_fit(tmp_path / "a.gif", picture(), TINY, frames=1)
    with pytest.raises(ValueError, match="unknown"):
        film_fit(tmp_path / "a.gif", picture(), "no such preset")
    with pytest.raises(ValueError, match="extension"):
        film_fit(tmp_path / "a.xyz", picture(), TINY)
    with pytest.raises(TypeError, match=r"no option 'step'; a fit's are steps, .* seed"):
        film_fit(tmp_path / "a.gif", picture(), TINY, step=5)
    with pytest.raises(TypeError, match="`frames` instead of `every`"):
        film_fit(tmp_path / "a.gif", picture(), TINY, every=5)
    assert list(tmp_path.iterdir()) == []


def test_ticks_enclose_and_are_few():
    for low, high in ((0, 0), (9.7, 39.3), (0, 0.013), (-3, 1e6), (36, 36.01)):
        ticks = _page._ticks(low, high)
        assert ticks[0] <= low
        assert ticks[-1] >= high
        assert len(ticks) <= 10
