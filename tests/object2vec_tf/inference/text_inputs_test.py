"""Texts of a request: batches of similar length, and their ids in the rows' order."""

import numpy as np
import pytest

from object2vec_tf.inference.ragged_inputs import MAX_CELLS
from object2vec_tf.inference.text_inputs import TextRequest, text_batches


def numbered(row):
    """The ids of a row: the numbers in its words."""
    words = row if isinstance(row, list) else row.split()
    return [int(word[1:]) for word in words]


def tokenize(batch):
    """The outputs of a tokenizer's signature, and the cells of its dense ids."""
    rows = [
        [word for text in np.atleast_1d(row) for word in text.split()]
        for row in batch.texts
    ]
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), -1)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = [int(word[1:]) for word in row]
    return {"ids": ids, "unknown": np.zeros(len(rows), np.int64)}, ids.size


@pytest.mark.parametrize("kind", ["texts", "lists"])
def test_one_long_row_does_not_pad_the_others(kind):
    rows = [[f"w{i % 7}"] * (i % 3 + 1) for i in range(30_000)]
    rows[77] = [f"w{i}" for i in range(5000)]
    if kind == "texts":
        rows = [" ".join(row) for row in rows]
    request = TextRequest({"in0": rows})
    cells = 0
    for batch in request.batches:
        outputs, size = tokenize(batch)
        assert size <= MAX_CELLS
        assert batch.texts.size <= MAX_CELLS
        request.store(batch, outputs)
        cells += max(size, batch.texts.size)
    # 64,996 tokens; padded to the longest of all, they were 150,000,000 cells.
    assert cells < 1_200_000
    assert request.rows["in0"] == [numbered(row) for row in rows]


def test_a_list_counts_the_bytes_of_its_strings():
    # Each byte may become a token: 1,000 lists of one string, one of them long.
    rows = [["w1"]] * 1000
    rows[500] = ["w" * 3000]
    assert [len(numbers) for numbers, _ in text_batches(rows)] == [349, 651]


def test_rows_of_similar_length_are_one_batch_in_their_order():
    rows = ["b", [3], "a", "", ["x", "y"], ["z"]]
    (texts, strings), (lists, items) = text_batches(rows)
    assert (texts, strings.tolist()) == ([0, 2, 3], [b"b", b"a", b""])
    assert (lists, items.tolist()) == ([4, 5], [[b"x", b"y"], [b"z", b""]])
