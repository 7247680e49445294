"""Embeddings of the most frequent objects of a run, for the report and TensorBoard."""

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
from object2vec_tf.text.vocabularies import UNKNOWN_TOKENS, parse_vocabulary

# The most objects per input.
MAX_OBJECTS = 2000
# The most pairs in which objects are counted.
_MAX_PAIRS = 5_000_000
# The most tokens of an unnamed object that its display name shows.
_MAX_NAME_TOKENS = 30
_BATCH_SIZE = 256


@dataclasses.dataclass(frozen=True)
class EmbeddingSample:
    """The most frequent objects of one input, from the most to the least frequent.

    Attributes:
        side: in0 or in1.
        names: The display names: the given name, else the object's words, else its
            token ids.
        counts: The number of pairs of each object, ``[objects]``.
        labels: A statistic of the labels of each object's pairs, ``[objects]``: the
            mean or, with more than two classes, the most frequent class.
        label_title: The name of that statistic.
        labels_are_classes: Whether the statistic is a class.
        vectors: The embeddings, float32 ``[objects, enc_dim]``.
    """

    side: str
    names: list[str]
    counts: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float64]
    label_title: str
    labels_are_classes: bool
    vectors: Vectors


def sample_embeddings(
    model: Object2Vec,
    train: Pairs,
    names: ObjectNames,
    max_objects: int = MAX_OBJECTS,
) -> list[EmbeddingSample]:
    """Embeds the most frequent objects of in0 and of in1.

    Args:
        model: The model that embeds them.
        train: The pairs. Only the first five million are counted.
        names: The names of objects that have one.
        max_objects: The most objects per input.

    Returns:
        The samples of in0 and in1.
    """
    return [
        _sample(model, train, names, encoder, column, max_objects)
        for encoder, column in enumerate((train.in0, train.in1))
    ]


def _sample(
    model: Object2Vec,
    train: Pairs,
    names: ObjectNames,
    encoder: int,
    column: Column,
    max_objects: int,
) -> EmbeddingSample:
    keys = row_hashes(column, _MAX_PAIRS)
    pair_labels = np.asarray(train.labels)[:_MAX_PAIRS]
    _, rows, objects, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    frequent = np.lexsort((rows, -counts))[:max_objects]
    labels, title, are_classes = _label_statistic(model, pair_labels, objects, frequent)
    inputs = column.take(rows[frequent])
    ids = tf.RaggedTensor.from_row_splits(
        inputs.values.astype(np.int64), inputs.row_splits, validate=False
    )
    network = (model.enc0, model.enc1)[encoder]
    batches = [ids[i : i + _BATCH_SIZE] for i in range(0, len(frequent), _BATCH_SIZE)]
    vectors = np.concatenate([network(batch, training=False) for batch in batches])
    return EmbeddingSample(
        side=f"in{encoder}",
        names=_display_names(model, encoder, ids.to_list(), names),
        counts=counts[frequent].astype(np.int64),
        labels=labels,
        label_title=title,
        labels_are_classes=are_classes,
        vectors=np.asarray(vectors, np.float32),
    )


def _label_statistic(
    model: Object2Vec,
    labels: npt.NDArray[Any],
    objects: npt.NDArray[np.int64],
    frequent: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], str, bool]:
    """Computes the mean label or the most frequent class of each sampled object.

    Args:
        model: The model, whose hyperparameters determine the kind of label.
        labels: The label of each pair, ``[pairs]``.
        objects: The number of the object in each pair, ``[pairs]``.
        frequent: The numbers of the sampled objects, ``[objects]``.

    Returns:
        The statistic ``[objects]``, its name, and whether it is a class.
    """
    settings = model.hyperparameters
    classes = settings.num_classes if settings.output_layer == "softmax" else 0
    if classes <= 2:
        means = np.bincount(objects, labels) / np.bincount(objects)
        title = "share of class 1" if classes else "mean label"
        return means[frequent], title, False
    # The row of each object in a table of the sampled objects; -1 for the others.
    table_rows = np.full(objects.max() + 1, -1)
    table_rows[frequent] = np.arange(len(frequent))
    sampled = table_rows[objects] >= 0
    cells = table_rows[objects[sampled]] * classes + labels[sampled]
    counts = np.bincount(cells, minlength=len(frequent) * classes)
    modes = counts.reshape(len(frequent), classes).argmax(axis=1).astype(np.float64)
    return modes, "most frequent class", True


def _display_names(
    model: Object2Vec, encoder: int, objects: list[list[int]], names: ObjectNames
) -> list[str]:
    tokenizer = model.tokenizers[encoder]
    words: dict[int, str] = {}
    if tokenizer and tokenizer.tokenization.tokenizer != "sentencepiece":
        vocabulary = parse_vocabulary(tokenizer.data, tokenizer.file)
        words = {token_id: word for word, token_id in vocabulary.items()}
    subwords = model.hyperparameters.subwords(encoder)

    def unnamed(token: int) -> str:
        is_ngram = subwords is not None and token >= subwords.vocab_size
        return UNKNOWN_TOKENS[0] if is_ngram else str(token)

    def display_name(ids: list[int]) -> str:
        if name := names.get((encoder, tuple(ids))):
            return name
        if subwords is not None:  # a word that the vocabulary lacks is shown once
            ids = [token for token in ids if token < subwords.continued_from]
        shown = ids[:_MAX_NAME_TOKENS]
        text = " ".join(words.get(token) or unnamed(token) for token in shown)
        text += " ..." if len(ids) > len(shown) else ""
        return " ".join(text.split()) or "(empty)"

    return [display_name(ids) for ids in objects]
