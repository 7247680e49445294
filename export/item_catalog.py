"""Reads and embeds the items that an exported model recommends."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import numpy as np
import tensorflow as tf

from object2vec_tf.errors import DataError, UserError
from object2vec_tf.files.downloads import staged_file
from object2vec_tf.files.labels import read_labels
from object2vec_tf.files.line_blocks import open_line_blocks
from object2vec_tf.files.object_lines import LineError, decode_object, numbered_lines
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.hyperparameters.arguments import as_integer
from object2vec_tf.hyperparameters.choices import Similarity
from object2vec_tf.inference.catalog import Catalog
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.ragged_inputs import (
    Predictions,
    RaggedInputs,
    Rows,
    predict_batches,
)
from object2vec_tf.inference.text_inputs import TextRequest
from object2vec_tf.inference.token_counts import (
    CountsByInput,
    add_counts,
    warn_of_unknown_tokens,
)
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.progress import counted

SIMILARITIES: Final = get_args(Similarity)
DEFAULT_K: Final = 100
MAX_K: Final = 10_000
_BLOCK_BYTES: Final = 1 << 20
_EMBEDDINGS: Final = "embeddings"


@dataclasses.dataclass(frozen=True)
class ItemFiles:
    """The items to export with a model, and how they are recommended.

    Attributes:
        items: JSON Lines of objects, ``{"in1": [172]}``. Other keys are kept.
        labels: A text file with one line per item; None for items without labels.
        k: The number of items that the signature ``recommend`` returns per row.
        similarity: cosine or inner_product; None for that of the in-batch softmax if
            the model was trained with it, else cosine.

    Raises:
        UserError: A setting is invalid, or a file does not exist.
    """

    items: Path
    labels: Path | None = None
    k: int = DEFAULT_K
    similarity: str | None = None

    def __post_init__(self) -> None:
        try:
            k = as_integer("k", self.k, 1)
        except UserError:
            k = 0
        if not 1 <= k <= MAX_K:
            raise UserError(
                f"k: expected a number of items from 1 to {MAX_K:,}, got {self.k!r}."
            )
        object.__setattr__(self, "k", k)
        if self.similarity not in (None, *SIMILARITIES):
            raise UserError(
                f"similarity: expected one of {', '.join(SIMILARITIES)}, got "
                f"{self.similarity!r}."
            )
        for name, path in (("items", self.items), ("labels", self.labels)):
            if path is not None and not path.is_file():
                raise UserError(f"{name}: {path}: no such file.")


def item_files(
    items: str | os.PathLike[str] | None,
    labels: str | os.PathLike[str] | None = None,
    k: int | None = None,
    similarity: str | None = None,
) -> ItemFiles | None:
    """Returns the items to export; None if there are none.

    Args:
        items: See `ItemFiles`.
        labels: See `ItemFiles`.
        k: See `ItemFiles`; None for its default.
        similarity: See `ItemFiles`.

    Raises:
        UserError: There are other settings without items, or one is invalid.
    """
    if items is None:
        given = {"labels": labels, "k": k, "similarity": similarity}
        for name, value in given.items():
            if value is not None:
                raise UserError(
                    f"{name}: expected items too, got {name} alone. It describes the "
                    "items that the model recommends: give items, a JSON Lines file."
                )
        return None
    return ItemFiles(
        staged_file(items),
        None if labels is None else staged_file(labels),
        DEFAULT_K if k is None else k,
        similarity,
    )


@dataclasses.dataclass(frozen=True)
class Items:
    """The items of a catalog.

    Attributes:
        catalog: The catalog.
        embeddings: Their embeddings, float32 ``[items, enc_dim]``.
        lines: The JSON object of each item, as it is in its file.
        labels: The label of each item; empty without labels.
    """

    catalog: Catalog
    embeddings: Predictions
    lines: list[bytes]
    labels: list[bytes]


def read_items(
    files: ItemFiles, model: Object2Vec, functions: Mapping[str, Any]
) -> Items:
    """Reads items and embeds them with encoder 1. Warns of unknown tokens.

    Args:
        files: The files of the items.
        model: The model.
        functions: Its signatures by name, such as ``embed_enc1``.

    Raises:
        DataError: A line is invalid.
        UserError: The lines are not objects of in1, there are none, or the numbers of
            labels and items differ.
    """
    embed = _ItemEncoder(model.hyperparameters, functions)
    try:
        lines = list(_item_lines(files.items))
    except DataError:
        for _ in read_split(files.items, embed):
            pass  # reports the first invalid line, whatever is wrong with it
        raise
    if not lines:
        raise UserError(f'{files.items}: expected lines such as {{"in1": [172]}}.')
    labels = [] if files.labels is None else read_labels(files.labels, len(lines))
    hyperparameters = model.hyperparameters
    in_batch = hyperparameters.objective == "in_batch_softmax"
    default = hyperparameters.in_batch_similarity if in_batch else "cosine"
    embeddings = [
        embed(_checked_side(objects, files.items))
        for objects in counted(read_split(files.items, embed), "embedding", "items")
    ]
    warn_of_unknown_tokens(embed.token_counts, hyperparameters)
    catalog = Catalog(
        items=len(lines),
        k=files.k,
        similarity=files.similarity or default,
        labels=files.labels is not None,
    )
    return Items(catalog, np.concatenate(embeddings), lines, labels)


class _ItemEncoder:
    """Encoder 1 of a model, as an `InputModel`.

    Args:
        hyperparameters: The model's.
        functions: The model's signatures by name.

    Attributes:
        token_counts: The tokens of all texts so far, by input.
    """

    def __init__(
        self, hyperparameters: Hyperparameters, functions: Mapping[str, Any]
    ) -> None:
        self.hyperparameters = hyperparameters
        self.texts: Collection[str] = hyperparameters.texts
        self.token_counts: CountsByInput = {}
        self._functions = functions

    def __call__(self, inputs: RaggedInputs) -> Predictions:
        """Returns the embeddings of objects in in1."""
        embed: Callable[[tf.Tensor], Any] = self._functions["embed_enc1"]
        return predict_batches(
            inputs,
            lambda batch: np.asarray(
                embed(tf.constant(batch.padded()["in1"]))["embeddings"]
            ),
        )

    def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """Returns the objects as token ids, and the number of unknown tokens."""
        request = TextRequest(rows)
        for batch in request.batches:
            texts = tf.constant(batch.texts, tf.string)
            outputs = self._functions[batch.signature](texts)
            request.store(batch, {n: value.numpy() for n, value in outputs.items()})
        self.token_counts = add_counts(self.token_counts, request.counts)
        return request.rows, request.unknown_tokens


def _checked_side(objects: RaggedInputs, path: Path) -> RaggedInputs:
    if tuple(objects.columns) != ("in1",):
        raise UserError(
            f"{path}: expected items with in1 in each line, got "
            f"{' and '.join(objects.columns)}. Items are embedded with encoder 1."
        )
    return objects


def _item_lines(path: Path) -> Iterator[bytes]:
    """Yields the JSON object of each line that is not blank, without embeddings."""
    first = 1
    with open_line_blocks(path, _BLOCK_BYTES) as blocks:
        for text in blocks:
            for number, line in numbered_lines(text, first):
                try:
                    item = decode_object(line)
                except LineError as error:
                    raise DataError(f"{path}:{number}: {error}") from error
                yield _without_embeddings(item) if _EMBEDDINGS in item else line
            first += text.count(b"\n")


def _without_embeddings(item: Mapping[str, msgspec.Raw]) -> bytes:
    return msgspec.json.encode({n: v for n, v in item.items() if n != _EMBEDDINGS})
