"""What a gateway serves: a model on disk, or one on TF Serving."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from export.serving.backends import Backend
from export.serving.reload import Reloader
from export.serving.server import local_backend
from export.serving.tf_serving_backend import TFServingBackend
from object2vec_tf.inference.model_store import ONNX, SAVED_MODEL, find_exported


@dataclasses.dataclass(frozen=True)
class ModelSource:
    """A model, as the flags of the gateway name it.

    Attributes:
        model: The path of an exported model, of a directory of versions, or of a run;
            empty for a model on TF Serving.
        runtime: tensorflow or onnx.
        threads: The number of threads of an op in onnxruntime; 0 for its own choice.
        table: memory or mmap; None as the model has its tables.
        reload_seconds: The time between two looks for a new version; 0 to serve only
            the first one.
        tf_serving: The address of TF Serving; empty for a model on disk.
        model_name: The model's name on TF Serving.
        timeout: The maximum duration of a call of TF Serving in seconds.
    """

    model: str = ""
    runtime: str = "tensorflow"
    threads: int = 0
    table: str | None = None
    reload_seconds: float = 0.0
    tf_serving: str = ""
    model_name: str = ""
    timeout: float = 60.0

    @property
    def model_file(self) -> str:
        """The file that an exported model contains."""
        return ONNX if self.runtime == "onnx" else SAVED_MODEL

    def pinned(self) -> ModelSource:
        """Returns the source of several processes, after a check that it exists.

        Without reloading, all of them serve the version of this moment.

        Raises:
            UserError: There is no model.
        """
        if self.tf_serving:
            return self
        path = find_exported(self.model, self.model_file)
        return (
            self if self.reload_seconds else dataclasses.replace(self, model=str(path))
        )

    def reloader(self) -> Reloader | None:
        """Returns the loader of the model's versions; None for TF Serving."""
        if self.tf_serving:
            return None
        return Reloader(
            Path(self.model),
            lambda path: local_backend(path, self.runtime, self.threads, self.table),
            model_file=self.model_file,
            seconds=self.reload_seconds or 1.0,
        )

    def backend(self, reloader: Reloader | None) -> Backend:
        """Returns the backend to start with.

        Args:
            reloader: The loader of the model's versions.

        Raises:
            UserError: The model cannot be loaded.
        """
        if reloader is not None:
            return reloader.first()
        return TFServingBackend(self.tf_serving, self.model_name, self.timeout)
