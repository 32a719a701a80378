"""Figures: what is drawn, and what is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from coordnet import CoordNet, Fitted, Snapshot, Spec
from coordnet._plot import curves, show

HISTORY = ((1, 0.1, 10.0), (10, 0.4, 20.0), (100, 3.0, 30.0))


def record(history=HISTORY):
    return Fitted(30.0, None, 100, 3.0, 1.0, "steps", history, (4, 5))


def test_pictures_of_every_kind_stand_in_rows(tmp_path):
    pictures = [np.full((4, 6, c), 0.5, np.float32) for c in (1, 3, 4)]
    figure = show(*pictures, np.zeros((9, 3)), np.ones((2, 2, 3)), columns=2)
    assert [a.get_title() for a in figure.axes] == ["6 x 4"] * 3 + ["3 x 9", "2 x 2"]
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_titles_of_several_lines_are_all_in_the_figure(columns):
    titles = ["one", "one\ntwo", "one\ntwo\nthree", "one"]
    figure = show(*[np.zeros((20, 20, 3))] * 4, titles=titles, columns=columns)
    figure.draw_without_rendering()
    for axis in figure.axes:
        box = axis.title.get_window_extent()
        assert box.y1 <= figure.bbox.y1 + 1  # pixel
        others = [other.get_window_extent() for other in figure.axes if other is not axis]
        assert not any(box.overlaps(other) for other in others)


def test_grey_is_grey_and_its_range_is_fixed():
    (axis,) = show(np.full((4, 4, 1), 0.5, np.float32), titles=["grey"]).axes
    (drawn,) = axis.get_images()
    assert drawn.get_cmap().name == "gray"
    assert drawn.get_clim() == (0, 1)


def test_no_figure_is_left_open():
    show(np.zeros((2, 2, 3)))
    curves(record())
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("images", "options", "error", "says"),
    [
        ([], {}, ValueError, "no picture"),
        ([np.zeros((2, 2, 5))], {}, ValueError, "shape"),
        ([np.zeros(3)], {}, ValueError, "shape"),
        ([np.zeros((2, 2, 3), np.uint8)], {}, TypeError, "floats"),
        ([np.zeros((2, 2, 3))], {"titles": ["a", "b"]}, ValueError, "titles"),
        ([np.zeros((2, 2, 3))], {"columns": 0}, ValueError, "columns"),
    ],
)
def test_what_cannot_be_shown(images, options, error, says):
    with pytest.raises(error, match=says):
        show(*images, **options)


def test_many_curves_have_colours_of_their_own_and_a_legend_beside_them():
    figure = curves(*[record()] * 14, labels=[f"a long name, {i}" for i in range(14)])
    figure.draw_without_rendering()
    (axis,) = figure.axes
    assert len({line.get_color() for line in axis.lines}) == 14
    legend = axis.get_legend()
    assert legend is not None
    assert legend.get_window_extent().x0 >= axis.get_window_extent().x1
    assert legend.get_window_extent().x1 <= figure.bbox.x1


def test_curves_of_records_and_snapshots():
    net = CoordNet(Spec(width=2, depth=0))
    shots = [Snapshot(step, s, 0.1, psnr, None, net) for step, s, psnr in HISTORY]
    (axis,) = curves(record(), shots, labels=["a", "b"]).axes
    first, second = (np.asarray(line.get_xydata()) for line in axis.get_lines())
    assert np.array_equal(first, second)
    assert first[-1].tolist() == [3.0, 30.0]
    legend = axis.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == ["a", "b"]
    (axis,) = curves(record(), against="steps").axes
    assert np.asarray(axis.get_lines()[0].get_xdata()).tolist() == [1, 10, 100]
    assert axis.get_xscale() == "log"
    # what was seen before the first step is not drawn as if it had been seen after it
    (axis,) = curves(record(((0, 0.0, 5.0), *HISTORY)), against="steps").axes
    (line,) = axis.get_lines()
    places = line.get_transform().transform(np.asarray(line.get_xydata()))
    assert np.isfinite(places).all(axis=1).tolist() == [False, True, True, True]


def test_a_diverged_moment_leaves_a_gap():
    (axis,) = curves(record(((1, 0.1, 10.0), (2, 0.2, -np.inf), (3, 0.3, 12.0)))).axes
    assert np.isnan(np.asarray(axis.get_lines()[0].get_ydata())).tolist() == [False, True, False]


def test_what_is_no_fit():
    with pytest.raises(ValueError, match="no fit"):
        curves()
    with pytest.raises(TypeError, match="fit 0"):
        curves(3)
    with pytest.raises(ValueError, match="history"):
        curves(record(()))
    with pytest.raises(ValueError, match="labels"):
        curves(record(), labels=["a", "b"])
    with pytest.raises((ValueError, TypeError), match="against"):  # the type checker's, in a test
        curves(record(), against="hours")  # type: ignore[arg-type]
