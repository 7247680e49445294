"""Divides batches into few clusters of similar sizes, each of which has a shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from object2vec_tf.data.static_shapes import rounded_up

Numbers = npt.NDArray[np.int64]

_MAX_CLUSTERS = 12
# Sizes are rounded until batches have at most this number of different sizes.
_MAX_KINDS = 100
_BITS = (5, 4, 3, 2)


def clusters(
    needs: Numbers, factors: npt.NDArray[np.float64], growth: float
) -> list[Numbers]:
    """Divides groups of batches into clusters.

    A shape costs the sum of its sizes times their factors, for every group that has it.
    The two clusters whose common shape adds the least cost are merged until there are
    few clusters, and as long as that adds little.

    Args:
        needs: The sizes that each group needs, ``[groups, sizes]``.
        factors: The cost of a unit of each size, ``[sizes]``.
        growth: Clusters are merged while the total cost is at most this times what it
            is without clusters.

    Returns:
        The numbers of the groups in each cluster.

    Example:
        >>> needs = np.array([[10, 1], [90, 8], [11, 1], [88, 8], [10, 1]])
        >>> found = clusters(needs, np.array([1.0, 8.0]), growth=1.05)
        >>> [members.tolist() for members in found]
        [[0, 2, 4], [1, 3]]
    """
    kinds = _kinds(needs, factors)
    members = [np.flatnonzero(kinds == kind) for kind in range(int(kinds.max()) + 1)]
    sizes = np.stack([needs[groups].max(axis=0) for groups in members])
    counts = np.array([len(groups) for groups in members], float)
    limit = growth * float(counts @ (sizes @ factors))
    while len(members) > 1:
        costs = counts * (sizes @ factors)
        merged = np.maximum(sizes[:, np.newaxis], sizes) @ factors
        added = merged * (counts[:, np.newaxis] + counts)
        added -= costs[:, np.newaxis] + costs
        np.fill_diagonal(added, np.inf)
        first, second = sorted(divmod(int(added.argmin()), len(members)))
        total = costs.sum() + added[first, second]
        if len(members) <= _MAX_CLUSTERS and total > limit:
            break
        members[first] = np.sort(np.concatenate([members[first], members.pop(second)]))
        sizes[first] = np.maximum(sizes[first], sizes[second])
        counts[first] += counts[second]
        sizes, counts = (np.delete(a, second, axis=0) for a in (sizes, counts))
    return members


def _kinds(needs: Numbers, factors: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Returns a number for each group; groups with similar needs share it."""
    for bits in _BITS:
        units = np.vectorize(lambda n, bits=bits: rounded_up(int(n), bits))(needs)
        distinct, kinds = np.unique(units, axis=0, return_inverse=True)
        if len(distinct) <= _MAX_KINDS:
            return kinds.reshape(-1)
    # Kinds of groups with similar costs.
    ranks = np.argsort(np.argsort(needs @ factors, kind="stable"), kind="stable")
    return ranks * _MAX_KINDS // len(needs)
