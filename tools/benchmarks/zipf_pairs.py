"""Files of random pairs whose token frequencies follow Zipf's law, as in text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TOKENS = {"in0": 20, "in1": 50}


def zipf_ids(vocab_size: int, count: int, generator: np.random.Generator) -> pa.Array:
    """Returns random ids whose frequencies follow Zipf's law, the most frequent first.

    The logarithm of a rank is uniformly distributed, the continuous form of the law.
    """
    ranks = np.exp(generator.random(count) * np.log(vocab_size + 1))
    return pa.array(np.minimum(ranks.astype(np.int64), vocab_size) - 1)


def write_pairs(path: Path, vocab_size: int, pairs: int) -> None:
    """Writes random pairs of 20 + 50 tokens with random labels as Parquet."""
    generator = np.random.default_rng(0)
    columns: dict[str, pa.Array] = {}
    for name, tokens in TOKENS.items():
        ids = zipf_ids(vocab_size, pairs * tokens, generator)
        columns[name] = pa.FixedSizeListArray.from_arrays(ids, tokens).cast(
            pa.list_(pa.int64())
        )
    columns["label"] = pa.array(generator.integers(0, 2, pairs))
    pq.write_table(pa.table(columns), path)
