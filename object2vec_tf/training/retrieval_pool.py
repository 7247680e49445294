"""The items of ``retrieval_pool``: reading them, and checks of the option."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from object2vec_tf.data.channel_reader import PairSource
from object2vec_tf.data.table_reader import Rows
from object2vec_tf.data.table_sources import is_file_source, is_given, table_source
from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import channel_files, open_file
from object2vec_tf.files.file_content import report_damage
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.parquet_inputs import read_rows, read_split
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.inference.ragged_inputs import Rows as ObjectRows
from object2vec_tf.inference.text_inputs import Row, is_text
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.search.candidate_pool import read_pool
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer_loading import Tokenizers


@dataclasses.dataclass(frozen=True)
class RetrievalPool:
    """The items of ``retrieval_pool``.

    Attributes:
        items: The token ids of the distinct items, in the order of the file.
        fingerprint: A digest of the file, or of the items of a table.
    """

    items: RaggedColumn
    fingerprint: str


def check_retrieval_pool(pool: Any, sources: Mapping[str, PairSource | None]) -> None:
    """Checks that there is a channel to measure.

    Args:
        pool: The file or table of the pool; None if it is not given.
        sources: The channels, by name.

    Raises:
        UserError: There is a pool, but no validation channel.
    """
    if is_given(pool) and not is_given(sources.get("validation")):
        raise UserError(
            "retrieval_pool: expected a validation channel, whose pairs are ranked "
            "among the items of the pool, got none. Give --validation, or remove "
            "--retrieval_pool."
        )


def pool_identity(pool: RetrievalPool | None) -> dict[str, str]:
    """Returns the pool's part of a run's identity.

    The measures of all epochs in history.jsonl must be of the same pool.
    """
    return {"data of retrieval_pool": pool.fingerprint} if pool else {}


def read_retrieval_pool(
    source: Any,
    hyperparameters: Hyperparameters,
    tokenizers: Tokenizers,
) -> RetrievalPool | None:
    """Reads the items, truncated to their maximum length.

    Args:
        source: A file or a table of objects with in1, as token ids or as text; None for
            no pool.
        hyperparameters: The run's.
        tokenizers: Tokenizers of in0 and in1.

    Raises:
        DataError: The file cannot be read, or a line or row is invalid.
        UserError: The lines have no in1.
    """
    if not is_given(source):
        return None
    model = _Tokenization(hyperparameters, tokenizers)
    if not is_file_source(source):
        table = table_source(source, ["in1"])
        name = f"retrieval_pool: {table.name}"
        parts = map(_only_in1, table.parts)
        items = _items(read_rows(parts, name, model), name)
        return RetrievalPool(items, _digest_of_items(items))
    files = channel_files([source], "retrieval_pool")
    if len(files) != 1:
        raise UserError(
            f"retrieval_pool: expected a single file, got {len(files)} in {source}."
        )
    items = _items(read_split(files[0], model), f"retrieval_pool: {source}")
    return RetrievalPool(items, _digest(files[0]))


def _items(blocks: Iterator[RaggedInputs], name: str) -> RaggedColumn:
    return read_pool(blocks, "in1", name).objects().columns["in1"]


def _only_in1(rows: Rows) -> Rows:
    """Returns the items of rows, which may be pairs."""
    if isinstance(rows, pa.RecordBatch):
        return rows.select(["in1"])
    return [
        {"in1": row["in1"]} if isinstance(row, Mapping) and "in1" in row else row
        for row in rows
    ]


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open_file(path) as file, report_damage(path):
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _digest_of_items(items: RaggedColumn) -> str:
    digest = hashlib.blake2b(items.values.tobytes(), digest_size=16)
    digest.update(items.row_splits.tobytes())
    return digest.hexdigest()


class _Tokenization:
    """Converts the text of objects to token ids; an `InputModel`.

    Args:
        hyperparameters: The run's.
        tokenizers: Tokenizers of in0 and in1.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, tokenizers: Tokenizers
    ) -> None:
        self.hyperparameters = hyperparameters
        self.texts: Collection[str] = hyperparameters.texts
        self._tokenizers = tokenizers

    def tokenize(self, rows: ObjectRows) -> tuple[ObjectRows, int]:
        """Returns the objects as token ids, and the number of unknown tokens."""
        unknown, result = 0, {}
        for name, objects in rows.items():
            tokenized: list[Row] = list(objects)
            numbers = [i for i, row in enumerate(objects) if is_text(row)]
            tokenizer = self._tokenizers[int(name[-1])]
            if numbers and tokenizer:
                column, count = token_ids(tokenizer, [objects[i] for i in numbers])
                unknown += count
                rows_of_ids = [
                    column.rows(i, i + 1).values.tolist() for i in range(len(column))
                ]
                for number, row in zip(numbers, rows_of_ids, strict=True):
                    tokenized[number] = row
            result[name] = tokenized
        return result, unknown
