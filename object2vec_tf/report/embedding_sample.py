"""Embeddings of the most frequent objects of a run, for the report and TensorBoard."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.pairs import Pairs
from object2vec_tf.metrics.ranking import Vectors
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.ragged.column import Column, RaggedColumn
from object2vec_tf.ragged.row_hashes import row_hashes
from object2vec_tf.report.object_names import ObjectNames
from object2vec_tf.report.original_texts import original_texts
from object2vec_tf.text.tokenized_rows import token_ids
from object2vec_tf.text.vocabularies import UNKNOWN_TOKENS, parse_vocabulary

# The most objects per input.
MAX_OBJECTS = 2000
# The most pairs in which objects are counted.
_MAX_PAIRS = 5_000_000
# The most tokens of an unnamed object that its display name shows.
_MAX_NAME_TOKENS = 30
# The most characters of a display name.
_MAX_NAME_LENGTH = 200
_BATCH_SIZE = 256
# Control characters, and those that change the direction of the text after them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclasses.dataclass(frozen=True)
class EmbeddingSample:
    """The most frequent objects of one input, from the most to the least frequent.

    Attributes:
        side: in0 or in1.
        names: The display names: the given name, else the object's text in the channel,
            else its words, else its token ids.
        counts: The number of pairs of each object, ``[objects]``.
        labels: A statistic of the labels of each object's pairs, ``[objects]``: the
            mean or, with more than two classes, the most frequent class.
        label_title: The name of that statistic.
        labels_are_classes: Whether the statistic is a class.
        vectors: The embeddings, float32 ``[objects, enc_dim]``.
        is_named: Whether the user gave names of objects of this input.
    """

    side: str
    names: list[str]
    counts: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float64]
    label_title: str
    labels_are_classes: bool
    vectors: Vectors
    is_named: bool


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
    counted = [_frequent(column, max_objects) for column in (train.in0, train.in1)]
    texts = _original_texts(model, train, counted)
    return [
        _sample(model, train, names, encoder, *parts)
        for encoder, parts in enumerate(zip(counted, texts, strict=True))
    ]


class _Frequent(NamedTuple):
    """The most frequent objects of an input.

    Attributes:
        rows: The first pair of each object, ``[sampled]``.
        numbers: The number of each object among all, ``[sampled]``.
        counts: The number of pairs of each object, ``[sampled]``.
        objects: The number of the object in each pair, ``[pairs]``.
        inputs: The token ids of each object.
    """

    rows: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    objects: npt.NDArray[np.int64]
    inputs: RaggedColumn


def _frequent(column: Column, max_objects: int) -> _Frequent:
    _, rows, objects, counts = np.unique(
        row_hashes(column, _MAX_PAIRS),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    numbers = np.lexsort((rows, -counts))[:max_objects]
    sampled = rows[numbers]
    return _Frequent(sampled, numbers, counts[numbers], objects, column.take(sampled))


def _original_texts(
    model: Object2Vec, train: Pairs, counted: Sequence[_Frequent]
) -> list[list[str | None]]:
    """Returns the texts of objects in the channel's files; None for other objects."""
    wanted = {
        f"in{encoder}": side.rows.tolist()
        for encoder, (side, tokenizer) in enumerate(
            zip(counted, model.tokenizers, strict=True)
        )
        if tokenizer is not None
    }
    values = original_texts(train.report, wanted) if wanted else {}
    texts = []
    for encoder, side in enumerate(counted):
        found = values.get(f"in{encoder}", {})
        texts.append(_verified_texts(model, encoder, side, found))
    return texts


def _verified_texts(
    model: Object2Vec, encoder: int, side: _Frequent, found: Mapping[int, Any]
) -> list[str | None]:
    """Returns the texts whose tokens are those of the object."""
    texts: list[str | None] = [None] * len(side.rows)
    tokenizer = model.tokenizers[encoder]
    if tokenizer is None or not found:
        return texts
    positions = [i for i, row in enumerate(side.rows.tolist()) if row in found]
    given = [found[int(side.rows[i])] for i in positions]
    try:
        column, _ = token_ids(tokenizer, given)
    except (TypeError, ValueError):  # the files have changed
        return texts
    settings = model.hyperparameters
    subwords = settings.subwords(encoder)
    ids, _ = column.truncate(
        int(settings.of_encoder(encoder, "max_seq_len")),
        None if subwords is None else subwords.continued_from,
    )
    hashes, expected = (
        row_hashes(ids),
        row_hashes(side.inputs.take(np.array(positions))),
    )
    for i, value, is_same in zip(positions, given, hashes == expected, strict=True):
        if is_same:
            texts[i] = value if isinstance(value, str) else _joined(value)
    return texts


def _joined(value: Any) -> str:
    """Returns an id, or a list of words or ids, as a text."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _sample(
    model: Object2Vec,
    train: Pairs,
    names: ObjectNames,
    encoder: int,
    side: _Frequent,
    texts: Sequence[str | None],
) -> EmbeddingSample:
    pair_labels = np.asarray(train.labels)[:_MAX_PAIRS]
    labels, title, are_classes = _label_statistic(
        model, pair_labels, side.objects, side.numbers
    )
    ids = tf.RaggedTensor.from_row_splits(
        side.inputs.values.astype(np.int64), side.inputs.row_splits, validate=False
    )
    network = (model.enc0, model.enc1)[encoder]
    batches = [ids[i : i + _BATCH_SIZE] for i in range(0, len(side.rows), _BATCH_SIZE)]
    vectors = np.concatenate([network(batch, training=False) for batch in batches])
    return EmbeddingSample(
        side=f"in{encoder}",
        names=_display_names(model, encoder, ids.to_list(), names, texts),
        counts=side.counts.astype(np.int64),
        labels=labels,
        label_title=title,
        labels_are_classes=are_classes,
        vectors=np.asarray(vectors, np.float32),
        is_named=any(named == encoder for named, _ in names),
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
    model: Object2Vec,
    encoder: int,
    objects: list[list[int]],
    names: ObjectNames,
    texts: Sequence[str | None],
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

    def display_name(ids: list[int], text: str | None) -> str:
        if name := names.get((encoder, tuple(ids))):
            return _UNPRINTABLE.sub("", name)
        if text is not None:
            return _single_line(text) or "(empty)"
        if subwords is not None:  # a word that the vocabulary lacks is shown once
            ids = [token for token in ids if token < subwords.continued_from]
        shown = ids[:_MAX_NAME_TOKENS]
        text = " ".join(words.get(token) or unnamed(token) for token in shown)
        text += " ..." if len(ids) > len(shown) else ""
        return _single_line(text) or "(empty)"

    return [display_name(ids, text) for ids, text in zip(objects, texts, strict=True)]


def _single_line(text: str) -> str:
    """Returns the start of a text, with single spaces in place of all white space."""
    line = _UNPRINTABLE.sub("", " ".join(text.split()))
    if len(line) <= _MAX_NAME_LENGTH:
        return line
    return line[: _MAX_NAME_LENGTH - 1].rstrip() + "…"
