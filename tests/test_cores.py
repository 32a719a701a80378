"""The count of processors is of this process; work beside each other comes in its order."""

import itertools
import os
import subprocess
import sys

import pytest

from coordnet._cores import cores, side_by_side


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


def test_work_without_end_is_in_order_and_stops():
    made = []
    stream = side_by_side(lambda k: made.append(k) or k, itertools.count(5), workers=3, ahead=6)
    assert list(itertools.islice(stream, 20)) == list(range(5, 25))
    stream.close()
    assert max(made) <= 25 + 6


@pytest.mark.parametrize("ahead", [1, 3])
def test_work_ends_with_its_items_or_with_what_it_raises(ahead):
    done = []

    def items():
        for k in range(9):
            assert k <= len(done) + ahead  # no more are begun than were asked for
            yield k

    def work(k):
        if k == broken:
            raise MemoryError
        return k

    broken = 9  # none of them
    done.extend(side_by_side(work, items(), workers=2, ahead=ahead))
    assert done == list(range(9))
    broken, done = 7, []
    with pytest.raises(MemoryError):
        done.extend(side_by_side(work, items(), workers=2, ahead=ahead))
    assert done == list(range(7))
    assert not list(side_by_side(work, [], workers=2, ahead=ahead))
