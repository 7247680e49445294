"""Answers of rows, as JSON Lines or as record batches for Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from object2vec_tf.bulk.answer_rows import AnswerRows
from object2vec_tf.errors import UserError
from object2vec_tf.inference.ragged_inputs import Predictions
from object2vec_tf.inference.request_codec import JSON_LINES, encode_predictions


def json_lines(rows: AnswerRows, predictions: Predictions | None) -> bytes:
    """Returns one line per row, with the kept fields first.

    After them come ``"embeddings"`` or ``"scores"``, or ``"error"``.

    Args:
        rows: The rows.
        predictions: The predictions of the valid rows, float32 ``[valid rows, width]``;
            None for no valid rows.

    Raises:
        UserError: A column that is kept has values that JSON lacks.
    """
    text = b""
    if rows.inputs and predictions is not None:
        text = encode_predictions(predictions, rows.inputs.output, JSON_LINES)
    has_errors = rows.errors is not None and any(rows.errors)
    if not has_errors and rows.kept is None:
        return text
    # Each answer without its braces.
    answers = [line[1:-1] for line in text.split(b"\n")[:-1]]
    if rows.errors is not None and has_errors:
        valid = iter(answers)
        answers = [
            next(valid) if error is None else b'"error":' + orjson.dumps(error)
            for error in rows.errors
        ]
    if rows.kept is not None:
        kept = rows.kept
        members = _members(kept) if isinstance(kept, pa.RecordBatch) else kept
        answers = [
            b"%b,%b" % (member, answer) if member else answer
            for member, answer in zip(members, answers, strict=True)
        ]
    return b"".join([b"{%b}\n" % answer for answer in answers])


def _members(kept: pa.RecordBatch) -> list[bytes]:
    """Returns each row as the members of a JSON object."""
    try:
        objects = [orjson.dumps(row, default=_json_value) for row in kept.to_pylist()]
    except (TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        raise UserError(
            "--keep: expected columns with values that JSON has, got "
            f"{column_types(kept.schema)}. Give --format=parquet, or keep other "
            "columns."
        ) from error
    return [text[1:-1] for text in objects]


def column_types(schema: pa.Schema) -> str:
    """Returns the names and types of columns, for messages."""
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def _json_value(value: Any) -> str:
    """Returns the text of a value that JSON lacks, such as a decimal number."""
    if isinstance(value, bytes):  # which need not be text
        raise TypeError(value)
    return str(value)


def record_batch(rows: AnswerRows, predictions: Predictions | None) -> pa.RecordBatch:
    """Returns the kept columns, a column of predictions, and one of errors.

    Args:
        rows: The rows. The column ``error`` is there if invalid ones are marked.
        predictions: The predictions of the valid rows, float32 ``[valid rows, width]``;
            None for no valid rows, which then have no column of predictions.
    """
    columns: dict[str, pa.Array] = {}
    if isinstance(rows.kept, pa.RecordBatch):
        columns |= dict(zip(rows.kept.schema.names, rows.kept.columns, strict=True))
    if rows.inputs and predictions is not None:
        columns[rows.inputs.output] = _lists(predictions, rows.errors)
    if rows.errors is not None:
        columns["error"] = pa.array(rows.errors, pa.string())
    return pa.record_batch(columns)


def _lists(predictions: Predictions, errors: Sequence[str | None] | None) -> pa.Array:
    """Returns a list per row, which is null where there is an error."""
    rows, width = predictions.shape
    values = pa.array(predictions.ravel())
    if errors is None:
        splits = width * np.arange(rows + 1, dtype=np.int32)
        return pa.ListArray.from_arrays(pa.array(splits), values)
    is_error = np.array([error is not None for error in errors])
    lengths = np.where(is_error, 0, width)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(splits), values, mask=pa.array(is_error))
