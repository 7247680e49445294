"""Models in this process: a SavedModel, or its ONNX graphs."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from object2vec_tf.errors import UserError
from object2vec_tf.files.tensorflow_paths import tensorflow_path
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.inference.catalog import DESCRIBE_CATALOG, Catalog
from object2vec_tf.inference.exported_files import report_damage, verify_saved_model
from object2vec_tf.inference.model_store import (
    ONNX,
    SAVED_MODEL,
    find_exported,
    parse_description,
    version_number,
)
from object2vec_tf.inference.onnx_predictor import OnnxPredictor
from object2vec_tf.inference.ragged_inputs import (
    Ids,
    Predictions,
    RaggedInputs,
    Rows,
    call_limits,
    in_row_order,
    predict_batches,
)
from object2vec_tf.inference.signature_defs import SignatureDefs, read_signature_defs
from object2vec_tf.inference.table_rows import TABLES_FILE, with_rows, without_rows
from object2vec_tf.inference.text_inputs import TextRequest
from object2vec_tf.inference.token_counts import CountsByInput, add_counts
from object2vec_tf.inference.warmup_requests import (
    HYPERPARAMETERS,
    WARM_UP_FILE,
    read_warm_up,
)
from object2vec_tf.progress import phase
from object2vec_tf.tables.outside_tables import (
    MEMORY,
    MMAP,
    TABLES,
    RowTable,
    open_tables,
    tables_by_side,
)
from object2vec_tf.tables.table_reader import read_table
from object2vec_tf.text.tokenizer import load_text_ops

Array = npt.NDArray[Any]

# What TensorFlow raises for the files of a SavedModel that are missing or damaged.
DAMAGE_ERRORS: Final = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    tf.errors.OpError,
)


class InputModel(Protocol):
    """What reading the inputs of a model needs.

    Attributes:
        hyperparameters: The model's.
        texts: The inputs that may be text.
    """

    hyperparameters: Hyperparameters
    texts: Collection[str]

    def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """Returns the objects as token ids, and the number of unknown tokens."""


class Predictor(InputModel, Protocol):
    """Embeds objects and scores pairs.

    Attributes:
        token_counts: The tokens of all texts so far, by input.
        catalog: The description of the items that the model recommends; None if it
            recommends none.
        version: The number of the exported version; None if it has none.
        signature_defs: The signatures, as TF Serving describes them in JSON.
    """

    token_counts: CountsByInput
    catalog: Catalog | None
    version: int | None
    signature_defs: SignatureDefs

    def __call__(self, inputs: RaggedInputs) -> Predictions:
        """Returns embeddings or scores, float32 ``[rows, width]``."""

    def call(self, signature: str, inputs: RaggedInputs) -> Mapping[str, Array]:
        """Returns the outputs of a signature that recommends or describes items.

        Args:
            signature: One of those in `object2vec_tf.inference.catalog`.
            inputs: Its inputs, token ids or positions.

        Returns:
            The outputs by name, one row per row of the inputs.
        """

    def warm_up(self, first: str = "") -> None:
        """Runs one request of every kind.

        Args:
            first: The output to run first: embeddings or scores.
        """


class SavedModelPredictor:
    """A SavedModel in this process; a `Predictor`.

    Args:
        path: The directory of the SavedModel.

    Raises:
        UserError: It cannot be loaded, or object2vec_tf did not export it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        verify_saved_model(path)
        _load_text_ops(path)
        with report_damage(path), tensorflow_path(path) as name:
            self._module = tf.saved_model.load(name)
            # The variables of the signatures live only as long as the module does.
            self._signatures = self._module.signatures
        if "describe" not in self._signatures:
            raise UserError(
                f"{path}: expected a SavedModel exported by object2vec_tf, got one "
                "without the signature describe. Export the model with "
                "python -m export."
            )
        with report_damage(path):
            text = self._describe("describe", "hyperparameters")
            self.hyperparameters = parse_description(text, f"{path}")
            self.signature_defs = read_signature_defs(path)
            self.catalog: Catalog | None = None
            if DESCRIBE_CATALOG in self._signatures:
                text = self._describe(DESCRIBE_CATALOG, "catalog")
                self.catalog = Catalog.from_json(text, f"{path}")
        self.texts: Collection[str] = self.hyperparameters.texts
        self.token_counts: CountsByInput = {}
        self.version = version_number(path)

    def _describe(self, signature: str, output: str) -> bytes:
        """Returns the JSON that a signature without inputs of its own returns."""
        outputs = self._signatures[signature](rows=tf.zeros(1, tf.int64))
        return bytes(outputs[output][0].numpy())

    def warm_up(self, first: str = "") -> None:
        """See `Predictor`.

        Raises:
            UserError: The requests are missing or damaged.
        """
        with report_damage(self._path / WARM_UP_FILE):
            requests = list(read_warm_up(self._path))
            outputs = {
                name: s.structured_outputs for name, s in self._signatures.items()
            }
            requests.sort(key=lambda request: first not in outputs[request[0]])
            for name, inputs in requests:
                self._signatures[name](**inputs)

    def __call__(self, inputs: RaggedInputs) -> Predictions:
        """See `Predictor`."""
        return predict_batches(
            inputs,
            lambda batch: self.run_signature(batch.signature, batch.padded()),
            call_limits(self.hyperparameters),
        )

    def call(self, signature: str, inputs: RaggedInputs) -> Mapping[str, Array]:
        """See `Predictor`."""
        batches = list(inputs.batches())
        outputs = []
        for batch in batches:
            padded = inputs.take(batch).padded()
            tensors = {name: tf.constant(ids) for name, ids in padded.items()}
            outputs.append(self._signatures[signature](**tensors))
        return {
            name: in_row_order(batches, [np.asarray(rows[name]) for rows in outputs])
            for name in outputs[0]
        }

    def tokenize(self, rows: Rows) -> tuple[Rows, int]:
        """See `Predictor`."""
        request = TextRequest(rows)
        for batch in request.batches:
            texts = {batch.name: tf.constant(batch.texts, tf.string)}
            outputs = self._signatures[batch.signature](**texts)
            request.store(batch, {n: value.numpy() for n, value in outputs.items()})
        self.token_counts = add_counts(self.token_counts, request.counts)
        return request.rows, request.unknown_tokens

    def run_signature(self, signature: str, inputs: Mapping[str, Array]) -> Predictions:
        """Returns the output of a signature.

        Args:
            signature: embed_enc0, embed_enc1 or predict_pair.
            inputs: int64 ``[rows, time]`` by input name, padded with -1.
        """
        tensors = {name: tf.constant(ids) for name, ids in inputs.items()}
        (output,) = self._signatures[signature](**tensors).values()
        return np.asarray(output.numpy())


