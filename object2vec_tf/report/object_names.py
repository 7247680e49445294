"""Names of objects, which the report and the Projector display."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.file_content import read_content
from object2vec_tf.files.record_batches import is_table_file, table_lines
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.text.item_ids import item_ids
from object2vec_tf.text.tokenizer import Tokenizer
from object2vec_tf.text.tokenizer_loading import Tokenizers

# The encoder (0 or 1) and the token ids of an object.
_Object = tuple[int, tuple[int, ...]]
ObjectNames = Mapping[_Object, str]
_PathLike = str | os.PathLike[str]


_TOKEN_IDS: Any = list[int] | None
_EXTERNAL_IDS: Any = list[int | str] | int | str | None


def read_object_names(
    items: _PathLike | None,
    labels: _PathLike | None,
    hyperparameters: Hyperparameters,
    tokenizers: Tokenizers = (None, None),
) -> ObjectNames:
    """Reads the names of objects from the files that ``neighbors build`` also takes.

    Args:
        items: A JSON Lines file of objects, ``{"in0": [196]}`` or ``{"in1": [172]}``.
        labels: A text file. Line *i* is the name of item *i*.
        hyperparameters: Determine where objects are truncated, as in training.
        tokenizers: The tokenizers of in0 and in1, which look up ids of any kind.

    Returns:
        The names by object; empty without files. Objects with unknown ids have none.

    Raises:
        DataError: A line of ``items`` is not an object of token ids.
        UserError: Only one file is given, a file cannot be read, or the files differ
            in the number of lines.
    """
    if not items and not labels:
        return {}
    if not items or not labels:
        given, missing = ("items", "labels") if items else ("labels", "items")
        raise UserError(
            f"{given}: expected {missing} too, got {given} alone. items lists objects; "
            "labels gives their names, one per line in the same order."
        )
    objects = list(_read_objects(staged_file(items), hyperparameters, tokenizers))
    lines = _read_text(staged_file(labels)).removesuffix("\n").split("\n")
    names = [" ".join(line.split()) for line in lines]
    if len(names) != len(objects):
        raise UserError(
            f"{labels}: expected {len(objects):,} labels, one per item of {items}, got "
            f"{len(names):,}. Write one line per item, in the same order."
        )
    named = zip(objects, names, strict=True)
    return {item: name for item, name in named if name and item is not None}


def _read_objects(
    path: Path, hyperparameters: Hyperparameters, tokenizers: Tokenizers
) -> Iterator[_Object | None]:
    """Yields the object of each line; None for one with unknown ids."""
    fields = [
        (name, _EXTERNAL_IDS if _looks_up(tokenizer) else _TOKEN_IDS, None)
        for name, tokenizer in zip(("in0", "in1"), tokenizers, strict=True)
    ]
    item_type: Any = msgspec.defstruct("Item", fields)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(item_type)
    for number, line in enumerate(_item_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise DataError(_message(path, number, str(error))) from error
        inputs: list[Any] = [item.in0, item.in1]
        sides = [side for side in (0, 1) if inputs[side] is not None]
        if len(sides) != 1:
            given = "both" if sides else "neither"
            problem = f"expected either in0 or in1, got {given}"
            raise DataError(_message(path, number, problem))
        (side,) = sides
        limit = hyperparameters.of_encoder(side, "max_seq_len")
        ids = inputs[side]
        tokenizer = tokenizers[side]
        if tokenizer is not None and _looks_up(tokenizer):
            column, unknown = item_ids(tokenizer, [ids])
            if unknown:
                yield None
                continue
            ids = column.values.tolist()
        yield side, tuple(ids[:limit])


def _looks_up(tokenizer: Tokenizer | None) -> bool:
    return tokenizer is not None and tokenizer.tokenization.is_id


def _message(path: Path, line: int, problem: str) -> str:
    return (
        f"{path}:{line}: {problem}. Write an object of token ids, as in "
        '{"in1": [172]}. Texts need no names: they are displayed as they are.'
    )


def _item_text(path: Path) -> str:
    """Returns the lines of JSON Lines, Parquet or Arrow."""
    if not is_table_file(path):
        return _read_text(path)
    return b"".join(table_lines(path)).decode()


def _read_text(path: Path) -> str:
    content = read_content(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: expected UTF-8 text, got an invalid byte at position "
            f"{error.start}. Save the file as UTF-8."
        ) from error
