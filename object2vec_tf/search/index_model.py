"""The model of an index: loads it, and checks that it embeds the items as before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np

from object2vec_tf.errors import UserError
from object2vec_tf.inference.file_splits import FileSplit
from object2vec_tf.inference.jsonl_inputs import ObjectReader
from object2vec_tf.inference.model_store import find_exported
from object2vec_tf.inference.predictor import Predictor, load_model
from object2vec_tf.metrics.ranking import lengths, normalized
from object2vec_tf.search.embedding_lines import parse_item
from object2vec_tf.search.index_directory import ITEMS, IndexFiles, model_digest

# The number of items that are embedded again, evenly spaced in the index.
_PROBES: Final = 64
# The largest distance of an embedding to the one in the index, relative to its length:
# devices and kernels round differently, a training step usually moves it further.
_TOLERANCE: Final = 1e-3


def load_index_model(
    model: str | os.PathLike[str], files: IndexFiles, directory: Path
) -> Predictor:
    """Loads a model whose embeddings compare with those of an index.

    The model may differ from the index's in everything that does not change the items'
    embeddings: the encoder of the other side, the comparator, new rows of a vocabulary.
    An index of embeddings has no items to check.

    Args:
        model: A run, an exported model or a directory of versions.
        files: The index.
        directory: Its directory.

    Raises:
        UserError: There is no such model, or it embeds the items differently.
    """
    exported = find_exported(model)
    predictor = load_model(exported)
    if files.manifest["model"] is None or _embeds_items(predictor, files, directory):
        return predictor
    # Devices with a lower precision may have embedded the items of the same model.
    if files.manifest.get("model_digest") == model_digest(exported):
        return predictor
    side = item_side(files)
    raise UserError(
        f"{directory}: expected the model that embedded its items, or one with the "
        f"same encoder of {side}, got another one in {exported}. Build the index again "
        "with all items, or give the earlier model as --model."
    )


def item_side(files: IndexFiles) -> str:
    """Returns the input of the items of an index of objects: in0 or in1."""
    return "in0" if "in0" in parse_item(files.items[0]) else "in1"


def _embeds_items(model: Predictor, files: IndexFiles, directory: Path) -> bool:
    """Returns whether a model gives some items the embeddings that the index has."""
    count = len(files.items)
    rows = np.unique(np.linspace(0, count - 1, min(count, _PROBES)).astype(np.int64))
    stored = np.stack([files.vectors.reconstruct(row) for row in rows.tolist()])
    lines = b"\n".join(files.items[row] for row in rows.tolist())
    counts = model.token_counts
    try:
        reader = ObjectReader(FileSplit(directory / ITEMS), model)
        vectors = model(reader.read(lines, 1))
    except UserError:  # an item is invalid for this model: it has other inputs
        return False
    finally:
        model.token_counts = counts  # of new items or queries only
    if vectors.shape != stored.shape:
        return False
    if files.manifest["metric"] == "cosine":
        vectors = normalized(vectors)
    limits = _TOLERANCE * lengths(stored)
    return bool((lengths(vectors - stored) <= limits).all())