def _load_text_ops(path: Path) -> None:
    """Registers the ops of a text model, which must happen before it is loaded."""
    file = path / HYPERPARAMETERS
    try:
        text = file.read_bytes()
    except OSError:
        return  # If this is not one of our exports, the constructor reports it.
    hyperparameters = parse_description(text, f"{file}")
    if set(hyperparameters.texts) - set(hyperparameters.external_ids):
        load_text_ops()


class TowersPredictor(SavedModelPredictor):
    """A SavedModel without its tables, whose rows are read for each call.

    Args:
        path: The directory of the SavedModel.
        in_memory: Whether to read the tables into memory. By default the files are
            mapped, and processes that serve the same model share the system's cache.

    Raises:
        UserError: It cannot be loaded.
    """

    def __init__(self, path: Path, in_memory: bool = False) -> None:
        super().__init__(path)
        hyperparameters = self.hyperparameters
        # The constructor of the base class has compared the checksums of all files.
        mapped = open_tables(hyperparameters, path / TABLES, verify=False)
        tables: Mapping[str, RowTable] = mapped
        if in_memory:
            tables = {name: read_table(table) for name, table in mapped.items()}
        self._tables = tables_by_side(hyperparameters, tables)
        self.signature_defs = without_rows(self.signature_defs)

    def run_signature(self, signature: str, inputs: Mapping[str, Ids]) -> Predictions:
        """See `SavedModelPredictor.run_signature`."""
        return super().run_signature(signature, with_rows(inputs, self._tables))


def load_model(
    model: str | os.PathLike[str],
    runtime: str = "tensorflow",
    threads: int = 0,
    table: str | None = None,
) -> Predictor:
    """Loads an exported model into this process.

    Args:
        model: A run directory, an exported model or a directory of versions.
        runtime: tensorflow or onnx.
        threads: The number of threads of an op in onnxruntime; 0 for its own choice.
        table: Where the rows of token tables are: memory or mmap (read from the files
            of a model whose tables are outside). None for mmap if the model is one,
            else memory.

    Raises:
        UserError: There is no such model, or its tables are not in files.
    """
    exported = find_exported(model, ONNX if runtime == "onnx" else SAVED_MODEL)
    has_files = (exported / TABLES_FILE).is_file()
    if table == MMAP and not has_files:
        raise UserError(
            f"{exported}: expected a model whose token tables are in files, for "
            f"--table={MMAP}, got one that has them inside. Export it with python -m "
            "export --table_limit=0, or remove --table."
        )
    with phase(f"loading {exported}"):
        if runtime == "onnx":
            return OnnxPredictor(exported, threads)
        if has_files:
            return TowersPredictor(exported, in_memory=table == MEMORY)
        return SavedModelPredictor(exported)
