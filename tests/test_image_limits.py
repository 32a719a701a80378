"""What reading costs in time and memory, measured in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coordnet._samples import images_folder

# not getrusage, whose peak a child process inherits from its parent
PEAK = """
def peak_kb():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
"""

DECLARE_MUCH = """
import struct
from coordnet._images import read_image
bmp = b"BM" + struct.pack("<IHHI", 0, 0, 0, 54)
for width, height in ((16384, 16384), (100_000, 100_000)):
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    for data in (bmp + header + bytes(99), b"P6 %d %d 255 " % (width, height)):
        try:
            read_image(data)
        except ValueError as error:
            print(error)
print(peak_kb())
"""

READ_ALL = """
import json, sys, time
from coordnet._images import read_image
slowest = 0.0
for path in json.load(sys.stdin):
    start = time.perf_counter()
    try:
        read_image(path)
    except ValueError:
        pass
    slowest = max(slowest, time.perf_counter() - start)
print(slowest, peak_kb())
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read from /proc"
)


def run(code: str, stdin: str = "") -> str:
    command = [sys.executable, "-W", "error", "-c", PEAK + code]
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_a_file_that_declares_much_takes_little():
    """Broken files just under the limit, and others far above."""
    *errors, peak = run(DECLARE_MUCH).splitlines()
    assert len(errors) == 4
    assert all("100000 x 100000" in error and "max_pixels=" in error for error in errors[2:])
    assert int(peak) < 300_000


def test_no_oddity_takes_long_or_much():
    folder = images_folder()
    if folder is None or not (folder / "oddities").is_dir():
        pytest.skip("no folder of pictures")
    files = [str(path) for path in (folder / "oddities").rglob("*") if path.is_file()]
    slowest, peak = (float(number) for number in run(READ_ALL, json.dumps(files)).split())
    print(f"{len(files)} files, slowest {slowest:.2f} s, peak {peak / 1000:.0f} MB")
    assert slowest < 5
    assert peak < 1_000_000
