"""Reads rows of tables and mappings into blocks of pairs.

Record batches whose values are all valid are converted as whole columns. The rows of
other batches are checked one by one, as lines of JSON are.
"""

from __future__ import annotations

import decimal
import enum
import numbers
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import orjson
import pyarrow as pa

from object2vec_tf.data.blocks import (
    BadLines,
    Block,
    block_of_pairs,
    checked_block,
    has_valid_numbers,
)
from object2vec_tf.data.json_lines import LineReader
from object2vec_tf.data.lenient_lines import LenientDecoder
from object2vec_tf.data.line_diagnosis import FIELDS, pair_problem, surrogate_problem
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.data.table_columns import (
    class_labels,
    item_rows,
    numbers_of,
    ragged_integers,
    text_rows,
)
from object2vec_tf.errors import DataError
from object2vec_tf.files.fingerprints import Digest, verify_unchanged
from object2vec_tf.files.record_batches import (
    hash_file,
    mappings,
    open_batches,
    plain_decimal,
)
from object2vec_tf.ragged.column import RaggedColumn

REQUIRED = (*INPUTS, "label")
# Rows of a table, as a record batch or as mappings.
Rows: TypeAlias = "pa.RecordBatch | Sequence[Any]"

_OPTIONS = (
    orjson.OPT_SERIALIZE_NUMPY
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_MAX_SHOWN_NAMES = 8


class PairTableReader:
    """Reads the rows of tables.

    Args:
        schema: The schema of the pairs.
        reader: The reader that `line_reader` returns for the schema, which tokenizes
            text.
        bad_lines: The skipped rows of the channel, to which those of tables are added.
        after_block: Called with the bytes of each batch that was read.
    """

    def __init__(
        self,
        schema: PairSchema,
        reader: LineReader,
        bad_lines: BadLines,
        after_block: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._schema = schema
        self._reader = reader
        self._bad_lines = bad_lines
        self._after_block = after_block
        self._lenient = LenientDecoder(schema)

    def read_file(self, path: Path, digest: Digest) -> Iterator[Block]:
        """Yields the pairs of a Parquet or Arrow file, block by block.

        Args:
            path: The file.
            digest: Updated with the bytes of the file.

        Raises:
            DataError: There are more invalid rows than allowed, the file lacks a
                column or cannot be read, or it changes meanwhile.
        """
        with verify_unchanged(path):
            hash_file(path, digest)
            with open_batches(path, FIELDS) as (schema, batches):
                check_names(schema.names, f"{path}")
                yield from self.read(batches, f"{path}")

    def read(self, parts: Iterable[Rows], name: str) -> Iterator[Block]:
        """Yields the pairs of a table, block by block.

        Args:
            parts: The rows in order, as record batches or sequences of mappings.
            name: The name of the table in messages. Its first row is row 1.

        Raises:
            DataError: There are more invalid rows than allowed.
        """
        row = 1
        for part in parts:
            if isinstance(part, pa.RecordBatch):
                try:
                    block = self._block_of_batch(part)
                except pa.ArrowNotImplementedError:  # rare types: row by row
                    block = None
                self._after_block(part.nbytes)
            else:
                block = self._block_of_mappings(part)
            if block is None:
                block = self._block_of_rows(part, name, row)
            row += len(part)
            if len(block.labels):
                yield block

    def _block_of_batch(self, batch: pa.RecordBatch) -> Block | None:
        """Returns the pairs of a record batch; None if a row may be invalid."""
        label = batch.column("label")
        is_real = self._schema.num_classes is None
        labels = numbers_of(label) if is_real else class_labels(label)
        if labels is None:
            return None
        weights = None
        if "weight" in batch.schema.names:
            weights = numbers_of(batch.column("weight"))
            if weights is None:
                return None
        columns: dict[str, RaggedColumn] = {}
        texts: dict[str, list[Any]] = {}
        for name, size, tokenization in zip(
            INPUTS, self._schema.vocab_sizes, self._schema.tokenizations, strict=True
        ):
            array = batch.column(name)
            column = rows = None
            if tokenization is None:
                column = ragged_integers(array, size)
            elif tokenization.is_id:
                column = ragged_integers(array, None)
                rows = item_rows(array) if column is None else None
            else:
                rows = text_rows(array)
            if column is not None:
                columns[name] = column
            elif rows is not None:
                texts[name] = rows
            else:
                return None
        if not has_valid_numbers(labels, weights, self._schema):
            return None
        # Unknown tokens are counted here: only after everything was valid.
        columns = {n: self._reader.looked_up(n, c) for n, c in columns.items()}
        columns |= {n: self._reader.column(n, rows) for n, rows in texts.items()}
        return checked_block(columns, labels, weights, self._schema)

    def _block_of_mappings(self, rows: Sequence[Any]) -> Block | None:
        """Returns the pairs of mappings; None if one of them may be invalid."""
        if not all(issubclass(kind, Mapping) for kind in {*map(type, rows)}):
            return None
        try:
            fields = [{f: row[f] for f in FIELDS if f in row} for row in rows]
            text = b"\n".join([orjson.dumps(row, option=_OPTIONS) for row in fields])
        except (TypeError, IndexError, KeyError):
            return None
        self._after_block(len(text))
        for parsed in self._reader.read([text]):
            found = parsed or self._lenient.decode(text, self._reader.column)
            return found and checked_block(*found, self._schema)
        return None

    def _block_of_rows(self, part: Rows, name: str, first_row: int) -> Block:
        """Returns the valid rows, and adds the invalid ones to the bad lines."""
        pairs: list[Mapping[str, Any]] = []
        for number, row in enumerate(_mappings(part, name, first_row), first_row):
            if not isinstance(row, Mapping) and hasattr(row, "keys"):
                row = dict(row)  # a Series of pandas, among others
            if not isinstance(row, Mapping):
                problem: str | None = (
                    'expected a row such as {"in0": [1], "in1": [2], "label": 1}, got '
                    f"a value of type {type(row).__name__}. Give mappings."
                )
            else:
                pair = {f: plain_value(row[f]) for f in FIELDS if f in row}
                problem = pair_problem(pair, self._schema) or surrogate_problem(pair)
            if problem is None:
                pairs.append(pair)
            else:
                self._bad_lines.add(f"{name}: row {number}: {problem}")
        return block_of_pairs(pairs, self._schema, self._reader.column)


def _mappings(part: Rows, name: str, first_row: int) -> Sequence[Any]:
    if isinstance(part, pa.RecordBatch):
        return mappings(part, name, first_row)
    return part


def plain_value(value: Any) -> Any:
    """Returns a value as JSON would have it: numbers, strings and lists.

    Example:
        >>> import numpy as np
        >>> plain_value((np.int64(3), np.array([1.5]), decimal.Decimal(4)))
        [3, [1.5], 4]
    """
    if value is None or type(value) in (int, float, str, bool):
        return value
    if isinstance(value, pa.MonthDayNano):  # a tuple, but no list of numbers
        return f"{value}"
    if isinstance(value, list | tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, decimal.Decimal):
        return plain_decimal(value)
    if isinstance(value, uuid.UUID | enum.Enum) or _is_time(value):
        return orjson.loads(orjson.dumps(value, option=_OPTIONS))
    if hasattr(value, "numpy"):  # a tensor of TensorFlow or PyTorch
        value = value.numpy()
    if hasattr(value, "tolist"):  # an array or a number of numpy
        return plain_value(value.tolist())
    if isinstance(value, numbers.Integral):
        return int(value)
    return value


def _is_time(value: object) -> bool:
    """Returns whether a value is a time of numpy, which orjson writes as text."""
    return isinstance(value, np.generic | np.ndarray) and value.dtype.kind == "M"


def check_names(
    names: Sequence[str], place: str, required: Sequence[str] = REQUIRED
) -> None:
    """Checks the names of a table's columns.

    Args:
        names: The names.
        place: The file or the table, for messages.
        required: The names that must be among them.

    Raises:
        DataError: A column is missing, or two columns have the same name.
    """
    shown = ", ".join(map(str, names[:_MAX_SHOWN_NAMES]))
    shown += ", ..." * (len(names) > _MAX_SHOWN_NAMES)
    missing = [field for field in required if field not in names]
    if missing:
        columns = "columns" if len(missing) > 1 else "the column"
        raise DataError(
            f"{place}: expected {columns} {' and '.join(missing)}, got "
            f"{shown or 'no columns'}. Rename or add {'them' if missing[1:] else 'it'}."
        )
    for field in FIELDS:
        if list(names).count(field) > 1:
            raise DataError(
                f"{place}: expected one column {field}, got {list(names).count(field)}."
                " Remove or rename the others."
            )
