"""Readers of training channels, transform and requests against the reference."""

# ruff: noqa: PT017

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import xxhash

from object2vec_tf.bulk import jsonl_rows
from object2vec_tf.bulk.answer_options import AnswerOptions
from object2vec_tf.data import json_lines, text_reader
from object2vec_tf.data.blocks import BadLines
from object2vec_tf.data.pair_schema import PairSchema
from object2vec_tf.errors import DataError
from object2vec_tf.inference import jsonl_inputs
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.request_codec import JSON_LINES, RequestDecoder
from object2vec_tf.inference.request_errors import BadRequest
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.text import json_objects
from object2vec_tf.text.tokenizer import Tokenization
from tests import reference_lines as reference
from tests.line_models import (
    KINDS,
    LIMITS,
    SIZE,
    Interned,
    different,
    instances,
    line_number,
    model_of,
    named,
    rows_of,
    strings,
)
from tests.reference_lines import Bad, Line, lines_of

_TOKENIZATIONS = {
    "ids": None,
    "text": Tokenization("whitespace"),
    "any": Tokenization("id"),
}


def fit_door(kind: str, data: bytes, path: Path, generator: random.Random) -> None:
    """Channels: in0, in1, label and weight, with all numbers of bad lines."""
    num_classes = None if kind == "regression" else 3
    kinds = KINDS[kind]
    schema = PairSchema(
        vocab_sizes=(SIZE, SIZE),
        max_lengths=(9, 9),
        output_layer="softmax" if num_classes else "mean_squared_error",
        num_classes=num_classes,
        tokenizations=tuple(  # type: ignore[arg-type]
            {
                "ids": None,
                "text": Tokenization("whitespace"),
                "any": Tokenization("id"),
            }[k]
            for k in kinds
        ),
    )
    budget = generator.choice((0, 0, 1, 3, 10**6))
    expected: list[Any] = []
    bad: list[int] = []
    count, failed = 0, None
    for line in lines_of(data):
        try:
            expected.append(
                reference.pair(line.fields, kinds, (SIZE, SIZE), num_classes)
            )
        except Bad:
            bad.append(line.number)
            count += line.count
            if count > budget:
                failed = line.number
                break
    interned = Interned()

    def token_ids(tokenizer: Any, rows: Sequence[Any]) -> tuple[RaggedColumn, int]:
        if tokenizer.tokenization.is_id:
            rows = list(map(strings, rows))
        return interned.column(rows), 0

    def integer_ids(tokenizer: Any, column: RaggedColumn) -> tuple[RaggedColumn, int]:
        return interned.column([list(map(str, row)) for row in rows_of(column)]), 0

    tokenizers = tuple(
        None if t is None else SimpleNamespace(tokenization=t)
        for t in schema.tokenizations
    )
    bad_lines = BadLines(budget)
    found, error = [], None
    with (
        mock.patch.object(text_reader, "token_ids", token_ids),
        mock.patch.object(text_reader, "integer_ids", integer_ids),
    ):
        reader = json_lines.line_reader(schema, tokenizers)  # type: ignore[arg-type]
        size = generator.choice((1 << 24, 1 << 24, 1 << 24, 1, 100, 1000))
        digest = xxhash.xxh3_64()
        try:
            for block in json_lines.read_file(
                path, schema, bad_lines, digest, reader, size
            ):
                columns = [
                    rows_of(c)
                    if k == "ids"
                    else [interned.rows[r[0]] for r in rows_of(c)]
                    for k, c in zip(kinds, (block.in0, block.in1), strict=True)
                ]
                labels = [float(label) for label in block.labels]
                weights = [float(weight) for weight in block.weights_or_ones]
                found += zip(*columns, labels, weights, strict=True)
        except DataError as data_error:
            error = line_number(data_error, path)
    if failed is None:
        assert error is None, f"line {error} is no error"
        assert found == expected, different(found, expected)
        assert [line_number(m, path) for m in bad_lines.messages] == bad
        assert bad_lines.count == count
        assert digest.hexdigest() == xxhash.xxh3_64(data).hexdigest()
    else:
        assert error == failed, f"got an error of {error}, not of {failed}"


def read_door(kind: str, data: bytes, path: Path, generator: random.Random) -> None:
    """transform and neighbors: objects in blocks; the first error ends the file."""
    model, kinds = model_of(kind)
    expected, bad = instances(lines_of(data), kinds, skip=False)
    found: list[dict[str, Any]] = []
    error = None
    size = generator.choice((1 << 20, 1 << 20, 1, 64, 1000))
    try:
        for inputs in jsonl_inputs.read_objects(path, model, block_bytes=size):
            columns = {n: model.values(c) for n, c in inputs.columns.items()}
            found += named(columns, columns.values())
    except DataError as data_error:
        error = line_number(data_error, path)
    assert error == (bad and bad.number), f"error of {error}, expected {bad}"
    if bad is None:
        assert found == [objects for _, objects in expected], different(
            found, [objects for _, objects in expected]
        )


def lenient_door(kind: str, data: bytes, path: Path, generator: random.Random) -> None:
    """transform with --on_error=skip or mark, and --keep."""
    model, kinds = model_of(kind)
    expected, _ = instances(lines_of(data), kinds, skip=True)
    mark = generator.random() < 0.5
    options = AnswerOptions(keep=("id",), on_error="mark" if mark else "skip")
    found: list[Any] = []
    rows = invalid = 0
    size = generator.choice((1 << 20, 1 << 20, 1, 64, 1000))
    for answers in jsonl_rows._read(FileSplit(path), model, (), options, size):  # type: ignore[arg-type]
        rows += answers.counts.rows
        invalid += answers.counts.invalid
        columns = {}
        if answers.inputs:
            columns = {n: model.values(c) for n, c in answers.inputs.columns.items()}
        valid = iter(named(columns, columns.values()))
        errors = answers.errors or [None] * len(answers)
        kept = answers.kept or [b""] * len(errors)
        for message, members in zip(errors, kept, strict=True):
            if message is None:
                found.append((next(valid), bytes(members)))
            else:
                match = re.match(r"line (\d+): ", message)
                assert match, message
                found.append((int(match[1]), bytes(members)))
    wanted = [
        (objects or line.number, _kept(line))
        for line, objects in expected
        if objects is not None or mark
    ]
    assert found == wanted, different(found, wanted)
    assert rows == len(expected)
    assert invalid == sum(objects is None for _, objects in expected)


def _kept(line: Line) -> bytes:
    if line.fields is None or "id" not in line.fields:
        return b""
    raw = json_objects.decode_object(line.text)["id"]  # as it is written
    assert reference._json(bytes(raw).decode()) == line.fields["id"]
    return b'"id":' + bytes(raw)


def body_door(kind: str, data: bytes, path: Path, generator: random.Random) -> None:
    """Request bodies of application/jsonlines."""
    model, kinds = model_of(kind)
    external = model.hyperparameters.external_ids
    decoder = RequestDecoder(LIMITS, model.texts, external)
    lines = lines_of(data)
    expected, bad = instances(lines, kinds, skip=False)
    try:
        rows = decoder.decode(data, JSON_LINES)
    except BadRequest as error:
        if not lines:
            assert error.path == "$"
            return
        assert bad is not None, f"{error} is no error"
        assert error.path.startswith(f"$[{lines.index(bad)}]"), f"{error.path} {bad}"
        return
    assert bad is None, f"accepts {bad}"
    found = named(rows, rows.values())
    assert found == [o for _, o in expected], different(found, [o for _, o in expected])
