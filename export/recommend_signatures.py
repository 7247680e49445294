"""The signatures that recommend items, for a model that is exported with items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from export.item_catalog import Items
from export.top_items import TopItems
from object2vec_tf.devices import on_host
from object2vec_tf.inference.catalog import (
    DESCRIBE_CATALOG,
    DESCRIBE_ITEMS,
)
from object2vec_tf.layers.object_ids import checked_ids
from object2vec_tf.model.object2vec import Object2Vec

# Converts a signature's input to token ids, [batch, (time)].
ToTokens = Callable[[tf.Tensor], tf.RaggedTensor]


class RecommendSignatures(tf.Module):
    """The items, and the signatures that recommend them.

    Args:
        model: The model.
        items: The items.

    Attributes:
        by_name: The signatures by name, except ``recommend``, for which see
            `recommend`.
    """

    def __init__(self, model: Object2Vec, items: Items) -> None:
        super().__init__(name="catalog")
        self._model = _Untracked(model)
        catalog = items.catalog
        self._top_items = TopItems(items.embeddings, catalog.similarity, catalog.k)
        self._lines = _strings(items.lines, "lines")
        self._labels = _strings(items.labels, "labels") if catalog.labels else None
        self._count = catalog.items
        self.by_name: dict[str, Any] = {
            DESCRIBE_ITEMS: self._describe_items(),
            DESCRIBE_CATALOG: _describe(catalog.to_json()),
        }

    def recommend(self, tokens: ToTokens, spec: tf.TensorSpec) -> Any:
        """Returns the signature that finds the best items for objects in in0.

        Args:
            tokens: Converts in0 to token ids.
            spec: The type and shape of in0.
        """
        in0 = tf.TensorSpec(spec.shape, spec.dtype, name="in0")
        exclude = tf.TensorSpec([None, None], tf.int64, name="exclude")

        @tf.function(input_signature=[in0, exclude], autograph=False)
        def recommend(in0: tf.Tensor, exclude: tf.Tensor) -> dict[str, tf.Tensor]:
            queries = self._encode(tokens(in0))
            with tf.control_dependencies([_check_rows(queries, exclude)]):
                positions, scores = self._top_items(queries, exclude)
            return {"items": positions, "scores": scores}

        return recommend

    def score_items(self, tokens: ToTokens, spec: tf.TensorSpec) -> Any:
        """Returns the signature that scores pairs of in0 and items, like predict_pair.

        Args:
            tokens: Converts in0 to token ids.
            spec: The type and shape of in0.
        """
        in0 = tf.TensorSpec(spec.shape, spec.dtype, name="in0")
        positions = tf.TensorSpec([None, None], tf.int64, name="items")
        model = self._model.value

        @tf.function(input_signature=[in0, positions], autograph=False)
        def score_items(in0: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
            queries = self._encode(tokens(in0))
            count = tf.shape(items)[1]
            second = self._top_items.embeddings(tf.reshape(items, [-1]))
            first = tf.repeat(queries, count, axis=0)
            scores = model.comparator([first, second], training=False)
            shape = [-1, count, model.hyperparameters.output_dim]
            return {"scores": tf.reshape(scores, shape)}

        return score_items

    def _encode(self, ids: tf.RaggedTensor) -> tf.Tensor:
        with checked_ids():
            return tf.cast(self._model.value.enc0(ids, training=False), tf.float32)

    def _describe_items(self) -> Any:
        """Returns the signature that returns the lines and labels of items."""
        items = tf.TensorSpec([None, None], tf.int64, name="items")

        @tf.function(input_signature=[items], autograph=False)
        @on_host()
        def describe_items(items: tf.Tensor) -> dict[str, tf.Tensor]:
            exists = (items >= 0) & (items < self._count)
            valid = tf.where(exists, items, 0)

            def texts(variable: tf.Variable | None) -> tf.Tensor:
                if variable is None:
                    return tf.fill(tf.shape(items), "")
                return tf.where(exists, tf.gather(variable, valid), "")

            return {"lines": texts(self._lines), "labels": texts(self._labels)}

        return describe_items


@on_host()
def _check_rows(queries: tf.Tensor, exclude: tf.Tensor) -> tf.Operation:
    """Returns an op that fails unless exclude has a row for each query."""
    expected, actual = tf.shape(queries)[0], tf.shape(exclude)[0]
    text = tf.strings.format(
        "exclude: expected one row for each of in0, {}, got {}", (expected, actual)
    )
    return tf.raw_ops.Assert(condition=tf.equal(expected, actual), data=[text])


class _Untracked:
    """Refers to an object that is not saved: `Signatures` saves its variables."""

    def __init__(self, value: Object2Vec) -> None:
        self.value = value


def _strings(values: list[bytes], name: str) -> tf.Variable:
    with on_host():
        return tf.Variable(tf.constant(values, tf.string), trainable=False, name=name)


def _describe(text: str) -> Any:
    """Returns a signature that returns a text once per row."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int64, name="rows")], autograph=False
    )
    def describe_catalog(rows: tf.Tensor) -> dict[str, tf.Tensor]:
        with on_host():
            return {"catalog": tf.fill(tf.shape(rows), text)}

    return describe_catalog
