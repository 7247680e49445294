"""The objects of an index as token ids, and which of them a query excludes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from object2vec_tf.errors import UserError
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.metrics.ranking import Positions, Vectors
from object2vec_tf.metrics.retrieval import ItemLists
from object2vec_tf.ragged.column import RaggedColumn
from object2vec_tf.ragged.row_hashes import RowPositions
from object2vec_tf.search.pair_lines import object_hashes, read_pair_blocks


@dataclasses.dataclass(frozen=True)
class IndexedObjects:
    """The items of an index as token ids.

    Attributes:
        side: Their input: in0 or in1.
        column: Their token ids, ``[items]`` rows.
    """

    side: str
    column: RaggedColumn

    @staticmethod
    def read(path: Path, model: Predictor) -> IndexedObjects:
        """Reads JSON Lines of objects of one side.

        Args:
            path: The file.
            model: Provides the tokenizers and the vocabulary sizes.

        Raises:
            DataError: A line is invalid.
        """
        columns: list[RaggedColumn] = []
        side = "in1"
        for objects in read_split(path, model):
            ((side, column),) = objects.columns.items()
            columns.append(column)
        return IndexedObjects(side, RaggedColumn.concatenate(columns))

    @property
    def other_side(self) -> str:
        """The input of the partners of the items in a pair."""
        return "in0" if self.side == "in1" else "in1"


class Exclusions:
    """The items that are not returned for a query object.

    Args:
        items: The items of the index.
        known: Files of pairs: an item is excluded for the objects that it is paired
            with, whatever the label.
        model: Provides the tokenizers and the vocabulary sizes.
        exclude_self: Excludes items of the query's side with the query's token ids.

    Raises:
        DataError: A line is invalid.
        UserError: The lines are objects instead of pairs.
    """

    def __init__(
        self,
        items: IndexedObjects,
        known: Sequence[Path],
        model: Predictor,
        *,
        exclude_self: bool = False,
    ) -> None:
        self._items = items
        self._has_pairs = bool(known)
        self._find_item = RowPositions(
            object_hashes(items.column, items.side, model)
        ).find
        self._model = model
        self._exclude_self = exclude_self
        partners, self._known = [np.zeros(0, np.uint64)], np.zeros(0, np.int64)
        found = [self._known]
        for block in read_pair_blocks(known, model):
            columns = block.objects.columns
            rows, numbers = self._find_item(
                object_hashes(columns[items.side], items.side, model)
            )
            partners.append(
                object_hashes(columns[items.other_side], items.other_side, model)[rows]
            )
            found.append(numbers)
        self._find_partner = RowPositions(np.concatenate(partners)).find
        self._known = np.concatenate(found)

    def of(self, queries: RaggedInputs, source: Path) -> ItemLists:
        """Returns the excluded items of each query.

        Args:
            queries: Objects of one side.
            source: Their file, for messages.

        Raises:
            UserError: There are known pairs, and the queries have the side of the
                items, so that pairs do not connect them; or the queries themselves are
                excluded, and have the other side, so that no item is a query.
        """
        ((side, column),) = queries.columns.items()
        if self._has_pairs and side == self._items.side:
            other = self._items.other_side
            raise UserError(
                f"{source}: expected queries with {other}, got {side}. The items of "
                f"the index are {side} too, so that no pair of --exclude connects "
                f"them. Remove --exclude, or give queries with {other}."
            )
        if self._exclude_self and side != self._items.side:
            raise UserError(
                f"{source}: expected queries with {self._items.side}, as the items of "
                f"the index, got {side}. No item is the query itself: remove "
                "--exclude_self."
            )
        hashes = object_hashes(column, side, self._model)
        rows, pairs = self._find_partner(hashes)
        numbers: Positions = self._known[pairs]
        if self._exclude_self:
            own_rows, own = self._find_item(hashes)
            rows, numbers = np.append(rows, own_rows), np.append(numbers, own)
        return ItemLists.from_pairs(rows, numbers, len(queries))


class Rescorer:
    """Scores query objects and their nearest items by the model's comparator.

    The score is the prediction of a regression, or the probability of class 1.

    Args:
        items: The items of the index.
        model: The model.

    Raises:
        UserError: The model has more than two classes, and no single score of a pair.
    """

    def __init__(self, items: IndexedObjects, model: Predictor) -> None:
        hyperparameters = model.hyperparameters
        classes = hyperparameters.num_classes
        if hyperparameters.output_layer == "softmax" and classes > 2:
            raise UserError(
                "--rescore: expected a model with one score per pair, got "
                f"{classes} class probabilities. Remove --rescore."
            )
        self._items = items
        self._model = model

    def __call__(
        self, queries: RaggedInputs, numbers: Positions, source: Path
    ) -> tuple[Positions, Vectors]:
        """Returns the order of each query's items by their scores, and the scores.

        Args:
            queries: Objects of one side.
            numbers: The numbers of their items, int64 ``[queries, k]``; -1 for none.
            source: The file of the queries, for messages.

        Returns:
            Positions within the rows of ``numbers``, int64 ``[queries, k]``, and the
            scores in that order, float32 ``[queries, k]``; missing items are last.
            Items with equal scores keep their order.

        Raises:
            UserError: The queries have the side of the items, so that they are no
                pairs.
        """
        ((side, column),) = queries.columns.items()
        if side == self._items.side:
            raise UserError(
                f"{source}: expected queries with {self._items.other_side} to rescore "
                f"items with {side}, got {side}. Remove --rescore."
            )
        rows, _ = np.nonzero(numbers >= 0)
        pairs = {
            side: column.take(rows),
            self._items.side: self._items.column.take(numbers[numbers >= 0]),
        }
        scores: Vectors = np.full(numbers.shape, -np.inf, np.float32)
        if len(rows):
            inputs = RaggedInputs({name: pairs[name] for name in ("in0", "in1")})
            scores[numbers >= 0] = self._model(inputs)[:, -1]
        order: Positions = np.argsort(-scores, axis=1, kind="stable")
        return order, np.take_along_axis(scores, order, axis=1)
