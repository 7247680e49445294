"""An index of embeddings: built once from a file, and asked for neighbours.

Its directory holds ``manifest.json``, faiss's ``index.faiss``, the lines of the items
as they stood in their file, and their labels; where each line starts stands in an array
beside it, so that none of them has to be in memory.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
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
from object2vec_tf.metrics.ranking import METRICS, Vectors, normalized
from object2vec_tf.search.embedding_lines import (
    as_it_stands,
    embedded,
    has_embeddings,
    read_embeddings,
    read_lines,
)

SEARCHES: Final = ("exact", "approximate")
_FORMAT: Final = 1
_MANIFEST, _VECTORS = "manifest.json", "index.faiss"
_ITEMS, _LABELS = "items.jsonl", "labels.txt"
# Links of an item in the approximate index's graph, and how widely it is searched when
# an item is put in: recall@10 of 100,000 random vectors 64 wide is above 0.95.
_LINKS: Final = 32
_BREADTH: Final = 200
_ROWS: Final = 1 << 15


@dataclasses.dataclass(frozen=True)
class Neighbor:
    """An item that was found.

    Attributes:
        rank: Its place, from 1.
        score: Cosine, inner product, or the negative Euclidean distance.
        item: The item as it stood in its file.
        label: Its label; None where there are none.
    """

    rank: int
    score: float
    item: dict[str, Any]
    label: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns what a line of JSON holds of it."""
        told = dataclasses.asdict(self)
        if self.label is None:
            del told["label"]
        return told


def build_index(
    source: str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    metric: str = "cosine",
    search: str = "exact",
) -> int:
    """Embeds a file of items and makes an index of them, in one pass and little memory.

    Args:
        source: JSON Lines of objects, in0 or in1, or of ``{"embeddings": [...]}``.
        directory: Where the index goes; an index that is there is replaced, by a whole
            one.
        model: A run, an exported model or a directory of versions; None where the
            source holds embeddings.
        labels: A text file with a label for each item, a line each.
        metric: cosine, inner_product or euclidean.
        search: exact, or approximate (a graph; Malkov and Yashunin 2018): for millions.

    Returns:
        The number of items.

    Raises:
        DataError: A line is wrong.
        UserError: There is no model, labels and items differ in number, or the
            directory holds something else.
    """
    faiss = _faiss()
    for name, value, valid in (
        ("metric", metric, METRICS),
        ("search", search, SEARCHES),
    ):
        if value not in valid:
            raise UserError(f"{name}: {value!r}: expected one of {', '.join(valid)}")
    path = Path(source)
    given = has_embeddings(path)
    if not given and model is None:
        raise UserError(f"{path}: holds objects, not embeddings; give --model")
    encoders = None if given or model is None else load_model(model)
    vectors = embedded(path, encoders, None) if encoders else read_embeddings(path)
    with _replacing(Path(directory)) as temporary:
        index, count = None, 0
        for part in vectors:
            index = index or _new(faiss, part.shape[1], metric, search)
            index.add(_prepared(part, metric))
            count += len(part)
        _write_texts(temporary / _ITEMS, (line for _, line in read_lines(path)))
        if labels is not None:
            _write_labels(temporary / _LABELS, Path(labels), count)
        faiss.write_index(index, str(temporary / _VECTORS))
        manifest = {
            "format": _FORMAT,
            "metric": metric,
            "search": search,
            "items": count,
            "dim": index.d if index else 0,
            "model": None if given else str(Path(model or "").resolve()),
            "labels": labels is not None,
        }
        text = json.dumps(manifest, indent=2) + "\n"
        (temporary / _MANIFEST).write_text(text, encoding="utf-8")
    return count


