"""Exact search of the items with the highest scores, as TensorFlow ops."""

from __future__ import annotations

from typing import Final

import numpy as np
import tensorflow as tf

from object2vec_tf.devices import on_host
from object2vec_tf.metrics.ranking import (
    LONG,
    SHORT,
    Vectors,
    largest_magnitude,
    lengths,
    normalized,
)

# The score of an excluded or missing item, which JSON can represent: the lowest float.
LOWEST: Final = float(np.finfo(np.float32).min)
HIGHEST: Final = -LOWEST
# The limit of sums of products.
_MAX_SUM: Final = 1e38
# The position of a missing item.
MISSING: Final = -1

# The maximum of each group of this many scores is computed first. Only groups with the
# highest maxima are sorted.
_GROUP: Final = 32
# Scores in memory at a time. 2**23 of them take 32 MB.
_BLOCK_SCORES: Final = 1 << 23
# The minimum number of items per block.
_BLOCK_ITEMS: Final = 1 << 13


class TopItems(tf.Module):
    """Finds the k items with the highest scores for each query, exactly.

    A block of items is scored by one matrix product. Of equal scores, the item with the
    lower position is first. All blocks of a call have the same number of rows, a
    multiple of 32: then TensorFlow's matrix product rounds the scores of two equal
    items equally, and their order does not depend on their positions in the blocks.

    Args:
        embeddings: The embeddings of the items, float32 ``[items, dim]``.
        similarity: cosine or inner_product.
        k: The number of items to find.
        block_scores: The number of scores in memory at a time, if blocks of
            ``block_items`` items permit it.
        block_items: The minimum number of items per block.

    Example:
        >>> import numpy as np
        >>> import tensorflow as tf
        >>> from export.top_items import TopItems
        >>> items = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
        >>> top_items = TopItems(items, "inner_product", k=2)
        >>> exclude = tf.constant([[-1], [2]], tf.int64)
        >>> positions, scores = top_items(tf.constant([[2.0, 1.0]] * 2), exclude)
        >>> positions.numpy().tolist()
        [[2, 0], [0, 1]]
        >>> scores.numpy().tolist()
        [[3.0, 2.0], [2.0, 1.0]]
    """

    def __init__(
        self,
        embeddings: Vectors,
        similarity: str,
        k: int,
        *,
        block_scores: int = _BLOCK_SCORES,
        block_items: int = _BLOCK_ITEMS,
    ) -> None:
        super().__init__(name="items")
        self._count, dim = embeddings.shape
        self._k = k
        self._block_scores = block_scores
        self._is_cosine = similarity == "cosine"
        # The number of blocks of a call is a power of two up to 2 ** max_doublings.
        self._max_doublings = max((self._count // block_items).bit_length() - 1, 0)
        multiple = _GROUP << self._max_doublings
        self._rows = -(-self._count // multiple) * multiple
        rows = np.zeros((self._rows, dim), np.float32)
        rows[: self._count] = normalized(embeddings) if self._is_cosine else embeddings
        self.vectors = tf.Variable(rows, trainable=False, name="vectors")
        # Queries are scaled so that no product with an item overflows.
        self._largest_query = _MAX_SUM / max(largest_magnitude(rows) * dim, 1)
        if self._is_cosine:
            norms = np.minimum(lengths(embeddings), HIGHEST).astype(np.float32)
            self.lengths = tf.Variable(norms, trainable=False, name="lengths")

    def __call__(
        self, queries: tf.Tensor, exclude: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the positions and scores of the best items, highest score first.

        Args:
            queries: float32 ``[batch, dim]``.
            exclude: Positions of items that are not searched, int64 ``[batch, n]``.
                Numbers that are not positions of items are ignored.

        Returns:
            Positions int64 and scores float32, ``[batch, k]`` each. Where fewer than k
            items remain, the position is -1 and the score is the lowest float32.
            Inner products beyond the range of float32 become its limits.
        """
        divisor = factor = tf.ones([1, 1])
        if self._is_cosine:
            queries = _unit_rows(queries)
        else:
            largest = tf.reduce_max(tf.abs(queries), axis=1, keepdims=True)
            is_large = largest > self._largest_query
            divisor = tf.where(is_large, largest, 1)
            factor = tf.where(is_large, self._largest_query, 1)
            queries = queries / divisor * factor
        batch = tf.shape(queries, tf.int64)[0]
        vectors = tf.convert_to_tensor(self.vectors)
        blocks = self._number_of_blocks(batch)
        size = self._rows // blocks

        def search_block(
            block: tf.Tensor, best: tf.Tensor, positions: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            start = block * size
            rows = tf.slice(vectors, [start, 0], [size, -1])
            scores = tf.matmul(queries, rows, transpose_b=True)
            scores = self._without_padding(scores, start, size)
            scores = _without(scores, exclude - start, size)
            new_best, new_positions = _top_of_groups(scores, size, self._k)
            # Earlier blocks are first, so that top_k prefers them among equals.
            best = tf.concat([best, new_best], 1)
            positions = tf.concat([positions, new_positions + start], 1)
            best, order = tf.math.top_k(best, self._k)
            return block + 1, best, tf.gather(positions, order, batch_dims=1)

        initial = (
            tf.zeros([], tf.int64),
            tf.fill([batch, self._k], LOWEST),
            tf.fill([batch, self._k], tf.constant(MISSING, tf.int64)),
        )
        shape = tf.TensorShape([None, self._k])
        _, best, positions = tf.while_loop(
            lambda block, *_: block < blocks,
            search_block,
            initial,
            shape_invariants=(tf.TensorShape([]), shape, shape),
            parallel_iterations=1,
        )
        missing = tf.constant(MISSING, tf.int64)
        positions = tf.where(best > LOWEST, positions, missing)
        best = tf.clip_by_value(best / factor * divisor, LOWEST, HIGHEST)
        return positions, best

    def embeddings(self, positions: tf.Tensor) -> tf.Tensor:
        """Returns the embeddings of items, as their encoder computed them.

        Args:
            positions: int64 of any shape; other numbers than positions of items give
                any embedding.

        Returns:
            float32 ``[..., dim]``.
        """
        valid = tf.clip_by_value(positions, 0, self._count - 1)
        vectors = tf.gather(self.vectors, valid)
        if self._is_cosine:
            vectors *= tf.gather(self.lengths, valid)[..., tf.newaxis]
        return vectors

    def _number_of_blocks(self, batch: tf.Tensor) -> tf.Tensor:
        """Returns a power of two, for which the scores of a block fit in memory."""
        needed = batch * self._rows // self._block_scores
        powers = tf.constant([1 << i for i in range(self._max_doublings)], tf.int64)
        doublings = tf.math.count_nonzero(powers <= needed)
        return tf.bitwise.left_shift(tf.ones([], tf.int64), doublings)

    def _without_padding(
        self, scores: tf.Tensor, start: tf.Tensor, size: tf.Tensor
    ) -> tf.Tensor:
        """Excludes the rows after the last item, which the last block may have."""
        if self._rows == self._count:
            return scores

        def mask() -> tf.Tensor:
            is_item = tf.range(start, start + size) < self._count
            return tf.where(is_item, scores, LOWEST)

        return tf.cond(start + size > self._count, mask, lambda: scores)


def _unit_rows(queries: tf.Tensor) -> tf.Tensor:
    """Returns queries scaled to length 1, ``[batch, dim]``; zero vectors stay zero."""
    norms = tf.norm(queries, axis=1, keepdims=True)
    # Squares of others overflow, or lose digits.
    is_exact = (norms > SHORT) & (norms < LONG)
    largest = tf.reduce_max(tf.abs(queries), axis=1, keepdims=True)
    scaled = queries / tf.where(is_exact | (largest == 0), 1.0, largest)
    norms = tf.where(is_exact, norms, tf.norm(scaled, axis=1, keepdims=True))
    return scaled / tf.where(norms > 0, norms, 1)


def _without(scores: tf.Tensor, exclude: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns scores with the lowest float for excluded columns.

    Args:
        scores: float32 ``[batch, size]``.
        exclude: Columns, int64 ``[batch, n]``; numbers outside ``[0, size)`` are
            ignored.
        size: The number of columns.
    """
    with on_host():
        entries = tf.where((exclude >= 0) & (exclude < size))
        columns = tf.gather_nd(exclude, entries)
        indices = tf.stack([entries[:, 0], columns], 1)
    lowest = tf.fill([tf.shape(indices)[0]], LOWEST)
    return tf.tensor_scatter_nd_update(scores, indices, lowest)


def _top_of_groups(
    scores: tf.Tensor, size: tf.Tensor, k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the highest scores and their columns, as ``top_k`` of all would.

    The k highest scores are in the k groups with the highest maxima. Of groups with
    equal maxima the first are taken, so that equal scores keep the order of their
    columns. The maxima are computed at the speed of memory. ``top_k`` is several times
    slower per element.

    Args:
        scores: float32 ``[batch, size]``.
        size: The number of columns, a multiple of the size of a group.
        k: The maximum number of scores.

    Returns:
        Scores and columns int64, ``[batch, min(k, size)]``, or more where the groups
        have fewer.
    """
    groups = tf.reshape(scores, [-1, size // _GROUP, _GROUP])
    count = tf.minimum(tf.shape(groups)[1], k)
    _, best_groups = tf.math.top_k(tf.reduce_max(groups, 2), count)
    best_groups = tf.sort(best_groups, 1)
    candidates = tf.gather(groups, best_groups, batch_dims=1)
    candidates = tf.reshape(candidates, [-1, count * _GROUP])
    best, order = tf.math.top_k(candidates, tf.minimum(count * _GROUP, k))
    group = tf.gather(best_groups, order // _GROUP, batch_dims=1)
    return best, tf.cast(group * _GROUP + order % _GROUP, tf.int64)
