"""Lines of text to lines of token ids, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from object2vec_tf.files.atomic import atomic_file
from object2vec_tf.files.channels import Source
from object2vec_tf.text.json_objects import read_objects
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.tokenizer import Tokenizer


def encode(
    source: Source, destination: Path, tokenizers: Mapping[str, Tokenizer]
) -> tuple[int, int]:
    """Writes lines whose text has become token ids; what else they hold stays.

    Args:
        source: Files of JSON Lines.
        destination: The file to write; it is there whole, or not at all.
        tokenizers: By the field that is text. A line may lack one of several.

    Returns:
        The number of lines, and of tokens that the vocabulary lacks.

    Raises:
        DataError: A line is no object, or a field no text.
    """
    lines = unknown = 0
    encoder = msgspec.json.Encoder()
    with atomic_file(destination) as temporary, temporary.open("wb") as file:
        for objects in read_objects(source):
            for field, tokenizer in tokenizers.items():
                column, lacking = token_ids(tokenizer, objects.texts(field))
                ids, splits = column.values.tolist(), column.row_splits.tolist()
                for row, start, end in zip(
                    objects.rows, splits, splits[1:], strict=False
                ):
                    row[field] = ids[start:end]
                unknown += lacking
            file.writelines(encoder.encode(row) + b"\n" for row in objects.rows)
            lines += len(objects.rows)
    return lines, unknown


def decode(
    source: Source, destination: Path, vocabularies: Mapping[str, Mapping[str, int]]
) -> int:
    """Writes lines whose token ids have become lists of words.

    Args:
        source: Files of JSON Lines.
        destination: The file to write; it is there whole, or not at all.
        vocabularies: Ids by word, by the field that holds them.

    Returns:
        The number of lines.

    Raises:
        DataError: A line is no object, a field is no list of ids, or an id is not in
            the vocabulary.
    """
    words = {
        field: {number: word for word, number in vocabulary.items()}
        for field, vocabulary in vocabularies.items()
    }
    lines = 0
    with atomic_file(destination) as temporary, temporary.open("wb") as file:
        for objects in read_objects(source):
            for number, row in enumerate(objects.rows):
                for field, by_id in words.items():
                    try:
                        row[field] = _words(row.get(field), by_id)
                    except ValueError as error:
                        raise objects.error(number, f"{field}{error}") from None
                file.write(msgspec.json.encode(row) + b"\n")
            lines += len(objects.rows)
    return lines


def _words(ids: object, by_id: Mapping[int, str]) -> list[str]:
    if not isinstance(ids, list):
        raise ValueError(f" is {json.dumps(ids)[:60]}, expected a list of token ids")
    for place, each in enumerate(ids):
        if type(each) is not int or each not in by_id:
            raise ValueError(
                f"[{place}] is {json.dumps(each)[:60]}, which the vocabulary lacks; is "
                "it the one that the ids were made with?"
            )
    return [by_id[each] for each in ids]