class NeighborIndex:
    """An index that `build_index` made.

    Args:
        directory: Where it is.
        model: What embeds queries; by default the model that embedded the items.

    Attributes:
        metric: cosine, inner_product or euclidean.
        dim: The width of an embedding.

    Raises:
        UserError: There is none, or it is damaged.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        model: str | os.PathLike[str] | None = None,
    ) -> None:
        faiss = _faiss()
        path = Path(directory)
        self._path = path
        try:
            held = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
            if held["format"] != _FORMAT:
                raise ValueError("it is of another version of object2vec_tf")
            self.metric: str = held["metric"]
            self.dim: int = held["dim"]
            self._is_graph = held["search"] == "approximate"
            self._count: int = held["items"]
            self._model = model or held["model"]
            self._index = faiss.read_index(str(path / _VECTORS))
            self._items = _Texts(path / _ITEMS)
            self._labels = _Texts(path / _LABELS) if held["labels"] else None
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{path}: holds no index that can be read: {error}; build it with "
                "python -m object2vec_tf.neighbors build"
            ) from error

    def __len__(self) -> int:
        """Returns the number of items."""
        return self._count

    def nearest(
        self, vectors: Vectors, k: int = 10
    ) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """Finds the nearest items of embeddings.

        Args:
            vectors: float32 ``[queries, dim]``.
            k: How many are wanted of each; all of them where there are fewer.

        Returns:
            Scores, the higher the nearer, and the items' numbers from 0, ``[queries,
            k]`` each, nearest first. The graph of an approximate index may find fewer:
            the numbers of those that are missing are -1.

        Raises:
            UserError: The embeddings have another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise UserError(
                f"{self._path}: its embeddings have {self.dim} values, the queries' "
                f"{vectors.shape[-1]}; give embeddings of the same model"
            )
        k = min(k, self._count)
        if self._is_graph:
            self._index.hnsw.efSearch = max(_BREADTH, 2 * k)
        scores, places = self._index.search(_prepared(vectors, self.metric), k)
        if self.metric == "euclidean":
            scores = -np.sqrt(np.maximum(scores, 0))
        return scores, places

    def query(
        self, source: str | os.PathLike[str], k: int = 10
    ) -> Iterator[dict[str, Any]]:
        """Yields each query of a file with its nearest items.

        Args:
            source: JSON Lines of objects, in0 or in1, or of embeddings.
            k: How many items are wanted for each.

        Yields:
            ``{"query": {...}, "neighbors": [{"rank": 1, "score": 0.93, "item": {...},
            "label": "..."}, ...]}``, with query and items as they stood in their files.

        Raises:
            DataError: A line is wrong.
            UserError: There is no model to embed them.
        """
        path = Path(source)
        if has_embeddings(path):
            vectors: Iterator[Vectors] = read_embeddings(path)
        elif self._model is None:
            raise UserError(
                f"{path}: holds objects, and {self._path} was built from embeddings; "
                "give --model, or embeddings"
            )
        else:
            vectors = embedded(path, load_model(self._model), None)
        lines = read_lines(path)
        for part in vectors:
            for scores, places in zip(*self.nearest(part, k), strict=True):
                _, line = next(lines)
                found = self.neighbors(scores, places)
                yield {
                    "query": as_it_stands(line),
                    "neighbors": [one.to_dict() for one in found],
                }

    def neighbors(
        self, scores: Sequence[float] | Vectors, places: npt.NDArray[np.int64]
    ) -> list[Neighbor]:
        """Returns what `nearest` found for a query, with items and labels."""
        held = [(float(s), int(p)) for s, p in zip(scores, places, strict=True)]
        return [
            Neighbor(
                rank,
                score,
                as_it_stands(self._items[place]),
                self._labels[place].decode() if self._labels else None,
            )
            for rank, (score, place) in enumerate(held, start=1)
            if place >= 0
        ]


class _Texts:
    """Lines of a file, any of them by its number, from the file itself."""

    def __init__(self, path: Path) -> None:
        self._starts = np.load(_starts_of(path), mmap_mode="r")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != self._starts[-1]:
                raise ValueError(f"{path.name} is not as it was written")
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __getitem__(self, number: int) -> bytes:
        start, stop = int(self._starts[number]), int(self._starts[number + 1])
        return self._text[start : stop - 1]


def _starts_of(path: Path) -> Path:
    return path.with_suffix(".starts.npy")


def _write_texts(path: Path, lines: Iterable[bytes]) -> int:
    """Writes lines, and where each starts; returns their number."""
    starts = [np.zeros(1, np.int64)]
    position, some = 0, []
    with path.open("wb") as file:
        for line in lines:
            position += file.write(line + b"\n")
            some.append(position)
            if len(some) == _ROWS:
                starts.append(np.array(some, np.int64))
                some = []
    whole = np.concatenate([*starts, np.array(some, np.int64)])
    np.save(_starts_of(path), whole)
    return len(whole) - 1


def _write_labels(path: Path, source: Path, items: int) -> None:
    try:
        with open_file(source) as file:
            written = _write_texts(path, (line.rstrip(b"\r\n") for line in file))
        path.read_text(encoding="utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: labels cannot be read: {error}") from error
    if written != items:
        raise UserError(
            f"{source}: has {written:,} labels for {items:,} items; give a line for "
            "each item, in their order"
        )


def _new(faiss: Any, dim: int, metric: str, search: str) -> Any:
    of = faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
    if search == "exact":
        return faiss.IndexFlat(dim, of)
    index = faiss.IndexHNSWFlat(dim, _LINKS, of)
    index.hnsw.efConstruction = _BREADTH
    return index


def _prepared(vectors: Vectors, metric: str) -> Vectors:
    if metric == "cosine":
        vectors = normalized(vectors)
    return np.ascontiguousarray(vectors, np.float32)


@contextmanager
def _replacing(directory: Path) -> Iterator[Path]:
    """Yields a directory to write to, which takes the other's place at the end."""
    if directory.exists() and (other := _of_others(directory)):
        raise UserError(
            f"{directory}: holds something that is no index: {other}; give another "
            "--index"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = tempfile.mkdtemp("", f".{directory.name}.new-", directory.parent)
    temporary = Path(made)
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


def _of_others(directory: Path) -> str | None:
    """Returns the name of what `build_index` did not write, None where it wrote all."""
    if not directory.is_dir():
        return directory.name
    held = {entry.name for entry in directory.iterdir()}
    texts = [Path(name) for name in (_ITEMS, _LABELS)]
    own = {_MANIFEST, _VECTORS, *map(str, texts), *(str(_starts_of(t)) for t in texts)}
    if held and not held >= {_MANIFEST, _VECTORS}:  # a manifest of something else
        return min(held)
    return min(held - own, default=None)


def _faiss() -> Any:
    return import_extra("faiss", "neighbors", "a neighbor index")
