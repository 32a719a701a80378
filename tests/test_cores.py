"""The count of processors is of this process, not of the machine."""

import os
import subprocess
import sys

import pytest

from coordnet._cores import cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not pinned here")
def test_a_pinned_process_has_the_cores_it_was_given():
    code = """if True:
        import os
        from coordnet._cores import cores
        given = os.sched_getaffinity(0)
        print(cores(), len(given))
        os.sched_setaffinity(0, {min(given)})
        print(cores())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, given, pinned = map(int, done.stdout.split())
    assert (before, pinned) == (given, 1)


def test_where_processes_are_not_pinned_all_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # the system does not say
    assert cores() == 1
