"""The manifest of an index: its settings, and the checksums of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NotRequired, TypedDict

import msgspec

from object2vec_tf.errors import UserError
from object2vec_tf.files.digests import (
    FILES,
    FileDigest,
    digests_of_files,
    typed_digests,
    verify_files,
)
from object2vec_tf.files.sealed_json import parse_sealed, sealed_text

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
FIX: Final = (
    "Copy the index again from where it is intact, or build it with python -m "
    "object2vec_tf.neighbors build."
)


class Manifest(TypedDict):
    """The content of manifest.json.

    Attributes:
        format: `FORMAT`.
        metric: The similarity metric.
        search: exact or approximate.
        items: The number of items.
        dim: The width of an embedding.
        model: The model that embeds the items; None for an index of embeddings.
        model_digest: The digest of its weights.
        labels: Whether the items have labels.
        tokens: The counts of the tokens of all texts, by input and kind.
        files: The checksums of the other files; an older version wrote none.
    """

    format: int
    metric: Literal["cosine", "inner_product", "euclidean"]
    search: Literal["exact", "approximate"]
    items: int
    dim: int
    model: str | None
    model_digest: NotRequired[str | None]
    labels: bool
    tokens: NotRequired[dict[str, dict[str, int]]]
    files: NotRequired[dict[str, FileDigest]]


def write_manifest(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Writes the manifest of an index, as the last of its files.

    Args:
        directory: The index directory, with all of its other files.
        manifest: The manifest. Earlier checksums of the files are replaced.
    """
    names = {entry.name for entry in directory.iterdir()} - {MANIFEST}
    content = {**manifest, FILES: digests_of_files(directory, names)}
    (directory / MANIFEST).write_text(sealed_text(content), encoding="utf-8")


def read_manifest(directory: Path) -> dict[str, Any]:
    """Returns the manifest of an index.

    Raises:
        OSError: It does not exist.
        UserError: It is damaged, or another version of the package wrote it.
    """
    path = directory / MANIFEST
    manifest = parse_sealed(path.read_bytes(), f"{path}", FIX)
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"{path}: expected format {FORMAT}, got {manifest.get('format')!r:.40}. "
            "Another version of object2vec_tf wrote it: build the index again."
        )
    try:
        msgspec.convert(manifest, Manifest)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: is damaged: {error}. {FIX}") from error
    return manifest


def verify_index(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Checks the files of an index against the checksums in its manifest.

    Raises:
        UserError: A file is missing or damaged.
    """
    if FILES in manifest:
        digests = typed_digests(manifest, directory / MANIFEST, FIX)
        verify_files(directory, digests, FIX)
