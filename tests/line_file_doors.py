"""Readers of neighbors, items and vocabulary against the reference."""

# ruff: noqa: PT017

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from export import item_catalog
from object2vec_tf.errors import DataError, UserError
from object2vec_tf.search import embedding_lines, pair_lines
from object2vec_tf.text import conversion, json_objects, shuffling
from tests import reference_lines as reference
from tests.line_models import (
    KINDS,
    Interned,
    different,
    instances,
    line_number,
    model_of,
    named,
)
from tests.reference_lines import Bad, Line, lines_of


def pairs_door(kind: str, data: bytes, path: Path, generator: random.Random) -> None:
    """Pairs of evaluate and --exclude."""
    model, kinds = model_of(kind)
    expected: list[Any] = []
    bad = None
    objects, first_bad = instances(lines_of(data), kinds, skip=False)
    for line, found in objects:
        assert found is not None
        assert line.fields is not None
        label = line.fields.get("label", reference.Number("1"))
        finite = isinstance(label, reference.Number) and np.isfinite(float(label.text))
        if len(found) == 2 and not finite:
            bad = line
            break
        expected.append((found, finite and float(label.text) > 0))
    bad = bad or first_bad
    one_sided = bool(objects) and len(objects[0][1] or ()) == 1
    rows: list[Any] = []
    error: Any = None
    size = generator.choice((1 << 20, 1 << 20, 1, 300))
    with mock.patch.object(pair_lines, "BLOCK_BYTES", size):
        try:
            for block in pair_lines.read_pair_blocks([path], model):  # type: ignore[arg-type]
                columns = {n: model.values(c) for n, c in block.objects.columns.items()}
                pairs = named(columns, columns.values())
                rows += zip(pairs, block.is_true.tolist(), strict=True)
        except DataError as data_error:
            error = line_number(data_error, path)
        except UserError:
            error = "one side"
    if one_sided:
        assert error is not None
        return
    assert error == (bad and bad.number), f"error of {error}, expected {bad}"
    if bad is None:
        assert rows == expected, different(rows, expected)


def embeddings_door(
    kind: str, data: bytes, path: Path, generator: random.Random
) -> None:
    """Embeddings that transform wrote, and the lines of items."""
    expected, bad, width = [], None, 0
    lines = lines_of(data)
    for line in lines:
        values = (line.fields or {}).get("embeddings")
        try:
            if not isinstance(values, list) or not values:
                raise Bad("no list")
            if not all(isinstance(value, reference.Number) for value in values):
                raise Bad("no numbers")
            vector = [value.float32() for value in values]
            width = width or len(vector)
            if len(vector) != width:
                raise Bad("width")
            expected.append(vector)
        except Bad:
            bad = line
            break
    found, error = [], None
    try:
        for block in embedding_lines.read_embeddings(path):
            found += block.tolist()
    except DataError as data_error:
        error = line_number(data_error, path)
    assert error == (bad and bad.number), f"error of {error}, expected {bad}"
    if bad is None:
        assert found == expected, different(found, expected)
    texts = list(embedding_lines.read_lines(path))
    assert texts == [(line.number, line.text) for line in lines]


def items_door(kind: str, data: bytes, path: Path, generator: random.Random) -> None:
    """The items of an export."""
    lines = lines_of(data)
    bad = next((line for line in lines if line.fields is None), None)
    found, error = [], None
    try:
        found = list(item_catalog._item_lines(path))
    except DataError as data_error:
        error = line_number(data_error, path)
    assert error == (bad and bad.number), f"error of {error}, expected {bad}"
    if bad is None:
        for text, line in zip(found, lines, strict=True):
            assert line.fields is not None
            if "embeddings" not in line.fields:
                assert text == line.text
            fields = {n: v for n, v in line.fields.items() if n != "embeddings"}
            assert reference.parse_object(text) == fields
            embedding_lines.parse_item(text)


def vocabulary_door(
    kind: str, data: bytes, path: Path, generator: random.Random
) -> None:
    """Fields of vocabulary build and encode, and the order-free lines of shuffle."""
    kinds = dict(zip(("in0", "in1"), KINDS[kind], strict=True))
    are_ids = {name: k != "text" for name, k in kinds.items()}
    expected: dict[str, list[Any]] = {"in0": [], "in1": []}
    lines = lines_of(data)
    bad, valid = None, []
    for line in lines:
        try:
            if line.fields is None:
                raise Bad("no object")
            row = {}
            for name, is_id in are_ids.items():
                if name not in line.fields:
                    raise Bad("missing")
                row[name] = (reference.any_ids if is_id else reference.texts)(
                    line.fields[name]
                )
        except Bad:
            bad = line
            break
        for name, value in row.items():
            expected[name].append(value)
        valid.append(line)
    found: dict[str, list[Any]] = {"in0": [], "in1": []}
    error = None
    size = generator.choice((1 << 22, 1 << 22, 1, 300))
    with mock.patch.object(json_objects, "_BLOCK_BYTES", size):
        try:
            for block in json_objects.read_object_blocks(path):
                for name, rows in block.fields(are_ids).items():
                    found[name] += rows
        except DataError as data_error:
            error = line_number(data_error, path)
    assert error == (bad and bad.number), f"error of {error}, expected {bad}"
    if bad is None:
        assert found == expected, different(found["in0"], expected["in0"])
    if generator.random() < 0.1 and lines:
        check_encoded(path, valid, bad, are_ids)
        shuffled = path.with_suffix(".shuffled")
        shuffling.shuffle_lines(path, shuffled)
        assert (
            sorted(x.text for x in lines_of(shuffled.read_bytes().removeprefix(b"")))
            == (sorted(x.text for x in lines))
            or data.count(b"\xef\xbb\xbf") > 0
        )


def check_encoded(
    path: Path, lines: Sequence[Line], bad: Line | None, are_ids: Mapping[str, bool]
) -> None:
    """Checks that encoding keeps other fields."""
    encoded = path.with_suffix(".encoded")
    tokenizers: Any = {
        name: SimpleNamespace(tokenization=SimpleNamespace(is_id=is_id))
        for name, is_id in are_ids.items()
    }
    interned = Interned()
    with mock.patch.object(
        conversion, "token_ids", lambda tokenizer, rows: (interned.column(rows), 0)
    ):
        try:
            count, _ = conversion.encode(path, encoded, tokenizers)
        except DataError as error:
            assert bad is not None
            assert line_number(error, path) == bad.number
            return
    assert (bad, count) == (None, len(lines))
    for written, line in zip(lines_of(encoded.read_bytes()), lines, strict=True):
        assert written.fields is not None
        assert line.fields is not None
        for name, value in line.fields.items():
            if name not in are_ids:
                assert written.fields[name] == value
