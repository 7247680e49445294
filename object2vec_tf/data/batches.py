"""Which rows make a batch: the order of an epoch, and where it is cut."""

from __future__ import annotations

import numpy as np

from object2vec_tf.data.columns import Splits

# Sets the stream that orders batches apart from the one that orders rows.
_OF_BATCHES = 1


def epoch_order(rows: int, seed: int, epoch: int) -> Splits:
    """Returns the rows of one epoch in random order, the same for the same numbers.

    The permutation is global (every row can meet every other) and needs no state:
    epoch 7 can be drawn without drawing the six before it.
    """
    return _permutation(rows, seed, epoch)


def plan_batches(
    lengths: tuple[Splits, Splits],
    order: Splits,
    batch_size: int,
    bucket_width: int,
    shuffle_seed: tuple[int, int] | None = None,
) -> list[Splits]:
    """Cuts an epoch's rows into batches; every row is in exactly one.

    Args:
        lengths: Tokens of in0 and in1 for every row, ``[rows]`` each.
        order: The rows in the order of the epoch.
        batch_size: Rows in a batch; a bucket's last batch may be smaller.
        bucket_width: 0 cuts the order as it stands. Otherwise a batch holds rows whose
            in0 lengths, and whose in1 lengths, differ by less than this.
        shuffle_seed: Seed and epoch by which the bucketed batches are put in random
            order; None leaves them from short to long.

    Returns:
        The rows of each batch.
    """
    if not bucket_width:
        return _cut(order, batch_size)
    bucket0, bucket1 = (length[order] // bucket_width for length in lengths)
    by_bucket = np.lexsort((bucket1, bucket0))  # stable: the order stays within
    order, bucket0, bucket1 = order[by_bucket], bucket0[by_bucket], bucket1[by_bucket]
    edges = np.flatnonzero((np.diff(bucket0) != 0) | (np.diff(bucket1) != 0)) + 1
    batches = [
        batch for bucket in np.split(order, edges) for batch in _cut(bucket, batch_size)
    ]
    if shuffle_seed is None:
        return batches
    return [batches[i] for i in _permutation(len(batches), *shuffle_seed, _OF_BATCHES)]


def _permutation(count: int, *entropy: int) -> Splits:
    generator = np.random.Philox(np.random.SeedSequence(entropy))
    return np.random.Generator(generator).permutation(count)


def _cut(rows: Splits, batch_size: int) -> list[Splits]:
    return [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
