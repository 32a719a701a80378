"""The progress bars: what they say, and when they are silent."""

import io
import sys
import types

import pytest
import rich.progress

from coordnet import _progress
from coordnet._plan import Budget
from coordnet._progress import counting, interactive, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watched(monkeypatch):
    """Put a terminal of 120 columns in place of standard error."""
    stream = Terminal()  # no fixture's work: pytest takes standard error back before the test
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def budget(steps=None, seconds=None, psnr=None, patience=None):
    return Budget(steps, seconds, psnr, patience)


def test_somebody_watches_a_terminal_or_a_notebook(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not interactive()
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert interactive()
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert not interactive()
    for shell, watched in (("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False)):
        python = types.ModuleType("IPython")
        python.get_ipython = type(shell, (), {})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", python)
        assert interactive() == watched


def test_a_bar_says_step_seconds_psnr_and_what_is_left(monkeypatch):
    terminal = watched(monkeypatch)
    with progress_bar(None, budget(steps=2000)) as bar:
        assert "compiling" in terminal.getvalue()
        bar.tick(1234, 5.6)
        bar.look(31.416)
    text = terminal.getvalue()
    for part in ("fitting", "step 1,234", "5.6 s", "31.42 dB", "ETA"):
        assert part in text


def test_a_bar_says_what_follows_the_steps(monkeypatch):
    terminal = watched(monkeypatch)
    with progress_bar(None, budget(steps=2000)) as bar:
        bar.tick(2000, 5.6)
        bar.stage("rounding")
    # the last that is drawn
    assert "rounding" in terminal.getvalue()
    assert "step 2,000" in terminal.getvalue().rsplit("rounding", 1)[1]


@pytest.mark.parametrize(
    ("limits", "step", "seconds", "done"),
    [
        ({"steps": 200}, 50, 3.0, 0.25),
        ({"seconds": 10.0}, 50, 3.0, 0.3),
        ({"steps": 200, "seconds": 10.0}, 50, 3.0, 0.3),  # whichever is nearer
        ({"steps": 200}, 300, 3.0, 1.0),
        ({"steps": 0, "seconds": 0.0}, 0, 0.0, 0.0),
    ],
)
def test_how_far_a_fit_is(monkeypatch, limits, step, seconds, done):
    watched(monkeypatch)
    seen = []
    update = rich.progress.Progress.update

    def note(self, task, **values):
        seen.append(values)
        update(self, task, **values)

    monkeypatch.setattr(rich.progress.Progress, "update", note)
    with progress_bar(True, budget(**limits)) as bar:
        bar.tick(step, seconds)
    assert seen[0]["completed"] == pytest.approx(done)


def test_without_steps_or_seconds_no_end_is_promised(monkeypatch):
    terminal = watched(monkeypatch)
    with progress_bar(True, budget(psnr=30.0)) as bar:
        bar.tick(10, 1.0)
    assert "step 10" in terminal.getvalue()
    assert "ETA" not in terminal.getvalue()


def test_a_bar_that_nobody_watches_is_silent(capfd):
    for wanted in (False, None):
        with progress_bar(wanted, budget(steps=5)) as bar:
            bar.tick(5, 1.0)
            bar.look(10.0)
        assert list(counting([1, 2, 3], wanted, "counting")) == [1, 2, 3]
    assert capfd.readouterr() == ("", "")


def test_false_silences_a_terminal_too(monkeypatch):
    terminal = watched(monkeypatch)
    with progress_bar(False, budget(steps=5)) as bar:
        bar.tick(5, 1.0)
    assert list(counting([1], False, "counting")) == [1]
    assert terminal.getvalue() == ""


def test_an_error_inside_a_bar_gets_out_and_the_bar_ends(monkeypatch):
    terminal = watched(monkeypatch)

    def pressed():
        with progress_bar(True, budget(steps=5)) as bar:
            bar.tick(1, 0.1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pressed()
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is shown again


def test_counting_waits_before_it_draws(monkeypatch):
    terminal = watched(monkeypatch)
    now = [0.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    assert list(counting(range(5), None, "rendering")) == list(range(5))
    assert terminal.getvalue() == ""  # not even an empty line, which a notebook would show
    for item in counting(range(5), None, "rendering", patience=2.0):
        now[0] += 0.9
        drawn = "rendering" in terminal.getvalue()
        assert not drawn or item > 2
    assert list(counting(range(2), True, "writing")) == [0, 1]
    assert "writing" in terminal.getvalue()


def test_counting_ends_its_bar_when_one_leaves(monkeypatch):
    terminal = watched(monkeypatch)
    items = counting(range(5), True, "rendering")
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined]
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is shown again
