"""Tests of object2vec_tf/runs/result_files.py."""

import json

import pytest

from object2vec_tf.errors import RunDirectoryError
from object2vec_tf.runs.result_files import ResultFiles, is_number
from tests.bit_flips import flipped

METRICS = {
    "epochs_run": 2,
    "best_epoch": 0,
    "stopped": "all epochs done",
    "train": {"accuracy": 1.0},
    "rows": {"train": 9},
    "seconds": 1.5,
    "records_per_second": 6.0,
}
HISTORY = [
    {"epoch": 0, "train": {"accuracy": 0.5}},
    {"epoch": 1, "train": {"accuracy": 0.25}},
]


@pytest.fixture
def results(tmp_path):
    files = ResultFiles(tmp_path)
    files.write_history(HISTORY)
    files.write_metrics(METRICS)
    return files


def test_results_are_read_as_written(results):
    assert json.loads(results.metrics.read_text()) == METRICS
    assert (results.read_metrics(), results.read_history()) == (METRICS, HISTORY)


@pytest.mark.parametrize("name", ["metrics", "history", "digests"])
def test_no_flip_of_a_bit_is_silent(results, name):
    path = getattr(results, name)
    data = path.read_bytes()
    errors = 0
    for bit in range(0, 8 * len(data), 43):
        path.write_bytes(flipped(data, bit))
        try:
            read = results.read_metrics(), results.read_history()
        except RunDirectoryError:
            errors += 1
        else:
            assert (name, read) == ("digests", (METRICS, HISTORY))
    assert errors


def test_the_files_fit_after_a_crash_between_the_two(results):
    before = results.metrics.read_bytes()
    for number in range(3):
        results.write_metrics(METRICS | {"seconds": float(number)})
        after, digests = results.metrics.read_bytes(), results.digests.read_bytes()
        results.metrics.write_bytes(before)
        assert results.read_metrics()["records_per_second"] == 6.0
        results.metrics.write_bytes(after)
        assert results.read_metrics()["seconds"] == number
        assert results.digests.read_bytes() == digests


def test_a_continued_run_may_have_a_longer_history(results):
    # The next epoch was added, and the process was killed before the run finished.
    results.write_metrics(METRICS | {"epochs_run": 1})
    longer = [*HISTORY, {"epoch": 2, "train": {}}]
    results.write_history(longer)
    assert results.read_metrics()["epochs_run"] == 1
    results.write_metrics(METRICS | {"epochs_run": 3})
    assert results.read_history() == longer


def test_a_run_of_an_older_version_has_no_digests(results):
    results.digests.unlink()
    assert (results.read_metrics(), results.read_history()) == (METRICS, HISTORY)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"epochs_run": "2"}, "epochs_run: expected int, got '2'"),
        ({"best_epoch": None}, "best_epoch: expected int, got None"),
        ({"seconds": float("nan")}, "seconds: expected float, got nan"),
        ({"records_per_second": [1]}, r"records_per_second: expected float, got \[1\]"),
        ({"rows": {"train": "9"}}, "rows: expected numbers by name"),
        ({"validation": 3}, "validation: expected numbers by name, got 3"),
    ],
)
def test_results_of_an_older_version_are_typed(results, change, problem):
    results.digests.unlink()
    results.metrics.write_text(json.dumps(METRICS | change))
    with pytest.raises(
        RunDirectoryError, match=rf"metrics\.json: is damaged: {problem}"
    ):
        results.read_metrics()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"\xff", "expected UTF-8"),
        (b"[" * 100_000, "recursion"),
        (b"3", "expected a JSON object, got 3"),
        (b'{"epoch": "0"}', "expected the record of an epoch"),
        (b'{"epoch": 0, "train": {"loss": null}}', "train: expected numbers by name"),
    ],
)
def test_a_history_of_an_older_version_is_typed(results, line, problem):
    results.digests.unlink()
    results.history.write_bytes(line + b"\n")
    with pytest.raises(
        RunDirectoryError, match=rf"history\.jsonl: is damaged: .*{problem}"
    ):
        results.read_history()


def test_damaged_digests_are_replaced_with_the_next_results(results):
    results.digests.write_text("{")
    with pytest.raises(RunDirectoryError, match=r"digests\.json: is damaged"):
        results.read_metrics()
    results.write_metrics(METRICS)
    assert results.read_metrics() == METRICS


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[(1, True), (0.5, True), (True, False), ("1", False), (None, False)],
        *[(float("nan"), False), (float("inf"), False), (10**400, False)],
    ],
)
def test_numbers_are_finite(value, expected):
    assert is_number(value) == expected
