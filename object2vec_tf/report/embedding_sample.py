"""Objects of a run's training channel, embedded to be looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.metrics.ranking import Vectors
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.ragged.column import Column
from object2vec_tf.ragged.row_hashes import row_hashes
from object2vec_tf.report.object_names import ObjectNames
from object2vec_tf.text.vocabularies import parse_vocabulary

# The most objects of a side, those that stand in most pairs.
MOST_OBJECTS = 2000
# Pairs that are looked at for them.
_MOST_PAIRS = 5_000_000
_SHOWN_TOKENS = 30


@dataclasses.dataclass(frozen=True)
class EmbeddingSample:
    """The most frequent objects of one side.

    Attributes:
        side: in0 or in1.
        names: What they are called, or their words, or their token ids.
        counts: In how many pairs each stands, ``[objects]``.
        labels: Of these pairs the mean label or, of more than two classes, the most
            frequent one, ``[objects]``.
        meaning: Which of the two it is, in words.
        classes: Whether the labels are classes.
        vectors: Their embeddings, float32 ``[objects, enc_dim]``.
    """

    side: str
    names: list[str]
    counts: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float64]
    meaning: str
    classes: bool
    vectors: Vectors


def sample_embeddings(
    model: Object2Vec, train: Pairs, names: ObjectNames
) -> list[EmbeddingSample]:
    """Returns the most frequent objects of in0 and of in1, embedded.

    Args:
        model: What embeds them.
        train: The pairs; of more than five million, the first of them.
        names: What objects are called, as far as that is known.
    """
    return [
        _sample(model, train, names, encoder, column)
        for encoder, column in enumerate((train.in0, train.in1))
    ]


def _sample(
    model: Object2Vec, train: Pairs, names: ObjectNames, encoder: int, column: Column
) -> EmbeddingSample:
    keys = row_hashes(column, _MOST_PAIRS)
    labels = np.asarray(train.labels)[:_MOST_PAIRS]
    _, rows, places, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    most = np.lexsort((rows, -counts))[:MOST_OBJECTS]
    told, meaning, classes = _labels(model, labels, places, most)
    taken = column.take(rows[most])
    ids = tf.RaggedTensor.from_row_splits(
        taken.values.astype(np.int64), taken.row_splits, validate=False
    )
    network = (model.enc0, model.enc1)[encoder]
    batches = [ids[i : i + 256] for i in range(0, len(most), 256)]
    vectors = np.concatenate([network(batch, training=False) for batch in batches])
    return EmbeddingSample(
        f"in{encoder}",
        _names(model, encoder, ids.to_list(), names),
        counts[most].astype(np.int64),
        told,
        meaning,
        classes,
        np.asarray(vectors, np.float32),
    )


def _labels(
    model: Object2Vec,
    labels: npt.NDArray[Any],
    places: npt.NDArray[np.int64],
    most: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], str, bool]:
    """Returns what is told of objects' labels, what that is, and if it is a class.

    Args:
        model: Whose labels they are.
        labels: A label for each pair, ``[pairs]``.
        places: The number of the object in each pair, ``[pairs]``.
        most: The numbers of the objects that are looked at, ``[objects]``.
    """
    settings = model.hyperparameters
    classes = settings.num_classes if settings.output_layer == "softmax" else 0
    if classes <= 2:
        means = np.bincount(places, labels) / np.bincount(places)
        return means[most], "share of class 1" if classes else "mean label", False
    asked = np.full(places.max() + 1, -1)
    asked[most] = np.arange(len(most))
    held = asked[places] >= 0
    cells = asked[places[held]] * classes + labels[held]
    table = np.bincount(cells, minlength=len(most) * classes)
    often = table.reshape(len(most), classes).argmax(axis=1).astype(np.float64)
    return often, "most frequent class", True


def _names(
    model: Object2Vec, encoder: int, objects: list[list[int]], names: ObjectNames
) -> list[str]:
    tokenizer = model.tokenizers[encoder]
    words: dict[int, str] = {}
    if tokenizer and tokenizer.tokenization.tokenizer != "sentencepiece":
        held = parse_vocabulary(tokenizer.data, tokenizer.file)
        words = {number: word for word, number in held.items()}

    def name(ids: list[int]) -> str:
        if given := names.get((encoder, tuple(ids))):
            return given
        shown: list[Any] = [words.get(token, token) for token in ids[:_SHOWN_TOKENS]]
        text = " ".join(map(str, shown)) + (" ..." if ids[_SHOWN_TOKENS:] else "")
        return " ".join(text.split()) or "(empty)"

    return [name(ids) for ids in objects]
