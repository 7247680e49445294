"""An index of embeddings, built once from a file and searched for nearest neighbors.

The index directory contains:

manifest.json       metric, kind of search, number of items and model
index.faiss         the embeddings, as faiss writes them
items.jsonl         the lines of the items, as they are in their file
labels.txt          the labels of the items, if given
*.starts.npy        the starts of the lines, so that lines are read only when needed
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import UserError
from object2vec_tf.extras import import_extra
from object2vec_tf.files.channels import open_file
from object2vec_tf.inference.predictor import load_model
from object2vec_tf.metrics.ranking import METRICS, Positions, Vectors, normalized
from object2vec_tf.search.embedding_lines import (
    embed_file,
    has_embeddings,
    parse_item,
    read_embeddings,
    read_lines,
)
from object2vec_tf.search.stored_lines import StoredLines, starts_path, write_lines

SEARCHES: Final = ("exact", "approximate")
_FORMAT: Final = 1
_MANIFEST, _VECTORS = "manifest.json", "index.faiss"
_ITEMS, _LABELS = "items.jsonl", "labels.txt"
# Links per item in the graph of an approximate index (faiss: M), and the number of
# candidates when an item is added or searched (faiss: efConstruction, efSearch). With
# these, recall@10 of 100,000 random vectors of 64 values is above 0.95.
_LINKS: Final = 32
_CANDIDATES: Final = 200


@dataclasses.dataclass(frozen=True)
class Neighbor:
    """An item that was found.

    Attributes:
        rank: Its rank, starting at 1.
        score: The cosine, the inner product, or the negative Euclidean distance.
        item: The item, as it is in its file, without an embedding.
        label: Its label; None if the index has no labels.
    """

    rank: int
    score: float
    item: dict[str, Any]
    label: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns the JSON object of the neighbor."""
        fields = dataclasses.asdict(self)
        if self.label is None:
            del fields["label"]
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

    Raises:
        DataError: A line is wrong.
        UserError: There is no model, the numbers of labels and items differ, or the
            directory contains other files.
    """
    faiss = _import_faiss()
    _check_choice("metric", metric, METRICS)
    _check_choice("search", search, SEARCHES)
    path = Path(source)
    if has_embeddings(path):
        model = None
        vectors = read_embeddings(path)
    elif model is None:
        raise UserError(f"{path}: contains objects, not embeddings. Give --model.")
    else:
        vectors = embed_file(path, load_model(model))
    with _replace_directory(Path(directory)) as temporary:
        index = _index_vectors(faiss, vectors, metric, search)
        write_lines(temporary / _ITEMS, (line for _, line in read_lines(path)))
        if labels is not None:
            _write_labels(temporary / _LABELS, Path(labels), index.ntotal)
        faiss.write_index(index, str(temporary / _VECTORS))
        manifest = {
            "format": _FORMAT,
            "metric": metric,
            "search": search,
            "items": index.ntotal,
            "dim": index.d,
            "model": None if model is None else str(Path(model).resolve()),
            "labels": labels is not None,
        }
        _write_json(temporary / _MANIFEST, manifest)
    return int(index.ntotal)


class NeighborIndex:
    """An index that `build_index` built.

    Args:
        directory: The index directory.
        model: The model that embeds queries. The default is the model that embedded the
            items.

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
        faiss = _import_faiss()
        path = Path(directory)
        self._path = path
        try:
            manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
            if manifest["format"] != _FORMAT:
                raise ValueError("it was written by another version of object2vec_tf")
            self.metric: str = manifest["metric"]
            self.dim: int = manifest["dim"]
            self._is_graph = manifest["search"] == "approximate"
            self._count: int = manifest["items"]
            self._model = model or manifest["model"]
            self._index = faiss.read_index(str(path / _VECTORS))
            self._items = StoredLines(path / _ITEMS)
            self._labels = StoredLines(path / _LABELS) if manifest["labels"] else None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{path}: contains no index that can be read: {error}. Build it with "
                "python -m object2vec_tf.neighbors build."
            ) from error

    def __len__(self) -> int:
        """Returns the number of items."""
        return self._count

    def nearest(self, vectors: Vectors, k: int = 10) -> tuple[Vectors, Positions]:
        """Finds the nearest items of embeddings.

        Args:
            vectors: The embeddings of the queries, float32 ``[queries, dim]``.
            k: The number of items per query. An index with fewer items returns all.

        Returns:
            The scores and the numbers, from 0, of the items, ``[queries, k]`` each,
            nearest first. A higher score is nearer. An approximate index may find fewer
            items; the number of a missing item is -1.

        Raises:
            UserError: The embeddings have another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise UserError(
                f"{self._path}: expected queries with {self.dim} values, as its items "
                f"have, got {vectors.shape[-1]}. Give embeddings of the same model."
            )
        k = min(k, self._count)
        if self._is_graph:
            self._index.hnsw.efSearch = max(_CANDIDATES, 2 * k)
        scores, numbers = self._index.search(_prepare(vectors, self.metric), k)
        if self.metric == "euclidean":
            scores = -np.sqrt(np.maximum(scores, 0))
        return scores, numbers

    def query(
        self, source: str | os.PathLike[str], k: int = 10
    ) -> Iterator[dict[str, Any]]:
        """Yields each query in a file with its nearest items.

        Args:
            source: JSON Lines of objects, in0 or in1, or of embeddings.
            k: The number of items per query.

        Yields:
            ``{"query": {...}, "neighbors": [{"rank": 1, "score": 0.93, "item": {...},
            "label": "..."}, ...]}``, with query and items as they are in their files.

        Raises:
            DataError: A line is wrong.
            UserError: There is no model that embeds the queries.
        """
        path = Path(source)
        if has_embeddings(path):
            vectors: Iterator[Vectors] = read_embeddings(path)
        elif self._model is None:
            raise UserError(
                f"{path}: contains objects, but {self._path} was built from "
                "embeddings. Give --model, or queries with embeddings."
            )
        else:
            vectors = embed_file(path, load_model(self._model))
        lines = read_lines(path)
        for block in vectors:
            for scores, numbers in zip(*self.nearest(block, k), strict=True):
                _, line = next(lines)
                neighbors = self.neighbors(scores, numbers)
                yield {
                    "query": parse_item(line),
                    "neighbors": [neighbor.to_dict() for neighbor in neighbors],
                }

    def neighbors(
        self, scores: Sequence[float] | Vectors, numbers: npt.NDArray[np.int64]
    ) -> list[Neighbor]:
        """Returns the items and labels of one query's result of `nearest`.

        Args:
            scores: ``[k]``.
            numbers: The numbers of the items, int64 ``[k]``.
        """
        ranked = enumerate(zip(scores, numbers, strict=True), start=1)
        return [
            Neighbor(
                rank,
                float(score),
                parse_item(self._items[number]),
                self._labels[number].decode() if self._labels else None,
            )
            for rank, (score, number) in ranked
            if number >= 0
        ]


def _check_choice(name: str, value: str, valid: Sequence[str]) -> None:
    if value not in valid:
        raise UserError(f"{name}: expected one of {', '.join(valid)}, got {value!r}.")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _index_vectors(
    faiss: Any, vectors: Iterable[Vectors], metric: str, search: str
) -> Any:
    """Returns a faiss index of embeddings, which come in blocks ``[rows, dim]``."""
    index = None
    for block in vectors:
        if index is None:
            index = _new_index(faiss, block.shape[1], metric, search)
        index.add(_prepare(block, metric))
    return index


def _new_index(faiss: Any, dim: int, metric: str, search: str) -> Any:
    faiss_metric = (
        faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
    )
    if search == "exact":
        return faiss.IndexFlat(dim, faiss_metric)
    index = faiss.IndexHNSWFlat(dim, _LINKS, faiss_metric)
    index.hnsw.efConstruction = _CANDIDATES
    return index


def _prepare(vectors: Vectors, metric: str) -> Vectors:
    """Returns embeddings as faiss takes them, with length 1 for the cosine."""
    if metric == "cosine":
        vectors = normalized(vectors)
    return np.ascontiguousarray(vectors, np.float32)


def _write_labels(path: Path, source: Path, items: int) -> None:
    try:
        with open_file(source) as file:
            count = write_lines(path, (line.rstrip(b"\r\n") for line in file))
        path.read_text(encoding="utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: labels cannot be read: {error}.") from error
    if count != items:
        raise UserError(
            f"{source}: expected {items:,} labels, one line per item in their order, "
            f"got {count:,}."
        )


@contextmanager
def _replace_directory(directory: Path) -> Iterator[Path]:
    """Yields a temporary directory, which replaces the index directory at the end.

    Raises:
        UserError: The directory contains files that are not of an index.
    """
    if directory.exists() and (name := _foreign_file(directory)):
        raise UserError(
            f"{directory}: expected an index or a new directory, got one with {name}. "
            "Give another --index."
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp("", f".{directory.name}.new-", directory.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if directory.exists():
            old = Path(
                tempfile.mkdtemp("", f".{directory.name}.old-", temporary.parent)
            )
            directory.rename(old / "index")
            temporary.rename(directory)
            shutil.rmtree(old)
        else:
            temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _foreign_file(directory: Path) -> str | None:
    """Returns the name of a file that `build_index` did not write; None if none is."""
    if not directory.is_dir():
        return directory.name
    names = {entry.name for entry in directory.iterdir()}
    lines = [Path(name) for name in (_ITEMS, _LABELS)]
    own = {_MANIFEST, _VECTORS}
    own |= {path.name for file in lines for path in (file, starts_path(file))}
    if names and not names >= {_MANIFEST, _VECTORS}:  # a manifest of something else
        return min(names)
    return min(names - own, default=None)


def _import_faiss() -> Any:
    return import_extra("faiss", "neighbors", "a neighbor index")
