"""The examples run, quickly, without any picture at hand, and write what they promise."""

import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from small_fits import quick_to_compile

FOLDER = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# every script but the shared part, and but the texts of notebooks, which are run as such
SCRIPTS = [
    path
    for path in sorted(FOLDER.glob("*.py"))
    if not path.stem.startswith("_") and path.with_suffix(".ipynb") not in NOTEBOOKS
]


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """A machine without pictures."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "images").mkdir()
    return quick_to_compile() | {"COORDNET_IMAGES": str(folder / "images")}


@pytest.mark.parametrize(
    ("script", "options"),
    [(script, []) for script in SCRIPTS]
    + [(FOLDER / "lenna.py", ["--parts", "variations,breeding", "--seconds", "0.2"])],
    ids=lambda value: value.stem if isinstance(value, Path) else " ".join(value),
)
def test_a_script(tmp_path, surroundings, script, options):
    out = tmp_path / "out"
    if script.stem in ("almost_nothing", "checkerboard"):  # many steps: quick programs pay
        surroundings = surroundings | {"XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
    done = subprocess.run(
        [sys.executable, script, "--quick", "--out", out, *options],
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=240,  # a hang, with a name; a busy machine takes its time
    )
    assert done.returncode == 0, done.stderr
    written = sorted(out.iterdir())
    assert written
    assert all(path.stat().st_size > 1000 for path in written)
    # one line each, and nothing anywhere else
    assert sorted(line for line in done.stdout.splitlines() if line.startswith(str(out))) == [
        str(path) for path in written
    ]
    assert sorted(tmp_path.iterdir()) == [out]
    assert script.stem == "random_art" or "built-in portrait" in done.stdout


def test_every_script_is_in_the_readme():
    text = (FOLDER / "README.md").read_text()
    assert [path.name for path in SCRIPTS + NOTEBOOKS if f"examples/{path.name}`" not in text] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_runs(self, tmp_path, monkeypatch, path):
        monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own shows figures inline
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(notebook, timeout=240, resources=resources).execute()
        kinds = {
            kind
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            for kind in output.get("data", {})
        }
        assert {"image/png", "text/html"} <= kinds  # figures and films

    def test_is_stripped(self, path):
        for cell in nbformat.read(path, as_version=4).cells:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None

    def test_is_its_text(self, path):
        jupytext = pytest.importorskip("jupytext")
        notebook, text = (
            [(cell.cell_type, cell.source) for cell in read.cells]
            for read in (
                nbformat.read(path, as_version=4),
                jupytext.read(path.with_suffix(".py")),
            )
        )
        assert notebook == text, f"run: jupytext --to ipynb {path.with_suffix('.py')}"
