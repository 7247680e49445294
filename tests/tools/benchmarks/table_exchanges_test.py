"""The methods of table_exchanges, by three replicas on CPU devices of one process."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.command_server import python_c
from tools.benchmarks.table_exchanges import (
    LEARNING_RATE,
    METHODS,
    initial_rows,
    own_rows,
    whole_table,
)

PROGRAM = Path(__file__).with_name("exchange_program.py")
# 5 pairs: the replicas have different numbers of pairs.
VOCAB, DIM, PAIRS, REPLICAS, STEPS = 23, 3, 5, 3, 3


def expected_table(table, in0, in1):
    """Gradient descent on the mean inner product of mean vectors, in float64."""
    table = table.astype(np.float64)
    for sides in zip(in0, in1, strict=True):
        means = [table[ids].mean(axis=1) for ids in sides]
        gradient = np.zeros_like(table)
        for ids, other in zip(sides, reversed(means), strict=True):
            upstream = other[:, np.newaxis] / PAIRS / ids.shape[1]
            np.add.at(gradient, ids, upstream)
        table -= LEARNING_RATE * gradient
    return table


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The arrays that are trained on, and the tables of all replicas by method."""
    generator = np.random.default_rng(0)
    directory = tmp_path_factory.mktemp("exchange")
    inputs = {
        "table": generator.normal(size=(VOCAB, DIM)).astype(np.float32),
        "in0": generator.integers(0, VOCAB, (STEPS, PAIRS, 4), dtype=np.int32),
        "in1": generator.integers(0, VOCAB, (STEPS, PAIRS, 6), dtype=np.int32),
    }
    paths = [str(directory / name) for name in ("inputs.npz", "results.npz")]
    np.savez(paths[0], **inputs)
    program = PROGRAM.read_text(encoding="utf-8")
    subprocess.run([*python_c(program), *paths, str(REPLICAS)], check=True)
    return inputs, dict(np.load(paths[1]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.long
def test_replicas_learn_what_gradient_descent_learns(trained, method):
    inputs, results = trained
    tables = [results[f"{method} {replica}"] for replica in range(REPLICAS)]
    if method == "replicated":
        for table in tables:
            np.testing.assert_array_equal(table, tables[0])
        learned = tables[0]
    else:
        assert [len(table) for table in tables] == [8, 8, 7]
        learned = whole_table(tables)

    expected = expected_table(**inputs)
    assert np.abs(expected - inputs["table"]).max() > 0.01
    np.testing.assert_allclose(learned, expected, rtol=1e-5, atol=1e-6)


def test_owners_have_the_rows_of_the_whole_table():
    table = initial_rows(7, 2, 0, 1)

    parts = [initial_rows(7, 2, replica, 3) for replica in range(3)]

    np.testing.assert_array_equal(table[:, 0], np.sin(np.arange(7, dtype=np.float32)))
    np.testing.assert_array_equal(parts[1], table[[1, 4]])
    np.testing.assert_array_equal(own_rows(table, 1, 3), table[[1, 4]])
    np.testing.assert_array_equal(whole_table(parts), table)
