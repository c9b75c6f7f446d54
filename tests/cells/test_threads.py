import threading

import pytest

from counterstain.cells.threads import AHEAD, in_threads


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads):
    assert [*in_threads(lambda item: item * item, range(20), threads)] == [item * item for item in range(20)]


def test_without_items_there_are_no_results():
    assert [*in_threads(str, [], 2)] == []


def test_items_are_worked_on_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)
    assert len([*in_threads(lambda _: meeting.wait(), range(4), 2)]) == 4


def test_no_more_items_are_taken_than_may_wait():
    taken = []
    results = in_threads(str, (taken.append(item) or item for item in range(100)), 2)
    assert next(results) == "0"
    assert len(taken) <= 2 * AHEAD + 1
    results.close()
    assert len(taken) <= 2 * AHEAD + 1


def test_an_error_is_raised_where_its_result_would_have_come():
    results = in_threads(lambda item: 1 // (3 - item), range(6), 2)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
