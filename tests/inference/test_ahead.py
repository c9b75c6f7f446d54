import threading

import pytest

from counterstain.inference.ahead import ahead


def numbers(count, made):
    for number in range(count):
        made.append(threading.current_thread().name)
        yield number


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_items_come_in_order_from_another_thread(count, depth):
    made = []
    assert list(ahead(numbers(count, made), depth)) == list(range(count))
    assert threading.current_thread().name not in made


def test_no_more_than_the_depth_is_made_ahead():
    made = []
    items = ahead(numbers(100, made), 2)
    assert next(items) == 0
    items.close()
    assert len(made) <= 3


def test_an_error_comes_where_the_item_would_have_come():
    def broken():
        yield 1
        raise OSError("the drive is gone")

    items = ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="the drive is gone"):
        next(items)


def test_the_thread_ends_with_the_iterator():
    before = threading.active_count()
    items = ahead(numbers(100, []))
    next(items)
    assert threading.active_count() == before + 1
    items.close()
    assert threading.active_count() == before
