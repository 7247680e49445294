"""Garbage collection resumes after pauses that overlap in any order."""

import gc

import pytest

from object2vec_tf.garbage_collection import collection_paused


@pytest.mark.parametrize("last_ends_first", [True, False])
def test_overlapping_pauses(last_ends_first):
    pauses = [collection_paused() for _ in range(2)]
    assert gc.isenabled()
    for pause in pauses:
        pause.__enter__()
        assert not gc.isenabled()
    for pause in reversed(pauses) if last_ends_first else pauses:
        assert not gc.isenabled()
        pause.__exit__(None, None, None)
    assert gc.isenabled()


def test_an_error_ends_a_pause():
    with pytest.raises(ValueError, match="wrong"), collection_paused():
        raise ValueError("wrong")
    assert gc.isenabled()


def test_collection_that_was_disabled_stays_so():
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
