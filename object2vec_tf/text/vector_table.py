"""The vectors of a vocabulary, while a file of pretrained vectors is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from object2vec_tf.errors import DataError

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

# The first bytes of fastText's own models, which contain much more than vectors.
_FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedVectors:
    """The vectors of a vocabulary.

    Attributes:
        rows: float32 ``[vocab_size, dim]``.
        found: The number of words that have a vector in the file.
        words: The number of words in the vocabulary.
    """

    rows: Vectors
    found: int
    words: int


class VectorTable:
    """Collects the vectors of a vocabulary's words.

    Args:
        path: The file with the vectors, for messages.
        vocabulary: Ids by word.
        vocab_size: The number of rows.
        dim: Width of a vector.
        setting: The hyperparameter that sets the width, for messages.

    Attributes:
        ids: Ids by word, in UTF-8.
        has_spaces: Whether any word contains a space.
    """

    def __init__(
        self,
        path: Path,
        vocabulary: Mapping[str, int],
        vocab_size: int,
        dim: int,
        setting: str,
    ) -> None:
        self.path = path
        self.dim = dim
        self._setting = setting
        self.ids = {word.encode(): id_ for word, id_ in vocabulary.items()}
        self.has_spaces = any(b" " in word for word in self.ids)
        self._rows = np.zeros((vocab_size, dim), np.float32)
        self._is_found = np.zeros(vocab_size, bool)

    def check_width(self, width: int) -> None:
        """Checks the width of the file's vectors.

        Raises:
            DataError: It is not ``dim``.
        """
        if width != self.dim:
            raise DataError(
                f"{self.path}:1: expected vectors of {self.dim} numbers "
                f"({self._setting}), got {width}. Set {self._setting}={width} or use "
                "another file."
            )

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Adds the vectors of ids; an id that has a vector keeps it.

        Args:
            ids: int64 ``[count]``. Of several vectors of an id the first is taken.
            vectors: float32 ``[count, dim]``.
        """
        new = np.flatnonzero(~self._is_found[ids])[::-1]  # so the first is written last
        self._rows[ids[new]] = vectors[new]
        self._is_found[ids] = True

    def complete(self, seed: int) -> PretrainedVectors:
        """Returns the vectors; missing rows are drawn at random.

        Args:
            seed: Seed of the random rows.

        Raises:
            DataError: No word has a vector.
        """
        found = int(np.count_nonzero(self._is_found))
        if not found:
            examples = ", ".join(repr(word.decode()) for word in list(self.ids)[:3])
            raise DataError(
                f"{self.path}: expected vectors of the vocabulary's words, got none "
                f"for any of its {len(self.ids):,} words ({examples}, ...). Check that "
                "this is the right file and that it has the words in the same spelling "
                "(lowercase?)."
            )
        missing = ~self._is_found
        if not missing.any():
            return PretrainedVectors(self._rows, found, len(self.ids))
        known = self._rows[self._is_found]
        mean, deviation = known.mean(0), known.std(0)
        size = (int(np.count_nonzero(missing)), self.dim)
        noise = np.random.default_rng(seed).standard_normal(size, np.float32)
        self._rows[missing] = noise * deviation + mean
        return PretrainedVectors(self._rows, found, len(self.ids))


def header_width(line: bytes) -> int | None:
    """Returns the width in a header (number of words, width); None if it is no header.

    Args:
        line: The first line of a file.
    """
    parts = line.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        return None
    return int(parts[1])


def reject_fasttext_model(path: Path, start: bytes) -> None:
    """Rejects a fastText model, which is not a file of vectors.

    Args:
        path: The file, for the message.
        start: The file's first bytes.

    Raises:
        DataError: It is a fastText model.
    """
    if start.startswith(_FASTTEXT_MAGIC):
        raise DataError(
            f"{path}: expected word vectors, got a fastText model. Use the .vec file "
            "that comes with it."
        )
