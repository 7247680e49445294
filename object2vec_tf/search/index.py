"""An index of embeddings, built from a file and searched for nearest neighbors."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import UserError
from object2vec_tf.files.channels import Source, channel_files
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.labels import read_labels
from object2vec_tf.files.remote import absolute
from object2vec_tf.hyperparameters.arguments import as_integer
from object2vec_tf.inference.model_store import find_exported
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor, load_model
from object2vec_tf.inference.token_counts import warn_of_unknown_tokens
from object2vec_tf.metrics.ranking import METRICS, Positions, Vectors
from object2vec_tf.metrics.retrieval import ItemLists
from object2vec_tf.progress import counted, phase
from object2vec_tf.search.embedding_lines import (
    check_one_side,
    embed_file,
    has_embeddings,
    parse_item,
    read_embeddings,
    read_lines,
)
from object2vec_tf.search.faiss_index import (
    SEARCHES,
    add_vectors,
    import_faiss,
    new_index,
    search_index,
    search_without,
    write_vectors,
)
from object2vec_tf.search.index_directory import (
    ITEMS,
    LABELS,
    VECTORS,
    IndexFiles,
    model_digest,
    replace_index,
    staged_index,
)
from object2vec_tf.search.index_manifest import FIX, FORMAT, write_manifest
from object2vec_tf.search.index_model import load_index_model
from object2vec_tf.search.indexed_objects import Exclusions, IndexedObjects, Rescorer
from object2vec_tf.search.stored_lines import write_lines


@dataclasses.dataclass(frozen=True)
class Neighbor:
    """An item that was found.

    Attributes:
        rank: Its rank, starting at 1.
        score: The cosine, the inner product, the negative Euclidean distance, or the
            comparator's score.
        item: The item, as it is in its file, without an embedding.
        label: Its label; None if the index has no labels.
        similarity: The score of the search, if ``score`` is the comparator's.
    """

    rank: int
    score: float
    item: dict[str, Any]
    label: str | None = None
    similarity: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of the neighbor."""
        fields = dataclasses.asdict(self)
        for name in ("label", "similarity"):
            if fields[name] is None:
                del fields[name]
        return fields


def build_index(
    source: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    metric: str = "cosine",
    search: str = "exact",
) -> int:
    """Embeds the items in a file and builds an index of them.

    Only the embeddings are in memory at the same time, not the items themselves.

    Args:
        source: JSON Lines of objects, in0 or in1, or of ``{"embeddings": [...]}``.
        directory: The index directory. An existing index is replaced when the new one
            is complete.
        model: A run, an exported model or a directory of versions; None if the source
            has embeddings.
        labels: A text file with one line per item.
        metric: cosine, inner_product or euclidean.
        search: exact, or approximate for millions of items (HNSW; Malkov and Yashunin,
            2018).

    Returns:
        The number of items.

    Warns:
        UserWarning: There are unknown tokens. The manifest has their number.

    Raises:
        DataError: A line is wrong.
        UserError: There is no model, the numbers of labels and items differ, or the
            directory contains other files.
    """
    import_faiss()
    _check_choice("metric", metric, METRICS)
    _check_choice("search", search, SEARCHES)
    path = staged_file(source)
    digest = None
    predictor: Predictor | None = None
    if has_embeddings(path):
        model = None
        vectors = read_embeddings(path)
    elif model is None:
        raise UserError(f"{path}: contains objects, not embeddings. Give --model.")
    else:
        exported = find_exported(model)
        digest = model_digest(exported)
        predictor = load_model(exported)
        vectors = embed_file(path, predictor)
    with replace_index(directory) as temporary:
        index = None
        for block in counted(vectors, "embedding items", "items"):
            index = index or new_index(block.shape[1], metric, search)
            add_vectors(index, block, metric)
        assert index is not None
        with phase("writing the items"):
            write_lines(temporary / ITEMS, (line for _, line in read_lines(path)))
        if labels is not None:
            names = read_labels(staged_file(labels), index.ntotal)
            write_lines(temporary / LABELS, names)
        with phase("writing the vectors"):
            write_vectors(index, temporary / VECTORS)
        manifest = {
            "format": FORMAT,
            "metric": metric,
            "search": search,
            "items": index.ntotal,
            "dim": index.d,
            "model": None if model is None else absolute(model),
            "model_digest": digest,
            "labels": labels is not None,
        }
        if predictor is not None and predictor.token_counts:
            manifest["tokens"] = {
                name: dataclasses.asdict(counts)
                for name, counts in predictor.token_counts.items()
            }
        write_manifest(temporary, manifest)
    if predictor is not None:
        warn_of_unknown_tokens(predictor.token_counts, predictor.hyperparameters)
    return int(index.ntotal)


