"""Adds items to an index."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.labels import read_labels
from object2vec_tf.files.object_lines import decode_value
from object2vec_tf.files.remote import absolute
from object2vec_tf.inference.model_store import find_exported
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.token_counts import (
    TokenCounts,
    add_counts,
    warn_of_unknown_tokens,
)
from object2vec_tf.metrics.ranking import Vectors
from object2vec_tf.progress import counted
from object2vec_tf.search.embedding_lines import (
    check_one_side,
    has_embeddings,
    parse_object,
    read_embeddings,
    read_lines,
)
from object2vec_tf.search.faiss_index import add_vectors, write_vectors
from object2vec_tf.search.index_directory import (
    ITEMS,
    LABELS,
    VECTORS,
    IndexFiles,
    locked_index,
    model_digest,
    read_consistently,
    replace_index,
    staged_index,
)
from object2vec_tf.search.index_manifest import read_manifest, write_manifest
from object2vec_tf.search.index_model import item_side, load_index_model
from object2vec_tf.search.stored_lines import write_lines


@dataclasses.dataclass(frozen=True)
class Addition:
    """What was added to an index.

    Attributes:
        added: The number of new items.
        skipped: The number of items that the index has already.
        items: The number of items of the index now.
    """

    added: int
    skipped: int
    items: int


@dataclasses.dataclass(frozen=True)
class _NewItems:
    """The items of a file that an index lacks.

    Attributes:
        is_new: Whether each line has such an item, bool ``[lines]``.
        vectors: Their embeddings in blocks, float32 ``[rows, dim]``.
        model: The model that embeds them; None if the file has embeddings.
    """

    is_new: npt.NDArray[np.bool_]
    vectors: Iterator[Vectors]
    model: Predictor | None = None


def add_items(
    source: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
) -> Addition:
    """Adds the items in a file to an index, after its own items.

    The new index replaces the old one at once: readers see one or the other. An item
    whose in0 or in1 is that of an earlier item, in the index or in the file, is
    skipped. Embeddings are all added.

    Args:
        source: JSON Lines like those that the index was built from.
        directory: The index directory.
        model: The model of the index, if it is in another place now, or one with the
            same encoder of the items. The manifest names it from now on.
        labels: A text file with one line per item of the file, if the index has labels.

    Warns:
        UserWarning: There are unknown tokens. The manifest has their number.

    Raises:
        DataError: A line is wrong.
        UserError: There is no index, the model embeds its items differently, or the
            new items do not fit the index.
    """
    path, index_path = staged_file(source), staged_index(directory)
    read_consistently(index_path, read_manifest)  # reports a missing index
    with locked_index(index_path):
        files = IndexFiles.read(index_path)
        manifest, index = files.manifest, files.vectors
        new = _read_items(path, files, index_path, model)
        names = _read_names(labels, files, len(new.is_new), index_path)
        with replace_index(directory, is_locked=True) as temporary:
            for block in counted(new.vectors, "adding items", "items"):
                if block.shape[1] != index.d:
                    raise UserError(
                        f"{path}: expected embeddings with {index.d} values, as those "
                        f"of {index_path}, got {block.shape[1]}. Give embeddings of "
                        "the same model."
                    )
                add_vectors(index, block, manifest["metric"])
            lines = (line for _, line in read_lines(path))
            added = itertools.compress(lines, new.is_new)
            write_lines(temporary / ITEMS, itertools.chain(files.items, added))
            if files.labels is not None:
                added = itertools.compress(names, new.is_new)
                write_lines(temporary / LABELS, itertools.chain(files.labels, added))
            write_vectors(index, temporary / VECTORS)
            if model is not None:
                manifest["model"] = absolute(model)
            manifest["items"] = index.ntotal
            if new.model is not None:
                _add_token_counts(manifest, new.model)
            write_manifest(temporary, manifest)
    if new.model is not None:
        warn_of_unknown_tokens(new.model.token_counts, new.model.hyperparameters)
    count = int(np.count_nonzero(new.is_new))
    return Addition(count, len(new.is_new) - count, int(index.ntotal))


def _read_items(
    path: Path,
    files: IndexFiles,
    directory: Path,
    model: str | os.PathLike[str] | None,
) -> _NewItems:
    source = files.manifest["model"]
    is_embedded = has_embeddings(path)
    if is_embedded != (source is None):
        kinds = ("objects", "embeddings")
        raise UserError(
            f"{path}: expected {kinds[source is None]}, as {directory} was built from, "
            f"got {kinds[is_embedded]}. Give items like those of the index."
        )
    if is_embedded:
        if model is not None:
            raise UserError(
                f"{directory}: was built from embeddings, without a model. Remove "
                "--model."
            )
        count = sum(1 for _ in read_lines(path))
        return _NewItems(np.ones(count, bool), read_embeddings(path))
    exported = find_exported(model or source)
    predictor = load_index_model(exported, files, directory)
    files.manifest["model_digest"] = model_digest(exported)
    try:
        is_new = _is_new(path, files, directory / ITEMS)
    except DataError:
        for _ in read_split(path, predictor):
            pass  # reports the first invalid line, whatever is wrong with it
        raise
    vectors = _embed_new(path, directory, item_side(files), predictor, is_new)
    return _NewItems(is_new, vectors, predictor)


def _is_new(path: Path, files: IndexFiles, items: Path) -> npt.NDArray[np.bool_]:
    """Returns whether each item of a file differs from all items before it.

    Items are compared as they are in their files. Their token ids would be equal for
    all objects without a known token.
    """
    old = (parse_object(items, *line) for line in enumerate(files.items, 1))
    new = (parse_object(path, number, line) for number, line in read_lines(path))
    hashes = np.fromiter(map(_object_hash, itertools.chain(old, new)), np.uint64)
    is_first = np.zeros(len(hashes), bool)
    is_first[np.unique(hashes, return_index=True)[1]] = True
    return is_first[len(files.items) :]


def _object_hash(item: dict[str, msgspec.Raw]) -> int:
    """Returns a hash of in0 and in1; an id and a list with this id are the same."""
    objects = [
        decode_value(item[name]) if name in item else None for name in ("in0", "in1")
    ]
    values = [[value] if isinstance(value, int) else value for value in objects]
    return xxhash.xxh3_64_intdigest(json.dumps(values).encode())


def _embed_new(
    path: Path,
    directory: Path,
    side: str,
    model: Predictor,
    is_new: npt.NDArray[np.bool_],
) -> Iterator[Vectors]:
    """Yields the embeddings of the new items of a file.

    Raises:
        UserError: The items are not those of the side of the index.
    """
    start = 0
    for objects in read_split(path, model):
        check_one_side(objects, path)
        if side not in objects.columns:
            raise UserError(
                f"{path}: expected items with {side}, as those of {directory}, got "
                f"{' and '.join(objects.columns)}. Give items of the same side."
            )
        rows = np.flatnonzero(is_new[start : start + len(objects)])
        start += len(objects)
        if len(rows):
            yield model(objects.take(rows))


def _add_token_counts(manifest: dict[str, Any], model: Predictor) -> None:
    """Adds the counts of the tokens of new items to a manifest."""
    if model.token_counts:
        old = {
            name: TokenCounts(**fields)
            for name, fields in manifest.get("tokens", {}).items()
        }
        manifest["tokens"] = {
            name: dataclasses.asdict(counts)
            for name, counts in add_counts(old, model.token_counts).items()
        }


def _read_names(
    labels: str | os.PathLike[str] | None,
    files: IndexFiles,
    items: int,
    directory: Path,
) -> Sequence[bytes]:
    """Returns the labels of new items; empty for an index without labels."""
    if files.labels is None:
        if labels is not None:
            raise UserError(
                f"{directory}: has no labels. Remove --labels, or build the index "
                "again with the labels of all items."
            )
        return []
    if labels is None:
        raise UserError(
            f"{directory}: has labels, so new items need labels too. Give --labels, a "
            "text file with one line per item."
        )
    return read_labels(staged_file(labels), items)
