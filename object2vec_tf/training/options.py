"""Options of a run that are not hyperparameters; fit and tune share them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Self, TypedDict

from object2vec_tf.data.table_sources import is_table
from object2vec_tf.devices import check_device
from object2vec_tf.distributed.selection import (
    check_batch_layout,
    check_table_placement,
)
from object2vec_tf.errors import UserError
from object2vec_tf.files.remote import local_path
from object2vec_tf.hyperparameters.arguments import as_boolean, as_gigabytes, as_integer
from object2vec_tf.layers.precision import check_precision
from object2vec_tf.model.freezing import parse_parts
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.tables.limit import check_table_limit

PathLike = str | os.PathLike[str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run that are not hyperparameters.

    All but the seed, the initial model, the frozen parts and the precision leave the
    weights as they are.

    Attributes:
        seed: Seed of initial weights, shuffles and negatives. On a CPU the same seed
            gives the same weights.
        max_bad_lines: Number of invalid lines tolerated per channel.
        export_dir: Directory of the SavedModel's versions; by default a directory of
            the run directory.
        overwrite: Whether to delete another run's files in ``model_dir`` and start from
            scratch.
        checkpoint_seconds: Seconds between checkpoints within an epoch, at least ten
            times the time that saving takes; 0 saves at the end of epochs only.
        cache_dir: Directory where converted channels are kept between epochs and runs;
            several runs may share it. By default a directory of the run directory.
        cache_limit: Maximum size of the cache in gigabytes (10**9 bytes); None for no
            limit.
        verbose: Whether to show progress and results on stdout.
        initial_model: A run directory, a ``.keras`` file or a model whose weights are
            taken where they fit; all others, and rows of token tables without a
            counterpart, start as in a new model. Rows are matched by word where both
            models have vocabularies, otherwise by id. A row that is taken wins over a
            pretrained vector.
        freeze: Parts of the model that are not trained: enc0, enc1, comparator; a
            string may have several, separated by commas. A token table that both
            encoders share is frozen with either of them.
        retrieval_pool: A file, a table or a list of in1 objects. After every epoch, the
            true pairs of the validation channel are ranked among them. It needs a
            validation channel.
        batch_layout: How batches are laid out: ragged, as a CPU needs it; static, in a
            few shapes for which XLA compiles the steps, as a GPU needs it; auto,
            static if GPUs of a single worker train, and on a CPU for small models. The
            layout changes results by rounding, and the random numbers of dropout.
        device: auto uses a GPU if TensorFlow sees one; cpu hides all GPUs from this
            process, and gpu requires one.
        deterministic: Whether TensorFlow's ops are made deterministic, for the rest of
            this process. On a GPU too, the same seed then gives the same weights. On a
            CPU the weights repeat anyway; other kernels may change their last bits.
        precision: float32; or bfloat16 or float16, in which convolutions, the products
            of LSTMs and the MLP are then computed. Weights, sums, scores and losses are
            float32, as is the exported model.

    Raises:
        UserError: A number, the name of a part, of a layout or of a precision, or the
            type of a path is invalid.
    """

    seed: int = 0
    max_bad_lines: int = 0
    export_dir: PathLike | None = None
    overwrite: bool = False
    checkpoint_seconds: int = 60
    cache_dir: PathLike | None = None
    cache_limit: float | None = None
    verbose: bool = True
    initial_model: PathLike | Object2Vec | None = None
    freeze: str | Sequence[str] = ()
    retrieval_pool: PathLike | Any | None = None
    batch_layout: str = "auto"
    device: str = "auto"
    deterministic: bool = False
    precision: str = "float32"

    def __post_init__(self) -> None:
        """Checks the numbers, the names of parts, and the types of other values."""
        for name in ("seed", "max_bad_lines", "checkpoint_seconds"):
            object.__setattr__(self, name, as_integer(name, getattr(self, name)))
        for name in ("overwrite", "verbose", "deterministic"):
            object.__setattr__(self, name, as_boolean(name, getattr(self, name)))
        if self.cache_limit is not None:
            as_gigabytes("cache_limit", self.cache_limit)
        object.__setattr__(self, "freeze", parse_parts(self.freeze))
        check_batch_layout(self.batch_layout)
        check_device(self.device)
        check_precision("precision", self.precision)
        if self.cache_dir:
            local_path(self.cache_dir, "cache_dir")
        if not isinstance(self.initial_model, str | os.PathLike | Object2Vec | None):
            raise UserError(
                "initial_model: expected a run directory, a .keras file or an "
                f"Object2Vec model, got {self.initial_model!r:.60}."
            )
        is_path = isinstance(self.retrieval_pool, str | os.PathLike | None)
        if not (is_path or is_table(self.retrieval_pool)):
            raise UserError(
                "retrieval_pool: expected the path of a single file, or a table, got "
                f"{self.retrieval_pool!r:.60}."
            )

    def replace(self, **changes: Any) -> Self:
        """Returns the options with some changes."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions(RunOptions):
    """The options of `object2vec_tf.fit`.

    Attributes:
        items: JSON Lines of objects, in0 or in1, that have names in ``labels``.
        labels: A text file with one name per line, for each of the items; the report
            and TensorBoard show them.
        strategy: Execution strategy: one uses one device; mirrored the GPUs of this
            process; multi_worker the processes that TF_CONFIG lists, each of which
            calls fit; auto what is available. The number of replicas changes results
            by rounding, and the random numbers of dropout. Only the chief writes to
            ``model_dir``, and all workers return the same run; with sharded tables all
            write, and the model that other workers return is loaded when it is used.
        num_gpus: Maximum number of GPUs; by default ``_num_gpus`` of a mapping of
            hyperparameters.
        table_placement: Where token tables and their optimizer state are kept.
            replicated: every device has all rows. sharded: each device has a part of
            the rows, and gets those that its pairs need from the others. It changes
            results by rounding, and the random numbers of dropout.
        table_limit: Token tables that have more gigabytes (10**9 bytes) than this in
            all are written as Parquet files beside the model; 0 for all tables. The
            default is 8; and 0 for sharded tables that do not fit, as a whole, into
            the memory of the chief.

    Raises:
        UserError: As for `RunOptions`; or the placement or the limit is invalid.
    """

    items: PathLike | None = None
    labels: PathLike | None = None
    strategy: str = "auto"
    num_gpus: int | None = None
    table_placement: str = "replicated"
    table_limit: float | None = None

    def __post_init__(self) -> None:
        """Checks the placement and the limit too."""
        super().__post_init__()
        check_table_placement(self.table_placement)
        if self.table_limit is not None:
            check_table_limit(self.table_limit)


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions` as keyword arguments of fit and tune."""

    seed: int
    max_bad_lines: int
    export_dir: PathLike | None
    overwrite: bool
    checkpoint_seconds: int
    cache_dir: PathLike | None
    cache_limit: float | None
    verbose: bool
    initial_model: PathLike | Object2Vec | None
    freeze: str | Sequence[str]
    retrieval_pool: PathLike | Any | None
    batch_layout: str
    device: str
    deterministic: bool
    precision: str


class FitKeywords(RunKeywords, total=False):
    """The fields of `FitOptions` as keyword arguments of fit."""

    items: PathLike | None
    labels: PathLike | None
    strategy: str
    num_gpus: int | None
    table_placement: str
    table_limit: float | None
