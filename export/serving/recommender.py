"""Recommends items: searches, orders and describes them by a backend's signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from export.serving.backends import Backend, VersionGone
from export.serving.off_loop import off_loop
from object2vec_tf.inference.catalog import (
    DESCRIBE_ITEMS,
    RECOMMEND,
    SCORE_ITEMS,
    Catalog,
)
from object2vec_tf.inference.ragged_inputs import PADDING, Ids, Predictions
from object2vec_tf.inference.recommend_requests import (
    ITEM_VALUES,
    RecommendedItem,
    RecommendRequest,
)


async def recommend(
    backend: Backend, request: RecommendRequest
) -> list[list[RecommendedItem]]:
    """Returns the recommended items of each object, best first.

    All signatures are called on the version of the model that answers the first of
    them: positions mean other items in another version.

    Args:
        backend: Calls the signatures.
        request: The request; its objects are token ids.

    Raises:
        Unavailable: The model is not available now.
        Rejected: The model rejected the request as invalid.
    """
    try:
        return await _recommend(backend, request)
    except VersionGone:  # between two calls; the new version answers both
        return await _recommend(backend, request)


async def _recommend(
    backend: Backend, request: RecommendRequest
) -> list[list[RecommendedItem]]:
    rows = {"in0": request.objects, "exclude": request.exclude}
    response = await backend.call(RECOMMEND, rows)
    version = response.version
    width = max(request.k)
    positions = response.outputs["items"][:, :width]
    scores = response.outputs["scores"][:, :width]
    # A row's items after its own k are not wanted.
    unwanted = np.arange(positions.shape[1]) >= np.array(request.k)[:, np.newaxis]
    positions = np.where(unwanted, PADDING, positions)
    if any(request.rescore):
        pair_scores = await _pair_scores(backend, request, positions, version)
        positions, scores = _reordered(request, positions, scores, pair_scores)
    response = await backend.call(
        DESCRIBE_ITEMS, {"items": positions.tolist()}, version
    )
    catalog = await backend.catalog()
    return await off_loop(
        ITEM_VALUES * positions.size,
        lambda: _items(positions, scores, response.outputs, catalog),
    )


async def _pair_scores(
    backend: Backend,
    request: RecommendRequest,
    positions: Ids,
    version: int | None,
) -> Predictions:
    """Returns the comparator's scores, ``[batch, k]``, of the rows to rescore."""
    rescored = np.flatnonzero(request.rescore)
    rows = {
        "in0": [request.objects[row] for row in rescored.tolist()],
        "items": positions[rescored].tolist(),
    }
    response = await backend.call(SCORE_ITEMS, rows, version)
    # The probability of class 1 for two classes, or the value of a regression.
    scores = response.outputs["scores"][:, : positions.shape[1], -1]
    result = np.zeros(positions.shape, np.float32)
    result[rescored] = scores
    return result


def _reordered(
    request: RecommendRequest,
    positions: Ids,
    scores: Predictions,
    pair_scores: Predictions,
) -> tuple[Ids, Predictions]:
    """Orders the items of rows to rescore; equal scores keep their order."""
    rescored = np.array(request.rescore)[:, np.newaxis]
    keys = np.where(positions == PADDING, np.inf, -pair_scores)
    order = np.argsort(keys, axis=1, kind="stable")
    order = np.where(rescored, order, np.arange(positions.shape[1]))
    scores = np.where(rescored, pair_scores, scores)
    return (
        np.take_along_axis(positions, order, 1),
        np.take_along_axis(scores, order, 1),
    )


def _items(
    positions: Ids,
    scores: Predictions,
    described: Any,
    catalog: Catalog | None,
) -> list[list[RecommendedItem]]:
    has_labels = catalog is not None and catalog.labels
    lines: npt.NDArray[Any] = described["lines"]
    labels: Sequence[Any] = described["labels"]
    return [
        [
            RecommendedItem(
                int(position),
                scores[row, column],
                lines[row, column],
                labels[row][column].decode() if has_labels else None,
            )
            for column, position in enumerate(row_positions)
            if position != PADDING
        ]
        for row, row_positions in enumerate(positions)
    ]
