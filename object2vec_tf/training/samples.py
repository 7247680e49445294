"""Objects of a run's training channel, embedded to be looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.data.columns import Column
from object2vec_tf.data.object_keys import object_keys
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.search.ranking import Vectors
from object2vec_tf.text.vocabularies import parse_vocabulary

# The most objects of a side, those that stand in most pairs.
MOST_OBJECTS = 2000
# Pairs that are looked at for them.
_MOST_PAIRS = 5_000_000
_SHOWN_TOKENS = 30


@dataclasses.dataclass(frozen=True)
class Sample:
    """The most frequent objects of one side.

    Attributes:
        side: in0 or in1.
        names: Their words, or their token ids.
        counts: In how many pairs each stands, ``[objects]``.
        labels: The mean label of these pairs, ``[objects]``.
        vectors: Their embeddings, float32 ``[objects, enc_dim]``.
    """

    side: str
    names: list[str]
    counts: npt.NDArray[np.int64]
    labels: npt.NDArray[np.float64]
    vectors: Vectors


def samples(model: Object2Vec, train: Pairs) -> list[Sample]:
    """Returns the most frequent objects of in0 and of in1, embedded.

    Args:
        model: What embeds them.
        train: The pairs; of more than five million, the first of them.
    """
    return [
        _sample(model, train, encoder, column)
        for encoder, column in enumerate((train.in0, train.in1))
    ]


def _sample(model: Object2Vec, train: Pairs, encoder: int, column: Column) -> Sample:
    keys = object_keys(column, _MOST_PAIRS)
    labels = np.asarray(train.labels)[:_MOST_PAIRS].astype(np.float64)
    _, rows, places, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    means = np.bincount(places, labels) / counts
    most = np.lexsort((rows, -counts))[:MOST_OBJECTS]
    taken = column.take(rows[most])
    ids = tf.RaggedTensor.from_row_splits(
        taken.values.astype(np.int64), taken.row_splits, validate=False
    )
    network = (model.enc0, model.enc1)[encoder]
    batches = [ids[i : i + 256] for i in range(0, len(most), 256)]
    vectors = np.concatenate([network(batch, training=False) for batch in batches])
    return Sample(
        f"in{encoder}",
        _names(model, encoder, ids.to_list()),
        counts[most].astype(np.int64),
        means[most],
        np.asarray(vectors, np.float32),
    )


def _names(model: Object2Vec, encoder: int, objects: list[list[int]]) -> list[str]:
    tokenizer = model.tokenizers[encoder]
    words: dict[int, str] = {}
    if tokenizer and tokenizer.tokenization.tokenizer != "sentencepiece":
        held = parse_vocabulary(tokenizer.data, tokenizer.file)
        words = {number: word for word, number in held.items()}

    def name(ids: list[int]) -> str:
        shown: list[Any] = [words.get(token, token) for token in ids[:_SHOWN_TOKENS]]
        text = " ".join(map(str, shown)) + (" ..." if ids[_SHOWN_TOKENS:] else "")
        return " ".join(text.split()) or "(empty)"

    return [name(ids) for ids in objects]
