"""The initial model of a run: reading it, and recognizing it when the run resumes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xxhash

from object2vec_tf.errors import RunDirectoryError, UserError
from object2vec_tf.files.digests import digest_of_file
from object2vec_tf.files.downloads import list_files
from object2vec_tf.files.remote import is_remote, local_path
from object2vec_tf.hyperparameters import Hyperparameters
from object2vec_tf.model.loading import load_object2vec, model_file
from object2vec_tf.model.object2vec import Object2Vec
from object2vec_tf.model.warm_start import WarmStart
from object2vec_tf.runs.result_files import RESTORE
from object2vec_tf.runs.run_directory import RunDirectory
from object2vec_tf.text.text_assets import TextAssets


class InitialModel:
    """The model whose weights a run starts with.

    Args:
        summary: What is taken from it, with its path, as in metrics.json.
        digest: Digest of the model.
        start: Assigns the weights; None for a run that has a checkpoint, which needs
            the model no more.

    Attributes:
        summary: As given.
        digest: As given.
    """

    def __init__(
        self, summary: Mapping[str, Any], digest: str, start: WarmStart | None = None
    ) -> None:
        self.summary = dict(summary)
        self.digest = digest
        self._start = start

    @property
    def record(self) -> dict[str, Any]:
        """What a run directory records of the model."""
        return {**self.summary, "digest": self.digest}

    def apply(self, model: Object2Vec) -> None:
        """Assigns the weights that are taken to a new model."""
        if self._start is not None:
            self._start.apply(model)

    def release(self) -> None:
        """Frees the memory of the weights, which no further model needs."""
        self._start = None


def read_initial_model(
    source: str | os.PathLike[str] | Object2Vec,
    hyperparameters: Hyperparameters,
    text_assets: TextAssets,
    directory: RunDirectory | None,
) -> InitialModel:
    """Returns the initial model of a run.

    A run that has a checkpoint can be resumed without the files of its initial model.

    Args:
        source: A run directory, a ``.keras`` file, or a model.
        hyperparameters: The run's hyperparameters.
        text_assets: The run's tokenizers and vocabularies.
        directory: The run's directory; None if the run starts again.

    Raises:
        UserError: There is no such model, it is damaged, or none of its weights fits.
    """
    if isinstance(source, Object2Vec):
        earlier, digest, path = source, _digest_of_weights(source), None
    else:
        path = os.fspath(source)
        record = directory.read_initial_model() if directory else None
        if directory and record and record["path"] == path and _is_missing(path):
            _check_types(record, directory.initial_model)
            digest = record.pop("digest")
            return InitialModel(record, digest)
        try:
            file = model_file(path)
            digest = digest_of_file(file)["xxh3_128"]
            earlier = load_object2vec(file, compile=False)
        except UserError as error:
            raise UserError(f"initial_model: {error}") from error
    start = WarmStart(
        hyperparameters, text_assets.tokenizers, earlier, text_assets.id_words
    )
    return InitialModel({"path": path, **start.summary()}, digest, start)


def _check_types(record: Mapping[str, Any], path: Path) -> None:
    """Checks the types in the record of an initial model.

    Args:
        record: The record.
        path: Its file, for the message.

    Raises:
        RunDirectoryError: A type is wrong.
    """
    try:
        initial_model_lines(record)
        is_valid = isinstance(record["digest"], str)
    except (LookupError, TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise RunDirectoryError(
            f"{path}: is damaged: expected the record of an initial model, got "
            f"{record!r:.200}. {RESTORE}"
        )


def _is_missing(path: str) -> bool:
    return not (list_files(path) if is_remote(path) else local_path(path).exists())


def check_other_directory(
    source: str | os.PathLike[str] | Object2Vec, directory: RunDirectory
) -> None:
    """Checks that a run does not replace its own initial model.

    Args:
        source: The initial model.
        directory: The run's directory.

    Raises:
        UserError: They are the same.
    """
    if isinstance(source, Object2Vec):
        return
    own = (directory.path, directory.model)
    if is_remote(source):
        is_own = os.fspath(source).rstrip("/") in [f"{path}" for path in own]
    else:
        is_own = local_path(source).resolve() in [path.resolve() for path in own]
    if is_own:
        raise UserError(
            f"initial_model: expected a model outside of model_dir, got {source}. Give "
            "another --model_dir, or continue the run by a larger --epochs."
        )


def start_identity(
    initial_model: InitialModel | None,
    frozen: Sequence[str],
    precision: str = "float32",
    table_placement: str = "replicated",
) -> dict[str, str]:
    """Returns the values by which a run's start is recognized, by name.

    Args:
        initial_model: The initial model, if there is one.
        frozen: Parts of the model that are not trained.
        precision: The precision. Runs of versions that had only float32 lack it.
        table_placement: Where token tables are kept. Checkpoints of sharded tables have
            other files.
    """
    identity = {}
    if initial_model:
        identity["initial model"] = initial_model.digest
    if frozen:
        identity["freeze"] = ",".join(frozen)
    if precision != "float32":
        identity["precision"] = precision
    if table_placement != "replicated":
        identity["table_placement"] = table_placement
    return identity


def _digest_of_weights(model: Object2Vec) -> str:
    digest = xxhash.xxh3_128(model.hyperparameters.to_json().encode())
    for tokenizer in model.tokenizers:
        digest.update(tokenizer.data if tokenizer else b"none")
    for words in model.id_words:
        digest.update(words or b"none")
    for variable in model.weights:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def initial_model_lines(
    summary: Mapping[str, Any], frozen: Sequence[str] = ()
) -> list[str]:
    """Returns sentences on what a run takes from its initial model.

    Args:
        summary: See `InitialModel`.
        frozen: Parts of the model that are not trained.
    """
    lines = []
    for encoder in ("enc0", "enc1"):
        rows = summary[f"{encoder}_rows"]
        line = (
            f"{encoder}: {rows['taken']:,} token vectors from the initial model, "
            f"matched by {summary['matched_by'][encoder]}; {rows['new']:,} new ones"
        )
        if ngrams := summary.get(f"{encoder}_ngrams"):
            line += f"; {ngrams['taken']:,} vectors of n-grams"
            line += f", {ngrams['new']:,} new ones"
        if rows["new"] and encoder in frozen:
            line += f", which stay as they are: {encoder} is frozen"
        lines.append(line)
    if summary["fresh"]:
        lines.append(
            "not in the initial model, or of another shape there: "
            + ", ".join(summary["fresh"])
        )
    return lines
