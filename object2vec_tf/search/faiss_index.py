"""faiss's indexes of embeddings: making one, filling it, and searching it."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from object2vec_tf.extras import import_extra
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.metrics.ranking import (
    Positions,
    Scores,
    Vectors,
    dense_scores,
    largest_magnitude,
    needs_float64,
    normalized,
)
from object2vec_tf.metrics.retrieval import ItemLists

SEARCHES: Final = ("exact", "approximate")
# Links per item in the graph of an approximate index (faiss: M), and the number of
# candidates when an item is added or searched (faiss: efConstruction, efSearch). With
# these, recall@10 of 100,000 random vectors of 64 values is above 0.95.
_LINKS: Final = 32
_CANDIDATES: Final = 200
# Results in memory at a time, when more are asked for because some are excluded.
_MAX_RESULTS: Final = 1 << 22
# Items that are scored at a time where faiss cannot search.
_EXACT_ITEMS: Final = 1 << 13
# The number of items of an index, and their largest absolute value.
_largest_items: weakref.WeakKeyDictionary[Any, tuple[int, float]] = (
    weakref.WeakKeyDictionary()
)


def import_faiss() -> Any:
    """Returns the module faiss.

    Raises:
        UserError: It is not installed.
    """
    return import_extra("faiss", "neighbors", "a neighbor index")


def new_index(dim: int, metric: str, search: str) -> Any:
    """Returns an empty index.

    Args:
        dim: The width of an embedding.
        metric: cosine, inner_product or euclidean.
        search: One of `SEARCHES`.
    """
    faiss = import_faiss()
    faiss_metric = _faiss_metric(metric)
    if search == "exact":
        return faiss.IndexFlat(dim, faiss_metric)
    index = faiss.IndexHNSWFlat(dim, _LINKS, faiss_metric)
    index.hnsw.efConstruction = _CANDIDATES
    return index


def write_vectors(index: Any, path: Path) -> None:
    """Writes an index to a file."""
    with tensorflow_path(path) as name:
        import_faiss().write_index(index, name)


def read_vectors(path: Path, manifest: Mapping[str, Any]) -> Any:
    """Reads an index.

    Args:
        path: The file.
        manifest: The manifest of the index, with the number and width of its vectors.

    Raises:
        ValueError: The file cannot be read, or does not have these vectors.
    """
    faiss = import_faiss()
    try:
        with tensorflow_path(path) as name:
            index = faiss.read_index(name)
    except (RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path.name}: {reason}") from error
    kind = faiss.IndexHNSW if manifest["search"] == "approximate" else faiss.IndexFlat
    found = (index.d, index.ntotal, index.metric_type)
    expected = (manifest["dim"], manifest["items"], _faiss_metric(manifest["metric"]))
    if not isinstance(index, kind) or found != expected:
        raise ValueError(
            f"{path.name}: expected {kind.__name__} with {_described(*expected)}, got "
            f"{type(index).__name__} with {_described(*found)}"
        )
    return index


def _described(dim: int, count: int, metric: int) -> str:
    return f"{count} vectors of {dim} values and faiss's metric {metric}"


def _faiss_metric(metric: str) -> int:
    faiss = import_faiss()
    is_distance = metric == "euclidean"
    return int(faiss.METRIC_L2 if is_distance else faiss.METRIC_INNER_PRODUCT)


def add_vectors(index: Any, vectors: Vectors, metric: str) -> None:
    """Adds embeddings, float32 ``[rows, dim]``, to an index."""
    index.add(_prepared(vectors, metric))


def search_index(
    index: Any, vectors: Vectors, k: int, metric: str
) -> tuple[Scores, Positions]:
    """Returns the scores and numbers of the nearest items, ``[queries, k]`` each.

    Args:
        index: The index.
        vectors: The queries, float32 ``[queries, dim]``.
        k: The number of items per query.
        metric: The metric of the index.

    Returns:
        Scores float32, or float64 if float32 cannot represent them, and numbers.
    """
    if metric != "cosine" and needs_float64(
        largest_magnitude(vectors), _largest_item(index), index.d
    ):
        return search_exactly(stored_vectors(index), vectors, k, metric)
    if hasattr(index, "hnsw"):
        index.hnsw.efSearch = max(_CANDIDATES, 2 * k)
    scores, numbers = index.search(_prepared(vectors, metric), k)
    if metric == "euclidean":
        scores = -np.sqrt(np.maximum(scores, 0))
    return scores, numbers


def stored_vectors(index: Any) -> Vectors:
    """Returns the embeddings in an index, float32 ``[items, dim]``, without a copy."""
    faiss = import_faiss()
    flat = faiss.downcast_index(index.storage) if hasattr(index, "hnsw") else index
    values = faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * flat.d)
    return np.asarray(values).reshape(flat.ntotal, flat.d)


def _largest_item(index: Any) -> float:
    """Returns the largest absolute value in an index."""
    count, largest = _largest_items.get(index, (-1, 0.0))
    if count != index.ntotal:
        largest = largest_magnitude(stored_vectors(index))
        _largest_items[index] = index.ntotal, largest
    return largest


def search_exactly(
    items: Vectors, vectors: Vectors, k: int, metric: str
) -> tuple[Scores, Positions]:
    """Returns what `search_index` does, for numbers whose products need float64.

    Args:
        items: The embeddings of the items, float32 ``[items, dim]``.
        vectors: The queries, float32 ``[queries, dim]``.
        k: The number of items per query.
        metric: inner_product or euclidean.
    """
    queries = vectors.astype(np.float64)
    shape = len(queries), min(k, len(items))
    scores: Scores = np.empty((len(queries), 0))
    numbers: Positions = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(items), _EXACT_ITEMS):
        block = items[start : start + _EXACT_ITEMS].astype(np.float64)
        own = np.arange(start, start + len(block))
        scores = np.hstack([scores, dense_scores(queries, block, metric)])
        numbers = np.hstack([numbers, np.broadcast_to(own, (len(queries), len(own)))])
        order = np.argsort(-scores, axis=1, kind="stable")[:, : shape[1]]
        scores = np.take_along_axis(scores, order, axis=1)
        numbers = np.take_along_axis(numbers, order, axis=1)
    if metric == "euclidean":
        scores = -np.sqrt(np.maximum(-scores, 0))
    return scores, numbers


def search_without(
    index: Any, vectors: Vectors, k: int, metric: str, excluded: ItemLists
) -> tuple[Scores, Positions]:
    """Returns the nearest items that are not excluded; see `search_index`.

    Args:
        index: The index.
        vectors: The queries, float32 ``[queries, dim]``.
        k: The number of items per query.
        metric: The metric of the index.
        excluded: The numbers of the excluded items of each query.

    Returns:
        Scores and numbers, ``[queries, k]`` each; the number of a missing item is -1.
    """
    scores = np.full((len(vectors), k), -np.inf)
    numbers = np.full((len(vectors), k), -1)
    # Queries that need similar numbers of results are searched together.
    sizes = 2 ** np.ceil(np.log2(k + excluded.counts)).astype(int)
    for size in np.unique(np.minimum(sizes, index.ntotal)).tolist():
        queries = np.flatnonzero(np.minimum(sizes, index.ntotal) == size)
        step = max(_MAX_RESULTS // size, 1)
        for start in range(0, len(queries), step):
            rows = queries[start : start + step]
            found = search_index(index, vectors[rows], size, metric)
            scores[rows], numbers[rows] = _without(*found, rows, excluded, k)
    return scores, numbers


def _without(
    scores: Scores, numbers: Positions, rows: Positions, excluded: ItemLists, k: int
) -> tuple[Scores, Positions]:
    """Returns the k best results that are not excluded; the missing ones are -1.

    Args:
        scores: ``[rows, size]``.
        numbers: The numbers of the items, ``[rows, size]``.
        rows: The numbers of the queries, ``[rows]``.
        excluded: The excluded items of all queries.
        k: The number of results, at most ``size``.
    """
    counts = excluded.counts[rows]
    starts = excluded.splits[rows]
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    items = excluded.items[np.repeat(starts, counts) + offsets]
    width = max(int(numbers.max(initial=0)), int(items.max(initial=0))) + 1
    known = np.repeat(np.arange(len(rows)), counts) * width + items
    keys = np.arange(len(rows))[:, np.newaxis] * width + numbers
    is_out = np.isin(keys, known) | (numbers < 0)
    order = np.argsort(is_out, axis=1, kind="stable")[:, :k]
    numbers = np.where(is_out, -1, numbers)
    return (
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(numbers, order, axis=1),
    )


def _prepared(vectors: Vectors, metric: str) -> Vectors:
    """Returns embeddings as faiss takes them, with length 1 for the cosine."""
    if metric == "cosine":
        vectors = normalized(vectors)
    return np.ascontiguousarray(vectors, np.float32)
