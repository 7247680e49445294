"""Converts the text of JSON Lines to token ids, and token ids to words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from object2vec_tf.files.atomic import atomic_file
from object2vec_tf.files.channels import Source
from object2vec_tf.files.object_lines import decode_value
from object2vec_tf.progress import counted
from object2vec_tf.text.json_objects import ObjectBlock, read_object_blocks
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer import Tokenizer


def encode(
    source: Source, destination: Path, tokenizers: Mapping[str, Tokenizer]
) -> tuple[int, int]:
    """Writes lines with token ids in place of text; other fields are kept.

    Args:
        source: JSON Lines files.
        destination: The file to write. It is written atomically.
        tokenizers: The tokenizer of each field with text. Every line must have all of
            these fields.

    Returns:
        The number of lines, and the number of tokens that the vocabulary lacks.

    Raises:
        DataError: A line is not a JSON object, or a field is missing or not text.
    """
    lines = unknown = 0
    encoder = msgspec.json.Encoder()
    are_ids = {name: t.tokenization.is_id for name, t in tokenizers.items()}
    with atomic_file(destination) as temporary, temporary.open("wb") as file:
        for block in counted(read_object_blocks(source), "encoding", "lines", _rows):
            objects: list[dict[str, Any]] = [*block.rows]
            for field, texts in block.fields(are_ids).items():
                column, unknown_in_block = token_ids(tokenizers[field], texts)
                ids, splits = column.values.tolist(), column.row_splits.tolist()
                for row, start, end in zip(objects, splits, splits[1:], strict=False):
                    row[field] = ids[start:end]
                unknown += unknown_in_block
            file.writelines(encoder.encode(row) + b"\n" for row in objects)
            lines += len(block.rows)
    return lines, unknown


def decode(
    source: Source, destination: Path, vocabularies: Mapping[str, Mapping[str, int]]
) -> int:
    """Writes lines with lists of words in place of token ids.

    Args:
        source: JSON Lines files.
        destination: The file to write. It is written atomically.
        vocabularies: The vocabulary (ids by word) of each field with token ids.

    Returns:
        The number of lines.

    Raises:
        DataError: A line is not a JSON object, a field is not a list of ids, or the
            vocabulary lacks an id.
    """
    words = {
        field: {id_: word for word, id_ in vocabulary.items()}
        for field, vocabulary in vocabularies.items()
    }
    lines = 0
    with atomic_file(destination) as temporary, temporary.open("wb") as file:
        for block in counted(read_object_blocks(source), "decoding", "lines", _rows):
            objects: list[dict[str, Any]] = [*block.rows]
            for number, row in enumerate(objects):
                for field, by_id in words.items():
                    ids = decode_value(row[field]) if field in row else None
                    try:
                        row[field] = _words(ids, by_id)
                    except ValueError as error:
                        raise block.error(number, f"{field}{error}") from None
                file.write(msgspec.json.encode(row) + b"\n")
            lines += len(block.rows)
    return lines


def _rows(block: ObjectBlock) -> int:
    return len(block.rows)


def _words(ids: object, by_id: Mapping[int, str]) -> list[str]:
    """Returns the words of ids.

    Raises:
        ValueError: The ids are invalid. Its message continues the name of the field.
    """
    if not isinstance(ids, list):
        raise ValueError(
            f": expected a list of token ids, got {json.dumps(ids)[:60]}. Give a file "
            "with token ids."
        )
    for position, id_ in enumerate(ids):
        if type(id_) is not int or id_ not in by_id:
            raise ValueError(
                f"[{position}]: expected a token id of the vocabulary, got "
                f"{json.dumps(id_)[:60]}. Give the vocabulary with which the text was "
                "encoded."
            )
    return [by_id[id_] for id_ in ids]
