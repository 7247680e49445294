"""Text in requests: which objects are text, and how they become token ids."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.inference.ragged_inputs import (
    MAX_CELLS,
    PADDING,
    CallLimits,
    Ids,
    RaggedInputs,
    Rows,
    batches_by_length,
)
from object2vec_tf.inference.token_counts import TokenCounts, add_counts

# An object in a request: token ids, a text, or a list of strings.
Row = Sequence[int] | str | Sequence[str]
Texts = npt.NDArray[np.object_]


def is_text(row: Row) -> bool:
    """Returns whether an object is a text or a list of strings."""
    return isinstance(row, str) or (len(row) > 0 and isinstance(row[0], str))


def has_text(rows: Mapping[str, Sequence[Row]]) -> bool:
    """Returns whether any object of a request is text."""
    return any(is_text(row) for objects in rows.values() for row in objects)


@dataclasses.dataclass(frozen=True)
class TextBatch:
    """The texts of one input, or its lists of strings, to tokenize in one call.

    Attributes:
        name: The input: in0 or in1.
        row_numbers: The numbers of their rows in the request.
        texts: Texts ``[rows]``, or lists of strings ``[rows, items]`` padded with empty
            strings.
    """

    name: str
    row_numbers: list[int]
    texts: Texts

    @property
    def signature(self) -> str:
        """The signature that tokenizes the batch."""
        return f"tokenize_{self.name}"


class TextRequest:
    """A request whose texts are replaced by token ids, batch by batch.

    Calling the tokenizer is left to the caller, which may call it in this process or
    await a server.

    Args:
        rows: The objects of the request: token ids, texts and lists of strings.

    Attributes:
        batches: The batches to tokenize.
        rows: The objects; those of each stored batch are token ids.
        counts: The tokens of stored batches, and those that the vocabulary lacks.
    """

    def __init__(self, rows: Rows) -> None:
        self.batches = [
            TextBatch(name, numbers, texts)
            for name, objects in rows.items()
            for numbers, texts in text_batches(objects)
        ]
        self.rows: dict[str, list[Row]] = {
            name: list(objects) for name, objects in rows.items()
        }
        self.counts: dict[str, TokenCounts] = {}

    @property
    def unknown_tokens(self) -> int:
        """The number of tokens of stored batches that the vocabulary lacks."""
        return sum(count.unknown for count in self.counts.values())

    def store(self, batch: TextBatch, outputs: Mapping[str, Ids]) -> None:
        """Replaces the texts of a batch by their token ids.

        Args:
            batch: One of ``batches``.
            outputs: The outputs of the signature: ``ids``, int64 ``[rows, longest]``,
                padded at the end, and counts for each row, int64 ``[rows]``:
                ``unknown`` tokens, all ``tokens``, and ``known`` tokens among the ids.
                Models of older versions lack the last two.
        """
        ids, unknown = outputs["ids"], outputs["unknown"]
        objects = self.rows[batch.name]
        lengths = (ids != PADDING).sum(axis=1).tolist()
        for number, row, length in zip(
            batch.row_numbers, ids.tolist(), lengths, strict=True
        ):
            objects[number] = row[:length]
        kept = np.array(lengths, np.int64)
        tokens = outputs.get("tokens", np.maximum(kept, unknown))
        known = outputs.get("known", np.maximum(kept - unknown, 0))
        count = TokenCounts(
            int(tokens.sum()),
            int(unknown.sum()),
            len(ids),
            int(np.count_nonzero((unknown > 0) & (known == 0))),
        )
        self.counts = add_counts(self.counts, {batch.name: count})


def text_batches(objects: Sequence[Row]) -> list[tuple[list[int], Texts]]:
    """Returns the strings to tokenize: texts and lists of strings in separate batches.

    Rows are batched by similar length: a long list would pad all others of its batch,
    and the ids of a long text would pad those of all others.

    Args:
        objects: The objects of one input; token ids are skipped.

    Returns:
        For each batch, the numbers of its rows and the strings for the signature
        ``tokenize_in0`` or ``tokenize_in1``: texts ``[rows]``, or lists of strings
        ``[rows, items]`` padded with empty strings.
    """
    texts = {i: _encoded(row) for i, row in enumerate(objects) if isinstance(row, str)}
    lists = {
        i: [_encoded(item) for item in row]
        for i, row in enumerate(objects)
        if not isinstance(row, str) and is_text(row)
    }
    batches: list[tuple[list[int], Texts]] = []
    for numbers in _batches({i: len(text) for i, text in texts.items()}):
        batches.append((numbers, np.array([texts[i] for i in numbers], object)))
    for numbers in _batches({i: _most_tokens(row) for i, row in lists.items()}):
        width = max(len(lists[i]) for i in numbers)
        padded = np.full((len(numbers), width), b"", object)
        for number, i in enumerate(numbers):
            padded[number, : len(lists[i])] = lists[i]
        batches.append((numbers, padded))
    return batches


def _most_tokens(items: Sequence[bytes]) -> int:
    """Returns about the maximum number of tokens of a list: every byte is one."""
    return max(len(items), sum(map(len, items)))


def _batches(lengths: Mapping[int, int]) -> Iterator[list[int]]:
    """Yields the row numbers of each batch.

    Args:
        lengths: About the maximum number of tokens of each row, by its number. That of
            a text is its number of bytes.
    """
    if not lengths:
        return
    numbers = np.array([*lengths])
    limits = CallLimits(MAX_CELLS, len(lengths))
    for rows in batches_by_length(np.array([*lengths.values()]), limits):
        yield (numbers if rows is None else numbers[rows]).tolist()


def _encoded(text: Any) -> bytes:
    return str(text).encode()


def signature_inputs(rows: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    """Returns the inputs of a signature call.

    Args:
        rows: The objects of each input, which are all text or all token ids.

    Returns:
        Texts ``[rows]``, or token ids ``[rows, 1 + longest]`` with one column of
        padding in front.
    """
    inputs: dict[str, Any] = {}
    for name, objects in rows.items():
        if objects and is_text(objects[0]):
            ((_, inputs[name]),) = text_batches(objects)
        else:
            inputs |= RaggedInputs.from_rows({name: objects}).padded(leading=1)
    return inputs