class NeighborIndex:
    """An index that `build_index` built.

    Args:
        directory: The index directory.
        model: The model that embeds queries, with the same encoder of the items as the
            model that embedded them. The default is the newest version of the latter.

    Attributes:
        metric: cosine, inner_product or euclidean.
        dim: The width of an embedding.

    Raises:
        UserError: The directory does not contain an index, or the index is damaged.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        model: str | os.PathLike[str] | None = None,
    ) -> None:
        self._path = staged_index(directory)
        files = IndexFiles.read(self._path)
        self.metric: str = files.manifest["metric"]
        self.dim: int = files.manifest["dim"]
        self._count: int = files.manifest["items"]
        self._has_objects = files.manifest["model"] is not None
        self._model = model or files.manifest["model"]
        self._index = files.vectors
        self._items, self._labels = files.items, files.labels
        self._files = files

    def __len__(self) -> int:
        """Returns the number of items."""
        return self._count

    def nearest(
        self, vectors: Vectors, k: int = 10, excluded: ItemLists | None = None
    ) -> tuple[Vectors, Positions]:
        """Finds the nearest items of embeddings.

        Args:
            vectors: The embeddings of the queries, float32 ``[queries, dim]``.
            k: The number of items per query. An index with fewer items returns all.
            excluded: The numbers of the items that are not returned for each query;
                None for none.

        Returns:
            The scores and the numbers, from 0, of the items, ``[queries, k]`` each,
            nearest first. A higher score is nearer. Where there are fewer items, or an
            approximate index finds fewer, the number of a missing item is -1.

        Raises:
            UserError: The embeddings have another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise UserError(
                f"{self._path}: expected queries with {self.dim} values, as its items "
                f"have, got {vectors.shape[-1]}. Give embeddings of the same model."
            )
        k = min(as_integer("k", k, 1), self._count)
        if excluded is None:
            return search_index(self._index, vectors, k, self.metric)
        return search_without(self._index, vectors, k, self.metric, excluded)

    def query(
        self,
        source: str | os.PathLike[str],
        k: int = 10,
        *,
        exclude: Source | None = None,
        exclude_self: bool = False,
        rescore: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Yields each query in a file with its nearest items.

        Args:
            source: JSON Lines of objects, in0 or in1, or of embeddings.
            k: The number of items per query.
            exclude: JSON Lines of known pairs. An item is not returned for an object
                that it is paired with, whatever the label.
            exclude_self: Does not return items with the query's token ids. Queries
                must have the side of the items, in0 or in1.
            rescore: Orders the k items by the comparator's score of the pair: the
                prediction of a regression, or the probability of class 1. The score of
                the search becomes ``similarity``.

        Yields:
            ``{"query": {...}, "neighbors": [{"rank": 1, "score": 0.93, "item": {...},
            "label": "..."}, ...]}``, with query and items as they are in their files.

        Raises:
            DataError: A line is wrong.
            UserError: There is no model that embeds the queries, it embeds the items
                differently than the index's, or the items or queries are embeddings,
                and exclusion or rescoring needs objects.
        """
        path = staged_file(source)
        needs_objects = bool(exclude or exclude_self or rescore)
        if has_embeddings(path):
            self._check_objects(path, has_objects=not needs_objects)
            results = self._query_embeddings(path, k)
        else:
            known = [] if exclude is None else channel_files(exclude, "exclude")
            self._check_objects(
                self._path, has_objects=self._has_objects or not needs_objects
            )
            if self._model is None:
                raise UserError(
                    f"{path}: contains objects, but {self._path} was built from "
                    "embeddings. Give --model, or queries with embeddings."
                )
            results = self._query_objects(path, k, known, exclude_self, rescore)
        for (_, line), neighbors in zip(read_lines(path), results, strict=False):
            yield {
                "query": parse_item(line),
                "neighbors": [neighbor.to_dict() for neighbor in neighbors],
            }

    def _check_objects(self, place: Path, *, has_objects: bool) -> None:
        if not has_objects:
            raise UserError(
                f"{place}: expected objects, in0 or in1, got embeddings. Remove "
                "--exclude, --exclude_self and --rescore, which need the token ids of "
                "items and queries."
            )

    def _query_embeddings(self, path: Path, k: int) -> Iterator[list[Neighbor]]:
        for block in read_embeddings(path):
            for scores, numbers in zip(*self.nearest(block, k), strict=True):
                yield self.neighbors(scores, numbers)

    def _query_objects(
        self,
        path: Path,
        k: int,
        known: Sequence[Path],
        exclude_self: bool,
        rescore: bool,
    ) -> Iterator[list[Neighbor]]:
        """Yields the neighbors of each object in a file; see `query`."""
        model = self._predictor
        exclusions = rescorer = None
        if known or exclude_self or rescore:
            items = self._read_objects()
            rescorer = Rescorer(items, model) if rescore else None
            if known or exclude_self:
                exclusions = Exclusions(items, known, model, exclude_self=exclude_self)
        for objects in read_split(path, model):
            check_one_side(objects, path)
            excluded = exclusions.of(objects, path) if exclusions else None
            scores, numbers = self.nearest(model(objects), k, excluded)
            if not rescorer:
                yield from map(self.neighbors, scores, numbers)
                continue
            order, new_scores = rescorer(objects, numbers, path)
            yield from map(
                self.neighbors,
                new_scores,
                np.take_along_axis(numbers, order, axis=1),
                np.take_along_axis(scores, order, axis=1),
            )

    @functools.cached_property
    def _predictor(self) -> Predictor:
        return load_index_model(self._model, self._files, self._path)

    def _read_objects(self) -> IndexedObjects:
        """Returns the items as token ids."""
        items = IndexedObjects.read(self._path / ITEMS, self._predictor)
        if (self._path / ITEMS).stat().st_ino != self._files.inode:
            raise UserError(
                f"{self._path}: was replaced while it was read. Start again."
            )
        return items

    def neighbors(
        self,
        scores: Sequence[float] | Vectors,
        numbers: npt.NDArray[np.int64],
        similarities: Vectors | None = None,
    ) -> list[Neighbor]:
        """Returns the items and labels of one query's result of `nearest`.

        Args:
            scores: ``[k]``.
            numbers: The numbers of the items, int64 ``[k]``.
            similarities: The scores of the search if ``scores`` are others, ``[k]``.
        """
        return [
            Neighbor(
                rank,
                float(scores[rank - 1]),
                self._item(number),
                self._label(number),
                None if similarities is None else float(similarities[rank - 1]),
            )
            for rank, number in enumerate(numbers, start=1)
            if number >= 0
        ]

    def _item(self, number: int) -> dict[str, Any]:
        try:
            return parse_item(self._items[number])
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(ITEMS, number, error) from error

    def _label(self, number: int) -> str | None:
        if self._labels is None:
            return None
        try:
            return self._labels[number].decode()
        except UnicodeDecodeError as error:
            raise self._damaged(LABELS, number, error) from error

    def _damaged(self, name: str, number: int, error: Exception) -> UserError:
        return UserError(
            f"{self._path / name}:{number + 1}: is damaged: {error}. {FIX}"
        )


def _check_choice(name: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise UserError(f"{name}: expected one of {', '.join(valid)}, got {value!r}.")
