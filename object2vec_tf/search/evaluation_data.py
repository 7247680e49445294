"""The data of an evaluation of retrieval: queries, items, and which are relevant."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from object2vec_tf.errors import UserError
from object2vec_tf.inference.parquet_inputs import read_split
from object2vec_tf.inference.predictor import Predictor
from object2vec_tf.inference.ragged_inputs import RaggedInputs
from object2vec_tf.metrics.ranking import Positions
from object2vec_tf.metrics.retrieval import ItemLists
from object2vec_tf.ragged.row_hashes import RowPositions, join_matches
from object2vec_tf.search.candidate_pool import CandidatePool, read_pool
from object2vec_tf.search.pair_lines import object_hashes, read_pair_blocks


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """Queries, the items to rank, and the relevant items of each query.

    Attributes:
        queries: The distinct in0 of true pairs, in the order of the file.
        items: The distinct items.
        relevant: The items of the true pairs of each query; at least one.
        excluded: The items that are not candidates of each query; None if no known
            pairs are given.
        popularity: The number of true known pairs of each item, int64 ``[items]``; None
            if no known pairs are given.
    """

    queries: RaggedInputs
    items: RaggedInputs
    relevant: ItemLists
    excluded: ItemLists | None = None
    popularity: Positions | None = None


@dataclasses.dataclass(frozen=True)
class _KnownPairs:
    """The pairs of the queries and items of an evaluation in other files.

    Attributes:
        queries: The query of each pair.
        items: The item of each pair.
        popularity: See `EvaluationData`.
    """

    queries: Positions
    items: Positions
    popularity: Positions


def read_evaluation_data(
    model: Predictor,
    pairs: Sequence[Path],
    pool: Sequence[Path] | None = None,
    exclude: Sequence[Path] | None = None,
) -> EvaluationData:
    """Reads the data of an evaluation.

    Args:
        model: Provides the tokenizers and the vocabulary sizes.
        pairs: Files of pairs. Those with a label above 0, or without one, are true.
        pool: Files of the items to rank. The in1 of the pairs are added; None ranks
            only these.
        exclude: Files of known pairs, which are not candidates, whatever their label. A
            true pair that is also known is dropped with a warning. The model's
            ``object_key`` says whether their objects are the same.

    Raises:
        DataError: A line is invalid.
        UserError: Lines have other inputs, or no true pair is left.
    """
    items = CandidatePool("in1")
    if pool is not None:
        blocks = (objects for path in pool for objects in read_split(path, model))
        items = read_pool(blocks, "in1", ", ".join(f"{path}" for path in pool))
    queries = CandidatePool("in0")
    numbers, positions = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in read_pair_blocks(pairs, model):
        is_true = block.is_true
        positions.append(items.add(block.objects)[is_true])
        numbers.append(queries.add(block.objects.take(np.flatnonzero(is_true))))
    name = ", ".join(f"{path}" for path in pairs)
    if not len(items):
        raise UserError(f"{name}: expected lines with in0 and in1, got an empty file.")
    if not len(queries):
        raise UserError(
            f"{name}: expected pairs with a label above 0 or without a label, got "
            "none. Give a file with true pairs."
        )
    objects = queries.objects()
    known = None if exclude is None else _read_known(exclude, model, objects, items)
    return _without_known(
        objects,
        items.objects(),
        np.concatenate(numbers),
        np.concatenate(positions),
        known,
        name,
    )


def _read_known(
    files: Sequence[Path], model: Predictor, queries: RaggedInputs, items: CandidatePool
) -> _KnownPairs:
    find_query = RowPositions(object_hashes(queries.columns["in0"], "in0", model)).find
    find_item = RowPositions(
        object_hashes(items.objects().columns["in1"], "in1", model)
    ).find
    popularity = np.zeros(len(items), np.int64)
    found_queries, found_items = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for block in read_pair_blocks(files, model):
        columns = block.objects.columns
        rows, positions = find_item(object_hashes(columns["in1"], "in1", model))
        popularity += np.bincount(
            positions[block.is_true[rows]], minlength=len(popularity)
        )
        matches = join_matches(
            find_query(object_hashes(columns["in0"], "in0", model)), (rows, positions)
        )
        found_queries.append(matches[0])
        found_items.append(matches[1])
    return _KnownPairs(
        np.concatenate(found_queries), np.concatenate(found_items), popularity
    )


def _without_known(
    queries: RaggedInputs,
    items: RaggedInputs,
    numbers: Positions,
    positions: Positions,
    known: _KnownPairs | None,
    name: str,
) -> EvaluationData:
    """Returns the data without true pairs that are known.

    Args:
        queries: The queries.
        items: The items.
        numbers: The query of each true pair.
        positions: The item of each true pair.
        known: The known pairs; None if none are given.
        name: The files of the pairs, for messages.
    """
    if known is None:
        relevant = ItemLists.from_pairs(numbers, positions, len(queries))
        return EvaluationData(queries, items, relevant)
    keys = numbers * len(items) + positions
    is_known = np.isin(keys, known.queries * len(items) + known.items)
    if dropped := len(np.unique(keys[is_known])):
        warnings.warn(
            f"{name}: {dropped:,} true pairs are also excluded, and not evaluated.",
            stacklevel=2,
        )
    numbers, positions = numbers[~is_known], positions[~is_known]
    kept = np.unique(numbers)
    if not len(kept):
        raise UserError(
            f"{name}: expected true pairs that are not excluded, got none. Exclude the "
            "pairs of training, not those of the evaluation."
        )
    of_kept = np.isin(known.queries, kept)
    excluded = ItemLists.from_pairs(
        np.searchsorted(kept, known.queries[of_kept]), known.items[of_kept], len(kept)
    )
    relevant = ItemLists.from_pairs(
        np.searchsorted(kept, numbers), positions, len(kept)
    )
    return EvaluationData(
        queries.take(kept), items, relevant, excluded, known.popularity
    )
