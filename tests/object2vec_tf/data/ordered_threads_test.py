"""Results in order, errors, and threads that end."""

import gc
import threading
import time

import pytest

from object2vec_tf.data.ordered_threads import OrderedThreads

# The number of threads before each test.
BEFORE = []


def running() -> int:
    return threading.active_count() - BEFORE[-1]


@pytest.fixture(autouse=True)
def count_earlier_threads():
    gc.collect()
    BEFORE.append(threading.active_count())


def wait_until_none_runs() -> None:
    stop = time.monotonic() + 10
    while running() and time.monotonic() < stop:
        time.sleep(0.01)
    assert not running()


def test_results_are_in_the_order_of_the_items():
    # The first item is the slowest.
    def square(n: int) -> int:
        time.sleep(0.02 if n == 0 else 0)
        return n * n

    results = OrderedThreads(square, range(20), threads=4, ahead=5)
    assert list(results) == [n * n for n in range(20)]
    assert not running()


def test_no_more_items_are_taken_than_results_are_computed_in_advance():
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    results = OrderedThreads(lambda n: n, items(), threads=2, ahead=3)
    assert taken == [0, 1, 2]
    assert next(results) == 0
    assert taken == [0, 1, 2, 3]
    results.close()
    assert list(results) == []
    assert not running()


def test_an_error_is_raised_in_the_place_of_the_result():
    def inverse(n: int) -> float:
        return 1 / (n - 3)

    results = OrderedThreads(inverse, range(10), threads=2, ahead=6)
    assert [next(results) for _ in range(3)] == [-1 / 3, -1 / 2, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not running()
    assert list(results) == []


def test_threads_end_with_an_abandoned_iterator():
    results = OrderedThreads(lambda n: n, range(100), threads=2, ahead=3)
    assert next(results) == 0
    assert running()
    del results
    gc.collect()
    wait_until_none_runs()
