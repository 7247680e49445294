"""The models and data that `tools.benchmarks.gpu` measures.

Only numpy is imported with this module, so that a process that prepares data does not
use the GPU.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from object2vec_tf.data.pairs import Pairs
    from object2vec_tf.hyperparameters import Hyperparameters

Arrays = dict[str, npt.NDArray[Any]]

_SEED = 0
_MEDIAN_LENGTH = 13


@dataclasses.dataclass(frozen=True)
class Work:
    """A model and the data to train it on.

    Attributes:
        network: The encoder.
        vocab_size: Rows of a token table.
        token_dim: Width of a token table.
        enc_dim: Width of the encodings; that of the table if the encoder is
            pooled_embedding.
        mlp: Widths of the hidden layers.
        batch: Pairs per batch.
        rows: Pairs per epoch.
        tokens: Tokens of in0 and of in1; None for log-normal lengths with a mean of 15.
        max_seq_len: Largest number of tokens of an object.
        bucket_width: See the hyperparameter.
        storage: See the hyperparameter ``token_embedding_storage_type``.
        peer_batches: Number of batches that peers train on repeatedly.
    """

    network: str
    vocab_size: int
    token_dim: int
    enc_dim: int
    mlp: tuple[int, ...]
    batch: int
    rows: int
    tokens: tuple[int, int] | None = None
    max_seq_len: int = 82
    bucket_width: int = 0
    storage: str = "dense"
    peer_batches: int = 32

    @property
    def is_pooled(self) -> bool:
        """Whether the encoder is pooled_embedding, with one table for both sides."""
        return self.network == "pooled_embedding"

    @property
    def steps(self) -> int:
        """Batches per epoch, if all of them are full."""
        return -(-self.rows // self.batch)

    def hyperparameters(self) -> Hyperparameters:
        """Returns the hyperparameters of Object2Vec."""
        from object2vec_tf.hyperparameters import Hyperparameters

        settings: dict[str, Any] = {
            "enc0_network": self.network,
            "token_embedding_storage_type": self.storage,
        }
        if self.is_pooled:
            settings["tied_token_embedding_weight"] = True
            settings["comparator_list"] = "hadamard"
        else:
            settings["enc0_token_embedding_dim"] = self.token_dim
        if self.network == "hcnn":
            settings["enc0_layers"] = 4
        return Hyperparameters(
            enc0_vocab_size=self.vocab_size,
            enc0_max_seq_len=self.max_seq_len,
            enc_dim=self.enc_dim,
            mlp_dim=self.mlp[0],
            mlp_layers=len(self.mlp),
            mini_batch_size=self.batch,
            bucket_width=self.bucket_width,
            **settings,
        )


def _pooled(vocab_size: int, dim: int, batch: int, storage: str = "row_sparse") -> Work:
    return Work(
        network="pooled_embedding",
        vocab_size=vocab_size,
        token_dim=dim,
        enc_dim=dim,
        mlp=(512, 512),
        batch=batch,
        rows=1 << 20,
        tokens=(20, 50),
        storage=storage,
        peer_batches=16 if batch > 1_000 else 64,
    )


def _small(batch: int) -> Work:
    return dataclasses.replace(
        _pooled(1_683, 64, batch), mlp=(256, 256), tokens=(1, 1), max_seq_len=1
    )


def _sequences(network: str, enc_dim: int, batch: int, rows: int, width: int) -> Work:
    return Work(
        network=network,
        vocab_size=10_000,
        token_dim=300,
        enc_dim=enc_dim,
        mlp=(512,),
        batch=batch,
        rows=rows,
        bucket_width=width,
    )


# The most informative first, in case that time is short. XLA compiles one program for
# most works, but a dozen for those with buckets.
WORKS = {
    "S, batch 512": _pooled(267_522, 300, 512),
    "small, batch 64": _small(64),
    "hcnn, bucketed": _sequences("hcnn", 4_096, 256, 32_768, 8),
    "bilstm, bucketed": _sequences("bilstm", 1_024, 128, 16_384, 8),
    "S, batch 4,096": _pooled(267_522, 300, 4_096),
    "W, batch 512": _pooled(3_000_000, 64, 512),
    "hcnn": _sequences("hcnn", 4_096, 256, 32_768, 0),
    "bilstm": _sequences("bilstm", 1_024, 128, 16_384, 0),
    "W, batch 4,096": _pooled(3_000_000, 64, 4_096),
    "S, dense storage, batch 512": _pooled(267_522, 300, 512, "dense"),
    "small, batch 2,048": _small(2_048),
}


def shrink(work: Work) -> Work:
    """Returns a work that a CPU finishes in seconds."""
    return dataclasses.replace(
        work,
        vocab_size=min(work.vocab_size, 2_000),
        token_dim=16,
        enc_dim=16,
        mlp=(16,) * len(work.mlp),
        batch=min(work.batch, 64),
        rows=512,
        peer_batches=4,
    )


def make_data(work: Work) -> Arrays:
    """Returns random pairs: token ids and row splits of both sides, and labels.

    Token frequencies follow Zipf's law if the numbers of tokens are fixed; otherwise
    all tokens are equally frequent.
    """
    generator = np.random.default_rng(_SEED)
    rows = min(work.rows, 1 << 18)
    order = generator.permutation(work.vocab_size).astype(np.int32)
    weights = 1 / np.arange(1, work.vocab_size + 1)
    edges = np.cumsum(weights / weights.sum())
    data = {}
    for side in (0, 1):
        if work.tokens:
            lengths = np.full(rows, work.tokens[side])
            ranks = np.searchsorted(edges, generator.random(lengths.sum()))
            ids = order[np.minimum(ranks, work.vocab_size - 1)]
        else:
            lengths = np.exp(generator.normal(np.log(_MEDIAN_LENGTH), 0.55, rows))
            lengths = lengths.round().clip(1, work.max_seq_len).astype(np.int64)
            ids = generator.integers(0, work.vocab_size, lengths.sum(), np.int32)
        copies = work.rows // rows
        data[f"in{side}"] = np.tile(ids, copies)
        splits = np.concatenate([[0], np.cumsum(np.tile(lengths, copies))])
        data[f"splits{side}"] = splits
    data["labels"] = np.tile(generator.integers(0, 2, rows), copies)
    return data


def make_pairs(work: Work, data: Arrays) -> Pairs:
    """Returns the data as pairs of a channel in memory."""
    from object2vec_tf.data.pairs import Pairs, Report
    from object2vec_tf.ragged.column import RaggedColumn

    in0, in1 = (RaggedColumn(data[f"in{i}"], data[f"splits{i}"]) for i in (0, 1))
    report = Report((), {}, {}, (), {}, "")
    return Pairs(in0, in1, data["labels"], work.hyperparameters(), report)


def peer_batches(pairs: Pairs, count: int) -> Arrays:
    """Returns the first batches of the first epoch, as programs of peers read them.

    Returns:
        For batch number i: ``in0_ids_i``, ``in0_splits_i``, the same for in1, and
        ``label_i``.
    """
    from object2vec_tf.data.batch_plan import plan_batches

    schema = pairs.schema
    lengths = (pairs.in0.lengths, pairs.in1.lengths) if schema.bucket_width else None
    plan = plan_batches(
        lengths, len(pairs), schema.batch_size, schema.bucket_width, (_SEED, 0)
    )
    arrays: Arrays = {}
    for i in range(min(count, len(plan))):
        for name, column in pairs.columns.items():
            taken = column.take(plan[i])
            arrays[f"{name}_ids_{i}"] = taken.values.astype(np.int64)
            arrays[f"{name}_splits_{i}"] = taken.row_splits
        arrays[f"label_{i}"] = np.asarray(pairs.labels)[plan[i]]
    return arrays


def unpack_batches(arrays: Any) -> list[tuple[npt.NDArray[Any], ...]]:
    """Returns the batches of `peer_batches`: ids, splits, ids, splits, labels."""
    names = ("in0_ids", "in0_splits", "in1_ids", "in1_splits", "label")
    return [
        tuple(arrays[f"{name}_{i}"] for name in names)
        for i in range(len(list(arrays)) // len(names))
    ]


def save(path: Path, arrays: Arrays) -> None:
    """Writes arrays without compression."""
    np.savez(path, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> Arrays:
    """Returns the arrays of a file that `save` wrote."""
    with np.load(path) as arrays:
        return dict(arrays)
