"""How rows of a token table are divided among owners, and the bytes that this takes.

Everything is computed from the token ids of batches; nothing is measured.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from object2vec_tf.distributed.collectives import padded_size

_FLOAT = _INT = 4
_LENGTH = 8

Ids = npt.NDArray[np.int32]
# Token ids of in0 and of in1, int32 [pairs, tokens] each.
Batch = tuple[Ids, Ids]


def modulo_owners(ids: Ids, vocab_size: int, owners: int) -> Ids:
    """Returns the owner of each row if neighboring ids have different owners."""
    return ids % owners


def range_owners(ids: Ids, vocab_size: int, owners: int) -> Ids:
    """Returns the owner of each row if owners have contiguous ranges of ids."""
    return ids // -(-vocab_size // owners)


PLACEMENTS = {"modulo": modulo_owners, "contiguous ranges": range_owners}


def largest_share(owners_of_rows: Ids, owners: int) -> float:
    """Returns the rows of the busiest owner relative to an even division.

    Example:
        >>> largest_share(np.array([0, 0, 0, 1]), 2)
        1.5
    """
    counts = np.bincount(owners_of_rows, minlength=owners)
    return float(counts.max() * owners / counts.sum())


def shards(batch: Batch, replicas: int) -> list[Batch]:
    """Returns the pairs of each replica."""
    stops = [len(batch[0]) * i // replicas for i in range(replicas + 1)]
    return [
        (batch[0][start:stop], batch[1][start:stop])
        for start, stop in itertools.pairwise(stops)
    ]


def distinct(batch: Batch) -> Ids:
    """Returns the distinct ids of both sides."""
    return np.unique(np.concatenate([ids.ravel() for ids in batch]))


def bytes_sent(method: str, batch: Batch, replicas: int, dim: int) -> float:
    """Returns the mean bytes that a replica sends in a step, except for a few counts.

    Args:
        method: A name in `METHODS` of tools/benchmarks/table_exchanges.py, or
            ``parameter servers``: their bytes in both directions, for each worker.
        batch: The batch of all replicas.
        replicas: Number of replicas, or of workers.
        dim: Width of the table.
    """
    unique = [distinct(shard) for shard in shards(batch, replicas)]
    others = replicas - 1
    row = dim * _FLOAT
    if method == "parameter servers":
        # The ids of a lookup and of an update, the rows, and their gradients.
        return float(np.mean([len(ids) for ids in unique])) * (2 * _INT + 2 * row)
    if method == "all to all":
        wanted = [np.bincount(ids % replicas, minlength=replicas) for ids in unique]
        size = padded_size(int(np.max(wanted)))
        return others * size * (_INT + 2 * row)
    if method == "gather and slice":
        size = padded_size(max(map(len, unique)))
        owned = np.bincount(np.concatenate(unique) % replicas, minlength=replicas)
        rows = padded_size(int(owned.max()))
        return others * (size * (_INT + row) + rows * row)
    return _replicated_bytes(batch, replicas, row)


def _replicated_bytes(batch: Batch, replicas: int, row: int) -> float:
    """Returns the bytes of the ids and gradients of encodings that a replica sends."""
    others = replicas - 1
    # A ring all-reduce sends each part twice.
    ids = sum(padded_size(side.size) * _INT for side in batch) * 2 * others / replicas
    pairs = padded_size(-(-len(batch[0]) // replicas))
    return ids + len(batch) * others * pairs * (_LENGTH + row)


def spread_ids(vocab_size: int, count: int) -> Ids:
    """Returns distinct random ids below ``vocab_size``, int32 ``[count]``."""
    generator = np.random.default_rng(1)
    return generator.permutation(np.arange(vocab_size, dtype=np.int32))[:count]


def zipf_batches(
    ids: Ids, pairs: int, tokens: tuple[int, int], count: int
) -> list[Batch]:
    """Returns random batches; token frequencies follow Zipf's law, as in text.

    Args:
        ids: The ids of all tokens, the most frequent token first.
        pairs: Pairs of a batch.
        tokens: Tokens of in0 and of in1.
        count: Number of batches.
    """
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(1, len(ids) + 1)
    edges = np.cumsum(weights / weights.sum())

    def side(length: int) -> Ids:
        ranks = np.searchsorted(edges, generator.random((pairs, length)))
        return ids[np.minimum(ranks, len(ids) - 1)]

    return [(side(tokens[0]), side(tokens[1])) for _ in range(count)]
