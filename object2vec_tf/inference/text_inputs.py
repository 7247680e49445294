"""Text in requests: what is text, and how a model's tokenizer is asked for its ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.inference.ragged_inputs import PADDING, RaggedInputs

# An object as it stands in a request: token ids, a text, or a list of strings.
Row = Sequence[int] | str | Sequence[str]
Texts = npt.NDArray[np.object_]


def is_text(row: Row) -> bool:
    """Whether an object is a text or a list of strings."""
    return isinstance(row, str) or (len(row) > 0 and isinstance(row[0], str))


def text_batches(rows: Sequence[Row]) -> list[tuple[list[int], Texts]]:
    """Returns what a tokenizer is to be asked, for the rows that are text.

    Returns:
        The numbers of the rows, and strings for the signature ``tokenize_in0`` or
        ``tokenize_in1``: texts ``[rows]``, lists of strings ``[rows, items]``, padded
        with empty ones. Texts and lists apart, where there are any.
    """
    texts = [i for i, row in enumerate(rows) if isinstance(row, str)]
    lists = [
        i for i, row in enumerate(rows) if is_text(row) and not isinstance(row, str)
    ]
    batches: list[tuple[list[int], Texts]] = []
    if texts:
        batches.append((texts, np.array([_bytes(rows[i]) for i in texts], object)))
    if lists:
        padded = np.full((len(lists), max(len(rows[i]) for i in lists)), b"", object)
        for place, i in enumerate(lists):
            padded[place, : len(rows[i])] = [_bytes(item) for item in rows[i]]
        batches.append((lists, padded))
    return batches


def _bytes(text: Any) -> bytes:
    return str(text).encode()


def put(rows: list[Row], places: Sequence[int], ids: npt.NDArray[np.int64]) -> None:
    """Puts the ids that a tokenizer answered in the places of its texts.

    Args:
        rows: The objects.
        places: The numbers of those that were asked about.
        ids: int64 ``[places, longest]``, padded behind.
    """
    lengths = (ids != PADDING).sum(axis=1).tolist()
    for place, row, length in zip(places, ids.tolist(), lengths, strict=True):
        rows[place] = row[:length]


def has_text(rows: Mapping[str, Sequence[Row]]) -> bool:
    """Whether any object of a request is text."""
    return any(is_text(row) for side in rows.values() for row in side)


def signature_inputs(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Returns a signature's inputs: texts ``[rows]``, or ids padded in front."""
    inputs: dict[str, Any] = {}
    for name, side in rows.items():
        if side and is_text(side[0]):
            ((_, inputs[name]),) = text_batches(side)
        else:
            inputs |= RaggedInputs.from_rows({name: side}).padded(leading=1)
    return inputs
