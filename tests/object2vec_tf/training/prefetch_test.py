import itertools
import threading

import pytest

from object2vec_tf.training.prefetch import Prefetched


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_yields_all_items_in_order():
    items = Prefetched(range(5), ahead=2)

    assert list(items) == [0, 1, 2, 3, 4]
    assert list(items) == []
    assert not prefetch_threads()


def test_prepares_a_limited_number_of_items():
    prepared = []
    items = Prefetched(map(prepared.append, itertools.count()), ahead=2)
    next(items)
    items.close()

    # The one taken, two in the queue, and one that waits for its place.
    assert len(prepared) <= 4
    assert not prefetch_threads()


def test_raises_the_error_of_the_iterator_after_its_items():
    def failing():
        yield 1
        raise OSError("no data")

    items = Prefetched(failing(), ahead=1)

    assert next(items) == 1
    with pytest.raises(OSError, match="no data"):
        next(items)
    assert not prefetch_threads()
