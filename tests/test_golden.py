"""Files that an earlier day made are read as they were then, on any machine.

They are never made again: a change that reads them otherwise is a mistake, or a new version.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import coordnet as cn

FOLDER = Path(__file__).parent / "golden"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_golden_file(name):
    found = cn.decompress(FOLDER / f"{name}.cnet")
    samples = np.rint(found.image * 255).astype(np.uint8)
    assert list(samples.shape) == EXPECTED[name]["shape"]
    assert hashlib.sha256(samples.tobytes()).hexdigest() == EXPECTED[name]["samples"]


def test_none_is_left_out():
    assert {path.stem for path in FOLDER.glob("*.cnet")} == set(EXPECTED)
