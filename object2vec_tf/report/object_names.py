"""What a run's objects are called, for people who look at its report."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.channels import open_file
from object2vec_tf.hyperparameters import Hyperparameters

# By encoder (0 or 1) and token ids.
ObjectNames = Mapping[tuple[int, tuple[int, ...]], str]
_PathLike = str | os.PathLike[str]


class _Item(msgspec.Struct, forbid_unknown_fields=False):
    """A line of the items' file."""

    in0: list[int] | None = None
    in1: list[int] | None = None


def read_object_names(
    items: _PathLike | None, labels: _PathLike | None, hyperparameters: Hyperparameters
) -> ObjectNames:
    """Returns names by object, from the files that ``neighbors build`` takes too.

    Args:
        items: JSON Lines of objects, ``{"in0": [196]}`` or ``{"in1": [172]}``.
        labels: A text file with a name for each of them, a line each.
        hyperparameters: Tell what is cut of long objects.

    Raises:
        DataError: A line of items holds no ids.
        UserError: One file is there without the other, cannot be read, or they differ
            in the number of lines.
    """
    if not items and not labels:
        return {}
    if not items or not labels:
        given, lacking = ("items", "labels") if items else ("labels", "items")
        raise UserError(
            f"{given}: is given without {lacking}; --items has objects, and --labels a "
            "name for each of them, a line each"
        )
    objects = list(_objects(Path(items), hyperparameters))
    lines = _text(Path(labels)).removesuffix("\n").split("\n")
    found = [" ".join(line.split()) for line in lines]
    if len(found) != len(objects):
        raise UserError(
            f"{labels}: has {len(found):,} labels for the {len(objects):,} items of "
            f"{items}; give a line for each item, in their order"
        )
    return {item: name for item, name in zip(objects, found, strict=True) if name}


def _objects(
    path: Path, hyperparameters: Hyperparameters
) -> Iterator[tuple[int, tuple[int, ...]]]:
    decoder = msgspec.json.Decoder(_Item)
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            item = decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise DataError(_wrong(path, number, str(error))) from error
        inputs: list[Any] = [item.in0, item.in1]
        held = [side for side in (0, 1) if inputs[side] is not None]
        if len(held) != 1:
            raise DataError(_wrong(path, number, "needs in0 or in1, one of them"))
        (side,) = held
        most = hyperparameters.of_encoder(side, "max_seq_len")
        yield side, tuple(inputs[side][:most])


def _wrong(path: Path, line: int, problem: str) -> str:
    return (
        f'{path}:{line}: {problem}; expected an object of token ids, as {{"in1": '
        "[172]} (texts need no name: they are shown as they are)"
    )


def _text(path: Path) -> str:
    try:
        with open_file(path) as file:
            return file.read().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
