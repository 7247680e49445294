"""Checks pairs that are already in memory against the settings of another model."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import xxhash

from object2vec_tf.data.blocks import Block
from object2vec_tf.data.pair_schema import INPUTS, PairSchema
from object2vec_tf.data.pairs import Pairs
from object2vec_tf.errors import DataError
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.ragged.column import Column

_BLOCK_ROWS = 1 << 16
_ADVICE = "Read the pairs with the settings of this model."


def checked_pairs(
    pairs: Pairs, settings: Hyperparameters | PairSchema, channel: str = "train"
) -> Pairs:
    """Returns pairs with other settings, without copying their columns.

    Args:
        pairs: The pairs; returned as they are if their settings are the same.
        settings: The settings to check them against.
        channel: The name of the channel, for messages.

    Raises:
        DataError: The pairs would be other pairs if they were read with the settings.

    Example:
        >>> import object2vec_tf as o2v
        >>> settings = o2v.Hyperparameters(enc0_vocab_size=5, enc0_max_seq_len=2)
        >>> pairs = o2v.read_pairs([{"in0": [4], "in1": [1], "label": 1}], settings)
        >>> checked_pairs(pairs, settings) is pairs
        True
    """
    if settings == pairs.settings:
        return pairs
    old, new = pairs.schema, PairSchema.of(settings)
    problem = _label_problem(pairs, new)
    for encoder, name in enumerate(INPUTS):
        if old.tokenizations[encoder] != new.tokenizations[encoder]:
            problem = problem or (
                f"{name}: expected text settings {new.tokenizations[encoder]}, got "
                f"pairs with {old.tokenizations[encoder]}."
            )
        problem = problem or _input_problem(pairs, encoder, new)
    if problem:
        raise DataError(f"{channel}: Pairs: {problem} {_ADVICE}")
    return dataclasses.replace(pairs, settings=settings)


def _label_problem(pairs: Pairs, new: PairSchema) -> str | None:
    old = pairs.schema
    if (old.num_classes is None) != (new.num_classes is None):
        kinds = [
            "real numbers" if s.num_classes is None else "classes" for s in (new, old)
        ]
        return f"label: expected {kinds[0]}, got {kinds[1]}."
    if new.num_classes is None or old.num_classes is None:
        return None
    if new.num_classes < old.num_classes and len(pairs):
        largest = int(np.asarray(pairs.labels).max())
        if largest >= new.num_classes:
            return (
                f"label: expected an integer class in [0, num_classes="
                f"{new.num_classes}), got {largest}."
            )
    return None


def _label_kind(schema: PairSchema) -> str:
    return "real numbers" if schema.num_classes is None else "classes"


def _input_problem(pairs: Pairs, encoder: int, new: PairSchema) -> str | None:
    name, old = INPUTS[encoder], pairs.schema
    column = pairs.columns[name]
    size, limit = new.vocab_sizes[encoder], new.max_lengths[encoder]
    if size < old.vocab_sizes[encoder]:
        largest = _largest_id(column)
        if largest >= size:
            return f"{name}: expected ids below {size}, got {largest}."
    old_limit = old.max_lengths[encoder]
    if limit > old_limit and pairs.report.truncated.get(name):
        return (
            f"{name}: expected objects of up to {limit} tokens, got pairs that were "
            f"truncated to {old_limit}."
        )
    longest = int(column.lengths.max(initial=0)) if limit < old_limit else 0
    if longest > limit:
        return f"{name}: expected at most {limit} tokens, got {longest}."
    return None


def _largest_id(column: Column) -> int:
    largest = -1
    for start in range(0, len(column), _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, len(column)))
        values = column.take(rows).values
        largest = max(largest, int(values.max(initial=-1)))
    return largest


class PairsDigest:
    """A digest of pairs that does not depend on how they are divided into blocks."""

    def __init__(self) -> None:
        self._states: dict[str, Any] = {
            name: xxhash.xxh3_128()
            for name in ("in0", "in0 lengths", "in1", "in1 lengths", "label", "weight")
        }

    def update(self, block: Block) -> None:
        """Adds the pairs of a block to the digest."""
        for name in INPUTS:
            column = getattr(block, name)
            self._add(name, column.values)
            self._add(f"{name} lengths", column.lengths.astype(np.int64))
        self._add("label", block.labels)
        self._add("weight", block.weights_or_ones)

    def _add(self, name: str, numbers: Any) -> None:
        self._states[name].update(np.ascontiguousarray(numbers))

    @property
    def value(self) -> str:
        """The digest of the pairs so far."""
        digests = "".join(state.hexdigest() for state in self._states.values())
        return xxhash.xxh3_128(digests.encode()).hexdigest()
