"""The configuration files that SageMaker writes for a training job.

Source: the Amazon SageMaker developer guide, "How Amazon SageMaker AI Provides Training
Information" and "Use checkpoints in Amazon SageMaker AI".
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from object2vec_tf.errors import UserError

# The root directory of a container, below which SageMaker's paths are.
CONTAINER_ROOT = Path("/opt/ml")
_DEFAULT_CHECKPOINTS = "checkpoints"
# Directories of a container that have another purpose.
_RESERVED = ("input", "model", "output", "cache", "run")


def read_config(path: Path) -> dict[str, Any]:
    """Returns the content of a configuration file; nothing if there is none.

    Raises:
        UserError: It is not a JSON object.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}. Give a file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected a JSON object: {error}") from error
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: expected a JSON object as SageMaker writes it, "
            f"got {type(content).__name__}."
        )
    return content


def read_hosts(path: Path) -> tuple[list[str], str]:
    """Returns the hosts of a job, sorted, and the name of this one.

    Args:
        path: resourceconfig.json.

    Raises:
        UserError: The file is invalid.
    """
    resources = read_config(path)
    hosts = resources.get("hosts", [])
    if not isinstance(hosts, list) or not all(isinstance(h, str) for h in hosts):
        raise UserError(f"{path}: hosts: expected a list of names, got {hosts!r}.")
    own = str(resources.get("current_host"))
    if len(hosts) > 1 and own not in hosts:
        raise UserError(
            f"{path}: current_host: expected one of hosts, {sorted(hosts)}, "
            f"got {own!r}."
        )
    return sorted(hosts), own


def read_checkpoint_folder(path: Path, prefix: Path) -> Path:
    """Returns the folder of the checkpoints, which SageMaker copies to and from S3.

    Args:
        path: checkpointconfig.json.
        prefix: Root directory that takes the place of ``/opt/ml``.

    Raises:
        UserError: The file is invalid, or the folder has another purpose.
    """
    given = read_config(path).get("LocalPath") or CONTAINER_ROOT / _DEFAULT_CHECKPOINTS
    is_path = isinstance(given, str | Path) and "\0" not in str(given)
    if not is_path or not Path(given).is_absolute():
        raise UserError(
            f"{path}: LocalPath: expected an absolute path such as "
            f"{CONTAINER_ROOT / _DEFAULT_CHECKPOINTS}, got {given!r}."
        )
    folder = Path(os.path.normpath(given))
    if folder != CONTAINER_ROOT and CONTAINER_ROOT not in folder.parents:
        return folder
    relative = folder.relative_to(CONTAINER_ROOT)
    if relative == Path() or relative.parts[0] in _RESERVED:
        raise UserError(
            f"{path}: LocalPath: expected a folder of its own, got {given}, which has "
            f"another purpose. Use {CONTAINER_ROOT / _DEFAULT_CHECKPOINTS}."
        )
    return prefix / relative


def existing_channels(data: Path, names: Collection[str]) -> dict[str, Path]:
    """Returns the directory of each channel that the job has.

    Args:
        data: The directory of the channels.
        names: The names that a channel may have.

    Raises:
        UserError: There is no train channel.
    """
    channels = {name: data / name for name in names if (data / name).exists()}
    if "train" not in channels:
        raise UserError(
            f"{data / 'train'}: no such directory. Give the job a train channel."
        )
    return channels
